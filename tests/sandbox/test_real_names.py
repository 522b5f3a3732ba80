"""The sandbox's library of names: both doors, its played answers, nothing kept."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.sandbox.merchant import HTTP, Json
from tests.sandbox_process import Sandbox

NUMBER = "11010519491231002X"


def check(sandbox: Sandbox, name: str = "王芳", number: str = NUMBER) -> Json:
    url = sandbox.environment["REAL_NAME_SANDBOX_URL"]
    answer: Json = HTTP.post(url, json={"name": name, "id_number": number}).json()
    return answer


def tencent(sandbox: Sandbox, body: Json, **change: Any) -> Json:
    settings = sandbox.environment
    url = settings["TENCENT_FACEID_URL"]
    text, host = json.dumps(body), urlsplit(url).netloc
    timestamp = int(time.time()) + change.get("late", 0)
    date = datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d")
    service = change.get("service", "faceid")
    canonical = (
        f"POST\n/\n\ncontent-type:application/json\nhost:{host}\n\ncontent-type;host\n"
        + hashlib.sha256(change.get("signed", text).encode()).hexdigest()
    )
    scope = f"{date}/{service}/tc3_request"
    to_sign = (
        f"TC3-HMAC-SHA256\n{timestamp}\n{scope}\n"
        + hashlib.sha256(canonical.encode()).hexdigest()
    )
    key = ("TC3" + settings["TENCENT_FACEID_SECRET_KEY"]).encode()
    for part in (date, service, "tc3_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    response: httpx.Response = HTTP.post(
        url,
        content=text,
        headers={
            "Content-Type": "application/json",
            "Host": host,
            "X-TC-Action": "IdCardVerification",
            "X-TC-Version": change.get("version", "2018-03-01"),
            "X-TC-Timestamp": str(timestamp),
            "Authorization": (
                f"TC3-HMAC-SHA256 Credential={settings['TENCENT_FACEID_SECRET_ID']}/"
                f"{scope}, SignedHeaders=content-type;host, Signature={signature}"
            ),
        },
    )
    answer: Json = response.json()["Response"]
    return answer


ANSWERS = {
    "王芳": "match",
    "不一致": "mismatch",
    "查无此人": "not_found",
    "系统繁忙": "busy",
}
CODES = {"match": "0", "mismatch": "-1", "not_found": "-5", "busy": "-4"}


@pytest.mark.parametrize(("name", "result"), ANSWERS.items())
def test_a_name_plays_an_answer_at_both_doors(sandbox: Sandbox, name: str, result: str):
    assert check(sandbox, name) == {"result": result}
    answer = tencent(sandbox, {"Name": name, "IdCard": NUMBER})
    assert answer["Result"] == CODES[result]


@pytest.mark.parametrize("number", ["110105194912310021", NUMBER[:17], "x", ""])
def test_a_number_that_cannot_be_matches_nobody(sandbox: Sandbox, number: str):
    assert check(sandbox, number=number) == {"result": "mismatch"}
    answer = tencent(sandbox, {"Name": "王芳", "IdCard": number})
    assert answer["Result"] == "-2"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"signed": "{}"}, "AuthFailure.SignatureFailure"),
        ({"service": "sms"}, "AuthFailure.SignatureFailure"),
        ({"late": -700}, "InternalError.RequestTimeException"),
        ({"version": "2021-01-11"}, "NoSuchVersion"),
    ],
)
def test_a_wrong_signature_is_refused(
    sandbox: Sandbox, change: dict[str, Any], code: str
):
    answer = tencent(sandbox, {"Name": "王芳", "IdCard": NUMBER}, **change)
    assert answer["Error"]["Code"] == code
    assert "Result" not in answer


def test_what_is_missing_is_named(sandbox: Sandbox):
    url = sandbox.environment["REAL_NAME_SANDBOX_URL"]
    assert HTTP.post(url, json={"name": "王芳"}).status_code == 400
    assert tencent(sandbox, {"Name": "王芳"})["Error"]["Code"] == "InvalidParameter"


def test_it_keeps_nothing_of_whom_it_was_asked_about(sandbox: Sandbox):
    check(sandbox)
    calls = sandbox.calls("real-name")
    assert [(call["method"], call["outcome"]) for call in calls] == [("sandbox", "200")]
    assert "王芳" not in str(calls)
    assert NUMBER not in str(calls)
