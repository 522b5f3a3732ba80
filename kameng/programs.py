"""The programs that make up the shop, and the place where they listen."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kameng import embedded, ports
from kameng.supervisor import Program

PYTHON = sys.executable


@dataclass(frozen=True)
class Place:
    """Where the shop listens, and where its visitors find it."""

    host: str
    port: int
    public_url: str = ""
    """What the environment calls the shop; empty when it leaves that to us."""

    @property
    def sandbox_port(self) -> int:
        return self.port + 1

    @property
    def own_host(self) -> str:
        """How this machine itself reaches the shop."""
        return "127.0.0.1" if self.host in ports.EVERY_ADDRESS else self.host

    @property
    def visitors_host(self) -> str:
        """How the shop's visitors reach it, on this machine or on phones beside it."""
        public = urlsplit(self.public_url)
        if public.scheme == "http" and public.hostname:
            return public.hostname
        if self.host in ports.EVERY_ADDRESS:
            return ports.local_network_address()
        return self.host

    @property
    def url(self) -> str:
        return self.public_url or f"http://{in_url(self.visitors_host)}:{self.port}"

    @property
    def sandbox_url(self) -> str:
        return f"http://{in_url(self.visitors_host)}:{self.sandbox_port}"


def in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def broker(folder: Path) -> Program:
    return Program("broker", embedded.valkey_command(folder), os.environ)


def sandbox(place: Place, folder: Path) -> Program:
    where = ["--dir", str(folder), "--host", place.host]
    port = ["--port", str(place.sandbox_port)]
    return Program("sandbox", [PYTHON, "-m", "sandbox", *where, *port], _outside())


def sandbox_settings_command(place: Place, folder: Path) -> list[str]:
    """Prints, as JSON, the environment that points the shop at the sandbox."""
    where = ["--dir", str(folder), "--host", place.visitors_host]
    port = ["--port", str(place.sandbox_port)]
    return [PYTHON, "-m", "sandbox", "env", *where, *port]


def _outside() -> dict[str, str]:
    """The environment of a program that knows nothing of the shop's settings."""
    return {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}


def web(place: Place, environ: Mapping[str, str]) -> Program:
    command = [
        *(PYTHON, "-m", "granian", "--interface", "wsgi", "--no-ws"),
        *("--host", place.host, "--port", str(place.port)),
        *("--workers", "1", "--blocking-threads", "3", "--backpressure", "64"),
        *("--respawn-failed-workers", "--log-level", "warning"),
        "kameng.wsgi:application",
    ]
    return Program("web", command, environ)


def worker(environ: Mapping[str, str]) -> Program:
    """Threads: tasks wait for other people's servers, they do not compute."""
    command = [
        *(PYTHON, "-m", "celery", "--quiet", "--app", "kameng", "worker"),
        *("--pool", "threads", "--concurrency", "2"),
        *("--without-gossip", "--without-mingle", "--loglevel", "warning"),
    ]
    return Program("worker", command, environ)


def beat(environ: Mapping[str, str]) -> Program:
    command = [
        *(PYTHON, "-m", "celery", "--quiet", "--app", "kameng", "beat"),
        *("--pidfile=", "--loglevel", "warning"),
    ]
    return Program("beat", command, environ)
