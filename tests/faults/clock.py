"""One clock for all processes of a town, which a test can step.

``django.utils.timezone.now`` is the only clock the shop reads at its borders. Here it
adds the seconds that stand in a file shared by all processes, or in one of a process's
own, whose clock then is wrong (FLT-33). The database's clock is always that of all.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

VARIABLE = "FAULTS_CLOCK"
OF_DATABASE = "FAULTS_CLOCK_OF_DATABASE"
_FORMAT = struct.Struct("d")


def make(path: Path) -> None:
    path.write_bytes(_FORMAT.pack(0.0))


def shift(path: Path, seconds: float) -> None:
    """Let the clock be so many seconds ahead of the machine's."""
    with path.open("r+b") as file:
        file.write(_FORMAT.pack(seconds))


def install() -> None:
    """Put this process's ``timezone.now``, and what it takes for the database's clock,
    under the clocks that the environment names.
    """
    from django.utils import timezone

    from kameng import clock

    timezone.now = _reading(Path(os.environ[VARIABLE]))
    clock.of_database = _reading(Path(os.environ[OF_DATABASE]))


def _reading(path: Path) -> Callable[[], datetime]:
    with path.open("r+b") as file:
        shared = mmap.mmap(file.fileno(), _FORMAT.size)

    def now() -> datetime:
        (seconds,) = _FORMAT.unpack(shared[: _FORMAT.size])
        return datetime.now(UTC) + timedelta(seconds=seconds)

    return now
