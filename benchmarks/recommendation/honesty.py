"""Are the sentences true? A second, slower reckoning looks for one that is not.

The prices of other ways are found here by walking the calendar day by day, which shares
no code with the shop's arithmetic.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import date, timedelta

from members.ladder import Step, compare, saving
from members.recommendation import HORIZON_DAYS, recommend, window

TODAY = date(2026, 11, 22)


def random_ladder(draw: random.Random) -> list[Step]:
    lengths = draw.sample([1, 1, 2, 3, 5, 7, 10, 14, 30, 60, 90, 180, 365], 4)
    return [
        Step(days, draw.choice((50, 100, 300)) * draw.randint(1, days + 3))
        for days in sorted(set(lengths))
    ]


def random_days(draw: random.Random) -> list[date]:
    """Within 1 to 400 days back, thin or dense, in one stretch or several."""
    reach, chance = draw.randint(1, 400), draw.random()
    return [
        TODAY - timedelta(days=ago) for ago in range(reach) if draw.random() < chance
    ]


def by_calendar(days: Sequence[date], ladder: Sequence[Step]) -> int:
    """The least price for these days, walking backwards through every day between."""
    needed = {day.toordinal() for day in days}
    first, last = min(needed), max(needed)
    cost = {last + 1: 0}
    for day in range(last, first - 1, -1):
        if day not in needed:
            cost[day] = cost[day + 1]
            continue
        cost[day] = min(
            step.price_fen + cost[min(day + step.days, last + 1)] for step in ladder
        )
    return cost[first]


def sentences(
    days: Sequence[date], ladder: list[Step]
) -> Iterator[tuple[Step, int, int, list[date]]]:
    """(plan, its price, what the page says the days cost otherwise, the days)."""
    advice = recommend(days, ladder, today=TODAY, default_days=7)
    assert advice is not None
    plan = advice.step
    others = [step for step in ladder if step is not plan]
    recent = window(days, min(plan.days, HORIZON_DAYS), today=TODAY)
    told = compare([day.toordinal() for day in recent], plan, others)
    if any(step.days < plan.days for step in ladder):
        assert told is not None
        yield plan, told.fen, told.other_fen, recent
    for step in ladder:
        rest = [other for other in ladder if other is not step]
        if found := saving(step, rest):
            stretch = [TODAY + timedelta(days=day) for day in range(step.days)]
            yield step, step.price_fen, step.price_fen + found.fen, stretch


def is_false(
    plan: Step, fen: int, other_fen: int, days: list[date], ladder: list[Step]
) -> bool:
    """A plan that does not cover the days, a sum that is not the cheapest other one, or
    a saving that is none."""
    others = [step for step in ladder if step is not plan]
    covers = (days[-1] - days[0]).days < plan.days
    return not (
        covers
        and fen == plan.price_fen
        and other_fen == by_calendar(days, others)
        and other_fen > fen
    )


def run(histories: int, ladders: int, *, seed: int) -> tuple[int, int]:
    """How many sentences are false, of how many."""
    draw = random.Random(seed)
    known = [random_ladder(draw) for _ in range(ladders)]
    false = told = 0
    for _ in range(histories):
        days = random_days(draw)
        for ladder in known:
            for plan, fen, other_fen, needed in sentences(days, ladder):
                told += 1
                false += is_false(plan, fen, other_fen, needed, ladder)
    return false, told
