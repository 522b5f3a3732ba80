"""The member's time as a picture on ``/account/``: bars, and words that say the same."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from members import timeline
from members.drawing import AHEAD_AT_MOST, WIDTH, Drawing, Lane, Look, State, draw
from members.models import Member, Plan, Tier
from orders.models import Order
from payments.merging import merge
from tests.members.database_line import DatabaseLine
from tests.members.gifts import make, redeem
from tests.members.worked_examples import moment

START = moment("2026-11-22 10:00")
DAY = timedelta(days=1)


def drawn(line: DatabaseLine, at: datetime) -> Drawing:
    found = draw(Member.objects.get(pk=line.member.pk), now=at)
    assert found is not None
    return found


def looks(lane: Lane) -> list[Look]:
    return [bar.look for bar in lane.bars]


@pytest.fixture
def w13(line: DatabaseLine, plans: dict[str, Plan]) -> DatabaseLine:
    """30 days of S, then 7 of G ten days later: S is broken in two."""
    line.buy("S30", plans["S30"], at=START)
    line.buy("G7", plans["G7"], at=START + 10 * DAY)
    return line


def test_each_purchase_has_a_lane_with_its_order(w13: DatabaseLine) -> None:
    """D3, W13: what runs, what waits, and from which order it came."""
    picture = drawn(w13, START + 12 * DAY)
    s, g = picture.lanes
    assert (s.state, s.tier_name, s.order_no) == (
        State.WAITING,
        "S",
        w13.bought["S30"].order.no,
    )
    assert [(span.starts_at, span.ends_at) for span in s.spans] == [
        (START, START + 10 * DAY),
        (START + 17 * DAY, START + 37 * DAY),
    ]
    assert (g.state, looks(g)) == (State.RUNNING, [Look.RAN, Look.LEFT])
    assert looks(s) == [Look.RAN, Look.LEFT]
    assert (picture.starts_at, picture.ends_at) == (START, START + 37 * DAY)


def test_the_bars_lie_on_one_scale(w13: DatabaseLine) -> None:
    picture = drawn(w13, START + 12 * DAY)
    s, g = picture.lanes
    assert picture.now_x == 12 * WIDTH // 37
    assert [(bar.x, bar.width) for bar in s.bars] == [
        (0, 10 * WIDTH // 37),
        (17 * WIDTH // 37, WIDTH - 17 * WIDTH // 37),
    ]
    assert g.bars[0].x == s.bars[0].width
    assert g.bars[0].x + g.bars[0].width == picture.now_x == g.bars[1].x


def test_a_short_stretch_beside_a_long_one_is_still_seen(
    line: DatabaseLine, tiers: dict[str, Tier], plans: dict[str, Plan]
) -> None:
    """And stays inside the picture."""
    line.grant("years", tiers["G"], 86_400 * 3_000, at=START)
    line.buy("S1", plans["S1"], at=START)
    last = drawn(line, START).lanes[-1].bars[-1]
    assert last.width > 3
    assert last.x + last.width <= WIDTH


def test_the_instant_of_the_end_is_the_end(
    line: DatabaseLine, plans: dict[str, Plan]
) -> None:
    """D8"""
    line.buy("S1", plans["S1"], at=START)
    before, after = (
        drawn(line, START + DAY + timedelta(seconds=n)).lanes[0] for n in (-1, 0)
    )
    assert (before.state, after.state) == (State.RUNNING, State.ENDED)
    assert looks(after) == [Look.RAN]


def test_a_pause_is_a_lane_and_what_it_holds_has_no_date(w13: DatabaseLine) -> None:
    """W13, D19: nothing lies ahead while the clock stands; what is left is told."""
    timeline.pause(w13.member.pk, now=START + 12 * DAY)
    picture = drawn(w13, START + 14 * DAY)
    s, g, pause = picture.lanes
    assert [lane.state for lane in (s, g, pause)] == [
        State.HELD,
        State.HELD,
        State.PAUSE,
    ]
    assert (g.held_seconds, s.held_seconds) == (5 * 86_400, 20 * 86_400)
    assert looks(g) == [Look.RAN, Look.HELD]
    assert all(span.ends_at <= START + 12 * DAY for span in g.spans if span.ends_at)
    assert pause.spans[0].ends_at is None
    timeline.resume(w13.member.pk, now=START + 14 * DAY)
    again = drawn(w13, START + 15 * DAY)
    assert [lane.state for lane in again.lanes] == [
        State.WAITING,
        State.RUNNING,
        State.PAUSE,
    ]
    assert again.lanes[2].spans[0].ends_at == START + 14 * DAY


def test_what_was_bought_in_a_pause_waits_in_it(
    line: DatabaseLine, plans: dict[str, Plan]
) -> None:
    """D20"""
    line.buy("S7", plans["S7"], at=START)
    timeline.pause(line.member.pk, now=START + DAY)
    line.buy("S1", plans["S1"], at=START + 2 * DAY)
    bought = drawn(line, START + 2 * DAY).lanes[-1]
    assert (bought.state, bought.spans, bought.held_seconds) == (
        State.HELD,
        [],
        86_400,
    )


def test_what_is_long_over_is_not_drawn(
    line: DatabaseLine, plans: dict[str, Plan]
) -> None:
    line.buy("S1", plans["S1"], at=START)
    assert len(drawn(line, START + 30 * DAY).lanes) == 1
    assert draw(Member.objects.get(pk=line.member.pk), now=START + 31 * DAY) is None


def test_a_long_queue_is_counted_not_drawn(
    line: DatabaseLine, plans: dict[str, Plan]
) -> None:
    for number in range(AHEAD_AT_MOST + 3):
        line.buy(f"S1-{number}", plans["S1"], at=START)
    picture = drawn(line, START)
    assert (len(picture.lanes), picture.more) == (AHEAD_AT_MOST, 3)


def test_time_of_a_merged_account_keeps_its_past(
    w13: DatabaseLine, operator: Member
) -> None:
    """I12: what ran in the other account is drawn in the one that has it now."""
    other = Member.objects.create_user("+8613900139001")
    merge(
        w13.member.pk,
        into_id=other.pk,
        actor=operator,
        reason="同一人",
        now=START + 12 * DAY,
    )
    picture = draw(Member.objects.get(pk=other.pk), now=START + 12 * DAY)
    assert picture is not None
    assert picture.starts_at == START
    assert picture.ends_at == START + 37 * DAY


def test_someone_without_time_has_no_picture(member: Member) -> None:
    assert draw(member, now=START) is None


def test_the_page_says_in_words_what_the_bars_show(
    w13: DatabaseLine, client: Client, django_assert_max_num_queries
) -> None:
    """Every bar has its dates in Shanghai beside it, and a link to its order."""
    w13.grant("gift", w13.bought["G7"].tier, 86_400, at=START + 11 * DAY)
    with time_machine.travel(START + 12 * DAY):
        client.force_login(w13.member)
        with django_assert_max_num_queries(17):
            page = client.get(reverse("account")).content.decode()
    for words in ("11 月 22 日 10:00", "12 月 9 日 10:00", "使用中", "客服赠送"):
        assert words in page
    order = Order.objects.get(entitlement=w13.bought["S30"])
    assert reverse("order", args=[order.no]) in page
    assert len(re.findall('<svg class="lane"[^>]+aria-hidden', page)) == 3
    assert " style=" not in page


def test_a_gift_code_is_named_as_where_the_time_came_from(
    line: DatabaseLine, tiers: dict[str, Tier], client: Client, operator: Member
) -> None:
    """Neither an order nor a kindness of support."""
    (code,) = make(operator, START, tier=tiers["S"].code).codes
    redeem(line.member, code, START)
    with time_machine.travel(START):
        client.force_login(line.member)
        page = client.get(reverse("account")).text
    assert "来自兑换码" in page
    assert "客服赠送" not in page
