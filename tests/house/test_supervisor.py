"""The supervisor, seen from outside: a process of its own with real programs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kameng import supervisor

DRIVER = """
import os, sys
from contextlib import suppress
from pathlib import Path
from kameng import supervisor
supervisor.STOP_SECONDS = 1.0
supervisor.BACK_OFF_SECONDS = (0.05, 0.05, 0.05, 0.05)
with supervisor.Supervisor(Path(sys.argv[1]), sys.stdout) as parent:
    for number, script in enumerate(sys.argv[2:]):
        parent.start(supervisor.Program(f"p{number}", ["sh", "-c", script], os.environ))
    with suppress(KeyboardInterrupt):
        parent.watch()
"""
STEADY = "echo pid=$$; exec sleep 60"
linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="needs the Linux kernel"
)

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def start_driver(*scripts: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(tmp_path), *scripts],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start_driver
    for process in started:
        process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if found := re.search(pattern, line):
            return found.group(found.lastindex or 0)
    raise AssertionError(f"{pattern} not in {lines}")


def is_alive(pid: int) -> bool:
    """Zombies count as dead: whoever adopted them has not looked yet."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return bool(state.strip()) and not state.startswith("Z")


def wait_until_gone(pid: int) -> None:
    end = time.monotonic() + 30
    while is_alive(pid):
        assert time.monotonic() < end, f"process {pid} is still there"
        time.sleep(0.02)


def test_it_restarts_a_killed_program(start: Start) -> None:
    parent = start(STEADY)
    first = int(read_until(parent, r"p0 +\| pid=(\d+)"))
    os.kill(first, signal.SIGKILL)
    read_until(parent, r"p0 ended \(exit -9\), starting it again")
    assert int(read_until(parent, r"pid=(\d+)")) != first


def test_a_restart_leaves_nothing_of_the_dead_programs_group(start: Start) -> None:
    parent = start("sleep 60 & echo helper=$! pid=$$; wait")
    line = read_until(parent, r"helper=\d+ pid=\d+")
    helper, pid = map(int, re.findall(r"\d+", line))
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(helper)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_stops_everything_when_interrupted(start: Start, number: int) -> None:
    parent = start(STEADY, STEADY)
    pids = [int(read_until(parent, r"pid=(\d+)")) for _ in range(2)]
    parent.send_signal(number)
    assert parent.wait(timeout=30) == 0
    for pid in pids:
        assert not is_alive(pid)


def test_ctrl_c_also_reaches_a_supervisor_started_in_the_background(
    tmp_path: Path,
) -> None:
    """A shell starts background jobs with SIGINT ignored."""
    parent = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(tmp_path), STEADY],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    read_until(parent, r"pid=(\d+)")
    parent.send_signal(signal.SIGINT)
    parent.communicate(timeout=30)
    assert parent.returncode == 0


def test_it_stops_the_youngest_first(start: Start) -> None:
    polite = "trap 'echo bye; exit' TERM; echo pid=$$; while :; do sleep 0.05; done"
    parent = start(polite, polite)
    for _ in range(2):
        read_until(parent, r"pid=(\d+)")
    parent.send_signal(signal.SIGINT)
    output, _ = parent.communicate(timeout=30)
    assert re.findall(r"(p\d) +\| bye", output) == ["p1", "p0"]


def test_it_kills_a_program_that_will_not_stop(start: Start) -> None:
    parent = start("trap '' TERM; echo pid=$$; while :; do sleep 0.05; done")
    pid = int(read_until(parent, r"pid=(\d+)"))
    parent.send_signal(signal.SIGINT)
    output, _ = parent.communicate(timeout=30)
    assert "p0 did not stop in time" in output
    assert not is_alive(pid)


@linux_only
def test_a_killed_supervisor_leaves_nothing_behind(start: Start) -> None:
    parent = start(STEADY)
    pid = int(read_until(parent, r"pid=(\d+)"))
    parent.kill()
    wait_until_gone(pid)


def test_it_gives_up_on_a_program_that_cannot_start(start: Start) -> None:
    parent = start("echo try; exit 3")
    output, _ = parent.communicate(timeout=30)
    assert parent.returncode == 1
    assert output.count("| try") == supervisor.QUICK_DEATHS
    assert "GaveUp: p0 ended 5 times at its start (exit 3)" in output


def test_a_second_supervisor_of_the_same_folder_is_refused(start: Start) -> None:
    read_until(start(STEADY), "pid=")
    output, _ = start(STEADY).communicate(timeout=30)
    assert "AlreadyRunning" in output
    assert "pid=" not in output


def test_last_words_without_a_line_end_are_printed(start: Start) -> None:
    assert read_until(start("printf unfinished; exec sleep 0.1"), "unfinished")


def test_the_next_start_ends_what_a_dead_supervisor_left(tmp_path: Path) -> None:
    orphan = subprocess.Popen(["sleep", "60"], start_new_session=True)
    supervisor.record_survivors(tmp_path / "roll.json", [orphan.pid])
    supervisor.end_survivors(tmp_path / "roll.json")
    assert orphan.wait(timeout=30) == -signal.SIGKILL
    assert not (tmp_path / "roll.json").exists()


def test_the_next_start_spares_a_stranger_with_a_used_number(tmp_path: Path) -> None:
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    (tmp_path / "roll.json").write_text(f'{{"{stranger.pid}": "another moment"}}')
    supervisor.end_survivors(tmp_path / "roll.json")
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()
