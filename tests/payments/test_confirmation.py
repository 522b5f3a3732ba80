"""security 40: a success that only a notice tells may be a lie; the gateway is asked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from members import rules
from members.models import Member, ShopRules
from payments import confirmation
from payments.models import Attempt, GatewayEvent
from payments.reconciling.bill_models import BillDifference
from payments.settle import Source, apply_result
from tests.shopping import WECHAT, Till, broken, counts, fresh, said, statements

pytestmark = pytest.mark.django_db


@pytest.fixture
def attempt(till: Till, member: Member) -> Attempt:
    """Open at WeChat for ¥15.00."""
    return till.pay(till.place(member), WECHAT)


def limit(fen: int) -> None:
    row = ShopRules.objects.first() or ShopRules()
    row.confirm_above_fen = fen
    row.save()
    rules.forget()


def lie(till: Till, attempt: Attempt) -> Any:
    """A success with the gateway's own signature, for a trade that nobody paid."""
    number = attempt.out_trade_no
    till.wallet.pay("wechat", number, notify="send")
    (notice,) = till.caught()
    till.wallet.control("reset/", {})
    till.set_clock(till.now)
    return till.deliver(notice, gateway="wechat")


def truth(till: Till, attempt: Attempt) -> Any:
    till.wallet.pay("wechat", attempt.out_trade_no, notify="send")
    (notice,) = till.caught()
    return till.deliver(notice, gateway="wechat")


def cases() -> list[tuple[str, str, str]]:
    return list(BillDifference.objects.values_list("kind", "number", "state"))


def test_a_success_above_the_limit_is_asked_for_first(
    till: Till, member: Member, attempt: Attempt
):
    limit(1_499)
    assert truth(till, attempt).status_code == 204
    assert fresh(attempt.order).status == "paid"
    assert len(till.wallet.calls(method="query")) == 1
    assert counts(member)["entitlements"] == 1


def test_a_lie_above_the_limit_settles_nothing(
    till: Till, member: Member, attempt: Attempt
):
    """Recorded, failure words, a case; and repeating it changes nothing."""
    limit(1_499)
    answer = lie(till, attempt)
    assert answer.status_code >= 400
    assert (fresh(attempt).state, fresh(attempt.order).status) == ("open", "pending")
    assert counts(member)["entitlements"] == 0
    assert cases() == [("unconfirmed", attempt.out_trade_no, "open")]
    assert GatewayEvent.objects.get().outcome == "noted"
    assert broken(till.now) == []


def test_a_large_success_waits_for_a_gateway_that_gives_no_answer(
    till: Till, attempt: Attempt
):
    """Not believed on the notice alone; the next poll that gets an answer settles it."""
    limit(1_499)
    till.wallet.fault("wechat", "query", "500")
    assert truth(till, attempt).status_code >= 400
    assert fresh(attempt.order).status == "pending"
    till.wallet.clear_faults()
    till.wait(seconds=5)
    assert till.poll() == 1
    assert fresh(attempt.order).status == "paid"
    assert cases() == []


@pytest.mark.parametrize("state", ["closed", "failed"])
def test_a_success_of_an_attempt_that_was_over_is_asked_for_first(
    till: Till, member: Member, attempt: Attempt, state: str
):
    """security 40 and dujiao-next 340: failed → success on a signature alone."""
    Attempt.objects.update(state=state, next_query_at=None)
    assert lie(till, attempt).status_code >= 400
    assert fresh(attempt).state == state
    assert counts(member)["entitlements"] == 0
    assert cases() == [("unconfirmed", attempt.out_trade_no, "open")]


def test_a_true_success_of_an_attempt_that_was_over_settles(
    till: Till, attempt: Attempt
):
    """B9, R1"""
    Attempt.objects.update(state="closed", next_query_at=None)
    assert truth(till, attempt).status_code == 204
    assert fresh(attempt.order).status == "paid"
    assert cases() == []


def test_within_the_limit_it_is_believed_while_nobody_answers(
    till: Till, attempt: Attempt
):
    """B9: money truth wins; the question is asked again within ten minutes."""
    Attempt.objects.update(state="closed", next_query_at=None)
    till.wallet.fault("wechat", "query", "500")
    assert truth(till, attempt).status_code == 204
    assert fresh(attempt.order).status == "paid"
    assert fresh(attempt).confirm_at == till.now + timedelta(minutes=5)


def test_every_success_by_notice_is_asked_for_once_within_ten_minutes(
    till: Till, attempt: Attempt
):
    truth(till, attempt)
    assert len(till.wallet.calls(method="query")) == 0
    till.wait(minutes=5)
    assert confirmation.confirm_due(now=till.now) == 1
    assert len(till.wallet.calls(method="query")) == 1
    assert fresh(attempt).confirm_at is None
    till.wait(hours=1)
    assert confirmation.confirm_due(now=till.now) == 0
    assert cases() == []


def test_what_a_query_told_needs_no_second_question(till: Till, attempt: Attempt):
    till.wallet.pay("wechat", attempt.out_trade_no, notify="lose")
    till.wait(seconds=30)
    till.poll()
    assert (fresh(attempt).state, fresh(attempt).confirm_at) == ("paid", None)


def test_a_lie_within_the_limit_becomes_a_case_and_takes_nothing_back(
    till: Till, member: Member, attempt: Attempt, caplog: pytest.LogCaptureFixture
):
    assert lie(till, attempt).status_code == 204
    assert fresh(attempt.order).status == "paid"
    till.wait(minutes=6)
    confirmation.confirm_due(now=till.now)
    assert cases() == [("unconfirmed", attempt.out_trade_no, "open")]
    assert "does not confirm" in caplog.text
    assert (fresh(attempt).state, fresh(attempt.order).status) == ("paid", "paid")
    assert counts(member)["entitlements"] == 1
    assert counts(member)["refunds"] == 0
    till.wait(minutes=3)
    confirmation.confirm_due(now=till.now)
    assert len(cases()) == 1
    till.run_outbox()
    assert broken(till.now) == []


def test_another_sum_than_notified_is_a_case(till: Till, attempt: Attempt):
    truth(till, attempt)
    Attempt.objects.update(paid_fen=2_000)
    till.wait(minutes=5)
    confirmation.confirm_due(now=till.now)
    row = BillDifference.objects.get()
    assert (row.kind, row.ours_fen, row.theirs_fen) == ("unconfirmed", 2_000, 1_500)


def test_the_case_closes_itself_when_the_gateway_says_yes_later(
    till: Till, attempt: Attempt
):
    """Its own query may lag behind its notice."""
    till.hear(attempt, txn_id="4200000000")
    till.wait(minutes=5)
    confirmation.confirm_due(now=till.now)
    assert cases() == [("unconfirmed", attempt.out_trade_no, "open")]
    till.wallet.pay("wechat", attempt.out_trade_no, notify="lose")
    txn_id = till.wallet.trade("wechat", attempt.out_trade_no)["payments"][0]["txn_id"]
    Attempt.objects.update(txn_id=txn_id)
    till.wait(minutes=2)
    confirmation.confirm_due(now=till.now)
    assert cases() == [("unconfirmed", attempt.out_trade_no, "healed")]


def test_a_gateway_that_never_answers_leaves_a_case_after_a_day(
    till: Till, attempt: Attempt
):
    truth(till, attempt)
    till.wallet.fault("wechat", "query", "500")
    asked = 0
    while (due := fresh(attempt).confirm_at) is not None:
        till.set_clock(due)
        asked += confirmation.confirm_due(now=till.now)
    assert 40 < asked < 80
    assert cases() == [("unconfirmed", attempt.out_trade_no, "open")]


def test_settling_costs_no_statement_more(
    book: Till, member: Member, django_assert_max_num_queries: Any
):
    """The budget of apply_result stays: 18 statements."""
    attempt = book.bill(member)
    trade, source = said(attempt), Source("notice", "d" * 64, doubt=True)
    with django_assert_max_num_queries(30) as asked:
        apply_result(attempt.gateway, trade, source=source, now=book.now)
    assert len(statements(asked)) <= 18
    assert fresh(attempt).confirm_at is not None
