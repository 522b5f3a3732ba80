"""``bin/run`` as a newcomer meets it: a fresh copy, an empty home, nothing prepared.

Takes a minute and the network, so it runs only where it is named: ``bin/ci`` does.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from kameng.settings import BASE_DIR

READY_SECONDS = 300
STOP_SECONDS = 10


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What a clone would hold, with the changes that are not committed yet."""
    listed = subprocess.check_output(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=BASE_DIR,
        text=True,
    )
    for name in filter(None, listed.split("\0")):
        source = BASE_DIR / name
        if source.is_file():
            target = tmp_path / "copy" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return tmp_path / "copy"


@pytest.fixture
def running(copy: Path, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    home = tmp_path / "home"
    home.mkdir()
    with (tmp_path / "output").open("wb") as output:
        process = subprocess.Popen(
            ["bin/run"],
            cwd=copy,
            env={"HOME": str(home), "PATH": os.environ["PATH"]},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    yield process
    if process.poll() is None:
        process.terminate()
        process.wait(timeout=30)


def wait_until_ready(process: subprocess.Popen[bytes], output: Path) -> str:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and process.poll() is None:
        if found := re.search(r"ready at (\S+)", output.read_text()):
            return found.group(1)
        time.sleep(0.2)
    raise AssertionError(output.read_text())


def processes_in(folder: Path) -> list[str]:
    """Command lines of the processes that work in a folder (Linux)."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve().is_relative_to(folder):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def status_of(url: str) -> int:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own
        return int(answer.status)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_fresh_copy_serves_the_shop_and_leaves_nothing_running(
    running: subprocess.Popen[bytes], copy: Path, tmp_path: Path
) -> None:
    shop = wait_until_ready(running, tmp_path / "output")
    assert status_of(f"{shop}/healthz") == 200
    assert status_of(f"{shop}/") == 200
    assert status_of(f"{shop}/membership/temporary/") == 200
    assert len(processes_in(copy)) >= 5

    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=STOP_SECONDS) == 0, (tmp_path / "output").read_text()
    assert processes_in(copy) == []
