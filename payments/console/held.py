"""An order whose money came and whose delivery waits for a person (I7, A14).

Either it is delivered or all of it goes back; whoever is first under the order's lock
decides.
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from members.models import Member
from orders import versions
from orders.closing import lock_order
from orders.models import Fulfil, Order, OrderEvent, Status
from payments import settle
from payments.models import Refund, RefundReason
from payments.refunding import refunds


class NotHeld(Exception):
    """Nothing waits: the order was delivered or returned meanwhile."""


@transaction.atomic(durable=True)
def approve(
    order_id: int,
    *,
    actor: Member,
    reason: str,
    version: int | None = None,
    now: datetime,
) -> Order:
    """Deliver a held order. Time that fits on no timeline leaves it held.

    raises  NotHeld, versions.Stale
    """
    order = _held(order_id, version)
    events = [_event(order, "approved", actor=actor, reason=reason, now=now)]
    order.fulfil = settle.fulfil_locked(order, now=now, events=events)
    OrderEvent.objects.bulk_create(events)
    versions.rise(order, "fulfil")
    return order


@transaction.atomic(durable=True)
def reject(
    order_id: int,
    *,
    actor: Member,
    reason: str,
    version: int | None = None,
    now: datetime,
) -> Refund:
    """Return all the money of a held order; nothing was granted (F17).

    raises  NotHeld, versions.Stale
    """
    order = _held(order_id, version)
    _event(order, "rejected", actor=actor, reason=reason, now=now).save()
    attempt = refunds.settling_attempt(order)
    rest_fen = (attempt.paid_fen or 0) - attempt.refund_reserved_fen
    return refunds.request_locked(
        order,
        RefundReason.OPERATOR,
        amount_fen=rest_fen,
        actor=actor,
        note=reason,
        now=now,
    )


def _held(order_id: int, version: int | None) -> Order:
    order = lock_order(order_id)
    versions.check(order, version)
    if order.status != Status.PAID or order.fulfil != Fulfil.HELD:
        raise NotHeld
    return order


def _event(
    order: Order, kind: str, *, actor: Member, reason: str, now: datetime
) -> OrderEvent:
    return OrderEvent(
        order=order, at=now, kind=kind, detail={"reason": reason}, actor=actor
    )
