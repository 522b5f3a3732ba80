"""``/account/phone/``: another number for an account."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from members import phone_change
from members.models import Member, OneTimeCode, Purpose
from tests.members.edge import OTHER_PHONE, PHONE, Inbox

pytestmark = pytest.mark.django_db


@pytest.fixture
def hers(client: Client, inbox: Inbox) -> Client:
    """Signed in by a code to the old number a moment ago."""
    client.post(reverse("login-code"), {"phone": PHONE})
    client.post(reverse("login"), {"phone": PHONE, "code": inbox.code()})
    return client


def ask(client: Client, phone: str = OTHER_PHONE) -> Any:
    return client.post(reverse("account-phone-code"), {"phone": phone})


def enter(client: Client, code: str, phone: str = OTHER_PHONE) -> Any:
    return client.post(reverse("account-phone"), {"phone": phone, "code": code})


def test_both_numbers_are_proved(hers: Client, inbox: Inbox) -> None:
    """I13, security 24: other devices are out, this one stays, the old number is free."""
    member = Member.objects.get()
    elsewhere = Client()
    elsewhere.force_login(member)
    assert ask(hers).status_code == 200
    assert "用于换手机号。" in inbox.to(OTHER_PHONE)[0]
    done = enter(hers, inbox.code(OTHER_PHONE))
    assert (done.status_code, done["Location"]) == (303, "/account/identities/")
    member.refresh_from_db()
    assert member.phone == OTHER_PHONE
    assert hers.get(reverse("account")).status_code == 200
    assert elsewhere.get(reverse("account")).status_code == 302
    assert not Member.objects.filter(phone=PHONE).exists()


def test_a_passkey_or_an_old_session_does_not_prove_the_old_number(
    hers: Client, inbox: Inbox
) -> None:
    """I13, security 30"""
    session = hers.session
    del session["proved_phone_at"]
    session.save()
    for answer in (hers.get(reverse("account-phone")), ask(hers), enter(hers, "1")):
        assert answer["Location"].startswith(reverse("account-confirm"))
    with time_machine.travel(timezone.now() + timedelta(minutes=6)):
        assert ask(hers).status_code == 403
    assert Member.objects.get().phone == PHONE
    assert not inbox.to(OTHER_PHONE)


def test_a_wrong_code_to_the_new_number_changes_nothing(
    hers: Client, inbox: Inbox
) -> None:
    """I13"""
    ask(hers)
    assert enter(hers, inbox.wrong_code(OTHER_PHONE)).status_code == 422
    assert Member.objects.get().phone == PHONE


@pytest.mark.parametrize("purpose", [Purpose.LOGIN, Purpose.CONFIRM, Purpose.LOOKUP])
def test_a_code_for_something_else_changes_nothing(
    hers: Client, inbox: Inbox, purpose: Purpose
) -> None:
    """security 7"""
    ask(hers)
    OneTimeCode.objects.filter(phone=OTHER_PHONE).update(purpose=purpose)
    assert enter(hers, inbox.code(OTHER_PHONE)).status_code == 422
    assert Member.objects.get().phone == PHONE


def test_a_number_with_an_account_is_refused(hers: Client, inbox: Inbox) -> None:
    """security 27: nothing is joined, nobody loses anything."""
    other = Member.objects.create_user(OTHER_PHONE)
    ask(hers)
    answer = enter(hers, inbox.code(OTHER_PHONE))
    assert answer.status_code == 409
    assert "已经有自己的账号" in answer.text
    other.refresh_from_db()
    assert other.phone == OTHER_PHONE
    assert Member.objects.filter(phone=PHONE).exists()


def test_an_account_without_a_phone_gets_one(inbox: Inbox) -> None:
    client = Client()
    client.force_login(Member.objects.create())
    session = client.session
    session["proved_at"] = timezone.now().timestamp()
    session.save()
    ask(client)
    assert enter(client, inbox.code(OTHER_PHONE)).status_code == 303
    assert Member.objects.get().phone == OTHER_PHONE


def test_a_repeat_with_her_own_number_is_harmless(
    member: Member, now: datetime
) -> None:
    assert member.phone is not None
    changed = phone_change.change(member.pk, member.phone, now=now)
    assert changed.phone == member.phone
