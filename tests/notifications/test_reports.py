"""Delivery reports: unsigned, so the address is secret and they only inform."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from members.models import Member
from notifications.models import Notification
from notifications.sms import reports

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent(member: Member, now: datetime) -> Notification:
    return Notification.objects.create(
        key="a",
        member=member,
        kind="activated",
        channel="sms",
        state="sent",
        due_at=now,
        created_at=now,
        provider="aliyun",
        provider_id="900^0",
    )


def post(body: str, provider: str = "aliyun", secret: str = "") -> Any:
    secret = secret or reports.secret(provider)
    return Client(enforce_csrf_checks=True).post(
        reverse("sms-report", args=[provider, secret]),
        body,
        content_type="application/json",
    )


def line(**changes: object) -> str:
    return json.dumps([{"biz_id": "900^0", "err_code": "DELIVERED"} | changes])


def test_it_notes_what_the_phone_got_and_changes_nothing_else(sent: Notification):
    for _ in range(2):
        assert post(line()).json() == {"code": 0, "msg": "接收成功"}
    after = Notification.objects.get()
    assert (after.report, after.state, after.sends) == ("DELIVERED", "sent", 0)


def test_a_report_on_somebody_elses_message_changes_nothing(sent: Notification):
    assert post(line(biz_id="901^0")).status_code == 200
    assert post(line(biz_id="")).status_code == 200
    tencent = json.dumps([{"sid": "900^0", "errmsg": "DELIVRD"}])
    assert post(tencent, provider="tencent").json() == {"result": 0, "errmsg": "OK"}
    assert Notification.objects.get().report == ""


def test_a_wrong_address_is_not_found(sent: Notification):
    assert post(line(), secret="guess").status_code == 404
    assert post(line(), secret=reports.secret("tencent")).status_code == 404
    assert post(line(), provider="pigeon", secret="x").status_code == 404
    assert Notification.objects.get().report == ""


def test_the_address_survives_a_rotation_of_the_secret_key(
    sent: Notification, settings: Any
):
    old = reports.secret("aliyun")
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another" * 10
    assert reports.secret("aliyun") != old
    assert post(line(), secret=old).status_code == 200


@pytest.mark.parametrize("body", ["", "{", "{}", "[1]", "null"])
def test_a_malformed_report_is_refused(sent: Notification, body: str):
    assert post(body).status_code == 400


def test_only_post_is_allowed(client: Client):
    url = reverse("sms-report", args=["aliyun", reports.secret("aliyun")])
    assert client.get(url).status_code == 405
