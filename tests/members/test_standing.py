"""Where a member stands, and what a purchase would do: what pages print."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.test import RequestFactory

from members import timeline
from members.context import badge
from members.models import Member, Plan
from members.standing import Standing, preview, standing
from tests.members.database_line import DatabaseLine
from tests.members.worked_examples import moment

START = moment("2026-11-22 10:00")


@pytest.fixture
def held(line: DatabaseLine, plans: dict[str, Plan]) -> DatabaseLine:
    """W13's beginning: 30 days of S, then 7 of G ten days later."""
    line.buy("S30", plans["S30"], at=START)
    line.buy("G7", plans["G7"], at=START + timedelta(days=10))
    return line


def at(line: DatabaseLine, moment: datetime) -> Standing:
    return standing(Member.objects.get(pk=line.member.pk), at=moment)


def test_someone_without_time_stands_nowhere(line: DatabaseLine):
    there = at(line, START)
    assert (there.tier, there.tier_ends_at, there.paid_until) == (None, None, None)
    assert (there.discount_bp, there.paused) == (10_000, False)


def test_it_tells_the_end_of_the_tier_from_the_end_of_the_membership(
    held: DatabaseLine, plans: dict[str, Plan]
):
    there = at(held, START + timedelta(days=11))
    assert there.tier == plans["G7"].tier
    assert there.tier_ends_at == START + timedelta(days=17)
    assert there.paid_until == START + timedelta(days=37)


def test_two_purchases_of_one_tier_end_together(
    line: DatabaseLine, plans: dict[str, Plan]
):
    line.buy("S7", plans["S7"], at=START)
    line.buy("S1", plans["S1"], at=START)
    line.buy("S30", plans["S30"], at=START)
    assert at(line, START).tier_ends_at == START + timedelta(days=38)


def test_a_standing_costs_one_query_however_long_the_history(
    held: DatabaseLine, plans: dict[str, Plan], django_assert_num_queries
):
    for day in range(12, 30):
        held.buy(f"{day}", plans["S1"], at=START + timedelta(days=day))
    member = Member.objects.get(pk=held.member.pk)
    with django_assert_num_queries(1):
        there = standing(member, at=START + timedelta(days=30))
        assert (there.tier, there.discount_bp) == (plans["S1"].tier, 9_500)
    assert all(s.ends_at > there.at for s in there.segments)


def test_a_guest_who_never_bought_costs_no_query(
    line: DatabaseLine, django_assert_num_queries
):
    member = Member.objects.get(pk=line.member.pk)
    with django_assert_num_queries(0):
        standing(member, at=START)


def test_it_previews_a_first_purchase(line: DatabaseLine, plans: dict[str, Plan]):
    seen = preview(at(line, START), plans["G7"])
    assert seen is not None
    assert (seen.starts_at, seen.ends_at) == (START, START + timedelta(days=7))
    assert (seen.paid_until, seen.merged_seconds, seen.waits) == (
        START + timedelta(days=7),
        0,
        False,
    )


def test_it_previews_a_merge_with_what_is_left(
    line: DatabaseLine, plans: dict[str, Plan]
):
    line.buy("S7", plans["S7"], at=START)
    seen = preview(at(line, START + timedelta(days=3)), plans["S30"])
    assert seen is not None
    assert seen.merged_seconds == 4 * 86_400
    assert seen.paid_until == START + timedelta(days=37)
    assert seen.waits


def test_it_previews_that_a_lower_tier_waits(
    held: DatabaseLine, plans: dict[str, Plan]
):
    """D5: sold, and the page prints when it starts."""
    seen = preview(at(held, START + timedelta(days=12)), plans["S1"], quantity=2)
    assert seen is not None
    assert seen.waits
    assert seen.starts_at == START + timedelta(days=37)
    assert seen.ends_at == seen.paid_until == START + timedelta(days=39)


def test_it_previews_that_a_higher_tier_runs_at_once(
    line: DatabaseLine, plans: dict[str, Plan]
):
    line.buy("S30", plans["S30"], at=START)
    seen = preview(at(line, START + timedelta(days=1)), plans["G1"])
    assert seen is not None
    assert not seen.waits
    assert seen.ends_at == START + timedelta(days=2)
    assert seen.paid_until == START + timedelta(days=31)


def test_it_promises_no_end_while_the_clock_stands(
    held: DatabaseLine, plans: dict[str, Plan]
):
    """D20."""
    timeline.pause(held.member.pk, now=START + timedelta(days=12))
    there = at(held, START + timedelta(days=13))
    assert there.paused
    assert preview(there, plans["G7"]) is None


def test_the_badge_tells_the_end_of_what_runs_now(
    held: DatabaseLine, rf: RequestFactory
):
    """Never overstated: time that waits behind a higher tier is not that tier's."""
    request = rf.get("/")
    request.user = Member.objects.get(pk=held.member.pk)
    request.now = START + timedelta(days=11)  # type: ignore[attr-defined]
    shown = badge(request)
    assert shown["ends_at"] == START + timedelta(days=17)
    request = rf.get("/")
    request.user = Member.objects.get(pk=held.member.pk)
    request.now = START + timedelta(days=16, hours=12)  # type: ignore[attr-defined]
    assert not badge(request)["expires_soon"]  # twenty days wait behind it
