"""How often something may happen: windows counted in the database, atomically.

Used for one-time codes, order look-up, names and the console's log-in. One row a key is both
the memory and the lock, so parallel requests cannot slip through together, on
PostgreSQL and on SQLite.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from members.digests import digest
from members.models import HitLog, Window

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limit:
    """One key and what it may do.

    scope  the subject in a word, for logs and replies: ``phone``, ``address`` …
    alarm  log an error when half of a window is used up
    """

    scope: str
    key: str
    windows: tuple[Window, ...]
    alarm: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    scope: str
    retry_after: int


def key(what: str, subject: str = "") -> str:
    """A key of fixed form, whatever the subject holds (security 17)."""
    return f"{what}:{digest('limit', what, subject)[:40]}"


def take(key: str, windows: Sequence[Window], now: datetime) -> int | None:
    """Count one hit, or say in how many seconds to try again; a refusal counts nothing."""
    refusal = take_all([Limit("", key, tuple(windows))], now=now)
    return refusal.retry_after if refusal else None


def take_all(limits: Iterable[Limit], *, now: datetime) -> Refusal | None:
    """Count one hit on every key, or none at all and return the longest wait.

    Opens a transaction or joins the caller's; what the caller rolls back is not counted.
    """
    limits = list(limits)
    with transaction.atomic():
        logs = hold((limit.key for limit in limits), now=now)
        refusal = refused(limits, logs, now=now)
        if refusal is None:
            count(limits, logs, now=now)
    return refusal


def hold(keys: Iterable[str], *, now: datetime) -> dict[str, HitLog]:
    """Lock the rows of these keys, made where missing; inside a transaction only.

    Keys are taken in alphabetical order. Who holds twice in one transaction holds the
    later names second, so nobody waits in a circle.
    """
    ordered = sorted(set(keys))
    logs: dict[str, HitLog] = {}
    while len(logs) < len(
        ordered
    ):  # a row may be swept away between the two statements
        HitLog.objects.bulk_create(
            [HitLog(key=key, until=now) for key in ordered], ignore_conflicts=True
        )
        rows = HitLog.objects.select_for_update().filter(key__in=ordered)
        logs = {row.key: row for row in rows.order_by("key")}
    return logs


def peek(keys: Iterable[str]) -> dict[str, HitLog]:
    """The rows without a lock; an empty one where nothing happened yet."""
    keys = list(keys)
    found = HitLog.objects.in_bulk(keys)
    return {key: found.get(key) or HitLog(key=key) for key in keys}


def refused(
    limits: Iterable[Limit], logs: dict[str, HitLog], *, now: datetime
) -> Refusal | None:
    """The longest wait that the limits ask for."""
    waits = [
        Refusal(limit.scope, wait)
        for limit in limits
        for window in limit.windows
        if (wait := logs[limit.key].retry_after(window, now=now)) is not None
    ]
    return max(waits, key=lambda refusal: refusal.retry_after, default=None)


def count(limits: Iterable[Limit], logs: dict[str, HitLog], *, now: datetime) -> None:
    """Count one hit on every key; the rows are held."""
    changed = []
    for limit in limits:
        log = logs[limit.key]
        changed.append(log)
        for window in limit.windows:
            log.add(window, now=now)
            half = (window.at_most + 1) // 2
            if limit.alarm and log.count(window, now=now) == half:
                logger.error(
                    "limit %s: half of %s in %s s is used",
                    limit.key.partition(":")[0],
                    window.at_most,
                    window.seconds,
                )
    save(changed)


def give_back(limits: Iterable[Limit], *, now: datetime) -> None:
    """Uncount the newest hit of every key; inside a transaction only."""
    limits = list(limits)
    logs = hold((limit.key for limit in limits), now=now)
    for limit in limits:
        for window in limit.windows:
            logs[limit.key].take_back(window, now=now)
    save(logs.values())


def save(logs: Iterable[HitLog]) -> None:
    HitLog.objects.bulk_update(logs, ["hits", "until"])


def forget(*, now: datetime) -> int:
    """Delete the rows in which nothing counts any more; return how many."""
    return HitLog.objects.filter(until__lt=now).delete()[0]
