"""Which settings switch epay on: security 34."""

from __future__ import annotations

import pytest
from django.test import Client, override_settings
from django.utils import timezone

from payments import gateways
from tests.payments.epay.far_epay import FarEpay
from tests.payments.far_side import FarAlipay, FarWechat

OTHERS = dict.fromkeys(FarAlipay.settings() | FarWechat.settings(), "")


def told(**changes: str) -> list[str]:
    with override_settings(**OTHERS | FarEpay.settings() | changes):
        lines = gateways.problems(now=timezone.now())
        assert ("epay" in [each.code for each in gateways.available()]) == (not lines)
        return lines


def test_its_three_keys_switch_it_on() -> None:
    """Without a type there is no phone credit, but other channels may be."""
    assert told() == []
    assert told(EPAY_PHONE_CREDIT_TYPE="") == []


@pytest.mark.parametrize("name", ["EPAY_BASE_URL", "EPAY_PID", "EPAY_KEY"])
def test_one_missing_setting_switches_it_off_and_is_named(name: str) -> None:
    assert told(**{name: ""}) == [f"{name}: is missing"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EPAY_BASE_URL", "ftp://pay.test"),
        ("EPAY_BASE_URL", "https://user:secret-canary@pay.test"),
        ("EPAY_KEY", "secret-canary"),
        ("EPAY_KEY", "canary" * 6),
        ("EPAY_KEY", "1" * 32),
        ("EPAY_PHONE_CREDIT_TYPE", "hua fei canary"),
        ("EPAY_PHONE_CREDIT_TYPE", "话费"),
    ],
)
def test_a_broken_setting_is_named_and_never_quoted(name: str, value: str) -> None:
    [line] = told(**{name: value})
    assert line.startswith(f"{name}: ")
    assert "canary" not in line


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("changes", "key"),
    [
        (dict.fromkeys(FarEpay.settings(), ""), ""),
        ({"EPAY_KEY": ""}, ""),
        ({"EPAY_KEY": "1" * 32}, "1" * 32),
    ],
)
def test_a_gateway_that_is_off_hears_nothing(
    client: Client, changes: dict[str, str], key: str
) -> None:
    """Also no notice that was signed with the placeholder."""
    fields = FarEpay.paid("7ZQ2M4XK9B3CN5T8V1W6Y0HJAD")
    signed = fields | {"sign": FarEpay.sign(fields, key), "sign_type": "MD5"}
    with override_settings(**FarEpay.settings() | changes):
        for answer in (
            client.get("/payments/epay/notify/", signed),
            client.post("/payments/epay/notify/", signed),
        ):
            assert answer.status_code == 404
