"""The files a newcomer meets first: scripts, locks, settings, containers."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from kameng.settings import BASE_DIR

SCRIPTS = sorted([*(BASE_DIR / "bin").iterdir(), BASE_DIR / ".ci" / "run"])
LOCKS = sorted(BASE_DIR.glob("requirements*.lock"))
SETTING = re.compile(r"[A-Z][A-Z0-9_]+")


@pytest.mark.parametrize(
    "script", SCRIPTS, ids=lambda path: str(path.relative_to(BASE_DIR))
)
def test_scripts_can_be_executed(script: Path) -> None:
    assert os.access(script, os.X_OK)
    shell = "bash" if script.parent.name == ".ci" else "sh"
    subprocess.run([shell, "-n", script], check=True)


def test_shellcheck_finds_nothing() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck on this machine; bin/lint brings its own")
    found = subprocess.run(
        ["shellcheck", *SCRIPTS], capture_output=True, text=True, check=False
    )
    assert found.stdout == ""


def test_there_is_a_lock_for_running_testing_and_linting() -> None:
    names = ["requirements-lint.lock", "requirements-test.lock", "requirements.lock"]
    assert [lock.name for lock in LOCKS] == names


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_locks_name_no_host_and_hash_everything(lock: Path) -> None:
    """security 87: nothing is installed that was not looked at, byte for byte."""
    text = lock.read_text()
    assert "://" not in text
    for requirement in text.replace("\\\n", "").splitlines():
        assert re.match(r"[a-z0-9.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", requirement)


def test_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((BASE_DIR / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    for name, asked in {
        "requirements.lock": [],
        "requirements-test.lock": groups["test"],
        "requirements-lint.lock": groups["test"] + groups["lint"],
    }.items():
        locked = set(
            re.findall(r"^([a-z0-9.-]+)==", (BASE_DIR / name).read_text(), re.M)
        )
        for requirement in project["project"]["dependencies"] + asked:
            found = re.match(r"[A-Za-z0-9.-]+", requirement)
            assert found
            assert found.group().lower() in locked


def names_read_by(module: Path) -> set[str]:
    """Settings that a module asks the environment for, by its first argument."""
    calls = (
        node
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Call)
    )
    reader = re.compile(r"env\.\w+|_endpoint")
    return {
        str(call.args[0].value)
        for call in calls
        if reader.fullmatch(ast.unparse(call.func))
        and call.args
        and isinstance(call.args[0], ast.Constant)
    }


def test_the_example_environment_documents_every_setting_and_no_other() -> None:
    up = BASE_DIR / "kameng" / "management" / "commands" / "up.py"
    read = names_read_by(BASE_DIR / "kameng" / "settings.py") | names_read_by(up)
    lines = (BASE_DIR / ".env.example").read_text().splitlines()
    documented = [line.partition("=")[0] for line in lines if SETTING.match(line)]
    assert len(documented) == len(set(documented))
    assert set(documented) == read


def test_every_setting_of_the_example_has_a_word_above_it() -> None:
    lines = (BASE_DIR / ".env.example").read_text().splitlines()
    for number, line in enumerate(lines):
        if SETTING.match(line):
            assert lines[number - 1].startswith("#") or SETTING.match(lines[number - 1])


def test_the_compose_file_is_valid() -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema", "--builtin-schema"),
            *("vendor.compose-spec", BASE_DIR / "docker-compose.yml"),
        ],
        check=True,
    )


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    loaded = YAML(typ="safe").load(BASE_DIR / "docker-compose.yml")
    found: dict[str, Any] = loaded["services"]
    return found


def test_the_compose_file_has_the_whole_shop(services: dict[str, Any]) -> None:
    shop = {"postgres", "valkey", "migrate", "web", "notices", "worker", "beat"}
    assert set(services) == shop | {"sandbox"}
    assert services["sandbox"]["profiles"] == ["sandbox"]


def test_a_release_leaves_the_static_files_of_the_one_before(
    services: dict[str, Any],
) -> None:
    """FLT-37: they stand in a volume, filled by the new image before web starts."""
    assert "collectstatic --no-input" in services["migrate"]["command"][-1]
    assert "--clear" not in services["migrate"]["command"][-1]
    assert services["migrate"]["volumes"] == ["static:/shop/var/static"]
    for name in ("web", "notices"):
        assert services[name]["volumes"] == ["static:/shop/var/static:ro"]
        assert services[name]["depends_on"]["migrate"] == {
            "condition": "service_completed_successfully"
        }


def test_foreign_images_are_pinned_to_a_full_version(services: dict[str, Any]) -> None:
    images = [s["image"] for s in services.values() if "build" not in s]
    images += re.findall(r"^FROM (\S+)", (BASE_DIR / "Dockerfile").read_text(), re.M)
    assert len(images) >= 3
    for image in images:
        assert re.search(r":\d+\.\d+(\.\d+)?-", image), image


def test_services_restart_and_say_whether_they_are_well(
    services: dict[str, Any],
) -> None:
    for name in ("postgres", "valkey", "web", "notices", "worker", "beat"):
        assert services[name]["restart"] == "unless-stopped"
    for name in ("postgres", "valkey", "worker", "beat"):
        assert services[name]["healthcheck"]["test"]
    assert "HEALTHCHECK" in (BASE_DIR / "Dockerfile").read_text()


def test_no_container_of_ours_writes_to_its_image_or_gains_rights(
    services: dict[str, Any],
) -> None:
    for service in services.values():
        if "build" in service:
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]
    assert re.search(r"^USER shop$", (BASE_DIR / "Dockerfile").read_text(), re.M)


def test_compose_itself_accepts_the_file() -> None:
    docker = shutil.which("docker")
    if (
        docker is None
        or subprocess.run(
            [docker, "compose", "version"], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("no docker compose on this machine")
    subprocess.run([docker, "compose", "config", "-q"], cwd=BASE_DIR, check=True)
