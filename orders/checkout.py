"""Placing an order: the price frozen, the hold begun, one row a click."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, Q

from goods.models import Goods
from members import rules
from members.models import Member, Plan
from members.timeline import LONGEST, lock_member
from orders import coupons, goods_sale, real_name
from orders.coupons import CouponRefused
from orders.models import Fulfil, Kind, Order, OrderEvent, Risk
from orders.numbers import random_number
from orders.pricing import line_fen

QUANTITY_MAX = 12
QUANTITY = re.compile(r"[1-9][0-9]{0,2}", re.ASCII)
SHOWN_FEN = re.compile(r"[0-9]{1,9}", re.ASCII)
CLIENT_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Placed:
    """The order; ``repeated`` when this very form was posted before."""

    order: Order
    repeated: bool = False


class NotPlaced(Exception):
    """Nothing was placed; the subclass says why."""


class PlanGone(NotPlaced):
    """The plan is unknown or no longer sold."""


class GoodsGone(NotPlaced):
    """The goods are unknown or no longer sold."""


class OutOfStock(NotPlaced):
    """Fewer keys are there than were asked for; ``left`` are."""

    def __init__(self, left: int) -> None:
        super().__init__(left)
        self.left = left


class LimitReached(NotPlaced):
    """More than one order or one member may have; ``left`` more are allowed."""

    def __init__(self, left: int) -> None:
        super().__init__(left)
        self.left = left


class PriceChanged(NotPlaced):
    """The page showed another price (A3)."""

    def __init__(self, thing: Plan | Goods, price_fen: int) -> None:
        super().__init__(thing.slug)
        self.thing = thing
        self.price_fen = price_fen


class TooManyOpen(NotPlaced):
    """The member has as many unpaid orders as allowed (A15)."""

    def __init__(self, orders: Sequence[Order]) -> None:
        super().__init__(len(orders))
        self.orders = list(orders)


class CouponLeft(NotPlaced):
    """The coupon does not apply; ``why`` says why."""

    def __init__(self, why: CouponRefused) -> None:
        super().__init__(type(why).__name__)
        self.why = why


class TooFarAhead(NotPlaced):
    """The membership would end beyond the longest timeline (security 49)."""


class TooManyFromAddress(NotPlaced):
    """The address holds too many unpaid orders (security 84)."""


class NameWanted(NotPlaced):
    """A sum of this thing is sold to adults whose name is verified (S22)."""

    def __init__(self, lack: real_name.Lack) -> None:
        super().__init__(lack)
        self.lack = lack


def placed_before(
    client_token: str, *, member_id: int | None, phone: str | None
) -> Order | None:
    """The order that this form already made, if it made one for the same person (A2).

    Looked up before a code is judged: a guest's code is spent by the first click.
    """
    if not CLIENT_TOKEN.fullmatch(client_token):
        return None
    found = (
        Order.objects.select_related("member").filter(client_token=client_token).first()
    )
    if found is None:
        return None
    if member_id is not None:
        return found if found.member_id == member_id else None
    return found if phone is not None and found.member.phone == phone else None


def place_order(
    *,
    member_id: int,
    plan_slug: str = "",
    goods_slug: str = "",
    quantity: int,
    shown_fen: int,
    client_token: str,
    address_digest: str,
    coupon_id: int | None = None,
    now: datetime,
    attach: Callable[[Order], object],
) -> Placed:
    """Freeze what is bought at today's price and hold it for 30 minutes.

    Opens its own transaction and locks the member, so that the limit of open orders
    holds for parallel clicks. ``attach`` adds the first payment attempt to the order
    in the same transaction. The unique token lets a form make one order only; whatever
    would stop the second click leads to the order of the first (A2).

    goods_slug  of goods in the zone; else ``plan_slug`` names a plan
    shown_fen   the total that the page showed, in fen
    coupon_id   from ``coupons.find``; judged again here and counted with the order
    raises      PlanGone, PriceChanged, TooFarAhead, TooManyOpen, TooManyFromAddress,
                CouponLeft, NameWanted; for goods GoodsGone, OutOfStock, LimitReached
    """
    try:
        with transaction.atomic(durable=True):
            thing, order = _drafted(member_id, plan_slug, goods_slug, quantity, now=now)
            if coupon_id is not None:
                _put_coupon_on(order, coupon_id, thing, now=now)
            if shown_fen != order.amount_fen:
                raise PriceChanged(thing, order.amount_fen)
            if order.plan is not None:
                _refuse_far_ahead(order, now=now)
            if order.member.merged_into_id is not None:
                raise PlanGone("an account that is over")
            _refuse_nameless(order, now=now)
            _refuse_hoarding(order.member, address_digest, now=now)
            order.no = random_number()
            order.client_token = client_token
            order.address_digest = address_digest
            order.save(force_insert=True)
            OrderEvent.objects.create(
                order=order,
                at=now,
                kind="placed",
                detail=_placing(order),
            )
            attach(order)
    except (NotPlaced, IntegrityError):
        first = Order.objects.filter(client_token=client_token).first()
        if first is None:
            raise
        if first.member_id != member_id:
            raise PlanGone("client token of another member") from None
        return Placed(first, repeated=True)
    return Placed(order)


def _drafted(
    member_id: int, plan_slug: str, goods_slug: str, quantity: int, *, now: datetime
) -> tuple[Plan | Goods, Order]:
    """What is bought and its order as things stand now; the member is locked here."""
    if goods_slug:
        order = _order_of_goods(member_id, goods_slug, quantity, now=now)
        assert order.goods is not None
        return order.goods, order
    plan = _plan_on_sale(plan_slug, quantity)
    return plan, _frozen(lock_member(member_id), plan, quantity, now=now)


def _plan_on_sale(slug: str, quantity: int) -> Plan:
    try:
        plan = Plan.objects.select_related("tier").get(slug=slug)
    except Plan.DoesNotExist:
        raise PlanGone(slug) from None
    is_sold = plan.enabled and plan.tier.enabled
    if not (is_sold and 1 <= quantity <= QUANTITY_MAX):
        raise PlanGone(slug)
    return plan


def _placing(order: Order) -> dict[str, Any]:
    """What the story keeps of the order as it was placed."""
    if order.coupon is None:
        return {"amount_fen": order.amount_fen}
    return {
        "amount_fen": order.amount_fen,
        "coupon": order.coupon.code,
        "coupon_off_fen": order.coupon_off_fen,
    }


def _put_coupon_on(
    order: Order, coupon_id: int, thing: Plan | Goods, *, now: datetime
) -> None:
    try:
        coupons.put_on(order, coupon_id, thing, now=now)
    except CouponRefused as why:
        raise CouponLeft(why) from None


def _refuse_far_ahead(order: Order, *, now: datetime) -> None:
    """Raise when the membership would end beyond all reason."""
    begins = max(order.member.paid_until or now, now)
    if begins + timedelta(seconds=order.seconds) > now + LONGEST:
        raise TooFarAhead


def _frozen(member: Member, plan: Plan, quantity: int, *, now: datetime) -> Order:
    """An order as the plan stands at this moment, not saved yet."""
    unit_fen = plan.price_at(now)
    return Order(
        member=member,
        kind=Kind.TIER,
        plan=plan,
        title=str(plan),
        quantity=quantity,
        unit_fen=unit_fen,
        amount_fen=line_fen(unit_fen, quantity, 10_000),
        seconds=plan.seconds * quantity,
        rank=plan.tier.rank,
        tier_discount_bp=plan.tier.discount_bp,
        fulfil=Fulfil.NONE,
        risk=Risk.ALLOW,
        placed_at=now,
        expires_at=now + timedelta(seconds=rules.current().hold_seconds),
    )


def _order_of_goods(
    member_id: int, slug: str, quantity: int, *, now: datetime
) -> Order:
    """An order of goods as they stand at this moment, for a member who is locked here.

    Stock is promised by payment alone (security 84), so this look at it only keeps her
    from paying for what is plainly not there.
    """
    on_sale = goods_sale.with_waiting(Goods.objects.filter(enabled=True, slug=slug))
    goods = on_sale.first()
    if goods is None or quantity < 1:
        raise GoodsGone(slug)
    member = lock_member(member_id)
    bought = 0
    if goods.max_per_member is not None:
        bought = goods_sale.bought_by(member, goods, now=now)
    allowed = goods_sale.left_for(goods, bought)
    if quantity > allowed:
        raise LimitReached(allowed)
    if quantity > goods_sale.available(goods):
        raise OutOfStock(goods_sale.available(goods))
    hold = timedelta(seconds=rules.current().hold_seconds)
    return goods_sale.frozen(member, goods, quantity, hold=hold, now=now)


def _refuse_nameless(order: Order, *, now: datetime) -> None:
    """Raise when a sum like this one is sold to verified adults alone, and she is none."""
    thing = order.plan.tier if order.plan is not None else order.goods
    assert thing is not None
    found = real_name.lack(thing, order.amount_fen, order.member, now=now)
    if found is not None:
        raise NameWanted(found)


def _refuse_hoarding(member: Member, address_digest: str, *, now: datetime) -> None:
    """Raise when the member or the address holds too many unpaid orders already.

    One query counts for both; her orders are read only to be shown with the refusal.
    """
    limits = rules.current()
    pending = Order.objects.pending(at=now)
    hers, nearby = Q(member=member), Q(address_digest=address_digest)
    held = pending.filter(hers | nearby if address_digest else hers).aggregate(
        hers=Count("pk", filter=hers), nearby=Count("pk", filter=nearby)
    )
    if held["hers"] >= limits.open_orders_max:
        raise TooManyOpen(list(pending.filter(hers).order_by("-id")))
    if address_digest and held["nearby"] >= limits.open_orders_per_address:
        raise TooManyFromAddress
