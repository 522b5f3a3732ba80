"""The machine under the measurement: who runs where, and what it costs."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable

import psutil

PR_SET_PDEATHSIG = 1
QUIET = 0.15
"""Up to this share of the machine may be busy with other things."""

_cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
SERVER_CPU = {_cpus[0]} if len(_cpus) > 1 else set(_cpus)
"""Where the measured servers run, alone."""
OTHER_CPUS = set(_cpus[1:]) or set(_cpus)
"""Where everything else runs: this program, load generators, database, sandbox."""


def move_aside() -> None:
    """Leave the servers' CPU; what is started from here on inherits it."""
    if OTHER_CPUS:
        os.sched_setaffinity(0, OTHER_CPUS)


def share_in_use(seconds: float = 1.5) -> float:
    """How busy the machine is right now, from 0 to 1."""
    return float(psutil.cpu_percent(interval=seconds)) / 100


def on_cpus(cpus: set[int]) -> Callable[[], None]:
    """``preexec_fn`` of a child that runs there and does not outlive its parent."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def prepare() -> None:
        if cpus:
            os.sched_setaffinity(0, cpus)
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)

    return prepare


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it started."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def cpu_seconds(pid: int) -> float:
    """CPU used so far by a process and its children."""
    total = 0.0
    for process in family(pid):
        times = process.cpu_times()
        total += times.user + times.system
    return total


def resident_mb(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 1e6
