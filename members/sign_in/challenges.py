"""Challenges of passkeys: made without a row, good for five minutes and used once.

A visitor who only looks at a page leaves no session behind, so the challenge carries its
own time and a keyed digest. It belongs to the browser that it was made for, by the secret
of its CSRF cookie, and to one aim. What was used is remembered while it could be repeated.
"""

from __future__ import annotations

import hmac
import secrets
from datetime import datetime

from django.http import HttpRequest
from django.middleware.csrf import get_token
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

from members import limits
from members.digests import digest
from members.models import Window

SECONDS = 300
_NONCE, _TIME, _MAC = 16, 8, 32


def issue(request: HttpRequest, aim: str, *, now: datetime) -> str:
    """A new challenge in base64url; ``aim`` says what for, and for whom."""
    get_token(request)
    body = secrets.token_bytes(_NONCE) + int(now.timestamp()).to_bytes(_TIME)
    return bytes_to_base64url(body + _mac(request, aim, body))


def spend(request: HttpRequest, aim: str, challenge: str, *, now: datetime) -> bool:
    """Whether it is ours, fresh, for this aim and this browser, and not yet used.

    Spent before anything is verified, so a failed try cannot be repeated.
    """
    try:
        raw = base64url_to_bytes(challenge)
    except ValueError:
        return False
    body, mac = raw[: _NONCE + _TIME], raw[_NONCE + _TIME :]
    if len(raw) != _NONCE + _TIME + _MAC or not hmac.compare_digest(
        mac, _mac(request, aim, body)
    ):
        return False
    age = int(now.timestamp()) - int.from_bytes(body[_NONCE:])
    if not 0 <= age <= SECONDS:
        return False
    once = Window(SECONDS + 1, 1)
    key = limits.key("challenge", bytes_to_base64url(body))
    return limits.take(key, [once], now) is None


def _mac(request: HttpRequest, aim: str, body: bytes) -> bytes:
    browser = str(request.META.get("CSRF_COOKIE", ""))
    return bytes.fromhex(digest("challenge", aim, browser, body.hex()))
