"""The struck-through price rests on the lowest price of the seven days before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from members.tiers.reference_price import Change, lowest_offered

START = datetime(2026, 11, 22, tzinfo=UTC)
"""When the promotion begins; the window is the seven days before it."""


def days(number: float) -> datetime:
    return START - timedelta(days=number)


def price(at: datetime, old: str, new: str) -> Change:
    return Change(at, "price_fen", old, new)


def promotion(
    at: datetime, fen: str, starts: datetime | None, ends: datetime | None
) -> list[Change]:
    return [
        Change(at, "promo_price_fen", "", fen),
        Change(at, "promo_starts_at", "", starts.isoformat() if starts else ""),
        Change(at, "promo_ends_at", "", ends.isoformat() if ends else ""),
    ]


def lowest(*changes: Change) -> int | None:
    return lowest_offered(changes, since=days(7), until=START)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([], None),
        ([price(days(30), "", "1500")], 1500),
        ([price(days(7), "", "1500")], 1500),
        ([price(days(0.01), "", "1500")], 1500),
        ([price(START, "", "1500")], None),
        # cheaper inside the window, cheaper only before it, dearer inside it
        ([price(days(30), "", "1500"), price(days(3), "1500", "1800")], 1500),
        ([price(days(30), "", "1200"), price(days(8), "1200", "1500")], 1500),
        ([price(days(30), "", "1800"), price(days(1), "1800", "1500")], 1500),
        # the first known change names what was asked before it
        ([price(days(3), "1200", "1500")], 1200),
        ([price(START, "1200", "1500")], 1200),
    ],
)
def test_the_lowest_price_in_force_counts(
    changes: list[Change], expected: int | None
) -> None:
    assert lowest(*changes) == expected


def test_an_earlier_promotion_inside_the_window_counts() -> None:
    base = price(days(30), "", "1500")
    assert lowest(base, *promotion(days(10), "1200", days(9), days(5))) == 1200
    assert lowest(base, *promotion(days(10), "1200", days(10), days(7))) == 1500
    assert lowest(base, *promotion(days(1), "1200", START, days(-5))) == 1500


def test_a_promotion_taken_back_before_it_began_does_not_count() -> None:
    planned = promotion(days(6), "1200", days(3), days(2))
    cleared = [Change(days(4), change.field, change.new, "") for change in planned]
    assert lowest(price(days(30), "", "1500"), *planned, *cleared) == 1500


def test_what_was_not_on_sale_was_not_offered() -> None:
    base = price(days(30), "", "1500")
    off = Change(days(20), "enabled", "on", "off")
    assert lowest(base, off) is None
    assert lowest(base, off, Change(days(2), "enabled", "off", "on")) == 1500
    assert lowest(base, Change(days(20), "tier_enabled", "on", "off")) is None
