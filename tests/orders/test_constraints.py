"""K1 to K7 on orders: what the database refuses, whatever the code does."""

from __future__ import annotations

from typing import Any

import pytest

from members.models import Member
from orders.models import Coupon, Order
from tests.constraints import allows, refuses
from tests.goods.shelves import make_goods
from tests.orders.codes import make_coupon
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


# --- Coupons -----------------------------------------------------------------------


def change_coupon(coupon: Coupon, **values: Any) -> Any:
    return lambda: Coupon.objects.filter(pk=coupon.pk).update(**values)


def test_inv_13_a_coupon_is_used_within_its_limit(book: Till):
    """INV-13, security 44: whatever the code does."""
    coupon = make_coupon(book, max_uses=3, used=3)
    refuses(change_coupon(coupon, used=4))
    refuses(change_coupon(coupon, used=-1))
    refuses(change_coupon(coupon, max_uses=2))
    allows(change_coupon(coupon, used=0))
    allows(change_coupon(coupon, max_uses=4, used=4))


@pytest.mark.parametrize(
    "values",
    [
        {"off_fen": None},
        {"off_fen": 0},
        {"off_fen": -500},
        {"off_bp": 1_000},
        {"off_fen": None, "off_bp": 0},
        {"off_fen": None, "off_bp": 10_001},
        {"scope": "everything"},
    ],
    ids=str,
)
def test_a_coupon_takes_one_thing_off(book: Till, values: dict[str, Any]):
    """security 44: no coupon adds to a price or takes more than all of it."""
    coupon = make_coupon(book)
    refuses(change_coupon(coupon, **values))
    allows(change_coupon(coupon, off_fen=None, off_bp=10_000))


def test_a_code_is_of_one_coupon_and_ends_after_its_start(book: Till):
    one, other = make_coupon(book), make_coupon(book)
    refuses(change_coupon(other, code=one.code))
    refuses(change_coupon(one, ends_at=one.starts_at))


def test_an_order_says_what_its_coupon_took_off(book: Till, order: Order):
    coupon = make_coupon(book)
    refuses(change(order, coupon=coupon))
    refuses(change(order, coupon_off_fen=500))
    refuses(change(order, coupon=coupon, coupon_off_fen=500, discount_bp=9_500))
    allows(change(order, coupon=coupon, coupon_off_fen=500, amount_fen=1_000))
