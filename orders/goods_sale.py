"""What may be ordered of the zone: on sale, in stock, within the limits, at her price.

Reads and decides; the caller holds the member's lock, so that parallel clicks count.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import IntegerField, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce

from goods.models import Goods
from members.models import Member
from members.standing import Standing, standing
from orders.models import Fulfil, Kind, Order, Risk, Status
from orders.pricing import line_fen

FULL_PRICE = 10_000


def available(goods: Goods) -> int:
    """Keys that a new order would get: in stock and not promised to the queue.

    goods  from ``with_waiting``
    """
    waiting: int = goods.waiting  # type: ignore[attr-defined]
    return max(0, goods.stock - waiting)


def with_waiting(goods: QuerySet[Goods]) -> QuerySet[Goods]:
    """The same things with ``waiting``, in the same statement."""
    short = Order.objects.filter(goods=OuterRef("pk"), fulfil=Fulfil.SHORT)
    promised = short.order_by().values("goods").annotate(pieces=Sum("quantity"))
    return goods.annotate(
        waiting=Coalesce(
            Subquery(promised.values("pieces")), 0, output_field=IntegerField()
        )
    )


def discount_of(goods: Goods, held: Standing) -> int:
    """The buyer's discount on this thing, 10000 for none (R17, A7).

    The running tier decides, the better of what she bought and what it gives today.
    """
    return held.discount_bp if goods.member_discount else FULL_PRICE


def bought_by(member: Member, goods: Goods, *, now: datetime) -> int:
    """Pieces that count for her limit: paid for and kept, or still held for payment."""
    counted = Q(status=Status.PAID) & ~Q(fulfil=Fulfil.VOID)
    held = Q(status=Status.PENDING, expires_at__gt=now)
    mine = Order.objects.filter(counted | held, member=member, goods=goods)
    return mine.aggregate(pieces=Coalesce(Sum("quantity"), 0))["pieces"]


def left_for(goods: Goods, bought: int) -> int:
    """How many pieces one more order of hers may have, by the limits alone."""
    if goods.max_per_member is None:
        return goods.max_per_order
    return max(0, min(goods.max_per_order, goods.max_per_member - bought))


def frozen(
    member: Member, goods: Goods, quantity: int, *, hold: timedelta, now: datetime
) -> Order:
    """An order at her price of this moment, not saved yet."""
    discount_bp = discount_of(goods, standing(member, at=now))
    return Order(
        member=member,
        kind=Kind.GOODS,
        goods=goods,
        title=goods.name,
        instructions=goods.instructions,
        quantity=quantity,
        unit_fen=goods.price_fen,
        discount_bp=discount_bp,
        amount_fen=line_fen(goods.price_fen, quantity, discount_bp),
        fulfil=Fulfil.NONE,
        risk=Risk.ALLOW,
        placed_at=now,
        expires_at=now + hold,
    )
