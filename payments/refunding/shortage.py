"""Money back for goods that did not come in time (D24)."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from members import rules
from orders import delivery
from orders.closing import lock_order
from orders.models import Fulfil, Order, Status
from payments.models import RefundReason
from payments.refunding.refunds import request_locked, settling_attempt


def refund_short(*, now: datetime, limit: int = 100) -> int:
    """Refund in full what has waited too long for keys; returns how many orders.

    The line is served first, so that nobody is refused who could be served.
    """
    since = now - timedelta(seconds=rules.current().short_seconds)
    # Automatically once (K14): an order that waits on after such a refund has failed,
    # or of which a person refunds a part, is hers to decide; the audit names it.
    overdue = Order.objects.filter(
        fulfil=Fulfil.SHORT,
        status=Status.PAID,
        paid_at__lte=since,
        settled_by__refund_reserved_fen=0,
    ).exclude(settled_by__refunds__reason=RefundReason.SHORT)
    rows = list(overdue.order_by("paid_at", "id").values("pk", "goods_id")[:limit])
    for goods_id in {row["goods_id"] for row in rows}:
        delivery.serve(goods_id, now=now)
    return sum(_refund(row["pk"], since=since, now=now) for row in rows)


@transaction.atomic(durable=True)
def _refund(order_id: int, *, since: datetime, now: datetime) -> bool:
    """Void one order and send its money back, unless it was served or refunded."""
    order = lock_order(order_id)
    if order.fulfil != Fulfil.SHORT or order.paid_at is None or order.paid_at > since:
        return False
    attempt = settling_attempt(order)
    if attempt.refund_reserved_fen:
        return False
    paid_fen = attempt.paid_fen or 0
    request_locked(order, RefundReason.SHORT, amount_fen=paid_fen, now=now)
    return True
