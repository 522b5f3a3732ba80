"""Tell a worker that the outbox has something due, without waiting for anybody.

Waking only saves time: the tick and ``manage.py sweep`` find the same rows. So a
broker that is down, slow or hanging costs the caller at most a fifth of a second,
once in five seconds, and never an error.
"""

from __future__ import annotations

import logging
import time
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kombu.connection import Connection

logger = logging.getLogger(__name__)

PATIENCE = 0.2
"""Seconds that a connection to the broker, and each answer, may take."""
PAUSE = 5.0
"""Seconds without another try after the broker failed."""

_asleep_until = 0.0


def wake() -> None:
    """Publish ``run_outbox_task``; when that fails, say so in the debug log only."""
    global _asleep_until
    if time.monotonic() < _asleep_until:
        return
    # Celery and its broker's client take a second to load: only who wakes, waits.
    from kombu.exceptions import KombuError
    from kombu.pools import producers
    from redis.exceptions import RedisError

    from notifications.tasks import run_outbox_task

    try:
        with producers[_impatient_connection()].acquire(timeout=PATIENCE) as producer:
            run_outbox_task.apply_async(producer=producer, retry=False)
    except (KombuError, RedisError, OSError) as error:
        _asleep_until = time.monotonic() + PAUSE
        logger.debug("the broker did not take a wake-up: %s", type(error).__name__)


@cache
def _impatient_connection() -> Connection:
    from kameng.celery import app

    # kombu retries a first connection for ever unless told otherwise here.
    return app.connection_for_write(
        transport_options={
            "socket_timeout": PATIENCE,
            "socket_connect_timeout": PATIENCE,
            "max_retries": 0,
            "interval_start": 0,
            "interval_step": 0,
            "interval_max": 0,
        }
    )
