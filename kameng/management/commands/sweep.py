from __future__ import annotations

import logging
import sys
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.utils import timezone
from django.utils.module_loading import import_string

from kameng import freshness

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = (
        "Run every periodic job once, here and now: no worker, beat or broker is "
        "needed, and cron can replace them. Exit 2 when a job failed; the others run "
        "all the same."
    )
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        done = [
            self.run_job(name, entry["task"])
            for name, entry in settings.CELERY_BEAT_SCHEDULE.items()
        ]
        if not all(done):
            sys.exit(2)

    def run_job(self, name: str, task: str) -> bool:
        """Run one job and say what became of it; False when it failed."""
        started = time.monotonic()
        try:
            count = import_string(task)()
            freshness.note(name, now=timezone.now())
        except Exception as error:  # the next job may be the one that matters
            logger.exception("the job %s failed", name)
            self.stdout.write(f"{name:<20} failed: {type(error).__name__}")
            return False
        done = f"{count} done" if isinstance(count, int) else "done"
        self.stdout.write(f"{name:<20} {done}, {time.monotonic() - started:.2f} s")
        return True
