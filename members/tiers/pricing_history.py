"""Changing what is sold: the row and its price history in one transaction (I9).

Orders carry their own frozen price, so nothing here touches one. The caller has asked
``members.tiers.catalogue_rules`` first, under its lock.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from django.db import transaction
from django.db.models import Model, Q

from members.models import Member, Plan, PriceChange, Tier
from members.tiers.reference_price import Change

PLAN_FIELDS = (
    "price_fen",
    "promo_price_fen",
    "promo_starts_at",
    "promo_ends_at",
    "enabled",
)
TIER_FIELDS = ("discount_bp", "real_name_from_fen", "enabled")


def save_plan(plan: Plan, *, actor: Member | None, now: datetime) -> None:
    """Save a plan, with a line for each change of its price, promotion or sale state.

    Joins the caller's transaction or opens one.
    """
    with transaction.atomic():
        before = _stored(plan)
        plan.save()
        PriceChange.objects.bulk_create(
            PriceChange(
                plan=plan, field=field, old=old, new=new, actor=actor, changed_at=now
            )
            for field, old, new in _differences(before, plan, PLAN_FIELDS)
        )


def save_tier(tier: Tier, *, actor: Member | None, now: datetime) -> None:
    """Save a tier, with a line for each change of its terms or sale state."""
    with transaction.atomic():
        before = _stored(tier)
        tier.save()
        PriceChange.objects.bulk_create(
            PriceChange(
                tier=tier, field=field, old=old, new=new, actor=actor, changed_at=now
            )
            for field, old, new in _differences(before, tier, TIER_FIELDS)
        )


def delete_unsold(row: Plan | Tier) -> None:
    """Delete a plan or a tier that nobody bought, and the history that proves nothing.

    raises  ProtectedError where anything else still points at it
    """
    with transaction.atomic():
        _stored(row)
        row.price_changes.all().delete()
        row.delete()


def history_of(plan: Plan) -> list[Change]:
    """Everything that decided what the plan cost, oldest first."""
    rows = PriceChange.objects.filter(
        Q(plan=plan) | Q(tier_id=plan.tier_id, field="enabled")
    )
    return [
        Change(
            at=row.changed_at,
            field=row.field if row.plan_id else "tier_enabled",
            old=row.old,
            new=row.new,
        )
        for row in rows.order_by("changed_at", "id")
    ]


def _stored[M: Model](row: M) -> M | None:
    """The row as it is in the database, locked; None for a new one."""
    if row.pk is None:
        return None
    return type(row)._default_manager.select_for_update().filter(pk=row.pk).first()


def _differences(
    before: Model | None, after: Model, fields: Iterable[str]
) -> Iterable[tuple[str, str, str]]:
    for field in fields:
        old = _written(getattr(before, field, None))
        new = _written(getattr(after, field))
        if old != new:
            yield field, old, new


def _written(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "on" if value else "off"
        case datetime():
            return value.astimezone(UTC).isoformat()
    return str(value)
