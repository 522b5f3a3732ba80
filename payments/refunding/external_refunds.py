"""Refunds that we did not ask for: made in the gateway's own console, by a complaint or
a chargeback (F12). The money is gone; the books, the time and the member follow.

A gateway either names each refund (WeChat) or counts what went back of a trade so far
(Alipay); of a count, what goes beyond our own refunds is external, in whatever order
the notices come. Functions expect no lock and run in the caller's transaction.
"""

from __future__ import annotations

import hashlib
import logging
from datetime import datetime, timedelta

from members import timeline
from orders.closing import lock_order
from orders.models import OrderEvent
from payments import telling
from payments.gateways.contract import RefundResult
from payments.gateways.contract import RefundState as Said
from payments.models import (
    UNDER_WAY,
    Attempt,
    AttemptState,
    EventOutcome,
    Refund,
    RefundReason,
    RefundState,
)
from payments.refunding import refund_effects
from payments.refunding.refund_proposal import seconds_for

log = logging.getLogger(__name__)

FLAGGED = timedelta(days=90)
"""So long a member whose money was taken back is looked at twice (F12, F13)."""


def book_unknown(
    gateway: str, result: RefundResult, *, now: datetime
) -> tuple[EventOutcome, bool]:
    """Book a refund whose number is none of ours.

    Returns what it was, and False when a person has to find out what it was.
    """
    log.error("gateway=%s refund that we did not ask for", gateway)
    attempt = Attempt.objects.filter(
        gateway=gateway, out_trade_no=result.trade_number, state=AttemptState.PAID
    ).first()
    if attempt is None:
        return EventOutcome.EXTERNAL, False
    if result.state != Said.SUCCESS:
        return EventOutcome.NOTED, True
    attempt = _locked(attempt)
    if _is_of_several_payments(attempt):
        return EventOutcome.EXTERNAL, False
    if result.refund_fen is not None:
        return EventOutcome.EXTERNAL, _book(attempt, result, result.refund_fen, now=now)
    beyond = _beyond(attempt, result)
    if beyond > 0:
        return EventOutcome.EXTERNAL, _book(attempt, result, beyond, now=now)
    told = result.refunded_total_fen is not None
    in_doubt = attempt.refunds.filter(state__in=UNDER_WAY).exists()
    return EventOutcome.EXTERNAL, told and not in_doubt


def book_beyond(refund: Refund, result: RefundResult, *, now: datetime) -> None:
    """Book what a gateway's count, told with a refund of ours, holds beyond ours.

    refund  of an order that the caller has locked
    """
    attempt = refund.attempt
    if refund.second_payment_id is not None or _is_of_several_payments(attempt):
        return  # each payment has a count of its own
    beyond = _beyond(attempt, result)
    if beyond > 0:
        log.error("gateway=%s more went back than we asked for", attempt.gateway)
        _book(attempt, result, beyond, now=now)


def _locked(attempt: Attempt) -> Attempt:
    order = lock_order(attempt.order_id)
    attempt = Attempt.objects.get(pk=attempt.pk)
    attempt.order = order
    return attempt


def _is_of_several_payments(attempt: Attempt) -> bool:
    """Whether the number was paid twice (B14b), so that a count tells too little."""
    return attempt.gateway_events.filter(outcome=EventOutcome.OVERPAID).exists()


def _beyond(attempt: Attempt, result: RefundResult) -> int:
    total = result.refunded_total_fen
    return 0 if total is None else total - refund_effects.standing_fen(attempt)


def _book(
    attempt: Attempt, result: RefundResult, amount_fen: int, *, now: datetime
) -> bool:
    """One row for each such refund, its share of the time gone, the member flagged.

    False when the gateway's sum makes no sense.
    """
    paid_fen = attempt.paid_fen or 0
    name = result.gateway_refund_id or _name_of(attempt, result)
    known = Refund.objects.filter(gateway_refund_id=name).first()
    if known is not None:
        return known.attempt_id == attempt.pk
    if not 0 < amount_fen <= paid_fen:
        return False
    order = attempt.order
    given = refund_effects.given_locked(order, now=now)
    settles = order.settled_by_id == attempt.pk
    seconds = seconds_for(amount_fen, paid_fen, given.delivered) if settles else 0
    if given.entitlement is not None and seconds:
        timeline.revoke(given.member, given.entitlement, seconds, now=now)
    given.member.risk_flag_until = now + FLAGGED
    given.member.save(update_fields=["risk_flag_until"])
    refund = Refund.objects.create(
        attempt=attempt,
        out_refund_no=_number_for(attempt, result, name),
        amount_fen=amount_fen,
        reason=RefundReason.EXTERNAL,
        state=RefundState.SUCCESS,
        txn_id=attempt.txn_id or "",
        gateway_refund_id=name,
        entitlement=given.entitlement if settles else None,
        revoked_seconds=seconds,
        created_at=now,
        finished_at=now,
    )
    detail = {"refund": refund.pk, "amount_fen": amount_fen, "seconds": seconds}
    OrderEvent.objects.create(
        order=order, at=now, kind="refunded-outside", detail=detail
    )
    refund_effects.recount(order, attempt, now=now)
    telling.refunded_outside(order, refund, now=now)
    return True


def _name_of(attempt: Attempt, result: RefundResult) -> str:
    """A name for a refund without one: its number, or where sums are counted the count,
    which never comes twice."""
    total = result.refunded_total_fen
    return f"{result.number if total is None else total}:{attempt.txn_id}"[:64]


def _number_for(attempt: Attempt, result: RefundResult, name: str) -> str:
    """The number under which the gateway keeps it, where that is free here (K13)."""
    number = result.number[:64]
    if number and not Refund.objects.filter(out_refund_no=number).exists():
        return number
    digest = hashlib.sha256(f"{attempt.gateway} {name}".encode()).hexdigest()
    return f"X{digest[:40]}"
