"""Money that a gateway returned on its own account, and came back: F12, F13."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.test import Client
from pytest_django import Settings

from members.models import Entitlement, Member
from payments import cases
from payments.console import decisions
from payments.gateways.contract import RefundResult, RefundState
from payments.models import Attempt, GatewayEvent, Refund
from payments.refunding import refunds
from tests.payments.far_side import FarAlipay
from tests.shopping import ALIPAY, WECHAT, Till, fresh
from tests.shopping import broken as unsound

DAY = 86_400
WEEK = 7 * DAY


@pytest.fixture
def attempt(book: Till, member: Member) -> Attempt:
    """Seven days for ¥15, paid by WeChat, which names each refund."""
    return paid(book, member)


def paid(book: Till, member: Member, way: object = WECHAT) -> Attempt:
    attempt = book.bill(member, way=way)  # type: ignore[arg-type]
    book.hear(attempt)
    return fresh(attempt)


def says(attempt: Attempt, number: str, **more: object) -> RefundResult:
    return RefundResult(
        **{  # type: ignore[arg-type]
            "number": number,
            "trade_number": attempt.out_trade_no,
            "state": RefundState.SUCCESS,
            **more,
        }
    )


def hear(book: Till, attempt: Attempt, number: str, **more: object) -> str:
    result = says(attempt, number, **more)
    digest = f"{number} {more}"
    return refunds.apply_refund(
        attempt.gateway, result, digest=digest[:64], now=book.now
    )


def external() -> list[tuple[int, int]]:
    rows = Refund.objects.filter(reason="external").order_by("pk")
    return list(rows.values_list("amount_fen", "revoked_seconds"))


def broken(book: Till) -> list[str]:
    return unsound(book.now, besides=("INV-6", "INV-10", "INV-16"))


def test_a_refund_we_did_not_ask_for_is_booked_and_shrinks_the_time(
    book: Till, member: Member, attempt: Attempt
):
    """F12 [K15]: told three times, one row; the member is flagged."""
    for _ in range(3):
        outcome = hear(
            book, attempt, "CONSOLE1", refund_fen=500, gateway_refund_id="50001"
        )
        assert outcome in ("external", "refund")
    assert external() == [(500, 201_600)]
    row = Refund.objects.get()
    assert (row.state, row.gateway_refund_id) == ("success", "50001")
    assert row.out_refund_no == "CONSOLE1"
    assert fresh(attempt).refund_reserved_fen == 500
    member = fresh(member)
    assert member.paid_until == book.now + timedelta(seconds=WEEK - 201_600)
    assert member.risk_flag_until == book.now + timedelta(days=90)
    assert not cases.open_events().exists()
    assert broken(book) == []


def test_all_of_it_leaves_the_order_void(book: Till, member: Member, attempt: Attempt):
    """F12, F16."""
    book.wait(days=2)
    hear(book, attempt, "CONSOLE1", refund_fen=1_500, gateway_refund_id="50001")
    assert external() == [(1_500, 5 * DAY)]
    assert fresh(attempt.order).fulfil == "void"
    assert fresh(member).paid_until is None
    assert broken(book) == []


def test_a_number_that_another_gateway_uses_is_no_hindrance(
    book: Till, member: Member, attempt: Attempt, operator: Member
):
    """K13: ours stays ours."""
    ours = refunds.request(
        attempt.order_id, amount_fen=100, actor=operator, reason="", now=book.now
    )
    other = paid(book, member, ALIPAY)
    hear(book, other, ours.out_refund_no, refund_fen=500)
    assert len(external()) == 1
    assert fresh(ours).state == "requested"
    hear(book, other, ours.out_refund_no, refund_fen=500)
    assert len(external()) == 1


@pytest.mark.parametrize("order", [(500, 900), (900, 500)], ids=str)
def test_counted_sums_add_up_in_whatever_order_they_come(
    book: Till, member: Member, order: tuple[int, int]
):
    """F12, F28: Alipay counts what went back of a trade so far."""
    attempt = paid(book, member, ALIPAY)
    for total in order:
        for _ in range(2):
            hear(book, attempt, f"N{total}", refunded_total_fen=total)
    assert sum(fen for fen, _ in external()) == 900
    assert fresh(attempt).refund_reserved_fen == 900
    revoked = Entitlement.objects.get(order=attempt.order).revoked_seconds
    assert revoked == pytest.approx(WEEK * 900 // 1_500, abs=2)
    assert broken(book) == []


def test_our_own_refunds_are_not_counted_twice(
    book: Till, member: Member, operator: Member
):
    """The count told with our refund holds what was returned behind our back as well."""
    attempt = paid(book, member, ALIPAY)
    ours = refunds.request(
        attempt.order_id, amount_fen=300, actor=operator, reason="", now=book.now
    )
    outcome = hear(book, attempt, "N1", refunded_total_fen=300)
    assert outcome == "external"
    assert external() == []  # it may be ours, which is under way
    assert cases.open_events().count() == 1
    result = says(attempt, ours.out_refund_no, refunded_total_fen=800)
    refunds.apply_refund("alipay", result, now=book.now)
    assert fresh(ours).state == "success"
    assert [fen for fen, _ in external()] == [500]
    assert fresh(attempt).refund_reserved_fen == 800
    decisions.resolve(
        cases.open_events().get().pk, actor=operator, reason="是我们的", now=book.now
    )
    assert broken(book) == []


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"refund_fen": 0},
        {"refund_fen": 1_501},
        {"refunded_total_fen": 10**9},
    ],
    ids=str,
)
def test_what_makes_no_sense_waits_for_a_person(
    book: Till, attempt: Attempt, more: dict[str, object]
):
    assert hear(book, attempt, "N1", **more) == "external"
    assert external() == []
    assert cases.open_events().count() == 1
    assert fresh(attempt).refund_reserved_fen == 0


def test_a_number_paid_twice_is_left_to_a_person(book: Till, attempt: Attempt):
    """B14b: nobody can tell which of the two payments went back."""
    book.hear(attempt, txn_id="SECOND")
    hear(book, attempt, "N1", refund_fen=1_500)
    assert external() == []
    assert cases.open_events().filter(outcome="external").count() == 1


def test_a_refund_of_money_that_settles_nothing_takes_no_time(
    book: Till, member: Member
):
    """An unallocated payment that was returned in the gateway's console leaves the
    queue."""
    attempt = book.bill(member)
    book.hear(attempt, amount_fen=1_400)
    assert cases.unallocated().exists()
    hear(book, attempt, "N1", refund_fen=1_400)
    assert external() == [(1_400, 0)]
    assert not cases.unallocated().exists()
    assert broken(book) == []


@pytest.mark.parametrize("state", [RefundState.PROCESSING, RefundState.FAILED])
def test_only_success_moves_anything(book: Till, attempt: Attempt, state: RefundState):
    assert hear(book, attempt, "N1", refund_fen=500, state=state) == "noted"
    assert external() == []


def test_a_dispute_that_was_won_gives_the_time_back(
    book: Till, member: Member, attempt: Attempt, operator: Member
):
    """F13: the flag stays; the old notice once more changes nothing."""
    hear(book, attempt, "N1", refund_fen=1_500, gateway_refund_id="50001")
    flagged = fresh(member).risk_flag_until
    book.wait(days=10)
    row = Refund.objects.get()
    decisions.dispute_won(row.pk, actor=operator, reason="平台判我们赢", now=book.now)
    assert fresh(row).state == "failed"
    assert fresh(attempt).refund_reserved_fen == 0
    assert fresh(attempt.order).fulfil == "done"
    member = fresh(member)
    assert member.paid_until == book.now + timedelta(days=7)
    assert member.risk_flag_until == flagged
    hear(book, attempt, "N1", refund_fen=1_500, gateway_refund_id="50001")
    assert fresh(row).state == "failed"
    with pytest.raises(decisions.NotWaiting):
        decisions.dispute_won(row.pk, actor=operator, reason="", now=book.now)
    assert not cases.waiting_refunds().exists()
    assert broken(book) == []


def test_a_refund_of_ours_cannot_be_won_back(
    book: Till, attempt: Attempt, operator: Member
):
    ours = refunds.request(
        attempt.order_id, amount_fen=500, actor=operator, reason="", now=book.now
    )
    with pytest.raises(decisions.NotWaiting):
        decisions.dispute_won(ours.pk, actor=operator, reason="", now=book.now)


def test_a_genuine_notice_of_alipay_books_it_through_the_front_door(
    book: Till, member: Member, settings: Settings
):
    """F12 by a signed notice: the seconds shrink."""
    for name, value in FarAlipay.settings().items():
        setattr(settings, name, value)
    attempt = paid(book, member, ALIPAY)
    fields = FarAlipay.paid(
        attempt.out_trade_no,
        refund_fee="5.00",
        out_biz_no="CONSOLE-7",
        gmt_refund="2026-11-22 10:30:00.000",
    )
    body = urlencode(FarAlipay.signed(fields))
    for _ in range(2):
        with book.stopped_clock():
            answer = Client().post(
                "/payments/alipay/notify/",
                body,
                content_type="application/x-www-form-urlencoded",
            )
        assert answer.content == b"success"
    assert external() == [(500, 201_600)]
    event = GatewayEvent.objects.get(kind="refund")
    assert (event.outcome, event.resolved_at) == ("external", book.now)
