"""C5: an operator accepts another sum, or gives it back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from members.models import Member
from orders.models import Order, Status
from payments import cases
from payments.attempts import create_locked
from payments.console.decisions import NotWaiting, accept, give_back
from payments.gateways.contract import RefundResult, RefundState
from payments.models import Attempt, Refund
from payments.refunding.refunds import apply_refund
from tests.shopping import WECHAT, Till, broken, counts, events_of, fresh

Decide = Callable[[Attempt, datetime], object]


@pytest.fixture
def attempt(book: Till, member: Member) -> Attempt:
    """¥14 came for ¥15."""
    attempt = book.bill(member)
    book.hear(attempt, amount_fen=1_400)
    return attempt


@pytest.fixture(params=[accept, give_back])
def decide(request: pytest.FixtureRequest, operator: Member) -> Decide:
    def by_operator(attempt: Attempt, now: datetime) -> object:
        return request.param(attempt.pk, actor=operator, reason="少付一元", now=now)

    return by_operator


def test_an_accepted_sum_settles_the_order(
    book: Till, member: Member, operator: Member, attempt: Attempt
):
    accept(attempt.pk, actor=operator, reason="少付一元", now=book.now)
    order = fresh(attempt.order)
    assert (order.status, order.fulfil, order.settled_by) == ("paid", "done", attempt)
    assert fresh(member).paid_until == book.now + timedelta(days=7)
    decision = order.events.get(kind="money-accepted")
    assert (decision.actor, decision.detail["reason"]) == (operator, "少付一元")
    assert not cases.unallocated().exists()
    assert broken(book.now) == []


def test_an_expired_order_can_still_be_accepted(
    book: Till, operator: Member, attempt: Attempt
):
    Order.objects.filter(pk=attempt.order_id).update(status=Status.EXPIRED)
    accept(attempt.pk, actor=operator, reason="", now=book.now)
    assert fresh(attempt.order).status == "paid"


def test_a_returned_sum_is_refunded_whole_and_the_order_goes_on(
    book: Till, member: Member, operator: Member, attempt: Attempt
):
    refund = give_back(attempt.pk, actor=operator, reason="少付一元", now=book.now)
    assert (refund.amount_fen, refund.reason, refund.state) == (
        1_400,
        "operator",
        "requested",
    )
    assert fresh(attempt).refund_reserved_fen == 1_400
    assert fresh(attempt.order).status == "pending"
    assert events_of(attempt.order)[-2:] == ["money-returned", "refund-requested"]
    assert counts(member)["entitlements"] == 0
    assert not cases.unallocated().exists()
    assert broken(book.now) == []


def test_a_decision_is_made_once(book: Till, attempt: Attempt, decide: Decide):
    decide(attempt, book.now)
    with pytest.raises(NotWaiting):
        decide(attempt, book.now)
    assert Refund.objects.count() <= 1


def test_money_that_settled_an_order_waits_for_no_decision(
    book: Till, member: Member, decide: Decide
):
    settled = book.bill(member)
    book.hear(settled)
    with pytest.raises(NotWaiting):
        decide(settled, book.now)
    assert not Refund.objects.exists()


@pytest.mark.parametrize("status", ["cancelled", "paid"])
def test_an_order_that_is_over_accepts_nothing(
    book: Till, operator: Member, attempt: Attempt, status: str
):
    """It can still go back."""
    if status == "paid":
        book.hear(create_locked(attempt.order, WECHAT, now=book.now))
    else:
        Order.objects.filter(pk=attempt.order_id).update(status=status)
    with pytest.raises(NotWaiting):
        accept(attempt.pk, actor=operator, reason="", now=book.now)
    assert not attempt.order.events.filter(kind="money-accepted").exists()
    give_back(attempt.pk, actor=operator, reason="", now=book.now)


def test_what_could_not_be_returned_can_be_returned_again(
    book: Till, operator: Member, attempt: Attempt
):
    """F9: a refund that failed for good brings the money back into the queue."""
    for nth in range(3):
        refund = give_back(attempt.pk, actor=operator, reason=f"{nth}", now=book.now)
        failed = RefundResult(
            refund.out_refund_no, attempt.out_trade_no, RefundState.FAILED
        )
        apply_refund("wechat", failed, now=book.now)
        assert list(cases.unallocated()) == [fresh(attempt)]
    assert Refund.objects.count() == 3
    assert fresh(attempt).refund_reserved_fen == 0
