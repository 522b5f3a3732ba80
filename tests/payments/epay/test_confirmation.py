"""A success that only the shared key vouches for is asked about first: security 40."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from members.models import Member
from orders.models import Order
from payments import cases, confirmation
from payments.attempts import Way
from payments.models import Attempt, EpayChannel, GatewayEvent, Refund
from payments.reconciling.bill_models import BillDifference
from tests.payments.test_confirmation import limit
from tests.races import at_once
from tests.sandbox.merchant import Received
from tests.shopping import WECHAT, Till, broken, counts, fresh


def deliver(till: Till, got: Received) -> Any:
    with till.stopped_clock():
        return Client().generic(
            got.method,
            "/payments/epay/notify/",
            got.body,
            content_type=got.headers.get("Content-Type", ""),
            QUERY_STRING=got.query,
        )


def paid(till: Till, attempt: Attempt, **options: Any) -> Received:
    till.wallet.pay("epay", attempt.out_trade_no, **options)
    return till.caught()[0]


def lie(till: Till, attempt: Attempt, variant: str = "resend", **more: Any) -> Received:
    """A notice under the true key of a payment that never was."""
    till.wallet.notify("epay", attempt.out_trade_no, variant, **more)
    return till.caught()[0]


def doubts() -> list[tuple[str, str, str]]:
    return list(BillDifference.objects.values_list("kind", "number", "state"))


def cut_off(till: Till) -> None:
    """From now on the aggregator answers no query."""
    till.wallet.fault("epay", "query", "500")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_true_notice_is_confirmed_and_activates_at_once(
    till: Till, member: Member, attempt: Attempt, method: str
) -> None:
    """B6: by GET and by POST; what is booked is the query's answer."""
    till.wallet.control("epay/", {"notifies_by": method})
    answer = deliver(till, paid(till, attempt))
    assert (answer.status_code, answer.content) == (200, b"success")
    assert fresh(attempt.order).status == "paid"
    assert counts(member)["entitlements"] == 1
    outcomes = GatewayEvent.objects.order_by("id").values_list("kind", "outcome")
    assert list(outcomes) == [("query", "settled"), ("notice", "duplicate")]
    assert len(till.wallet.calls("epay", "query")) == 1
    assert broken(till.now) == []


def test_the_same_notice_again_asks_nobody(till: Till, attempt: Attempt) -> None:
    """B7, security 38"""
    notice = paid(till, attempt)
    for _ in range(3):
        assert deliver(till, notice).content == b"success"
    assert len(till.wallet.calls("epay", "query")) == 1
    assert broken(till.now) == []


def test_a_success_that_the_query_denies_grants_nothing(
    till: Till, member: Member, attempt: Attempt
) -> None:
    """40: not even twice within the seconds in which other queries are throttled."""
    notice = lie(till, attempt)
    for _ in range(2):
        assert deliver(till, notice).content == b"fail"
    assert fresh(attempt.order).status == "pending"
    assert fresh(attempt).state == "open"
    assert counts(member)["entitlements"] == 0
    assert doubts() == [("unconfirmed", attempt.out_trade_no, "open")]
    assert broken(till.now) == []


def test_the_true_payment_settles_after_a_lie(till: Till, attempt: Attempt) -> None:
    """40: a person still sees that somebody has named a transaction that is none."""
    notice = lie(till, attempt)
    deliver(till, notice)
    till.wallet.pay("epay", attempt.out_trade_no, notify="lose")
    assert deliver(till, notice).content == b"success"
    assert fresh(attempt.order).status == "paid"
    assert doubts() == [("unconfirmed", attempt.out_trade_no, "open")]


def test_a_lie_about_an_expired_order_grants_nothing(
    till: Till, attempt: Attempt
) -> None:
    """40: status from closed. An unpaid epay trade ends on our side alone."""
    till.wait(minutes=31)
    till.expire()
    assert (fresh(attempt).state, fresh(attempt.order).status) == ("closed", "expired")
    assert deliver(till, lie(till, attempt)).content == b"fail"
    assert fresh(attempt.order).status == "expired"


def test_late_money_is_ordinary_here(till: Till, attempt: Attempt) -> None:
    """R10: the aggregator knows no time limit, so an hour late is still a sale."""
    till.wait(minutes=31)
    till.expire()
    till.wait(hours=1)
    assert deliver(till, paid(till, attempt)).content == b"success"
    assert fresh(attempt.order).status == "paid"
    assert broken(till.now) == []


def test_late_money_is_found_without_a_notice(till: Till, attempt: Attempt) -> None:
    """B19"""
    till.wait(minutes=31)
    till.expire()
    till.wallet.pay("epay", attempt.out_trade_no, notify="lose")
    till.wait(hours=1)
    till.poll()
    assert fresh(attempt.order).status == "paid"


def test_another_sum_is_what_the_query_says_it_is(
    till: Till, member: Member, attempt: Attempt
) -> None:
    """C1, security 36: kept for an operator, nothing granted."""
    assert deliver(till, paid(till, attempt, amount_fen=1_499)).content == b"fail"
    assert (fresh(attempt).state, fresh(attempt).paid_fen) == ("paid", 1_499)
    assert fresh(attempt.order).status == "pending"
    assert counts(member)["entitlements"] == 0
    assert list(cases.unallocated()) == [attempt]


def test_a_true_payment_is_granted_whatever_sum_a_liar_names(
    till: Till, attempt: Attempt
) -> None:
    till.wallet.pay("epay", attempt.out_trade_no, notify="lose")
    assert deliver(till, lie(till, attempt, "wrong_amount")).content == b"success"
    assert fresh(attempt).paid_fen == 1_500
    assert fresh(attempt.order).status == "paid"


def test_a_second_payment_is_flagged(till: Till, attempt: Attempt) -> None:
    """C6"""
    deliver(till, paid(till, attempt))
    till.wallet.pay("epay", attempt.out_trade_no, txn_id="SECOND1")
    second = till.caught()[0]
    deliver(till, second)
    outcomes = GatewayEvent.objects.values_list("outcome", flat=True)
    assert "overpaid" in outcomes or Refund.objects.exists()


# --- While the query gives no answer --------------------------------------------------


def test_without_an_answer_small_sums_are_granted_and_asked_about_again(
    till: Till, attempt: Attempt
) -> None:
    """40: within ten minutes; agreement leaves no trace."""
    notice = paid(till, attempt)
    cut_off(till)
    assert deliver(till, notice).content == b"success"
    assert fresh(attempt.order).status == "paid"
    till.wallet.clear_faults()
    till.wait(minutes=10)
    till.run_outbox()
    assert confirmation.confirm_due(now=till.now) == 1
    assert fresh(attempt).confirm_at is None
    assert doubts() == []
    assert broken(till.now) == []


def test_a_lie_that_was_granted_is_found_out_within_ten_minutes(
    till: Till, attempt: Attempt
) -> None:
    """40: somebody must look, although (or because) the order counts as paid."""
    notice = lie(till, attempt)
    cut_off(till)
    deliver(till, notice)
    assert fresh(attempt.order).status == "paid"
    till.wallet.clear_faults()
    till.wait(minutes=10)
    confirmation.confirm_due(now=till.now)
    assert doubts() == [("unconfirmed", attempt.out_trade_no, "open")]


def test_the_question_is_repeated_until_somebody_answers(
    till: Till, attempt: Attempt
) -> None:
    notice = paid(till, attempt)
    cut_off(till)
    deliver(till, notice)
    till.wait(minutes=6)
    confirmation.confirm_due(now=till.now)
    assert fresh(attempt).confirm_at is not None
    till.wallet.clear_faults()
    till.wait(minutes=2)
    confirmation.confirm_due(now=till.now)
    assert fresh(attempt).confirm_at is None


def test_larger_sums_wait_for_an_answer(till: Till, attempt: Attempt) -> None:
    """The limit is the operator's; then the poll brings what the notice could not."""
    limit(1_499)
    notice = paid(till, attempt)
    cut_off(till)
    assert deliver(till, notice).content == b"fail"
    assert fresh(attempt.order).status == "pending"
    till.wallet.clear_faults()
    till.wait(minutes=1)
    till.poll()
    assert fresh(attempt.order).status == "paid"


def test_without_an_answer_no_other_sum_is_even_kept(
    till: Till, attempt: Attempt
) -> None:
    """Else one lie would make the true payment look like a second one."""
    low = lie(till, attempt, "wrong_amount")
    cut_off(till)
    assert deliver(till, low).content == b"fail"
    assert fresh(attempt).state == "open"
    till.wallet.clear_faults()
    assert deliver(till, paid(till, attempt)).content == b"success"
    assert broken(till.now) == []


# --- Several at once, several channels --------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_eight_equal_notices_grant_once(
    till: Till, member: Member, attempt: Attempt
) -> None:
    """G1"""
    notice = paid(till, attempt)
    with till.stopped_clock():
        answers = at_once(
            *[
                lambda: Client().generic(
                    "GET", "/payments/epay/notify/", QUERY_STRING=notice.query
                )
            ]
            * 8
        )
    assert {answer.content for answer in answers} == {b"success"}
    assert counts(member)["entitlements"] == 1
    assert broken(till.now) == []


def test_surplus_money_goes_back_whole_by_itself(
    till: Till, order: Order, attempt: Attempt
) -> None:
    """C6, R6: WeChat was first; what phone credit paid is refunded in full."""
    wechat = till.pay(order, WECHAT)
    till.hear(wechat)
    assert deliver(till, paid(till, attempt)).content == b"success"
    refund = Refund.objects.get(attempt=attempt)
    assert (refund.reason, refund.amount_fen) == ("surplus", 1_500)
    till.run_outbox()
    assert fresh(refund).state == "success"
    [sent] = till.wallet.trade("epay", attempt.out_trade_no)["refunds"]
    assert sent["amount_fen"] == 1_500
    assert broken(till.now) == []


def test_a_refund_that_the_aggregator_refuses_waits_for_an_operator(
    till: Till, order: Order, attempt: Attempt
) -> None:
    """F9"""
    wechat = till.pay(order, WECHAT)
    till.hear(wechat)
    deliver(till, paid(till, attempt))
    till.wallet.plan_refunds("epay", "fail")
    till.run_outbox()
    assert fresh(Refund.objects.get(attempt=attempt)).state == "failed"
    assert list(cases.unallocated()) == [fresh(attempt)]


def test_another_type_gets_an_attempt_of_its_own(
    till: Till, order: Order, attempt: Attempt
) -> None:
    """R11, K10: the first cannot be closed there; it ends here and is asked about on."""
    EpayChannel.objects.create(code="qq", label="QQ 钱包", epay_type="qqpay")
    other = till.pay(order, Way("epay", "qq", "qqpay", "203.0.113.9"))
    assert (fresh(attempt).state, other.state) == ("closed", "open")
    assert other.out_trade_no != attempt.out_trade_no
    assert fresh(attempt).next_query_at is not None
    till.wallet.pay("epay", attempt.out_trade_no, notify="lose")
    till.now += timedelta(minutes=1)
    till.set_clock(till.now)
    till.poll()
    assert fresh(order).settled_by == attempt
