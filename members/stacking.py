"""The arithmetic of stacked memberships: pure, without database or clock.

One member has one line of time. The highest rank runs first, lower ranks wait with
their clock stopped, equal ranks run first in, first out. A day is 86,400 seconds and
intervals are half-open, so no paid second is lost or doubled (R14, R15; worked
examples W1 to W13 in the tests).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Bought:
    """Time that was bought or granted; ``seconds`` already without what was revoked."""

    id: int
    rank: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """``entitlement`` runs in [starts_at, ends_at)."""

    entitlement: int
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Line:
    """The part of a timeline from ``at`` on; ``paid_until`` is None when none is left."""

    stretches: tuple[Stretch, ...]
    paid_until: datetime | None


def whole_second(moment: datetime) -> datetime:
    """The timeline counts whole seconds, rounded down."""
    return moment.replace(microsecond=0)


def seconds_used(history: Iterable[Stretch], *, until: datetime) -> dict[int, int]:
    """Seconds that each entitlement ran before ``until``."""
    used: dict[int, int] = {}
    for stretch in history:
        ran = int((min(stretch.ends_at, until) - stretch.starts_at).total_seconds())
        if ran > 0:
            used[stretch.entitlement] = used.get(stretch.entitlement, 0) + ran
    return used


def seconds_left(
    bought: Iterable[Bought], history: Iterable[Stretch], *, at: datetime
) -> dict[int, int]:
    """Seconds of each entitlement that have not run by ``at``; never negative."""
    used = seconds_used(history, until=at)
    return {each.id: max(0, each.seconds - used.get(each.id, 0)) for each in bought}


def lay_out(
    bought: Sequence[Bought], history: Iterable[Stretch], *, at: datetime
) -> Line:
    """Lay what is left from ``at`` on, highest rank first, then oldest first.

    at  a whole second; history before it is taken as it is
    """
    left = seconds_left(bought, history, at=at)
    stretches: list[Stretch] = []
    cursor = at
    for each in sorted(bought, key=lambda one: (-one.rank, one.id)):
        if left[each.id] > 0:
            end = cursor + timedelta(seconds=left[each.id])
            stretches.append(Stretch(each.id, cursor, end))
            cursor = end
    return Line(tuple(stretches), cursor if stretches else None)
