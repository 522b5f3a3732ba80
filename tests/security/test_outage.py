"""With the database away the shop says so: 503, a time to come back, and no trace.

security 72, H1, FLT-15. Asked in a process whose database nobody answers for.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.payments.far_side import NOBODY, FarAlipay

ROOT = Path(__file__).resolve().parents[2]

ASK = """
import json, sys, django
django.setup()
from django.test import Client
client = Client(raise_request_exception=False, SERVER_NAME="127.0.0.1")
said = {}
for method, path, body in json.load(sys.stdin):
    answer = client.generic(
        method, path, body, "application/x-www-form-urlencoded",
        headers={"Cookie": "sessionid=" + "a" * 32} if "account" in path else {},
    )
    said[f"{method} {path}"] = {
        "status": answer.status_code,
        "retry": answer.get("Retry-After"),
        "cache": answer.get("Cache-Control"),
        "id": answer.get("X-Request-Id"),
        "text": answer.content.decode(),
    }
print(json.dumps(said))
"""
NOTICE = FarAlipay.notice(FarAlipay.paid("7ZQ2M4XK9B3CN5T8V1W6Y0HJAD")).decode()
ASKED = [
    ("GET", "/", ""),
    ("GET", "/membership/temporary/", ""),
    ("GET", "/login/", ""),
    ("GET", "/official/", ""),
    ("GET", "/account/", ""),
    ("GET", "/orders/7ZQ2M4XK9B3CN5T8V1W6Y0HJAD/?token=o1-aaaaaaaaaaaaaaaa", ""),
    ("GET", "/s/o1-aaaaaaaaaaaaaaaa/", ""),
    ("GET", "/nope/", ""),
    ("GET", "/console/login/", ""),
    ("POST", "/checkout/", "plan=temporary-7"),
    ("POST", "/checkout/code/", "phone=13800138000"),
    ("POST", "/login/", "phone=13800138000&code=123456"),
    ("POST", "/payments/alipay/notify/", NOTICE),
]


@pytest.fixture(scope="module")
def outage() -> tuple[dict[str, Any], str]:
    """The answers by request, and what was written to the log."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environ = (
        kept
        | FarAlipay.settings()
        | {
            "DJANGO_SETTINGS_MODULE": "kameng.settings",
            "KAMENG_ENV": "development",
            "DATABASE_URL": "postgresql://shop:canary@127.0.0.1:1/shop",
            "REDIS_URL": NOBODY.replace("http", "redis") + "/0",
            "PYTHONPATH": ".",
        }
    )
    also = [("GET", "/healthz", ""), ("GET", "/readyz", "")]
    forged = [("POST", "/payments/alipay/notify/?forged", "sign=x&sign_type=RSA2")]
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        input=json.dumps(ASKED + also + forged),
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.parametrize(
    "request_line", [f"{method} {path}" for method, path, _ in ASKED]
)
def test_it_answers_503_with_a_time_to_come_back(
    outage: tuple[dict[str, Any], str], request_line: str
) -> None:
    """Also to a gateway, which then repeats its notice (H1), and where there is no page."""
    answer = outage[0][request_line]
    assert (answer["status"], answer["retry"]) == (503, "30")
    assert answer["cache"] == "no-store"
    assert answer["id"]
    for word in ("Traceback", "psycopg", "OperationalError", "canary", "127.0.0.1"):
        assert word not in answer["text"]
    assert "<h1>" in answer["text"]


def test_the_process_is_alive_and_not_ready(
    outage: tuple[dict[str, Any], str],
) -> None:
    assert outage[0]["GET /healthz"]["status"] == 200
    ready = outage[0]["GET /readyz"]
    assert ready["status"] == 503
    assert json.loads(ready["text"])["checks"]["database"] == "down"


def test_a_forged_notice_needs_no_database(outage: tuple[dict[str, Any], str]) -> None:
    """R25: nothing is looked up before the signature holds."""
    answer = outage[0]["POST /payments/alipay/notify/?forged"]
    assert (answer["status"], answer["text"]) == (200, "fail")


def test_the_log_holds_neither_password_nor_phone(
    outage: tuple[dict[str, Any], str],
) -> None:
    """74"""
    log = outage[1]
    assert "database unavailable: OperationalError" in log
    for secret in ("canary", "13800138000", "o1-aaaaaaaaaaaaaaaa"):
        assert secret not in log
