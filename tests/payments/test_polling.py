"""Asking the gateway, the end of the hold, cancelling: what happens without a notice."""

from __future__ import annotations

from datetime import timedelta

import pytest

from kameng import clock
from members import rules
from members.models import Member, Segment, ShopRules
from orders.closing import Closing
from orders.models import Order
from payments import polling
from payments.attempts import NotPayable
from payments.models import Attempt, Refund
from payments.polling import Asked
from tests.shopping import ALIPAY, WECHAT, Till, broken, counts, events_of, fresh


@pytest.fixture
def attempt(till: Till, member: Member) -> Attempt:
    """Open at WeChat."""
    return till.pay(till.place(member), WECHAT)


def questions(till: Till, attempt: Attempt) -> int:
    calls = till.wallet.calls(method="query", number=attempt.out_trade_no)
    return len(calls)


# --- Asking ------------------------------------------------------------------------


def test_it_asks_after_5_and_30_seconds_then_each_minute_then_hourly(
    till: Till, attempt: Attempt
):
    """R13, to the last hour of the day after the hold."""
    start, end = attempt.created_at, attempt.order.expires_at
    asked = []
    while (due := fresh(attempt).next_query_at) is not None:
        till.set_clock(due)
        asked.append(due)
        assert till.poll() == 1
        assert till.poll() == 0
    after = [int((due - start).total_seconds()) for due in asked if due <= end]
    assert after == [5, 30, *range(90, 1_800, 60), 1_800]
    hours = [(due - end).total_seconds() / 3_600 for due in asked if due > end]
    assert hours == list(range(1, 25))


def test_a_lost_notice_is_found_no_later_than_the_next_step(
    till: Till, member: Member, attempt: Attempt
):
    """B18 and B19: she closed the browser, and no notice came."""
    till.wait(seconds=5)
    till.poll()
    till.wallet.pay("wechat", attempt.out_trade_no, notify="lose")
    till.wait(seconds=24)
    assert till.poll() == 0
    till.wait(seconds=1)
    assert till.poll() == 1
    assert fresh(attempt.order).status == "paid"
    assert fresh(attempt).next_query_at is None
    assert counts(member)["entitlements"] == 1


def test_twenty_refreshes_ask_once_in_three_seconds(till: Till, attempt: Attempt):
    """B22."""
    asked = {polling.query_attempt(attempt, now=till.now) for _ in range(20)}
    assert asked == {Asked.ANSWERED, Asked.TOO_SOON}
    assert questions(till, attempt) == 1
    till.wait(seconds=2, milliseconds=999)
    assert polling.query_attempt(attempt, now=till.now) == Asked.TOO_SOON
    till.wait(milliseconds=1)
    assert polling.query_attempt(attempt, now=till.now) == Asked.ANSWERED
    assert questions(till, attempt) == 2


def test_a_gateway_that_does_not_answer_changes_nothing(till: Till, attempt: Attempt):
    till.wallet.fault("wechat", "query", "500")
    till.wait(seconds=5)
    assert till.poll() == 1
    row = fresh(attempt)
    assert (row.state, row.next_query_at) == (
        "open",
        attempt.created_at + timedelta(seconds=30),
    )


def test_paid_attempts_are_asked_no_more(till: Till, attempt: Attempt):
    till.hear(attempt)
    till.wait(hours=1)
    assert till.poll() == 0


def test_it_asks_so_many_at_a_time_oldest_first(till: Till, member: Member):
    bills = [till.bill(member) for _ in range(3)]
    first = bills[0]
    Attempt.objects.filter(pk=first.pk).update(next_query_at=till.now)
    till.wait(seconds=5)
    assert polling.poll_due(now=till.now, limit=1) == 1
    assert questions(till, first) == 1
    assert till.poll() == 2


# --- The end of the hold -----------------------------------------------------------


def test_an_order_without_a_live_attempt_expires_at_the_end(till: Till, member: Member):
    """A10: at the very second, and the page says so before the sweep."""
    order = till.place(member)
    till.set_clock(order.expires_at - timedelta(seconds=1))
    assert till.expire() == 0
    assert order.status_at(till.now) == "pending"
    till.set_clock(order.expires_at)
    assert order.status_at(till.now) == "expired"
    assert fresh(order).status == "pending"
    assert till.expire() == 1
    assert fresh(order).status == "expired"
    assert events_of(order) == ["placed", "expired"]
    assert till.expire() == 0


def test_it_closes_at_the_gateway_before_it_expires(till: Till, attempt: Attempt):
    """R9."""
    till.set_clock(attempt.order.expires_at)
    assert till.expire() == 1
    assert till.wallet.trade("wechat", attempt.out_trade_no)["state"] == "closed"
    assert (fresh(attempt).state, fresh(attempt.order).status) == ("closed", "expired")


def test_it_finds_out_at_the_end_that_it_was_paid(
    till: Till, member: Member, attempt: Attempt
):
    """R9: the close says paid, the query the rest."""
    till.wallet.pay("wechat", attempt.out_trade_no, notify="lose")
    till.set_clock(attempt.order.expires_at)
    assert till.expire() == 0
    assert fresh(attempt.order).status == "paid"
    assert counts(member)["entitlements"] == 1


def test_an_order_waits_ten_minutes_for_a_silent_gateway(till: Till, attempt: Attempt):
    """R9; then it expires and the attempt is still asked about."""
    till.wallet.fault("wechat", "close", "500")
    till.set_clock(attempt.order.expires_at)
    assert till.expire() == 0
    till.wait(minutes=9, seconds=59)
    assert till.expire() == 0
    till.wait(seconds=1)
    assert till.expire() == 1
    assert fresh(attempt.order).status == "expired"
    row = fresh(attempt)
    assert (row.state, row.next_query_at) == ("closed", till.now + timedelta(hours=1))
    till.wallet.pay("wechat", attempt.out_trade_no, notify="lose")
    till.wait(hours=1)
    till.poll()
    assert fresh(attempt.order).status == "paid"


def test_one_silent_gateway_holds_up_no_other_order(
    till: Till, member: Member, attempt: Attempt
):
    other = till.pay(till.place(member), ALIPAY)
    till.wallet.fault("wechat", "close", "500")
    till.set_clock(attempt.order.expires_at)
    assert till.expire() == 1
    assert fresh(other.order).status == "expired"


def test_after_two_hours_without_a_scheduler_all_is_reconciled(
    till: Till, member: Member, attempt: Attempt
):
    """H12: paid ones are found, the others expire; until then none is paid anew."""
    unpaid = till.pay(till.place(member), ALIPAY)
    till.wallet.pay("wechat", attempt.out_trade_no, notify="lose")
    till.wait(hours=2)
    assert fresh(unpaid.order).status == "pending"
    with pytest.raises(NotPayable):
        till.pay(unpaid.order, WECHAT)
    assert Attempt.objects.count() == 2
    till.poll()
    till.expire()
    assert fresh(attempt.order).status == "paid"
    assert fresh(unpaid.order).status == "expired"
    till.run_outbox()
    assert broken(till.now) == []


def test_time_that_settles_six_hours_late_starts_then_and_is_whole(
    till: Till, member: Member, attempt: Attempt
):
    """D10: paid at once, told to nobody, found by the poll after six hours."""
    till.wallet.pay("wechat", attempt.out_trade_no, notify="lose")
    till.wait(hours=6)
    assert till.poll() == 1
    settled = till.now
    assert fresh(attempt.order).paid_at == settled
    [segment] = Segment.objects.filter(member=member)
    assert (segment.starts_at, segment.ends_at) == (
        settled,
        settled + timedelta(days=7),
    )
    assert fresh(member).paid_until == settled + timedelta(days=7)
    assert not Refund.objects.exists()


def test_a_heap_of_orders_is_not_ended_by_a_clock_gone_wrong(
    book: Till, member: Member
):
    """FLT-33: both clocks jumped by a day; money is still found, nothing ends. Once a
    person has looked and raised the number, all of them do."""
    ShopRules.objects.update(expired_at_once=2)
    rules.forget()
    bills = [book.bill(member) for _ in range(3)]
    book.wait(days=1)
    with pytest.raises(clock.TooMuch, match="more than 2 orders"):
        book.expire()
    assert {fresh(bill.order).status for bill in bills} == {"pending"}
    book.hear(bills[0])
    assert fresh(bills[0].order).status == "paid"
    ShopRules.objects.update(expired_at_once=1)
    rules.forget()
    with pytest.raises(clock.TooMuch):
        book.expire()
    ShopRules.objects.update(expired_at_once=2)
    rules.forget()
    assert book.expire() == 2
    assert [fresh(bill.order).status for bill in bills[1:]] == ["expired"] * 2


def test_orders_that_wait_for_a_gateway_are_no_heap(book: Till, member: Member):
    """R9 and FLT-33: an outage of ten minutes alarms nobody."""
    ShopRules.objects.update(expired_at_once=1)
    rules.forget()
    for _ in range(3):
        book.bill(member)  # at a gateway that is off
    book.wait(minutes=39, seconds=59)
    assert book.expire() == 0


# --- Cancelling --------------------------------------------------------------------


def test_she_cancels_once(book: Till, member: Member):
    """A12."""
    order = book.place(member)
    assert polling.cancel(order.pk, now=book.now) == Closing.DONE
    assert polling.cancel(order.pk, now=book.now) == Closing.CLOSED
    assert events_of(order) == ["placed", "cancelled"]
    assert fresh(order).version == 1


def test_a_paid_order_is_neither_cancelled_nor_expired(book: Till, member: Member):
    """A13."""
    attempt = book.bill(member)
    book.hear(attempt)
    order = fresh(attempt.order)
    assert polling.cancel(order.pk, now=book.now) == Closing.PAID
    book.wait(hours=1)
    assert book.expire() == 0
    assert (fresh(order).status, fresh(order).version) == ("paid", order.version)


def test_an_expired_order_is_not_cancelled(book: Till, member: Member):
    order = book.place(member)
    book.wait(minutes=30)
    book.expire()
    assert polling.cancel(order.pk, now=book.now) == Closing.CLOSED
    assert fresh(order).status == "expired"


def test_an_order_with_money_that_differs_is_not_cancelled(book: Till, member: Member):
    """A12 and C5: an operator may still accept it; she is not left with nothing."""
    attempt = book.bill(member)
    book.hear(attempt, amount_fen=1_400)
    assert polling.cancel(attempt.order_id, now=book.now) == Closing.PAID
    assert fresh(attempt.order).status == "pending"


def test_the_limit_at_the_gateway_is_the_end_of_the_hold(till: Till, member: Member):
    """R8: a wallet that opens late cannot pay."""
    order: Order = till.place(member)
    attempt = till.pay(order, ALIPAY)
    trade = till.wallet.trade("alipay", attempt.out_trade_no)
    assert trade["expires_at"].startswith("2026-11-22T02:30:00")
