"""Placing an order: the price frozen, the hold begun, one row a click."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from members import rules
from members.models import Member, Plan, ShopRules
from members.timeline import LONGEST, lock_member
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


class PriceChanged(NotPlaced):
    """The page showed another price (A3)."""

    def __init__(self, plan: Plan, price_fen: int) -> None:
        super().__init__(plan.slug)
        self.plan = plan
        self.price_fen = price_fen


class TooManyOpen(NotPlaced):
    """The member has as many unpaid orders as allowed (A15)."""

    def __init__(self, orders: Sequence[Order]) -> None:
        super().__init__(len(orders))
        self.orders = list(orders)


class TooFarAhead(NotPlaced):
    """The membership would end beyond the longest timeline (security 49)."""


class TooManyFromAddress(NotPlaced):
    """The address holds too many unpaid orders (security 84)."""


def placed_before(
    client_token: str, *, member_id: int | None, phone: str | None
) -> Order | None:
    """The order that this form already made, if it made one for the same person (A2).

    Looked up before a code is judged: a guest's code is spent by the first click.
    """
    found = (
        Order.objects.select_related("member").filter(client_token=client_token).first()
    )
    if found is None:
        return None
    if member_id is not None:
        return found if found.member_id == member_id else None
    return found if phone is not None and found.member.phone == phone else None


@transaction.atomic(durable=True)
def place_order(
    *,
    member_id: int,
    plan_slug: str,
    quantity: int,
    shown_fen: int,
    client_token: str,
    address_digest: str,
    now: datetime,
    attach: Callable[[Order], object],
) -> Placed:
    """Freeze what is bought at today's price and hold it for 30 minutes.

    Opens its own transaction and locks the member, so that the limit of open orders
    holds for parallel clicks. ``attach`` adds the first payment attempt to the order
    in the same transaction.

    shown_fen   the total that the page showed, in fen
    raises      PlanGone, PriceChanged, TooFarAhead, TooManyOpen, TooManyFromAddress
    """
    limits = rules.current()
    plan = (
        Plan.objects.select_related("tier")
        .filter(slug=plan_slug, enabled=True, tier__enabled=True)
        .first()
    )
    if plan is None or not 1 <= quantity <= QUANTITY_MAX:
        raise PlanGone(plan_slug)
    member = lock_member(member_id)
    repeated = Order.objects.filter(client_token=client_token).first()
    if repeated is not None:
        if repeated.member_id != member_id:
            raise PlanGone("client token of another member")
        return Placed(repeated, repeated=True)
    unit_fen = plan.price_at(now)
    amount_fen = line_fen(unit_fen, quantity, 10_000)
    if shown_fen != amount_fen:
        raise PriceChanged(plan, amount_fen)
    end = max(member.paid_until or now, now) + timedelta(
        seconds=plan.seconds * quantity
    )
    if end > now + LONGEST:
        raise TooFarAhead
    _refuse_hoarding(member, address_digest, limits, now=now)
    order = Order.objects.create(
        no=random_number(),
        client_token=client_token,
        member=member,
        kind=Kind.TIER,
        plan=plan,
        title=str(plan),
        quantity=quantity,
        unit_fen=unit_fen,
        amount_fen=amount_fen,
        seconds=plan.seconds * quantity,
        rank=plan.tier.rank,
        tier_discount_bp=plan.tier.discount_bp,
        fulfil=Fulfil.NONE,
        risk=Risk.ALLOW,
        placed_at=now,
        expires_at=now + timedelta(seconds=limits.hold_seconds),
        address_digest=address_digest,
    )
    OrderEvent.objects.create(
        order=order, at=now, kind="placed", detail={"amount_fen": amount_fen}
    )
    attach(order)
    return Placed(order)


def _refuse_hoarding(
    member: Member, address_digest: str, limits: ShopRules, *, now: datetime
) -> None:
    """Raise when the member or the address holds too many unpaid orders already.

    One query for both: of so many rows that either limit must be reached.
    """
    whose = Q(member=member)
    if address_digest:
        whose |= Q(address_digest=address_digest)
    most = limits.open_orders_max + limits.open_orders_per_address
    found = list(Order.objects.pending(at=now).filter(whose).order_by("-id")[:most])
    hers = [order for order in found if order.member_id == member.pk]
    if len(hers) >= limits.open_orders_max:
        raise TooManyOpen(hers)
    from_address = [order for order in found if order.address_digest == address_digest]
    if address_digest and len(from_address) >= limits.open_orders_per_address:
        raise TooManyFromAddress
