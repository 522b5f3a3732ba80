"""The second factor of staff: a passkey after the password (security 66).

Required in production, and everywhere for an account that has one. It is enrolled by a
link that only somebody with a shell on the server can make, so a stolen password alone
neither opens the console nor adds a key.
"""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.core import signing
from django.http import HttpRequest

from members.models import Member

SIGN_IN, ENROL = "staff-passkey", "staff-enrol"
"""Aims of challenges."""
PENDING = "staff_pending"
"""Session key: whose password was right a moment ago."""
PENDING_SECONDS = 300
LINK_SECONDS = 900
_SALT = "members.staff_key"


def is_required(member: Member) -> bool:
    return settings.PRODUCTION or member.passkeys.exists()


def wait_for(request: HttpRequest, member: Member, *, now: datetime) -> None:
    """Remember that the password was right; nobody is signed in by that."""
    request.session[PENDING] = {"pk": member.pk, "at": now.timestamp()}


def waiting(request: HttpRequest, *, now: datetime) -> Member | None:
    """Whose key is waited for in this browser."""
    kept = request.session.get(PENDING)
    if kept is None or not 0 <= now.timestamp() - kept["at"] <= PENDING_SECONDS:
        return None
    return Member.objects.filter(pk=kept["pk"], is_staff=True, is_active=True).first()


def link_token(member: Member) -> str:
    """Good for fifteen minutes and for one key: it names how many there are already."""
    return signing.dumps([member.pk, member.passkeys.count()], salt=_SALT)


def whose_link(token: str) -> Member | None:
    try:
        pk, keys = signing.loads(token, salt=_SALT, max_age=LINK_SECONDS)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    found = Member.objects.filter(pk=pk, is_staff=True, is_active=True).first()
    return found if found is not None and found.passkeys.count() == keys else None
