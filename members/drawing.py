"""A member's time as a picture: one lane for each purchase, on one common scale.

The words beside a lane say the same as its bars, so the picture may be left out. Moments
become numbers of a drawing here; nothing is decided.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from django.db.models import Q

from members.models import Entitlement, EntitlementSource, Member, Pause, Segment
from members.stacking import Bought, lay_out
from members.tiers import catalogue
from members.timeline import time_left

BEHIND = timedelta(days=30)
"""What ended longer ago is told by the orders alone."""
ENDED_AT_MOST, AHEAD_AT_MOST = 6, 12
"""So many lanes; the rest is told in a sentence."""
WIDTH = 1000
THINNEST = 6
"""A day beside a year is still to be seen."""


class State(StrEnum):
    RUNNING = "running"
    WAITING = "waiting"
    HELD = "held"  # the clock stands still; it goes on after the pause
    ENDED = "ended"
    PAUSE = "pause"


class Look(StrEnum):
    RAN = "ran"
    LEFT = "left"
    HELD = "held"  # where it would lie if the pause ended now
    PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class Span:
    """``ends_at`` is None while a pause is open."""

    starts_at: datetime
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class Bar:
    look: Look
    x: int
    width: int


@dataclass(slots=True)
class Lane:
    """One purchase or gift with all stretches in which it runs, or one pause.

    held_seconds  what goes on after the pause; no moment can be named for it
    is_gift       it came with a gift code; with neither that nor an order, from support
    """

    state: State
    spans: list[Span]
    tier_name: str = ""
    order_no: str = ""
    order_title: str = ""
    is_gift: bool = False
    held_seconds: int = 0
    pieces: list[tuple[Look, datetime, datetime]] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Drawing:
    """``more`` counts the lanes that lie further ahead and are not drawn."""

    lanes: list[Lane]
    starts_at: datetime
    ends_at: datetime
    now_x: int
    more: int


def draw(member: Member, *, now: datetime) -> Drawing | None:
    """What lies ahead and the last thirty days; None where there is nothing to draw."""
    if member.timeline_at is None:
        return None
    since = now - BEHIND
    pauses = list(
        member.pauses.filter(Q(ends_at=None) | Q(ends_at__gt=since)).order_by("pk")
    )
    lanes = _bought(member, since, now)
    if any(pause.ends_at is None for pause in pauses):
        _hold(member, lanes, now)
    drawn, more = _chosen(lanes.values(), now)
    drawn += [_pause(pause, now) for pause in pauses[-ENDED_AT_MOST:]]
    if not drawn:
        return None
    drawn.sort(key=lambda lane: lane.pieces[0][1])
    return _on_scale(drawn, more, now)


def _bought(member: Member, since: datetime, now: datetime) -> dict[int, Lane]:
    """The lane of each entitlement that runs after ``since``, also in an account that
    was merged into hers; neighbours of one entitlement are joined."""
    found = Segment.objects.filter(entitlement__member=member, ends_at__gt=since)
    lanes: dict[int, Lane] = {}
    for segment in found.select_related(
        "entitlement__tier", "entitlement__order"
    ).order_by("starts_at"):
        lane = lanes.setdefault(segment.entitlement_id, _lane(segment.entitlement))
        begins, ends = segment.starts_at, segment.ends_at
        if lane.spans and lane.spans[-1].ends_at == begins:
            begins = lane.spans.pop().starts_at
        lane.spans.append(Span(begins, ends))
    for lane in lanes.values():
        lane.state = _state(lane.spans, now)
        lane.pieces = [piece for span in lane.spans for piece in _cut(span, now)]
    return lanes


def _lane(entitlement: Entitlement) -> Lane:
    order = entitlement.order
    return Lane(
        State.WAITING,
        [],
        tier_name=catalogue.tier_name(entitlement.tier),
        order_no=order.no if order else "",
        order_title=order.title if order else "",
        is_gift=entitlement.source == EntitlementSource.GIFT,
    )


def _state(spans: list[Span], now: datetime) -> State:
    ends = [span.ends_at for span in spans if span.ends_at and span.ends_at > now]
    if not ends:
        return State.ENDED
    runs = any(s.starts_at <= now < s.ends_at for s in spans if s.ends_at)
    return State.RUNNING if runs else State.WAITING


def _cut(span: Span, now: datetime) -> list[tuple[Look, datetime, datetime]]:
    """What has run and what is left of one stretch."""
    assert span.ends_at is not None
    if span.ends_at <= now:
        return [(Look.RAN, span.starts_at, span.ends_at)]
    if span.starts_at >= now:
        return [(Look.LEFT, span.starts_at, span.ends_at)]
    return [(Look.RAN, span.starts_at, now), (Look.LEFT, now, span.ends_at)]


def _hold(member: Member, lanes: dict[int, Lane], now: datetime) -> None:
    """While the clock stands still nothing lies ahead; show what would go on now."""
    left = {
        pk: seconds for pk, seconds in time_left(member, now=now).items() if seconds
    }
    waiting = member.entitlements.filter(pk__in=left).select_related("tier", "order")
    rows = {entitlement.pk: entitlement for entitlement in waiting}
    bought = [Bought(pk, row.rank, left[pk]) for pk, row in rows.items()]
    for stretch in lay_out(bought, [], at=now).stretches:
        lane = lanes.setdefault(stretch.entitlement, _lane(rows[stretch.entitlement]))
        lane.state = State.HELD
        lane.held_seconds = left[stretch.entitlement]
        lane.pieces.append((Look.HELD, stretch.starts_at, stretch.ends_at))


def _chosen(lanes: Iterable[Lane], now: datetime) -> tuple[list[Lane], int]:
    """The newest that ended and the first that come; how many more come."""
    in_order = sorted(lanes, key=lambda lane: lane.pieces[-1][2])
    ended = [lane for lane in in_order if lane.state is State.ENDED]
    ahead = [lane for lane in in_order if lane.state is not State.ENDED]
    drawn = ended[-ENDED_AT_MOST:] + ahead[:AHEAD_AT_MOST]
    return drawn, max(0, len(ahead) - AHEAD_AT_MOST)


def _pause(pause: Pause, now: datetime) -> Lane:
    until = pause.ends_at or max(now, pause.starts_at)
    return Lane(
        State.PAUSE,
        [Span(pause.starts_at, pause.ends_at)],
        pieces=[(Look.PAUSE, pause.starts_at, until)],
    )


def _on_scale(lanes: list[Lane], more: int, now: datetime) -> Drawing:
    pieces = [piece for lane in lanes for piece in lane.pieces]
    starts_at = min([now, *(begins for _, begins, _ in pieces)])
    ends_at = max([now, *(ends for _, _, ends in pieces)])
    whole = max(timedelta(seconds=1), ends_at - starts_at)

    def x(at: datetime) -> int:
        return (at - starts_at) * WIDTH // whole

    for lane in lanes:
        for look, begins, ends in lane.pieces:
            width = max(THINNEST, x(ends) - x(begins))
            lane.bars.append(Bar(look, min(x(begins), WIDTH - width), width))
    return Drawing(lanes, starts_at, ends_at, x(now), more)
