"""Ways to buy, and what each costs a shopper who buys only when she needs a day."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from math import sumprod
from statistics import fmean

from benchmarks.recommendation.shoppers import DAYS, FIRST, TYPES, Shopper, of_type
from members.recommendation import (
    POPULATION,
    Habit,
    believe,
    follow,
    passed,
    recommend,
    spans,
)
from members.tiers.ladder import Step, cheapest_for

LADDER = (Step(1, 300), Step(7, 1_500), Step(30, 5_000))
FIRST_DAYS = 7
BOTHER_FEN = 50
"""What the shop counts each payment as, if its operator does not say otherwise."""

type Policy = Callable[[list[date], date, list[Step]], Step]
type Oracles = dict[str, Policy]
"""From the days before, today and what she bought so far to the plan bought today."""


@dataclass(slots=True)
class Bought:
    """What one shopper spent.

    fen        every plan in full
    cut_fen    a plan that outlasts the ninety days for its days within them
    months     her 30-day plans that ended within the ninety days
    regretted  those of them that cost more than their days would have
    """

    fen: int = 0
    cut_fen: float = 0.0
    purchases: int = 0
    months: int = 0
    regretted: int = 0
    steps: list[Step] = field(default_factory=list)


def shop(shopper: Shopper, policy: Policy) -> Bought:
    bought = Bought()
    covered_until = FIRST
    for place, today in enumerate(shopper.needs):
        if today < covered_until:
            continue
        step = policy(list(shopper.needs[:place]), today, bought.steps)
        bought.steps.append(step)
        bought.fen += step.price_fen
        left = (FIRST + timedelta(days=DAYS) - today).days
        bought.cut_fen += step.price_fen * min(1.0, left / step.days)
        bought.purchases += 1
        covered_until = today + timedelta(days=step.days)
        ends = covered_until
        if step.days >= 30 and ends <= FIRST + timedelta(days=DAYS):
            bought.months += 1
            used = [day for day in shopper.needs[place:] if day < ends]
            other = [each for each in LADDER if each.days < step.days]
            bought.regretted += cheapest(used, other) < step.price_fen
    return bought


def cheapest(needs: Sequence[date], ladder: Sequence[Step]) -> int:
    """With the whole future known: the least that covers these very days."""
    found = cheapest_for([day.toordinal() for day in needs], ladder)
    assert found is not None
    return found


def always(days: int) -> Policy:
    plan = next(step for step in LADDER if step.days == days)
    return lambda before, today, bought: plan


def as_last_time(before: list[date], today: date, bought: list[Step]) -> Step:
    """Starting with the shop's 7 days."""
    return bought[-1] if bought else LADDER[1]


def advised(
    *,
    first_by_rule: bool = False,
    bother_fen: int = BOTHER_FEN,
    population: tuple[Habit, ...] = POPULATION,
    told_the_end: bool = False,
) -> Policy:
    def choose(before: list[date], today: date, bought: list[Step]) -> Step:
        if first_by_rule and not bought:
            return next(step for step in LADDER if step.days == FIRST_DAYS)
        advice = recommend(
            before,
            ladder := _until_the_end(today) if told_the_end else LADDER,
            today=today,
            default_days=FIRST_DAYS,
            bother_fen=bother_fen,
            population=population,
        )
        assert advice is not None
        return _on_sale(advice.step, ladder)

    return choose


def _until_the_end(today: date) -> tuple[Step, ...]:
    """What the plans are worth to one who knows the last day that is counted: a longer
    one covers the days that are left, and costs as much as ever."""
    left = (FIRST + timedelta(days=DAYS) - today).days
    return tuple(Step(min(step.days, left), step.price_fen) for step in LADDER)


def _on_sale(step: Step, ladder: tuple[Step, ...]) -> Step:
    return LADDER[ladder.index(step)]


def type_oracles(*, seed: int, sample: int = 150, blind: bool = False) -> Oracles:
    """For each type the best of: one plan always, or the best buying under the chances
    that shoppers of this type have on average, learned from others of the type.

    ``blind``: the best where a plan counts for its days within the ninety, as it does
    to one who does not know that there are ninety.
    """
    found: dict[str, Policy] = {}
    for kind in TYPES:
        draw = random.Random(f"{seed} {kind}")
        others = [of_type(kind, draw) for _ in range(sample)]
        known = (_habit_of(others),)
        tried = [
            *(always(step.days) for step in LADDER),
            advised_in_money(known),
        ]
        bought = [[shop(each, policy) for each in others] for policy in tried]
        costs = [
            fmean(each.cut_fen if blind else each.fen for each in one) for one in bought
        ]
        found[kind] = tried[costs.index(min(costs))]
    return found


def advised_in_money(population: tuple[Habit, ...]) -> Policy:
    """Without the margins of plans beyond the default."""

    def choose(before: list[date], today: date, bought: list[Step]) -> Step:
        advice = recommend(
            before, LADDER, today=today, default_days=30, population=population
        )
        assert advice is not None
        return advice.step

    return choose


def bayes(*, told_the_end: bool) -> Policy:
    """The least expected cost under the very chances of the five types, with no margin
    and whether or not the days behind bear it out."""

    def choose(before: list[date], today: date, bought: list[Step]) -> Step:
        ladder = _until_the_end(today) if told_the_end else LADDER
        belief = believe(before, today=today, population=TRUE)
        best = ladder[0]
        for step, span in zip(
            ladder, spans(ladder, today.weekday(), TRUE), strict=True
        ):
            if span is not None and sumprod(belief, span.fen) > step.price_fen:
                best = step
        return _on_sale(best, ladder)

    return choose


def _even(
    share: float, habits: Sequence[tuple[tuple[float, float], float, float, int]]
) -> list[Habit]:
    return [Habit(share / len(habits), *each) for each in habits]


ALWAYS, NEVER = 0.98, 0.001
TRUE: tuple[Habit, ...] = (
    *_even(
        0.38,
        [
            ((ALWAYS, ALWAYS), ALWAYS, NEVER, days)
            for days in (1, 1, 1, 2, 2, 3, 4, 5, 6)
        ],
    ),
    *_even(0.20, [((NEVER, p / 20), NEVER, 0.5, 1) for p in range(8, 19)]),
    *_even(0.20, [((p / 100, p / 100), NEVER, 0.5, 1) for p in range(3, 16, 2)]),
    *_even(0.12, [((0.9, 0.9), ALWAYS, 1 / 38, days) for days in range(8, 26, 3)]),
    *_even(0.10, [((p / 100, p / 100), NEVER, 0.5, 1) for p in range(70, 98, 3)]),
)
"""The shoppers of ``shoppers.py`` as habits, from their source."""


CHANCES = (0.02, 0.05, 0.08, 0.12, 0.3, 0.5, 0.65, 0.8, 0.9, 0.95)
ENDS = (0.002, 0.01, 0.03, 0.06, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8)
RETURNS = (0.001, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1)


def _habit_of(shoppers: list[Shopper]) -> Habit:
    """The habit that makes these shoppers' days likeliest, one number after the other."""
    end = FIRST + timedelta(days=DAYS - 1)
    seen = [passed(set(each.needs), until=end) for each in shoppers]

    def fit(habit: Habit) -> float:
        return sum(follow(habit, came)[0] for came in seen)

    best = Habit(1.0, (0.5, 0.5), 0.1, 0.02)
    for _ in range(3):
        weekday, weekend = best.needs
        tried = [replace(best, needs=(each, weekend)) for each in CHANCES]
        tried += [replace(best, needs=(weekday, each)) for each in CHANCES]
        best = max(tried, key=fit)
        tried = [replace(best, needs=(each, each)) for each in CHANCES]
        best = max([best, *tried], key=fit)
        best = max((replace(best, ends=each) for each in ENDS), key=fit)
        best = max((replace(best, returns=each) for each in RETURNS), key=fit)
    return best
