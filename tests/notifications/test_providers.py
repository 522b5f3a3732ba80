"""The three providers over a real socket: what goes out, what comes of each answer."""

from __future__ import annotations

import json
import logging
import time
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from django.core.exceptions import ImproperlyConfigured

from kameng import tencent_cloud
from notifications import sms
from notifications.sms import Result, aliyun, tencent, wire

from .conftest import PHONE, FrontDoor

CODE = "824613"
TEMPLATES = json.dumps({"code": {"id": "1000001", "params": ["code", "minutes"]}})
OK_TENCENT = (
    200,
    '{"Response": {"SendStatusSet": [{"Code": "Ok", "SerialNo": "9:1"}]}}',
)
OK_ALIYUN = (200, '{"Code": "OK", "BizId": "900^0"}')


def configure(settings: Any, provider: str, url: str) -> None:
    name = provider.upper()
    settings.SMS_PROVIDER = provider
    setattr(settings, f"{name}_SMS_ENDPOINT", url)
    setattr(settings, f"{name}_SMS_SIGN_NAME", "卡盟")
    setattr(settings, f"{name}_SMS_TEMPLATES", TEMPLATES)
    settings.TENCENT_SMS_SECRET_ID = "AKIDtest"
    settings.TENCENT_SMS_SECRET_KEY = "tencent-secret"
    settings.TENCENT_SMS_SDK_APP_ID = "1400000001"
    settings.ALIYUN_SMS_ACCESS_KEY_ID = "LTAItest"
    settings.ALIYUN_SMS_ACCESS_KEY_SECRET = "aliyun-secret"


def send_code(now: datetime) -> sms.SendResult:
    return sms.send_code(
        PHONE, CODE, minutes=5, purpose="login", message_id="otp-1", now=now
    )


def test_the_sandbox_gets_the_whole_text(inbox: FrontDoor, now: datetime):
    assert send_code(now) == sms.SendResult(
        Result.SENT, provider_id="box-1", code="HTTP 200", provider="sandbox"
    )
    assert inbox.received[0].path == "/sms/send/"
    assert inbox.received[0].json == {
        "to": PHONE,
        "kind": "code",
        "text": "【卡盟】824613 是你的验证码，5 分钟内有效，别告诉别人。用于登录。",
        "id": "otp-1",
    }


def test_tencent_gets_the_parameters_in_order_and_a_right_signature(
    front_door: FrontDoor, settings: Any, now: datetime
):
    configure(settings, "tencent", front_door.url)
    front_door.answers = [OK_TENCENT]
    assert send_code(now) == sms.SendResult(
        Result.SENT, provider_id="9:1", code="Ok", provider="tencent"
    )
    [call] = front_door.received
    assert call.json == {
        "PhoneNumberSet": [PHONE],
        "SmsSdkAppId": "1400000001",
        "TemplateId": "1000001",
        "SignName": "卡盟",
        "TemplateParamSet": [CODE, "5"],
        "SessionContext": "otp-1",
    }
    assert call.headers["x-tc-action"] == "SendSms"
    assert call.headers["authorization"] == tencent_cloud.authorization(
        "AKIDtest",
        "tencent-secret",
        service="sms",
        host=call.headers["host"],
        content_type=call.headers["content-type"],
        body=call.body,
        timestamp=int(now.timestamp()),
    )


def test_aliyun_gets_national_digits_in_the_query_and_a_right_signature(
    front_door: FrontDoor, settings: Any, now: datetime
):
    configure(settings, "aliyun", front_door.url)
    front_door.answers = [OK_ALIYUN]
    assert send_code(now).provider_id == "900^0"
    [call] = front_door.received
    query = urlsplit(call.path).query
    fields = {name: values[0] for name, values in parse_qs(query).items()}
    assert fields == {
        "PhoneNumbers": "13800138000",
        "SignName": "卡盟",
        "TemplateCode": "1000001",
        "TemplateParam": '{"code": "824613", "minutes": "5"}',
        "OutId": "otp-1",
    }
    assert call.headers["x-acs-date"] == "2026-11-22T02:00:00Z"
    signed = call.headers["authorization"].split("SignedHeaders=")[1].split(",")[0]
    assert call.headers["authorization"] == aliyun.authorization(
        "LTAItest",
        "aliyun-secret",
        query=aliyun.canonical_query(dict(parse_qsl(query))),
        headers={name: call.headers[name] for name in signed.split(";")},
    )


def test_two_calls_to_aliyun_carry_two_nonces(
    front_door: FrontDoor, settings: Any, now: datetime
):
    configure(settings, "aliyun", front_door.url)
    front_door.answers = [OK_ALIYUN]
    send_code(now)
    send_code(now)
    first, second = (c.headers["x-acs-signature-nonce"] for c in front_door.received)
    assert first != second


@pytest.mark.parametrize("provider", ["sandbox", "tencent", "aliyun"])
@pytest.mark.parametrize(
    "answer", [(200, "<html>"), (200, "[]"), (502, ""), (200, '{"Response": {}}'), None]
)
def test_an_answer_it_cannot_read_is_unknown_and_never_sent(
    front_door: FrontDoor,
    settings: Any,
    now: datetime,
    provider: str,
    answer: tuple[int, str] | None,
):
    """FLT-25, FLT-30: the message may have gone out, so it is not repeated at once."""
    configure(settings, "aliyun", "")
    configure(settings, "tencent", "")
    configure(settings, provider, front_door.url)
    settings.SMS_SANDBOX_URL = front_door.url
    front_door.answers = [answer]
    assert send_code(now).result == Result.UNKNOWN
    assert len(front_door.received) == 1


def test_a_slow_provider_is_left_after_the_time_out(
    front_door: FrontDoor, settings: Any, now: datetime, monkeypatch: Any
):
    """FLT-30: unknown, and no second provider although one is configured."""
    monkeypatch.setattr(wire, "TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(wire, "_client", wire._client.__wrapped__)
    configure(settings, "aliyun", front_door.url)
    configure(settings, "tencent", front_door.url)
    front_door.answers = [OK_TENCENT]
    front_door.before_answer = lambda: time.sleep(0.4)
    outcome = send_code(now)
    assert (outcome.result, outcome.code) == (Result.UNKNOWN, "ReadTimeout")
    assert len(front_door.received) == 1


def test_a_provider_out_of_reach_hands_over_to_the_other_once(
    front_door: FrontDoor, settings: Any, now: datetime, nowhere: str
):
    """FLT-29: second provider tried."""
    configure(settings, "aliyun", front_door.url)
    configure(settings, "tencent", nowhere)
    front_door.answers = [OK_ALIYUN]
    outcome = send_code(now)
    assert (outcome.result, outcome.provider) == (Result.SENT, "aliyun")


def test_both_providers_in_trouble_are_asked_once_each(
    front_door: FrontDoor, settings: Any, now: datetime
):
    configure(settings, "aliyun", front_door.url)
    configure(settings, "tencent", front_door.url)
    front_door.answers = [
        (200, '{"Response": {"Error": {"Code": "InternalError"}}}'),
        (503, '{"Code": "Throttling.User"}'),
    ]
    outcome = send_code(now)
    assert outcome.result == Result.RETRY_OTHER_PROVIDER
    assert len(front_door.received) == 2


def test_the_sandbox_never_hands_over_to_a_real_provider(
    front_door: FrontDoor, settings: Any, now: datetime, nowhere: str
):
    configure(settings, "aliyun", front_door.url)
    settings.SMS_PROVIDER = "sandbox"
    settings.SMS_SANDBOX_URL = nowhere
    assert send_code(now).result == Result.RETRY_OTHER_PROVIDER
    assert front_door.received == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((429, "{}"), Result.RATE_LIMITED),
        ((422, "{}"), Result.BAD_NUMBER),
        ((404, "<html>"), Result.OPERATOR_ALARM),
        ((503, '{"error": "DOWN"}'), Result.RETRY_OTHER_PROVIDER),
        ((500, "<html>"), Result.UNKNOWN),
    ],
)
def test_it_reads_the_sandboxs_answer(
    inbox: FrontDoor, now: datetime, answer: tuple[int, str], expected: Result
):
    inbox.answers = [answer]
    assert send_code(now).result == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("LimitExceeded.DeliveryFrequencyLimit", Result.RATE_LIMITED),
        ("LimitExceeded.AppDailyLimit", Result.OPERATOR_ALARM),
        ("InternalError.RequestTimeException", Result.OPERATOR_ALARM),
        ("InternalError.OtherError", Result.RETRY_OTHER_PROVIDER),
        ("UnauthorizedOperation.SmsSdkAppIdVerifyFail", Result.OPERATOR_ALARM),
        ("SomethingNew", Result.OPERATOR_ALARM),
    ],
)
def test_it_tells_tencents_codes_apart(code: str, expected: Result):
    body = json.dumps({"Response": {"Error": {"Code": code}}})
    assert tencent.outcome(wire.answer(200, body.encode())).result == expected


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("isv.MONTH_LIMIT_CONTROL", Result.RATE_LIMITED),
        ("isv.OUT_OF_SERVICE", Result.OPERATOR_ALARM),
        ("isv.DENY_IP_RANGE", Result.OPERATOR_ALARM),
        ("isp.SYSTEM_ERROR", Result.RETRY_OTHER_PROVIDER),
        ("SignatureDoesNotMatch", Result.OPERATOR_ALARM),
    ],
)
def test_it_tells_aliyuns_codes_apart(code: str, expected: Result):
    body = json.dumps({"Code": code})
    assert aliyun.outcome(wire.answer(200, body.encode())).result == expected


@pytest.mark.parametrize(
    ("templates", "words"),
    [
        ("{}", "no template code"),
        ('{"code": {"id": "1", "params": ["code", "link"]}}', "code without link"),
        ('{"code": ["1"]}', "TENCENT_SMS_TEMPLATES: expected JSON"),
        ("not json", "TENCENT_SMS_TEMPLATES: expected JSON"),
    ],
)
def test_a_template_that_does_not_fit_alarms_the_operator_and_calls_nobody(
    front_door: FrontDoor,
    settings: Any,
    now: datetime,
    caplog: Any,
    templates: str,
    words: str,
):
    configure(settings, "tencent", front_door.url)
    settings.TENCENT_SMS_TEMPLATES = templates
    outcome = send_code(now)
    assert outcome.result == Result.OPERATOR_ALARM
    assert outcome.code.startswith(words)
    assert front_door.received == []
    assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.parametrize("provider", ["sandbox", "tencent", "aliyun"])
@pytest.mark.parametrize("reachable", [True, False])
def test_no_log_has_the_phone_or_the_code(
    front_door: FrontDoor,
    settings: Any,
    now: datetime,
    caplog: Any,
    nowhere: str,
    provider: str,
    reachable: bool,
):
    """security 74, INV-14: Aliyun's URL holds both, so nobody may log it."""
    url = front_door.url if reachable else nowhere
    configure(settings, "aliyun", "")
    configure(settings, provider, url)
    settings.SMS_SANDBOX_URL = url
    caplog.set_level(logging.DEBUG)
    send_code(now)
    assert caplog.records
    for record in caplog.records:
        assert "13800138000" not in record.getMessage()
        assert CODE not in record.getMessage()


def test_problems_name_every_variable_that_is_missing(settings: Any):
    settings.SMS_PROVIDER = "aliyun"
    settings.ALIYUN_SMS_ENDPOINT = "dysmsapi.aliyuncs.com"
    for name in ("ACCESS_KEY_ID", "ACCESS_KEY_SECRET", "SIGN_NAME", "TEMPLATES"):
        setattr(settings, f"ALIYUN_SMS_{name}", "")
    assert [line.split(":")[0] for line in sms.problems()] == [
        "ALIYUN_SMS_ACCESS_KEY_ID",
        "ALIYUN_SMS_ACCESS_KEY_SECRET",
        "ALIYUN_SMS_SIGN_NAME",
        "ALIYUN_SMS_TEMPLATES",
    ]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TENCENT_SMS_TEMPLATES", "{"),
        ("TENCENT_SMS_TEMPLATES", '{"activated": {"id": "2", "params": []}}'),
        ("TENCENT_SMS_ENDPOINT", "http://sms.example"),
    ],
)
def test_problems_name_a_value_that_is_wrong(settings: Any, variable: str, value: str):
    configure(settings, "tencent", "sms.tencentcloudapi.com")
    assert sms.problems() == []
    settings.PRODUCTION = True
    setattr(settings, variable, value)
    [problem] = sms.problems()
    assert problem.startswith(f"{variable}: ")


def test_production_refuses_the_sandbox(settings: Any):
    settings.SMS_PROVIDER = "sandbox"
    assert sms.problems() == []
    settings.PRODUCTION = True
    assert sms.problems() == ["SMS_PROVIDER: the sandbox in production"]


def test_an_unknown_provider_is_named(settings: Any):
    settings.SMS_PROVIDER = "pigeon"
    assert sms.problems() == ["SMS_PROVIDER: no provider 'pigeon'"]
    with pytest.raises(ImproperlyConfigured, match="SMS_PROVIDER"):
        sms.provider("pigeon")
