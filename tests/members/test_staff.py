from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import authenticate, get_user, login
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest
from django.test import RequestFactory
from pytest_django import Settings

from members import staff
from members.forms import StaffAuthenticationForm
from members.models import HitLog, Member
from members.sign_in import signin
from tests.members.edge import PHONE, at_once

PASSWORD = "correct horse battery staple"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quick_hash(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def operator(db: None) -> Member:
    return Member.objects.create_staff("lin", PASSWORD)


def post(now: datetime, ip: str = "203.0.113.7", **headers: str) -> HttpRequest:
    request = RequestFactory().post("/console/login/", REMOTE_ADDR=ip, **headers)  # type: ignore[arg-type]
    request.now = now  # type: ignore[attr-defined]
    request.session = SessionStore()
    return request


def attempt(
    now: datetime, password: str, name: str = "lin", ip: str = "203.0.113.7"
) -> Member | None:
    return authenticate(post(now, ip), username=name, password=password)


def words(now: datetime, password: str, name: str = "lin") -> list[str]:
    data = {"username": name, "password": password}
    form = StaffAuthenticationForm(post(now), data=data)
    return [str(error) for error in form.non_field_errors()]


def minutes(now: datetime, count: float) -> datetime:
    return now + timedelta(minutes=count)


def test_staff_sign_in_by_name_and_password(now: datetime, operator: Member) -> None:
    assert attempt(now, PASSWORD) == operator
    assert attempt(now, "wrong") is None
    assert attempt(now, PASSWORD, "nobody") is None


@pytest.mark.parametrize("change", [{"is_staff": False}, {"is_active": False}])
def test_it_refuses_who_is_no_staff_any_more(
    now: datetime, operator: Member, change: dict[str, bool]
) -> None:
    Member.objects.filter(pk=operator.pk).update(**change)
    assert attempt(now, PASSWORD) is None


def test_a_shopper_has_no_password_to_guess(now: datetime) -> None:
    """security 66"""
    Member.objects.create_user(PHONE)
    for name in (PHONE, "", "None"):
        assert attempt(now, "", name) is None
        assert attempt(now, "!", name) is None


def test_the_fifth_failure_locks_and_each_further_one_doubles(
    now: datetime, operator: Member
) -> None:
    """security 66"""
    at = now
    for _ in range(5):
        assert attempt(at, "wrong") is None
    for wait in (1, 2, 4, 8, 16, 32, 60, 60, 60):
        assert staff.locked_until(None, "lin", now=at) == minutes(at, wait)
        assert attempt(minutes(at, wait - 0.1), PASSWORD, ip="198.51.100.1") is None
        at = minutes(at, wait)
        assert staff.locked_until(None, "lin", now=at) is None
        assert attempt(at, "wrong", ip=f"198.51.{wait}.1") is None
    assert attempt(minutes(at, 60), PASSWORD, ip="198.51.100.9") == operator


def test_a_try_while_locked_counts_nothing(now: datetime, operator: Member) -> None:
    for _ in range(50):
        attempt(now, "wrong")
    assert staff.locked_until(None, "lin", now=now) == minutes(now, 1)
    assert attempt(minutes(now, 1), PASSWORD) == operator


def test_a_right_password_starts_afresh(now: datetime, operator: Member) -> None:
    for _ in range(3):
        for _ in range(4):
            attempt(now, "wrong", ip="198.51.100.1")
        assert attempt(now, PASSWORD) == operator
        now = minutes(now, 120)


def test_an_address_is_locked_over_all_names(now: datetime, operator: Member) -> None:
    """security 66: one wrong password each for many names."""
    for number in range(5):
        attempt(now, "wrong", f"name-{number}")
    assert attempt(now, PASSWORD) is None
    assert attempt(now, PASSWORD, ip="198.51.100.1") == operator
    assert attempt(minutes(now, 1), PASSWORD) == operator


def test_signing_in_often_does_not_lock_an_address(
    now: datetime, operator: Member
) -> None:
    for _ in range(20):
        assert attempt(now, PASSWORD) == operator


def test_an_account_of_ones_own_buys_no_guesses(
    now: datetime, operator: Member
) -> None:
    Member.objects.create_staff("mallory", "her own password")
    for number in range(4):
        attempt(now, "wrong", f"name-{number}")
        assert attempt(now, "her own password", "mallory") is not None
    attempt(now, "wrong", "name-5")
    assert attempt(now, "her own password", "mallory") is None


def test_a_forged_header_does_not_unlock(now: datetime, operator: Member) -> None:
    """security 18, 66"""
    for number in range(5):
        request = post(now, HTTP_X_FORWARDED_FOR=f"198.51.100.{number}")
        authenticate(request, username=f"name-{number}", password="wrong")
    request = post(now, HTTP_X_FORWARDED_FOR="198.51.100.9")
    assert authenticate(request, username="lin", password=PASSWORD) is None


def test_locking_rings(
    now: datetime, operator: Member, caplog: pytest.LogCaptureFixture
) -> None:
    """security 66"""
    for _ in range(9):
        attempt(now, "wrong")
    alarms = [r.message for r in caplog.records if r.levelname == "ERROR"]
    assert sorted(line.partition(":")[0] for line in alarms) == [
        "console log-in locked",
        "console log-in locked",
    ]
    assert "lin" not in " ".join(line.partition(": ")[2] for line in alarms)


def test_unknown_names_cost_one_hash_too(
    now: datetime,
    operator: Member,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """security 86"""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"]
    Member.objects.create_user(PHONE)
    operator.set_password(PASSWORD)
    operator.save()
    counted: list[str] = []
    encode = PBKDF2PasswordHasher.encode

    def counting(*args: Any, **kwargs: Any) -> str:
        counted.append("hash")
        return encode(*args, **kwargs)

    monkeypatch.setattr(PBKDF2PasswordHasher, "encode", counting)
    for name in ("lin", "nobody"):
        counted.clear()
        assert attempt(now, "wrong", name) is None
        assert counted == ["hash"]


def test_the_form_says_when_to_come_back(now: datetime, operator: Member) -> None:
    """security 66: the same words for names that exist and names that do not."""
    for name in ("lin", "nobody"):
        ip_is_free_again = minutes(now, 90)
        for _ in range(4):
            assert words(ip_is_free_again, "wrong", name) == ["账号或密码不对"]
        assert words(ip_is_free_again, "wrong", name) == ["试得太多了，1 分钟后再来"]
        assert words(ip_is_free_again, PASSWORD, name) == ["试得太多了，1 分钟后再来"]
        now = ip_is_free_again
    assert words(minutes(now, 90), PASSWORD) == []


def test_staff_stay_for_a_working_day_and_shoppers_for_ninety_days(
    now: datetime, operator: Member
) -> None:
    request = post(now)
    login(request, authenticate(request, username="lin", password=PASSWORD))
    assert request.session.get_expiry_age() == 12 * 3_600


def test_the_backend_loads_a_shopper_by_her_session(now: datetime) -> None:
    request = post(now)
    request.user = get_user(request)
    member = signin.sign_in(request, PHONE, now=now)
    again = post(now)
    again.session = SessionStore(request.session.session_key)
    request.session.save()
    assert get_user(again) == member
    Member.objects.filter(pk=member.pk).update(is_active=False)
    assert get_user(again).is_anonymous


@pytest.mark.django_db(transaction=True)
def test_many_guesses_at_once_get_five(now: datetime) -> None:
    """security 66"""
    Member.objects.create_staff("lin", PASSWORD)
    at_once(12, lambda n: attempt(now, f"guess {n}", ip=f"198.51.{n}.1"))
    log = HitLog.objects.get(key__startswith="staff-name:")
    assert log.count(staff.NAME, now=now) == 5
