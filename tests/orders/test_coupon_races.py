"""Coupons under real threads: security 44, 45 and INV-13. Each race has its control."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from members.models import Member
from orders import coupons
from orders.checkout import CouponLeft
from orders.models import Coupon, Order
from payments import polling
from tests.orders.codes import make_coupon, used
from tests.races import at_once, errors, hesitate, take_locks_away
from tests.shopping import Till, broken, fresh, new_member

pytestmark = pytest.mark.django_db(transaction=True)

RIVALS = 20
ROUNDS = 3


def naive_take(coupon: Coupon) -> None:
    """Read, decide, write: as a shop does that never met a second buyer."""
    coupon.refresh_from_db()
    if coupon.used >= coupon.max_uses:
        raise coupons.CouponGone
    time.sleep(0.05)
    Coupon.objects.filter(pk=coupon.pk).update(used=coupon.used + 1)


def rush(book: Till, coupon: Coupon, members: list[Member]) -> Counter[str]:
    """Everybody orders with the coupon at the same moment."""

    def place(member: Member) -> str:
        try:
            return "placed" if book.place(member, coupon=coupon) else ""
        except CouponLeft as left:
            return type(left.why).__name__

    ends = at_once(*[lambda each=each: place(each) for each in members])
    return Counter(end if isinstance(end, str) else "error" for end in ends)


@pytest.mark.parametrize("uses", [1, 7])
def test_twenty_orders_and_a_coupon_for_few(
    book: Till, monkeypatch: pytest.MonkeyPatch, uses: int
):
    """security 45: never more orders hold it than it may serve."""
    hesitate(monkeypatch, coupons, "check")
    coupon = make_coupon(book, max_uses=uses)
    ends = rush(book, coupon, [new_member() for _ in range(RIVALS)])
    assert ends == {"placed": uses, "CouponGone": RIVALS - uses}
    assert used(coupon) == Order.objects.filter(coupon=coupon).count() == uses
    assert broken(book.now) == []


def test_one_member_in_twenty_windows(book: Till, monkeypatch: pytest.MonkeyPatch):
    """security 45: her own limit holds as well."""
    hesitate(monkeypatch, coupons, "check")
    coupon, member = make_coupon(book, max_uses=9), new_member()
    ends = rush(book, coupon, [member] * RIVALS)
    assert ends == {"placed": 1, "CouponSpent": RIVALS - 1}
    assert used(coupon) == 1


def test_control_a_naive_shop_serves_too_many(
    book: Till, monkeypatch: pytest.MonkeyPatch
):
    take_locks_away(monkeypatch)
    monkeypatch.setattr(coupons, "take", naive_take)
    coupon = make_coupon(book)
    ends = rush(book, coupon, [new_member() for _ in range(RIVALS)])
    # Without its lock SQLite refuses most of the callers instead.
    assert ends["placed"] > 1 or ends["error"], "the harness sees no race"


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_cancel_and_expiry_at_once_give_one_use_back(book: Till, _round: int):
    """security 45: expire job and cancel together, twice each; the count is exact."""
    coupon = make_coupon(book, max_uses=3, max_per_member=3)
    others = book.place(new_member(), coupon=coupon)
    book.wait(minutes=20)
    order = book.place(new_member(), coupon=coupon)
    book.wait(minutes=20)
    cancelled = [lambda: polling.cancel(order.pk, now=book.now)] * 2
    ends = at_once(*[lambda: polling.expire_due(now=book.now)] * 2, *cancelled)
    assert errors(ends) == []
    assert fresh(order).status == "cancelled"
    assert fresh(others).status == "expired"
    assert used(coupon) == 0
    book.wait(minutes=20)
    order = book.place(new_member(), coupon=coupon)
    book.now = order.expires_at
    cancelled = [lambda: polling.cancel(order.pk, now=book.now)] * 2
    ends = at_once(*[lambda: polling.expire_due(now=book.now)] * 2, *cancelled)
    assert errors(ends) == []
    assert [*ends[:2], *ends[2:]].count("done") + sum(ends[:2]) == 1
    assert used(coupon) == 0
    assert broken(book.now) == []


def test_control_a_naive_closing_gives_it_back_twice(
    book: Till, monkeypatch: pytest.MonkeyPatch
):
    """The state has to move by compare-and-swap: else both give the use back."""

    def naive_close(order: Order, status: str, *, now: object) -> str:
        if order.status != "pending":
            return "closed"
        time.sleep(0.05)
        order.status = status
        order.save(update_fields=["status"])
        coupons.give_back(order)
        return "done"

    take_locks_away(monkeypatch)
    monkeypatch.setattr(polling, "close_locked", naive_close)
    coupon = make_coupon(book, max_uses=3)
    book.place(new_member(), coupon=coupon)
    order = book.place(new_member(), coupon=coupon)
    ends = at_once(*[lambda: polling.cancel(order.pk, now=book.now)] * 4)
    assert used(coupon) != 1 or errors(ends), "the harness sees no race"


@pytest.mark.parametrize("_round", range(ROUNDS))
def test_late_money_and_new_orders_share_what_is_left(book: Till, _round: int):
    """INV-13, R10: one use is left; late money, a new order: one of them gets it, and
    nobody waits in a circle (order → member → coupon)."""
    coupon, member = make_coupon(book), new_member()
    attempt = book.bill(member, coupon=coupon)
    book.wait(minutes=41)
    assert book.expire() == 1

    def place(buyer: Member) -> str:
        try:
            return book.place(buyer, coupon=coupon).no
        except CouponLeft:
            return ""

    rivals = [member, *(new_member() for _ in range(4))]
    ends = at_once(
        lambda: book.hear(attempt),
        *[lambda each=each: place(each) for each in rivals],
    )
    assert errors(ends) == []
    served = Order.objects.filter(coupon=coupon, status__in=coupons.HOLDING)
    assert served.count() == used(coupon) == 1
    assert ends[0] == ("late" if any(ends[1:]) else "settled")
    assert broken(book.now, besides=("INV-6",)) == []
