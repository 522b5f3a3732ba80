"""The recommendation as a member sees it: from her days to sentences that hold.

One statement reads her visit and purchase days of the last 90. Nobody else's days, no
price and no right depend on what is found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db.models import BigIntegerField, F, Value
from django.db.models.functions import TruncDate
from django.utils.translation import gettext as _

from kameng.http import ShopRequest, member_of
from kameng.templatetags.shop import yuan_short
from members import rules, told, visits
from members.models import AdviceRecord, Member, Plan, TierKind, VisitDay
from members.recommendation import HORIZON_DAYS, Advice, recommend, window
from members.standing import Standing
from members.tiers import catalogue
from members.tiers.ladder import Step
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
    steps: tuple[Step, ...]
    advice: Advice


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
        history.days,
        steps,
        today=history.today,
        default_days=FIRST_DAYS,
        bother_fen=rules.current().bother_fen,
    )
    if advice is None:
        return None
    plan = plans[steps.index(advice.step)]
    return Found(history, plan, tuple(steps), advice)


def long_term(request: ShopRequest, held: Standing) -> dict[str, Any] | None:
    """The shortest long-term plan that would have cost less than temporary ones for the
    days she came in as long a time, but at most 90; None for a long-term member (S26).
    """
    history = of(request)
    if history is None or (held.tier and held.tier.kind == TierKind.LONG_TERM):
        return None
    shop = catalogue.current()
    steps = steps_of(shop.on_sale(TierKind.TEMPORARY), at=request.now)
    plans = shop.on_sale(TierKind.LONG_TERM)
    offers = steps_of(plans, at=request.now)
    found = told.long_term(history.days, steps, offers, today=history.today)
    if found is None:
        return None
    return {
        "plan": plans[offers.index(found.plan)],
        "window_days": found.window_days,
        "days_seen": found.days_seen,
        "other_fen": found.other_fen,
        "price_fen": found.plan.price_fen,
        "saving_fen": found.saving_fen,
    }


def sums(found: Found) -> dict[str, Any]:
    """The finished values of the sentences: a saving is among them only if it is."""
    history = found.history
    unused = told.unused(history.days, history.last, found.steps, today=history.today)
    return {
        **asdict(told.sums(history.days, found.advice, today=history.today)),
        "unused": asdict(unused) if unused else None,
    }


def inputs(found: Found, name: str) -> list[str]:
    """What was looked at, in numbers, for 「为什么推荐」."""
    history, advice = found.history, found.advice
    counts = _counts(history)
    lines = [
        _(
            "含今天，近 7 天记下你来过 {d7} 天，近 30 天 {d30} 天，近 90 天 {d90} 天"
        ).format(**counts)
    ]
    if (lately := told.visits(history.days, today=history.today)) is not None:
        lines.append(_lately(lately))
    if history.last is not None:
        bought, length = history.last
        ends = bought + timedelta(days=length)
        used = sum(bought <= day < ends for day in history.days)
        lines.append(
            _("上次买的 {length} 天里，记下你来过 {used} 天").format(
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
    if advice.bother_fen:
        lines.append(
            _("每付一次款的麻烦按 {bother} 计，算上它才推荐 {name}").format(
                name=name, bother=yuan_short(advice.bother_fen)
            )
        )
    lines.append(_("只看你自己登录和付款的日子，保留 90 天。价格对每个人都一样"))
    return lines


def _lately(visits: told.Visits) -> str:
    if visits.least == visits.most:
        words = _("最近 {count} 次来，每次连着 {most} 天")
    else:
        words = _("最近 {count} 次来，每次连着 {least} 到 {most} 天")
    return words.format(count=visits.count, least=visits.least, most=visits.most)


def record(found: Found | None, order: Order) -> None:
    """Note what was recommended beside what was ordered, for evaluation alone."""
    if found is None or order.plan_id is None:
        return
    history, advice = found.history, found.advice
    lately = told.visits(history.days, today=history.today)
    bought = history.last
    AdviceRecord.objects.create(
        member_id=order.member_id,
        at=order.placed_at,
        shown=found.plan,
        chosen_id=order.plan_id,
        features={
            "days": _counts(history),
            "visits": asdict(lately) if lately else None,
            "last": [(history.today - bought[0]).days, bought[1]] if bought else None,
            "ladder": [[step.days, step.price_fen] for step in found.steps],
            "otherwise_fen": advice.otherwise_fen,
            "bother_fen": rules.current().bother_fen,
            "likely": advice.likely and round(advice.likely, 4),
        },
    )


def _counts(history: History) -> dict[str, int]:
    return {
        f"d{length}": len(window(history.days, length, today=history.today))
        for length in (WEEK_DAYS, MONTH_DAYS, HORIZON_DAYS)
    }
