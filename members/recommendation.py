"""Which plan to recommend: pure, in fen, from a member's own days; no clock, no database.

The days on which she came are read as phases: while a phase lasts she needs a day with
some chance, one for weekdays and one for weekends. A phase passes through one stage or
several and is over with the last; another may begin later. A small table of such habits
stands for the population; her own days say how likely each habit is hers, and how far on
in a phase she is. Then the ladder is climbed: a plan takes the place of the shorter ones
when it costs less than they are expected to, bought as needed for the same days.

And it must have been cheaper already for the days that she came in as long a time, so
that its sum can be shown. Up to the shop's default each payment also counts as some fen
of bother, which the operator sets; a plan longer than that has to pay in money alone: at
least ``SURE`` likely to turn out cheaper, and at least ``WORTH_FEN`` cheaper as expected.
Equal input, equal answer. The price of nothing depends on any of this.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property, lru_cache
from itertools import pairwise
from math import exp, log, sumprod

from members.tiers.ladder import Comparison, Step, compare_within

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
    ends     the chance that a stage is over on the next day
    returns  the chance that another phase has begun on the next day
    stages   how many a phase has; with several, its length lies around their middle
    """

    share: float
    needs: tuple[float, float]
    ends: float
    returns: float
    stages: int = 1

    def need(self, weekday: int) -> float:
        return self.needs[weekday % 7 >= SATURDAY]


POPULATION: tuple[Habit, ...] = (
    Habit(0.20, (0.98, 0.98), 0.60, 0.001),  # once, for a day or two
    Habit(0.17, (0.98, 0.98), 0.45, 0.001, stages=2),  # once, for some days
    Habit(0.10, (0.01, 0.75), 0.001, 0.05),  # weekends
    Habit(0.10, (0.01, 0.50), 0.001, 0.05),  # some weekends
    Habit(0.10, (0.05, 0.05), 0.001, 0.05),  # now and then
    Habit(0.10, (0.12, 0.12), 0.001, 0.05),  # more often
    Habit(0.13, (0.90, 0.90), 0.44, 0.012, stages=7),  # projects of 8 to 25 days
    Habit(0.025, (0.75, 0.75), 0.001, 0.05),  # most days
    Habit(0.045, (0.85, 0.85), 0.001, 0.05),  # nearly every day
    Habit(0.03, (0.94, 0.94), 0.001, 0.05),  # every day
)
"""Starting values after the words of security.md 5.3; docs/recommendation.md says what a
wrong table costs."""


@dataclass(frozen=True, slots=True)
class Advice:
    """The recommended plan.

    otherwise_fen  what the days of the plan are expected to cost with shorter ones,
                   bought as needed; None for the shortest plan
    likely         the chance that they cost more than the plan; None likewise
    paid           what as many days behind her cost with and without it; None likewise
    bother_fen     what each payment was counted as, where money alone did not decide
    """

    step: Step
    otherwise_fen: int | None = None
    likely: float | None = None
    paid: Comparison | None = None
    bother_fen: int = 0


def recommend(
    days: Collection[date],
    ladder: Sequence[Step],
    *,
    today: date,
    default_days: int,
    bother_fen: int = 0,
    population: tuple[Habit, ...] = POPULATION,
) -> Advice | None:
    """The plan to recommend to someone who needs today; None for an empty ladder.

    ``days`` are those on which she came; what lies outside the last 90 is not looked at.
    A plan of more than 90 days has to pay within the 90 that can be foreseen.
    """
    belief = believe(days, today=today, population=population)
    return choose(
        belief,
        days,
        ladder,
        today=today,
        default_days=default_days,
        bother_fen=bother_fen,
        population=population,
    )


def choose(
    belief: Sequence[float],
    days: Collection[date],
    ladder: Sequence[Step],
    *,
    today: date,
    default_days: int,
    bother_fen: int = 0,
    population: tuple[Habit, ...] = POPULATION,
) -> Advice | None:
    """The same from what ``believe`` found, which no ladder changes."""
    steps = tuple(sorted(ladder, key=lambda step: (step.days, step.price_fen)))
    if not steps:
        return None
    best = Advice(steps[0])
    known = spans(steps, today.weekday(), population)
    for plan, span in zip(steps, known, strict=True):
        if span is None:
            continue
        otherwise = sumprod(belief, span.fen)
        saves = otherwise - plan.price_fen
        is_long = plan.days > default_days
        if is_long and saves < WORTH_FEN:
            continue
        paid = _paid_already(days, plan, steps, today=today)
        earned, bother = saves > 0 and paid.saves_fen > 0, 0
        if is_long:
            earned = earned and sumprod(belief, span.dearer) >= SURE
        elif not earned and bother_fen:
            bother = bother_fen
            dear = tuple(Step(each.days, each.price_fen + bother) for each in steps)
            earned = _pays(belief, days, dear, steps.index(plan), today, population)
        if earned:
            likely = sumprod(belief, span.dearer)
            best = Advice(plan, round(otherwise), likely, paid, bother)
    return best


def _pays(
    belief: Sequence[float],
    days: Collection[date],
    steps: Ladder,
    place: int,
    today: date,
    population: tuple[Habit, ...],
) -> bool:
    """Whether a plan costs less than shorter ones, as expected and for days behind her."""
    plan, span = steps[place], spans(steps, today.weekday(), population)[place]
    return (
        span is not None
        and sumprod(belief, span.fen) > plan.price_fen
        and _paid_already(days, plan, steps, today=today).saves_fen > 0
    )


def likely_cheaper(
    days: Collection[date], steps: Ladder, plan: Step, *, today: date
) -> float:
    """The chance that shorter plans, bought as needed, cost more than this one."""
    belief = believe(days, today=today)
    span = spans(steps, today.weekday(), POPULATION)[steps.index(plan)]
    return sumprod(belief, span.dearer) if span else 0.0


def _paid_already(
    days: Collection[date], plan: Step, steps: Ladder, *, today: date
) -> Comparison:
    """The days of the last ``plan.days`` with the plan and without it."""
    recent = [
        day.toordinal()
        for day in window(days, min(plan.days, HORIZON_DAYS), today=today)
    ]
    found = compare_within(recent, plan, [step for step in steps if step is not plan])
    assert found is not None, "today is a day, and a shorter plan is another way"
    return found


def window(days: Collection[date], length: int, *, today: date) -> list[date]:
    """Those of the last ``length`` days, today included, on which she came or is here."""
    since = today - timedelta(days=length)
    return sorted({day for day in days if since < day <= today} | {today})


def believe(
    days: Collection[date],
    *,
    today: date,
    population: tuple[Habit, ...] = POPULATION,
) -> list[float]:
    """How likely each habit is hers, and how far on in a phase she is today: one figure
    for every stage of every habit, from the days from her first to today."""
    since = today - timedelta(days=HORIZON_DAYS)
    known = {day for day in days if since <= day < today} | {today}
    came = passed(known, until=today)
    seen = [(log(habit.share), *follow(habit, came)) for habit in population]
    top = max(share + chance for share, chance, _ in seen)
    weights = [exp(share + chance - top) for share, chance, _ in seen]
    total = sum(weights)
    return [
        weight / total * stage
        for weight, (_, _, stages) in zip(weights, seen, strict=True)
        for stage in stages
    ]


def passed(days: Collection[date], *, until: date) -> list[tuple[bool, int]]:
    """(needed, weekday) of every day after the first needed one."""
    first = min(days)
    return [
        (first + timedelta(days=ahead) in days, (first.weekday() + ahead) % 7)
        for ahead in range(1, (until - first).days + 1)
    ]


def follow(habit: Habit, came: list[tuple[bool, int]]) -> tuple[float, list[float]]:
    """The logarithm of how likely these days are after one that was needed, and how
    likely she is in which stage of a phase on the last of them, when it was needed."""
    if habit.stages == 1:
        return _follow_one(habit, came)
    stages = [1.0] + [0.0] * (habit.stages - 1)
    between, found = 0.0, 0.0
    for needed, weekday in came:
        stages, between = _next_day(habit, stages, between)
        need = habit.need(weekday)
        chance = need * sum(stages)
        if needed:
            share, between = need / chance, 0.0
            found += log(chance)
        else:
            # 1 - chance; taken from the parts, a rounding error does not grow
            rest = (1 - need) * sum(stages) + between
            share, between = (1 - need) / rest, between / rest
            found += log(rest)
        stages = [stage * share for stage in stages]
    return found, stages


def _follow_one(
    habit: Habit, came: list[tuple[bool, int]]
) -> tuple[float, list[float]]:
    """The same with one stage, as most habits have: a single figure says where she is."""
    needs = [habit.need(weekday) for weekday in range(7)]
    stays, returns = 1 - habit.ends, habit.returns
    lasts, found = 1.0, 0.0
    for needed, weekday in came:
        lasts = lasts * stays + (1 - lasts) * returns
        chance = lasts * needs[weekday]
        if needed:
            found += log(chance)
            lasts = 1.0
        else:
            found += log(1 - chance)
            lasts = (lasts - chance) / (1 - chance)
    return found, [lasts]


def _next_day(
    habit: Habit, stages: Sequence[float], between: float
) -> tuple[list[float], float]:
    """Where a phase stands, or none, a day later."""
    ends, stays = habit.ends, 1 - habit.ends
    later = [stages[0] * stays + between * habit.returns]
    for before, stage in pairwise(stages):
        later.append(stage * stays + before * ends)
    return later, between * (1 - habit.returns) + stages[-1] * ends


@lru_cache(maxsize=64)
def _onward(habit: Habit) -> tuple[tuple[tuple[float, ...], ...], ...]:
    """[n][s]: the chances of each stage, and of no phase, n days after stage s."""
    begun = []
    for first in range(habit.stages):
        stages, between = [float(each == first) for each in range(habit.stages)], 0.0
        found = [(*stages, between)]
        for _ in range(HORIZON_DAYS):
            stages, between = _next_day(habit, stages, between)
            found.append((*stages, between))
        begun.append(found)
    return tuple(zip(*begun, strict=True))


@dataclass(frozen=True)
class Span:
    """The days of a plan when shorter ones are bought as needed: figures for every stage
    of every habit, reckoned when they are first asked for."""

    shorter: Ladder
    plan: Step
    weekday: int
    population: tuple[Habit, ...]

    @property
    def length(self) -> int:
        return min(self.plan.days, HORIZON_DAYS)

    @cached_property
    def fen(self) -> tuple[float, ...]:
        """The expected cost."""
        return tuple(
            fen
            for habit in self.population
            for fen in _as_needed(self.shorter, self.length, self.weekday, habit)[0]
        )

    @cached_property
    def dearer(self) -> tuple[float, ...]:
        """The chance that they cost more than the plan."""
        found: list[float] = []
        for habit in self.population:
            _, best = _as_needed(self.shorter, self.length, self.weekday, habit)
            found += [
                _dearer(self.shorter, best, self.plan, self.weekday, habit, stage)
                for stage in range(habit.stages)
            ]
        return tuple(found)


@lru_cache(maxsize=1024)
def spans(
    steps: Ladder, weekday: int, population: tuple[Habit, ...]
) -> tuple[Span | None, ...]:
    """For every plan; None where there is no shorter one, the same days for more money
    being none. Depends on the catalogue alone, so it is kept."""
    found: list[Span | None] = []
    for plan in steps:
        shorter = tuple(step for step in steps if step.days < plan.days)
        found.append(Span(shorter, plan, weekday, population) if shorter else None)
    return tuple(found)


def _as_needed(
    steps: Ladder, length: int, weekday: int, habit: Habit
) -> tuple[list[float], list[list[int]]]:
    """Backwards through so many days, the first of which is needed: the least expected
    cost from each stage, and the best plan on each day and stage that is needed while
    nothing runs."""
    none = [0.0] * (habit.stages + 1)
    ahead = [none for _ in range(length + 1)]
    best: list[list[int]] = []
    onward = _onward(habit)
    needed: list[float] = []
    for day in range(length - 1, -1, -1):
        needed, chosen = [], []
        for stage in range(habit.stages):
            costs = [
                step.price_fen
                + (
                    sumprod(onward[step.days][stage], ahead[day + step.days])
                    if day + step.days < length
                    else 0
                )
                for step in steps
            ]
            needed.append(min(costs))
            chosen.append(costs.index(needed[-1]))
        best.append(chosen)
        chance = habit.need(weekday + day)
        later = ahead[day + 1]
        idle = [
            (1 - habit.ends) * here + habit.ends * after
            for here, after in pairwise(later)
        ]
        none_yet = habit.returns * later[0] + (1 - habit.returns) * later[-1]
        ahead[day] = [
            *(chance * c + (1 - chance) * i for c, i in zip(needed, idle, strict=True)),
            none_yet,
        ]
    return needed, best[::-1]


def _dearer(
    shorter: Ladder,
    best: list[list[int]],
    plan: Step,
    weekday: int,
    habit: Habit,
    begun: int,
) -> float:
    """The chance that the days of ``plan`` cost more than it when bought as needed.

    Forwards through its days: how likely which sum has been spent when a day begins
    without a running plan. A sum above the price is never below it again.
    """
    onward = _onward(habit)
    length = len(best)
    none = habit.stages
    spent: list[list[dict[int, float]]] = [
        [{} for _ in range(none + 1)] for _ in range(length + 1)
    ]
    dearer = 0.0

    def buy(day: int, stage: int, fen: int, share: float) -> None:
        nonlocal dearer
        step = shorter[best[day][stage]]
        fen += step.price_fen
        if fen > plan.price_fen:
            dearer += share
        elif day + step.days < length:
            for there, chance in enumerate(onward[step.days][stage]):
                sums = spent[day + step.days][there]
                sums[fen] = sums.get(fen, 0.0) + share * chance

    buy(0, begun, 0, 1.0)  # today is needed
    for day in range(1, length):
        need = habit.need(weekday + day)
        for stage in range(none):
            for fen, share in spent[day][stage].items():
                buy(day, stage, fen, share * need)
                _add(spent[day + 1][stage], fen, share * (1 - need) * (1 - habit.ends))
                _add(spent[day + 1][stage + 1], fen, share * (1 - need) * habit.ends)
        for fen, share in spent[day][none].items():
            _add(spent[day + 1][0], fen, share * habit.returns)
            _add(spent[day + 1][none], fen, share * (1 - habit.returns))
    return dearer


def _add(sums: dict[int, float], fen: int, share: float) -> None:
    sums[fen] = sums.get(fen, 0.0) + share
