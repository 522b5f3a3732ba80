from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import models

EXACT_UP_TO = 64
"""Up to so many hits a window keeps the moment of each; above it counts in slots."""
SLOTS = 24
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Window:
    """At most so many hits in any stretch of so many seconds."""

    seconds: int
    at_most: int

    @property
    def grain_ms(self) -> int:
        return 1 if self.at_most <= EXACT_UP_TO else self.seconds * 1000 // SLOTS


class HitLog(models.Model):
    """When something limited last happened; one row a key, and the key's own lock.

    ``hits`` maps the length of a window in seconds to ``[[moment_ms, count], …]``,
    oldest first. A coarse window rounds moments up to the end of a slot, so it may
    refuse a little early and never lets one hit too many through. The database is the
    only counter: losing a cache opens nothing.

    key    ``<what>:<keyed digest>``, made by ``members.limits.key``
    until  when the last hit has left its longest window and the row may go
    """

    key = models.CharField(max_length=80, primary_key=True)
    hits = models.JSONField(default=dict)
    until = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.key

    def count(self, window: Window, *, now: datetime) -> int:
        return sum(count for _, count in self._inside(window, now))

    def retry_after(self, window: Window, *, now: datetime) -> int | None:
        """Seconds until one more fits into the window, at least 1; None: it fits now."""
        inside = self._inside(window, now)
        surplus = sum(count for _, count in inside) + 1 - window.at_most
        if surplus <= 0:
            return None
        for moment, count in inside:
            surplus -= count
            if surplus <= 0:
                left_ms = moment + window.seconds * 1000 - _ms(now)
                return max(1, -(-left_ms // 1000))
        return window.seconds  # nothing at all is allowed

    def add(self, window: Window, *, now: datetime) -> None:
        """Count one hit; the caller holds the row and saves it."""
        grain = timedelta(milliseconds=window.grain_ms)
        moment = -((EPOCH - now) // grain) * window.grain_ms  # rounded up
        kept = self._inside(window, now)
        if kept and kept[-1][0] >= moment:  # the same slot, or a clock that went back
            kept[-1][1] += 1
        else:
            kept.append([moment, 1])
        self.hits[str(window.seconds)] = kept
        self.until = max(
            self.until,
            now + timedelta(seconds=window.seconds, milliseconds=window.grain_ms),
        )

    def take_back(self, window: Window, *, now: datetime) -> None:
        """Uncount the newest hit of the window."""
        kept = self._inside(window, now)
        if kept:
            kept[-1][1] -= 1
            self.hits[str(window.seconds)] = [each for each in kept if each[1]]

    def clear(self) -> None:
        self.hits = {}

    def last_hit_at(self, window: Window, *, now: datetime) -> datetime | None:
        inside = self._inside(window, now)
        if not inside:
            return None
        return now + timedelta(milliseconds=inside[-1][0] - _ms(now))

    def _inside(self, window: Window, now: datetime) -> list[list[int]]:
        since = _ms(now) - window.seconds * 1000
        hits = self.hits.get(str(window.seconds), [])
        return [[moment, count] for moment, count in hits if moment > since]


def _ms(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)
