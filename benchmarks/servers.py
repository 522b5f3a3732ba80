"""The two servers that are measured side by side: the shop and the bare Django project.

Both run under granian with one worker on a CPU of their own.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.services import Services
from kameng import programs
from kameng.programs import Place

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / "benchmarks" / "baseline"
OURS, BASE = "kameng", "baseline"
MEMBERS = 400
"""Enough that nobody comes near a limit while orders are placed as fast as can be."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running web server with its database and its signed-in visitors."""

    name: str
    url: str
    pid: int
    environ: Mapping[str, str]
    cookies: Path


@dataclass(frozen=True, slots=True)
class Shop(Server):
    """Ours, filled by ``benchmarks.filling``; ``facts`` is what that program printed."""

    facts: Mapping[str, Any]

    def run(self, *arguments: str) -> str:
        """Run a Python program of ours with this shop's settings; return its output."""
        return _output([sys.executable, *arguments], self.environ)


@contextmanager
def shop(services: Services, *, members: int = MEMBERS) -> Iterator[Shop]:
    """The shop as ``bin/run`` starts it, on PostgreSQL, without worker and beat."""
    place = Place("127.0.0.1", free_port())
    environ = {
        **_inherited(),
        **services.sandbox.environment,
        "DATABASE_URL": services.database_url(OURS),
        "REDIS_URL": services.redis_url,
        "PUBLIC_URL": place.url,
        "SECRET_KEY": "benchmarks only " * 4,
        "DATA_KEYS": "benchmarks only " * 4,
        "TRUSTED_PROXIES": "127.0.0.0/8",  # the load comes from many addresses
    }
    for command in ("migrate", "collectstatic"):
        _output([sys.executable, "manage.py", command, "--no-input", "-v0"], environ)
    cookies = services.folder / "members.txt"
    filling = [sys.executable, "-m", "benchmarks.filling", "members"]
    facts = json.loads(_output([*filling, str(cookies), str(members)], environ))
    command = programs.web(place, environ).command
    with _serving(command, ROOT, environ, f"{place.url}/healthz") as pid:
        yield Shop(OURS, place.url, pid, environ, cookies, facts)


@contextmanager
def as_in_production(shop: Shop) -> Iterator[Shop]:
    """The same shop once more, with the two workers of the Dockerfile on all CPUs."""
    place = Place("127.0.0.1", free_port())
    command = list(programs.web(place, shop.environ).command)
    command[command.index("--workers") + 1] = "2"
    cpus = machine.SERVER_CPU | machine.OTHER_CPUS
    ready = f"{place.url}/healthz"
    with _serving(command, ROOT, shop.environ, ready, cpus=cpus) as pid:
        yield replace(shop, url=place.url, pid=pid)


@contextmanager
def baseline(services: Services) -> Iterator[Server]:
    """The smallest Django project that does the same: the ceiling."""
    port = free_port()
    environ = {
        **_inherited(),
        "PGHOST": str(services.database_folder),
        "PGPORT": "5432",
        "PGUSER": "postgres",
        "BASE_NAME": BASE,
    }
    cookies = services.folder / "baseline.txt"
    _output([sys.executable, "seed.py", str(cookies)], environ, BASELINE)
    command = [
        *(sys.executable, "-m", "granian", "--interface", "wsgi", "--no-ws"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--blocking-threads", "1", "--log-level", "warning", "wsgi:application"),
    ]
    url = f"http://127.0.0.1:{port}"
    with _serving(command, BASELINE, environ, f"{url}/const/") as pid:
        yield Server(BASE, url, pid, environ, cookies)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _inherited() -> dict[str, str]:
    names = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return kept | {"PYTHONDONTWRITEBYTECODE": "1"}


def _output(
    command: Sequence[str], environ: Mapping[str, str], folder: Path = ROOT
) -> str:
    return subprocess.run(
        command,
        cwd=folder,
        env=dict(environ),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


@contextmanager
def _serving(
    command: Sequence[str],
    folder: Path,
    environ: Mapping[str, str],
    ready: str,
    *,
    cpus: set[int] = machine.SERVER_CPU,
) -> Iterator[int]:
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=dict(environ),
        start_new_session=True,
        preexec_fn=machine.on_cpus(cpus),
    )
    try:
        wait_for(ready, process)
        yield process.pid
    finally:
        process.terminate()
        process.wait(15)


def wait_for(url: str, process: subprocess.Popen[Any], *, seconds: float = 60) -> None:
    """Return once ``url`` answers 200."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(0.02)
    raise RuntimeError(f"{url} does not answer")
