"""The recommendation as a member sees it: from her days to sentences that hold.

One statement reads her visit and purchase days of the last 90. Nobody else's days, no
price and no right depend on what is found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db.models import BigIntegerField, F, Value
from django.db.models.functions import TruncDate
from django.utils.translation import gettext as _

from kameng.http import ShopRequest, member_of
from kameng.templatetags.shop import yuan_short
from members import catalogue, visits
from members.ladder import Comparison, Step, cheapest_for, compare
from members.models import Member, Plan, TierKind, VisitDay
from members.recommendation import HORIZON_DAYS, Advice, recommend, window
from members.standing import Standing
from orders.models import Fulfil, Order, Status

FIRST_DAYS = 7
"""The plan a first-time shopper finds preselected, and the default afterwards."""
WEEK_DAYS, MONTH_DAYS = 7, 30
_MOST_ROWS = 400
"""Of 91 days: one for the visit and a few for what was bought; more would change nothing."""


@dataclass(frozen=True, slots=True)
class History:
    """The days she was here; ``last``: what she bought last, (day, length in days)."""

    today: date
    days: frozenset[date]
    last: tuple[date, int] | None


@dataclass(frozen=True, slots=True)
class Found:
    history: History
    plan: Plan
    advice: Advice
    comparison: Comparison | None
    """Over as many days as the plan has; None for the shortest plan."""


def read(member: Member, *, now: datetime) -> History:
    """In one statement, however long she has been a member."""
    today = visits.day_of(now)
    since = today - timedelta(days=HORIZON_DAYS)
    begin = datetime.combine(since, time(), visits.SHANGHAI)
    seen = VisitDay.objects.filter(member=member, day__gte=since).annotate(
        length=Value(0, output_field=BigIntegerField())
    )
    bought = (
        Order.objects.filter(member=member, status=Status.PAID, paid_at__gte=begin)
        .exclude(fulfil=Fulfil.VOID)
        .order_by()
        .annotate(day=TruncDate("paid_at", tzinfo=visits.SHANGHAI), length=F("seconds"))
    )
    rows = list(
        seen.values_list("day", "length")
        .union(bought.values_list("day", "length"))
        .order_by("-day", "-length")[:_MOST_ROWS]
    )
    last = next(((day, length // 86_400) for day, length in rows if length), None)
    return History(today, frozenset(day for day, _length in rows), last)


def of(request: ShopRequest) -> History | None:
    """What this request knows of her, read once; None where nothing may be read: a
    guest, one who has never had a membership, one who switched it off."""
    member = member_of(request)
    if member is None or not member.wants_advice or member.timeline_at is None:
        return None
    known: History | None = getattr(request, "history", None)
    if known is None:
        known = read(member, now=request.now)
        request.history = known  # type: ignore[attr-defined]
    return known


def is_off(request: ShopRequest) -> bool:
    member = member_of(request)
    return member is not None and not member.wants_advice


def steps_of(plans: Sequence[Plan], *, at: datetime) -> list[Step]:
    return [Step(plan.days, plan.price_at(at)) for plan in plans]


def temporary(request: ShopRequest) -> Found | None:
    """The temporary plan to recommend, with what the same days cost without it.

    None on the very first of her days: it says nothing about the next ones, so the page
    keeps to what she bought last.
    """
    history = of(request)
    plans = catalogue.current().on_sale(TierKind.TEMPORARY)
    if history is None or not history.days - {history.today} or not plans:
        return None
    steps = steps_of(plans, at=request.now)
    advice = recommend(
        history.days, steps, today=history.today, default_days=FIRST_DAYS
    )
    if advice is None:
        return None
    plan = plans[steps.index(advice.step)]
    recent = _numbers(history, plan.days)
    shorter = [step for step in steps if step.days < plan.days]
    others = [step for step in steps if step is not advice.step] if shorter else []
    return Found(history, plan, advice, compare(recent, advice.step, others))


def long_term(request: ShopRequest, held: Standing) -> dict[str, Any] | None:
    """The shortest long-term plan that would have cost less than temporary ones for the
    days she came in as long a time, but at most 90; None for a long-term member (S26).
    """
    history = of(request)
    if history is None or (held.tier and held.tier.kind == TierKind.LONG_TERM):
        return None
    shop = catalogue.current()
    steps = steps_of(shop.on_sale(TierKind.TEMPORARY), at=request.now)
    for plan in sorted(shop.on_sale(TierKind.LONG_TERM), key=lambda each: each.days):
        numbers = _numbers(history, plan.days)
        other = cheapest_for(numbers, steps)
        price = plan.price_at(request.now)
        if other is not None and other > price:
            return {
                "plan": plan,
                "window_days": min(plan.days, HORIZON_DAYS),
                "days_seen": len(numbers),
                "other_fen": other,
                "price_fen": price,
                "saving_fen": other - price,
            }
    return None


def _numbers(history: History, length: int) -> list[int]:
    recent = window(history.days, min(length, HORIZON_DAYS), today=history.today)
    return [day.toordinal() for day in recent]


def sums(found: Found) -> dict[str, Any]:
    """The finished values of the one sentence: a saving is among them only if it is."""
    told = found.comparison
    if told is None or told.saves_fen <= 0:
        days = window(found.history.days, MONTH_DAYS, today=found.history.today)
        return {"window_days": MONTH_DAYS, "days_seen": len(days), "other_fen": None}
    return {
        "window_days": min(found.plan.days, HORIZON_DAYS),
        "days_seen": told.days,
        "other_fen": told.other_fen,
        "by_day": told.by_day,
    }


def inputs(found: Found, name: str) -> list[str]:
    """What was looked at, in numbers, for 「为什么推荐」."""
    history, advice = found.history, found.advice
    counts = {
        f"d{length}": len(window(history.days, length, today=history.today))
        for length in (WEEK_DAYS, MONTH_DAYS, HORIZON_DAYS)
    }
    lines = [
        _("含今天，近 7 天你来过 {d7} 天，近 30 天 {d30} 天，近 90 天 {d90} 天").format(
            **counts
        )
    ]
    if history.last is not None:
        bought, length = history.last
        ends = bought + timedelta(days=length)
        used = sum(bought <= day < ends for day in history.days)
        lines.append(
            _("上次买的 {length} 天里，你来过 {used} 天").format(
                length=length, used=used
            )
        )
    if advice.otherwise_fen is not None and advice.likely is not None:
        lines.append(
            _(
                "照这样来，{days} 天按更短的时长买预计 {other}，{name} {price}，更便宜的把握约 {percent}%"
            ).format(
                days=min(found.plan.days, HORIZON_DAYS),
                other=yuan_short(advice.otherwise_fen),
                name=name,
                price=yuan_short(advice.step.price_fen),
                percent=round(advice.likely * 100),
            )
        )
    lines.append(_("只看你自己的来访日和付款日，保留 90 天。价格对每个人都一样"))
    return lines
