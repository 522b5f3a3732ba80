"""Delivering goods: keys in the settling transaction, a fair queue when there are none.

``fulfil_locked`` takes an order that is locked already; the other public functions open
their own transaction. Locks: order → member → card keys.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import F

from goods import keys, sealing
from goods.models import CardKey, Goods, KeyState
from members.models import Member
from members.standing import standing
from members.timeline import lock_member
from orders import goods_sale, queue, telling
from orders.closing import lock_order
from orders.models import Fulfil, Order, OrderEvent, Status

log = logging.getLogger(__name__)

REVEALED = "key-revealed"
"""OrderEvent: somebody has seen a key; its number in the order, never the key."""


class NoKey(Exception):
    """The order holds no such key, or holds it no longer."""


def fulfil_locked(order: Order, *, now: datetime, events: list[OrderEvent]) -> Fulfil:
    """Hand a paid, locked order its keys, or let it wait in the line (D22, D23).

    Members have priority by the tier that runs at the moment of payment (D25). The
    caller saves ``order.fulfil`` with what is returned; ``priority`` is saved here.
    """
    assert order.goods_id is not None
    member = lock_member(order.member_id)
    order.priority = 1 if standing(member, at=now).tier is not None else 0
    if order.priority:
        order.save(update_fields=["priority"])
    goods = keys.lock_goods(order.goods_id)
    must_wait = queue.has_precedence(goods.pk, order.priority, now=now)
    if not must_wait and keys.take(goods, order.pk, order.quantity, now=now):
        events.append(OrderEvent(order=order, at=now, kind="delivered"))
        telling.delivered(order, now=now, waited=False)
        return Fulfil.DONE
    events.append(OrderEvent(order=order, at=now, kind="short"))
    telling.short(order, now=now)
    return Fulfil.SHORT


def could_deliver(order: Order) -> bool:
    """Whether money that came late would still buy something: keys nobody waits for."""
    on_sale = Goods.objects.filter(pk=order.goods_id or 0)
    goods = goods_sale.with_waiting(on_sale).first()
    return goods is not None and goods_sale.available(goods) >= order.quantity


def serve(goods_id: int, *, now: datetime) -> int:
    """Deliver to the line of one thing while keys last; returns how many were served.

    Any number of workers may do so at once: each order is served under its lock and
    only while it is the first of the line (G9).
    """
    served = 0
    while (first := queue.line(goods_id, now=now).first()) is not None:
        outcome = _serve(first.pk, goods_id, now=now)
        if outcome is None:
            break
        served += outcome
    return served


@transaction.atomic(durable=True)
def _serve(order_id: int, goods_id: int, *, now: datetime) -> bool | None:
    """True when this order was served, False when the line has moved, None: no keys."""
    order = lock_order(order_id)
    goods = keys.lock_goods(goods_id)
    first = queue.line(goods_id, now=now).first()
    if first is None or first.pk != order_id:
        return False
    if not keys.take(goods, order_id, order.quantity, now=now):
        return None
    Order.objects.filter(pk=order_id).update(
        fulfil=Fulfil.DONE, version=F("version") + 1
    )
    OrderEvent.objects.create(order=order, at=now, kind="delivered")
    telling.delivered(order, now=now, waited=True)
    return True


def serve_all(*, now: datetime) -> int:
    """Serve every line that waits: whatever was lost on the way is found here."""
    waiting = Order.objects.filter(fulfil=Fulfil.SHORT, status=Status.PAID)
    lines = waiting.order_by().values_list("goods_id", flat=True).distinct()
    return sum(serve(goods_id, now=now) for goods_id in lines if goods_id)


@dataclass(frozen=True, slots=True)
class MaskedKey:
    """A key as its owner's page lists it: ``n`` counts from 1 within the order."""

    n: int
    seen: bool


def keys_of(order: Order) -> list[MaskedKey]:
    """The order's keys, none of them opened."""
    moments = order.keys.order_by("id").values_list("revealed_at", flat=True)
    return [MaskedKey(n, moment is not None) for n, moment in enumerate(moments, 1)]


@transaction.atomic(durable=True)
def reveal(
    order_id: int,
    n: int,
    *,
    now: datetime,
    actor: Member | None = None,
    reason: str = "",
) -> str:
    """Open the n-th key of an order and write down that somebody saw it.

    Under the order's lock, so that a key is either seen or taken back for a refund,
    never both (F14). The row of the story names the key by its number alone.

    actor   a member of staff who reads it for the buyer, with her reason
    raises  NoKey
    """
    order = lock_order(order_id)
    held = CardKey.objects.filter(order=order, state=KeyState.SOLD).order_by("id")
    key = held[n - 1 : n].first() if n > 0 else None
    if key is None:
        raise NoKey
    secret = sealing.unseal(key.secret)
    CardKey.objects.filter(pk=key.pk, revealed_at__isnull=True).update(revealed_at=now)
    detail: dict[str, object] = {"key": n}
    if actor is not None:
        detail["reason"] = reason[:200]
    OrderEvent.objects.create(
        order=order, at=now, kind=REVEALED, detail=detail, actor=actor
    )
    return secret


def take_back_locked(order: Order, *, now: datetime) -> int:
    """Void a locked goods order that is refunded and return its unseen keys (F14, R20).

    For the transaction that requests the refund. Returns how many keys came back; the
    keys that were seen stay sold. An order that still waits leaves the line.
    """
    assert order.goods_id is not None
    returned = keys.take_back(order.goods_id, order.pk, now=now)
    Order.objects.filter(pk=order.pk).update(
        fulfil=Fulfil.VOID, version=F("version") + 1
    )
    order.fulfil = Fulfil.VOID
    OrderEvent.objects.create(
        order=order, at=now, kind="keys-returned", detail={"keys": returned}
    )
    return returned
