"""The days on which a member was in the shop: noted once a day, kept for 90 days.

Guests are not followed; who switched the recommendation off is not noted either. A day
on which she bought counts by its order.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Q

from members.models import AdviceRecord, Member, VisitDay

SHANGHAI = ZoneInfo("Asia/Shanghai")
KEPT_DAYS = 90
RECORDED_DAYS = 180
_MANY = 50_000
_noted: tuple[date, set[int]] | None = None
"""Whom this process has noted today, so that only the first page of a day writes."""


def day_of(at: datetime) -> date:
    return at.astimezone(SHANGHAI).date()


def note(member: Member, *, now: datetime) -> None:
    """Note today for a member who has just signed in: one statement, once a day.

    No page notes anything: reading changes nothing (security 57).
    """
    global _noted
    if not member.wants_advice:
        return
    today = day_of(now)
    if _noted is None or _noted[0] != today or len(_noted[1]) > _MANY:
        _noted = (today, set())
    if member.pk in _noted[1]:
        return
    visit = VisitDay(member=member, day=today)
    VisitDay.objects.bulk_create([visit], ignore_conflicts=True)
    _noted[1].add(member.pk)


def forget_noted() -> None:
    global _noted
    _noted = None


def forget_old(*, now: datetime) -> int:
    """Delete days older than 90 and records older than 180; safe to repeat.

    Also what a page noted at the very moment that she switched the recommendation off.
    """
    oldest = day_of(now) - timedelta(days=KEPT_DAYS)
    off = Q(member__wants_advice=False)
    too_old = Q(at__lt=now - timedelta(days=RECORDED_DAYS))
    AdviceRecord.objects.filter(too_old | off).delete()
    return VisitDay.objects.filter(Q(day__lt=oldest) | off).delete()[0]


@transaction.atomic(durable=True)
def set_advice(member: Member, *, wanted: bool) -> None:
    """Switch the recommendation on or off; off also forgets the days noted so far.

    The member's row is locked first, so two taps end as the later one says.
    """
    locked = Member.objects.select_for_update().get(pk=member.pk)
    locked.wants_advice = member.wants_advice = wanted
    locked.save(update_fields=["wants_advice"])
    if not wanted:
        VisitDay.objects.filter(member=locked).delete()
        AdviceRecord.objects.filter(member=locked).delete()
    if _noted is not None:
        _noted[1].discard(locked.pk)


def move_locked(source: Member, target: Member) -> None:
    """The days of one locked member become another's; none where either wants none."""
    if source.wants_advice and target.wants_advice:
        known = target.visit_days.values("day")
        source.visit_days.exclude(day__in=known).update(member=target)
        source.advice_records.update(member=target)
    source.visit_days.all().delete()
    source.advice_records.all().delete()
