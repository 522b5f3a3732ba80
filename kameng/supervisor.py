"""One parent for the processes of the shop: starts, watches, restarts and stops them.

Every program leads a session of its own, so Ctrl-C reaches the supervisor alone and a
program's whole group can be ended. On Linux the kernel ends the programs of a
supervisor that was killed; elsewhere the next start does, from the roll of processes
kept in ``roll.json``.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import TextIO

STOP_SECONDS = 8.0
"""For all programs together; whoever still runs after it is killed."""
STEADY_SECONDS = 10.0
"""A program that ran this long before it died had started well."""
QUICK_DEATHS = 5
"""So many bad starts in a row, and the supervisor gives up."""
BACK_OFF_SECONDS = (0.2, 0.5, 1.0, 2.0)
COLOURS = (36, 35, 33, 32, 34)

PR_SET_PDEATHSIG = 1


class AlreadyRunning(Exception):
    """Another supervisor holds this folder."""


class GaveUp(Exception):
    """A program died again and again right after its start."""


def signal_on_parents_death(number: int) -> Callable[[], object] | None:
    """What ``preexec_fn`` needs so that a child does not outlive its parent.

    Linux only; None elsewhere. The library is loaded here, before the fork.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    return lambda: libc.prctl(PR_SET_PDEATHSIG, number)


@dataclass(frozen=True)
class Program:
    """A command to keep alive; ``name`` goes in front of each line that it prints."""

    name: str
    command: Sequence[str]
    environ: Mapping[str, str]


class Child:
    """One run of a program, and what came of the runs before it."""

    def __init__(self, program: Program, colour: int) -> None:
        self.program = program
        self.colour = colour
        self.quick_deaths = 0
        self.restart_at: float | None = None
        self.spawn()

    def spawn(self) -> None:
        self._reader, writer = os.pipe()
        self._unfinished = b""
        try:
            self._process = subprocess.Popen(
                self.program.command,
                env={**self.program.environ, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=writer,
                start_new_session=True,
                preexec_fn=signal_on_parents_death(signal.SIGTERM),
            )
        finally:
            os.close(writer)
        os.set_blocking(self._reader, False)
        self.started_at = time.monotonic()
        self.restart_at = None

    def fileno(self) -> int:
        """Where its output is read; -1 once it has closed that."""
        return self._reader

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    @property
    def is_running(self) -> bool:
        return self.exit_code is None

    def read_lines(self) -> list[str] | None:
        """The lines it has finished since the last call; None at the end of output."""
        try:
            data = os.read(self._reader, 1 << 16)
        except BlockingIOError:
            return []
        if data:
            *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        elif self._unfinished:
            lines, self._unfinished = [self._unfinished], b""
        else:
            return None
        return [line.decode("utf-8", "replace").rstrip() for line in lines]

    def close(self) -> None:
        os.close(self._reader)
        self._reader = -1

    def terminate(self) -> None:
        self._process.terminate()

    def kill_group(self) -> None:
        """End the program and whatever it has started in its session."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


class Supervisor:
    """Use as a context manager: leaving it stops everything that it started.

    folder  where the lock and the roll of running processes are kept
    output  where the programs' lines go, each behind its program's name
    """

    def __init__(self, folder: Path, output: TextIO) -> None:
        self._folder = folder
        self._roll = folder / "roll.json"
        self._output = output
        self._is_coloured = output.isatty() and "NO_COLOR" not in os.environ
        self._children: list[Child] = []
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Supervisor:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self._folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise AlreadyRunning from None
        end_survivors(self._roll)
        self._handlers = {
            number: signal.signal(number, _interrupt)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.say("stopping")
            self._stop()
        except KeyboardInterrupt:
            self.say("stopping at once")
        finally:
            for child in self._children:
                self._bury(child)
            self._roll.unlink(missing_ok=True)
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            self._selector.close()
            self._lock.close()

    def say(self, text: str) -> None:
        self._print("shop", 1, text)

    def start(self, program: Program) -> None:
        """Start a program and keep it alive from now on.

        Only from the main thread: on Linux a child ends with the thread it came from.
        """
        child = Child(program, COLOURS[len(self._children) % len(COLOURS)])
        self._children.append(child)
        self._attend(child)

    def watch(self) -> None:
        """Print what the programs say and restart the dead, until interrupted.

        raises  GaveUp when one of them cannot be kept alive
        """
        while True:
            self._pump(timeout=0.25)
            now = time.monotonic()
            for child in self._children:
                if child.restart_at is None and not child.is_running:
                    self._mourn(child, now)
                elif child.restart_at is not None and now >= child.restart_at:
                    child.spawn()
                    self._attend(child)

    def _attend(self, child: Child) -> None:
        self._selector.register(child, selectors.EVENT_READ)
        record_survivors(self._roll, [c.pid for c in self._children if c.is_running])

    def _mourn(self, child: Child, now: float) -> None:
        """Clear away a dead program and set the time of its next start."""
        self._bury(child)
        name, code = child.program.name, child.exit_code
        steady = now - child.started_at >= STEADY_SECONDS
        child.quick_deaths = 0 if steady else child.quick_deaths + 1
        if child.quick_deaths >= QUICK_DEATHS:
            raise GaveUp(
                f"{name} ended {QUICK_DEATHS} times at its start (exit {code})"
            )
        child.restart_at = now + BACK_OFF_SECONDS[max(child.quick_deaths - 1, 0)]
        self.say(f"{name} ended (exit {code}), starting it again")

    def _stop(self) -> None:
        """End the programs, the youngest first, each once the one before is gone."""
        deadline = time.monotonic() + STOP_SECONDS
        for child in reversed(self._children):
            child.terminate()
            while child.is_running and time.monotonic() < deadline:
                self._pump(timeout=0.05)
            if child.is_running:
                self.say(f"{child.program.name} did not stop in time")
            self._bury(child)

    def _bury(self, child: Child) -> None:
        """End what is left of a program's group and print its last words."""
        child.kill_group()
        while child.fileno() >= 0 and self._relay(child):
            pass

    def _pump(self, timeout: float) -> None:
        for key, _ in self._selector.select(timeout):
            if isinstance(key.fileobj, Child):
                self._relay(key.fileobj)

    def _relay(self, child: Child) -> bool:
        """Print what a program has said; False when there is nothing more for now."""
        lines = child.read_lines()
        if lines is None:
            self._selector.unregister(child)
            child.close()
            return False
        for line in lines:
            self._print(child.program.name, child.colour, line)
        return bool(lines)

    def _print(self, name: str, colour: int, text: str) -> None:
        prefix = f"{name:<8}| "
        if self._is_coloured:
            prefix = f"\033[{colour}m{prefix}\033[0m"
        with suppress(BrokenPipeError):
            self._output.write(f"{prefix}{text}\n")
            self._output.flush()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def record_survivors(roll: Path, pids: list[int]) -> None:
    """Write down who runs, for the start after a death without clean-up."""
    roll.write_text(json.dumps({pid: born_at(pid) for pid in pids}))


def end_survivors(roll: Path) -> None:
    """Kill the groups that a supervisor which died without clean-up left running."""
    try:
        born = json.loads(roll.read_text())
    except (FileNotFoundError, ValueError):
        return
    for pid, moment in born.items():
        if moment and moment == born_at(int(pid)):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(int(pid), signal.SIGKILL)
    roll.unlink()


def born_at(pid: int) -> str:
    """When a process started, empty when it is gone: a number may be used again."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        except OSError:
            return ""
    answer = subprocess.run(
        ["/bin/ps", "-o", "lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip()
