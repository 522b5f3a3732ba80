"""Who holds a verified name, and what it takes to lose it.

A name is held by an account as a result without a name (``members.models.RealName``).
Everything here runs under the member's lock.
"""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.utils.translation import gettext as _

from members.models import Member, RealName, Verifier
from members.timeline import lock_member

SHANGHAI = ZoneInfo("Asia/Shanghai")


class State(StrEnum):
    NONE = "none"
    MINOR = "minor"
    ADULT = "adult"


class NothingToDo(Exception):
    """Somebody was faster: the account is as it was to become."""


def today(now: datetime) -> date:
    """The date on which ages are counted."""
    return now.astimezone(SHANGHAI).date()


def of(member: Member) -> RealName | None:
    return RealName.objects.filter(member=member).first()


def state_of(held: RealName | None, *, now: datetime) -> State:
    """A minor becomes an adult by the calendar alone."""
    if held is None:
        return State.NONE
    return State.MINOR if held.is_minor(today=today(now)) else State.ADULT


def withdraw(member_id: int) -> None:
    """She takes her consent back: the result goes, what she bought stays."""
    with transaction.atomic(durable=True):
        member = lock_member(member_id)
        RealName.objects.filter(member=member).delete()


def take_back(member_id: int, *, actor: Member, reason: str) -> None:
    """A person of the shop ends it, with a line in the log.

    raises  NothingToDo
    """
    with transaction.atomic(durable=True):
        member = lock_member(member_id)
        if not RealName.objects.filter(member=member).delete()[0]:
            raise NothingToDo
        _log(member, _("收回实名认证：{reason}").format(reason=reason), actor)


def confirm_by_hand(
    member_id: int, *, actor: Member, reason: str, now: datetime
) -> None:
    """A person of the shop has seen that she is who she says, and of age.

    The way for whoever the library does not know; no number is asked for or kept.

    raises  NothingToDo
    """
    with transaction.atomic(durable=True):
        member = lock_member(member_id)
        held = of(member)
        if not member.is_active or state_of(held, now=now) is State.ADULT:
            raise NothingToDo
        RealName.objects.filter(member=member).delete()
        RealName.objects.create(member=member, verified_at=now, provider=Verifier.HAND)
        _log(member, _("人工确认实名：{reason}").format(reason=reason), actor)


def merge_locked(source: Member, target: Member) -> None:
    """The better standing of two locked accounts goes on in the target.

    Of age is better than a minor, and whoever comes of age first; of two equal ones the
    target keeps her own. Where the source's goes along it keeps its slot.
    """
    hers, kept = of(source), of(target)
    if hers is None:
        return
    if kept is not None and _rank(kept) <= _rank(hers):
        hers.delete()
        return
    if kept is not None:
        kept.delete()
    hers.member = target
    hers.save(update_fields=["member"])


def _rank(held: RealName) -> date:
    return held.adult_on or date.min


def _log(member: Member, words: str, actor: Member) -> None:
    LogEntry.objects.create(
        user=actor,
        content_type=ContentType.objects.get_for_model(Member),
        object_id=str(member.pk),
        object_repr=str(member),
        action_flag=CHANGE,
        change_message=words,
    )
