"""What a session keeps for ten minutes, and sealed: a session is a row that may outlive its
use by months (security 25, 74)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import datetime
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.http import HttpRequest

SECONDS = 600


def keep(request: HttpRequest, key: str, told: Any, *, now: datetime) -> None:
    content = json.dumps({"at": now.timestamp(), "told": told})
    request.session[key] = _box().encrypt(content.encode()).decode()


def kept(request: HttpRequest, key: str, *, now: datetime) -> Any:
    """What this browser has brought, within ten minutes; None also after ``DATA_KEYS``
    have changed."""
    try:
        content = json.loads(_box().decrypt(str(request.session.get(key))))
    except InvalidToken:
        return None
    return content["told"] if 0 <= now.timestamp() - content["at"] <= SECONDS else None


def forget(request: HttpRequest, key: str) -> None:
    request.session.pop(key, None)


def _box() -> Fernet:
    return _box_of(settings.DATA_KEYS[0])


@lru_cache(maxsize=2)
def _box_of(key: str) -> Fernet:
    derived = hmac.digest(key.encode(), b"kameng.members.sealed", hashlib.sha256)
    return Fernet(base64.urlsafe_b64encode(derived))
