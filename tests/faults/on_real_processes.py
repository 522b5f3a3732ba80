"""Real processes that die: ``bin/test tests/faults/on_real_processes.py``.

Not part of the plain run, since it takes minutes: ``bin/ci`` runs it. ``CRASH_SEEDS``
says how many seeds of kills at random moments (5).
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.faults.scenarios import SCENARIOS
from tests.sandbox_process import ROOT

pytestmark = pytest.mark.crash

SEEDS = int(os.environ.get("CRASH_SEEDS", "5"))


def run(module: str, *arguments: str, seconds: float) -> str:
    """What the program has printed; it is the leader of everything that it starts."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=seconds,
    )
    print(done.stdout)
    return done.stdout


@pytest.fixture(scope="module")
def told() -> dict[str, str]:
    """What each scenario has said, by its name; one town for all of them."""
    parts: dict[str, str] = {}
    name = ""
    for line in run("tests.faults.scenarios", seconds=1_800).splitlines(keepends=True):
        if line.startswith(("ok ", "FAILED ")):
            name = line.split()[1]
        parts[name] = parts.get(name, "") + line
    return parts


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_books_are_in_order_after(told: dict[str, str], name: str) -> None:
    """Each names its cases in ``scenarios.py``."""
    assert told.get(name, "it was not played").startswith("ok "), told.get(name, told)


def test_processes_may_die_at_any_moment() -> None:
    """FLT-10: seeds from 1, always the same."""
    output = run("tests.faults.crash", "--seeds", str(SEEDS), seconds=120 + 60 * SEEDS)
    assert f"{SEEDS} seeds in " in output, output
    assert " 0 failed: []" in output, output
