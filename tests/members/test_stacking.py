"""The pure arithmetic of stacking: worked examples, and laws over random histories.

The oracle of the property tests does not lay anything out: it lets the clock run from
event to event and burns the seconds of whatever stands first.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from members.stacking import (
    Bought,
    Line,
    Stretch,
    lay_out,
    seconds_left,
    seconds_used,
    whole_second,
)
from tests.members.worked_examples import (
    DAY,
    EXAMPLES,
    Buy,
    Example,
    Pause,
    Restore,
    Resume,
    Revoke,
    moment,
)

START = moment("2026-11-22 10:00")


@dataclass
class PureLine:
    """A timeline without a database: history kept, the future laid out anew."""

    bought: list[Bought] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)
    paid_until: datetime | None = None
    paused: bool = False

    def rebuild(self, at: datetime) -> None:
        history = [
            replace(stretch, ends_at=min(stretch.ends_at, at))
            for stretch in self.stretches
            if stretch.starts_at < at
        ]
        line = Line((), None) if self.paused else lay_out(self.bought, history, at=at)
        self.stretches = [*history, *line.stretches]
        self.paid_until = line.paid_until

    def buy(self, at: datetime, rank: int, seconds: int, name: str = "") -> None:
        self.bought.append(Bought(len(self.bought), rank, seconds))
        self.names.append(name)
        self.rebuild(at)

    def change(self, at: datetime, index: int, seconds: int) -> None:
        each = self.bought[index]
        self.bought[index] = replace(each, seconds=each.seconds + seconds)
        self.rebuild(at)

    def left(self, at: datetime) -> dict[int, int]:
        return seconds_left(self.bought, self.stretches, at=at)

    def named(self) -> list[tuple[str, datetime, datetime]]:
        """The line with neighbours of one entitlement joined, as people read it."""
        joined: list[tuple[str, datetime, datetime]] = []
        for stretch in self.stretches:
            name = self.names[stretch.entitlement]
            if joined and joined[-1][::2] == (name, stretch.starts_at):
                joined[-1] = (name, joined[-1][1], stretch.ends_at)
            else:
                joined.append((name, stretch.starts_at, stretch.ends_at))
        return joined


def play(example: Example) -> PureLine:
    line = PureLine()
    for step in example.steps:
        at = moment(step.at)
        match step:
            case Buy():
                line.buy(at, step.rank, step.seconds, step.name)
            case Revoke(name=name, seconds=seconds):
                index = line.names.index(name)
                assert line.left(at)[index] == seconds
                line.change(at, index, -seconds)
            case Restore(name=name, seconds=seconds):
                line.change(at, line.names.index(name), seconds)
            case Pause() | Resume():
                line.paused = isinstance(step, Pause)
                line.rebuild(at)
    return line


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.number)
def test_it_lays_out_the_worked_examples(example: Example):
    """W1 to W13, to the second."""
    line = play(example)
    assert line.named() == example.stretches
    assert line.paid_until == example.paid_until


def test_the_running_tier_leaves_the_waiting_one_its_seconds():
    """W2: 13,089,600 s had run when gold came, 18,446,400 s wait."""
    line = play(EXAMPLES[1])
    assert line.left(moment("2026-06-01 12:00")) == {0: 18_446_400, 1: 604_800}


def test_a_month_is_thirty_times_86400_seconds_in_every_february():
    """W4 and D6: no calendar arithmetic in durations."""
    for year in (2027, 2028):
        line = PureLine()
        line.buy(moment(f"{year}-02-15 10:00"), 10, 30 * DAY)
        assert line.paid_until is not None
        assert line.paid_until - moment(f"{year}-02-15 10:00") == timedelta(
            seconds=2_592_000
        )


@pytest.mark.parametrize("order", list(permutations((1, 7, 30))))
@pytest.mark.parametrize("ranks", [(10, 10, 10), (10, 20, 30), (20, 10, 20)])
def test_three_purchases_at_one_instant_end_alike_in_any_order(
    order: tuple[int, ...], ranks: tuple[int, ...]
):
    """D12: T + 38 days, highest rank first."""
    line = PureLine()
    for days, rank in zip(order, ranks, strict=True):
        line.buy(START, rank, days * DAY)
    assert line.paid_until == START + timedelta(days=38)
    laid = [line.bought[s.entitlement].rank for s in line.stretches]
    assert laid == sorted(ranks, reverse=True)


def test_the_timeline_counts_whole_seconds_rounded_down():
    assert whole_second(START + timedelta(microseconds=999_999)) == START


def test_nothing_bought_gives_an_empty_line():
    assert lay_out([], [], at=START) == Line((), None)
    assert lay_out([Bought(1, 10, 0)], [], at=START) == Line((), None)


def test_more_revoked_than_left_counts_as_nothing_left():
    ran = Stretch(1, START, START + timedelta(days=1))
    assert seconds_left([Bought(1, 10, 60)], [ran], at=ran.ends_at) == {1: 0}


def test_a_stretch_is_half_open():
    """D8: at the instant of the end nothing runs any more."""
    ran = Stretch(1, START, START + timedelta(seconds=10))
    assert seconds_used([ran], until=START) == {}
    assert seconds_used([ran], until=START + timedelta(seconds=4)) == {1: 4}
    assert seconds_used([ran], until=START + timedelta(days=1)) == {1: 10}


# --- Random histories --------------------------------------------------------------

SECONDS = st.one_of(
    st.sampled_from([1, DAY, 7 * DAY, 30 * DAY]), st.integers(1, 40 * DAY)
)
GAPS = st.one_of(
    st.just(0), st.sampled_from([1, DAY, 7 * DAY]), st.integers(0, 20 * DAY)
)
HISTORIES = st.lists(
    st.tuples(
        GAPS,
        st.sampled_from(["buy", "buy", "buy", "revoke", "restore", "pause", "resume"]),
        st.sampled_from([10, 20, 30]),
        SECONDS,
        st.integers(0, 20),
    ),
    min_size=1,
    max_size=14,
)


@dataclass
class Burning:
    """The oracle: what is left of each, and the clock."""

    left: dict[int, int] = field(default_factory=dict)
    ranks: dict[int, int] = field(default_factory=dict)
    paused: bool = False

    def order(self) -> list[int]:
        alive = [key for key, seconds in self.left.items() if seconds]
        return sorted(alive, key=lambda key: (-self.ranks[key], key))

    def run(self, seconds: int) -> None:
        for key in [] if self.paused else self.order():
            burnt = min(seconds, self.left[key])
            self.left[key] -= burnt
            seconds -= burnt


def replay(history: list[tuple[int, str, int, int, int]]) -> None:
    """Play a history on the line and on the oracle; every law holds at every step."""
    line, oracle, at = PureLine(), Burning(), START
    revoked: dict[int, int] = {}
    for gap, what, rank, seconds, pick in history:
        at += timedelta(seconds=gap)
        oracle.run(gap)
        index = pick % len(line.bought) if line.bought else None
        before = [s for s in line.stretches if s.starts_at < at]
        if what == "buy":
            oracle.left[len(line.bought)] = seconds
            oracle.ranks[len(line.bought)] = rank
            line.buy(at, rank, seconds)
        elif what == "revoke" and index is not None:
            taken = min(seconds, line.left(at)[index])
            revoked[index] = revoked.get(index, 0) + taken
            oracle.left[index] -= taken
            line.change(at, index, -taken)
        elif what == "restore" and index is not None:
            given = revoked.pop(index, 0)
            oracle.left[index] += given
            line.change(at, index, given)
        elif what in ("pause", "resume"):
            line.paused = oracle.paused = what == "pause"
            line.rebuild(at)
        assert_lawful(line, oracle, before, at=at)


def assert_lawful(
    line: PureLine, oracle: Burning, before: list[Stretch], *, at: datetime
) -> None:
    assert line.left(at) == oracle.left
    for old, new in zip(before, line.stretches, strict=False):
        assert (old.entitlement, old.starts_at) == (new.entitlement, new.starts_at)
        assert min(old.ends_at, at) == min(new.ends_at, at), "history changed"
    for one, following in pairwise(line.stretches):
        assert one.starts_at < one.ends_at <= following.starts_at, "overlap"
    future = [s for s in line.stretches if s.ends_at > at]
    if line.paused:
        assert (future, line.paid_until) == ([], None)
        return
    ran = sum(int((s.ends_at - s.starts_at).total_seconds()) for s in line.stretches)
    assert ran == sum(each.seconds for each in line.bought)
    assert [s.entitlement for s in future] == oracle.order()
    for one, following in pairwise(future):
        assert one.ends_at == following.starts_at, "a hole in the future"
    total = sum(oracle.left.values())
    end = at + timedelta(seconds=total) if total else None
    assert line.paid_until == end
    again = replace(line)
    again.rebuild(at)
    assert again.named() == line.named(), "rebuild twice is rebuild once"


@given(HISTORIES)
def test_every_random_history_keeps_the_laws(history):
    """Part 5: no paid second is lost or doubled, whatever happens in which order."""
    replay(history)


@given(
    st.lists(st.tuples(st.sampled_from([10, 20, 30]), SECONDS), min_size=2, max_size=7),
    st.randoms(use_true_random=False),
)
def test_the_end_does_not_depend_on_the_order_of_purchases_at_one_instant(
    purchases, random
):
    """D12 for any number of purchases."""
    shuffled = random.sample(purchases, len(purchases))
    lines = (PureLine(), PureLine())
    for line, each in zip(lines, (purchases, shuffled), strict=True):
        for rank, seconds in each:
            line.buy(START, rank, seconds)
    assert lines[0].paid_until == lines[1].paid_until
