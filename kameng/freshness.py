"""How fresh the periodic jobs are: each run leaves its time in the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Max

from kameng.models import JobRun

PERIODS = 3
ALLOWANCE = timedelta(minutes=2)
"""A job is stale after so many of its periods and so much more."""


@dataclass(frozen=True, slots=True)
class Job:
    """One entry of ``CELERY_BEAT_SCHEDULE``; ``finished_at`` is None before its first
    run."""

    name: str
    finished_at: datetime | None
    stale: bool


def note(name: str, *, now: datetime) -> None:
    """Remember that a job of ``CELERY_BEAT_SCHEDULE`` finished; one statement."""
    JobRun.objects.bulk_create(
        [JobRun(name=name, finished_at=now)],
        update_conflicts=True,
        unique_fields=["name"],
        update_fields=["finished_at"],
    )


def jobs(*, now: datetime) -> list[Job]:
    """Every periodic job, in the order of the schedule."""
    finished = dict(JobRun.objects.values_list("name", "finished_at"))
    schedule: dict[str, dict[str, timedelta]] = settings.CELERY_BEAT_SCHEDULE
    # What never ran counts from the day it could: an hourly job is not stale in the
    # first hour of a new shop.
    since = _migrated_at() if schedule.keys() - finished.keys() else None
    return [
        Job(
            name,
            finished.get(name),
            _is_stale(finished.get(name, since), entry["schedule"], now),
        )
        for name, entry in schedule.items()
    ]


def of_sweeps(*, now: datetime) -> str:
    """One word for ``/readyz``."""
    return "stale" if any(job.stale for job in jobs(now=now)) else "ok"


def _is_stale(at: datetime | None, period: timedelta, now: datetime) -> bool:
    return at is None or now - at > period * PERIODS + ALLOWANCE


def _migrated_at() -> datetime | None:
    """When the database was last brought up to date, None if never."""
    recorder = MigrationRecorder(connection)
    if not recorder.has_table():
        return None
    applied: datetime | None = recorder.migration_qs.aggregate(at=Max("applied"))["at"]
    return applied
