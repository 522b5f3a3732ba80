"""Which plan to recommend: pure, in fen, from a member's own days; no clock, no database.

The days on which she came are read as phases: while a phase lasts she needs a day with
some chance, one for weekdays and one for weekends; a phase may end with every day and
another may begin. A small table of such habits stands for the population; her own days
say how likely each habit is hers. Then the ladder is climbed: a plan takes the place of
the shorter ones when it costs less than they are expected to, bought as needed for the
same days.

And it must have been cheaper already for the days that she came in as long a time, so
that its sum can be shown. A plan longer than the shop's default has to earn more: at
least ``SURE`` likely to turn out cheaper, and at least ``WORTH_FEN`` cheaper as expected.
Equal input, equal answer. The price of nothing depends on any of this.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from math import exp, log

from members.ladder import Step, cheapest_for

HORIZON_DAYS = 90
"""How far ahead costs are counted, and how far back days are kept."""
SURE = 0.6
WORTH_FEN = 200
SATURDAY = 5

type Ladder = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Habit:
    """A share of the population and how it needs days.

    needs    the chance within a phase, (on a weekday, on a weekend)
    ends     the chance that a phase is over on the next day
    returns  the chance that another one has begun on the next day
    """

    share: float
    needs: tuple[float, float]
    ends: float
    returns: float

    def need(self, weekday: int) -> float:
        return self.needs[weekday % 7 >= SATURDAY]


POPULATION: tuple[Habit, ...] = (
    Habit(0.22, (0.98, 0.98), 0.60, 0.002),  # once, for a day or two
    Habit(0.14, (0.98, 0.98), 0.25, 0.002),  # once, for some days
    Habit(0.10, (0.01, 0.75), 0.01, 0.05),  # weekends
    Habit(0.10, (0.03, 0.50), 0.01, 0.05),  # some weekends
    Habit(0.10, (0.05, 0.05), 0.005, 0.05),  # now and then
    Habit(0.10, (0.12, 0.12), 0.005, 0.05),  # more often
    Habit(0.16, (0.90, 0.90), 0.04, 0.027),  # projects of weeks
    Habit(0.03, (0.75, 0.75), 0.004, 0.05),  # most days
    Habit(0.04, (0.88, 0.88), 0.004, 0.05),  # nearly every day
    Habit(0.02, (0.96, 0.96), 0.004, 0.05),  # every day
)
"""Starting values after the shoppers of security.md 5.3; docs/recommendation.md says what
a wrong table costs."""


@dataclass(frozen=True, slots=True)
class Advice:
    """The recommended plan.

    otherwise_fen  what the days of the plan are expected to cost with shorter ones,
                   bought as needed; None for the shortest plan
    likely         the chance that they cost more than the plan; None likewise
    """

    step: Step
    otherwise_fen: int | None = None
    likely: float | None = None


def recommend(
    days: Collection[date],
    ladder: Sequence[Step],
    *,
    today: date,
    default_days: int,
    population: tuple[Habit, ...] = POPULATION,
) -> Advice | None:
    """The plan to recommend to someone who needs today; None for an empty ladder.

    ``days`` are those on which she came; what lies outside the last 90 is not looked at.
    A plan of more than 90 days has to pay within the 90 that can be foreseen.
    """
    steps = tuple(sorted(ladder, key=lambda step: (step.days, step.price_fen)))
    if not steps:
        return None
    weights = _likelihood(days, today=today, population=population)
    best = Advice(steps[0])
    for step in steps[1:]:
        shorter = tuple(other for other in steps if other.days < step.days)
        if not shorter:
            continue  # the same days for more money
        spans = _spans(shorter, step, today.weekday(), population)
        otherwise = sum(w * span.fen for w, span in zip(weights, spans, strict=True))
        likely = sum(w * span.dearer for w, span in zip(weights, spans, strict=True))
        saves = otherwise - step.price_fen
        earned = saves > 0
        if step.days > default_days:
            earned = saves >= WORTH_FEN and likely >= SURE
        if earned and _paid_already(days, step, steps, today=today):
            best = Advice(step, round(otherwise), likely)
    return best


def likely_cheaper(
    days: Collection[date], steps: Ladder, plan: Step, *, today: date
) -> float:
    """The chance that shorter plans, bought as needed, cost more than this one."""
    weights = _likelihood(days, today=today, population=POPULATION)
    shorter = tuple(step for step in steps if step.days < plan.days)
    spans = _spans(shorter, plan, today.weekday(), POPULATION)
    return sum(w * span.dearer for w, span in zip(weights, spans, strict=True))


def _paid_already(
    days: Collection[date], plan: Step, steps: Ladder, *, today: date
) -> bool:
    """Whether the days of the last ``plan.days`` would have cost more without it."""
    recent = window(days, min(plan.days, HORIZON_DAYS), today=today)
    others = [step for step in steps if step is not plan]
    other = cheapest_for([day.toordinal() for day in recent], others)
    return other is not None and other > plan.price_fen


def window(days: Collection[date], length: int, *, today: date) -> list[date]:
    """Those of the last ``length`` days, today included, on which she came or is here."""
    since = today - timedelta(days=length)
    return sorted({day for day in days if since < day <= today} | {today})


def _likelihood(
    days: Collection[date], *, today: date, population: tuple[Habit, ...]
) -> list[float]:
    """How likely each habit is hers, after the days from her first to today."""
    since = today - timedelta(days=HORIZON_DAYS)
    known = {day for day in days if since <= day < today} | {today}
    came = passed(known, until=today)
    scores = [log(habit.share) + log_chance(habit, came) for habit in population]
    top = max(scores)
    weights = [exp(score - top) for score in scores]
    total = sum(weights)
    return [weight / total for weight in weights]


def passed(days: Collection[date], *, until: date) -> list[tuple[bool, int]]:
    """(needed, weekday) of every day after the first needed one."""
    first = min(days)
    return [
        (first + timedelta(days=ahead) in days, (first.weekday() + ahead) % 7)
        for ahead in range(1, (until - first).days + 1)
    ]


def log_chance(habit: Habit, came: list[tuple[bool, int]]) -> float:
    """Of these days after one that was needed; a needed day is within a phase."""
    lasts, found = 1.0, 0.0
    for needed, weekday in came:
        lasts = lasts * (1 - habit.ends) + (1 - lasts) * habit.returns
        chance = lasts * habit.need(weekday)
        if needed:
            found += log(chance)
            lasts = 1.0
        else:
            found += log(1 - chance)
            lasts = (lasts - chance) / (1 - chance)
    return found


@lru_cache(maxsize=64)
def _lasts(habit: Habit) -> tuple[float, ...]:
    """The chance to be within a phase on the n-th day after a needed one."""
    found = [1.0]
    for _ in range(HORIZON_DAYS):
        found.append(found[-1] * (1 - habit.ends) + (1 - found[-1]) * habit.returns)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Span:
    """The days of a plan when shorter ones are bought as needed: the expected cost,
    and the chance that it is more than the plan's price."""

    fen: float
    dearer: float


@lru_cache(maxsize=2048)
def _spans(
    shorter: Ladder, plan: Step, weekday: int, population: tuple[Habit, ...]
) -> tuple[_Span, ...]:
    """For each habit. Depends on the catalogue alone, so it is kept."""
    found = []
    for habit in population:
        fen, best = _as_needed(shorter, min(plan.days, HORIZON_DAYS), weekday, habit)
        dearer = _dearer(shorter, best, plan, weekday, habit)
        found.append(_Span(fen, dearer))
    return tuple(found)


def _as_needed(
    steps: Ladder, length: int, weekday: int, habit: Habit
) -> tuple[float, list[int]]:
    """Backwards through so many days, the first of which is needed: the least expected
    cost, and the best plan on each day that is needed while nothing runs."""
    within = [0.0] * (length + 1)
    between = [0.0] * (length + 1)
    best = [0] * length
    lasts = _lasts(habit)
    needed = 0.0
    for day in range(length - 1, -1, -1):
        costs = []
        for step in steps:
            later = day + step.days
            cost = float(step.price_fen)
            if later < length:
                chance = lasts[step.days]
                cost += chance * within[later] + (1 - chance) * between[later]
            costs.append(cost)
        needed = min(costs)
        best[day] = costs.index(needed)
        idle = habit.ends * between[day + 1] + (1 - habit.ends) * within[day + 1]
        chance = habit.need(weekday + day)
        within[day] = chance * needed + (1 - chance) * idle
        between[day] = (
            habit.returns * within[day + 1] + (1 - habit.returns) * between[day + 1]
        )
    return needed, best


def _dearer(
    shorter: Ladder, best: list[int], plan: Step, weekday: int, habit: Habit
) -> float:
    """The chance that the days of ``plan`` cost more than it when bought as needed.

    Forwards through its days: how likely which sum has been spent when a day begins
    without a running plan. A sum above the price is never below it again.
    """
    lasts = _lasts(habit)
    length = len(best)
    spent: list[Sums] = [({}, {}) for _ in range(length + 1)]
    dearer = 0.0

    def buy(day: int, fen: int, share: float) -> None:
        nonlocal dearer
        step = shorter[best[day]]
        if fen + step.price_fen > plan.price_fen:
            dearer += share
        elif day + step.days < length:
            _split(
                spent[day + step.days], fen + step.price_fen, share, lasts[step.days]
            )

    buy(0, 0, 1.0)  # today is needed
    for day in range(1, length):
        within, between = spent[day]
        need = habit.need(weekday + day)
        for fen, share in within.items():
            buy(day, fen, share * need)
            _split(spent[day + 1], fen, share * (1 - need), 1 - habit.ends)
        for fen, share in between.items():
            _split(spent[day + 1], fen, share, habit.returns)
    return dearer


type Sums = tuple[dict[int, float], dict[int, float]]
"""How likely which sum has been spent, within a phase and between two."""


def _split(into: Sums, fen: int, share: float, lasts: float) -> None:
    within, between = into
    within[fen] = within.get(fen, 0.0) + share * lasts
    between[fen] = between.get(fen, 0.0) + share * (1 - lasts)
