"""A whole shop of one's own, to be broken: real processes, PostgreSQL, Valkey, sandbox.

Web, worker and beat are started by the commands of ``kameng.programs``, as ``bin/run``
starts them. The caller itself has the shop's settings and looks into its database.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg

from kameng import embedded, programs
from kameng.programs import Place
from kameng.supervisor import signal_on_parents_death
from tests import postgres
from tests.faults import clock, points
from tests.sandbox_process import ROOT, Sandbox, running_sandbox

OURS = ("worker", "web", "beat")
KEEPS_COMMITS = ("fsync=off", "max_connections=60")
"""What is committed outlives the server's processes; only the machine may not die."""
STARTS = 60
"""Seconds until a process that does not answer has failed to start."""
BEGINS_AT = datetime(2027, 1, 4, 3, 0, tzinfo=UTC)
"""A Monday, 11:00 in Shanghai: far from the quiet hours."""


class Stuck(Exception):
    """Something did not happen in time."""


@dataclass
class Town:
    folder: Path
    cluster: postgres.Cluster
    environ: dict[str, str]
    place: Place
    sandbox: Sandbox
    database: subprocess.Popen[bytes]
    broker: subprocess.Popen[bytes]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    offset: float = 0.0

    # --- Processes -----------------------------------------------------------------

    def start(self, role: str) -> None:
        """Start what is not running."""
        process = self.running.get(role)
        if process is not None and process.poll() is None:
            return
        self.running[role] = self.spawn(role, role)

    def spawn(
        self, role: str, name: str, port: int = 0, /, **environ: str
    ) -> subprocess.Popen[bytes]:
        """One process of a role; ``name`` is that of its log, ``port`` for another web.

        Only for the main thread: what a thread has started, the kernel ends with it.
        """
        environ = self.environ | {points.ROLE: role} | environ
        place = replace(self.place, port=port or self.place.port)
        program = {
            "web": lambda: programs.web(place, environ),
            "worker": lambda: programs.worker(environ),
            "beat": lambda: programs.beat(environ),
        }[role]()
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                program.command,
                cwd=ROOT,
                env={**program.environ, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=signal_on_parents_death(signal.SIGKILL),
            )

    def kill(self, *roles: str) -> None:
        """SIGKILL for a whole process group each, as the kernel would."""
        for role in roles:
            kill_group(self.running[role])

    def heal(self) -> None:
        """Whatever is dead starts again, and the shop answers."""
        for role in OURS:
            self.start(role)
        self.wait_until_it_answers()

    def wait_until_it_answers(self, port: int = 0) -> None:
        url = f"http://127.0.0.1:{port or self.place.port}/healthz"

        def answers() -> bool:
            with suppress(httpx.HTTPError):
                return httpx.get(url, timeout=30, trust_env=False).status_code == 200
            return False

        wait_until(answers, "the shop does not answer", seconds=STARTS)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.place.url + path, timeout=30, trust_env=False)

    def order_death(self, role: str, point: str) -> Path:
        """The next process of this role at this point dies; returns the order's file."""
        if role == "web":
            # granian starts what died again, but gives up on what dies twice in 5.5 s.
            self.kill(role)
            self.heal()
        order = points.order_of(self.folder / "orders", role, point)
        order.touch()
        return order

    # --- What it stands on ---------------------------------------------------------

    def restart_database(self, number: int) -> None:
        """SIGINT: fast, sessions are cut; SIGQUIT: immediate, as after a crash."""
        self.stop_database(number)
        self.start_database()

    def stop_database(self, number: int) -> None:
        self.database.send_signal(number)
        self.database.wait(30)

    def start_database(self) -> None:
        self.database = self.cluster.run(KEEPS_COMMITS)
        wait_until(self.database_accepts, "the database does not come back")

    def database_accepts(self) -> bool:
        """It listens before it has recovered."""
        with suppress(psycopg.OperationalError):
            psycopg.connect(self.environ["DATABASE_URL"]).close()
            return True
        return False

    def copy_database(self) -> Path:
        """Its files as they are now: a standby that hears nothing more."""
        copy = self.cluster.home / "standby"
        self.stop_database(signal.SIGINT)
        command: list[str | Path] = ["cp", "-a", self.cluster.home / "data", copy]
        subprocess.run(command, cwd="/", check=True, **self.cluster.identity)
        self.start_database()
        return copy

    def fail_over(self, standby: Path, meanwhile: Callable[[], None]) -> None:
        """The server is lost with its files; ``meanwhile`` there is none."""
        self.stop_database(signal.SIGQUIT)
        data = self.cluster.home / "data"
        shutil.rmtree(data)
        standby.rename(data)
        try:
            meanwhile()
        finally:
            self.start_database()

    def stop_broker(self) -> None:
        self.broker.kill()
        self.broker.wait()

    def start_broker(self) -> None:
        self.broker = start_broker(self.folder)

    # --- Time ----------------------------------------------------------------------

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.offset)

    def step(self, seconds: float) -> None:
        """Move everybody's clock on."""
        self.offset += seconds
        clock.shift(Path(self.environ[clock.VARIABLE]), self.offset)
        self.sandbox.set_clock(offset=self.offset)

    # --- What it has said ----------------------------------------------------------

    def complaints(self) -> list[str]:
        """Errors that no handler expected, from the logs of all processes.

        A task that finds no database, or whose clock is wrong, ends with an error and
        comes again by itself.
        """
        return [
            f"{log.name}: {line}"
            for log in sorted(self.folder.glob("*.log"))
            if log.name != "postgres.log"
            for line in log.read_text(errors="replace").splitlines()
            if "Internal Server Error" in line or "raised unexpected" in line
            if "OperationalError" not in line and "Astray" not in line
        ]


def kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_until(
    look: Callable[[], Any], words: str, *, seconds: float = 30, every: float = 0.05
) -> Any:
    end = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > end:
            raise Stuck(words)
        time.sleep(every)
    return found


def start_broker(folder: Path) -> subprocess.Popen[bytes]:
    home = folder / "valkey"
    server = subprocess.Popen(
        embedded.valkey_command(home),
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=signal_on_parents_death(signal.SIGKILL),
    )
    embedded.wait_for_socket(embedded.valkey_socket(home))
    return server


@contextmanager
def running_town() -> Iterator[Town]:
    """Everything up and the demo shop filled; at the end nothing is left.

    Sets this process's environment and Django up: the shop's modules may be imported
    from here on, not before.
    """
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="kameng-faults-"))
        if not os.environ.get("FAULTS_KEEP"):
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)  # PostgreSQL may have to run as another user
        (folder / "orders").mkdir()
        clock.make(folder / "clock")
        sandbox = stack.enter_context(running_sandbox(folder / "sandbox"))
        cluster = postgres.make(folder)
        place = Place("127.0.0.1", free_port())
        environ = environment(folder, place, cluster, sandbox)
        town = Town(
            *(folder, cluster, environ, place, sandbox),
            database=cluster.run(KEEPS_COMMITS),
            broker=start_broker(folder),
        )
        stack.callback(end, town)
        open_shop(town)
        town.step((BEGINS_AT - datetime.now(UTC)).total_seconds())
        town.heal()
        yield town


def end(town: Town) -> None:
    for process in town.running.values():
        kill_group(process)
    kill_group(town.broker)
    postgres.stop(town.database)


def environment(
    folder: Path, place: Place, cluster: postgres.Cluster, sandbox: Sandbox
) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {
        **kept,
        **sandbox.environment,
        "DJANGO_SETTINGS_MODULE": "tests.faults.settings",
        "KAMENG_ENV": "development",
        "DATABASE_URL": cluster.url,
        "REDIS_URL": f"unix://{embedded.valkey_socket(folder / 'valkey')}",
        "PUBLIC_URL": place.url,
        "SECRET_KEY": "of no value at all " * 4,
        "DATA_KEYS": "of no value at all " * 4,
        "TRUSTED_PROXIES": "127.0.0.0/8",  # shoppers come from many addresses
        "PYTHONPATH": str(ROOT),
        points.FOLDER: str(folder / "orders"),
        clock.VARIABLE: str(folder / "clock"),
        clock.OF_DATABASE: str(folder / "clock"),
    }


def open_shop(town: Town) -> None:
    """Tables, static files, plans to buy, and limits that no test comes near."""
    os.environ.pop("PYTEST_VERSION", None)  # else the settings are those of a test
    os.environ.update(town.environ)
    import django

    django.setup()
    from django.core.management import call_command

    from goods import demo as zone
    from goods.models import Goods
    from members.demo import fill
    from members.models import Member, ShopRules

    call_command("migrate", interactive=False, verbosity=0)
    subprocess.run(
        [sys.executable, "manage.py", "collectstatic", "--no-input", "-v0"],
        cwd=ROOT,
        env=town.environ,
        check=True,
    )
    fill()
    zone.fill(now=town.now())
    keys = [f"TOWN-{number}" for number in range(5_000)]
    zone.stock(Goods.objects.get(slug="video-month"), keys, now=town.now())
    Member.objects.create(username="operator", is_staff=True)
    ShopRules.objects.update(codes_per_hour=10**6, codes_per_day=10**6)


def free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
