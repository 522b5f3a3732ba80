"""Reminders by the browser beside SMS: once, at the same hours, in nobody's way."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from members import links, reminders
from members.models import Member
from notifications import outbox
from notifications.models import Notification, Outbox, PushSubscription
from notifications.push import subscriptions, wire
from tests.members.test_reminders import DAY, HOUR, NOW, PHONE, beijing, give, told
from tests.members.test_reminders import holder as holder
from tests.members.test_reminders import inbox as inbox
from tests.notifications.receiving import Browser

pytestmark = pytest.mark.django_db

ENDPOINT = "https://fcm.googleapis.com/fcm/send/abc"


@pytest.fixture
def browser(holder: Member, settings: Any) -> Browser:
    settings.VAPID_PRIVATE_KEY = "f8lTkgTIJEu7mLIqQycN74OhLgXmf4MEbe7cKvf6Hac"
    settings.VAPID_SUBJECT = "mailto:ops@shop.example"
    made = Browser()
    subscriptions.save(holder.pk, ENDPOINT, **made.keys, now=NOW)
    return made


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The bodies that reached the push service."""
    bodies: list[bytes] = []

    def post(endpoint: str, *, headers: Any, body: bytes) -> wire.Answer:
        assert endpoint == ENDPOINT
        bodies.append(body)
        return wire.Answer(201)

    monkeypatch.setattr(wire, "post", post)
    return bodies


def test_it_reminds_once_by_browser_and_once_by_sms(
    holder: Member, inbox: list[str], browser: Browser, pushed: list[bytes]
) -> None:
    """E2, E5, K23, S28: three days before; no phone in what the browser gets."""
    give(holder, 7 * DAY)
    for minutes in range(-60, 3 * 1440, 60):
        at = NOW + 4 * DAY + timedelta(minutes=minutes)
        reminders.schedule(now=at)
        outbox.run_due(now=at)
    assert len(inbox) == 1
    [body] = pushed
    text = browser.open(body).decode()
    assert browser.read(body)["title"] == "会员 11 月 29 日 10:00 到期"
    assert browser.read(body)["path"] == f"/s/{links.token(links.RENEW, holder.pk)}/"
    assert PHONE.removeprefix("+86") not in text
    assert told() == {"site": "sent", "sms": "sent", "push": "sent"}
    assert Notification.objects.filter(kind="expiring").count() == 3


def test_an_end_that_moved_is_not_pushed(
    holder: Member, inbox: list[str], browser: Browser, pushed: list[bytes]
) -> None:
    """E6"""
    give(holder, 7 * DAY)
    reminders.schedule(now=NOW + 4 * DAY)
    give(holder, 7 * DAY, now=NOW + 4 * DAY)
    outbox.run_due(now=NOW + 4 * DAY)
    assert (inbox, pushed) == ([], [])
    assert told()["push"] == "skipped"


def test_it_waits_for_the_morning_with_the_sms(
    holder: Member, inbox: list[str], browser: Browser, pushed: list[bytes]
) -> None:
    """E7"""
    give(holder, 7 * DAY)
    night = beijing("11-26 23:00")
    reminders.schedule(now=night)
    outbox.run_due(now=night)
    outbox.run_due(now=beijing("11-27 07:59"))
    assert (inbox, pushed) == ([], [])
    outbox.run_due(now=beijing("11-27 08:00"))
    assert (len(inbox), len(pushed)) == (1, 1)


def test_a_message_that_was_held_up_into_the_night_waits_too(
    holder: Member, inbox: list[str], browser: Browser, pushed: list[bytes]
) -> None:
    """E7"""
    give(holder, 7 * DAY)
    reminders.schedule(now=NOW + 4 * DAY)
    outbox.run_due(now=beijing("11-26 23:00"))
    assert (inbox, pushed) == ([], [])
    outbox.run_due(now=beijing("11-27 08:01"))
    assert (len(inbox), len(pushed)) == (1, 1)


def test_at_night_it_goes_alone_when_the_morning_comes_too_late(
    holder: Member, inbox: list[str], browser: Browser, pushed: list[bytes]
) -> None:
    """E7: else site and web push only."""
    give(holder, 5 * HOUR, now=beijing("11-22 21:30"))
    at = beijing("11-23 00:30")
    assert reminders.schedule(now=at) == 1
    outbox.run_due(now=at)
    assert inbox == []
    assert len(pushed) == 1
    assert told() == {"site": "sent", "push": "sent"}


def test_a_push_service_in_trouble_delays_no_sms(
    holder: Member, inbox: list[str], browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FLT-32: the SMS goes first, and is not asked to wait for the rest."""
    order: list[str] = []

    def post(endpoint: str, *, headers: Any, body: bytes) -> wire.Answer:
        order.append(f"push after {len(inbox)} SMS")
        raise wire.NoAnswer("deadline")

    monkeypatch.setattr(wire, "post", post)
    give(holder, 7 * DAY)
    reminders.schedule(now=NOW + 4 * DAY)
    outbox.run_due(now=NOW + 4 * DAY)
    assert order == ["push after 1 SMS"]
    assert told() == {"site": "sent", "sms": "sent", "push": "sending"}


def test_who_has_no_browser_or_a_shop_without_a_key_writes_no_row(
    holder: Member, browser: Browser, settings: Any
) -> None:
    give(holder, 7 * DAY)
    settings.VAPID_PRIVATE_KEY = ""
    reminders.schedule(now=NOW + 4 * DAY)
    assert set(told()) == {"site", "sms"}
    Notification.objects.all().delete()
    Outbox.objects.all().delete()
    settings.VAPID_PRIVATE_KEY = "f8lTkgTIJEu7mLIqQycN74OhLgXmf4MEbe7cKvf6Hac"
    PushSubscription.objects.all().delete()
    reminders.schedule(now=NOW + 4 * DAY)
    assert set(told()) == {"site", "sms"}
