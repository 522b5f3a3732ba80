"""``manage.py up`` where it cannot start: one line says why."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from kameng.settings import BASE_DIR


def run_up(**environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "up"],
        cwd=BASE_DIR,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_port_that_was_asked_for_and_is_taken_is_one_line_and_exit_1() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = run_up(PORT=str(port), HOST="127.0.0.1")
    assert done.returncode == 1
    assert done.stderr == f"CommandError: PORT: {port} is taken on 127.0.0.1.\n"
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("PORT", "eighty", "PORT: 'eighty' is not a port"),
        ("DATABASE_URL", "mysql://here", "DATABASE_URL: unknown scheme 'mysql'"),
        ("PUBLIC_URL", "shop.example", "PUBLIC_URL: 'shop.example' is not an http"),
        ("KAMENG_ENV", "staging", "KAMENG_ENV: 'staging' is not one of"),
    ],
)
def test_a_broken_setting_stops_the_start_and_names_itself(
    name: str, value: str, complaint: str
) -> None:
    done = run_up(**{name: value})
    assert done.returncode == 1
    assert complaint in done.stderr.splitlines()[-1]
