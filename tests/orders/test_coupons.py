"""Coupons in the domain: what they take off, whom they serve, how uses are counted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from members.addresses import Client
from members.models import Member, Plan, Tier
from orders import coupons
from orders.checkout import CouponLeft, PriceChanged
from orders.models import Coupon, Order, Status
from payments import polling
from payments.console import decisions
from payments.models import EventOutcome, Refund, RefundReason
from payments.refunding import returning
from tests.goods.shelves import make_goods, make_member
from tests.orders.codes import make_coupon, used
from tests.shopping import (
    ALIPAY,
    WECHAT,
    Till,
    broken,
    events_of,
    fresh,
    new_member,
    statements,
)

HERE = Client("203.0.113.9", "203.0.113.9", "203.0.113.0/24")


def refused(place: Callable[[], object]) -> type[coupons.CouponRefused]:
    """Why the coupon was left; nothing was placed."""
    before = Order.objects.count()
    with pytest.raises(CouponLeft) as left:
        place()
    assert Order.objects.count() == before
    return type(left.value.why)


# --- What it takes off -------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "full_fen", "pays_fen"),
    [
        ({"off_fen": 500}, 1_500, 1_000),
        ({"off_fen": 1_500}, 1_500, 1),
        ({"off_fen": 9_999}, 1_500, 1),
        ({"off_fen": 1}, 2, 1),
        ({"off_bp": 1_000}, 1_500, 1_350),
        ({"off_bp": 1_500}, 999, 849),  # W15: half up, once
        ({"off_bp": 10_000}, 1_500, 1),
        ({"off_bp": 1}, 300, 300),
    ],
    ids=str,
)
def test_what_is_left_to_pay(value: dict[str, int], full_fen: int, pays_fen: int):
    """At least 1 fen: no gateway takes less, and nothing is given away by a code."""
    cut = coupons.cut(Coupon(**value), full_fen)
    assert (cut.amount_fen, cut.off_fen) == (pays_fen, full_fen - pays_fen)


@given(st.integers(1, 10**9), st.integers(1, 10**7) | st.none(), st.integers(1, 10_000))
def test_a_price_with_a_coupon_is_never_free_and_never_dearer(
    full_fen: int, off_fen: int | None, off_bp: int
):
    coupon = Coupon(off_fen=off_fen, off_bp=None if off_fen else off_bp)
    cut = coupons.cut(coupon, full_fen)
    assert 1 <= cut.amount_fen <= full_fen
    assert cut.amount_fen + cut.off_fen == full_fen


def test_an_order_freezes_the_coupon_and_what_it_took_off(book: Till, member: Member):
    """INV-13: the use is counted with the order, which asks the gateway for the rest."""
    coupon = make_coupon(book)
    attempt = book.bill(member, coupon=coupon)
    order = attempt.order
    assert (order.unit_fen, order.coupon_off_fen, order.amount_fen) == (1500, 500, 1000)
    assert (order.coupon, attempt.amount_fen) == (coupon, 1_000)
    assert order.events.get(kind="placed").detail == {
        "amount_fen": 1_000,
        "coupon": coupon.code,
        "coupon_off_fen": 500,
    }
    assert used(coupon) == 1
    Coupon.objects.filter(pk=coupon.pk).update(enabled=False, off_fen=1)
    assert book.hear(attempt) == EventOutcome.SETTLED  # A4: the price is frozen
    assert used(coupon) == 1
    assert broken(book.now) == []


def test_a_coupon_that_was_not_on_the_page_is_asked_about(book: Till, member: Member):
    """A3: the price she saw is not the one she would pay, in either direction."""
    coupon = make_coupon(book)
    with pytest.raises(PriceChanged) as changed:
        book.place(member, coupon=coupon, shown_fen=1_500)
    assert changed.value.price_fen == 1_000
    with pytest.raises(PriceChanged):
        book.place(member, shown_fen=1_000)
    assert used(coupon) == 0


@pytest.mark.parametrize(
    ("off", "pays_fen"),
    [({"off_bp": 2_000}, 8_000), ({"off_fen": 501}, 9_499)],
    ids=str,
)
def test_it_does_not_add_to_a_members_discount(
    book: Till, member: Member, off: dict[str, Any], pays_fen: int
):
    """The better of the two applies, off the full price (S30)."""
    make_member(book, member)
    goods = make_goods(keys=3)
    coupon = make_coupon(book, **off)
    order = book.bill_goods(member, goods, coupon=coupon, shown_fen=pays_fen).order
    assert (order.discount_bp, order.amount_fen) == (10_000, pays_fen)
    assert order.coupon_off_fen == 10_000 - pays_fen
    book.hear(order.attempts.get())
    assert broken(book.now) == []


@pytest.mark.parametrize("off", [{"off_fen": 500}, {"off_bp": 500}, {"off_fen": 1}])
def test_a_coupon_that_is_no_better_stays_unused(
    book: Till, member: Member, off: dict[str, Any]
):
    """A member pays ¥95 anyway."""
    make_member(book, member)
    goods, coupon = make_goods(keys=3), make_coupon(book, **off)
    why = refused(lambda: book.bill_goods(member, goods, coupon=coupon))
    assert why is coupons.CouponNoBetter
    assert used(coupon) == 0
    assert book.bill_goods(member, goods).order.amount_fen == 9_500


# --- Whom and what it is for -------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"enabled": False}, coupons.CouponGone),
        ({"starts": 1}, coupons.CouponGone),
        ({"ends": 0}, coupons.CouponGone),
        ({"max_uses": 3, "used": 3}, coupons.CouponGone),
        ({"min_fen": 1_501}, coupons.CouponBelowMinimum),
        ({"scope": "goods"}, coupons.CouponElsewhere),
        ({"scope": "chosen"}, coupons.CouponElsewhere),
    ],
    ids=str,
)
def test_it_says_why_it_does_not_apply(
    book: Till, member: Member, change: dict[str, Any], why: type
):
    if "starts" in change:
        change = {"starts_at": book.now + timedelta(seconds=1)}
    if "ends" in change:
        change = {"ends_at": book.now}
    coupon = make_coupon(book, **change)
    assert refused(lambda: book.place(member, coupon=coupon)) is why
    assert used(coupon) == change.get("used", 0)


def test_it_applies_at_its_very_bounds(book: Till, member: Member):
    coupon = make_coupon(
        book,
        starts_at=book.now,
        ends_at=book.now + timedelta(microseconds=1),
        min_fen=1_500,
        scope="memberships",
    )
    assert book.place(member, coupon=coupon).amount_fen == 1_000


def test_chosen_plans_tiers_and_goods(book: Till, week: Plan):
    goods, others = make_goods(keys=3), make_goods(keys=3)
    coupon = make_coupon(book, scope="chosen", max_uses=9)
    coupon.plans.add(week)
    coupon.goods.add(goods)
    coupon.tiers.add(Tier.objects.get(code="long-term"))
    bought = [
        book.place(new_member(), coupon=coupon),
        book.place(new_member(), "long-term-90", coupon=coupon),
        book.bill_goods(new_member(), goods, coupon=coupon, shown_fen=9_500).order,
    ]
    assert [order.coupon_off_fen for order in bought] == [500, 500, 500]
    for place in (
        lambda: book.place(new_member(), "temporary-30", coupon=coupon),
        lambda: book.bill_goods(new_member(), others, coupon=coupon),
    ):
        assert refused(place) is coupons.CouponElsewhere
    assert used(coupon) == 3


def test_one_member_uses_it_as_often_as_allowed(book: Till, member: Member):
    """An unpaid order counts, one that is over does not."""
    coupon = make_coupon(book, max_uses=9, max_per_member=2)
    first = book.place(member, coupon=coupon)
    book.hear(book.bill(member, coupon=coupon))
    assert refused(lambda: book.place(member, coupon=coupon)) is coupons.CouponSpent
    polling.cancel(first.pk, now=book.now)
    book.place(member, coupon=coupon)
    book.place(new_member(), coupon=coupon)
    assert used(coupon) == 3
    assert broken(book.now) == []


def test_a_repeated_form_takes_one_use(book: Till, member: Member):
    """A2: the second click finds the first order, though the coupon is used up."""
    coupon = make_coupon(book)
    token = "one-form-one-order"
    orders = {book.place(member, coupon=coupon, token=token).pk for _ in range(3)}
    assert len(orders) == 1
    assert used(coupon) == 1


def test_placing_with_a_coupon_takes_at_most_three_statements_more(
    book: Till, member: Member
):
    coupon = make_coupon(book)
    with CaptureQueriesContext(connection) as queries:
        book.place(member, coupon=coupon)
    assert len(statements(queries)) <= 11, "\n".join(statements(queries))


# --- Given back --------------------------------------------------------------------


def test_cancelling_gives_the_use_back_once(book: Till, member: Member):
    """security 45: cancel and use again; the count returns to exactly what it was."""
    coupon = make_coupon(book)
    order = book.place(member, coupon=coupon)
    ends = [polling.cancel(order.pk, now=book.now) for _ in range(3)]
    assert ends == ["done", "closed", "closed"]
    assert used(coupon) == 0
    again = book.place(member, coupon=coupon)
    assert (again.coupon_off_fen, used(coupon)) == (500, 1)
    assert fresh(order).coupon == coupon  # the story stays
    assert broken(book.now) == []


def test_expiring_gives_the_use_back_once(book: Till, member: Member):
    coupon = make_coupon(book)
    order = book.place(member, coupon=coupon)
    book.wait(minutes=41)
    assert [book.expire(), book.expire()] == [1, 0]
    assert polling.cancel(order.pk, now=book.now) == "closed"
    assert used(coupon) == 0
    assert broken(book.now) == []


def test_a_refund_gives_no_use_back(book: Till, member: Member):
    """The rule is one sentence: what was paid for has used its coupon."""
    coupon = make_coupon(book)
    attempt = book.bill(member, coupon=coupon)
    book.hear(attempt)
    order = fresh(attempt.order)
    offer = returning.offer_for(order, now=book.now)
    assert (offer.amount_fen, offer.paid_fen) == (1_000, 1_000)
    returning.return_unused(
        order.pk, member_id=member.pk, shown_fen=1_000, now=book.now
    )
    assert used(coupon) == 1
    assert refused(lambda: book.place(member, coupon=coupon)) is coupons.CouponGone
    assert broken(book.now) == []


def test_what_comes_back_is_a_share_of_what_was_paid(book: Till, member: Member):
    """R19, W7: 1000 fen for seven days; 388,800 of 604,800 seconds are left."""
    attempt = book.bill(member, coupon=make_coupon(book))
    book.hear(attempt)
    book.wait(days=2, hours=12)
    offer = returning.offer_for(fresh(attempt.order), now=book.now)
    assert (offer.amount_fen, offer.left) == (1_000 * 388_800 // 604_800, 388_800)


def test_goods_bought_with_a_coupon_used_no_members_discount(
    book: Till, member: Member
):
    """F15: she may still return her time; with a member's price she may not."""
    attempt = book.bill(member)
    book.hear(attempt)
    goods = make_goods(keys=3)
    coupon = make_coupon(book, off_fen=2_000)
    bill = book.bill_goods(member, goods, coupon=coupon, shown_fen=8_000)
    book.hear(bill)
    order = fresh(attempt.order)
    assert returning.offer_for(order, now=book.now).is_open
    book.buy_goods(member, goods)
    assert returning.offer_for(order, now=book.now).why == returning.Why.DISCOUNT_USED


# --- Late money --------------------------------------------------------------------


def expired(book: Till, member: Member, coupon: Coupon) -> Any:
    attempt = book.bill(member, coupon=coupon)
    book.wait(minutes=41)
    assert book.expire() == 1
    assert used(coupon) == 0
    return attempt


def test_late_money_takes_the_use_again(book: Till, member: Member):
    """R10, C8: her price holds, also after the coupon's own end."""
    coupon = make_coupon(book)
    attempt = expired(book, member, coupon)
    Coupon.objects.filter(pk=coupon.pk).update(enabled=False)
    book.wait(hours=1)
    assert book.hear(attempt) == EventOutcome.SETTLED
    assert book.hear(attempt) == EventOutcome.DUPLICATE
    order = fresh(attempt.order)
    assert (order.status, order.amount_fen) == (Status.PAID, 1_000)
    assert used(coupon) == 1
    assert broken(book.now) == []


def test_late_money_goes_back_when_the_coupon_is_used_up(book: Till, member: Member):
    """R10: what she paid buys nothing any more; the count stays within its limit."""
    coupon = make_coupon(book)
    attempt = expired(book, member, coupon)
    other = book.bill(new_member(), coupon=coupon)
    book.hear(other)
    assert book.hear(attempt) == EventOutcome.LATE
    refund = Refund.objects.get(attempt=attempt)
    assert (refund.reason, refund.amount_fen) == (RefundReason.LATE, 1_000)
    assert fresh(attempt.order).status == Status.EXPIRED
    assert used(coupon) == 1
    assert broken(book.now, besides=("INV-6",)) == []


def test_late_money_goes_back_when_she_has_used_it_elsewhere(
    book: Till, member: Member
):
    coupon = make_coupon(book, max_uses=9)
    attempt = expired(book, member, coupon)
    book.hear(book.bill(member, "temporary-30", coupon=coupon))
    assert book.hear(attempt) == EventOutcome.LATE
    assert used(coupon) == 1


def test_money_for_a_cancelled_order_takes_no_use(book: Till, member: Member):
    """C11."""
    coupon = make_coupon(book)
    attempt = book.bill(member, coupon=coupon)
    polling.cancel(attempt.order_id, now=book.now)
    assert book.hear(attempt) == EventOutcome.LATE
    assert used(coupon) == 0


def test_money_within_the_hold_needs_no_new_use(book: Till, member: Member):
    """Late by the clock, but not expired yet: the order holds its use still."""
    coupon = make_coupon(book)
    attempt = book.bill(member, coupon=coupon)
    book.wait(minutes=31)
    assert book.hear(attempt) == EventOutcome.SETTLED
    assert used(coupon) == 1


def test_an_operator_accepts_no_sum_for_a_coupon_that_is_used_up(
    book: Till, member: Member, operator: Member
):
    """C5: another sum came, the order expired, somebody else used the coupon."""
    coupon = make_coupon(book)
    attempt = book.bill(member, coupon=coupon)
    assert book.hear(attempt, amount_fen=900) == EventOutcome.MISMATCH
    book.wait(minutes=41)
    assert book.expire() == 1
    other = book.place(new_member(), way=ALIPAY, coupon=coupon)

    def accept() -> Order:
        return decisions.accept(
            attempt.pk, actor=operator, reason="she asked", now=book.now
        )

    with pytest.raises(decisions.NotWaiting):
        accept()
    assert events_of(fresh(attempt.order))[-1] == "expired"
    polling.cancel(other.pk, now=book.now)
    assert accept().status == Status.PAID
    assert used(coupon) == 1
    assert broken(book.now) == []


# --- Wrong codes -------------------------------------------------------------------


def find(typed: str, now: datetime, member: Member | None = None) -> Coupon | None:
    return coupons.find(typed, member=member, client=HERE, now=now)


@pytest.mark.parametrize(
    "typed", ["save-2026", " Save 2026 ", "SAVE2026", "s a-ve2026"]
)
def test_a_code_may_be_typed_as_people_type(book: Till, typed: str):
    coupon = make_coupon(book, "SAVE2026")
    assert find(typed, book.now) == coupon


@pytest.mark.parametrize(
    "typed", ["", "ＳＡＶＥ2026", "SAVE2026\0", "A" * 300, "优惠", "%"]
)
def test_odd_codes_are_simply_wrong(book: Till, typed: str):
    make_coupon(book, "SAVE2026")
    assert find(typed, book.now) is None


def test_wrong_codes_are_counted_and_right_ones_are_not(book: Till, member: Member):
    """The eleventh wrong code of an hour is not judged, nor is a right one then."""
    coupon = make_coupon(book)
    for n in range(10):
        assert find(coupon.code, book.now, member) == coupon
        assert find(f"WRONG{n}", book.now, member) is None
    for typed in ("WRONG", coupon.code):
        with pytest.raises(coupons.TooManyTries) as refusal:
            find(typed, book.now, member)
        assert 0 < refusal.value.retry_after <= 3_600
    assert find(coupon.code, book.now + timedelta(hours=1), member) == coupon


def test_an_address_is_limited_without_an_account(book: Till):
    for n in range(20):
        assert find(f"WRONG{n}", book.now) is None
    with pytest.raises(coupons.TooManyTries):
        find("WRONG", book.now)


def test_codes_that_are_over_are_counted_like_unknown_ones(book: Till, member: Member):
    """One answer for unknown, over, not begun, off and used up."""
    codes = [
        make_coupon(book, ends_at=book.now).code,
        make_coupon(book, starts_at=book.now + timedelta(days=1)).code,
        make_coupon(book, enabled=False).code,
        make_coupon(book, used=1).code,
        "UNKNOWN",
    ]
    assert [find(code, book.now, member) for code in codes * 2] == [None] * 10
    with pytest.raises(coupons.TooManyTries):
        find("UNKNOWN", book.now, member)


def test_the_audit_sees_a_coupon_that_is_miscounted(book: Till, member: Member):
    """INV-13."""
    coupon = make_coupon(book, max_uses=3)
    book.place(member, way=WECHAT, coupon=coupon)
    assert broken(book.now) == []
    Coupon.objects.filter(pk=coupon.pk).update(used=2)
    assert broken(book.now) == [
        f"INV-13 a coupon counts the orders that hold it, within its limit: {coupon.code}"
    ]
