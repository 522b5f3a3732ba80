"""Money going back: booked in the settling transaction, sent by the outbox.

The refund number is derived from the attempt's and reused on every retry, so that the
gateway refunds once however often we ask (R21).
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from notifications import outbox
from orders.closing import lock_order
from orders.models import OrderEvent
from payments import gateways, telling
from payments.gateways import contract
from payments.gateways.contract import RefundRequest, RefundResult
from payments.models import (
    Attempt,
    EventOutcome,
    GatewayEvent,
    Refund,
    RefundReason,
    RefundState,
)

log = logging.getLogger(__name__)

QUERY_STEPS = (60, 300, 900, 3600)
"""Seconds between questions about a refund that is under way; the last one repeats."""


def book_whole(
    attempt: Attempt, reason: RefundReason, *, now: datetime, nth: int = 1
) -> Refund:
    """Refund the whole of a payment that is not wanted; automatically once (K14).

    The caller holds the order's lock and has reserved the money on the attempt.

    nth  2 and more where earlier refunds of the attempt have failed for good
    """
    assert attempt.paid_fen is not None
    assert attempt.txn_id is not None
    refund = Refund.objects.create(
        attempt=attempt,
        out_refund_no=f"R{nth if nth > 1 else ''}{attempt.out_trade_no}",
        amount_fen=attempt.paid_fen,
        reason=reason,
        txn_id=attempt.txn_id,
        created_at=now,
    )
    OrderEvent.objects.create(
        order_id=attempt.order_id,
        at=now,
        kind="refund-requested",
        detail={"refund": refund.pk, "reason": reason, "amount_fen": refund.amount_fen},
    )
    outbox.add(
        f"refund:{refund.out_refund_no}",
        "refund.send",
        {"refund": refund.pk},
        due_at=now,
    )
    telling.refund_started(attempt.order, refund, now=now)
    return refund


def request_of(refund: Refund) -> RefundRequest:
    attempt = refund.attempt
    assert attempt.paid_fen is not None
    return RefundRequest(
        number=refund.out_refund_no,
        trade_number=attempt.out_trade_no,
        txn_id=refund.txn_id or attempt.txn_id or "",
        refund_fen=refund.amount_fen,
        total_fen=attempt.paid_fen,
        reason=str(RefundReason(refund.reason).label),
        notify_url=settings.PUBLIC_URL + reverse("notify", args=[attempt.gateway]),
        currency=attempt.paid_currency or "CNY",
        paid_at=attempt.paid_at,
        requested_at=refund.created_at,
    )


def send_refund(refund_id: int, *, now: datetime) -> RefundState:
    """Ask the gateway for a refund, or again with the same number.

    raises  outbox.TryLater while the gateway's answer is unclear
    """
    refund = Refund.objects.select_related("attempt").get(pk=refund_id)
    if refund.state in (RefundState.SUCCESS, RefundState.FAILED):
        return RefundState(refund.state)
    gateway = gateways.get(refund.attempt.gateway)
    if gateway is None:
        raise outbox.TryLater(reason="gateway is off")
    try:
        result = gateway.refund(request_of(refund), now=now)
    except contract.Refused as refusal:
        result = RefundResult(
            number=refund.out_refund_no,
            trade_number=refund.attempt.out_trade_no,
            state=contract.RefundState.FAILED,
            raw_state=refusal.code,
        )
    except contract.Unclear as doubt:
        _note_doubt(refund, doubt, now=now)
        raise outbox.TryLater(reason=doubt.code) from doubt
    apply_refund(refund.attempt.gateway, result, now=now)
    refund.refresh_from_db(fields=["state"])
    return RefundState(refund.state)


def query_refund(refund: Refund, *, now: datetime) -> None:
    """Ask about a refund under way and book the answer."""
    gateway = gateways.get(refund.attempt.gateway)
    if gateway is None:
        return
    try:
        result = gateway.query_refund(request_of(refund), now=now)
    except contract.GatewayError as error:
        log.warning("gateway=%s refund query: %s", refund.attempt.gateway, error.code)
        return
    if result.state == contract.RefundState.MISSING:
        # Never arrived (H8): the same number is sent again and refunds once.
        try:
            result = gateway.refund(request_of(refund), now=now)
        except contract.GatewayError as error:
            log.warning("gateway=%s refund: %s", refund.attempt.gateway, error.code)
            return
    apply_refund(refund.attempt.gateway, result, now=now)


def continue_refunds(*, now: datetime, limit: int = 50) -> int:
    """Query the refunds that are due; returns how many were asked about."""
    due = Refund.objects.filter(next_query_at__lte=now).select_related("attempt")
    asked = 0
    for refund in due.order_by("next_query_at")[:limit]:
        age = (now - refund.created_at).total_seconds()
        step = next((s for s in QUERY_STEPS if age < s), QUERY_STEPS[-1])
        claimed = Refund.objects.filter(
            pk=refund.pk, next_query_at=refund.next_query_at
        ).update(next_query_at=now + timedelta(seconds=step))
        if claimed:
            query_refund(refund, now=now)
            asked += 1
    return asked


def _note_doubt(refund: Refund, doubt: contract.Unclear, *, now: datetime) -> None:
    """It may have happened: processing, to be queried (F8)."""
    Refund.objects.filter(
        pk=refund.pk, state__in=[RefundState.REQUESTED, RefundState.PROCESSING]
    ).update(
        state=RefundState.PROCESSING,
        last_error=doubt.code[:200],
        next_query_at=now + timedelta(seconds=QUERY_STEPS[0]),
    )


@transaction.atomic(durable=True)
def apply_refund(
    gateway: str, result: RefundResult, *, digest: str = "", now: datetime
) -> EventOutcome:
    """Book what a gateway says about a refund; repeats change nothing.

    Success is final and wins over an earlier failure (F11); a definite failure
    releases the reserved money once (F9, F10), which brings the attempt into the
    operator's queue.

    digest  names a notice once for ever (K24); "" for answers that are not kept
    """
    outcome = _apply_refund(gateway, result, now=now)
    if digest:
        _record(gateway, result, outcome, digest=digest, now=now)
    return outcome


def _apply_refund(gateway: str, result: RefundResult, *, now: datetime) -> EventOutcome:
    known = (
        Refund.objects.filter(out_refund_no=result.number, attempt__gateway=gateway)
        .values_list("pk", "attempt__order_id")
        .first()
    )
    if known is None:
        log.error("gateway=%s refund that we did not ask for", gateway)
        return EventOutcome.EXTERNAL
    lock_order(known[1])
    refund = Refund.objects.select_related("attempt__order").get(pk=known[0])
    if result.state == contract.RefundState.SUCCESS:
        _succeed(refund, result, now=now)
    elif result.state == contract.RefundState.FAILED:
        _fail(refund, result, now=now)
    else:
        _go_on(refund, result, now=now)
    return EventOutcome.REFUND


def _go_on(refund: Refund, result: RefundResult, *, now: datetime) -> None:
    """Not ended: ask again later. A state nobody knows may need a person as well."""
    if result.state == contract.RefundState.UNKNOWN:
        gateway, state = refund.attempt.gateway, result.raw_state[:40]
        log.error("gateway=%s refund in state %r", gateway, state)
    if refund.state == RefundState.REQUESTED:
        refund.state = RefundState.PROCESSING
        refund.next_query_at = now + timedelta(seconds=QUERY_STEPS[0])
        refund.save(update_fields=["state", "next_query_at"])


def _succeed(refund: Refund, result: RefundResult, *, now: datetime) -> None:
    if refund.state == RefundState.SUCCESS:
        return
    attempt = refund.attempt
    if refund.state == RefundState.FAILED:
        # An operator may have used the released money for another refund: K12 holds,
        # and the line below tells that more went out than came in.
        reserved = attempt.refund_reserved_fen + refund.amount_fen
        attempt.refund_reserved_fen = min(reserved, attempt.paid_fen or 0)
        attempt.save(update_fields=["refund_reserved_fen"])
        log.error("gateway=%s refund succeeded after it had failed", attempt.gateway)
    refund.state = RefundState.SUCCESS
    refund.gateway_refund_id = result.gateway_refund_id or None
    refund.finished_at = now
    refund.next_query_at = None
    refund.save(
        update_fields=["state", "gateway_refund_id", "finished_at", "next_query_at"]
    )
    OrderEvent.objects.create(
        order_id=attempt.order_id, at=now, kind="refunded", detail={"refund": refund.pk}
    )


def _fail(refund: Refund, result: RefundResult, *, now: datetime) -> None:
    if refund.state in (RefundState.SUCCESS, RefundState.FAILED):
        return
    attempt = refund.attempt
    attempt.refund_reserved_fen -= refund.amount_fen
    attempt.save(update_fields=["refund_reserved_fen"])
    refund.state = RefundState.FAILED
    refund.last_error = result.raw_state[:200]
    refund.next_query_at = None
    refund.finished_at = now
    refund.save(update_fields=["state", "last_error", "next_query_at", "finished_at"])
    OrderEvent.objects.create(
        order_id=attempt.order_id,
        at=now,
        kind="refund-failed",
        detail={"refund": refund.pk, "code": result.raw_state[:40]},
    )
    log.error("gateway=%s refund failed: %s", attempt.gateway, result.raw_state[:40])


def _record(
    gateway: str,
    result: RefundResult,
    outcome: EventOutcome,
    *,
    digest: str,
    now: datetime,
) -> None:
    """Keep a refund notice, once."""
    attempt = Attempt.objects.filter(
        gateway=gateway, out_trade_no=result.trade_number
    ).first()
    GatewayEvent.objects.bulk_create(
        [
            GatewayEvent(
                gateway=gateway,
                digest=digest,
                kind="refund",
                number=result.number[:64] or result.trade_number[:64],
                txn_id=result.gateway_refund_id[:64],
                amount_fen=result.refund_fen,
                content={"state": result.raw_state[:40]},
                attempt=attempt,
                outcome=outcome,
                created_at=now,
            )
        ],
        ignore_conflicts=True,
    )
