"""bin/setup on machines whose interpreters are old, broken or missing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kameng.settings import BASE_DIR

TOOLS = ("sh", "dirname", "cat", "cksum", "mkdir", "rm", "cp", "ln", "awk")
BROKEN = "exit 127"
OLD = """case "$2" in
  *"3, 12"*) exit 1 ;;  # what the probe asks of it
esac
exec {python} "$@"
"""
GOOD = 'exec {python} "$@"'
NOTING_PIP = """case "$*" in
  *"import pip"*) echo "$0" ;;
  *" install "*)
    while read -r line; do
      echo "$line" >> installed
      [ "$line" != missing==1 ] || exit 1
    done ;;
  *) exec {python} "$@" ;;
esac"""


class Machine:
    """A checkout of its own, and a PATH on which only the given commands exist."""

    def __init__(self, root: Path) -> None:
        self.root = root / "checkout"
        self.path = root / "path"
        self.venv = self.root / "var" / "venv"
        (self.root / "bin").mkdir(parents=True)
        shutil.copy(BASE_DIR / "bin" / "setup", self.root / "bin")
        (self.root / "empty.lock").write_text("")
        self.path.mkdir()
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found
            (self.path / tool).symlink_to(found)

    def install(self, name: str, script: str) -> None:
        command = self.path / name
        command.write_text(f"#!/bin/sh\n{script.format(python=sys.executable)}\n")
        command.chmod(0o755)

    def install_noting_uv(self, name: str = "uv") -> None:
        """A uv that notes what it is told and only pretends to make the environment."""
        self.install(
            name,
            f'echo "$@" >> {self.root}/calls\n'
            f"mkdir -p {self.venv}/bin; ln -sf {{python}} {self.venv}/bin/python",
        )

    @property
    def uv_calls(self) -> str:
        return (self.root / "calls").read_text()

    def setup(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bin/setup", "empty.lock", "var/venv"],
            cwd=self.root,
            env={"PATH": str(self.path), "HOME": str(self.root)},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_it_passes_over_an_old_python3_and_a_broken_uv(machine: Machine) -> None:
    machine.install("uv", BROKEN)
    machine.install("python3", OLD)
    machine.install("python3.13", BROKEN)
    machine.install("python3.14", GOOD)
    done = machine.setup()
    assert done.returncode == 0, done.stderr
    interpreter = subprocess.check_output(
        ["var/venv/bin/python", "-c", "import sys; print(sys.version_info[:2])"],
        cwd=machine.root,
        text=True,
    )
    assert interpreter == f"{sys.version_info[:2]}\n"


def test_it_does_nothing_the_second_time(machine: Machine) -> None:
    machine.install_noting_uv()
    machine.setup()
    machine.install("uv", BROKEN)
    done = machine.setup()
    assert (done.returncode, done.stderr) == (0, "")


def test_it_starts_again_when_the_lock_has_changed(machine: Machine) -> None:
    machine.install_noting_uv()
    machine.setup()
    (machine.root / "empty.lock").write_text("# another lock\n")
    assert "Installing" in machine.setup().stderr
    assert machine.setup().stderr == ""


def test_it_starts_again_when_the_interpreter_is_gone(machine: Machine) -> None:
    machine.install_noting_uv()
    machine.setup()
    (machine.venv / "bin/python").unlink()
    assert "Installing" in machine.setup().stderr


def test_uv_is_told_the_interpreters_full_path(machine: Machine) -> None:
    machine.install("python3", OLD)
    machine.install("python3.12", GOOD)
    machine.install_noting_uv()
    assert machine.setup().returncode == 0
    asked = f"venv --allow-existing --python {sys.executable} var/venv"
    assert asked in machine.uv_calls
    assert "pip sync --require-hashes" in machine.uv_calls


def test_an_old_python_alone_brings_uv_which_brings_a_newer_one(
    machine: Machine,
) -> None:
    """The old interpreter's ``-m venv`` and ``-m pip`` only put the noting uv there."""
    machine.install_noting_uv("noting-uv")
    machine.install(
        "python3",
        'case "$2" in *"3, 12"*) exit 1 ;; *"3, 8"*) echo "$0"; exit ;; esac\n'
        'case "$2" in venv) mkdir -p var/tools/bin; cp "$0" var/tools/bin/python ;;\n'
        f"pip) cp {machine.path}/noting-uv var/tools/bin/uv ;; esac",
    )
    done = machine.setup()
    assert done.returncode == 0, done.stderr
    assert "venv --allow-existing --python 3.13 var/venv" in machine.uv_calls


def test_without_any_usable_python_it_names_one_command(machine: Machine) -> None:
    machine.install("python3", BROKEN)
    machine.install("apt-get", BROKEN)
    done = machine.setup()
    assert done.returncode == 69
    assert done.stderr.endswith("Type: sudo apt-get install -y python3-venv\n")
    assert not (machine.venv / "lock.cksum").exists()


def test_a_failed_installation_is_tried_again(machine: Machine) -> None:
    machine.install("uv", 'case "$*" in *sync*) exit 1 ;; esac')
    assert machine.setup().returncode == 1
    machine.install_noting_uv()
    assert "Installing" in machine.setup().stderr


def test_two_pips_together_are_given_each_package_once(machine: Machine) -> None:
    machine.install("python3", NOTING_PIP)
    lock = ["a==1 \\", "    --hash=sha256:1", "b==1", "c==1"]
    (machine.root / "empty.lock").write_text("\n".join(lock) + "\n")
    done = machine.setup()
    assert done.returncode == 0, done.stderr
    installed = (machine.root / "installed").read_text().splitlines()
    packages = [line[0] for line in installed if line[1:2] == "="]
    assert sorted(packages) == ["a", "b", "c"]


@pytest.mark.parametrize("lock", ["missing==1\nb==1\n", "a==1\nmissing==1\n"])
def test_it_notices_which_of_the_two_pips_fails(lock: str, machine: Machine) -> None:
    machine.install("python3", NOTING_PIP)
    (machine.root / "empty.lock").write_text(lock)
    assert machine.setup().returncode != 0
    assert not (machine.venv / "lock.cksum").exists()
