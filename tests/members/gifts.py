"""Gift codes for tests."""

from __future__ import annotations

from datetime import datetime, timedelta

from members import gift_codes
from members.addresses import Client
from members.gift_codes import Made
from members.models import Entitlement, GiftCode, Member, Tier

HERE = Client("203.0.113.9", "203.0.113.9", "203.0.113.0/24")


def make(
    actor: Member,
    now: datetime,
    *,
    count: int = 1,
    days: int = 7,
    tier: str = "temporary",
    valid_days: float = 30,
) -> Made:
    return gift_codes.make(
        name="双十一",
        tier=Tier.objects.get(code=tier),
        days=days,
        count=count,
        valid_until=now + timedelta(days=valid_days),
        actor=actor,
        now=now,
    )


def redeem(member: Member, typed: str, now: datetime) -> Entitlement:
    return gift_codes.redeem(member.pk, typed, client=HERE, now=now)


def state_of(code: str) -> str:
    return row_of(code).state


def row_of(code: str) -> GiftCode:
    return GiftCode.objects.get(digest__in=gift_codes.known_as(gift_codes.plain(code)))
