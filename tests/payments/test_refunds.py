"""Money going back: booked once, sent under one number, ended by what the gateway says."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from members.models import Member
from notifications.models import Outbox
from payments import cases
from payments.gateways.contract import RefundResult, RefundState
from payments.models import Attempt, EventOutcome, GatewayEvent, Refund
from payments.refunding import refunds
from tests.shopping import ALIPAY, WECHAT, Till, broken, events_of, fresh

WAYS = {"wechat": WECHAT, "alipay": ALIPAY}


@pytest.fixture(params=["wechat", "alipay"])
def refund(till: Till, member: Member, request: pytest.FixtureRequest) -> Refund:
    """A surplus payment that the shop has booked and not yet sent back."""
    return surplus(till, member, request.param)


def surplus(till: Till, member: Member, gateway: str) -> Refund:
    other = {"wechat": "alipay", "alipay": "wechat"}[gateway]
    order = till.place(member)
    needless = till.pay(order, WAYS[gateway])
    winner = till.pay(order, WAYS[other])
    till.hear(winner)
    payment = till.wallet.pay(gateway, needless.out_trade_no, notify="lose")
    till.hear(needless, txn_id=payment["payments"][0]["txn_id"])
    Outbox.objects.exclude(kind="refund.send").delete()
    return Refund.objects.get()


def says(refund: Refund, state: RefundState, **more: object) -> RefundResult:
    return RefundResult(
        number=refund.out_refund_no,
        trade_number=refund.attempt.out_trade_no,
        state=state,
        raw_state=state.value,
        **more,  # type: ignore[arg-type]
    )


def hear(till: Till, refund: Refund, state: RefundState) -> EventOutcome:
    result = says(refund, state)
    return refunds.apply_refund(refund.attempt.gateway, result, now=till.now)


def at_the_gateway(till: Till, refund: Refund) -> list[tuple[str, int, str]]:
    attempt = refund.attempt
    trade = till.wallet.trade(attempt.gateway, attempt.out_trade_no)
    return [(r["number"], r["amount_fen"], r["status"]) for r in trade["refunds"]]


def is_about(moment: datetime | None, expected: datetime) -> bool:
    """A run of the outbox adds the real seconds that have passed."""
    assert moment is not None
    return expected <= moment < expected + timedelta(seconds=20)


def end_of(till: Till, refund: Refund) -> str:
    """Run what is due until the refund has ended."""
    for _ in range(4):
        till.run_outbox()
        till.continue_refunds()
        if fresh(refund).state in ("success", "failed"):
            break
        till.wait(minutes=2)
    return fresh(refund).state


def test_it_is_sent_by_the_outbox_and_ends_in_success(till: Till, refund: Refund):
    """C6: the whole sum, under a number made from the attempt's."""
    assert end_of(till, refund) == "success"
    number = f"R{refund.attempt.out_trade_no}"
    assert at_the_gateway(till, refund) == [(number, 1_500, "success")]
    done = fresh(refund)
    assert done.out_refund_no == number
    assert is_about(done.finished_at, till.now)
    assert done.next_query_at is None
    assert events_of(refund.attempt.order)[-1] == "refunded"
    assert not cases.unallocated().exists()
    assert broken(till.now) == []


def test_sending_it_again_refunds_once(till: Till, refund: Refund):
    """R21 and F8: a worker died after the call; the same number goes out again."""
    end_of(till, refund)
    Refund.objects.filter(pk=refund.pk).update(state="requested", finished_at=None)
    Outbox.objects.filter(kind="refund.send").update(state="new", tries=0)
    assert end_of(till, refund) == "success"
    assert len(at_the_gateway(till, refund)) == 1


@pytest.mark.parametrize("done", [False, True], ids=["not-done", "done"])
def test_an_unclear_answer_is_asked_about_and_repeated_with_the_same_number(
    till: Till, refund: Refund, done: bool
):
    """F8 and H8, whether the lost answer meant yes or nothing."""
    till.wallet.fault(refund.attempt.gateway, "refund", "500", count=1, done=done)
    till.run_outbox()
    assert fresh(refund).state == "processing"
    assert is_about(fresh(refund).next_query_at, till.now + timedelta(minutes=1))
    till.wait(minutes=2)
    assert end_of(till, refund) == "success"
    assert at_the_gateway(till, refund) == [(refund.out_refund_no, 1_500, "success")]
    asked = till.wallet.calls(refund.attempt.gateway, "refund")
    assert len(asked) >= (1 if done else 2)


def test_a_refund_under_way_is_asked_about_until_it_ends(till: Till, member: Member):
    refund = surplus(till, member, "wechat")
    till.wallet.plan_refunds("wechat", "processing")
    till.run_outbox()
    assert fresh(refund).state == "processing"
    till.wait(minutes=2)
    assert till.continue_refunds() == 1
    assert till.continue_refunds() == 0
    assert fresh(refund).state == "processing"
    till.wallet.settle_refund("wechat", refund.out_refund_no, "success")
    till.wait(minutes=15)
    assert till.continue_refunds() == 1
    assert fresh(refund).state == "success"


def test_money_that_left_and_did_not_arrive_calls_for_a_person(
    till: Till, member: Member, caplog: pytest.LogCaptureFixture
):
    """WeChat's ABNORMAL: an operator decides in its console, the shop keeps asking."""
    refund = surplus(till, member, "wechat")
    till.wallet.plan_refunds("wechat", "abnormal")
    till.run_outbox()
    till.wait(minutes=2)
    till.continue_refunds()
    assert fresh(refund).state == "processing"
    assert fresh(refund).next_query_at is not None
    assert "ABNORMAL" in caplog.text


def test_a_refusal_releases_the_money_and_calls_for_a_person(
    till: Till, member: Member
):
    """F9 and F10: once, however often it is told."""
    refund = surplus(till, member, "wechat")
    till.wallet.plan_refunds("wechat", "closed")
    till.run_outbox()
    till.wait(minutes=2)
    till.continue_refunds()
    assert fresh(refund).state == "failed"
    for _ in range(3):
        assert hear(till, refund, RefundState.FAILED) == EventOutcome.REFUND
    attempt = fresh(refund.attempt)
    assert attempt.refund_reserved_fen == 0
    assert list(cases.unallocated()) == [attempt]
    assert events_of(attempt.order).count("refund-failed") == 1


def test_success_after_a_failure_wins(
    till: Till, refund: Refund, caplog: pytest.LogCaptureFixture
):
    """F11: the money is reserved again, and the shop says so loudly."""
    hear(till, refund, RefundState.FAILED)
    assert fresh(refund.attempt).refund_reserved_fen == 0
    caplog.clear()
    hear(till, refund, RefundState.SUCCESS)
    assert fresh(refund).state == "success"
    [alert] = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert "refund succeeded after it had failed" in alert
    assert fresh(refund.attempt).refund_reserved_fen == 1_500
    assert not cases.unallocated().exists()


def test_success_after_a_failure_whose_money_went_elsewhere_is_no_error(
    till: Till, refund: Refund
):
    """F11 and K12: more has gone out than came in; it is booked, not refused."""
    hear(till, refund, RefundState.FAILED)
    Attempt.objects.filter(pk=refund.attempt_id).update(refund_reserved_fen=1_000)
    hear(till, refund, RefundState.SUCCESS)
    assert fresh(refund).state == "success"
    assert fresh(refund.attempt).refund_reserved_fen == 1_500


@pytest.mark.parametrize(
    "state",
    [
        RefundState.FAILED,
        RefundState.PROCESSING,
        RefundState.UNKNOWN,
        RefundState.MISSING,
    ],
)
def test_nothing_undoes_a_success(till: Till, refund: Refund, state: RefundState):
    hear(till, refund, RefundState.SUCCESS)
    before = fresh(refund)
    hear(till, refund, state)
    assert fresh(refund).state == "success"
    assert fresh(refund.attempt).refund_reserved_fen == 1_500
    assert fresh(refund).finished_at == before.finished_at


def test_the_refund_of_another_gateway_is_not_touched(till: Till, refund: Refund):
    other = {"wechat": "alipay", "alipay": "wechat"}[refund.attempt.gateway]
    result = says(refund, RefundState.SUCCESS)
    outcome = refunds.apply_refund(other, result, digest="x", now=till.now)
    assert outcome == EventOutcome.EXTERNAL
    assert fresh(refund).state == "requested"
    assert GatewayEvent.objects.get(digest="x").outcome == "external"


def test_a_notice_ends_a_refund_once(till: Till, refund: Refund):
    """K24: told three times, one row and one line in the story."""
    for _ in range(3):
        refunds.apply_refund(
            refund.attempt.gateway,
            says(refund, RefundState.SUCCESS),
            digest="the-bytes",
            now=till.now,
        )
    assert GatewayEvent.objects.filter(digest="the-bytes").count() == 1
    assert events_of(refund.attempt.order).count("refunded") == 1


def test_a_refund_waits_while_its_gateway_is_off(
    till: Till, refund: Refund, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(refunds.gateways, "get", lambda code: None)  # type: ignore[attr-defined]
    till.run_outbox()
    assert fresh(refund).state == "requested"
    monkeypatch.undo()
    till.wait(minutes=2)
    assert end_of(till, refund) == "success"
