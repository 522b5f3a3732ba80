"""All three providers against the sandbox, whose checks share no code with ours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from notifications import sms, texts
from notifications.sms import Result
from tests.sandbox_process import Sandbox, running_sandbox

from .conftest import PHONE


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    directory: Path = tmp_path_factory.mktemp("sandbox")
    with running_sandbox(directory) as running:
        yield running


@pytest.fixture
def world(sandbox: Sandbox, settings: Any) -> Sandbox:
    sandbox.reset()
    for name, value in sandbox.environment.items():
        if "SMS" in name:
            setattr(settings, name, value)
    return sandbox


@pytest.mark.parametrize("provider", ["sandbox", "tencent", "aliyun"])
def test_a_code_arrives(world: Sandbox, settings: Any, provider: str):
    settings.SMS_PROVIDER = provider
    outcome = sms.send_code(
        PHONE,
        "824613",
        minutes=5,
        purpose="login",
        message_id="otp-1",
        now=timezone.now(),
    )
    assert outcome.result == Result.SENT
    [message] = world.sms(to=PHONE)
    assert message["provider"] == provider
    assert message["id"] == "otp-1"
    assert "824613 是你的验证码，5 分钟内有效，别告诉别人。" in message["text"]


@pytest.mark.parametrize("provider", ["tencent", "aliyun"])
@pytest.mark.parametrize("kind", ["activated", "expiring", "renewal", "refund"])
def test_every_kind_fits_an_approved_template(
    world: Sandbox, settings: Any, provider: str, kind: str
):
    settings.SMS_PROVIDER = provider
    now = timezone.now()
    params: texts.Params = {
        "plan": "临时会员",
        "benefits": "商品 95 折 & 优先发货",  # needs escaping in a query
        "end": now.isoformat(),
        "price": 1500,
        "link": "abc~1",
    }
    message = sms.compose(PHONE, kind, params, message_id="m-1", now=now)
    assert sms.send(message, now=now).result == Result.SENT
    assert world.sms(to=PHONE)[0]["kind"] == kind


def test_a_wrong_key_alarms_the_operator(world: Sandbox, settings: Any):
    settings.SMS_PROVIDER = "tencent"
    settings.TENCENT_SMS_SECRET_KEY = "wrong"
    now = timezone.now()
    message = sms.compose(
        PHONE, "refund", {"price": 1, "link": "a"}, message_id="m", now=now
    )
    outcome = sms.send(message, now=now)
    assert outcome.result == Result.OPERATOR_ALARM
    assert outcome.code == "AuthFailure.SignatureFailure"
    assert world.sms() == []


def test_a_crashing_provider_leaves_it_unknown(world: Sandbox, settings: Any):
    """FLT-25"""
    settings.SMS_PROVIDER = "aliyun"
    world.fault("sms", "sms", "500", count=1, done=True)
    now = timezone.now()
    message = sms.compose(
        PHONE, "refund", {"price": 1, "link": "a"}, message_id="m", now=now
    )
    assert sms.send(message, now=now).result == Result.UNKNOWN
    assert len(world.sms()) == 1
