"""Money going back: booked with its cause, sent by the outbox, ended by the gateway.

The refund number is derived from the attempt's and reused on every retry, so that the
gateway refunds once however often we ask (R21). Time is taken back in the transaction
that books the refund, and returns exactly if the refund fails (R20). What a gateway
cannot return is booked all the same and becomes an operator's task.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from enum import StrEnum

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from members import timeline
from members.models import Entitlement, Member
from notifications import outbox
from orders import delivery, versions
from orders.closing import lock_order
from orders.models import Kind, Order, OrderEvent
from payments import gateways, telling
from payments.gateways import contract
from payments.gateways.contract import (
    RefundCapability,
    RefundRequest,
    RefundResult,
)
from payments.models import (
    UNDER_WAY,
    Attempt,
    EventOutcome,
    GatewayEvent,
    Refund,
    RefundReason,
    RefundState,
)
from payments.refunding import external_refunds, refund_effects
from payments.refunding.refund_proposal import Proposal, propose, seconds_for, worth_fen

log = logging.getLogger(__name__)

QUERY_STEPS = (60, 300, 900, 3600)
"""Seconds between questions about a refund that is under way; the last one repeats."""


class Obstacle(StrEnum):
    """Why a refund of an order was not booked."""

    UNPAID = "unpaid"  # no money of this order is ours
    SUM = "sum"  # nothing, or more than is left of the money (F6, K12)
    SECONDS = "seconds"  # more time than is left (K17)


class NotRefundable(Exception):
    def __init__(self, why: Obstacle) -> None:
        super().__init__(why)
        self.why = why


# --- Asked for by a person ---------------------------------------------------------


@transaction.atomic(durable=True)
def request(
    order_id: int,
    *,
    amount_fen: int,
    seconds: int | None = None,
    actor: Member,
    reason: str,
    version: int | None = None,
    now: datetime,
) -> Refund:
    """Return money of a paid order, all or a part, and take time back with it (F1–F7).

    seconds  to take back, 0 to all that is left; None: what goes with the sum. Of goods
             the keys that nobody has seen come back with a sum that is worth them
    version  of the order that the operator saw (I3)
    raises   NotRefundable, versions.Stale
    """
    order = lock_order(order_id)
    versions.check(order, version)
    return request_locked(
        order,
        RefundReason.OPERATOR,
        amount_fen=amount_fen,
        seconds=seconds,
        actor=actor,
        note=reason,
        now=now,
    )


def request_locked(
    order: Order,
    reason: RefundReason,
    *,
    amount_fen: int,
    seconds: int | None = None,
    actor: Member | None = None,
    note: str = "",
    now: datetime,
) -> Refund:
    """The same for a caller who holds the order's lock; locks the member."""
    attempt = settling_attempt(order)
    paid_fen = attempt.paid_fen or 0
    if not 0 < amount_fen <= paid_fen - attempt.refund_reserved_fen:
        raise NotRefundable(Obstacle.SUM)
    given = refund_effects.given_locked(order, now=now)
    if seconds is None:
        seconds = seconds_for(amount_fen, paid_fen, given.delivered)
    if not 0 <= seconds <= given.left:
        raise NotRefundable(Obstacle.SECONDS)
    if given.entitlement is not None and seconds:
        timeline.revoke(given.member, given.entitlement, seconds, now=now)
    if order.kind == Kind.GOODS and amount_fen >= worth_fen(paid_fen, given.delivered):
        delivery.take_back_locked(order, now=now)  # F14
    refund = book(
        attempt,
        amount_fen,
        reason,
        nth=attempt.refunds.count() + 1,
        entitlement=given.entitlement,
        seconds=seconds,
        actor=actor,
        note=note,
        now=now,
    )
    refund_effects.recount(order, attempt, told=False, now=now)
    return refund


def proposal_for(order: Order, *, now: datetime) -> Proposal:
    """What is fair to return of a paid order now (R19); nothing is decided by it.

    raises  NotRefundable when the order is not paid
    """
    attempt = settling_attempt(order)
    given = refund_effects.given_by(order, order.member, now=now)
    paid, reserved = attempt.paid_fen or 0, attempt.refund_reserved_fen
    return propose(paid, reserved, given.delivered)


def settling_attempt(order: Order) -> Attempt:
    """The attempt whose money paid the order, as the database has it now.

    raises  NotRefundable
    """
    found = Attempt.objects.filter(pk=order.settled_by_id or 0).first()
    if found is None:
        raise NotRefundable(Obstacle.UNPAID)
    found.order = order
    return found


# --- Booking -----------------------------------------------------------------------


def is_returnable(attempt: Attempt, amount_fen: int, *, of_fen: int) -> bool:
    """Whether the payment's gateway can make this refund, by what it declares.

    One that is only switched off can: the refund waits until it is on again.
    """
    gateway = gateways.get(attempt.gateway)
    if gateway is None:
        return attempt.gateway in gateways.GATEWAYS
    if gateway.refunds == RefundCapability.FULL:
        return amount_fen == of_fen
    return gateway.refunds != RefundCapability.NONE


def book_whole(
    attempt: Attempt, reason: RefundReason, *, now: datetime, nth: int = 1
) -> Refund:
    """Refund the whole of a payment that is not wanted; automatically once (K14).

    The caller holds the order's lock and has reserved the money on the attempt.

    nth  2 and more where earlier refunds of the attempt have failed for good
    """
    assert attempt.paid_fen is not None
    return book(attempt, attempt.paid_fen, reason, nth=nth, now=now)


def book(
    attempt: Attempt,
    amount_fen: int,
    reason: RefundReason,
    *,
    nth: int = 1,
    entitlement: Entitlement | None = None,
    seconds: int = 0,
    second_payment: GatewayEvent | None = None,
    actor: Member | None = None,
    note: str = "",
    now: datetime,
) -> Refund:
    """Write down a refund and have it sent; where the gateway cannot, leave it to a
    person. The caller holds the order's lock, has reserved the money and taken the time.
    """
    of_fen = second_payment.amount_fen if second_payment else attempt.paid_fen
    txn_id = second_payment.txn_id if second_payment else attempt.txn_id
    by_hand = not is_returnable(attempt, amount_fen, of_fen=of_fen or 0)
    refund = Refund.objects.create(
        attempt=attempt,
        out_refund_no=f"R{nth if nth > 1 else ''}{attempt.out_trade_no}",
        amount_fen=amount_fen,
        reason=reason,
        state=RefundState.MANUAL if by_hand else RefundState.REQUESTED,
        txn_id=txn_id or "",
        entitlement=entitlement,
        revoked_seconds=seconds,
        second_payment=second_payment,
        by_hand=by_hand,
        actor=actor,
        note=note,
        created_at=now,
    )
    detail = {"refund": refund.pk, "reason": reason, "amount_fen": refund.amount_fen}
    OrderEvent.objects.create(
        order_id=attempt.order_id,
        at=now,
        kind="refund-requested",
        detail=detail | ({"seconds": seconds} if seconds else {}),
        actor=actor,
    )
    if not by_hand:
        outbox.add(
            f"refund:{refund.out_refund_no}",
            "refund.send",
            {"refund": refund.pk},
            due_at=now,
        )
    telling.refund_started(attempt.order, refund, now=now)
    return refund


# --- Sending and asking ------------------------------------------------------------


def request_of(refund: Refund) -> RefundRequest:
    attempt = refund.attempt
    assert attempt.paid_fen is not None
    second = refund.second_payment
    return RefundRequest(
        number=refund.out_refund_no,
        trade_number=attempt.out_trade_no,
        txn_id=refund.txn_id or attempt.txn_id or "",
        refund_fen=refund.amount_fen,
        total_fen=(second.amount_fen if second else None) or attempt.paid_fen,
        reason=str(RefundReason(refund.reason).label),
        notify_url=settings.PUBLIC_URL + reverse("notify", args=[attempt.gateway]),
        currency=(second.currency if second else attempt.paid_currency) or "CNY",
        paid_at=attempt.paid_at,
        requested_at=refund.created_at,
    )


def send_refund(refund_id: int, *, now: datetime) -> RefundState:
    """Ask the gateway for a refund, or again with the same number.

    raises  outbox.TryLater while the gateway's answer is unclear
    """
    rows = Refund.objects.select_related("attempt", "second_payment")
    refund = rows.get(pk=refund_id)
    if refund.state not in (RefundState.REQUESTED, RefundState.PROCESSING):
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
    due = Refund.objects.filter(next_query_at__lte=now).select_related(
        "attempt", "second_payment"
    )
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


# --- What the gateway says ---------------------------------------------------------


@transaction.atomic(durable=True)
def apply_refund(
    gateway: str, result: RefundResult, *, digest: str = "", now: datetime
) -> EventOutcome:
    """Book what a gateway says about a refund; repeats change nothing.

    Success is final and wins over an earlier failure (F11); a definite failure
    releases the reserved money and returns the seconds, once (F9, F10). A refund that
    we did not ask for is booked as the gateway's own (F12); what cannot be booked
    waits for a person.

    digest  names a notice once for ever (K24); "" for answers that are not kept
    """
    known = (
        Refund.objects.filter(out_refund_no=result.number, attempt__gateway=gateway)
        .values_list("pk", "attempt__order_id")
        .first()
    )
    outcome, is_clear = EventOutcome.REFUND, True
    if known is not None:
        _apply_known(*known, result, now=now)
    else:
        outcome, is_clear = external_refunds.book_unknown(gateway, result, now=now)
    if digest:
        seen_at = now if outcome == EventOutcome.EXTERNAL and is_clear else None
        _record(gateway, result, outcome, digest=digest, seen_at=seen_at, now=now)
    return outcome


def _apply_known(
    refund_id: int, order_id: int, result: RefundResult, *, now: datetime
) -> None:
    order = lock_order(order_id)
    refund = Refund.objects.select_related("attempt", "entitlement").get(pk=refund_id)
    refund.attempt.order = order
    if result.state == contract.RefundState.SUCCESS:
        _succeed(refund, result, now=now)
        external_refunds.book_beyond(refund, result, now=now)
    elif result.state == contract.RefundState.FAILED:
        _fail(refund, result.raw_state, now=now)
    else:
        _go_on(refund, result, now=now)


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
    if refund.reason == RefundReason.EXTERNAL:
        return  # a dispute was won since (F13); this is the old notice once more
    failed_before = refund.state == RefundState.FAILED
    refund.state = RefundState.SUCCESS
    refund.gateway_refund_id = result.gateway_refund_id or None
    end_locked(refund, "refunded", now=now)
    if failed_before:
        # An operator may have used the released money for another refund: K12 holds,
        # and the line below tells that more may have gone out than came in.
        refund_effects.take_time_again(refund, now=now)
        refund_effects.recount(refund.attempt.order, refund.attempt, now=now)
        gateway = refund.attempt.gateway
        log.error("gateway=%s refund succeeded after it had failed", gateway)


def _fail(refund: Refund, code: str, *, now: datetime) -> None:
    if refund.state not in UNDER_WAY:
        return
    fail_locked(refund, code, now=now)
    log.error("gateway=%s refund failed: %s", refund.attempt.gateway, code[:40])


def fail_locked(
    refund: Refund, code: str, *, actor: Member | None = None, now: datetime
) -> None:
    """End a refund whose money did not leave: its time and its sum are free again."""
    refund.state = RefundState.FAILED
    refund.last_error = code[:200]
    is_ours = refund.reason != RefundReason.EXTERNAL
    kind = "refund-failed" if is_ours else "refund-reversed"
    end_locked(refund, kind, code=code[:40], actor=actor, now=now)
    refund_effects.return_time(refund, now=now)
    refund_effects.recount(refund.attempt.order, refund.attempt, now=now)
    if is_ours:
        telling.refund_failed(refund.attempt.order, refund, now=now)


def end_locked(
    refund: Refund,
    kind: str,
    *,
    actor: Member | None = None,
    now: datetime,
    **detail: str,
) -> None:
    """Save a refund in its last state and tell the order's story of it."""
    refund.finished_at = now
    refund.next_query_at = None
    refund.save(
        update_fields=[
            "state",
            "gateway_refund_id",
            "last_error",
            "note",
            "next_query_at",
            "finished_at",
        ]
    )
    OrderEvent.objects.create(
        order_id=refund.attempt.order_id,
        at=now,
        kind=kind,
        detail={"refund": refund.pk, **detail},
        actor=actor,
    )
    versions.rise(refund.attempt.order)


def _record(
    gateway: str,
    result: RefundResult,
    outcome: EventOutcome,
    *,
    digest: str,
    seen_at: datetime | None,
    now: datetime,
) -> None:
    """Keep a refund notice, once; one that is booked waits for nobody."""
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
                resolved_at=seen_at,
            )
        ],
        ignore_conflicts=True,
    )
