"""Gives the tests a private PostgreSQL and Valkey; loaded by ``-p tests.plug``.

Both start before Django reads its settings, so the whole session and every process it
starts finds them in the environment. ``DATABASE_URL`` and ``REDIS_URL`` win when set.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import pytest

from kameng import embedded
from kameng.supervisor import signal_on_parents_death
from tests import postgres

BROKER = "tests_private_broker"
DATABASE = "tests_private_database"


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config,
) -> Generator[None, object, object]:
    """A wrapper, so that it runs before pytest-django loads the settings."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        services = ExitStack()
        early_config.add_cleanup(services.close)
        start_services(services)
    return (yield)


def start_services(services: ExitStack) -> None:
    """Start what the environment does not name; closing the stack ends and removes it."""
    wanted = [
        name for name in ("DATABASE_URL", "REDIS_URL") if not embedded.is_named(name)
    ]
    if not wanted:
        return
    folder = Path(tempfile.mkdtemp(prefix="kameng-"))
    services.callback(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)  # PostgreSQL may have to run as another user
    if "DATABASE_URL" in wanted:
        name_in_environment(services, "DATABASE_URL", postgres.start(folder, services))
    if "REDIS_URL" in wanted:
        name_in_environment(services, "REDIS_URL", start_valkey(folder, services))


def name_in_environment(services: ExitStack, name: str, url: str) -> None:
    os.environ[name] = url
    services.callback(os.environ.pop, name, None)


def start_valkey(folder: Path, services: ExitStack) -> str:
    home = folder / "valkey"
    server = subprocess.Popen(
        embedded.valkey_command(home, durable=False),
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=signal_on_parents_death(signal.SIGTERM),
    )
    services.callback(server.wait)
    services.callback(server.kill)
    socket = embedded.valkey_socket(home)
    embedded.wait_for_socket(socket)
    return f"unix://{socket}"


def pytest_report_header() -> list[str]:
    return [
        f"{name}: {os.environ.get(name, '')}" for name in ("DATABASE_URL", "REDIS_URL")
    ]
