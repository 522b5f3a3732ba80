"""What an operator decides about money in the queue (I14), once and with a reason.

Money of another sum is accepted or given back (C5); a second payment under one number
is given back (B14b); a message that fits nothing is marked as seen to; a refund that no
gateway can make is done outside, or given up; a dispute that was won brings money back
(F13). All lock the order first; what was decided meanwhile is refused.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from members.models import Member
from orders import coupons, versions
from orders.closing import lock_order
from orders.models import Order, OrderEvent, Status
from payments import cases, telling
from payments.cases import unallocated
from payments.models import (
    Attempt,
    EventOutcome,
    GatewayEvent,
    Refund,
    RefundReason,
    RefundState,
)
from payments.refunding import refunds
from payments.settle import settle_locked

ACCEPTED = "money-accepted"
RETURNED = "money-returned"


class NotWaiting(Exception):
    """The money waits for no decision, or its order can no longer be paid."""


# --- Money of another sum ----------------------------------------------------------


@transaction.atomic(durable=True)
def accept(
    attempt_id: int,
    *,
    actor: Member,
    reason: str,
    version: int | None = None,
    now: datetime,
) -> Order:
    """Let the order settle by this money all the same, whatever the sum.

    raises  NotWaiting, also when the order is cancelled, paid by another attempt, or
            expired with a coupon that is used up; versions.Stale
    """
    attempt = _locked(attempt_id, version)
    order = attempt.order
    if order.status not in (Status.PENDING, Status.EXPIRED):
        raise NotWaiting
    if attempt.refund_reserved_fen:
        raise NotWaiting  # a part of it has gone back already
    if not coupons.take_again(order):
        raise NotWaiting  # the price was a coupon's, and others have used it up
    _tell_of(attempt, ACCEPTED, actor=actor, reason=reason, now=now)
    settle_locked(order, attempt, now=now)
    return order


@transaction.atomic(durable=True)
def give_back(
    attempt_id: int,
    *,
    actor: Member,
    reason: str,
    version: int | None = None,
    now: datetime,
) -> Refund:
    """Send back what is left of the sum; the order goes on as if it had not come.

    raises  NotWaiting, versions.Stale
    """
    attempt = _locked(attempt_id, version)
    _tell_of(attempt, RETURNED, actor=actor, reason=reason, now=now)
    paid_fen = attempt.paid_fen or 0
    rest_fen = paid_fen - attempt.refund_reserved_fen
    attempt.refund_reserved_fen = paid_fen
    attempt.save(update_fields=["refund_reserved_fen"])
    versions.rise(attempt.order)
    return refunds.book(
        attempt,
        rest_fen,
        RefundReason.OPERATOR,
        nth=attempt.refunds.count() + 1,
        actor=actor,
        note=reason,
        now=now,
    )


def _locked(attempt_id: int, version: int | None) -> Attempt:
    """The attempt, read under its order's lock; each decision is made once."""
    order_id = Attempt.objects.values_list("order_id", flat=True).get(pk=attempt_id)
    order = lock_order(order_id)
    versions.check(order, version)
    attempt = unallocated().filter(pk=attempt_id).first()
    if attempt is None:
        raise NotWaiting
    attempt.order = order
    return attempt


def _tell_of(
    attempt: Attempt, kind: str, *, actor: Member, reason: str, now: datetime
) -> None:
    OrderEvent.objects.create(
        order_id=attempt.order_id,
        at=now,
        kind=kind,
        detail={"attempt": attempt.pk, "paid_fen": attempt.paid_fen, "reason": reason},
        actor=actor,
    )


# --- Messages of the gateways ------------------------------------------------------


@transaction.atomic(durable=True)
def return_second_payment(
    event_id: int, *, actor: Member, reason: str, now: datetime
) -> Refund:
    """Give back a second transaction under one number, by its own id (B14b).

    The order and the first payment are untouched. Every message of that transaction
    is seen to by it.

    raises  NotWaiting
    """
    event = GatewayEvent.objects.select_related("attempt").get(pk=event_id)
    if event.attempt is None or event.outcome != EventOutcome.OVERPAID:
        raise NotWaiting
    attempt = event.attempt
    attempt.order = lock_order(attempt.order_id)
    same = cases.open_events().filter(
        attempt=attempt, outcome=EventOutcome.OVERPAID, txn_id=event.txn_id
    )
    returned = attempt.refunds.filter(
        second_payment__isnull=False, txn_id=event.txn_id
    ).exclude(state=RefundState.FAILED)
    if not event.amount_fen or returned.exists() or not _is_open_to(event):
        raise NotWaiting
    refund = refunds.book(
        attempt,
        event.amount_fen,
        RefundReason.OPERATOR,
        nth=attempt.refunds.count() + 1,
        second_payment=event,
        actor=actor,
        note=reason,
        now=now,
    )
    same.update(resolved_at=now, resolved_by=actor, resolution=reason[:200])
    versions.rise(attempt.order)
    return refund


def _is_open_to(event: GatewayEvent) -> bool:
    """Whether the message still waits, or its refund has failed and may be repeated."""
    failed = event.refunds.filter(state=RefundState.FAILED)
    return event.resolved_at is None or failed.exists()


@transaction.atomic(durable=True)
def resolve(
    event_id: int, *, actor: Member, reason: str, now: datetime
) -> GatewayEvent:
    """Mark a message that fits nothing as seen to; no money moves.

    raises  NotWaiting
    """
    event = GatewayEvent.objects.select_related("attempt").get(pk=event_id)
    if event.attempt is not None:
        lock_order(event.attempt.order_id)
    if not cases.open_events().filter(pk=event_id).exists():
        raise NotWaiting
    unseen = GatewayEvent.objects.filter(pk=event_id, resolved_at__isnull=True)
    if not unseen.update(resolved_at=now, resolved_by=actor, resolution=reason[:200]):
        raise NotWaiting
    if event.attempt is not None:
        OrderEvent.objects.create(
            order_id=event.attempt.order_id,
            at=now,
            kind="message-resolved",
            detail={"event": event.pk, "reason": reason},
            actor=actor,
        )
    event.refresh_from_db()
    return event


# --- Refunds that need a hand ------------------------------------------------------


@transaction.atomic(durable=True)
def returned_outside(
    refund_id: int,
    *,
    reference: str,
    actor: Member,
    version: int | None = None,
    now: datetime,
) -> Refund:
    """The operator has returned the money by another way, under this reference.

    raises  NotWaiting, versions.Stale
    """
    refund = _by_hand(refund_id, version, reference)
    refund.state = RefundState.SUCCESS
    refunds.end_locked(
        refund, "returned-outside", reason=reference, actor=actor, now=now
    )
    telling.refunded_outside(refund.attempt.order, refund, now=now)
    return refund


@transaction.atomic(durable=True)
def give_up(
    refund_id: int,
    *,
    actor: Member,
    reason: str,
    version: int | None = None,
    now: datetime,
) -> Refund:
    """Take a refund back that was to be made outside: time and money stand again.

    raises  NotWaiting, versions.Stale
    """
    refund = _by_hand(refund_id, version, reason)
    refund.seen_at = now
    refund.save(update_fields=["seen_at"])
    refunds.fail_locked(refund, "given up", actor=actor, now=now)
    return refund


@transaction.atomic(durable=True)
def see_to(
    refund_id: int,
    *,
    actor: Member,
    reason: str,
    version: int | None = None,
    now: datetime,
) -> Refund:
    """Mark a failed refund of a paid order as looked at; its story keeps the reason.

    raises  NotWaiting, versions.Stale
    """
    refund = _refund(refund_id, version)
    if not cases.failed_refunds().filter(pk=refund.pk).exists():
        raise NotWaiting
    refund.seen_at = now
    refund.save(update_fields=["seen_at"])
    OrderEvent.objects.create(
        order_id=refund.attempt.order_id,
        at=now,
        kind="refund-seen",
        detail={"refund": refund.pk, "reason": reason},
        actor=actor,
    )
    versions.rise(refund.attempt.order)
    return refund


@transaction.atomic(durable=True)
def dispute_won(
    refund_id: int,
    *,
    actor: Member,
    reason: str,
    version: int | None = None,
    now: datetime,
) -> Refund:
    """Money that a gateway had taken back is ours again: so are her seconds (F13).

    The member's flag stays.

    raises  NotWaiting, versions.Stale
    """
    refund = _refund(refund_id, version)
    is_external = refund.reason == RefundReason.EXTERNAL
    if not is_external or refund.state != RefundState.SUCCESS:
        raise NotWaiting
    refund.note = _joined(refund.note, reason)
    refunds.fail_locked(refund, "dispute won", actor=actor, now=now)
    return refund


def _refund(refund_id: int, version: int | None) -> Refund:
    """The refund, read under its order's lock."""
    rows = Refund.objects.select_related("attempt", "entitlement")
    order = lock_order(rows.get(pk=refund_id).attempt.order_id)
    versions.check(order, version)
    refund = rows.get(pk=refund_id)
    refund.attempt.order = order
    return refund


def _by_hand(refund_id: int, version: int | None, note: str) -> Refund:
    """The same for one that is to be made outside, with a word more in its note."""
    refund = _refund(refund_id, version)
    if refund.state != RefundState.MANUAL:
        raise NotWaiting
    refund.note = _joined(refund.note, note)
    return refund


def _joined(*parts: str) -> str:
    return " · ".join(filter(None, parts))[:200]
