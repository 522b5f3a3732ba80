"""The arithmetic of the price ladder: pure, in fen.

A saving is stated only against the cheapest other way to cover the same days, and never
when it is zero or less.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Step:
    """One offer: so many days for so many fen."""

    days: int
    price_fen: int


def cheapest_cover(days: int, ladder: Sequence[Step]) -> int | None:
    """The least price in fen that covers at least ``days`` days in a row.

    None when the ladder is empty. Time O(days × steps).
    """
    if not ladder or days < 0:
        return None
    best = [0] * (days + 1)
    for need in range(1, days + 1):
        best[need] = min(
            step.price_fen + best[max(0, need - step.days)] for step in ladder
        )
    return best[days]


def cheapest_for(days: Collection[int], ladder: Sequence[Step]) -> int | None:
    """The least price in fen that covers these very days, gaps and all, when each plan
    begins on a day that is needed.

    ``days`` are numbers of days (``date.toordinal``). None when the ladder is empty.
    """
    if not ladder:
        return None
    needed = set(days)
    if not needed:
        return 0
    first, length = min(needed), max(needed) + 1 - min(needed)
    plans = _worth_buying(ladder, length)
    best = [0] * (2 * length)  # from each day on; nothing is needed past the last
    for at in range(length - 1, -1, -1):
        if at + first in needed:
            best[at] = min([fen + best[at + covered] for covered, fen in plans])
        else:
            best[at] = best[at + 1]
    return best[0]


def _worth_buying(ladder: Sequence[Step], length: int) -> list[tuple[int, int]]:
    """(days, fen) without those that another plan undercuts for as many days or more."""
    plans: list[tuple[int, int]] = []
    offers = [(min(step.days, length), step.price_fen) for step in ladder]
    for days, fen in sorted(offers, key=lambda offer: (-offer[0], offer[1])):
        if not plans or fen < plans[-1][1]:
            plans.append((days, fen))
    return plans


@dataclass(frozen=True, slots=True)
class Comparison:
    """So many days, covered by one plan alone or the cheapest way without it.

    by_day   that other way is day by day
    """

    days: int
    fen: int
    other_fen: int
    by_day: bool

    @property
    def saves_fen(self) -> int:
        """What the plan costs less; zero or below is nothing to speak of."""
        return self.other_fen - self.fen


def compare_within(
    days: Collection[int], step: Step, others: Sequence[Step]
) -> Comparison | None:
    """What days that one plan covers alone cost with it and without; None without days
    or without another plan."""
    count = len(set(days))
    other = cheapest_for(days, others)
    if not count or other is None:
        return None
    day = min((o.price_fen for o in others if o.days == 1), default=None)
    by_day = day is not None and other == day * count
    return Comparison(count, step.price_fen, other, by_day)


@dataclass(frozen=True, slots=True)
class Saving:
    """``fen`` less than the cheapest other way; ``by_day``: that way is day by day."""

    fen: int
    by_day: bool


def saving(step: Step, others: Sequence[Step]) -> Saving | None:
    """What a plan saves against the cheapest way without it; None when nothing.

    The shortest plan has no other way that a shopper would take: a longer pass for the
    same day is a straw man.
    """
    if not any(other.days < step.days for other in others):
        return None
    other = cheapest_cover(step.days, others)
    if other is None or other <= step.price_fen:
        return None
    day = min((o.price_fen for o in others if o.days == 1), default=None)
    return Saving(other - step.price_fen, day is not None and other == day * step.days)


@dataclass(frozen=True, slots=True)
class Tie:
    """Bought day by day, ``from_days`` days cost the same as the plan, which gives
    ``extra_days`` more."""

    from_days: int
    extra_days: int


def tie(step: Step, others: Sequence[Step]) -> Tie | None:
    """Where buying by the day meets the plan's price exactly, below its length."""
    day = min((o.price_fen for o in others if o.days == 1), default=None)
    if day is None or step.days == 1 or step.price_fen % day:
        return None
    from_days = step.price_fen // day
    if not 0 < from_days < step.days:
        return None
    if cheapest_cover(from_days, others) != step.price_fen:
        return None  # another plan is cheaper for those days
    return Tie(from_days, step.days - from_days)


def breaks_ladder(ladder: Sequence[Step]) -> tuple[Step, Step] | None:
    """The first pair of which the longer plan costs more per day; None when sound."""
    ordered = sorted(ladder, key=lambda step: step.days)
    for shorter, longer in pairwise(ordered):
        if longer.price_fen * shorter.days > shorter.price_fen * longer.days:
            return shorter, longer
    return None
