"""Card keys at rest: sealed under ``DATA_KEYS``, known again by a keyed digest.

The first of ``DATA_KEYS`` seals, every one of them opens. After a change of keys
``manage.py reseal_keys`` brings all rows under the new one; until it has run, a digest
may have been made under any of them, so a look-up takes ``digests``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class CannotOpen(Exception):
    """None of ``DATA_KEYS`` opens it: a key was taken away too early."""


def seal(secret: str) -> str:
    return _box(tuple(settings.DATA_KEYS)).encrypt(secret.encode()).decode()


def unseal(sealed: str) -> str:
    """raises  CannotOpen"""
    try:
        return _box(tuple(settings.DATA_KEYS)).decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise CannotOpen from None


def digest(secret: str) -> str:
    """How a key is known again under the first of ``DATA_KEYS``."""
    return _digest(settings.DATA_KEYS[0], secret)


def digests(secret: str) -> list[str]:
    """The same under each of them."""
    return [_digest(key, secret) for key in settings.DATA_KEYS]


def _digest(key: str, secret: str) -> str:
    # Other words than those of the sealing key: what is compared must not be what opens.
    message = b"kameng.goods.digest\0" + secret.encode()
    return hmac.digest(key.encode(), message, hashlib.sha256).hex()


@lru_cache(maxsize=8)
def _box(keys: tuple[str, ...]) -> MultiFernet:
    derived = (
        hmac.digest(key.encode(), b"kameng.goods.seal", hashlib.sha256) for key in keys
    )
    return MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in derived])
