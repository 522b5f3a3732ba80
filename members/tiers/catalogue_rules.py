"""What a ladder, a rank and a promotion must keep to, with words for who breaks it.

Each check takes a row as it would be saved and returns what is wrong with it. Checks
look at several rows together, so whoever saves holds ``lock()`` from before the check.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from django.utils.translation import gettext as _

from kameng.templatetags.shop import discount, moment, per_day, yuan
from members.models import Benefit, Entitlement, Plan, Tier
from members.tiers.ladder import Step, breaks_ladder
from members.tiers.pricing_history import history_of
from members.tiers.reference_price import WINDOW, lowest_offered


@dataclass(frozen=True, slots=True)
class Fault:
    """One broken rule. ``field`` is ``price``, ``promo_price``, ``promo_ends_at``,
    ``days``, ``tier``, ``rank`` or ``discount_bp``: the value to mend."""

    field: str
    message: str


def lock() -> None:
    """One editor of the catalogue at a time; inside a transaction only."""
    list(Tier.objects.select_for_update().order_by("pk"))


def plan_faults(plan: Plan, *, now: datetime) -> list[Fault]:
    """What forbids a plan as it stands: frozen parts, the promotion, the ladder."""
    faults = _frozen_plan(plan) + _promotion(plan, now=now)
    return faults or _ladder(plan, now=now)


def tier_faults(tier: Tier) -> list[Fault]:
    """A frozen rank that moved, or a discount that contradicts the ranks (D15, R16)."""
    faults = []
    stored = Tier.objects.filter(pk=tier.pk).first() if tier.pk else None
    if stored and stored.rank != tier.rank and is_sold(stored):
        faults.append(Fault("rank", _("已有销售，等级不能再改，只能停售。")))
    for lower, higher in _pairs(tier):
        if higher.discount_bp > lower.discount_bp:
            words = _(
                "「{higher}」等级更高，折扣不能比「{lower}」差：{worse} 对 {better}。"
            )
            faults.append(
                Fault(
                    "discount_bp",
                    words.format(
                        higher=higher.name,
                        lower=lower.name,
                        worse=_rate(higher.discount_bp),
                        better=_rate(lower.discount_bp),
                    ),
                )
            )
    return faults


def benefit_faults(tier: Tier, benefits: Collection[int]) -> list[str]:
    """Where a higher rank would lack a benefit of a lower one (D15, R16).

    benefits  ids of those that the tier would give
    """
    labels = dict(Benefit.objects.values_list("pk", "label"))
    faults = []
    for lower, higher in _pairs(tier):
        given = [
            set(benefits)
            if each is tier
            else {benefit.pk for benefit in each.benefits.all()}
            for each in (lower, higher)
        ]
        missing = [labels[pk] for pk in labels if pk in given[0] - given[1]]
        if missing:
            words = _("「{higher}」等级更高，也要有「{lower}」的权益：{missing}。")
            faults.append(
                words.format(
                    higher=higher.name, lower=lower.name, missing="、".join(missing)
                )
            )
    return faults


def is_sold(row: Plan | Tier) -> bool:
    """Whether an order or a grant rests on it, so that it must stay (I8, K27)."""
    if isinstance(row, Plan):
        return row.orders.exists()
    return (
        Entitlement.objects.filter(tier=row).exists()
        or row.plans.filter(orders__isnull=False).exists()
    )


def deletion_fault(row: Plan | Tier) -> str:
    """Why it cannot be deleted, empty when it can."""
    if is_sold(row):
        return _("已有销售，不能删除，只能停售。")
    if isinstance(row, Tier) and (plans := row.plans.count()):
        return _("还有 {count} 个套餐，先删除套餐。").format(count=plans)
    return ""


def _pairs(tier: Tier) -> list[tuple[Tier, Tier]]:
    """The tier with each other one, the lower rank first."""
    others = Tier.objects.exclude(pk=tier.pk).prefetch_related("benefits")
    return [
        (other, tier) if other.rank < tier.rank else (tier, other) for other in others
    ]


def _frozen_plan(plan: Plan) -> list[Fault]:
    stored = Plan.objects.filter(pk=plan.pk).first() if plan.pk else None
    if stored is None:
        return []
    moved = [
        field
        for field, was, becomes in (
            ("tier", stored.tier_id, plan.tier_id),
            ("days", stored.days, plan.days),
        )
        if was != becomes
    ]
    if not moved or not is_sold(stored):
        return []
    words = _("已有销售，会员等级和天数不能再改，只能停售。")
    return [Fault(field, words) for field in moved]


def _promotion(plan: Plan, *, now: datetime) -> list[Fault]:
    price, starts_at, ends_at = (
        plan.promo_price_fen,
        plan.promo_starts_at,
        plan.promo_ends_at,
    )
    if price is None and starts_at is None and ends_at is None:
        return []
    if price is None or starts_at is None or ends_at is None:
        return [Fault("promo_price", _("优惠价、开始和结束要一起填，或者都空着。"))]
    if price >= plan.price_fen:
        return [Fault("promo_price", _("优惠价要低于价格。"))]
    if ends_at <= starts_at:
        return [Fault("promo_ends_at", _("优惠结束要晚于优惠开始。"))]
    if ends_at <= now:  # over: kept as it was, and shown to nobody
        return []
    return _unproven(plan, starts_at)


def _unproven(plan: Plan, starts_at: datetime) -> list[Fault]:
    """The struck-through price must be the lowest asked in the days before."""
    lowest = None
    if plan.pk:
        lowest = lowest_offered(
            history_of(plan), since=starts_at - WINDOW, until=starts_at
        )
    if lowest == plan.price_fen:
        return []
    if lowest is None:
        words = _("划线价没有依据：优惠开始前 7 天里，价格历史里没有在售的记录。")
        return [Fault("promo_price", words)]
    words = _(
        "划线价没有依据：优惠开始前 7 天里最低卖 {lowest}，不是 {price}。"
        "划线价只能是这 7 天里的最低价。"
    )
    return [
        Fault(
            "promo_price", words.format(lowest=yuan(lowest), price=yuan(plan.price_fen))
        )
    ]


def _ladder(plan: Plan, *, now: datetime) -> list[Fault]:
    """A longer plan must not cost more per day, now and at every change to come."""
    if not plan.enabled:
        return []
    others = Plan.objects.filter(tier_id=plan.tier_id, enabled=True)
    ladder = [plan, *others.exclude(pk=plan.pk)]
    to_come = {
        border
        for border in chain.from_iterable(
            (each.promo_starts_at, each.promo_ends_at) for each in ladder
        )
        if border is not None and border > now
    }
    for at in (now, *sorted(to_come)):
        broken = breaks_ladder([Step(each.days, each.price_at(at)) for each in ladder])
        if broken:
            promoted = plan.promotion_runs(at=at)
            return [
                Fault(
                    "promo_price" if promoted else "price",
                    _ladder_words(*broken, at=at, now=now),
                )
            ]
    return []


def _ladder_words(shorter: Step, longer: Step, *, at: datetime, now: datetime) -> str:
    words = _(
        "{longer} 天{more}，比 {shorter} 天的{less} 贵。时间越长，每天应该越便宜。"
    ).format(
        longer=longer.days,
        more=per_day(longer.price_fen, longer.days),
        shorter=shorter.days,
        less=per_day(shorter.price_fen, shorter.days),
    )
    if at == now:
        return words
    return _("从 {date} 起：").format(date=moment(at, now)) + words


def _rate(discount_bp: int) -> str:
    return discount(discount_bp) or _("无折扣")
