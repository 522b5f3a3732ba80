"""The unhappy ends of an order: cancelled by the shopper, expired by the clock.

Both are compare-and-swap under the order's lock, so money that arrives at the same
moment wins (G3, G4).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from django.db.models import F, QuerySet

from members.tiers import catalogue
from orders import coupons
from orders.models import Order, OrderEvent, Status


class Closing(StrEnum):
    DONE = "done"
    PAID = "paid"  # the way back is a refund
    CLOSED = "closed"  # it was over already


def lock_order(order_id: int) -> Order:
    """Take the order's row lock, the first in the order order → member → card keys."""
    return _with_plan(_locking().get(pk=order_id))


def lock_order_of(gateway: str, out_trade_no: str) -> Order | None:
    """The same for the order that is being paid under this number, if there is one."""
    try:
        found = _locking().get(
            attempts__gateway=gateway, attempts__out_trade_no=out_trade_no
        )
    except Order.DoesNotExist:
        return None
    return _with_plan(found)


def _locking() -> QuerySet[Order]:
    return Order.objects.select_for_update(of=("self",))


def _with_plan(order: Order) -> Order:
    """The order with its plan and tier as the process keeps them for a few seconds.

    What was promised is frozen in the order itself, so nothing is read once more.
    """
    plan = catalogue.current().by_id(order.plan_id)
    if plan is not None:
        order.plan = plan
    return order


def close_locked(order: Order, status: Status, *, now: datetime) -> Closing:
    """Move a locked pending order to ``cancelled`` or ``expired``; its coupon is free
    again with that very move, and nothing else moves."""
    if order.status == Status.PAID:
        return Closing.PAID
    moved = Order.objects.filter(pk=order.pk, status=Status.PENDING).update(
        status=status, version=F("version") + 1
    )
    if not moved:
        return Closing.CLOSED
    coupons.give_back(order)
    OrderEvent.objects.create(order=order, at=now, kind=status.value)
    order.status = status
    return Closing.DONE
