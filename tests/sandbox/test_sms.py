"""The sandbox's SMS: its own provider, Tencent's and Aliyun's signatures, the inbox."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import uuid
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

import httpx
import pytest

from tests.sandbox.merchant import HTTP, Json
from tests.sandbox_process import Sandbox

PHONE = "+8613800138000"


def send(sandbox: Sandbox, **change: object) -> httpx.Response:
    message = {
        "to": PHONE,
        "kind": "code",
        "text": "【卡盟】482913 是你的验证码，5 分钟内有效，别告诉别人。",
        "id": "m1",
    }
    url = sandbox.environment["SMS_SANDBOX_URL"]
    return HTTP.post(url, json=message | change)


def tencent(sandbox: Sandbox, body: Json, *, secret: str = "") -> Json:
    settings = sandbox.environment
    url = settings["TENCENT_SMS_ENDPOINT"]
    text, host = json.dumps(body), urlsplit(url).netloc
    timestamp = int(time.time())
    date = datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d")
    canonical = (
        f"POST\n/\n\ncontent-type:application/json\nhost:{host}\n\ncontent-type;host\n"
        + hashlib.sha256(text.encode()).hexdigest()
    )
    scope = f"{date}/sms/tc3_request"
    to_sign = (
        f"TC3-HMAC-SHA256\n{timestamp}\n{scope}\n"
        + hashlib.sha256(canonical.encode()).hexdigest()
    )
    key = ("TC3" + (secret or settings["TENCENT_SMS_SECRET_KEY"])).encode()
    for part in (date, "sms", "tc3_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    response = HTTP.post(
        url,
        content=text,
        headers={
            "Content-Type": "application/json",
            "Host": host,
            "X-TC-Action": "SendSms",
            "X-TC-Version": "2021-01-11",
            "X-TC-Region": "ap-guangzhou",
            "X-TC-Timestamp": str(timestamp),
            "Authorization": (
                f"TC3-HMAC-SHA256 Credential={settings['TENCENT_SMS_SECRET_ID']}/{scope},"
                f" SignedHeaders=content-type;host, Signature={signature}"
            ),
        },
    )
    answer: Json = response.json()["Response"]
    return answer


def tencent_message(sandbox: Sandbox, **change: object) -> Json:
    template = json.loads(sandbox.environment["TENCENT_SMS_TEMPLATES"])["code"]
    assert template["params"] == ["code", "minutes"]
    return {
        "PhoneNumberSet": [PHONE],
        "SmsSdkAppId": sandbox.environment["TENCENT_SMS_SDK_APP_ID"],
        "TemplateId": template["id"],
        "SignName": sandbox.environment["TENCENT_SMS_SIGN_NAME"],
        "TemplateParamSet": ["482913", "5"],
        "SessionContext": "m1",
    } | change


def aliyun(sandbox: Sandbox, *, secret: str = "", **change: str) -> Json:
    settings = sandbox.environment
    url = settings["ALIYUN_SMS_ENDPOINT"]
    template = json.loads(settings["ALIYUN_SMS_TEMPLATES"])["code"]
    values = {
        "PhoneNumbers": "13800138000",
        "SignName": settings["ALIYUN_SMS_SIGN_NAME"],
        "TemplateCode": template["id"],
        "TemplateParam": json.dumps({"code": "482913", "minutes": "5"}),
        "OutId": "m1",
    } | change
    query = "&".join(
        f"{quote(name, safe='~')}={quote(values[name], safe='~')}"
        for name in sorted(values)
    )
    headers = {
        "host": urlsplit(url).netloc,
        "x-acs-action": "SendSms",
        "x-acs-content-sha256": hashlib.sha256(b"").hexdigest(),
        "x-acs-date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": uuid.uuid4().hex,
        "x-acs-version": "2017-05-25",
    }
    names = ";".join(sorted(headers))
    canonical = (
        f"POST\n/\n{query}\n"
        + "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        + f"\n{names}\n{headers['x-acs-content-sha256']}"
    )
    to_sign = "ACS3-HMAC-SHA256\n" + hashlib.sha256(canonical.encode()).hexdigest()
    key = secret or settings["ALIYUN_SMS_ACCESS_KEY_SECRET"]
    signature = hmac.new(key.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    headers["Authorization"] = (
        f"ACS3-HMAC-SHA256 Credential={settings['ALIYUN_SMS_ACCESS_KEY_ID']},"
        f"SignedHeaders={names},Signature={signature}"
    )
    answer: Json = HTTP.post(f"{url}/?{query}", headers=headers).json()
    return answer


def test_a_message_lands_in_the_inbox(sandbox: Sandbox) -> None:
    response = send(sandbox)
    assert (response.status_code, response.json()) == (200, {"id": "m1"})
    [message] = sandbox.sms(PHONE)
    assert (message["kind"], message["id"], message["to"]) == ("code", "m1", PHONE)
    assert sandbox.sms("+8613900139000") == []
    page = HTTP.get(f"{sandbox.url}/sms/")
    assert "482913" in page.text
    assert PHONE in page.text


def test_messages_can_be_asked_for_since_a_moment(sandbox: Sandbox) -> None:
    send(sandbox)
    first = sandbox.sms()[0]["received_at"]
    send(sandbox, id="m2")
    assert [message["id"] for message in sandbox.sms(since=first)] == ["m2"]


@pytest.mark.parametrize("change", [{"to": "13800138000"}, {"to": ""}])
def test_it_refuses_a_number_that_is_not_e164(
    sandbox: Sandbox, change: dict[str, str]
) -> None:
    assert send(sandbox, **change).status_code == 400
    assert sandbox.sms() == []


def test_a_message_is_shown_as_text(sandbox: Sandbox) -> None:
    send(sandbox, text="<script>alert(1)</script>")
    assert "<script>alert" not in HTTP.get(f"{sandbox.url}/sms/").text


def test_tencent_delivers_the_filled_template(sandbox: Sandbox) -> None:
    [status] = tencent(sandbox, tencent_message(sandbox))["SendStatusSet"]
    assert (status["Code"], status["SessionContext"]) == ("Ok", "m1")
    [message] = sandbox.sms(PHONE)
    assert message["text"].startswith("【卡盟】482913 是你的验证码，5 分钟")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"TemplateId": "1"}, "FailedOperation.TemplateUnapprovedOrNotExist"),
        ({"SignName": "x"}, "FailedOperation.SignatureIncorrectOrUnapproved"),
        (
            {"TemplateParamSet": ["1"]},
            "InvalidParameterValue.TemplateParameterFormatError",
        ),
        (
            {"PhoneNumberSet": ["+8612345"]},
            "InvalidParameterValue.IncorrectPhoneNumber",
        ),
    ],
)
def test_tencent_refuses_per_number(sandbox: Sandbox, change: Json, code: str) -> None:
    [status] = tencent(sandbox, tencent_message(sandbox, **change))["SendStatusSet"]
    assert status["Code"] == code
    assert sandbox.sms() == []


def test_tencent_refuses_another_secret(sandbox: Sandbox) -> None:
    answer = tencent(sandbox, tencent_message(sandbox), secret="other")
    assert answer["Error"]["Code"] == "AuthFailure.SignatureFailure"
    assert sandbox.sms() == []


def test_aliyun_delivers_the_filled_template(sandbox: Sandbox) -> None:
    assert aliyun(sandbox)["Code"] == "OK"
    [message] = sandbox.sms(PHONE)
    assert (message["id"], message["provider"]) == ("m1", "aliyun")
    assert message["text"].startswith("【卡盟】482913 是你的验证码")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"SignName": "x"}, "isv.SMS_SIGNATURE_ILLEGAL"),
        ({"TemplateCode": "SMS_1"}, "isv.SMS_TEMPLATE_ILLEGAL"),
        ({"TemplateParam": "{"}, "isv.INVALID_JSON_PARAM"),
        ({"TemplateParam": "{}"}, "isv.TEMPLATE_MISSING_PARAMETERS"),
        ({"PhoneNumbers": "12345"}, "isv.MOBILE_NUMBER_ILLEGAL"),
    ],
)
def test_aliyun_refuses_with_its_codes(
    sandbox: Sandbox, change: dict[str, str], code: str
) -> None:
    assert aliyun(sandbox, **change)["Code"] == code
    assert sandbox.sms() == []


def test_aliyun_refuses_another_secret(sandbox: Sandbox) -> None:
    assert aliyun(sandbox, secret="other")["Code"] == "SignatureDoesNotMatch"


def test_a_fault_takes_the_provider_away(sandbox: Sandbox) -> None:
    sandbox.fault("sms", "sms", "500", count=1)
    assert send(sandbox).status_code == 500
    assert sandbox.sms() == []
    assert send(sandbox).status_code == 200


def test_a_fault_can_speak_a_providers_code(sandbox: Sandbox) -> None:
    code = "isv.BUSINESS_LIMIT_CONTROL"
    sandbox.fault("sms", "*", "refuse", code=code, status=200, count=1)
    assert aliyun(sandbox)["Code"] == code
