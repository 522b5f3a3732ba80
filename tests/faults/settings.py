"""The shop's settings for processes that are made to fail: ``kameng.settings``, watched.

The product knows nothing of this: the town starts its programs with
``DJANGO_SETTINGS_MODULE=tests.faults.settings``. Three things differ. The clock can be
stepped; a process can be told to die at a named point; beat ticks faster.
"""

from __future__ import annotations

from datetime import timedelta

from kameng.settings import *  # noqa: F403
from kameng.settings import CELERY_BEAT_SCHEDULE, INSTALLED_APPS
from tests.faults import clock

clock.install()
INSTALLED_APPS = [*INSTALLED_APPS, "tests.faults.points.CrashPoints"]

TICKS = {5: 1, 30: 2, 60: 3}
"""Seconds between a job's runs in the shop and here: a test waits for many of them."""
CELERY_BEAT_SCHEDULE = {
    name: {**entry, "schedule": timedelta(seconds=TICKS.get(int(gap), gap))}
    for name, entry in CELERY_BEAT_SCHEDULE.items()
    for gap in (entry["schedule"].total_seconds(),)
}
