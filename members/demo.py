"""The demo shop: its tiers, plans and staff; ``manage.py demo`` puts it all together."""

from __future__ import annotations

import secrets
from typing import Any

from django.utils import timezone

from members import staff_roles
from members.models import (
    Benefit,
    Member,
    Plan,
    PriceChange,
    ShopRules,
    Tier,
    TierBenefit,
    TierKind,
)

TIERS: tuple[dict[str, Any], ...] = (
    {
        "code": "temporary",
        "name": "临时会员",
        "name_en": "Temporary member",
        "kind": TierKind.TEMPORARY,
        "rank": 10,
        "discount_bp": 9_500,
    },
    {
        "code": "long-term",
        "name": "长期会员",
        "name_en": "Long-term member",
        "kind": TierKind.LONG_TERM,
        "rank": 20,
        "discount_bp": 9_000,
    },
)
PLANS = (
    ("temporary-1", "temporary", 1, 300),
    ("temporary-7", "temporary", 7, 1_500),
    ("temporary-30", "temporary", 30, 5_000),
    ("long-term-90", "long-term", 90, 7_500),
    ("long-term-365", "long-term", 365, 23_800),
)
BENEFITS = (
    # code, name, English, what temporary members get, what long-term members get
    (
        "discount",
        "会员折扣",
        "Member discount",
        ("95 折", "5% off"),
        ("9 折", "10% off"),
    ),
    ("priority", "优先发货", "Priority delivery", ("", ""), ("", "")),
    ("support", "会员客服", "Member support", ("", ""), ("", "")),
    ("stacking", "剩余时间不作废", "Remaining time is kept", ("", ""), ("", "")),
    ("renewal", "到期前提醒", "Reminder before the end", ("", ""), ("", "")),
)


def fill() -> None:
    """Tiers, plans with their price history, benefits and the shop's own data."""
    now = timezone.now()
    ShopRules.objects.create(
        company="卡盟演示店",
        support_contact="站内客服（演示）",
        support_hours="每天 9:00–21:00",
    )
    tiers = {row["code"]: Tier.objects.create(**row) for row in TIERS}
    for slug, tier, days, price in PLANS:
        plan = Plan.objects.create(
            slug=slug, tier=tiers[tier], days=days, price_fen=price
        )
        PriceChange.objects.create(
            plan=plan, field="price_fen", new=str(price), changed_at=now
        )
    for position, (code, label, english, temporary, long_term) in enumerate(BENEFITS):
        benefit = Benefit.objects.create(
            code=code, label=label, label_en=english, position=position
        )
        for tier, words in (("temporary", temporary), ("long-term", long_term)):
            TierBenefit.objects.create(
                tier=tiers[tier],
                benefit=benefit,
                detail=words[0],
                detail_en=words[1],
            )


def make_staff() -> dict[str, str]:
    """An operator and a support account with random passwords, by name."""
    staff_roles.ensure()
    passwords = {}
    for role in ("operator", "support"):
        passwords[role] = secrets.token_urlsafe(12)
        member = Member.objects.create_staff(role, passwords[role])
        staff_roles.assign(member, role)
    return passwords
