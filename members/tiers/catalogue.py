"""What is on sale, read once and kept in the process for a few seconds.

Pages read it; ``place_order`` reads the database, so a stale price can be shown for
seconds but never charged.
"""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Model
from django.db.models.signals import post_delete, post_save
from django.utils.translation import get_language

from members.models import Benefit, Plan, Tier, TierBenefit, TierKind
from members.tiers.ladder import Saving, Step, Tie, saving, tie

_SECONDS = 5.0
_kept: tuple[float, Catalogue] | None = None


@dataclass(frozen=True, slots=True)
class BenefitRow:
    """One line of the comparison; an empty text means the tier does not have it."""

    benefit: Benefit
    details: dict[str, TierBenefit]


@dataclass(frozen=True, slots=True)
class Catalogue:
    plans: tuple[Plan, ...]
    """Every plan, sold or not, by rank and days."""
    benefits: tuple[BenefitRow, ...]
    version: int
    """Changes with every reading that found something else."""

    def of_kind(self, kind: str) -> list[Plan]:
        return [plan for plan in self.plans if plan.tier.kind == kind]

    def on_sale(self, kind: str | None = None) -> list[Plan]:
        return [
            plan
            for plan in self.plans
            if plan.enabled and plan.tier.enabled and kind in (None, plan.tier.kind)
        ]

    def plan(self, slug: str) -> Plan | None:
        return next((plan for plan in self.plans if plan.slug == slug), None)

    def by_id(self, plan_id: int | None) -> Plan | None:
        return next((plan for plan in self.plans if plan.pk == plan_id), None)

    def labels(self, tier: Tier) -> list[str]:
        """The names of a tier's benefits, in order."""
        return [
            row.benefit.label
            for row in self.benefits
            if any(given.tier_id == tier.pk for given in row.details.values())
        ]

    def saving(self, plan: Plan, *, at: datetime) -> Saving | None:
        """Against the cheapest other way within the same tier."""
        return saving(
            Step(plan.days, plan.price_at(at)), self._other_steps(plan, at=at)
        )

    def tie(self, plan: Plan, *, at: datetime) -> Tie | None:
        """From how many days on the plan costs the same as day by day, if it does."""
        return tie(Step(plan.days, plan.price_at(at)), self._other_steps(plan, at=at))

    def _other_steps(self, plan: Plan, *, at: datetime) -> list[Step]:
        return [
            Step(other.days, other.price_at(at))
            for other in self.on_sale()
            if other.tier_id == plan.tier_id and other.pk != plan.pk
        ]


def current() -> Catalogue:
    """The catalogue; a change made by another process is seen within five seconds."""
    global _kept
    at = time.monotonic()
    if _kept is None or at - _kept[0] > _SECONDS:
        _kept = (at, _read())
    return _kept[1]


def _read() -> Catalogue:
    plans = Plan.objects.select_related("tier").order_by("tier__rank", "days")
    rows: dict[int, BenefitRow] = {}
    given = TierBenefit.objects.select_related("tier", "benefit")
    for each in given.order_by("benefit__position", "benefit_id", "tier__rank"):
        row = rows.setdefault(each.benefit_id, BenefitRow(each.benefit, {}))
        row.details[each.tier.kind] = each  # of two tiers of a kind, the higher
    found = tuple(plans)
    comparison = tuple(rows.values())
    fingerprint = repr(
        [(p.pk, p.price_fen, p.enabled, p.tier.name) for p in found]
        + [
            (row.benefit.label, [(k, d.detail) for k, d in row.details.items()])
            for row in comparison
        ]
    )
    return Catalogue(found, comparison, zlib.crc32(fingerprint.encode()))


def forget(**_: object) -> None:
    global _kept
    _kept = None


_watched: tuple[type[Model], ...] = (Plan, Tier, Benefit, TierBenefit)
for _model in _watched:
    for _signal in (post_save, post_delete):
        _signal.connect(
            forget, sender=_model, dispatch_uid="members.tiers.catalogue.forget"
        )

KINDS = tuple(TierKind.values)


def tier_name(tier: Tier) -> str:
    """The tier's name in the reader's language."""
    return (tier.name_en if get_language() == "en" else "") or tier.name
