"""After an activation: the popup, and three tasks until they are put away.

A task ticks itself off by what she has done: a passkey or a browser that reminds her is
there or not. Only a look at a page is written down, by the POST that leads there, for
reading changes nothing (security 57). Put away, the tasks stay in the account, folded,
until all three are done.

Only a browser knows whether it can make passkeys, so the page holds a look at her
membership in the passkey's place, and the script swaps them where it can. Either ticks off
the one place: three are shown and counted in every browser, with script or without.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef
from django.urls import reverse

from members import reminders
from members.models import Member, Passkey
from notifications import choices, push
from notifications.messages import Channel
from notifications.models import PushSubscription

FRESH = timedelta(hours=1)
ZONE = "zone"
MEMBERSHIP = "membership"
TASKS = (
    (ZONE, "zone"),
    ("passkey", "account-passkeys"),
    ("reminder", "account-notifications"),
)


def is_fresh(paid_at: datetime | None, *, now: datetime) -> bool:
    """Whether the popup belongs on the page; the browser shows it once an order."""
    return paid_at is not None and now - paid_at < FRESH


def saw(member: Member, page: str) -> None:
    """Write down that she went to ``ZONE`` or ``MEMBERSHIP``."""
    if page not in member.guide_done:
        member.guide_done = [*member.guide_done, page]
        member.save(update_fields=["guide_done"])


def dismiss(member: Member, *, now: datetime) -> None:
    member.guide_dismissed_at = now
    member.save(update_fields=["guide_dismissed_at"])


def of(member: Member, *, folded: bool = False) -> dict[str, Any] | None:
    """The tasks of a new member; None once she put them away.

    folded  show them all the same, folded, while one is not done: her account does
    """
    is_away = member.guide_dismissed_at is not None
    if is_away and not folded:
        return None
    done = _done(member)
    if is_away and len(done) == len(TASKS):
        return None
    tasks = [
        {"code": done.get(code, code), "url": reverse(url), "done": code in done}
        for code, url in TASKS
    ]
    return {"tasks": tasks, "done": len(done), "folded": is_away}


def _done(member: Member) -> dict[str, str]:
    """The tasks that are done, each with what she did."""
    mine = OuterRef("pk")
    found = Member.objects.filter(pk=member.pk).values_list(
        Exists(Passkey.objects.filter(member=mine)),
        Exists(PushSubscription.objects.filter(member=mine)),
    )
    has_passkey, has_browser = found.get()
    done = {ZONE: ZONE} if ZONE in member.guide_done else {}
    if has_passkey:
        done["passkey"] = "passkey"
    elif MEMBERSHIP in member.guide_done:
        done["passkey"] = MEMBERSHIP
    if has_browser or _is_reminded_by_sms(member):
        done["reminder"] = "reminder"
    return done


def _is_reminded_by_sms(member: Member) -> bool:
    """In a shop without web push it is all that she could switch on."""
    if push.is_on() or member.phone is None:
        return False
    return not choices.is_off(member.pk, reminders.KIND, Channel.SMS)
