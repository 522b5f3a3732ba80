"""Reading one gateway's settings, so that a bad one is named and never half used."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from django.conf import LazySettings

from payments.gateways import keys


class BadSettings(Exception):
    """Some settings of a gateway are missing or broken; one line for each."""

    def __init__(self, *lines: str) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


def is_any_set(settings: LazySettings, *names: str) -> bool:
    return any(getattr(settings, name) for name in names)


def require(settings: LazySettings, *names: str) -> None:
    """Refuse a gateway that is only half configured, naming all that is missing."""
    missing = [name for name in names if not getattr(settings, name)]
    if missing:
        raise BadSettings(*(f"{name}: is missing" for name in missing))


def key[T](settings: LazySettings, name: str, load: Callable[[str], T]) -> T:
    """The key or certificates in setting ``name``, by a loader of ``keys``."""
    try:
        return load(getattr(settings, name))
    except keys.BadKey as error:
        raise BadSettings(f"{name}: {error}") from None


def origin(settings: LazySettings, name: str) -> str:
    """``scheme://host[:port]`` of the URL in setting ``name``."""
    try:
        parts = urlsplit(getattr(settings, name))
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        parts.port  # noqa: B018 - raises when it is no number
    except ValueError:
        usable = False
    if not usable or parts.username is not None:
        raise BadSettings(f"{name}: is not an http(s) URL")
    return f"{parts.scheme}://{parts.netloc}"
