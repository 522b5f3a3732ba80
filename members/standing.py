"""Where a member stands at one moment: which tier runs, until when, what waits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from members.models import Member, Plan, Segment, Tier
from members.stacking import Bought, lay_out, whole_second


@dataclass(frozen=True, slots=True)
class Standing:
    """The running and coming segments, in order; empty for someone without time."""

    at: datetime
    segments: tuple[Segment, ...] = ()
    paused: bool = False

    @property
    def running(self) -> Segment | None:
        if self.segments and self.segments[0].starts_at <= self.at:
            return self.segments[0]
        return None

    @property
    def tier(self) -> Tier | None:
        return self.running.entitlement.tier if self.running else None

    @property
    def tier_ends_at(self) -> datetime | None:
        """When the running tier gives way to another one or to none."""
        end = None
        for segment in self.segments:
            if self.tier is None or segment.entitlement.tier_id != self.tier.pk:
                break
            end = segment.ends_at
        return end

    @property
    def paid_until(self) -> datetime | None:
        return self.segments[-1].ends_at if self.segments else None

    @property
    def discount_bp(self) -> int:
        """The better of what was bought and what the tier gives now (R17), 10000 = none."""
        if self.running is None:
            return 10_000
        entitlement = self.running.entitlement
        return min(entitlement.discount_bp, entitlement.tier.discount_bp)


def standing(member: Member, *, at: datetime) -> Standing:
    """At most one query, bounded by what still lies ahead.

    While paused nothing runs and ``paid_until`` is null, so only a member who once had
    time costs a look for an open pause.
    """
    if member.paid_until is None:
        paused = member.timeline_at is not None and (
            member.pauses.filter(ends_at__isnull=True).exists()
        )
        return Standing(at, paused=paused)
    if member.paid_until <= at:
        return Standing(at)
    ahead = Segment.objects.filter(member=member, ends_at__gt=at).select_related(
        "entitlement__tier"
    )
    return Standing(at, tuple(ahead.order_by("starts_at")))


@dataclass(frozen=True, slots=True)
class Preview:
    """What buying would do, exactly as the settlement at this moment would lay it out.

    starts_at   when the bought time begins to run
    ends_at     when the bought time is used up
    paid_until  the new end of the whole membership
    merged_seconds  remaining time that is added to it, 0 for none
    waits       True when other time runs first
    """

    starts_at: datetime
    ends_at: datetime
    paid_until: datetime
    merged_seconds: int
    waits: bool


def preview(now_standing: Standing, plan: Plan, *, quantity: int = 1) -> Preview | None:
    """The printed end time before paying; uses the arithmetic of the settlement.

    None while the clock is paused: what is bought then starts with the rest (D20).
    """
    if now_standing.paused:
        return None
    at = whole_second(now_standing.at)
    ahead: dict[int, Bought] = {}
    for segment in now_standing.segments:
        begins = max(segment.starts_at, at)
        seconds = int((segment.ends_at - begins).total_seconds())
        known = ahead.get(segment.entitlement_id)
        ahead[segment.entitlement_id] = Bought(
            segment.entitlement_id,
            segment.entitlement.rank,
            seconds + (known.seconds if known else 0),
        )
    bought_id = max(ahead, default=0) + 1
    new = Bought(bought_id, plan.tier.rank, plan.seconds * quantity)
    line = lay_out([*ahead.values(), new], [], at=at)
    mine = next(s for s in line.stretches if s.entitlement == bought_id)
    assert line.paid_until is not None
    merged = sum(each.seconds for each in ahead.values())
    return Preview(
        starts_at=mine.starts_at,
        ends_at=mine.ends_at,
        paid_until=line.paid_until,
        merged_seconds=merged,
        waits=mine.starts_at > at,
    )
