"""The order of an automatic renewal: one a member and end of membership (K6)."""

from __future__ import annotations

from datetime import UTC, datetime

from members.models import Member, Plan
from orders.models import Fulfil, Kind, Order, OrderEvent, Risk
from orders.numbers import random_number


def renewal_key(member_id: int, paid_until: datetime) -> str:
    return f"{member_id}:{paid_until.astimezone(UTC).isoformat()}"


def place_renewal(
    member: Member, plan: Plan, price_fen: int, *, paid_until: datetime, now: datetime
) -> Order:
    """Place the renewal of a locked member's time at a price she has agreed to.

    It can be paid until that time ends, never after (R23). The unique key is the
    claim: whoever comes second gets an IntegrityError.
    """
    order = Order.objects.create(
        no=random_number(),
        client_token=f"renewal-{random_number()}",
        member=member,
        kind=Kind.TIER,
        plan=plan,
        title=str(plan),
        quantity=1,
        unit_fen=price_fen,
        amount_fen=price_fen,
        seconds=plan.seconds,
        rank=plan.tier.rank,
        tier_discount_bp=plan.tier.discount_bp,
        fulfil=Fulfil.NONE,
        risk=Risk.ALLOW,
        placed_at=now,
        expires_at=paid_until,
        renewal_key=renewal_key(member.pk, paid_until),
    )
    OrderEvent.objects.create(
        order=order,
        at=now,
        kind="placed",
        detail={"amount_fen": price_fen, "renewal": True},
    )
    return order
