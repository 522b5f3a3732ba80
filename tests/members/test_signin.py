from __future__ import annotations

import time
from datetime import datetime, timedelta

import pytest
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.http import HttpRequest
from django.test import RequestFactory

from members import tasks
from members.models import Member
from members.sign_in import signin
from tests.members.edge import OTHER_PHONE, PHONE, at_once

pytestmark = pytest.mark.django_db


def visit(session_key: str | None = None, user: Member | None = None) -> HttpRequest:
    request = RequestFactory().post("/login/")
    request.session = SessionStore(session_key)
    request.user = user or AnonymousUser()
    return request


def lifetime(session_key: str) -> timedelta:
    session = Session.objects.get(pk=session_key)
    return timedelta(seconds=SessionStore(session.session_key).get_expiry_age())


def test_a_new_phone_becomes_a_member_without_a_password(now: datetime) -> None:
    member = signin.sign_in(visit(), PHONE, now=now)
    assert member == Member.objects.get()
    assert (member.phone, member.username, member.created_at) == (PHONE, None, now)
    assert not member.has_usable_password()
    assert not member.is_staff


def test_a_known_phone_is_the_same_member(now: datetime) -> None:
    known = Member.objects.create_user(PHONE)
    assert signin.sign_in(visit(), PHONE, now=now) == known
    assert Member.objects.count() == 1


def test_the_session_key_changes_and_the_old_one_is_nobody(now: datetime) -> None:
    """security 23"""
    first = visit()
    planted = signin.ensure_session(first)
    request = visit(planted)
    request.session["last_choice"] = {"plan": "temporary-7"}
    member = signin.sign_in(request, PHONE, now=now)
    request.session.save()
    assert request.session.session_key not in (None, planted)
    assert request.session[SESSION_KEY] == str(member.pk)
    assert request.session["last_choice"] == {"plan": "temporary-7"}
    assert not Session.objects.filter(pk=planted).exists()


@pytest.mark.parametrize("phone", [PHONE, OTHER_PHONE])
def test_the_key_changes_for_who_was_signed_in_already(
    now: datetime, phone: str
) -> None:
    """security 23: and nothing of another account is carried over."""
    first = visit()
    member = signin.sign_in(first, PHONE, now=now)
    first.session["private"] = "of the first"
    first.session.save()
    again = visit(first.session.session_key, user=member)
    signin.sign_in(again, phone, now=now)
    assert again.session.session_key != first.session.session_key
    assert "private" not in again.session
    assert not Session.objects.filter(pk=first.session.session_key).exists()


def test_a_session_lasts_ninety_days_and_a_guests_one(now: datetime) -> None:
    request = visit()
    guest = signin.ensure_session(request)
    assert lifetime(guest) == timedelta(days=1)
    signin.sign_in(request, PHONE, now=now)
    request.session.save()
    assert request.session.session_key is not None
    assert lifetime(request.session.session_key) == timedelta(days=90)


@pytest.mark.parametrize("closed", [{"is_active": False}, {"is_staff": True}])
def test_it_refuses_closed_accounts_and_staff(
    now: datetime, closed: dict[str, bool]
) -> None:
    """A text message must not open the console (ASVS 6.3.4)."""
    Member.objects.create(phone=PHONE, username="someone", **closed)
    request = visit()
    with pytest.raises(signin.Refused):
        signin.sign_in(request, PHONE, now=now)
    assert SESSION_KEY not in request.session
    assert not Session.objects.exists()


def test_reading_the_key_makes_no_session() -> None:
    assert signin.session_key(visit()) == ""
    assert signin.session_key(visit("x" * 32)) == ""
    assert not Session.objects.exists()


def test_a_made_up_cookie_is_replaced() -> None:
    """security 23"""
    key = signin.ensure_session(visit("x" * 32))
    assert key != "x" * 32
    assert [each.pk for each in Session.objects.all()] == [key]


def test_a_session_is_made_once() -> None:
    request = visit()
    assert signin.ensure_session(request) == signin.ensure_session(request)
    assert Session.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_new_phone_twice_at_once_is_one_member(now: datetime) -> None:
    """G11, K25"""
    members = at_once(8, lambda _: signin.sign_in(visit(), PHONE, now=now))
    assert {m.pk for m in members if isinstance(m, Member)} == {Member.objects.get().pk}
    assert len(members) == 8
    assert not [m for m in members if isinstance(m, Exception)]


@pytest.mark.django_db(transaction=True)
def test_control_a_naive_sign_up_fails_for_all_but_one(
    now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read, decide, write: the unique phone (K25) is what stops a second member."""

    def naive(phone: str, *, now: datetime) -> Member:
        known = Member.objects.filter(phone=phone).first()
        time.sleep(0.2)
        return known or Member.objects.create(phone=phone)

    monkeypatch.setattr(signin, "_member", naive)
    members = at_once(8, lambda _: signin.sign_in(visit(), PHONE, now=now))
    assert Member.objects.count() == 1
    assert [each for each in members if isinstance(each, Exception)]


def test_ended_sessions_are_cleared() -> None:
    session = SessionStore()
    session.set_expiry(-1)
    session.create()
    living = signin.ensure_session(visit())
    tasks.clear_sessions_task()
    assert [each.pk for each in Session.objects.all()] == [living]
