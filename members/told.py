"""What is told about a recommendation: counts and sums that hold. Pure, in fen.

A sum is told only of days that are behind her and only against the cheapest other way to
have covered these very days.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from members.recommendation import HORIZON_DAYS, Advice, window
from members.tiers.ladder import Step, cheapest_for

MONTH_DAYS = 30
LATELY = 4
"""So many visits are what the range of their lengths rests on."""


@dataclass(frozen=True, slots=True)
class Sums:
    """The one sentence beside the recommended plan.

    other_fen  what these days cost at the least without the plan; None: the shortest
    by_day     that is day by day
    no_saving  it is no more than the plan, but takes several payments
    """

    window_days: int
    days_seen: int
    other_fen: int | None = None
    by_day: bool = False
    no_saving: bool = False


def sums(days: Collection[date], advice: Advice, *, today: date) -> Sums:
    """What as many days as the plan has cost otherwise; with the shortest plan, a plain
    count of a month."""
    paid = advice.paid
    if paid is None:
        return Sums(MONTH_DAYS, len(window(days, MONTH_DAYS, today=today)))
    length = min(advice.step.days, HORIZON_DAYS)
    no_saving = paid.saves_fen <= 0
    return Sums(length, paid.days, paid.other_fen, paid.by_day, no_saving)


@dataclass(frozen=True, slots=True)
class Visits:
    """The last so many visits were of ``least`` to ``most`` days in a row."""

    count: int
    least: int
    most: int


def visits(days: Collection[date], *, today: date) -> Visits | None:
    """Of those before the one that today belongs to, which is not over; None without."""
    runs: list[int] = []
    known = window(days, HORIZON_DAYS, today=today)
    for place, day in enumerate(known):
        if place and known[place - 1] + timedelta(days=1) == day:
            runs[-1] += 1
        else:
            runs.append(1)
    over = runs[:-1][-LATELY:]
    return Visits(len(over), min(over), max(over)) if over else None


@dataclass(frozen=True, slots=True)
class Unused:
    """A plan that is over and cost more than its days would have with shorter ones."""

    plan_days: int
    days_used: int
    other_fen: int
    price_fen: int


def unused(
    days: Collection[date],
    last: tuple[date, int] | None,
    ladder: Sequence[Step],
    *,
    today: date,
) -> Unused | None:
    """At today's prices; None when it was worth its price, or is still running."""
    if last is None:
        return None
    begun, length = last
    ends = begun + timedelta(days=length)
    plan = next((step for step in ladder if step.days == length), None)
    if plan is None or ends > today:
        return None
    used = [day.toordinal() for day in days if begun <= day < ends]
    shorter = [step for step in ladder if step.days < length]
    other = cheapest_for(used, shorter)
    if not used or other is None or other >= plan.price_fen:
        return None
    return Unused(length, len(used), other, plan.price_fen)


@dataclass(frozen=True, slots=True)
class LongTerm:
    """A long-term plan against temporary ones, over days that are behind her (S26)."""

    plan: Step
    window_days: int
    days_seen: int
    other_fen: int

    @property
    def saving_fen(self) -> int:
        return self.other_fen - self.plan.price_fen


def long_term(
    days: Collection[date],
    temporary: Sequence[Step],
    plans: Sequence[Step],
    *,
    today: date,
) -> LongTerm | None:
    """The shortest plan that would have cost less for the days of its length, at most
    90, than temporary plans at the least; None when none would."""
    length, recent = 0, list[int]()
    other: int | None = None
    for plan in sorted(plans, key=lambda step: (step.days, step.price_fen)):
        if length != min(plan.days, HORIZON_DAYS):
            length = min(plan.days, HORIZON_DAYS)
            recent = [day.toordinal() for day in window(days, length, today=today)]
            other = cheapest_for(recent, temporary)
        if other is not None and other > plan.price_fen:
            return LongTerm(plan, length, len(recent), other)
    return None
