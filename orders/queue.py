"""The line of paid orders that wait for keys (优先发货).

Order: members first, then by the time of payment (D23). Nobody starves: who has waited
for ``ageing_seconds`` stands among the members from then on, in the order of payment.
So nobody who pays later than that passes her any more, and what is served before her is
bounded: every order paid before hers, and the members' orders paid within
``ageing_seconds`` after it. The line is strict: an order for more keys than there are
holds up those behind it, or small orders would pass it for ever.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Case, IntegerField, Q, QuerySet, Value, When

from members import rules
from orders.models import Fulfil, Order, Status


def line(goods_id: int, *, now: datetime) -> QuerySet[Any]:
    """The orders that wait for one thing, the next one first."""
    aged = now - timedelta(seconds=rules.current().ageing_seconds)
    in_front = Case(
        When(Q(priority__gt=0) | Q(paid_at__lte=aged), then=Value(1)),
        default=Value(0),
        output_field=IntegerField(),
    )
    waiting = Order.objects.filter(
        goods_id=goods_id, fulfil=Fulfil.SHORT, status=Status.PAID
    )
    return waiting.annotate(front=in_front).order_by("-front", "paid_at", "id")


def has_precedence(goods_id: int, priority: int, *, now: datetime) -> bool:
    """Whether somebody waits whom an order paid at this moment must not pass."""
    waiting = line(goods_id, now=now)
    return (waiting.filter(front=1) if priority else waiting).exists()


def ahead_of(order: Order, *, now: datetime) -> int:
    """How many orders are served before this one, as the line stands now."""
    assert order.goods_id is not None
    assert order.paid_at is not None
    mine = line(order.goods_id, now=now).filter(pk=order.pk)
    front = mine.values_list("front", flat=True).first() or 0
    earlier = Q(paid_at__lt=order.paid_at) | Q(paid_at=order.paid_at, pk__lt=order.pk)
    before = Q(front__gt=front) | Q(front=front) & earlier
    return line(order.goods_id, now=now).filter(before).count()
