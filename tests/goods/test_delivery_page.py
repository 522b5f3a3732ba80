"""/delivery/<no>/: the owner's keys, masked and shown; nothing for anybody else."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest
from django.test import Client

from goods.models import CardKey, Goods
from members import links
from members.models import Member
from notifications.models import Notification, Outbox
from orders import delivery
from orders.models import Order, OrderEvent
from payments.refunding import shortage
from tests.goods.shelves import empty, make_goods, make_member, restock, short
from tests.shopping import Shopper, Till, new_member

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def secret(book: Till, card: Goods) -> str:
    empty(card)
    return restock(card, 1)[0]


@pytest.fixture
def order(book: Till, member: Member, card: Goods, secret: str) -> Order:
    Goods.objects.update(instructions="到官网兑换")
    card.refresh_from_db()
    return book.buy_goods(member, card)


@pytest.fixture
def owner(book: Till, member: Member) -> Shopper:
    return Shopper(book, member)


def pages_of(order: Order) -> list[str]:
    return [
        f"/delivery/{order.no}/",
        f"/orders/{order.no}/",
        f"/orders/{order.no}/pay/",
        f"/orders/{order.no}/status/",
        "/account/",
        "/account/orders/",
    ]


def test_keys_are_masked_until_she_asks(owner: Shopper, order: Order, secret: str):
    """security 53: in no page until a POST, and that one is written down, no-store."""
    for path in pages_of(order):
        assert secret not in owner.get(path).text
    assert not OrderEvent.objects.filter(kind=delivery.REVEALED).exists()
    answer = owner.post(f"/delivery/{order.no}/keys/", n="1")
    assert answer.status_code == 200
    assert secret in answer.text
    assert "no-store" in answer["Cache-Control"]
    assert OrderEvent.objects.filter(order=order, kind=delivery.REVEALED).count() == 1
    page = owner.get(f"/delivery/{order.no}/").text
    assert secret not in page
    assert "看过" in page
    assert "到官网兑换" in page


def test_script_gets_the_fragment_alone(owner: Shopper, order: Order, secret: str):
    with owner.till.stopped_clock():
        answer = owner.client.post(
            f"/delivery/{order.no}/keys/", {"n": "1"}, headers={"HX-Request": "true"}
        )
    assert secret in answer.text
    assert "<html" not in answer.text
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.parametrize("n", ["0", "2", "-1", "", "x", "1.0", "999", "１"])
def test_a_number_that_is_none_shows_nothing(owner: Shopper, order: Order, n: str):
    assert owner.post(f"/delivery/{order.no}/keys/", n=n).status_code == 404
    assert not OrderEvent.objects.filter(kind=delivery.REVEALED).exists()


def test_a_get_reveals_nothing(owner: Shopper, order: Order):
    assert owner.get(f"/delivery/{order.no}/keys/?n=1").status_code == 405


def test_nobody_else_finds_it(book: Till, order: Order, secret: str):
    """security 51, 52: 404 for a stranger and a visitor, also by a guessed number."""
    other = order.no[:-1] + ("0" if order.no[-1] != "0" else "1")
    for caller in (Shopper(book), Shopper(book, new_member())):
        for no in (order.no, other):
            assert caller.get(f"/delivery/{no}/").status_code == 404
            assert caller.post(f"/delivery/{no}/keys/", n="1").status_code == 404
    assert CardKey.objects.filter(revealed_at__isnull=False).count() == 0


def test_no_address_holds_a_row_number(owner: Shopper, order: Order):
    """security 51: orders by their number, keys by their place in the order."""
    page = owner.get(f"/delivery/{order.no}/").text
    shown = re.findall(r'(?:value|href|action|id)="([^"]*)"', page)
    key = order.keys.get()
    assert str(key.digest) not in page
    assert not {f"/delivery/{order.pk}/", f"/keys/{key.pk}/"} & set(shown)


def test_a_signed_link_shows_the_status_and_no_key(
    book: Till, order: Order, secret: str
):
    """security 54: nor does it open the page of the keys."""
    token = links.token(links.ORDER, order.pk)
    guest = Shopper(book)
    for path in (f"/orders/{order.no}/", f"/orders/{order.no}/pay/"):
        page = guest.get(f"{path}?token={token}")
        assert page.status_code == 200
        assert secret not in page.text
        assert "显示卡密" not in page.text
        assert "到官网兑换" not in page.text
    assert guest.get(f"/delivery/{order.no}/?token={token}").status_code == 404
    answer = guest.post(f"/delivery/{order.no}/keys/?token={token}", n="1")
    assert answer.status_code == 404


def test_a_key_leaves_no_trace_but_on_the_page(
    owner: Shopper, order: Order, secret: str, caplog: pytest.LogCaptureFixture
):
    """security 74: no log line, message, outbox row, event or session holds it."""
    caplog.set_level(logging.DEBUG)
    owner.post(f"/delivery/{order.no}/keys/", n="1")
    kept: list[Any] = [
        *Notification.objects.values_list(),
        *Outbox.objects.values_list(),
        *OrderEvent.objects.values_list(),
        dict(owner.client.session.items()),
        caplog.text,
    ]
    assert secret not in str(kept)


def test_the_page_after_paying_has_the_keys(owner: Shopper, order: Order, secret: str):
    """Item 6: masked on the page on which the wallet returned, one tap from seen."""
    page = owner.get(f"/orders/{order.no}/pay/").text
    assert "卡密到了" in page
    assert f'action="/delivery/{order.no}/keys/"' in page


def test_membership_orders_have_no_delivery(book: Till, owner: Shopper, member: Member):
    attempt = book.bill(member)
    book.hear(attempt)
    assert owner.get(f"/delivery/{attempt.order.no}/").status_code == 404


def test_an_unpaid_order_leads_to_the_pay_page(
    book: Till, owner: Shopper, member: Member, card: Goods
):
    order = book.bill_goods(member, card).order
    assert f'href="/orders/{order.no}/pay/"' in owner.get(f"/delivery/{order.no}/").text


# --- The place in the line ---------------------------------------------------------


def poll(shopper: Shopper, order: Order, seen: str) -> Any:
    with shopper.till.stopped_clock():
        return shopper.client.get(
            f"/delivery/{order.no}/?seen={seen}", headers={"HX-Request": "true"}
        )


def test_the_place_is_true_and_moves(book: Till, owner: Shopper, member: Member):
    """D23: two are ahead, then one; 204 while nothing moves; the time of the refund."""
    goods = make_goods()
    for _ in range(2):
        short(book, new_member(), goods)
        book.wait(minutes=1)
    order = short(book, member, goods)
    page = owner.get(f"/delivery/{order.no}/").text
    assert "前面还有 2 单" in page
    assert "自动全额退款" in page
    assert "抱歉" not in page
    assert poll(owner, order, "short:2").status_code == 204
    restock(goods, 1)
    delivery.serve(goods.pk, now=book.now)
    assert "前面还有 1 单" in poll(owner, order, "short:2").text
    make_member(book, vip := new_member())
    short(book, vip, goods)
    assert "前面还有 2 单" in poll(owner, order, "short:1").text
    book.wait(minutes=6)
    assert "让你久等了，抱歉" in owner.get(f"/delivery/{order.no}/").text
    restock(goods, 3)
    delivery.serve(goods.pk, now=book.now)
    assert "显示卡密" in poll(owner, order, "short:2").text


def test_after_the_refund_it_says_so(book: Till, owner: Shopper, member: Member):
    """D24."""
    order = short(book, member, make_goods())
    book.wait(hours=24)
    shortage.refund_short(now=book.now)
    for path in (f"/delivery/{order.no}/", f"/orders/{order.no}/pay/"):
        page = owner.get(path).text
        assert "¥100.00 原路退回" in page
        assert "付了两次" not in page
    assert "一直没等到货" in owner.get("/account/").text


def test_a_forged_form_reveals_nothing(book: Till, member: Member, order: Order):
    strict = Client(enforce_csrf_checks=True)
    with book.stopped_clock():
        strict.force_login(member)
        answer = strict.post(f"/delivery/{order.no}/keys/", {"n": "1"})
    assert answer.status_code == 403
    assert not OrderEvent.objects.filter(kind=delivery.REVEALED).exists()
