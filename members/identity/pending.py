"""Whom a provider has recognised, until she says yes to binding.

Kept in her session, and sealed there: an openid stands in her identity's own columns alone
(security 25, 74).
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from django.http import HttpRequest

from members import sealed
from members.identity.contract import Person
from members.models import Provider

_SESSION_KEY = "identity_to_bind"


def keep(request: HttpRequest, person: Person, *, now: datetime) -> None:
    sealed.keep(request, _SESSION_KEY, asdict(person), now=now)


def kept(request: HttpRequest, *, now: datetime) -> Person | None:
    """Whom this browser has brought, within ten minutes."""
    values = sealed.kept(request, _SESSION_KEY, now=now)
    if values is None:
        return None
    return Person(**{**values, "provider": Provider(values["provider"])})


def forget(request: HttpRequest) -> None:
    sealed.forget(request, _SESSION_KEY)
