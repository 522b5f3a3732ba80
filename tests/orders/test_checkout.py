"""Placing an order: what is frozen, what is refused, and that a click counts once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from members import rules
from members.models import Member, Plan, ShopRules, Tier
from members.tiers import catalogue
from orders.checkout import (
    PlanGone,
    PriceChanged,
    TooFarAhead,
    TooManyFromAddress,
    TooManyOpen,
    placed_before,
)
from orders.models import Order, OrderEvent
from payments.models import Attempt
from tests.shopping import (
    ALIPAY,
    WECHAT,
    Till,
    events_of,
    fresh,
    new_member,
    statements,
)


def test_it_freezes_what_was_bought_and_holds_it_for_thirty_minutes(
    book: Till, member: Member, week: Plan
):
    """A1."""
    order = fresh(book.place(member))
    assert (order.status, order.fulfil, order.risk) == ("pending", "none", "allow")
    assert (order.amount_fen, order.unit_fen, order.currency) == (1_500, 1_500, "CNY")
    assert (order.plan, order.seconds, order.rank) == (week, 604_800, week.tier.rank)
    assert (order.tier_discount_bp, order.title) == (9_500, "临时会员 7 天")
    assert order.placed_at == book.now
    assert order.expires_at == book.now + timedelta(minutes=30)
    assert (order.settled_by, order.paid_at) == (None, None)
    assert events_of(order) == ["placed"]


def test_the_first_attempt_is_written_with_the_order(book: Till, member: Member):
    attempt = book.bill(member)
    assert (attempt.state, attempt.amount_fen, attempt.currency) == (
        "created",
        1_500,
        "CNY",
    )
    assert attempt.next_query_at == book.now + timedelta(seconds=5)


def test_nothing_is_left_when_the_attempt_cannot_be_written(book: Till, member: Member):
    def fail(order: Order) -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        book.place(member, attach=fail)
    assert (Order.objects.count(), OrderEvent.objects.count()) == (0, 0)


def test_the_same_form_twice_makes_one_order(book: Till, member: Member):
    """A2: a double click or a refresh."""
    first = book.place(member, token="double-click-0001", way=WECHAT)
    book.wait(seconds=2)
    again = book.place(member, token="double-click-0001", way=WECHAT)
    assert again == first
    assert (Order.objects.count(), Attempt.objects.count()) == (1, 1)
    assert events_of(first) == ["placed"]


def test_the_order_of_a_form_is_found_for_its_own_phone_only(
    book: Till, member: Member
):
    """A2: before a guest's code is judged, since the first click has spent it."""
    order = book.place(member, token="double-click-0002")
    other = new_member()
    token = "double-click-0002"
    assert placed_before(token, member_id=member.pk, phone=None) == order
    assert placed_before(token, member_id=None, phone=member.phone) == order
    assert placed_before(token, member_id=None, phone=other.phone) is None
    assert placed_before(token, member_id=other.pk, phone=member.phone) is None
    assert placed_before(token, member_id=None, phone=None) is None
    assert placed_before("never-seen-before", member_id=member.pk, phone=None) is None


def test_the_form_of_another_member_places_nothing(book: Till, member: Member):
    book.place(member, token="double-click-0003")
    with pytest.raises(PlanGone):
        book.place(new_member(), token="double-click-0003")
    assert Order.objects.count() == 1


def test_it_refuses_another_price_than_the_page_showed(
    book: Till, member: Member, week: Plan
):
    """A3: nothing is placed, and the new price is told."""
    Plan.objects.filter(pk=week.pk).update(price_fen=1_800)
    with pytest.raises(PriceChanged) as refusal:
        book.place(member, shown_fen=1_500)
    assert refusal.value.price_fen == 1_800
    assert not Order.objects.exists()


def test_it_refuses_a_price_that_the_shopper_made_up(book: Till, member: Member):
    """Security 43: the amount is the catalogue's."""
    for fen in (0, 1, 1_499, 1_501):
        with pytest.raises(PriceChanged):
            book.place(member, shown_fen=fen)
    assert not Order.objects.exists()


def test_the_price_in_the_page_cache_is_never_charged(
    book: Till, member: Member, week: Plan
):
    """Pages may show an old price for seconds; placing reads the database."""
    assert catalogue.current().plan("temporary-7") == week
    Plan.objects.filter(pk=week.pk).update(price_fen=1_800)
    cached = catalogue.current().plan("temporary-7")
    assert cached is not None
    assert cached.price_fen == 1_500
    assert book.place(member, shown_fen=1_800).amount_fen == 1_800


def test_a_new_price_leaves_placed_orders_as_they_are(
    book: Till, member: Member, week: Plan
):
    """A4: paid at ¥15, also late."""
    order = book.place(member, way=WECHAT)
    Plan.objects.filter(pk=week.pk).update(price_fen=1_800)
    assert book.hear(order.attempts.get()) == "settled"
    late = book.place(member, shown_fen=1_800, way=WECHAT)
    Plan.objects.filter(pk=week.pk).update(price_fen=900)
    book.wait(minutes=41)
    book.expire()
    assert fresh(late).status == "expired"
    assert book.hear(late.attempts.get()) == "settled"
    assert fresh(late).settled_by.paid_fen == 1_800


@pytest.mark.parametrize("what", ["plan", "tier"])
def test_what_is_no_longer_sold_can_still_be_paid(
    book: Till, member: Member, week: Plan, what: str
):
    """A5: activates; no new order can be placed."""
    order = book.place(member, way=WECHAT)
    if what == "plan":
        Plan.objects.filter(pk=week.pk).update(enabled=False)
    else:
        Tier.objects.filter(pk=week.tier_id).update(enabled=False)
    assert book.hear(order.attempts.get()) == "settled"
    assert fresh(member).paid_until == book.now + timedelta(days=7)
    with pytest.raises(PlanGone):
        book.place(member)


def test_two_at_once_cost_and_last_twice(book: Till, member: Member):
    """A6: one line, one entitlement."""
    order = book.place(member, quantity=2, way=WECHAT)
    assert (order.amount_fen, order.seconds) == (3_000, 1_209_600)
    book.hear(order.attempts.get())
    assert member.entitlements.get().seconds == 1_209_600


@pytest.mark.parametrize("quantity", [0, -1, 13, 10**9])
def test_it_refuses_a_quantity_that_nobody_needs(
    book: Till, member: Member, quantity: int
):
    """Security 44."""
    with pytest.raises(PlanGone):
        book.place(member, quantity=quantity, shown_fen=1_500)
    assert not Order.objects.exists()


@pytest.mark.parametrize("slug", ["", "temporary-8", "temporary-7 ", "' OR 1=1"])
def test_it_refuses_a_plan_that_does_not_exist(book: Till, member: Member, slug: str):
    with pytest.raises(PlanGone):
        book.place(member, slug, shown_fen=1_500)
    assert not Order.objects.exists()


def test_a_promotion_is_charged_while_it_runs_and_not_a_second_longer(
    book: Till, member: Member, week: Plan
):
    Plan.objects.filter(pk=week.pk).update(
        promo_price_fen=1_200,
        promo_starts_at=book.now,
        promo_ends_at=book.now + timedelta(minutes=10),
    )
    assert book.place(member, shown_fen=1_200).amount_fen == 1_200
    book.wait(minutes=10)
    with pytest.raises(PriceChanged):
        book.place(member, shown_fen=1_200)
    assert book.place(member).amount_fen == 1_500


# --- Limits ------------------------------------------------------------------------


def test_it_refuses_a_sixth_open_order_and_names_the_five(book: Till, member: Member):
    """A15."""
    five = [book.place(member) for _ in range(5)]
    with pytest.raises(TooManyOpen) as refusal:
        book.place(member)
    assert sorted(order.pk for order in refusal.value.orders) == [o.pk for o in five]
    assert Order.objects.count() == 5


def test_an_order_that_is_over_makes_room(book: Till, member: Member):
    """A15: paid, cancelled and run-out orders do not count; those of others neither."""
    five = [book.place(member, way=WECHAT) for _ in range(5)]
    book.place(new_member())
    book.hear(five[0].attempts.get())
    book.place(member)
    with pytest.raises(TooManyOpen):
        book.place(member)
    book.wait(minutes=30)
    assert book.place(member).status == "pending"


def test_one_address_cannot_hold_more_than_its_share(book: Till, member: Member):
    """Security 84; an operator may change the number."""
    ShopRules.objects.update(open_orders_per_address=3)
    rules.forget()
    for _ in range(3):
        book.place(new_member(), address="digest")
    for _ in range(4):
        book.place(member)
    with pytest.raises(TooManyFromAddress):
        book.place(member, address="digest")
    with pytest.raises(TooManyFromAddress):
        book.place(new_member(), address="digest")
    book.place(new_member(), address="another")
    book.wait(minutes=30)
    book.place(new_member(), address="digest")


def test_it_sells_no_time_beyond_the_longest_line(
    book: Till, member: Member, week: Plan
):
    """Security 49: refused in words before money is taken."""
    Plan.objects.filter(pk=week.pk).update(days=3_660)
    with pytest.raises(TooFarAhead):
        book.place(member, quantity=12, shown_fen=18_000)
    Member.objects.filter(pk=member.pk).update(
        paid_until=book.now + timedelta(days=99 * 365)
    )
    with pytest.raises(TooFarAhead):
        book.place(member)
    assert not Order.objects.exists()


# --- Statements --------------------------------------------------------------------


def test_placing_an_order_takes_at_most_eight_statements(book: Till, member: Member):
    """Also for a member with a history and open orders, and with nothing cached."""
    for plan in ("temporary-7", "long-term-90"):
        book.hear(book.bill(member, plan))
    book.place(member, address="digest", way=ALIPAY)
    rules.forget()
    with CaptureQueriesContext(connection) as queries:
        book.place(member, address="digest", way=WECHAT)
    assert len(statements(queries)) <= 8, "\n".join(statements(queries))
