"""``/lookup/``: a guest finds the orders of a phone."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from members.models import Member, OneTimeCode, Purpose
from orders.models import Order
from tests.members.conftest import inbox
from tests.members.edge import OTHER_PHONE, PHONE, Inbox
from tests.rows import changed, fingerprint
from tests.shopping import Till

__all__ = ["inbox"]

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true", "HX-Target": "phone"}


@pytest.fixture
def hers(book: Till) -> Order:
    return book.place(Member.objects.create_user(PHONE))


def ask(client: Client, phone: str = PHONE, **more: Any) -> Any:
    return client.post(reverse("lookup-code"), {"phone": phone}, **more)


def enter(client: Client, code: str, phone: str = PHONE) -> Any:
    return client.post(reverse("lookup"), {"phone": phone, "code": code})


def constant(answer: Any) -> tuple[int, dict[str, str], str]:
    headers = {
        name: value for name, value in answer.headers.items() if name != "X-Request-Id"
    }
    return answer.status_code, headers, answer.text


def test_phone_and_code_lead_to_the_list(
    client: Client, inbox: Inbox, hers: Order, book: Till
) -> None:
    """security 53"""
    page = client.get(reverse("lookup"))
    assert page.status_code == 200
    assert 'name="code"' not in page.text
    sent = ask(client)
    assert sent.status_code == 200
    assert 'name="code"' in sent.text
    assert hers.no not in sent.text
    done = enter(client, inbox.code())
    assert (done.status_code, done["Location"]) == (303, "/lookup/orders/")
    found = client.get(done["Location"])
    assert [row["no"] for row in found.context["orders"]] == [hers.no]
    assert found["Cache-Control"] == "private, no-store"
    assert PHONE.removeprefix("+86") not in found.text
    assert client.get(reverse("order", args=[hers.no])).status_code == 200


def test_found_and_not_found_answer_alike(inbox: Inbox, hers: Order) -> None:
    """security 20, 53: until the list itself nothing differs, and no account is made."""
    answers = []
    for phone in (PHONE, OTHER_PHONE):
        client = Client()
        sent, done = ask(client, phone), enter(client, inbox.code(phone), phone)
        assert sent.context["phone_state"] == "sent"
        answers.append((sent.status_code, constant(done)))
    assert answers[0] == answers[1]
    none = client.get(reverse("lookup-orders"))
    assert none.status_code == 200
    assert "这个手机号没有订单" in none.text
    assert hers.no not in none.text
    assert not Member.objects.filter(phone=OTHER_PHONE).exists()


@pytest.mark.parametrize("phone", [PHONE, OTHER_PHONE])
def test_a_wrong_code_opens_nothing(inbox: Inbox, hers: Order, phone: str) -> None:
    """security 53: the same words whether there are orders or not; nothing moves."""
    client = Client()
    ask(client, phone)
    before = fingerprint()
    page = enter(client, inbox.wrong_code(phone), phone)
    assert page.status_code == 422
    assert "验证码不对，还能试 4 次" in page.text
    assert hers.no not in page.text
    assert set(changed(before)) <= {"members_onetimecode", "members_hitlog"}
    assert client.get(reverse("lookup-orders"))["Location"] == reverse("lookup")
    assert client.get(reverse("order", args=[hers.no])).status_code == 404


def test_found_and_not_found_cost_the_same_work(inbox: Inbox, hers: Order) -> None:
    """security 20, 51, 53: sending, and judging a wrong code, ask the database the same
    questions, so that no clock tells who has bought here."""
    asked: list[list[str]] = []
    Client().get(reverse("lookup"))  # what the process keeps is read
    for phone in (PHONE, OTHER_PHONE):
        client = Client()
        with CaptureQueriesContext(connection) as sending:
            ask(client, phone)
        with CaptureQueriesContext(connection) as judging:
            enter(client, inbox.wrong_code(phone), phone)
        asked.append([shape(each["sql"]) for each in (*sending, *judging)])
    assert asked[0] == asked[1]
    assert len(asked[0]) > 5


def shape(sql: str) -> str:
    """A statement without its values and the names of savepoints."""
    return re.sub(r"""'[^']*'|"s\d+_x\d+"|\b\d+\b""", "?", sql)


@pytest.mark.parametrize("purpose", [Purpose.LOGIN, Purpose.CHECKOUT, Purpose.CONFIRM])
def test_a_code_for_something_else_opens_nothing(
    client: Client, inbox: Inbox, hers: Order, purpose: Purpose
) -> None:
    """security 7"""
    ask(client)
    OneTimeCode.objects.update(purpose=purpose)
    assert enter(client, inbox.code()).status_code == 422


def test_a_code_to_look_up_confirms_no_dangerous_act(
    client: Client, inbox: Inbox, hers: Order
) -> None:
    """security 7, 30: the session proves nothing beyond."""
    ask(client)
    enter(client, inbox.code())
    assert client.session.get("proved_at") is None


def test_what_it_opened_closes_after_half_an_hour(
    client: Client, inbox: Inbox, hers: Order
) -> None:
    """security 53: the telephone is often not hers."""
    with time_machine.travel("2026-11-22T02:00:00Z", tick=False) as clock:
        ask(client)
        enter(client, inbox.code())
        clock.shift(timedelta(minutes=29))
        assert client.get(reverse("lookup-orders")).status_code == 200
        clock.shift(timedelta(minutes=2))
        assert client.get(reverse("lookup-orders"))["Location"] == reverse("lookup")
        assert client.get(reverse("order", args=[hers.no])).status_code == 404


def test_the_session_gets_a_new_key(client: Client, inbox: Inbox, hers: Order) -> None:
    """security 23"""
    ask(client)
    before = client.session.session_key
    enter(client, inbox.code())
    assert client.session.session_key != before


@pytest.mark.parametrize("closed", [{"is_active": False}, {"is_staff": True}])
def test_a_closed_account_shows_nothing(
    client: Client, inbox: Inbox, hers: Order, closed: dict[str, bool]
) -> None:
    Member.objects.update(username="kefu", **closed)
    ask(client)
    done = enter(client, inbox.code())
    assert done["Location"] == reverse("lookup-orders")
    assert "这个手机号没有订单" in client.get(done["Location"]).text
    assert "_auth_user_id" not in client.session


def test_a_member_goes_straight_to_her_list(hers: Order, inbox: Inbox) -> None:
    client = Client()
    client.force_login(hers.member)
    for answer in (client.get(reverse("lookup")), ask(client), enter(client, "123456")):
        assert (answer.status_code, answer["Location"]) == (303, "/lookup/orders/")
    assert not inbox.messages


def test_nobodys_orders_are_shown_to_a_passer_by(client: Client, hers: Order) -> None:
    """security 52"""
    assert client.get(reverse("lookup-orders"))["Location"] == reverse("lookup")


def test_after_signing_out_the_list_is_gone(
    client: Client, inbox: Inbox, hers: Order
) -> None:
    """security 24, 56"""
    ask(client)
    enter(client, inbox.code())
    out = client.post(reverse("logout"), {"next": reverse("lookup")})
    assert out["Location"] == reverse("lookup")
    assert client.get(reverse("lookup-orders"))["Location"] == reverse("lookup")


def test_too_many_tries_say_when_to_come_back(client: Client, inbox: Inbox) -> None:
    """security 1"""
    ask(client)
    again = ask(client)
    assert again.status_code == 429
    assert int(again["Retry-After"]) > 0


def test_htmx_gets_the_fragment_alone(client: Client, inbox: Inbox) -> None:
    fragment = ask(client, headers=HTMX)
    assert fragment.text.strip().startswith("<div")
    assert "<html" not in fragment.text


@pytest.mark.parametrize("phone", ["", "12345", "+85291234567", "1" * 10_000])
def test_a_bad_phone_gets_words(client: Client, inbox: Inbox, phone: str) -> None:
    """security 15, 17"""
    for answer in (ask(client, phone), enter(client, "123456", phone)):
        assert answer.status_code == 422
        assert "手机号要 11 位" in answer.text
    assert not inbox.messages


def test_the_list_offers_the_rest_and_shows_no_number_of_the_wallet(
    client: Client, inbox: Inbox, book: Till
) -> None:
    """security 53: twenty rows; the link to the rest needs no new code."""
    owner = Member.objects.create_user(PHONE)
    for _ in range(21):
        Order.objects.filter(pk=book.place(owner).pk).update(status="cancelled")
    ask(client)
    enter(client, inbox.code())
    page = client.get(reverse("lookup-orders"))
    assert len(page.context["orders"]) == 20
    assert reverse("account-orders") in page.text


def test_the_footer_leads_here(client: Client, shop: None) -> None:
    assert f'href="{reverse("lookup")}"' in client.get("/").text
