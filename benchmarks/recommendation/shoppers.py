"""Simulated shoppers: the five types of security.md 5.3, drawn from a seed.

They share nothing with the table of habits that the shop believes in: a shopper has
chances and lengths of her own, and none is a chain.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta

DAYS = 90
FIRST = date(2026, 1, 5)
"""A Monday; shoppers begin on any day of the week."""


@dataclass(frozen=True, slots=True)
class Shopper:
    kind: str
    needs: tuple[date, ...]
    """The days, of ninety, on which she wants to be a member; at least one."""


def _burst(draw: random.Random) -> set[int]:
    start = draw.randrange(DAYS - 6)
    return set(range(start, start + draw.choice((1, 1, 1, 2, 2, 3, 4, 5, 6))))


def _weekends(draw: random.Random) -> set[int]:
    chance = draw.uniform(0.4, 0.9)
    return {day for day in range(DAYS) if day % 7 >= 5 and draw.random() < chance}


def _sporadic(draw: random.Random) -> set[int]:
    chance = draw.uniform(0.03, 0.15)
    return {day for day in range(DAYS) if draw.random() < chance}


def _projects(draw: random.Random) -> set[int]:
    days: set[int] = set()
    start = draw.randrange(30)
    while start < DAYS:
        end = start + draw.randint(8, 25)
        days |= {d for d in range(start, min(end, DAYS)) if draw.random() < 0.9}
        start = end + draw.randint(15, 60)
    return days


def _daily(draw: random.Random) -> set[int]:
    chance = draw.uniform(0.7, 0.97)
    return {day for day in range(DAYS) if draw.random() < chance}


TYPES: dict[str, tuple[float, Callable[[random.Random], set[int]]]] = {
    "burst": (0.38, _burst),
    "weekends": (0.20, _weekends),
    "sporadic": (0.20, _sporadic),
    "projects": (0.12, _projects),
    "daily": (0.10, _daily),
}


def of_type(kind: str, draw: random.Random) -> Shopper:
    while not (days := TYPES[kind][1](draw)):
        pass
    return Shopper(kind, tuple(FIRST + timedelta(days=day) for day in sorted(days)))


def crowd(
    count: int, *, seed: int, shares: dict[str, float] | None = None
) -> list[Shopper]:
    """``shares`` other than the usual ones: a crowd that the shop did not expect."""
    draw = random.Random(seed)
    shares = shares or {kind: share for kind, (share, _) in TYPES.items()}
    kinds = draw.choices(list(shares), list(shares.values()), k=count)
    return [of_type(kind, draw) for kind in kinds]
