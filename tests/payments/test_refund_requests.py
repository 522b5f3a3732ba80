"""Refunds of paid orders through the domain: F1 to F11, F16 to F18, W6 to W9."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.db import IntegrityError

from members import timeline
from members.models import Entitlement, Member, Segment
from orders import versions
from orders.models import Order
from payments import cases
from payments.console import decisions, held
from payments.gateways.contract import RefundResult, RefundState
from payments.models import Attempt, Refund
from payments.refunding import refunds
from payments.refunding.refunds import NotRefundable
from payments.settle import Source, apply_result
from tests.shopping import Shopper, Till, broken, events_of, fresh, said
from tests.shopping import new_member as someone

DAY = 86_400
WEEK = 7 * DAY


def buy(book: Till, member: Member, plan: str) -> Order:
    attempt = book.bill(member, plan)
    book.hear(attempt)
    return fresh(attempt.order)


def given(order: Order) -> Entitlement:
    return Entitlement.objects.get(order=order)


def ask(book: Till, order: Order, operator: Member, **change: object) -> Refund:
    """An operator refunds what is proposed, unless told otherwise."""
    proposed = refunds.proposal_for(fresh(order), now=book.now)
    asked: dict[str, object] = {
        "amount_fen": proposed.amount_fen,
        "actor": operator,
        "reason": "客户要求",
    }
    return refunds.request(order.pk, **asked | change, now=book.now)  # type: ignore[arg-type]


def hear(book: Till, refund: Refund, state: RefundState) -> None:
    attempt = refund.attempt
    result = RefundResult(refund.out_refund_no, attempt.out_trade_no, state)
    refunds.apply_refund(attempt.gateway, result, now=book.now)


def unsound(book: Till, *besides: str) -> list[str]:
    """Nobody runs the outbox here, nor the reminders, while days go by."""
    idle = ("INV-6", "INV-10", "INV-16")
    return broken(book.now, besides=(*idle, *besides))


def line(member: Member) -> list[tuple[str, datetime, datetime]]:
    return [
        (f"{segment.entitlement.seconds // DAY}d", segment.starts_at, segment.ends_at)
        for segment in Segment.objects.filter(member=member).select_related(
            "entitlement"
        )
    ]


@pytest.fixture
def three(book: Till, member: Member) -> dict[str, Order]:
    """W6: one day, seven and thirty, all at 10:00 on 22 November."""
    return {days: buy(book, member, f"temporary-{days}") for days in ("1", "7", "30")}


# --- The worked examples -----------------------------------------------------------


def test_w6_and_w9_a_waiting_segment_goes_and_comes_back(
    book: Till, member: Member, operator: Member, three: dict[str, Order]
):
    """F1, F9, W6, W9: and after the failure each second is there again, once (F10)."""
    start = book.now
    book.wait(hours=12)
    refund = ask(book, three["7"], operator)
    assert (refund.amount_fen, refund.revoked_seconds) == (1_500, WEEK)
    first, last = start + timedelta(days=1), start + timedelta(days=31)
    assert line(member) == [("1d", start, first), ("30d", first, last)]
    assert fresh(member).paid_until == last
    assert fresh(three["7"]).fulfil == "void"
    assert unsound(book) == []
    book.set_clock(start + timedelta(days=2, hours=23))  # 25 November, 09:00
    for _ in range(3):
        hear(book, refund, RefundState.FAILED)
    week_ends = book.now + timedelta(days=7)
    assert line(member)[2:] == [
        ("7d", book.now, week_ends),
        ("30d", week_ends, start + timedelta(days=38)),
    ]
    assert fresh(member).paid_until == start + timedelta(days=38)
    order = fresh(three["7"])
    assert (order.fulfil, order.status) == ("done", "paid")
    assert fresh(refund.attempt).refund_reserved_fen == 0
    assert events_of(order).count("refund-failed") == 1
    assert list(cases.failed_refunds()) == [refund]
    assert unsound(book, "INV-12") == []


def test_w7_a_running_segment_is_worth_what_is_left_of_it(
    book: Till, member: Member, operator: Member
):
    """F2, W7: ¥9.64 of ¥15; the next one starts at that second."""
    week = buy(book, member, "temporary-7")
    book.wait(hours=14)
    buy(book, member, "temporary-30")
    book.set_clock(book.now + timedelta(days=1, hours=22))  # 24 November, 22:00
    refund = ask(book, week, operator)
    assert (refund.amount_fen, refund.revoked_seconds) == (964, 388_800)
    assert fresh(member).paid_until == book.now + timedelta(days=30)
    assert fresh(week).fulfil == "done"  # a part was used and stays paid
    assert unsound(book) == []


def test_w8_the_lower_tier_goes_on_at_once(
    book: Till, member: Member, operator: Member
):
    """F3, W8 with our ranks: long-term time runs first and is the one returned."""
    buy(book, member, "temporary-30")
    book.wait(days=1)
    longer = buy(book, member, "long-term-90")
    book.wait(days=10)
    refund = ask(book, longer, operator)
    assert (refund.amount_fen, refund.revoked_seconds) == (7_500 * 8 // 9, 80 * DAY)
    assert fresh(member).paid_until == book.now + timedelta(days=29)
    assert line(member)[-1] == (
        "30d",
        book.now,
        book.now + timedelta(days=29),
    )


# --- Sums and seconds --------------------------------------------------------------


def test_f4_what_is_used_up_is_worth_nothing_but_may_be_returned(
    book: Till, member: Member, operator: Member
):
    order = buy(book, member, "temporary-1")
    book.wait(days=2)
    assert refunds.proposal_for(order, now=book.now).amount_fen == 0
    with pytest.raises(NotRefundable):
        ask(book, order, operator)
    refund = ask(book, order, operator, amount_fen=100)
    assert refund.revoked_seconds == 0
    assert (refund.actor, refund.note) == (operator, "客户要求")
    assert unsound(book) == []


@pytest.mark.parametrize("seconds", [0, 1, 201_600, WEEK])
def test_f5_the_operator_may_change_the_seconds(
    book: Till, member: Member, operator: Member, seconds: int
):
    order = buy(book, member, "temporary-7")
    assert ask(book, order, operator, amount_fen=500).revoked_seconds == 201_600
    other = buy(book, someone(), "temporary-7")
    refund = ask(book, other, operator, amount_fen=500, seconds=seconds)
    assert given(other).revoked_seconds == refund.revoked_seconds == seconds
    assert fresh(other).fulfil == "done"
    assert unsound(book) == []


@pytest.mark.parametrize("seconds", [-1, WEEK - 59])
def test_f5_but_never_to_more_than_is_left(
    book: Till, member: Member, operator: Member, seconds: int
):
    order = buy(book, member, "temporary-7")
    book.wait(minutes=1)
    with pytest.raises(NotRefundable) as caught:
        ask(book, order, operator, amount_fen=500, seconds=seconds)
    assert caught.value.why == "seconds"
    assert not Refund.objects.exists()
    assert given(order).revoked_seconds == 0


@pytest.mark.parametrize("amount", [600, 501, 0, -1, 10**12])
def test_f6_no_more_goes_back_than_came(
    book: Till, member: Member, operator: Member, amount: int
):
    """F6 [K12]."""
    order = buy(book, member, "temporary-7")
    ask(book, order, operator, amount_fen=1_000)
    with pytest.raises(NotRefundable) as caught:
        ask(book, order, operator, amount_fen=amount)
    assert caught.value.why == "sum"
    ask(book, order, operator, amount_fen=500)
    assert fresh(order.settled_by).refund_reserved_fen == 1_500
    assert (
        Refund.objects.values_list("out_refund_no", flat=True).distinct().count() == 2
    )
    assert unsound(book) == []


@pytest.mark.django_db(transaction=True)
def test_f6_the_database_refuses_what_a_wrong_count_would_let_through(
    book: Till, member: Member, operator: Member
):
    """F6, F7 [K12]: the second guard, should the first one read a stale reservation."""
    order = buy(book, member, "temporary-7")
    ask(book, order, operator, amount_fen=1_000)
    revoked = given(order).revoked_seconds
    Attempt.objects.update(refund_reserved_fen=0)
    with pytest.raises(IntegrityError):
        ask(book, order, operator, amount_fen=600)
    assert Refund.objects.get().amount_fen == 1_000
    assert given(order).revoked_seconds == revoked
    assert fresh(order.settled_by).refund_reserved_fen == 0


def test_an_order_without_money_has_nothing_to_return(
    book: Till, member: Member, operator: Member
):
    order = book.place(member)
    with pytest.raises(NotRefundable) as caught:
        refunds.request(order.pk, amount_fen=1, actor=operator, reason="", now=book.now)
    assert caught.value.why == "unpaid"


def test_i3_and_i4_a_page_decides_once(book: Till, member: Member, operator: Member):
    order = buy(book, member, "temporary-7")
    seen = order.version
    ask(book, order, operator, amount_fen=500, version=seen)
    with pytest.raises(versions.Stale):
        ask(book, order, operator, amount_fen=500, version=seen)
    assert Refund.objects.count() == 1


# --- What becomes of it ------------------------------------------------------------


def test_f16_a_full_refund_leaves_a_paid_order_void(
    book: Till, member: Member, operator: Member
):
    """F16 [K4]: the history stays."""
    order = buy(book, member, "temporary-7")
    refund = ask(book, order, operator)
    hear(book, refund, RefundState.SUCCESS)
    order = fresh(order)
    assert (order.status, order.fulfil) == ("paid", "void")
    assert order.settled_by is not None
    assert order.settled_by.refund_reserved_fen == order.settled_by.paid_fen
    assert fresh(member).paid_until is None
    assert given(order).seconds == WEEK
    assert events_of(order)[-2:] == ["refund-requested", "refunded"]
    shown = Shopper(book, member).get(f"/orders/{order.no}/")
    assert shown.context["status"] == "refunded"  # derived, never stored
    assert unsound(book) == []


def test_a_full_refund_that_leaves_her_the_time_is_not_void(
    book: Till, member: Member, operator: Member
):
    """INV-9: a void order has no time ahead."""
    order = buy(book, member, "temporary-7")
    ask(book, order, operator, amount_fen=1_500, seconds=0)
    assert fresh(order).fulfil == "done"
    assert unsound(book) == []


def test_f11_success_after_a_failure_takes_back_what_is_left(
    book: Till, member: Member, operator: Member
):
    order = buy(book, member, "temporary-7")
    refund = ask(book, order, operator)
    hear(book, refund, RefundState.FAILED)
    book.wait(days=2)
    hear(book, refund, RefundState.SUCCESS)
    assert fresh(refund).revoked_seconds == given(order).revoked_seconds == 5 * DAY
    assert fresh(order).fulfil == "void"
    assert fresh(member).paid_until is None
    assert unsound(book) == []


def test_f17_a_held_order_returns_all_of_it(
    book: Till, member: Member, operator: Member
):
    attempt = book.bill(member)
    Order.objects.filter(pk=attempt.order_id).update(risk="review")
    book.hear(attempt)
    proposed = refunds.proposal_for(fresh(attempt.order), now=book.now)
    assert (proposed.amount_fen, proposed.seconds) == (1_500, 0)
    refund = held.reject(attempt.order_id, actor=operator, reason="", now=book.now)
    assert (refund.amount_fen, refund.revoked_seconds) == (1_500, 0)
    assert fresh(attempt.order).fulfil == "void"
    with pytest.raises(held.NotHeld):
        held.approve(attempt.order_id, actor=operator, reason="", now=book.now)
    assert not Entitlement.objects.exists()
    assert unsound(book) == []
    hear(book, refund, RefundState.FAILED)
    assert fresh(attempt.order).fulfil == "held"
    held.approve(attempt.order_id, actor=operator, reason="", now=book.now)
    assert fresh(member).paid_until == book.now + timedelta(days=7)


def test_f18_while_paused_the_seconds_at_the_pause_count(
    book: Till, member: Member, operator: Member
):
    order = buy(book, member, "temporary-7")
    book.wait(days=2)
    timeline.pause(member.pk, now=book.now)
    book.wait(days=3)
    refund = ask(book, order, operator)
    assert refund.revoked_seconds == 5 * DAY
    assert refund.amount_fen == 1_500 * 5 // 7
    assert member.pauses.filter(ends_at=None).exists()
    assert fresh(member).paid_until is None
    assert unsound(book) == []


def test_a_failed_refund_waits_until_somebody_has_looked(
    book: Till, member: Member, operator: Member
):
    """F9: operator told."""
    order = buy(book, member, "temporary-7")
    refund = ask(book, order, operator)
    hear(book, refund, RefundState.FAILED)
    assert list(cases.waiting_refunds()) == [refund]
    decisions.see_to(refund.pk, actor=operator, reason="已联系", now=book.now)
    assert not cases.waiting_refunds().exists()
    with pytest.raises(decisions.NotWaiting):
        decisions.see_to(refund.pk, actor=operator, reason="已联系", now=book.now)
    assert unsound(book) == []
    again = ask(book, order, operator)
    assert again.out_refund_no != refund.out_refund_no


def test_an_operators_refund_of_a_second_payment_alone_is_by_its_own_number(
    book: Till, member: Member, operator: Member
):
    """B14b: refundable by that transaction id; the order and its money untouched."""
    order = buy(book, member, "temporary-7")
    attempt: Attempt = order.settled_by
    for digest in ("a", "b"):  # two deliveries of one notice
        apply_result(
            "wechat",
            said(attempt, txn_id="SECOND"),
            source=Source("notice", digest),
            now=book.now,
        )
    event = attempt.gateway_events.filter(outcome="overpaid")[0]
    refund = decisions.return_second_payment(
        event.pk, actor=operator, reason="付了两次", now=book.now
    )
    sent = refunds.request_of(refund)
    assert (sent.txn_id, sent.refund_fen, sent.total_fen) == ("SECOND", 1_500, 1_500)
    assert fresh(attempt).refund_reserved_fen == 0
    assert not cases.open_events().exists()
    for each in attempt.gateway_events.filter(outcome="overpaid"):
        with pytest.raises(decisions.NotWaiting):
            decisions.return_second_payment(
                each.pk, actor=operator, reason="", now=book.now
            )
    hear(book, refund, RefundState.SUCCESS)
    assert given(order).revoked_seconds == 0
    assert fresh(order).fulfil == "done"
    assert unsound(book) == []
