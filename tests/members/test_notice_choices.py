"""``/account/notifications/``: what is switched off is not sent, and what cannot be is."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from members import reminders
from members.context import expiry_notice
from members.models import Member, Tier
from notifications import choices, messages, outbox
from notifications.messages import Channel, Message
from notifications.models import Notification, OptOut, Outbox
from payments import privacy
from payments.merging import merge
from tests.members.database_line import DatabaseLine
from tests.members.edge import PHONE, Inbox

pytestmark = pytest.mark.django_db

PAGE = "/account/notifications/"
DAY = timedelta(days=1)


@pytest.fixture
def member(db: None) -> Member:
    return Member.objects.create_user(PHONE)


@pytest.fixture
def ending(
    member: Member, tiers: dict[str, Tier], line: DatabaseLine, now: datetime
) -> Member:
    """Her time ends in two days."""
    line.grant("G", tiers["G"], 30 * 86_400, at=now - 28 * DAY)
    member.refresh_from_db()
    return member


def want(member: Member, *wanted: str) -> None:
    client = Client()
    client.force_login(member)
    done = client.post(PAGE, {"want": wanted})
    assert (done.status_code, done["Location"]) == (303, PAGE)


def told(now: datetime) -> dict[str, str]:
    reminders.schedule(now=now)
    outbox.run_due(now=now)
    return dict(Notification.objects.values_list("channel", "state"))


def test_both_reminders_come_until_she_says_otherwise(
    ending: Member, inbox: Inbox, now: datetime
) -> None:
    assert told(now) == {"site": "sent", "sms": "sent"}
    assert len(inbox.to(PHONE)) == 1
    assert messages.history_for(ending.pk, now=now)


def test_no_sms_is_sent_after_it_was_switched_off(
    ending: Member, inbox: Inbox, now: datetime
) -> None:
    want(ending, "expiring:site")
    assert told(now) == {"site": "sent", "sms": "skipped"}
    assert inbox.to(PHONE) == []


def test_it_counts_at_the_moment_of_sending(
    ending: Member, inbox: Inbox, now: datetime
) -> None:
    """Queued before, switched off before it went out, and the other way round."""
    reminders.schedule(now=now)
    want(ending, "expiring:site")
    outbox.run_due(now=now)
    assert inbox.to(PHONE) == []
    Notification.objects.all().delete()
    Outbox.objects.all().delete()
    reminders.schedule(now=now)
    want(ending, "expiring:site", "expiring:sms")
    outbox.run_due(now=now)
    assert len(inbox.to(PHONE)) == 1


def test_the_site_is_silent_and_speaks_again(
    ending: Member, inbox: Inbox, now: datetime, rf: Any
) -> None:
    """The notice in the account and the bar above each page, also one of before."""
    told(now)
    request = rf.get("/")
    request.user, request.session, request.now = ending, {}, now
    assert expiry_notice(request)
    want(ending, "expiring:sms")
    assert messages.history_for(ending.pk, now=now) == []
    assert messages.unread_for(ending.pk, now=now) == []
    assert expiry_notice(request) == {}
    want(ending, "expiring:sms", "expiring:site")
    assert len(messages.history_for(ending.pk, now=now)) == 1
    assert expiry_notice(request)


@pytest.mark.parametrize("kind", ["activated", "refund", "way_added", "delivered"])
def test_what_is_owed_cannot_be_switched_off(
    member: Member, inbox: Inbox, now: datetime, kind: str
) -> None:
    """Whatever row is there: a message that was not queued as optional goes out."""
    want(member)
    for channel in (Channel.SITE, Channel.SMS):
        OptOut.objects.get_or_create(
            member=member, kind=kind, channel=channel, defaults={"created_at": now}
        )
        messages.queue(
            Message(
                key=f"owed:{channel}",
                member_id=member.pk,
                kind=kind,
                channel=channel,
                due_at=now,
                params={"plan": "x", "price": 100, "way": "qq", "goods": "x"},
            ),
            now=now,
        )
    outbox.run_due(now=now)
    assert len(messages.history_for(member.pk, now=now)) == 1
    assert len(inbox.to(PHONE)) == 1


def test_the_notice_of_a_charge_is_owed(ending: Member, now: datetime) -> None:
    """E8: the second notice comes with the reminders and is still no mere reminder."""
    assert ending.paid_until is not None
    charge: dict[str, str | int] = {"end": now.isoformat(), "price": 1500, "link": "x"}
    for renewal, optional in ((charge, False), (None, True)):
        candidate = reminders.Candidate(
            ending.pk, PHONE, ending.paid_until, None, renewal, has_push=False
        )
        due = reminders._messages(candidate, reminders.Reminder(now), now)
        assert [one.optional for one in due] == [optional, optional]


def test_nothing_else_can_be_named(member: Member, now: datetime) -> None:
    want(member, "refund:sms", "code:sms", "x", "expiring:push", "expiring:sms")
    assert choices.switched_off(member.pk) == {
        ("expiring", "site"),
        ("delivered", "sms"),
    }


def test_the_page_says_what_is_on_and_what_always_comes(member: Member) -> None:
    client = Client()
    client.force_login(member)
    page = client.get(PAGE).text
    assert page.count(" checked") == 3
    for words in ("自动续费扣款前的预告", "退款", "换手机号", "不能关"):
        assert words in page
    want(member, "delivered:sms")
    page = client.get(PAGE).text
    assert page.count(" checked") == 1
    assert reverse("account-notifications") in client.get(reverse("account")).text


def test_a_stranger_is_sent_to_sign_in_and_a_look_changes_nothing(
    member: Member, client: Client
) -> None:
    assert client.get(PAGE).status_code == 302
    assert client.post(PAGE, {}).status_code == 302
    client.force_login(member)
    client.get(PAGE)
    assert not OptOut.objects.exists()


def test_what_either_account_switched_off_stays_off(
    member: Member, operator: Member, now: datetime
) -> None:
    """I12"""
    other = Member.objects.create_user("+8613900139001")
    choices.choose(member.pk, {("expiring", "site"), ("delivered", "sms")}, now=now)
    choices.choose(other.pk, {("expiring", "sms"), ("expiring", "site")}, now=now)
    merge(member.pk, into_id=other.pk, actor=operator, reason="同一人", now=now)
    assert choices.switched_off(other.pk) == {
        ("expiring", "sms"),
        ("delivered", "sms"),
    }
    assert choices.switched_off(member.pk) == set()


def test_her_choices_are_exported_and_go_with_her(
    member: Member, now: datetime
) -> None:
    """security 75"""
    choices.choose(member.pk, set(), now=now)
    exported = privacy.export(member)["opt_outs"]
    assert {(one["kind"], one["channel"]) for one in exported} == set(
        choices.all_choices()
    )
    privacy.erase(member.pk, now=now)
    assert not OptOut.objects.exists()
