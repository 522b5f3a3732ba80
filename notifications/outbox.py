"""The outbox: effects on the outside world, as rows that commit with their cause.

A domain function adds rows inside its own transaction; after the commit a worker, a
tick or ``manage.py sweep`` claims each row, calls the handler of its kind outside any
transaction and records the outcome. A row is handled at least once, so handlers must
make repeats harmless. Apps register their handlers in ``AppConfig.ready``.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from django.db import transaction
from django.db.models import Count, Min, Q

from notifications.models import Outbox
from notifications.wake import wake

logger = logging.getLogger(__name__)

type Payload = dict[str, Any]
"""Ids and plain words, as JSON; never a phone, a code or a key."""

MAX_TRIES = 8
BACKOFF = (60, 300, 1800)
"""Seconds before the second, third, … try; the last one repeats."""
CLAIM_SECONDS = 300
"""A claim older than this belongs to a worker that died (H4)."""
RUN_SECONDS = 20
"""A run claims nothing new after this long, well within the task time limit."""
OUTAGE = 3
"""After so many "try later" of one kind a run leaves that kind to the next run."""
LATE_SECONDS = 120


class TryLater(Exception):
    """The effect did not happen now; repeat after the back-off or ``after_seconds``."""

    def __init__(self, after_seconds: int | None = None, reason: str = "") -> None:
        super().__init__(reason)
        self.after_seconds = after_seconds
        self.reason = reason


class NotYet(TryLater):
    """This row's own time has not come; it says nothing about others of its kind."""


class GiveUp(Exception):
    """Repeating is useless and a person should know; ``reason`` holds no personal data."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Run(Protocol):
    def __call__(self, payload: Payload, /, *, now: datetime) -> None: ...


@dataclass(frozen=True, slots=True)
class Handler:
    run: Run
    backoff: Sequence[int]
    on_dead: Callable[[Payload, str], None] | None


_handlers: dict[str, Handler] = {}


def handler[F: Run](
    kind: str,
    *,
    backoff: Sequence[int] = BACKOFF,
    on_dead: Callable[[Payload, str], None] | None = None,
) -> Callable[[F], F]:
    """Register the function that carries out rows of ``kind``.

    It runs outside any transaction, ends each call to the outside within seconds, and
    raises ``TryLater`` or ``GiveUp`` where it must. Any other error counts as a try.

    backoff  seconds before the next tries, instead of ``BACKOFF``
    on_dead  called with the payload and the reason in the transaction that buries a row
    """

    def register(run: F) -> F:
        if kind in _handlers:
            raise ValueError(f"outbox kind {kind!r} has a handler already")
        _handlers[kind] = Handler(run, backoff, on_dead)
        return run

    return register


@dataclass(frozen=True, slots=True)
class Entry:
    """One effect to be written.

    can_wait  comes in heaps and lets everything else that is due go first
    """

    key: str
    kind: str
    payload: Mapping[str, Any]
    due_at: datetime
    can_wait: bool = False


def add(key: str, kind: str, payload: Mapping[str, Any], *, due_at: datetime) -> None:
    """Write one effect in the caller's transaction; a repeated ``key`` is ignored."""
    add_all([Entry(key, kind, payload, due_at)])


def add_all(entries: Iterable[Entry]) -> None:
    """Write several effects with one statement and wake a worker after the commit."""
    rows = [
        Outbox(
            key=e.key,
            kind=e.kind,
            payload=dict(e.payload),
            due_at=e.due_at,
            can_wait=e.can_wait,
        )
        for e in entries
    ]
    Outbox.objects.bulk_create(rows, ignore_conflicts=True)
    _wake_after_commit()


def run_due(*, now: datetime, limit: int = 100) -> int:
    """Carry out what is due, oldest first; return how many rows were handled.

    What can wait comes last: a heap of reminders holds up nobody who has just paid.

    Any number of workers may run this at once, on PostgreSQL and on SQLite: each row
    is claimed by one conditional update, so exactly one of them gets it (G10).

    now  the time of this tick; claims further into the run are stamped with it plus
         the seconds that have passed, or a long run would hold stale claims
    """
    started = time.monotonic()
    _take_back_stale_claims(now)
    setbacks: Counter[str] = Counter()
    handled = 0
    due = Outbox.objects.filter(state=Outbox.State.NEW, due_at__lte=now)
    while handled < limit:
        passed = timedelta(seconds=time.monotonic() - started)
        resting = [kind for kind, times in setbacks.items() if times >= OUTAGE]
        row = due.exclude(kind__in=resting).order_by("can_wait", "due_at", "id").first()
        if row is None or passed.total_seconds() > RUN_SECONDS:
            break
        if not _claim(row, now + passed):
            continue
        handled += 1
        if not _carry_out(row, now + passed):
            setbacks[row.kind] += 1
    return handled


def replay(rows: Iterable[int], *, now: datetime) -> int:
    """Give dead rows a fresh set of tries; return how many were dead."""
    return Outbox.objects.filter(pk__in=rows, state=Outbox.State.DEAD).update(
        state=Outbox.State.NEW, tries=0, due_at=now
    )


@dataclass(frozen=True, slots=True)
class Status:
    """What is not done yet.

    new   all rows that wait, also those with a time to come
    late  due for more than two minutes and still waiting
    dead  rows given up, by kind
    """

    new: int
    claimed: int
    due: int
    late: int
    oldest_due_at: datetime | None
    dead: Mapping[str, int]


def status(*, now: datetime) -> Status:
    """Count what is not done; the heap of done rows is not touched."""
    late_at = now - timedelta(seconds=LATE_SECONDS)
    waiting = Outbox.objects.filter(state=Outbox.State.NEW).aggregate(
        new=Count("pk"),
        due=Count("pk", filter=Q(due_at__lte=now)),
        late=Count("pk", filter=Q(due_at__lt=late_at)),
        oldest=Min("due_at", filter=Q(due_at__lte=now)),
    )
    dead = (
        Outbox.objects.filter(state=Outbox.State.DEAD)
        .values_list("kind")
        .annotate(rows=Count("pk"))
        .order_by("kind")
    )
    return Status(
        new=waiting["new"],
        claimed=Outbox.objects.filter(state=Outbox.State.CLAIMED).count(),
        due=waiting["due"],
        late=waiting["late"],
        oldest_due_at=waiting["oldest"],
        dead=dict(dead),
    )


def _wake_after_commit() -> None:
    """Ask for one wake-up a transaction, however many rows it writes."""
    connection = transaction.get_connection()
    here = set(connection.savepoint_ids)
    if not any(
        callback[0] == here and callback[1] is wake
        for callback in connection.run_on_commit
    ):
        transaction.on_commit(wake, robust=True)


def _claim(row: Outbox, now: datetime) -> bool:
    """Take the row if nobody was faster; ``durable`` proves the claim is committed."""
    with transaction.atomic(durable=True):
        claimed = Outbox.objects.filter(
            pk=row.pk, state=Outbox.State.NEW, tries=row.tries
        ).update(state=Outbox.State.CLAIMED, tries=row.tries + 1, claimed_at=now)
    row.tries += claimed
    return claimed == 1


def _carry_out(row: Outbox, now: datetime) -> bool:
    """Call the handler of a claimed row and record the outcome; False is a setback."""
    found = _handlers.get(row.kind)
    if found is None:
        _bury(row, f"no handler for {row.kind}")
        return True
    try:
        found.run(row.payload, now=now)
    except GiveUp as refusal:
        _bury(row, refusal.reason)
        return True
    except TryLater as delay:
        _postpone(row, delay.reason, delay.after_seconds, found.backoff, now)
        return isinstance(delay, NotYet)
    except Exception as error:  # a poison row must not stop the others (H14)
        _postpone(row, _describe(error), None, found.backoff, now)
        return False
    _settle(row, state=Outbox.State.DONE, last_error="")
    return True


def _postpone(
    row: Outbox,
    reason: str,
    after_seconds: int | None,
    backoff: Sequence[int],
    now: datetime,
) -> None:
    if row.tries >= MAX_TRIES:
        _bury(row, reason)
        return
    if after_seconds is None:
        after_seconds = backoff[min(row.tries, len(backoff)) - 1]
    logger.warning(
        "outbox row %s (%s): try %s put off by %s s: %s",
        row.pk,
        row.kind,
        row.tries,
        after_seconds,
        reason,
    )
    _settle(
        row,
        state=Outbox.State.NEW,
        due_at=now + timedelta(seconds=after_seconds),
        last_error=reason[:200],
    )


def _bury(row: Outbox, reason: str) -> None:
    """Park the row with its reason; the error log is the alert."""
    found = _handlers.get(row.kind)
    with transaction.atomic(durable=True):
        buried = _settle(row, state=Outbox.State.DEAD, last_error=reason[:200])
        if buried and found and found.on_dead:
            try:
                with transaction.atomic():
                    found.on_dead(row.payload, reason)
            except Exception as error:  # else this row would stop every later run
                logger.error(
                    "outbox row %s: its on_dead failed: %s", row.pk, _describe(error)
                )
    if buried:
        logger.error("outbox row %s (%s) is dead: %s", row.pk, row.kind, reason)


def _settle(row: Outbox, **outcome: object) -> int:
    """Write the outcome, unless the claim was taken back and given to another worker."""
    return Outbox.objects.filter(
        pk=row.pk, state=Outbox.State.CLAIMED, tries=row.tries
    ).update(claimed_at=None, **outcome)


def _take_back_stale_claims(now: datetime) -> None:
    """Re-queue rows whose worker died between claim and outcome (H4)."""
    stale = Outbox.objects.filter(
        state=Outbox.State.CLAIMED,
        claimed_at__lt=now - timedelta(seconds=CLAIM_SECONDS),
    )
    for row in stale.filter(tries__gte=MAX_TRIES):
        _bury(row, "its worker died every time")
    stale.filter(tries__lt=MAX_TRIES).update(state=Outbox.State.NEW, claimed_at=None)


def _describe(error: Exception) -> str:
    """Class and place of an error: its message might quote a phone or a code."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "site-packages" not in frame.filename]
    place = ours[-1]
    return f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
