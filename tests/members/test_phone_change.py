"""``/account/phone/``: another number for an account."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from members.identity import binding
from members.identity.contract import Person
from members.models import Member, OneTimeCode, Provider, Purpose
from members.sign_in import phone_change, recycled
from notifications import messages
from tests.members.edge import OTHER_PHONE, PHONE, Inbox, at_once

pytestmark = pytest.mark.django_db

WECHAT = Person(Provider.WECHAT, "wx1", "openid-a", "union-a", "小明")


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


@pytest.mark.parametrize(("short_of_it", "status"), [(0, 303), (1, 409)])
def test_a_number_that_its_account_has_long_not_used_changes_over(
    hers: Client, inbox: Inbox, short_of_it: int, status: int
) -> None:
    """security 21, I13: after half a year, to the second, it may be hers by now. The other
    account keeps its rights without a phone, and reads that the number has gone."""
    half_a_year_ago = timezone.now() - recycled.UNUSED + timedelta(days=short_of_it)
    other = Member.objects.create(
        phone=OTHER_PHONE, created_at=half_a_year_ago, phone_proved_at=half_a_year_ago
    )
    identity = binding.bind(other.pk, WECHAT, now=half_a_year_ago)
    ask(hers)
    done = enter(hers, inbox.code(OTHER_PHONE))
    assert done.status_code == status
    other.refresh_from_db()
    her = Member.objects.exclude(pk=other.pk).get()
    told = [one.kind for one in messages.history_for(other.pk, now=timezone.now())]
    if status == 409:
        assert (other.phone, her.phone) == (OTHER_PHONE, PHONE)
        assert "phone_left" not in told
        return
    assert (other.phone, her.phone) == (None, OTHER_PHONE)
    assert (other.is_active, identity.member_id) == (True, other.pk)
    assert "phone_left" in told
    assert "请联系客服合在一起" in hers.get(done["Location"]).text
    assert not her.identities.exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_who_want_the_same_unused_number_one_gets_it(
    now: datetime, asleep: None
) -> None:
    """security 21, I13"""
    long_ago = now - recycled.UNUSED
    old = Member.objects.create(phone=OTHER_PHONE, created_at=long_ago)
    two = [Member.objects.create(created_at=now) for _ in range(2)]
    ends = at_once(2, lambda n: phone_change.change(two[n].pk, OTHER_PHONE, now=now).pk)
    taken = [end for end in ends if isinstance(end, phone_change.Taken)]
    assert len(taken) == 1
    assert Member.objects.get(phone=OTHER_PHONE) in two
    old.refresh_from_db()
    assert old.phone is None


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
