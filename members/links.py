"""Short signed tokens for the links in our SMS and for wallets coming back.

A token opens a redacted page and nothing else; whoever holds it is not signed in.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator

from django.conf import settings

_DIGITS = "0123456789abcdefghijkmnpqrstuvwxyz"
_MAC_BYTES = 10
_TOKEN = re.compile(r"([a-z])([0-9a-z]{1,13})-([0-9a-z]{16})")

ORDER = "o"
"""The status of one order."""
RENEW = "r"
"""A member's way to renew in two taps."""
STOP_RENEWAL = "s"
"""The page that stops one member's automatic renewal."""


def token(kind: str, pk: int) -> str:
    """E.g. ``o1f-…``: kind, row id in base 34, 80 bits of a keyed digest."""
    return f"{kind}{_base34(pk)}-{_mac(settings.SECRET_KEY, kind, pk)}"


def read(value: str, kind: str) -> int | None:
    """The row id of a token we made for this kind, else None."""
    match = _TOKEN.fullmatch(value)
    if match is None or match[1] != kind:
        return None
    try:
        pk = _number(match[2])
    except ValueError:
        return None
    for key in _keys():
        if hmac.compare_digest(_mac(key, kind, pk), match[3]):
            return pk
    return None


def _keys() -> Iterator[str]:
    yield settings.SECRET_KEY
    yield from settings.SECRET_KEY_FALLBACKS


def _mac(key: str, kind: str, pk: int) -> str:
    digest = hmac.digest(
        key.encode(), f"kameng.link:{kind}:{pk}".encode(), hashlib.sha256
    )
    return _base34(int.from_bytes(digest[:_MAC_BYTES])).rjust(16, "0")[-16:]


def _base34(number: int) -> str:
    letters = []
    while True:
        number, digit = divmod(number, len(_DIGITS))
        letters.append(_DIGITS[digit])
        if not number:
            return "".join(reversed(letters))


def _number(text: str) -> int:
    value = 0
    for letter in text:
        value = value * len(_DIGITS) + _DIGITS.index(letter)
    return value
