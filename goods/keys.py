"""Handing card keys out and taking them back; the stock moves with them.

Every function expects the caller's transaction and its lock on the order, if there is
one: the lock order is order → member → card keys, and ``lock_goods`` is the first of
the card keys' locks.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import Case, F, Q, Value, When

from goods.models import BatchState, CardKey, Goods, KeyState

log = logging.getLogger(__name__)


class Taken(Exception):
    """A key was given to somebody else meanwhile; nothing was handed out."""


def lock_goods(goods_id: int) -> Goods:
    """Take the row lock under which keys and stock of one thing move.

    Not the lock of a deletion: an order may be placed meanwhile, which refers to the row.
    """
    return Goods.objects.select_for_update(no_key=True, of=("self",)).get(pk=goods_id)


def take(goods: Goods, order_id: int, quantity: int, *, now: datetime) -> bool:
    """Give an order its keys, all or none (D22, D23); False when there are too few.

    goods  locked; its stock is brought up to date
    """
    if goods.stock < quantity:
        return False
    free = CardKey.objects.filter(goods=goods, state=KeyState.FREE)
    chosen = list(free.order_by("id").values_list("pk", flat=True)[:quantity])
    try:
        with transaction.atomic():
            _give(chosen, order_id, quantity)
    except Taken:
        log.error("goods %s: fewer free keys than its stock says", goods.pk)
        return False
    move_stock(goods, -quantity, now=now)
    return True


def _give(chosen: Sequence[int], order_id: int, quantity: int) -> None:
    """K21: the condition and the row count decide, whatever was read before."""
    given = CardKey.objects.filter(
        pk__in=chosen, state=KeyState.FREE, order__isnull=True
    ).update(state=KeyState.SOLD, order_id=order_id)
    if given != quantity:
        raise Taken


@dataclass(frozen=True, slots=True)
class Held:
    """How many keys an order holds, and how many of them somebody has seen."""

    keys: int
    seen: int

    @property
    def unseen(self) -> int:
        return self.keys - self.seen


def held_by(order_id: int) -> Held:
    seen = CardKey.objects.filter(order_id=order_id).values_list(
        "revealed_at", flat=True
    )
    moments = list(seen)
    return Held(len(moments), sum(moment is not None for moment in moments))


def take_back(goods_id: int, order_id: int, *, now: datetime) -> int:
    """Return an order's unseen keys to the stock; how many there were (F14).

    Call it under the order's lock in the transaction that requests the refund (R20).
    A key that was seen stays sold for ever. A key of a batch that was undone meanwhile
    is void: it must not be sold again. Safe to repeat.
    """
    goods = lock_goods(goods_id)
    unseen = CardKey.objects.filter(
        order_id=order_id, state=KeyState.SOLD, revealed_at__isnull=True
    )
    undone = Q(batch__state=BatchState.UNDONE)
    dead = list(unseen.filter(undone).values_list("pk", flat=True))
    state = Case(
        When(pk__in=dead, then=Value(KeyState.VOID)), default=Value(KeyState.FREE)
    )
    returned = unseen.update(state=state, order=None)
    if returned > len(dead):
        move_stock(goods, returned - len(dead), now=now)
    return returned


def move_stock(goods: Goods, change: int, *, now: datetime) -> None:
    """Count keys in or out of a locked thing; says so once when they run low."""
    goods.stock += change
    low = goods.stock < goods.low_stock
    crossed = low and goods.low_since is None
    if crossed:
        goods.low_since = now
    elif not low:
        goods.low_since = None
    Goods.objects.filter(pk=goods.pk).update(
        stock=F("stock") + change, low_since=goods.low_since
    )
    if crossed:
        words = ("goods %s: stock is low, %s left", goods.pk, goods.stock)
        transaction.on_commit(lambda: log.error(*words))
