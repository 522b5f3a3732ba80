"""What must hold of goods, card keys, their delivery and coupons; ``payments.audit``
runs it. Each check is a query over rows that break one rule.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from goods.models import CardKey, Goods, KeyState
from members import rules
from orders import coupons
from orders.models import Coupon, Fulfil, Kind, Order, Status

OVERDUE = timedelta(minutes=5)

type Rows = QuerySet[Any, Any]

CHECKS: list[tuple[str, str, Callable[[datetime], Rows]]] = []
"""(number of the invariant, the rule, the rows that break it)."""


def check[F: Callable[[datetime], Rows]](invariant: str, rule: str) -> Callable[[F], F]:
    def register(broken: F) -> F:
        CHECKS.append((invariant, rule, broken))
        return broken

    return register


@check("1", "delivered goods hold as many keys as were bought")
def _delivered_too_few(now: datetime) -> Rows:
    return (
        Order.objects.filter(kind=Kind.GOODS, fulfil=Fulfil.DONE)
        .annotate(held=Count("keys"))
        .exclude(held=F("quantity"))
        .order_by("pk")
        .values_list("no", flat=True)
    )


@check("2", "keys are held by orders that were paid for and delivered, or seen")
def _keys_for_nothing(now: datetime) -> Rows:
    delivered = Q(order__status=Status.PAID, order__fulfil=Fulfil.DONE)
    seen = Q(revealed_at__isnull=False, order__fulfil=Fulfil.VOID)
    return (
        CardKey.objects.filter(order__isnull=False)
        .exclude(delivered | seen)
        .order_by("pk")
        .values_list("order__no", flat=True)
    )


@check("5", "a card key is delivered once, and of the goods that were bought")
def _keys_of_other_goods(now: datetime) -> Rows:
    return (
        CardKey.objects.filter(order__isnull=False)
        .exclude(goods=F("order__goods"), order__kind=Kind.GOODS)
        .order_by("pk")
        .values_list("pk", flat=True)
    )


@check("5", "no two orders hold the same secret")
def _secret_sold_twice(now: datetime) -> Rows:
    return (
        CardKey.objects.filter(state=KeyState.SOLD)
        .values("digest")
        .annotate(holders=Count("order", distinct=True))
        .filter(holders__gt=1)
        .order_by("digest")
        .values_list("digest", flat=True)
    )


@check("13", "the stock of goods is the number of their free keys")
def _miscounted_stock(now: datetime) -> Rows:
    free = Count("keys", filter=Q(keys__state=KeyState.FREE))
    return (
        Goods.objects.annotate(free=free)
        .exclude(stock=F("free"))
        .order_by("pk")
        .values_list("slug", flat=True)
    )


@check("13", "a coupon counts the orders that hold it, within its limit")
def _miscounted_coupon(now: datetime) -> Rows:
    holding = Order.objects.filter(coupon=OuterRef("pk"), status__in=coupons.HOLDING)
    counted = holding.order_by().values("coupon").annotate(orders=Count("pk"))
    held = Coalesce(Subquery(counted.values("orders")), 0)
    return (
        Coupon.objects.annotate(held=held)
        .filter(~Q(used=F("held")) | Q(used__gt=F("max_uses")))
        .order_by("pk")
        .values_list("code", flat=True)
    )


@check("12", "money for goods that were not delivered is on its way back")
def _void_but_kept(now: datetime) -> Rows:
    return Order.objects.filter(
        kind=Kind.GOODS, fulfil=Fulfil.VOID, settled_by__refund_reserved_fen=0
    ).values_list("no", flat=True)


@check("10", "nobody waits for goods beyond the time of the refund")
def _stuck_in_line(now: datetime) -> Rows:
    limit = timedelta(seconds=rules.current().short_seconds)
    return Order.objects.filter(
        kind=Kind.GOODS,
        fulfil=Fulfil.SHORT,
        status=Status.PAID,
        paid_at__lt=now - limit - OVERDUE,
    ).values_list("no", flat=True)
