"""Staff sign in with a name and a password; wrong ones lock with growing delay."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import (
    check_password_with_timing_attack_mitigation,
    user_logged_in,
)
from django.contrib.auth.backends import ModelBackend
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from members import limits
from members.addresses import client_of
from members.models import HitLog, Member, Window

logger = logging.getLogger(__name__)

FREE_FAILURES = 5
"""The fifth wrong password locks for a minute, each further one twice as long …"""
LONGEST = timedelta(hours=1)
"""… up to an hour (security 66)."""
SESSION_SECONDS = 12 * 3_600

NAME = Window(86_400, 64)
ADDRESS = Window(3_600, 64)
"""How long a failure of a name or of an address is remembered."""


class StaffBackend(ModelBackend):
    """Signs staff in by password, and loads everybody who has a session.

    A shopper's session is made by ``members.sign_in.signin``; she has no password.
    """

    @sensitive_variables("password")
    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> Member | None:
        """The staff account, or None: wrong, closed and locked look the same.

        Takes the same time for names that exist and names that do not.
        """
        if not username or password is None:
            return None
        now = moment_of(request)
        tried = _keys(request, username)
        if not _take_try(tried, now=now):
            return None
        member = Member.objects.filter(username=username).first()
        if (
            check_password_with_timing_attack_mitigation(member, password)
            and member is not None
            and member.is_staff
            and self.user_can_authenticate(member)
        ):
            _forgive(tried, now=now)
            return member
        return None

    @sensitive_variables("password")
    async def aauthenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> Member | None:
        return await sync_to_async(self.authenticate)(request, username, password)


def locked_until(
    request: HttpRequest | None, username: str, *, now: datetime
) -> datetime | None:
    """When this name may be tried again from here, whether it exists or not."""
    tried = _keys(request, username)
    return _unlocked_at(tried, limits.peek(tried), now=now)


def moment_of(request: HttpRequest | None) -> datetime:
    """The request's one ``now``; a call from a shell has none."""
    return getattr(request, "now", None) or timezone.now()


def _keys(request: HttpRequest | None, username: str) -> dict[str, Window]:
    keys = {limits.key("staff-name", username): NAME}
    if request is not None:
        address = client_of(request).address
        keys[limits.key("staff-address", address)] = ADDRESS
    return keys


@transaction.atomic(durable=True)
def _take_try(tried: dict[str, Window], *, now: datetime) -> bool:
    """Count a failure before the slow look at the password, so that of many parallel
    tries only the free ones are judged; False while locked, when nothing counts."""
    logs = limits.hold(tried, now=now)
    if _unlocked_at(tried, logs, now=now) is not None:
        logger.warning("console log-in refused: locked")
        return False
    for key, window in tried.items():
        logs[key].add(window, now=now)
        if logs[key].count(window, now=now) == FREE_FAILURES:
            logger.error("console log-in locked: %s", key[:24])
    limits.save(logs.values())
    return True


@transaction.atomic(durable=True)
def _forgive(tried: dict[str, Window], *, now: datetime) -> None:
    """The password was right: the name starts afresh, the address gets its try back.

    The address keeps its other failures, or one account of one's own would buy
    guesses at all the others.
    """
    logs = limits.hold(tried, now=now)
    for key, window in tried.items():
        if window is NAME:
            logs[key].clear()
        else:
            logs[key].take_back(window, now=now)
    limits.save(logs.values())


def _unlocked_at(
    tried: dict[str, Window], logs: dict[str, HitLog], *, now: datetime
) -> datetime | None:
    ends = []
    for key, window in tried.items():
        failures = logs[key].count(window, now=now)
        last = logs[key].last_hit_at(window, now=now)
        if last is not None and failures >= FREE_FAILURES:
            doublings = min(failures - FREE_FAILURES, 6)
            ends.append(last + min(LONGEST, timedelta(minutes=2**doublings)))
    end = max(ends, default=now)
    return end if end > now else None


@receiver(user_logged_in, dispatch_uid="members.staff.shorten_session")
def _shorten_session(request: HttpRequest, user: Member, **_: Any) -> None:
    if user.is_staff:
        request.session.set_expiry(SESSION_SECONDS)
