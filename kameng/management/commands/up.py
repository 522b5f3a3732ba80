"""``manage.py up``: the whole shop on one machine, under one supervisor."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection, connections

from kameng import embedded, env, ports, programs
from kameng.programs import Place
from kameng.supervisor import AlreadyRunning, GaveUp, Supervisor

VALKEY_DIR = settings.VAR / "valkey"
SANDBOX_DIR = settings.VAR / "sandbox"
READY_SECONDS = 60
COLLECT_STATIC = (
    *(sys.executable, "manage.py", "collectstatic"),
    *("--no-input", "--verbosity", "0", "--skip-checks"),
)


class Command(BaseCommand):
    help = (
        "Start the shop: web server, worker, beat and, unless REDIS_URL names one, a "
        "broker; outside production also the sandbox, and the demo shop in an empty "
        "database. HOST and PORT say where. Ctrl-C stops everything."
    )
    # Development saves the time; bin/ci checks the same code.
    requires_system_checks = "__all__" if settings.PRODUCTION else []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--no-demo", action="store_true", help="leave an empty database empty"
        )

    def handle(self, *args: object, no_demo: bool, **options: object) -> None:
        host = env.text("HOST") or "127.0.0.1"
        count = 1 if settings.PRODUCTION else 2
        try:
            port = ports.choose_port(host, env.text("PORT"), count=count)
            place = Place(host, port, env.text("PUBLIC_URL").rstrip("/"))
            with Supervisor(settings.VAR / "run", sys.stdout) as supervisor:
                launch(supervisor, place, with_demo=not no_demo)
                supervisor.watch()
        except KeyboardInterrupt:
            return
        except AlreadyRunning:
            raise CommandError("The shop already runs from this folder.") from None
        except (ports.PortTaken, embedded.ValkeyMissing, GaveUp) as error:
            raise CommandError(str(error)) from None


def launch(supervisor: Supervisor, place: Place, *, with_demo: bool) -> None:
    """Start everything, each part after those that it needs."""
    supervisor.say("preparing the database and the static files")
    defaults = {"PUBLIC_URL": place.url}
    if not embedded.is_named("REDIS_URL"):
        defaults["REDIS_URL"] = start_broker(supervisor)
    if settings.PRODUCTION:
        prepare()
    else:
        defaults |= embedded.development_secrets(settings.VAR)
        defaults |= prepare_beside(
            programs.sandbox_settings_command(place, SANDBOX_DIR)
        )
        embedded.remember(settings.VAR, defaults)
        supervisor.start(programs.sandbox(place, SANDBOX_DIR))
    environ = embedded.under_the_environment(defaults)

    supervisor.start(programs.worker(environ))  # loads while the demo shop is filled
    logins = ""
    if with_demo and not settings.PRODUCTION and is_shop_empty():
        logins = fill_demo_shop(supervisor, environ)
    supervisor.start(programs.web(place, environ))
    supervisor.start(programs.beat(environ))
    threading.Thread(
        target=announce, args=(supervisor, place, logins), daemon=True
    ).start()


def start_broker(supervisor: Supervisor) -> str:
    """Start the private Valkey; return its URL once it answers."""
    supervisor.start(programs.broker(VALKEY_DIR))
    path = embedded.valkey_socket(VALKEY_DIR)
    try:
        embedded.wait_for_socket(path)
    except TimeoutError:
        raise CommandError(
            f"Valkey does not start, see {VALKEY_DIR / 'log'}."
        ) from None
    return f"unix://{path}"


def prepare() -> None:
    """Bring the tables and the static files up to date, both at once."""
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        raise CommandError(f"DATABASE_URL: {error}") from error
    with beside(COLLECT_STATIC):
        call_command("migrate", interactive=False, verbosity=0)
    connections.close_all()


def prepare_beside(command: Sequence[str]) -> dict[str, str]:
    """Prepare while a command runs that prints settings as JSON; return those."""
    with beside(command) as run:
        prepare()
        answer, _ = run.communicate()
    found: dict[str, str] = json.loads(answer)
    return found


@contextmanager
def beside(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command meanwhile; raise CommandError when it failed."""
    with subprocess.Popen(
        command, cwd=settings.BASE_DIR, stdout=subprocess.PIPE
    ) as run:
        yield run
    if run.returncode:
        raise CommandError(f"{' '.join(command)} ended with exit {run.returncode}.")


def is_shop_empty() -> bool:
    empty = not get_user_model()._default_manager.exists()
    connections.close_all()
    return empty


def fill_demo_shop(supervisor: Supervisor, environ: Mapping[str, str]) -> str:
    """Make the demo shop; return what its command says, with the passwords."""
    supervisor.say("filling the demo shop")
    done = subprocess.run(
        [sys.executable, "manage.py", "demo", "--skip-checks"],
        cwd=settings.BASE_DIR,
        env=dict(environ),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise CommandError(f"manage.py demo ended with exit {done.returncode}.")
    return done.stdout


def announce(supervisor: Supervisor, place: Place, logins: str) -> None:
    """Say where everything is, once the shop answers."""
    if not wait_until_healthy(place):
        supervisor.say(f"/healthz did not answer within {READY_SECONDS} s")
        return
    supervisor.say(f"ready at {place.url}")
    lines = [
        ("Shop", f"{place.url}/"),
        ("Console", f"{place.url}/{settings.CONSOLE_PATH}"),
    ]
    if not settings.PRODUCTION:
        lines += [
            ("Wallets", f"{place.sandbox_url}/"),
            ("SMS inbox", f"{place.sandbox_url}/sms/"),
        ]
    for name, value in lines:
        supervisor.say(f"  {name:<10} {value}")
    for line in logins.splitlines():
        supervisor.say(f"  {line}")
    supervisor.say("Ctrl-C stops everything.")


def wait_until_healthy(place: Place) -> bool:
    """Ask ``/healthz`` until it answers 200, by the name under which it is public."""
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        caller = http.client.HTTPConnection(place.own_host, place.port, timeout=5)
        try:
            caller.request(
                "GET", "/healthz", headers={"Host": urlsplit(place.url).netloc}
            )
            if caller.getresponse().status == http.client.OK:
                return True
        except (OSError, http.client.HTTPException):
            pass
        finally:
            caller.close()
        time.sleep(0.05)
    return False
