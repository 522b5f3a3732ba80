"""Ways to buy, and what each costs a shopper who buys only when she needs a day."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from statistics import fmean

from benchmarks.recommendation.shoppers import DAYS, FIRST, TYPES, Shopper, of_type
from members.recommendation import (
    POPULATION,
    Habit,
    follow,
    passed,
    recommend,
)
from members.tiers.ladder import Step, cheapest_for

LADDER = (Step(1, 300), Step(7, 1_500), Step(30, 5_000))
FIRST_DAYS = 7

type Policy = Callable[[list[date], date, list[Step]], Step]
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
    *, first_by_rule: bool, population: tuple[Habit, ...] = POPULATION
) -> Policy:
    def choose(before: list[date], today: date, bought: list[Step]) -> Step:
        if first_by_rule and not bought:
            return next(step for step in LADDER if step.days == FIRST_DAYS)
        advice = recommend(
            before,
            LADDER,
            today=today,
            default_days=FIRST_DAYS,
            population=population,
        )
        assert advice is not None
        return advice.step

    return choose


def type_oracles(*, seed: int, sample: int = 150) -> dict[str, Policy]:
    """For each type the best of: one plan always, or the best buying under the chances
    that shoppers of this type have on average, learned from others of the type."""
    found: dict[str, Policy] = {}
    for kind in TYPES:
        draw = random.Random(f"{seed} {kind}")
        others = [of_type(kind, draw) for _ in range(sample)]
        known = (_habit_of(others),)
        tried = [
            *(always(step.days) for step in LADDER),
            _unbound(known),
        ]
        found[kind] = min(
            tried,
            key=lambda policy: fmean(shop(each, policy).fen for each in others),
        )
    return found


def _unbound(population: tuple[Habit, ...]) -> Policy:
    def choose(before: list[date], today: date, bought: list[Step]) -> Step:
        advice = recommend(
            before, LADDER, today=today, default_days=30, population=population
        )
        assert advice is not None
        return advice.step

    return choose


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
