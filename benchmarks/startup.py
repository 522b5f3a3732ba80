"""``bin/run`` from a clone, the memory of its web worker, and what a check costs."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks import machine
from benchmarks.goals import Figure
from benchmarks.servers import BASELINE, ROOT, free_port, wait_for

CHECKS = 7
PAGES = ("/", "/membership/", "/membership/temporary/", "/login/", "/official/")
VISITS = 20


def measure() -> list[Figure]:
    with _clone() as clone:
        _warm(clone)
        seconds, cpu, megabytes = _start(clone)
    ours, base = _checks()
    return [
        Figure(
            "bin/run from a clone to the first answer",
            seconds,
            "s",
            at_most=30,
            wall_clock=True,
        ),
        Figure("bin/run from a clone to the first answer: CPU", cpu, "s"),
        Figure("web worker: resident", megabytes, "MB", at_most=100),
        Figure("manage.py check: CPU ÷ bare Django's", ours / base, at_most=2),
        Figure("manage.py check: CPU", ours * 1000, "ms"),
        Figure("bare Django's check: CPU", base * 1000, "ms"),
    ]


@contextmanager
def _clone() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="kameng-clone-"))
    try:
        clone = folder / "kameng"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        yield clone
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _warm(clone: Path) -> None:
    """Fill the package cache, as an earlier installation would have."""
    subprocess.run(
        ["bin/setup", "requirements.lock", "var/warm"], cwd=clone, check=True
    )
    shutil.rmtree(clone / "var")


def _start(clone: Path) -> tuple[float, float, float]:
    """Seconds and CPU to the first answer, resident MB of the web worker after some."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    log = clone.parent / "output"
    began = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["bin/run"],
            cwd=clone,
            env=_bare({"PORT": str(port)}),
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=machine.on_cpus(machine.SERVER_CPU | machine.OTHER_CPUS),
        )
    try:
        wait_for(f"{url}/", process, seconds=300)
        seconds, cpu = time.monotonic() - began, _cpu_with_the_dead(process.pid)
        for number in range(VISITS):
            page = url + PAGES[number % len(PAGES)]
            with urllib.request.urlopen(page, timeout=20) as answer:  # noqa: S310
                answer.read()
        return seconds, cpu, max(map(machine.resident_mb, _web(process.pid)))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def _cpu_with_the_dead(pid: int) -> float:
    """What the process, those that it started and those that have ended have used."""
    ended = psutil.Process(pid).cpu_times()
    return machine.cpu_seconds(pid) + ended.children_user + ended.children_system


def _web(pid: int) -> list[psutil.Process]:
    """granian and its worker."""
    return [
        each
        for each in machine.family(pid)
        if "granian" in " ".join(each.cmdline()) or "granian" in each.name()
    ]


def _checks() -> tuple[float, float]:
    """CPU seconds of both checks, medians of turns taken one after the other."""
    ours: list[float] = []
    base: list[float] = []
    shop = _bare({"SECRET_KEY": "benchmarks only " * 4, "DATA_KEYS": "x" * 64})
    for number in range(CHECKS + 1):
        for folder, environ, turns in (
            (ROOT, shop, ours),
            (BASELINE, _bare({"PGHOST": "/nowhere"}), base),
        ):
            seconds = _cpu_of_check(folder, environ)
            if number:  # the first compiles
                turns.append(seconds)
    return statistics.median(ours), statistics.median(base)


def _cpu_of_check(folder: Path, environ: Mapping[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=folder,
        env=dict(environ),
        check=True,
        stdout=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _bare(more: Mapping[str, str]) -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME")} | dict(more)
