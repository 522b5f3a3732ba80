"""Giving a shopper more time to pay (I5)."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from members.models import Member
from orders import versions
from orders.closing import lock_order
from orders.models import Order, OrderEvent

LONGEST = timedelta(hours=24)
"""From now on; the price stays frozen as long."""


class NotOpen(Exception):
    """The order is no longer payable; nothing brings an expired one back."""


@transaction.atomic(durable=True)
def extend(
    order_id: int,
    *,
    span: timedelta,
    actor: Member,
    reason: str,
    version: int | None = None,
    now: datetime,
) -> Order:
    """Keep a pending order open for so long from now, if that is later than its end.

    A wallet that is open already keeps its own end; paying again opens a new one.

    raises  NotOpen, versions.Stale; ValueError beyond ``LONGEST``
    """
    if not timedelta() < span <= LONGEST:
        raise ValueError("span out of bounds")
    order = lock_order(order_id)
    versions.check(order, version)
    end = (now + span).replace(microsecond=0)
    if not order.is_open(at=now) or end <= order.expires_at:
        raise NotOpen
    order.expires_at = end
    versions.rise(order, "expires_at")
    OrderEvent.objects.create(
        order=order,
        at=now,
        kind="extended",
        detail={"until": end.isoformat(), "reason": reason},
        actor=actor,
    )
    return order
