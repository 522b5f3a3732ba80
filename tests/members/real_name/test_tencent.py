"""Both verifiers over a real socket; Tencent's signature is checked by the sandbox,
which shares no code with the shop."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.utils import timezone

from kameng import tencent_cloud
from members.real_name import providers, tencent, wire
from members.real_name.contract import Answer, Result
from tests.members.real_name.people import ADULT, NAME
from tests.sandbox_process import Sandbox

PROVIDERS = ("sandbox", "tencent")
OTHERS = {
    "不一致": Result.MISMATCH,
    "查无此人": Result.NOT_FOUND,
    "系统繁忙": Result.BUSY,
}


@pytest.fixture
def world(sandbox_process: Sandbox, settings: Any) -> Sandbox:
    sandbox_process.reset()
    for name, value in sandbox_process.environment.items():
        if "REAL_NAME" in name or "FACEID" in name:
            setattr(settings, name, value)
    return sandbox_process


def ask(name: str = NAME, number: str = ADULT) -> Answer:
    provider = providers.chosen()
    assert provider is not None
    return provider.check(name, number, now=timezone.now())


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_far_side_answers_a_question_that_is_signed_right(
    world: Sandbox, settings: Any, provider: str
):
    settings.REAL_NAME_PROVIDER = provider
    assert ask().result is Result.MATCH
    for name, result in OTHERS.items():
        assert ask(name).result is result
    assert ask(number=f"{ADULT[:17]}1").result is Result.MISMATCH
    calls = world.calls("real-name")
    assert {call["method"] for call in calls} == {provider}
    assert NAME not in str(calls)
    assert ADULT not in str(calls)


@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [
        ("TENCENT_FACEID_SECRET_KEY", "wrong", "AuthFailure.SignatureFailure"),
        ("TENCENT_FACEID_SECRET_ID", "wrong", "AuthFailure.SecretIdNotFound"),
    ],
)
def test_a_wrong_key_alarms_the_operator(
    world: Sandbox, settings: Any, setting: str, value: str, code: str
):
    settings.REAL_NAME_PROVIDER = "tencent"
    setattr(settings, setting, value)
    assert ask() == Answer(Result.ALARM, code)


def test_a_signature_for_another_product_is_none(
    world: Sandbox, settings: Any, monkeypatch: pytest.MonkeyPatch
):
    settings.REAL_NAME_PROVIDER = "tencent"
    signed = tencent_cloud.headers
    monkeypatch.setattr(
        tencent_cloud,
        "headers",
        lambda *args, **named: signed(*args, **{**named, "service": "sms"}),
    )
    assert ask() == Answer(Result.ALARM, "AuthFailure.SignatureFailure")


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    "fault",
    [
        {"fault": "500"},
        {"fault": "timeout", "seconds": 30},
        {"fault": "slow", "seconds": 30},
    ],
    ids=lambda fault: fault["fault"],
)
def test_trouble_out_there_is_no_answer(
    world: Sandbox,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    provider: str,
    fault: dict[str, Any],
):
    """FLT-23 to FLT-25 for the verifier: bounded in time, silent about her."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(wire, "TOTAL_SECONDS", 0.3)
    settings.REAL_NAME_PROVIDER = provider
    world.fault("real-name", "real-name", count=1, **fault)
    assert ask().result is Result.BUSY
    world.clear_faults()
    assert NAME not in caplog.text
    assert ADULT not in caplog.text


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_far_side_that_is_away_is_no_answer(settings: Any, provider: str):
    """FLT-24"""
    settings.REAL_NAME_PROVIDER = provider
    settings.REAL_NAME_SANDBOX_URL = "http://127.0.0.1:1/real-name/check"
    settings.TENCENT_FACEID_URL = "http://127.0.0.1:1"
    assert ask() == Answer(Result.BUSY, "ConnectError")


@pytest.mark.parametrize(
    ("response", "result"),
    [
        ({"Result": "0"}, Result.MATCH),
        ({"Result": "-1"}, Result.MISMATCH),
        ({"Result": "-2"}, Result.MISMATCH),
        ({"Result": "-3"}, Result.MISMATCH),
        ({"Result": "-4"}, Result.BUSY),
        ({"Result": "-5"}, Result.NOT_FOUND),
        ({"Result": "-6"}, Result.BUSY),
        ({"Result": "-7"}, Result.BUSY),
        ({"Result": 0}, Result.MATCH),
        ({"Result": "00"}, Result.ALARM),
        ({"Result": None}, Result.ALARM),
        ({}, Result.ALARM),
        ({"Error": {"Code": "InternalError"}, "Result": "0"}, Result.BUSY),
        ({"Error": {"Code": "RequestLimitExceeded"}}, Result.BUSY),
        ({"Error": {"Code": "FailedOperation.UnKnown"}}, Result.BUSY),
        ({"Error": {"Code": "UnauthorizedOperation.Arrears"}}, Result.ALARM),
        ({"Error": {}}, Result.ALARM),
        (None, Result.BUSY),
        ("0", Result.BUSY),
    ],
    ids=str,
)
def test_it_reads_every_code_of_tencent(response: object, result: Result):
    """FLT-25: nothing but the one word counts as a match."""
    answer = tencent.read(wire.Reply(200, {"Response": response}))
    assert answer.result is result


def test_half_a_provider_is_a_problem_that_names_what_is_missing(settings: Any):
    settings.REAL_NAME_PROVIDER = "tencent"
    settings.TENCENT_FACEID_SECRET_ID = "id"
    settings.TENCENT_FACEID_SECRET_KEY = ""
    assert providers.problems() == [
        "TENCENT_FACEID_SECRET_KEY: empty, and REAL_NAME_PROVIDER is tencent"
    ]
    settings.REAL_NAME_PROVIDER = ""
    assert providers.problems() == []
    assert providers.chosen() is None


def test_the_sandbox_in_production_is_a_problem(settings: Any):
    settings.REAL_NAME_PROVIDER, settings.PRODUCTION = "sandbox", True
    assert providers.problems() == ["REAL_NAME_PROVIDER: the sandbox in production"]
