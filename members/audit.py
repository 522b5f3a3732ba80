"""Proof that every stored timeline is what its facts fold to (INV-8)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.db.models import Exists, OuterRef, Prefetch, Q

from members.models import Entitlement, Member, Pause, Segment
from members.stacking import Bought, Line, Stretch, lay_out, seconds_used

PAGE = 500


def misfolded() -> Iterator[int]:
    """The members whose segments or ``paid_until`` differ from the fold, a page at a
    time."""
    held = Exists(Entitlement.objects.filter(member=OuterRef("pk")))
    members = (
        Member.objects.filter(
            held | Q(timeline_at__isnull=False) | Q(paid_until__isnull=False)
        )
        .order_by("pk")
        .prefetch_related(
            "entitlements__segments",
            "segments",
            Prefetch("pauses", Pause.objects.filter(ends_at__isnull=True)),
        )
    )
    after = 0
    while page := list(members.filter(pk__gt=after)[:PAGE]):
        yield from (member.pk for member in page if not is_folded(member))
        after = page[-1].pk


def is_folded(member: Member) -> bool:
    """Whether the future part was laid out by the rules at ``timeline_at``, and no
    entitlement ever ran longer than it was bought for.

    An account that was merged holds only what ran in it; that counts as used where its
    entitlements are now (I12). Reads entitlements, segments and open pauses as the
    caller has fetched them.
    """
    held = member.entitlements.all()
    bought = [
        Bought(each.pk, each.rank, each.seconds - each.revoked_seconds) for each in held
    ]
    stored = _stretches(member.segments.all())
    history = [ran for each in held for ran in _stretches(each.segments.all())]
    at = member.timeline_at
    if at is None:
        return not bought and not stored and member.paid_until is None
    if member.merged_into_id is not None:
        return not bought and all(each.ends_at <= at for each in stored)
    paused = any(each.ends_at is None for each in member.pauses.all())
    line = Line((), None) if paused else lay_out(bought, history, at=at)
    ahead = tuple(
        Stretch(each.entitlement, max(each.starts_at, at), each.ends_at)
        for each in sorted(stored, key=lambda each: each.starts_at)
        if each.ends_at > at
    )
    used = seconds_used(history, until=at)
    return (
        line == Line(ahead, member.paid_until)
        and {each.entitlement for each in stored} <= {each.id for each in bought}
        and all(used.get(each.id, 0) <= each.seconds for each in bought)
    )


def _stretches(segments: Iterable[Segment]) -> list[Stretch]:
    return [
        Stretch(each.entitlement_id, each.starts_at, each.ends_at) for each in segments
    ]
