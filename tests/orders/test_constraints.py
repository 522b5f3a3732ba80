"""K1 to K7 on orders: what the database refuses, whatever the code does."""

from __future__ import annotations

from typing import Any

import pytest

from members.models import Member
from orders.models import Order
from tests.constraints import allows, refuses
from tests.goods.shelves import make_goods
from tests.shopping import WECHAT, Till, fresh


@pytest.fixture
def order(book: Till, member: Member) -> Order:
    return book.place(member, way=WECHAT)


@pytest.fixture
def paid(book: Till, order: Order) -> Order:
    book.hear(order.attempts.get())
    return fresh(order)


def change(order: Order, **values: Any) -> Any:
    return lambda: Order.objects.filter(pk=order.pk).update(**values)


@pytest.mark.parametrize("field", ["no", "client_token", "renewal_key"])
def test_k1_k2_k6_numbers_tokens_and_renewals_are_used_once(
    book: Till, member: Member, order: Order, field: str
):
    Order.objects.filter(pk=order.pk).update(renewal_key="1:2026-11-29")
    order = fresh(order)
    other = book.place(member)
    refuses(change(other, **{field: getattr(order, field)}))
    allows(change(other, **{field: "something-else"}))


@pytest.mark.parametrize(
    "values", [{"status": "refunded"}, {"status": ""}, {"fulfil": "maybe"}], ids=str
)
def test_k3_it_knows_its_states(order: Order, values: dict[str, str]):
    refuses(change(order, **values))


@pytest.mark.parametrize(
    "values",
    [
        {"status": "expired"},
        {"status": "cancelled"},
        {"status": "pending"},
        {"settled_by": None},
        {"paid_at": None},
        {"status": "expired", "paid_at": None},
        {"status": "expired", "settled_by": None},
    ],
    ids=str,
)
def test_k4_a_paid_order_keeps_its_money(paid: Order, values: dict[str, Any]):
    """A13, G3 and G4: an unlocked "expire" or "cancel" cannot commit."""
    refuses(change(paid, **values))


def test_k4_no_order_is_paid_without_money(book: Till, order: Order):
    attempt = order.attempts.get()
    refuses(change(order, status="paid"))
    refuses(change(order, status="paid", paid_at=book.now))
    refuses(change(order, status="paid", settled_by=attempt))
    refuses(change(order, settled_by=attempt, paid_at=book.now))
    allows(change(order, status="paid", settled_by=attempt, paid_at=book.now))


def test_k5_one_attempt_settles_one_order(book: Till, member: Member, paid: Order):
    other = book.place(member)
    money = {"status": "paid", "paid_at": book.now}
    refuses(change(other, settled_by=paid.settled_by, **money))


@pytest.mark.parametrize(
    "values",
    [
        {"amount_fen": 0},
        {"amount_fen": -1},
        {"currency": "USD"},
        {"seconds": 0},
        {"quantity": 0},
        {"plan": None},
        {"kind": "gift"},
    ],
    ids=str,
)
def test_k7_an_order_costs_something_and_gives_time(
    order: Order, values: dict[str, Any]
):
    goods = make_goods()
    refuses(change(order, **values))
    allows(change(order, kind="goods", seconds=0, plan=None, goods=goods))


def test_an_order_is_of_goods_or_of_a_plan(order: Order):
    goods = make_goods()
    refuses(change(order, kind="goods", seconds=0, plan=None))
    refuses(change(order, kind="goods", goods=goods))
    refuses(change(order, goods=goods))
    refuses(change(order, priority=1))
