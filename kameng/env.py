"""Reading the environment: the only door through which configuration comes in.

Every variable ``NAME`` may also be given as ``NAME_FILE``, the path of a file that
holds the value (Docker and systemd secrets). A value that cannot be used stops the
start with ``ImproperlyConfigured`` naming the variable.
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def text(name: str, default: str = "") -> str:
    """The value of ``NAME``, or the content of the file that ``NAME_FILE`` names.

    An empty ``NAME`` gives way to its file, as both stand in a filled-in .env.example.
    """
    path = os.environ.get(f"{name}_FILE")
    if path and not os.environ.get(name):
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ImproperlyConfigured(
                f"{name}_FILE: cannot read {path!r}: {error}"
            ) from error
    return os.environ.get(name, default).strip()


def choice(name: str, options: tuple[str, ...], default: str) -> str:
    value = text(name) or default
    if value not in options:
        raise ImproperlyConfigured(
            f"{name}: {value!r} is not one of {', '.join(options)}"
        )
    return value


def listing(name: str, default: str = "") -> list[str]:
    """A comma-separated list without empty entries."""
    return [part.strip() for part in text(name, default).split(",") if part.strip()]


def networks(name: str) -> list[Network]:
    try:
        return [ipaddress.ip_network(part, strict=False) for part in listing(name)]
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}") from error


def url(name: str, default: str = "", *, https_only: bool = False) -> str:
    """An absolute http(s) URL without a trailing slash."""
    value = (text(name) or default).rstrip("/")
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        parts.port  # noqa: B018 - raises when it is no number
    except ValueError:
        usable = False
    if not usable:
        raise ImproperlyConfigured(f"{name}: {value!r} is not an http(s) URL")
    if https_only and parts.scheme != "https":
        raise ImproperlyConfigured(f"{name}: {value!r} must be https in production")
    return value


def database(name: str, default_sqlite: Path) -> dict[str, object]:
    """``sqlite:///path`` or ``postgresql://user:password@host:port/name?options``.

    A socket folder goes into the host, percent-encoded, or into ``?host=``.
    """
    value = text(name)
    if not value:
        return _sqlite(str(default_sqlite))
    parts = urlsplit(value)
    if parts.scheme == "sqlite":
        path = unquote(parts.path)[1:] if not parts.netloc else ""
        if not path:
            raise ImproperlyConfigured(
                f"{name}: use sqlite:///relative or ////absolute"
            )
        return _sqlite(path)
    if parts.scheme not in ("postgres", "postgresql"):
        raise ImproperlyConfigured(f"{name}: unknown scheme {parts.scheme!r}")
    try:
        port = parts.port
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}") from error
    options = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "kameng.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", None) or unquote(parts.hostname or ""),
        "PORT": str(port or ""),
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            **options,
            "connect_timeout": 5,
            # FLT-19: a stuck lock answers 503 instead of hanging a web worker.
            "options": "-c lock_timeout=5s -c statement_timeout=20s "
            "-c idle_in_transaction_session_timeout=30s",
        },
    }


def _sqlite(path: str) -> dict[str, object]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": path,
        "CONN_MAX_AGE": None,
        # A file: Django's default, memory shared between threads, knows no time-out.
        "TEST": {"NAME": f"{path}-test"},
        # IMMEDIATE takes the write lock at BEGIN: SQLite ignores SELECT FOR UPDATE.
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }
