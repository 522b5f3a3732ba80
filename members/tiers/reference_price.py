"""What a struck-through price rests on: the lowest price asked before a promotion.

Pure: the price history comes in as values, the answer is fen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

WINDOW = timedelta(days=7)
"""The days before a promotion whose lowest price is the only honest comparison
(the rule on reference prices; ux-brief part 1)."""


@dataclass(frozen=True, slots=True)
class Change:
    """One line of a plan's price history; ``""`` is no value."""

    at: datetime
    field: str
    old: str
    new: str


type History = dict[str, list[Change]]


def lowest_offered(
    changes: Iterable[Change], *, since: datetime, until: datetime
) -> int | None:
    """The lowest price in fen at which a plan was on sale in [since, until).

    None when the history does not show that it was on sale there at all.

    changes  fields ``price_fen``, ``promo_price_fen``, ``promo_starts_at``,
             ``promo_ends_at``, ``enabled`` and ``tier_enabled``, oldest first
    """
    history: History = {}
    moments = {since}
    for change in changes:
        history.setdefault(change.field, []).append(change)
        moments.add(change.at)
        if change.field in ("promo_starts_at", "promo_ends_at") and change.new:
            moments.add(datetime.fromisoformat(change.new))
    asked = (_asked(history, at) for at in moments if since <= at < until)
    return min((price for price in asked if price is not None), default=None)


def _asked(history: History, at: datetime) -> int | None:
    """The price at one moment, None when it was not on sale or is not known."""
    price = _value(history, "price_fen", at)
    if not price or "off" in (
        _value(history, "enabled", at),
        _value(history, "tier_enabled", at),
    ):
        return None
    promotion = _value(history, "promo_price_fen", at)
    starts_at = _value(history, "promo_starts_at", at)
    ends_at = _value(history, "promo_ends_at", at)
    if (
        promotion
        and starts_at
        and ends_at
        and datetime.fromisoformat(starts_at) <= at < datetime.fromisoformat(ends_at)
    ):
        return int(promotion)
    return int(price)


def _value(history: History, field: str, at: datetime) -> str:
    """What the field held: after its last change, or before its first one."""
    value: str | None = None
    for change in history.get(field, ()):
        if change.at > at:
            return change.old if value is None else value
        value = change.new
    return value or ""
