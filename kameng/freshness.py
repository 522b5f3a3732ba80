"""How fresh the periodic jobs are: each run leaves its time in the database."""

from __future__ import annotations

from django.conf import settings
from django.utils import timezone

from kameng.models import JobRun

PATIENCE = 3
"""A job is stale after so many of its periods, and two minutes more."""


def note(name: str) -> None:
    """Remember that a job of ``CELERY_BEAT_SCHEDULE`` finished just now."""
    JobRun.objects.update_or_create(name=name, defaults={"finished_at": timezone.now()})


def stale() -> list[str]:
    """The names of the jobs that did not finish in time."""
    now = timezone.now()
    done = dict(JobRun.objects.values_list("name", "finished_at"))
    late = []
    for name, entry in settings.CELERY_BEAT_SCHEDULE.items():
        patience = entry["schedule"].total_seconds() * PATIENCE + 120
        if name not in done or (now - done[name]).total_seconds() > patience:
            late.append(name)
    return late


def of_sweeps() -> str:
    return "stale" if stale() else "ok"


def metrics() -> list[str]:
    """Prometheus lines, seconds since each job finished."""
    now = timezone.now()
    return [
        f'kameng_job_age_seconds{{job="{name}"}} {(now - at).total_seconds():.0f}'
        for name, at in JobRun.objects.values_list("name", "finished_at")
    ]
