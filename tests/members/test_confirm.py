"""``/account/confirm/``: showing once more that it is you."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.test import Client
from django.urls import path, reverse

from kameng.http import MemberRequest
from kameng.urls import urlpatterns as shop_urls
from members.models import Member, OneTimeCode, Purpose
from members.sign_in import confirm
from tests.members.edge import OTHER_PHONE, PHONE, Inbox

done: list[str] = []


@login_required
@confirm.required(back="account")
def dangerous(request: MemberRequest) -> HttpResponse:
    done.append(request.method or "")
    return HttpResponse("done")


urlpatterns = [*shop_urls, path("dangerous/", dangerous, name="dangerous")]
pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]


@pytest.fixture(autouse=True)
def nothing_done() -> None:
    done.clear()


@pytest.fixture
def hers() -> Client:
    """A session of a day ago."""
    client = Client()
    client.force_login(Member.objects.create_user(PHONE))
    return client


def ask(client: Client, **more: Any) -> Any:
    return client.post(reverse("account-confirm-code"), **more)


def enter(client: Client, code: str, **more: str) -> Any:
    return client.post(reverse("account-confirm"), {"code": code, **more})


def test_a_dangerous_form_is_refused_until_she_has_confirmed(
    hers: Client, inbox: Inbox
) -> None:
    """security 30"""
    page = hers.post("/dangerous/")
    assert page.status_code == 403
    assert "确认是你本人" in page.text
    assert f'name="next" value="{reverse("account")}"' in page.text
    assert not done
    ask(hers)
    assert enter(hers, inbox.code(), next="/account/").status_code == 303
    assert hers.post("/dangerous/").status_code == 200
    assert done == ["POST"]


def test_a_dangerous_page_comes_back_after_the_code(hers: Client, inbox: Inbox) -> None:
    asked = hers.get("/dangerous/?which=1")
    assert asked.status_code == 303
    assert asked["Location"] == (
        f"{reverse('account-confirm')}?next=%2Fdangerous%2F%3Fwhich%3D1"
    )
    page = hers.get(asked["Location"])
    assert 'name="next" value="/dangerous/?which=1"' in page.text
    ask(hers)
    back = enter(hers, inbox.code(), next="/dangerous/?which=1")
    assert back["Location"] == "/dangerous/?which=1"
    assert hers.get(back["Location"]).text == "done"


@pytest.mark.parametrize(("seconds", "status"), [(300, 200), (301, 403)])
def test_it_counts_for_five_minutes(
    hers: Client, inbox: Inbox, seconds: int, status: int
) -> None:
    """security 30: a fresh code, not older than five minutes."""
    with time_machine.travel("2026-11-22T02:00:00Z", tick=False) as clock:
        ask(hers)
        enter(hers, inbox.code())
        clock.shift(timedelta(seconds=seconds))
        assert hers.post("/dangerous/").status_code == status


def test_a_clock_that_went_back_confirms_nothing(hers: Client, inbox: Inbox) -> None:
    with time_machine.travel("2026-11-22T02:00:00Z", tick=False) as clock:
        ask(hers)
        enter(hers, inbox.code())
        clock.shift(timedelta(hours=-1))
        assert hers.post("/dangerous/").status_code == 403


def test_the_code_of_the_sign_in_counts_too(client: Client, inbox: Inbox) -> None:
    client.post(reverse("login-code"), {"phone": PHONE})
    client.post(reverse("login"), {"phone": PHONE, "code": inbox.code()})
    assert client.post("/dangerous/").status_code == 200


def test_what_was_shown_ends_with_the_session(client: Client, inbox: Inbox) -> None:
    client.post(reverse("login-code"), {"phone": PHONE})
    client.post(reverse("login"), {"phone": PHONE, "code": inbox.code()})
    client.post(reverse("logout"))
    client.force_login(Member.objects.get())
    assert client.post("/dangerous/").status_code == 403


def test_a_wrong_code_confirms_nothing(hers: Client, inbox: Inbox) -> None:
    """security 1"""
    ask(hers)
    page = enter(hers, inbox.wrong_code())
    assert page.status_code == 422
    assert "验证码不对，还能试 4 次" in page.text
    assert PHONE.removeprefix("+86") not in page.text
    assert hers.post("/dangerous/").status_code == 403


@pytest.mark.parametrize("purpose", [Purpose.LOGIN, Purpose.CHECKOUT])
def test_a_code_for_something_else_confirms_nothing(
    hers: Client, inbox: Inbox, purpose: Purpose
) -> None:
    """security 7"""
    ask(hers)
    OneTimeCode.objects.update(purpose=purpose)
    assert enter(hers, inbox.code()).status_code == 422
    assert hers.post("/dangerous/").status_code == 403


def test_a_code_to_confirm_signs_nobody_in(hers: Client, inbox: Inbox) -> None:
    """security 7"""
    ask(hers)
    stranger = Client()
    page = stranger.post(reverse("login"), {"phone": PHONE, "code": inbox.code()})
    assert page.status_code == 422
    assert "_auth_user_id" not in stranger.session


def test_the_code_goes_to_her_own_phone_whatever_is_posted(
    hers: Client, inbox: Inbox
) -> None:
    page = ask(hers, data={"phone": OTHER_PHONE})
    assert page.status_code == 200
    assert [message["to"] for message in inbox.messages] == [PHONE]
    assert "用于确认是你本人。" in inbox.to(PHONE)[0]
    assert "138••••8000" in page.text
    assert PHONE.removeprefix("+86") not in page.text


def test_htmx_gets_the_fragment_alone(hers: Client, inbox: Inbox) -> None:
    fragment = ask(hers, headers={"HX-Request": "true", "HX-Target": "phone"})
    assert fragment.text.strip().startswith("<div")
    assert 'name="code"' in fragment.text
    assert "<html" not in fragment.text


def test_without_a_phone_no_code_is_sent(inbox: Inbox) -> None:
    client = Client()
    client.force_login(Member.objects.create())
    for answer in (ask(client), enter(client, "123456")):
        assert answer.status_code == 422
        assert "还没有手机号" in answer.text
    assert not inbox.messages


@pytest.mark.parametrize("name", ["account-confirm", "account-confirm-code"])
def test_only_a_member_may_confirm(client: Client, inbox: Inbox, name: str) -> None:
    answer = client.post(reverse(name), {"code": "123456"})
    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("login"))
    assert not inbox.messages


@pytest.mark.parametrize("wish", ["//evil.example", "https://evil.example/", "/\\evil"])
def test_it_never_leads_away(hers: Client, inbox: Inbox, wish: str) -> None:
    """security 28"""
    ask(hers)
    assert enter(hers, inbox.code(), next=wish)["Location"] == reverse("account")
