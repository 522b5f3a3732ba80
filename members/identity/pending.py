"""Whom a provider has recognised, until she says yes to binding.

Kept in her session, and sealed there: a session is a row that may outlive the question by
months, and an openid stands in her identity's own columns alone (security 25, 74).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import asdict
from datetime import datetime
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.http import HttpRequest

from members.identity import journey
from members.identity.contract import Person
from members.models import Provider

_SESSION_KEY = "identity_to_bind"


def keep(request: HttpRequest, person: Person, *, now: datetime) -> None:
    told = json.dumps({"at": now.timestamp(), "person": asdict(person)})
    request.session[_SESSION_KEY] = _box().encrypt(told.encode()).decode()


def kept(request: HttpRequest, *, now: datetime) -> Person | None:
    """Whom this browser has brought, within ten minutes; None also after ``DATA_KEYS``
    have changed."""
    try:
        told = json.loads(_box().decrypt(str(request.session.get(_SESSION_KEY))))
    except InvalidToken:
        return None
    if not 0 <= now.timestamp() - told["at"] <= journey.SECONDS:
        return None
    values = told["person"]
    return Person(**{**values, "provider": Provider(values["provider"])})


def forget(request: HttpRequest) -> None:
    request.session.pop(_SESSION_KEY, None)


def _box() -> Fernet:
    return _box_of(settings.DATA_KEYS[0])


@lru_cache(maxsize=2)
def _box_of(key: str) -> Fernet:
    derived = hmac.digest(key.encode(), b"kameng.members.pending", hashlib.sha256)
    return Fernet(base64.urlsafe_b64encode(derived))
