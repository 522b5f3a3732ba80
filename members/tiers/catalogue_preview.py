"""How a plan or a tier would look to shoppers if it were saved as it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from kameng.templatetags.shop import discount, moment, per_day, yuan_short
from members.models import Benefit, Plan, Tier, TierBenefit
from members.tiers.ladder import Step, saving, tie


@dataclass(frozen=True, slots=True)
class Card:
    """One stub, with its figures once more in words.

    stub   what ``components/stub_link.html`` expects
    title  when shoppers see it, empty for now
    """

    title: str
    stub: dict[str, Any]
    facts: list[str]


def plan_cards(plan: Plan, *, now: datetime) -> list[Card]:
    """The plan's stub as it is now, and as a promotion to come will make it."""
    others = list(
        Plan.objects.filter(tier_id=plan.tier_id, enabled=True).exclude(pk=plan.pk)
    )
    cards = [_card("", plan, others, at=now)]
    starts_at, ends_at = plan.promo_starts_at, plan.promo_ends_at
    if (
        plan.promo_price_fen is not None
        and starts_at is not None
        and ends_at is not None
        and now < starts_at < ends_at
    ):
        title = _("{start} 到 {end}").format(
            start=moment(starts_at, now), end=moment(ends_at, now)
        )
        cards.append(_card(title, plan, others, at=starts_at))
    return cards


def tier_cards(tier: Tier, *, now: datetime) -> list[Card]:
    """The stubs of a tier that is on sale, under the name it would have."""
    plans = list(Plan.objects.filter(tier_id=tier.pk, enabled=True).order_by("days"))
    for plan in plans:
        plan.tier = tier
    return [
        _card("", plan, [each for each in plans if each is not plan], at=now)
        for plan in plans
    ]


def comparison(tier: Tier, details: Mapping[int, str]) -> list[dict[str, str]]:
    """The rows of ``components/benefits.html`` if the tier gave these benefits.

    details  benefit id → the tier's words for it, empty for none
    """
    given = [
        (other.tier.rank, other.tier.kind, other.benefit_id, other.detail)
        for other in TierBenefit.objects.exclude(tier_id=tier.pk).select_related("tier")
    ]
    given += [(tier.rank, tier.kind, pk, detail) for pk, detail in details.items()]
    rows: dict[int, dict[str, str]] = {}
    for _rank, kind, benefit, detail in sorted(given):  # of a kind the higher rank wins
        row = rows.setdefault(benefit, {"temporary": "", "long_term": ""})
        row[kind.replace("-", "_")] = detail or "✓"
    labels = Benefit.objects.values_list("pk", "label")
    return [{"label": label, **rows[pk]} for pk, label in labels if pk in rows]


def _card(title: str, plan: Plan, others: list[Plan], *, at: datetime) -> Card:
    price_fen = plan.price_at(at)
    promoted = plan.promotion_runs(at=at)
    step = Step(plan.days, price_fen)
    ladder = [Step(other.days, other.price_at(at)) for other in others]
    saved = saving(step, ladder) if plan.enabled else None
    same = tie(step, ladder) if plan.enabled else None
    facts = [per_day(price_fen, plan.days)]
    if saved:
        words = _("比按天买省 {sum}") if saved.by_day else _("比其他买法最少省 {sum}")
        facts.append(words.format(sum=yuan_short(saved.fen)))
    if same:
        facts.append(
            _("{from_days} 天起，{days} 天卡同价还多 {extra} 天").format(
                from_days=same.from_days, days=plan.days, extra=same.extra_days
            )
        )
    facts.append(
        _("会员折扣 {rate}").format(rate=discount(plan.tier.discount_bp) or _("无"))
    )
    return Card(
        title,
        {
            "slug": plan.slug,
            "name": str(plan),
            "days": plan.days,
            "price_fen": price_fen,
            "was_fen": plan.price_fen if promoted else None,
            "promo_ends_at": plan.promo_ends_at if promoted else None,
            "saving_fen": saved.fen if saved else None,
            "saving_by_day": saved.by_day if saved else False,
            "tie": same,
            "sold_off": not (plan.enabled and plan.tier.enabled),
        },
        facts,
    )
