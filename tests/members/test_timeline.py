"""The timeline in the database: worked examples, cases D and E1, random histories."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count, pairwise, permutations

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st

from members import timeline
from members.models import Entitlement, Member, Pause, Plan, Segment, Tier
from members.standing import preview, standing
from members.timeline import TimelineFull
from tests.members.database_line import DatabaseLine
from tests.members.worked_examples import (
    DAY,
    EXAMPLES,
    Buy,
    Example,
    Restore,
    Resume,
    Revoke,
    moment,
)
from tests.members.worked_examples import (
    Pause as PauseStep,
)

BY_NUMBER = {example.number: example for example in EXAMPLES}
ZONES = ("UTC", "America/New_York", "Asia/Shanghai")


def play(example: Example, line: DatabaseLine, tiers: dict[str, Tier]) -> None:
    for step in example.steps:
        at = moment(step.at)
        match step:
            case Buy(name=name, seconds=seconds):
                line.grant(name, tiers[name[0]], seconds, at=at)
            case Revoke(name=name, seconds=seconds):
                assert line.revoke(name, 10 * 365 * DAY, at=at) == seconds
            case Restore(name=name, seconds=seconds):
                line.restore(name, seconds, at=at)
            case PauseStep():
                assert timeline.pause(line.member.pk, now=at)
            case Resume():
                assert timeline.resume(line.member.pk, now=at)


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.number)
def test_it_lays_out_the_worked_examples_wherever_the_server_stands(
    example: Example, zone: str, line: DatabaseLine, tiers: dict[str, Tier], settings
):
    """W1 to W13 and D2 to D9; D11: the server's zone moves no instant."""
    settings.TIME_ZONE = zone
    play(example, line, tiers)
    assert line.named() == example.stretches
    assert line.paid_until == example.paid_until


@pytest.mark.parametrize("zone", ZONES)
def test_the_discount_of_w2_ends_with_gold_to_the_second(
    line: DatabaseLine, tiers: dict[str, Tier], settings, zone: str
):
    """W14, D13 and R17 without any job in between: 85 折, then 95 折, then none."""
    settings.TIME_ZONE = zone
    play(BY_NUMBER["W2"], line, tiers)

    def at(text: str, seconds: float = 0) -> tuple[str | None, int]:
        there = standing(
            line_member(line), at=moment(text) + timedelta(seconds=seconds)
        )
        return there.tier.name if there.tier else None, there.discount_bp

    assert at("2026-06-01 12:00", -1) == ("S", 9_500)
    assert at("2026-06-01 12:00") == ("G", 8_500)
    assert at("2026-06-08 11:59", 59.999) == ("G", 8_500)
    assert at("2026-06-08 12:00") == ("S", 9_500)
    assert at("2027-01-08 00:00", -1) == ("S", 9_500)
    assert at("2027-01-08 00:00") == (None, 10_000)


def line_member(line: DatabaseLine) -> Member:
    return Member.objects.get(pk=line.member.pk)


def test_the_first_purchase_runs_from_its_instant(
    line: DatabaseLine, plans: dict[str, Plan]
):
    """D1: half-open, one day is 86,400 s."""
    bought = line.buy("first", plans["S1"], at=moment("2026-11-22 10:00"))
    assert line.rows() == [
        (bought.pk, moment("2026-11-22 10:00"), moment("2026-11-23 10:00"))
    ]
    member = line_member(line)
    assert (member.paid_until, member.timeline_at, member.version) == (
        moment("2026-11-23 10:00"),
        moment("2026-11-22 10:00"),
        1,
    )


def test_at_the_instant_of_the_end_nobody_is_a_member(
    line: DatabaseLine, plans: dict[str, Plan]
):
    """D8 and E1, without any job."""
    end = moment("2026-11-23 10:00")
    line.buy("day", plans["S1"], at=end - timedelta(days=1))
    member = line_member(line)
    assert member.is_member(at=end - timedelta(microseconds=1))
    assert standing(member, at=end - timedelta(microseconds=1)).tier == plans["S1"].tier
    assert not member.is_member(at=end)
    assert standing(member, at=end).tier is None


def test_the_gap_between_two_memberships_stays_empty(
    line: DatabaseLine, tiers: dict[str, Tier]
):
    """D9: no back-dating, and no discount in the gap."""
    play(BY_NUMBER["W11"], line, tiers)
    gap = standing(line_member(line), at=moment("2026-11-24 10:00"))
    assert (gap.tier, gap.discount_bp) == (None, 10_000)
    # What is bought later still lies ahead on the line, but runs only from its start.
    assert gap.running is None


def test_time_that_settles_six_hours_late_starts_then_in_full(
    line: DatabaseLine, plans: dict[str, Plan]
):
    """D10: the clock starts at the settlement, not at the payment."""
    line.buy("late", plans["S1"], at=moment("2026-11-22 16:00"))
    assert line.paid_until == moment("2026-11-23 16:00")


@pytest.mark.parametrize("order", list(permutations(("S1", "G7", "S30"))))
def test_three_orders_at_one_instant_end_alike_in_any_order(
    line: DatabaseLine, plans: dict[str, Plan], order: tuple[str, ...]
):
    """D12 in the database: T + 38 days, the high rank first."""
    start = moment("2026-11-22 10:00")
    for name in order:
        line.buy(name, plans[name], at=start)
    assert line.paid_until == start + timedelta(days=38)
    names = [name for name, _, _ in line.named()]
    assert names[0] == "G7"
    assert names[1:] == [name for name in order if name != "G7"]


def test_a_discount_that_worsens_is_kept_and_one_that_improves_is_given(
    line: DatabaseLine, tiers: dict[str, Tier]
):
    """D14 and R17."""
    at = moment("2026-11-22 10:00")
    line.grant("G7", tiers["G"], 7 * DAY, at=at)
    assert standing(line_member(line), at=at).discount_bp == 8_500
    Tier.objects.filter(pk=tiers["G"].pk).update(discount_bp=9_000)
    assert standing(line_member(line), at=at).discount_bp == 8_500
    Tier.objects.filter(pk=tiers["G"].pk).update(discount_bp=8_000)
    assert standing(line_member(line), at=at).discount_bp == 8_000


def test_a_grant_keeps_the_operator_and_her_reason(
    line: DatabaseLine, tiers: dict[str, Tier]
):
    """D18: no order, source grant, actor and reason stored."""
    at = moment("2026-11-22 10:00")
    line.grant("gift", tiers["S"], 3 * DAY, at=at)
    kept = Entitlement.objects.get(pk=line.bought["gift"].pk)
    assert (kept.source, kept.order_id, kept.actor, kept.reason) == (
        "grant",
        None,
        line.operator,
        "补偿",
    )
    assert line.paid_until == at + timedelta(days=3)


@pytest.mark.parametrize("seconds", [0, -1])
def test_it_refuses_to_grant_no_time(
    line: DatabaseLine, tiers: dict[str, Tier], seconds: int
):
    with pytest.raises(ValueError, match="positive"):
        line.grant("nothing", tiers["S"], seconds, at=moment("2026-11-22 10:00"))
    assert not Entitlement.objects.exists()


def test_while_paused_there_is_no_tier_no_discount_and_no_end(
    line: DatabaseLine, plans: dict[str, Plan]
):
    """D19: W5, looked at in between."""
    line.buy("S30", plans["S30"], at=moment("2026-11-01 00:00"))
    timeline.pause(line.member.pk, now=moment("2026-11-10 00:00"), reason="出国")
    held = standing(line_member(line), at=moment("2026-11-11 00:00"))
    assert (held.paused, held.tier, held.discount_bp) == (True, None, 10_000)
    assert line.paid_until is None
    assert held.paid_until is None


def test_what_is_bought_while_paused_starts_nothing(
    line: DatabaseLine, plans: dict[str, Plan]
):
    """D20: W13, looked at in between; no end is promised before the clock runs."""
    line.buy("S30", plans["S30"], at=moment("2026-11-01 00:00"))
    timeline.pause(line.member.pk, now=moment("2026-11-10 00:00"))
    held = standing(line_member(line), at=moment("2026-11-11 00:00"))
    assert preview(held, plans["G1"]) is None
    line.buy("G1", plans["G1"], at=moment("2026-11-11 00:00"))
    assert [name for name, _, _ in line.named()] == ["S30"]
    assert line.paid_until is None


def test_pause_and_resume_count_once(line: DatabaseLine, plans: dict[str, Plan]):
    """D21."""
    line.buy("S30", plans["S30"], at=moment("2026-11-01 00:00"))
    pk = line.member.pk
    assert timeline.pause(pk, now=moment("2026-11-10 00:00"))
    assert not timeline.pause(pk, now=moment("2026-11-11 00:00"))
    assert Pause.objects.filter(ends_at=None).count() == 1
    assert timeline.resume(pk, now=moment("2026-11-12 12:00"))
    assert not timeline.resume(pk, now=moment("2026-11-13 12:00"))
    assert line.paid_until == moment("2026-12-03 12:00")
    assert Pause.objects.get().ends_at == moment("2026-11-12 12:00")


def test_it_never_takes_back_more_than_is_left(
    line: DatabaseLine, plans: dict[str, Plan]
):
    start = moment("2026-11-22 10:00")
    line.buy("S7", plans["S7"], at=start)
    later = start + timedelta(days=2)
    assert line.revoke("S7", 100 * DAY, at=later) == 5 * DAY
    assert line.revoke("S7", 100 * DAY, at=later) == 0
    assert line.rows() == [(line.bought["S7"].pk, start, later)]
    assert line.paid_until is None


def test_a_clock_that_goes_back_touches_no_history(
    line: DatabaseLine, plans: dict[str, Plan]
):
    """H10 and H11: rebuild works from max(now, timeline_at)."""
    start = moment("2026-11-22 10:00")
    line.buy("S7", plans["S7"], at=start)
    line.buy("G1", plans["G1"], at=start - timedelta(minutes=10))
    assert line.named() == [
        ("G1", start, start + timedelta(days=1)),
        ("S7", start + timedelta(days=1), start + timedelta(days=8)),
    ]


def test_fractions_of_a_second_are_dropped(line: DatabaseLine, plans: dict[str, Plan]):
    start = moment("2026-11-22 10:00")
    line.buy("S1", plans["S1"], at=start + timedelta(microseconds=999_999))
    assert line.rows()[0][1:] == (start, start + timedelta(days=1))


def test_it_rewrites_only_what_changes(line: DatabaseLine, plans: dict[str, Plan]):
    """Appending behind leaves the rows before it as they are."""
    start = moment("2026-11-22 10:00")
    for name in ("S1", "S7", "S30"):
        line.buy(name, plans[name], at=start)
    before = set(Segment.objects.values_list("pk", "starts_at", "ends_at"))
    line.buy("again", plans["S7"], at=start + timedelta(hours=3))
    after = set(Segment.objects.values_list("pk", "starts_at", "ends_at"))
    assert before < after
    assert len(after) == 4


# --- Security 49: no overflow ------------------------------------------------------


def test_five_hundred_grants_add_up_to_the_second(
    line: DatabaseLine, tiers: dict[str, Tier]
):
    """Rows of both ranks in turn; the highest runs first, nothing is lost."""
    start = moment("2026-11-22 10:00")
    line.grant("first", tiers["S"], 30 * DAY, at=start)
    Entitlement.objects.bulk_create(
        Entitlement(
            member=line.member,
            tier=tiers["SG"[number % 2]],
            rank=tiers["SG"[number % 2]].rank,
            discount_bp=9_000,
            seconds=30 * DAY,
            source="grant",
            actor=line.operator,
        )
        for number in range(498)
    )
    line.grant("last", tiers["G"], 30 * DAY, at=start)
    assert line.paid_until == start + timedelta(days=30 * 500)
    rows = line.rows()
    assert len(rows) == 500
    assert all(one[2] == two[1] for one, two in pairwise(rows))
    ranks = dict(Entitlement.objects.values_list("pk", "rank"))
    laid = [ranks[pk] for pk, _, _ in rows]
    assert laid == sorted(laid, reverse=True)


@pytest.mark.parametrize(
    "seconds",
    [100 * 365 * DAY + 1, 10**12, 2**63, 10**30],
    ids=["a-second-too-long", "past-the-year-9999", "past-a-column", "absurd"],
)
def test_it_refuses_an_end_more_than_a_hundred_years_away(
    line: DatabaseLine, tiers: dict[str, Tier], seconds: int
):
    """A refusal, never an overflow, and nothing is left behind."""
    start = moment("2026-11-22 10:00")
    line.grant("S30", tiers["S"], 30 * DAY, at=start)
    before = (line.rows(), line.paid_until)
    with pytest.raises(TimelineFull):
        line.grant("huge", tiers["G"], seconds, at=start)
    assert (line.rows(), line.paid_until) == before
    assert Entitlement.objects.count() == 1


def test_a_thousand_months_fit_and_the_next_ones_are_refused(
    line: DatabaseLine, tiers: dict[str, Tier]
):
    start = moment("2026-11-22 10:00")
    line.grant("many", tiers["S"], 1000 * 30 * DAY, at=start)
    with pytest.raises(TimelineFull):
        line.grant("more", tiers["S"], 1000 * 30 * DAY, at=start)
    assert line.paid_until == start + timedelta(days=30_000)


def test_a_pause_hides_no_overflow(line: DatabaseLine, tiers: dict[str, Tier]):
    """Else the line could never be resumed."""
    start = moment("2026-11-22 10:00")
    line.grant("long", tiers["S"], 99 * 365 * DAY, at=start)
    timeline.pause(line.member.pk, now=start)
    with pytest.raises(TimelineFull):
        line.grant("more", tiers["S"], 2 * 365 * DAY, at=start)
    assert timeline.resume(line.member.pk, now=start + timedelta(days=1))


# --- Statements --------------------------------------------------------------------


def test_a_long_history_costs_no_more_statements(
    line: DatabaseLine, plans: dict[str, Plan]
):
    """Gold clips what runs and moves what waits, early and late."""
    start = moment("2026-11-22 10:00")

    def statements(name: str, *, at: datetime) -> int:
        with CaptureQueriesContext(connection) as queries:
            line.buy(name, plans["G1"], at=at)
        return len(queries)

    for name in ("S30", "S7"):
        line.buy(name, plans[name], at=start)
    early = statements("early", at=start + timedelta(days=1))
    for day in range(2, 14):
        line.buy(f"{day}", plans["S1"], at=start + timedelta(days=day))
    assert statements("late", at=start + timedelta(days=20)) == early


# --- Random histories --------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.one_of(st.just(0), st.integers(0, 12 * DAY)),
        st.sampled_from(
            ["grant", "buy", "buy", "revoke", "restore", "pause", "resume"]
        ),
        st.sampled_from(["S1", "S7", "S30", "G1", "G7", "G30"]),
        st.integers(1, 20 * DAY),
        st.integers(0, 20),
    ),
    min_size=2,
    max_size=9,
)
_phones = count(13_000_000_000)


class History:
    """Plays random steps in the database and checks every law after each."""

    def __init__(self, operator: Member, plans: dict[str, Plan]) -> None:
        member = Member.objects.create_user(f"+86{next(_phones)}")
        self.line = DatabaseLine(member, operator)
        self.plans = plans
        self.at = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
        self.revoked: dict[str, int] = {}
        self.paused = False

    def take(self, gap: int, what: str, plan: str, seconds: int, pick: int) -> None:
        before = self.line.rows()
        self.at += timedelta(seconds=gap)
        names = list(self.line.bought)
        name = names[pick % len(names)] if names else ""
        if what == "grant":
            tier = self.plans[plan].tier
            self.line.grant(f"{len(names)}", tier, seconds, at=self.at)
        elif what == "buy":
            self.buy_as_previewed(f"{len(names)}", self.plans[plan], 1 + pick % 3)
        elif what == "revoke" and name:
            taken = self.line.revoke(name, seconds, at=self.at)
            self.revoked[name] = self.revoked.get(name, 0) + taken
        elif what == "restore" and name:
            self.line.restore(name, self.revoked.pop(name, 0), at=self.at)
        elif what == "pause":
            timeline.pause(self.line.member.pk, now=self.at)
            self.paused = True
        elif what == "resume":
            timeline.resume(self.line.member.pk, now=self.at)
            self.paused = False
        self.check(before)

    def buy_as_previewed(self, name: str, plan: Plan, quantity: int) -> None:
        """The end that the page printed is the end that the settlement lays out."""
        held = standing(line_member(self.line), at=self.at)
        promised = preview(held, plan, quantity=quantity)
        bought = self.line.buy(name, plan, at=self.at, quantity=quantity)
        mine = [row[1:] for row in self.line.rows() if row[0] == bought.pk]
        if promised is None:
            assert held.paused
            assert mine == []
            return
        assert mine == [(promised.starts_at, promised.ends_at)]
        assert self.line.paid_until == promised.paid_until
        assert promised.paid_until - self.at == timedelta(
            seconds=promised.merged_seconds + plan.seconds * quantity
        )

    def check(self, before: list[tuple[int, datetime, datetime]]) -> None:
        rows, at = self.line.rows(), self.at
        past = [(pk, start, min(end, at)) for pk, start, end in before if start < at]
        now_past = [(pk, start, min(end, at)) for pk, start, end in rows if start < at]
        assert past == now_past, "history changed"
        assert all(start < end for _, start, end in rows)
        assert all(one[2] <= two[1] for one, two in pairwise(rows)), "overlap"
        future = [row for row in rows if row[2] > at]
        if self.paused:
            assert (future, self.line.paid_until) == ([], None)
            return
        bought = {e.pk: e for e in self.line.member.entitlements.all()}
        owed = sum(e.seconds - e.revoked_seconds for e in bought.values())
        ran = sum(int((end - start).total_seconds()) for _, start, end in rows)
        assert ran == owed, "a paid second was lost or doubled"
        assert all(one[2] == two[1] for one, two in pairwise(future)), "hole"
        ranks = [bought[row[0]].rank for row in future]
        assert ranks == sorted(ranks, reverse=True)
        self.line.rebuild(at=at)
        assert self.line.rows() == rows, "rebuild twice is rebuild once"
        assert self.line.paid_until == (future[-1][2] if future else None)


@settings(max_examples=20)
@given(steps=STEPS)
def test_every_random_history_keeps_the_laws_in_the_database(operator, plans, steps):
    """Part 5, D16, and the preview of a purchase equals its settlement."""
    history = History(operator, plans)
    for step in steps:
        history.take(*step)


@settings(max_examples=10)
@given(
    names=st.lists(st.sampled_from(["S1", "S7", "G1", "G30"]), min_size=2, max_size=5),
    random=st.randoms(use_true_random=False),
)
def test_the_end_does_not_depend_on_the_order_of_purchases(
    operator, plans, names, random
):
    ends = set()
    for order in (names, random.sample(names, len(names))):
        history = History(operator, plans)
        for number, name in enumerate(order):
            history.line.buy(f"{number}", plans[name], at=history.at)
        ends.add(history.line.paid_until)
    assert len(ends) == 1


def test_nothing_moves_when_the_transaction_fails(
    line: DatabaseLine, plans: dict[str, Plan]
):
    line.buy("S7", plans["S7"], at=moment("2026-11-22 10:00"))
    before = (line.rows(), line.paid_until)

    def revoke_and_fail() -> None:
        with transaction.atomic():
            member = timeline.lock_member(line.member.pk)
            at = moment("2026-11-23 10:00")
            timeline.revoke(member, line.bought["S7"], DAY, now=at)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        revoke_and_fail()
    assert (line.rows(), line.paid_until) == before
