"""A member's timeline in the database: what was bought, what runs when.

``rebuild`` is the only code that writes segments, ``paid_until`` and ``timeline_at``.
Functions that take a ``member`` row expect it locked (``lock_member``); the public
operations (``grant``, ``pause``, ``resume``) open their own transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q

from members.models import (
    Entitlement,
    EntitlementSource,
    GiftCode,
    Member,
    Pause,
    Segment,
    Tier,
)
from members.stacking import Bought, Line, Stretch, lay_out, seconds_left, whole_second

LONGEST = timedelta(days=365 * 100)
"""A timeline never reaches further; the operation that would is refused."""


class TimelineFull(Exception):
    """The membership would end more than a hundred years from now (security 49)."""


class Merged(Exception):
    """The account is over; its time runs in another one (I12)."""


def lock_member(member_id: int) -> Member:
    """Take the member's row lock; second in the order order → member → card keys."""
    return Member.objects.select_for_update(of=("self",)).get(pk=member_id)


def lock_members(*member_ids: int) -> list[Member]:
    """Lock several, always in the order of their ids (R5); answered as asked for."""
    locked = {member_id: lock_member(member_id) for member_id in sorted(member_ids)}
    return [locked[member_id] for member_id in member_ids]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the database holds about one member's time.

    ``history`` is all that her entitlements ran, also in an account that was merged
    into hers; ``segments`` are her own.
    """

    bought: list[Bought]
    history: list[Stretch]
    segments: dict[tuple[int, datetime], Segment]


def _facts(member: Member) -> Facts:
    rows = member.entitlements.order_by("id").values_list(
        "id", "rank", "seconds", "revoked_seconds"
    )
    bought = [
        Bought(pk, rank, seconds - revoked) for pk, rank, seconds, revoked in rows
    ]
    ids = {each.id for each in bought}
    ran = Segment.objects.filter(Q(member=member) | Q(entitlement__in=ids))
    segments = list(ran.order_by("starts_at"))
    return Facts(
        bought,
        [
            Stretch(s.entitlement_id, s.starts_at, s.ends_at)
            for s in segments
            if s.entitlement_id in ids
        ],
        {
            (s.entitlement_id, s.starts_at): s
            for s in segments
            if s.member_id == member.pk
        },
    )


def rebuild(member: Member, *, now: datetime) -> None:
    """Lay out the member's future anew from now; history before now never changes.

    member  locked by the caller; ``paid_until``, ``timeline_at``, ``version`` are saved
    raises  TimelineFull, also while paused: what cannot be resumed is not taken;
            Merged
    """
    if member.merged_into_id is not None:
        raise Merged
    at = _laid_out_from(member, now)
    facts = _facts(member)
    _check_room(facts, at=at)
    _lay_out(member, facts, paused=_is_paused(member), at=at)


def _laid_out_from(member: Member, now: datetime) -> datetime:
    """Now, unless the clock was set back: a line is never laid out into its past."""
    at = whole_second(now)
    return at if member.timeline_at is None else max(at, member.timeline_at)


def _is_paused(member: Member) -> bool:
    return member.pauses.filter(ends_at__isnull=True).exists()


def _check_room(facts: Facts, *, at: datetime, more: int = 0) -> None:
    left = seconds_left(facts.bought, facts.history, at=at)
    if sum(left.values()) + more > LONGEST.total_seconds():
        raise TimelineFull


def _lay_out(member: Member, facts: Facts, *, paused: bool, at: datetime) -> None:
    line = Line((), None) if paused else lay_out(facts.bought, facts.history, at=at)
    _write(member, facts, line, at=at)
    member.paid_until = line.paid_until
    member.timeline_at = at
    member.version += 1
    member.save(update_fields=["paid_until", "timeline_at", "version"])


def _write(member: Member, facts: Facts, line: Line, *, at: datetime) -> None:
    """Replace the future part; touch only rows that differ.

    The segment that runs at ``at`` is kept whole when its entitlement goes on, else
    clipped. Ends move before new rows come, so that no two rows ever share an end.
    """
    running = next(
        (s for s in facts.segments.values() if s.starts_at < at < s.ends_at), None
    )
    planned = list(line.stretches)
    running_end = at
    if running and planned and planned[0].entitlement == running.entitlement_id:
        running_end = planned.pop(0).ends_at
    keep = {(p.entitlement, p.starts_at, p.ends_at) for p in planned}
    stale = [
        s.pk
        for s in facts.segments.values()
        if s.starts_at >= at and (s.entitlement_id, s.starts_at, s.ends_at) not in keep
    ]
    present = {
        (s.entitlement_id, s.starts_at, s.ends_at) for s in facts.segments.values()
    }
    if stale:
        Segment.objects.filter(pk__in=stale).delete()
    if running and running.ends_at != running_end:
        running.ends_at = running_end
        running.save(update_fields=["ends_at"])
    fresh = [
        Segment(
            member=member,
            entitlement_id=p.entitlement,
            starts_at=p.starts_at,
            ends_at=p.ends_at,
        )
        for p in planned
        if (p.entitlement, p.starts_at, p.ends_at) not in present
    ]
    if fresh:
        Segment.objects.bulk_create(fresh)


def time_left(member: Member, *, now: datetime) -> dict[int, int]:
    """Seconds left of each entitlement of a locked member."""
    facts = _facts(member)
    return seconds_left(facts.bought, facts.history, at=_laid_out_from(member, now))


def activate(
    member: Member,
    *,
    order_id: int,
    tier_id: int,
    rank: int,
    discount_bp: int,
    seconds: int,
    now: datetime,
) -> Entitlement:
    """Give a locked member the time that an order paid for, and lay it out.

    The order's unique entitlement (K16) makes a second activation impossible.

    raises  TimelineFull, Merged; nothing is written then
    """
    return _give(
        member,
        Entitlement(
            tier_id=tier_id,
            rank=rank,
            discount_bp=discount_bp,
            seconds=seconds,
            source=EntitlementSource.ORDER,
            order_id=order_id,
        ),
        now=now,
    )


def _give(member: Member, given: Entitlement, *, now: datetime) -> Entitlement:
    """Write new time of a locked member and lay it out, if it fits.

    A line that was never laid out holds nothing yet, neither time nor a pause; and an
    end says that no pause is open, for a pause leaves none. So neither is looked for.
    """
    if member.merged_into_id is not None:
        raise Merged
    at = _laid_out_from(member, now)
    is_first = member.timeline_at is None
    facts = Facts([], [], {}) if is_first else _facts(member)
    has_no_pause = is_first or member.paid_until is not None
    paused = not has_no_pause and _is_paused(member)
    _check_room(facts, at=at, more=given.seconds)
    given.member, given.created_at = member, now
    given.save(force_insert=True)
    facts.bought.append(Bought(given.pk, given.rank, given.seconds))
    _lay_out(member, facts, paused=paused, at=at)
    return given


@transaction.atomic(durable=True)
def grant(
    member_id: int,
    *,
    tier: Tier,
    seconds: int,
    actor: Member,
    reason: str,
    now: datetime,
) -> Entitlement:
    """Give time without an order; the operator and her reason are kept (D18)."""
    if seconds <= 0:
        raise ValueError("seconds must be positive")
    if seconds > LONGEST.total_seconds():
        raise TimelineFull  # before a number that no column holds
    member = lock_member(member_id)
    given = Entitlement(
        tier=tier,
        rank=tier.rank,
        discount_bp=tier.discount_bp,
        seconds=seconds,
        source=EntitlementSource.GRANT,
        actor=actor,
        reason=reason,
    )
    return _give(member, given, now=now)


def grant_gift(member: Member, code: GiftCode, *, now: datetime) -> Entitlement:
    """Give a locked member the days of a gift code, and lay them out.

    The code's unique entitlement makes a second gift of it impossible.
    """
    tier = code.batch.tier
    given = Entitlement(
        tier=tier,
        rank=tier.rank,
        discount_bp=tier.discount_bp,
        seconds=code.batch.seconds,
        source=EntitlementSource.GIFT,
        gift_code=code,
    )
    return _give(member, given, now=now)


def revoke(
    member: Member, entitlement: Entitlement, seconds: int, *, now: datetime
) -> int:
    """Take unused seconds back from a locked member; returns how many were taken.

    Never more than is left, so the history stays true.
    """
    entitlement.refresh_from_db(fields=["revoked_seconds"])
    taken = min(max(0, seconds), time_left(member, now=now).get(entitlement.pk, 0))
    if taken:
        entitlement.revoked_seconds += taken
        entitlement.save(update_fields=["revoked_seconds"])
        rebuild(member, now=now)
    return taken


def restore(
    member: Member, entitlement: Entitlement, seconds: int, *, now: datetime
) -> None:
    """Return revoked seconds to a locked member, from now on (R20)."""
    entitlement.refresh_from_db(fields=["revoked_seconds"])
    entitlement.revoked_seconds -= seconds
    entitlement.save(update_fields=["revoked_seconds"])
    rebuild(member, now=now)


@transaction.atomic(durable=True)
def pause(
    member_id: int, *, now: datetime, actor: Member | None = None, reason: str = ""
) -> bool:
    """Stop the member's clock; False when it stands already (D21)."""
    member = lock_member(member_id)
    if member.pauses.filter(ends_at__isnull=True).exists():
        return False
    Pause.objects.create(
        member=member, starts_at=whole_second(now), actor=actor, reason=reason
    )
    rebuild(member, now=now)
    return True


@transaction.atomic(durable=True)
def resume(member_id: int, *, now: datetime) -> bool:
    """Let the clock run again; False when no pause is open."""
    member = lock_member(member_id)
    opened = member.pauses.filter(ends_at__isnull=True).first()
    if opened is None:
        return False
    opened.ends_at = max(whole_second(now), opened.starts_at)
    opened.save(update_fields=["ends_at"])
    rebuild(member, now=now)
    return True
