"""Goods and keys for tests."""

from __future__ import annotations

import itertools
from typing import Any

from django.utils import timezone

from goods.demo import stock
from goods.models import CardKey, Category, Goods
from members.models import Member, Tier
from members.timeline import grant
from orders.models import Fulfil, Order
from tests.shopping import Till, fresh

_numbers = itertools.count(1)


def make_goods(
    slug: str = "", *, keys: int = 0, price_fen: int = 10_000, **more: Any
) -> Goods:
    """Goods with so many keys in stock, and no alert for a low stock."""
    shelf, _ = Category.objects.get_or_create(slug="games", name="游戏点卡")
    goods = Goods.objects.create(
        slug=slug or f"goods-{next(_numbers)}",
        category=shelf,
        name=more.pop("name", "游戏点卡 100 元"),
        price_fen=price_fen,
        low_stock=more.pop("low_stock", 0),
        max_per_order=more.pop("max_per_order", 12),
        **more,
    )
    if keys:
        restock(goods, keys)
    return goods


def secret() -> str:
    return f"KEY-{next(_numbers):08}-CANARY"


def restock(goods: Goods, keys: int) -> list[str]:
    """So many new keys on the shelf; returns them in the order of their hand-out."""
    goods.refresh_from_db()
    secrets = [secret() for _ in range(keys)]
    stock(goods, secrets, now=timezone.now())
    return secrets


def short(book: Till, member: Member, goods: Goods, quantity: int = 1) -> Order:
    """A paid order that came when everything had just been sold."""
    waiting = Order.objects.filter(goods=goods, fulfil=Fulfil.SHORT)
    restock(goods, quantity + sum(waiting.values_list("quantity", flat=True)))
    attempt = book.bill_goods(member, goods, quantity=quantity)
    empty(goods)
    book.hear(attempt)
    order = fresh(attempt.order)
    assert order.fulfil == Fulfil.SHORT
    return order


def empty(goods: Goods) -> None:
    """Nothing is left on the shelf."""
    CardKey.objects.filter(goods=goods, state="free").delete()
    Goods.objects.filter(pk=goods.pk).update(stock=0)


def make_member(till: Till, member: Member, tier: str = "temporary", days: int = 7):
    """Give somebody running time."""
    grant(
        member.pk,
        tier=Tier.objects.get(code=tier),
        seconds=days * 86_400,
        actor=member,
        reason="test",
        now=till.now,
    )
    member.refresh_from_db()
    return member


def holders(goods: Goods) -> list[int | None]:
    """Which order holds each key, in the order of the keys."""
    keys = CardKey.objects.filter(goods=goods).order_by("id")
    return list(keys.values_list("order_id", flat=True))
