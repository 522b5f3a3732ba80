"""F7 and G8 with real threads: refunds against each other and against what gateways say.

Each race has a control: with the locks taken away the harness must see it go wrong.
"""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import F

from members.models import Entitlement, Member
from orders.models import Order
from payments.attempts import create_locked
from payments.console import decisions, held, offline
from payments.gateways.contract import RefundResult, RefundState
from payments.models import Attempt, Refund
from payments.refunding import refunds, returning
from tests.races import at_once, errors, hesitate, take_locks_away
from tests.shopping import ALIPAY, Till, broken, fresh, new_member

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 3
WEEK = 7 * 86_400


@pytest.fixture(autouse=True)
def _overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Booking takes a moment between its first reading and its first writing."""
    hesitate(monkeypatch, refunds, "seconds_for", seconds=0.1)


def bought(book: Till) -> Order:
    attempt = book.bill(new_member())
    book.hear(attempt)
    return fresh(attempt.order)


def two_operators(book: Till, operator: Member) -> list[str]:
    """What became of both; a crash is no refusal."""
    order = bought(book)

    def ask() -> str:
        refunds.request(
            order.pk, amount_fen=1_500, actor=operator, reason="", now=book.now
        )
        return "booked"

    return sorted(kind(end) for end in at_once(ask, ask))


def kind(end: object) -> str:
    return type(end).__name__ if isinstance(end, Exception) else str(end)


def test_f7_two_operators_refund_once(book: Till, operator: Member):
    """F7 [K12 and the lock]; security 46."""
    for _ in range(ROUNDS):
        assert two_operators(book, operator) == ["NotRefundable", "booked"]
    assert Refund.objects.count() == ROUNDS
    assert broken(book.now) == []


def test_control_without_locks_two_operators_collide(
    book: Till, operator: Member, monkeypatch: pytest.MonkeyPatch
):
    take_locks_away(monkeypatch)
    seen = [two_operators(book, operator) for _ in range(ROUNDS)]
    assert any(ends != ["NotRefundable", "booked"] for ends in seen)


def member_operator_and_surplus(book: Till, operator: Member) -> list[str]:
    """She returns it, an operator refunds half, and a second payment comes in."""
    order = bought(book)
    rival = create_locked(order, ALIPAY, now=book.now)
    ends = at_once(
        lambda: (
            returning.return_unused(
                order.pk, member_id=order.member_id, shown_fen=1_500, now=book.now
            )
            and "returned"
        ),
        lambda: (
            refunds.request(
                order.pk, amount_fen=750, actor=operator, reason="", now=book.now
            )
            and "part"
        ),
        lambda: str(book.hear(rival)),
    )
    assert Refund.objects.filter(attempt=rival).count() == 1
    return [kind(end) for end in ends]


SERIAL = (
    ["returned", "NotRefundable", "surplus"],
    ["NotReturnable", "part", "surplus"],
)


def test_g8_a_refund_request_and_surplus_money_at_once(book: Till, operator: Member):
    """G8: K12 holds, and it ends as if one had come after the other."""
    for _ in range(ROUNDS):
        assert member_operator_and_surplus(book, operator) in SERIAL
    assert not Attempt.objects.filter(refund_reserved_fen__gt=F("paid_fen")).exists()
    assert broken(book.now) == []


def test_control_without_locks_g8_is_neither_serial_order(
    book: Till, operator: Member, monkeypatch: pytest.MonkeyPatch
):
    hesitate(monkeypatch, refunds, "book", seconds=0.2)
    take_locks_away(monkeypatch)
    seen = [member_operator_and_surplus(book, operator) for _ in range(ROUNDS)]
    assert any(ends not in SERIAL for ends in seen)


def failures_at_once(book: Till, operator: Member) -> tuple[int, list[Any]]:
    """Four tellings that a refund has failed; the seconds taken back afterwards."""
    order = bought(book)
    refund = refunds.request(
        order.pk, amount_fen=1_500, actor=operator, reason="", now=book.now
    )
    failed = RefundResult(
        refund.out_refund_no, refund.attempt.out_trade_no, RefundState.FAILED
    )

    def tell() -> str:
        return str(refunds.apply_refund("wechat", failed, now=book.now))

    ends = at_once(*[tell] * 4)
    return Entitlement.objects.get(order=order).revoked_seconds, ends


def test_f10_the_seconds_come_back_once(book: Till, operator: Member):
    for _ in range(ROUNDS):
        assert failures_at_once(book, operator) == (0, ["refund"] * 4)
    assert broken(book.now, besides=("INV-12",)) == []


def test_control_without_locks_the_seconds_come_back_in_errors(
    book: Till, operator: Member, monkeypatch: pytest.MonkeyPatch
):
    """K17 still forbids less than nothing taken back, as an error."""
    hesitate(monkeypatch, refunds, "fail_locked", seconds=0.2)
    take_locks_away(monkeypatch)
    seen = [failures_at_once(book, operator) for _ in range(ROUNDS)]
    assert any(seen_once != (0, ["refund"] * 4) for seen_once in seen)


def test_i7_approving_and_rejecting_at_once_is_one_of_them(
    book: Till, operator: Member
):
    """I7."""
    for _ in range(ROUNDS):
        attempt = book.bill(new_member())
        Order.objects.filter(pk=attempt.order_id).update(risk="review")
        book.hear(attempt)
        decided: dict[str, Any] = {"actor": operator, "reason": "", "now": book.now}
        pk = attempt.order_id
        ends = at_once(
            lambda: held.approve(pk, **decided).fulfil,  # noqa: B023
            lambda: held.reject(pk, **decided).state,  # noqa: B023
        )
        assert [type(end) for end in errors(ends)] == [held.NotHeld]
        given = Entitlement.objects.filter(order_id=pk).count()
        returned = Refund.objects.filter(attempt=attempt).count()
        assert given + returned == 1
    assert broken(book.now) == []


def test_i2_one_reference_pays_one_order_whoever_is_first(book: Till, operator: Member):
    """I2 [K9]: two orders, one bank transfer."""
    for nth in range(ROUNDS):
        pending = [book.place(new_member()).pk for _ in range(2)]
        ends = at_once(
            *[
                lambda pk=pk: (
                    offline.mark_paid(
                        pk,
                        reference=f"BANK-{nth}",  # noqa: B023
                        reason="转账",
                        actor=operator,
                        now=book.now,
                    ).status
                )
                for pk in pending
            ]
        )
        assert sorted(kind(end) for end in ends) == ["ReferenceTaken", "paid"]
    assert broken(book.now) == []


def test_a_second_payment_goes_back_once_however_many_ask(book: Till, operator: Member):
    """B14b: two messages of one transaction on two desks."""
    order = bought(book)
    attempt: Attempt = order.settled_by
    book.hear(attempt, txn_id="SECOND")
    first = attempt.gateway_events.get(outcome="overpaid")
    first.pk, first.digest = None, "other"
    first.save(force_insert=True)
    ids = attempt.gateway_events.filter(outcome="overpaid").values_list("pk", flat=True)

    def give_back(pk: int) -> str:
        decisions.return_second_payment(pk, actor=operator, reason="", now=book.now)
        return "booked"

    ends = at_once(*[lambda pk=pk: give_back(pk) for pk in (*ids, *ids)])
    assert sorted(kind(end) for end in ends) == ["NotWaiting"] * 3 + ["booked"]
    assert broken(book.now) == []
