"""Keyed digests: what has to be recognised again but not read."""

from __future__ import annotations

import hashlib
import hmac

from django.conf import settings


def digest(label: str, *parts: str) -> str:
    """HMAC-SHA256 in hex under the first of ``DATA_KEYS``.

    label  what the digest is for: equal parts under two labels give two digests
    """
    return _digest(settings.DATA_KEYS[0], label, *parts)


def digests(label: str, *parts: str) -> list[str]:
    """The same under each of ``DATA_KEYS``, today's first: finds what an earlier key
    has marked.
    """
    return [_digest(key, label, *parts) for key in settings.DATA_KEYS]


def _digest(key: str, label: str, *parts: str) -> str:
    message = "\0".join((label, *parts)).encode()
    return hmac.new(key.encode(), message, hashlib.sha256).hexdigest()
