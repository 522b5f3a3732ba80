"""The outbox on one thread: what is written, what becomes of each row."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from notifications import outbox
from notifications.models import Outbox
from notifications.wake import wake

pytestmark = pytest.mark.django_db

MINUTES = timedelta(minutes=1)


class Handled:
    """A handler of kind ``test`` that does as told and keeps what it was given."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.outcomes: list[Exception | None] = []
        self.dead: list[str] = []

    def __call__(self, payload: outbox.Payload, *, now: datetime) -> None:
        self.numbers.append(payload["number"])
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome:
            raise outcome

    def on_dead(self, payload: outbox.Payload, reason: str) -> None:
        self.dead.append(reason)


@pytest.fixture
def handled(monkeypatch: Any) -> Handled:
    monkeypatch.setattr(outbox, "_handlers", dict(outbox._handlers))
    handler = Handled()
    outbox.handler("test", on_dead=handler.on_dead)(handler)
    return handler


def add(number: int, due_at: datetime, kind: str = "test") -> None:
    outbox.add(f"{kind}:{number}", kind, {"number": number}, due_at=due_at)


def only_row() -> Outbox:
    return Outbox.objects.get()


def test_it_does_what_is_due_oldest_first_and_once(handled: Handled, now: datetime):
    add(1, now)
    add(2, now - MINUTES)
    add(3, now + MINUTES)
    assert outbox.run_due(now=now) == 2
    assert handled.numbers == [2, 1]
    assert outbox.run_due(now=now) == 0
    assert list(Outbox.objects.order_by("key").values_list("state", "tries")) == [
        ("done", 1),
        ("done", 1),
        ("new", 0),
    ]


def test_a_repeated_key_is_written_once(handled: Handled, now: datetime):
    """K22"""
    add(1, now)
    add(1, now)
    assert outbox.run_due(now=now) == 1
    add(1, now)
    assert outbox.run_due(now=now) == 0
    assert handled.numbers == [1]


def test_the_database_refuses_a_second_row_of_a_key(now: datetime):
    """K22"""
    Outbox.objects.create(key="a", kind="test", due_at=now)
    with pytest.raises(IntegrityError), transaction.atomic():
        Outbox.objects.create(key="a", kind="test", due_at=now)


@pytest.mark.parametrize("wrong", [{"state": "lost"}, {"state": "claimed"}])
def test_the_database_refuses_an_unknown_state_and_a_claim_without_a_time(
    now: datetime, wrong: dict[str, str]
):
    with pytest.raises(IntegrityError), transaction.atomic():
        Outbox.objects.create(key="a", kind="test", due_at=now, **wrong)


def test_nothing_is_left_of_a_transaction_that_rolls_back(now: datetime):
    with transaction.atomic():
        add(1, now)
        transaction.set_rollback(True)
    assert not Outbox.objects.exists()


def test_several_rows_cost_one_statement_and_one_wake_up(
    now: datetime,
    django_assert_num_queries: Any,
    django_capture_on_commit_callbacks: Any,
):
    entries = [outbox.Entry(f"k{n}", "test", {"number": n}, now) for n in range(5)]
    with (
        django_capture_on_commit_callbacks() as callbacks,
        django_assert_num_queries(1),
    ):
        outbox.add_all(entries)
    assert callbacks == [wake]
    with django_capture_on_commit_callbacks() as callbacks, transaction.atomic():
        add(6, now)
        add(7, now)
    assert callbacks == [wake]


def test_it_tries_again_after_1_5_and_30_minutes(handled: Handled, now: datetime):
    """H9"""
    add(1, now)
    handled.outcomes = [outbox.TryLater(reason="down") for _ in range(4)]
    gaps = []
    for _ in range(4):
        before = now
        assert outbox.run_due(now=now) == 1
        now = only_row().due_at
        gaps.append(round((now - before) / MINUTES))
        assert outbox.run_due(now=now - MINUTES / 2) == 0
    assert gaps == [1, 5, 30, 30]
    assert only_row().last_error == "down"
    outbox.run_due(now=now)
    assert (only_row().state, only_row().tries, only_row().last_error) == (
        "done",
        5,
        "",
    )


def test_a_handler_may_name_its_own_time(handled: Handled, now: datetime):
    add(1, now)
    handled.outcomes = [outbox.TryLater(7, "soon")]
    outbox.run_due(now=now)
    assert 7 <= (only_row().due_at - now).total_seconds() < 8


def test_a_row_that_always_fails_dies_after_eight_tries_and_others_go_on(
    handled: Handled, now: datetime, caplog: Any
):
    """H14, FLT-34"""
    add(1, now)
    handled.outcomes = [ZeroDivisionError("13800138000") for _ in range(8)]
    while only_row().state == "new":
        now = only_row().due_at
        outbox.run_due(now=now)
    assert handled.numbers == [1] * 8
    assert only_row().tries == 8
    assert only_row().last_error.startswith("ZeroDivisionError at test_outbox.py:")
    assert handled.dead == [only_row().last_error]
    alerts = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert len(alerts) == 1
    assert "is dead" in alerts[0]
    assert "13800138000" not in caplog.text  # nor does the error's own text leak
    add(2, now)
    assert outbox.run_due(now=now) == 1
    assert handled.numbers[-1] == 2


def test_giving_up_buries_the_row_at_once(handled: Handled, now: datetime):
    add(1, now)
    handled.outcomes = [outbox.GiveUp("refused for good")]
    outbox.run_due(now=now)
    assert (only_row().state, only_row().tries) == ("dead", 1)
    assert handled.dead == ["refused for good"]


def test_an_unknown_kind_dies_with_its_reason_and_others_go_on(
    handled: Handled, now: datetime
):
    """H14"""
    add(1, now - MINUTES, kind="pigeon")
    add(2, now)
    assert outbox.run_due(now=now) == 2
    assert handled.numbers == [2]
    dead = Outbox.objects.get(state="dead")
    assert dead.last_error == "no handler for pigeon"


def test_a_failing_burial_does_not_stop_the_others(
    handled: Handled, now: datetime, monkeypatch: Any
):
    def on_dead(payload: outbox.Payload, reason: str) -> None:
        raise ZeroDivisionError

    outbox.handler("cursed", on_dead=on_dead)(handled)
    add(1, now - MINUTES, kind="cursed")
    add(2, now)
    handled.outcomes = [outbox.GiveUp("no")]
    assert outbox.run_due(now=now) == 2
    assert handled.numbers == [1, 2]
    assert Outbox.objects.get(kind="cursed").state == "dead"


def test_a_kind_in_trouble_does_not_hold_up_the_others(handled: Handled, now: datetime):
    """FLT-29, FLT-30: a provider that is down costs three calls a run, not all of it."""
    outbox.handler("healthy")(handled)
    for number in range(20):
        add(number, now - MINUTES)
    add(100, now, kind="healthy")
    handled.outcomes = [outbox.TryLater(reason="down") for _ in range(3)]
    assert outbox.run_due(now=now) == 4
    assert handled.numbers == [0, 1, 2, 100]


def test_rows_whose_time_has_not_come_do_not_count_as_trouble(
    handled: Handled, now: datetime
):
    for number in range(10):
        add(number, now)
    handled.outcomes = [outbox.NotYet(60, "quiet hours") for _ in range(9)]
    assert outbox.run_due(now=now) == 10


def test_a_claim_of_a_dead_worker_is_taken_back_after_five_minutes(
    handled: Handled, now: datetime
):
    """H4: killed between claim and outcome."""
    add(1, now)
    Outbox.objects.update(state="claimed", tries=1, claimed_at=now)
    assert outbox.run_due(now=now + 5 * MINUTES) == 0
    assert outbox.run_due(now=now + 5 * MINUTES + MINUTES / 60) == 1
    assert handled.numbers == [1]
    assert (only_row().state, only_row().tries) == ("done", 2)


def test_a_row_whose_worker_dies_every_time_is_buried(handled: Handled, now: datetime):
    """H4, FLT-36: killing the worker counts as a try."""
    add(1, now)
    Outbox.objects.update(state="claimed", tries=8, claimed_at=now)
    assert outbox.run_due(now=now + 6 * MINUTES) == 0
    assert (only_row().state, handled.dead) == ("dead", ["its worker died every time"])


def test_a_worker_that_wakes_up_too_late_changes_nothing(
    handled: Handled, now: datetime
):
    """The claim was taken back meanwhile and belongs to another worker."""
    add(1, now)
    slow = only_row()
    assert outbox._claim(slow, now)
    Outbox.objects.update(state="claimed", tries=2, claimed_at=now + 6 * MINUTES)
    assert outbox._settle(slow, state="done") == 0
    assert (only_row().state, only_row().tries) == ("claimed", 2)


def test_a_long_run_stamps_its_claims_with_the_time_that_has_passed(
    handled: Handled, now: datetime, monkeypatch: Any
):
    ticks = iter((0.0, 1.0, 15.0, 21.0))
    monkeypatch.setattr("time.monotonic", lambda: next(ticks))
    seen: list[datetime] = []

    def lose(row: Outbox, at: datetime) -> bool:
        seen.append(at)
        row.delete()
        return False

    monkeypatch.setattr(outbox, "_claim", lose)
    for number in (1, 2, 3):
        add(number, now)
    outbox.run_due(now=now)
    assert seen == [now + timedelta(seconds=1), now + timedelta(seconds=15)]


def test_it_stops_at_the_limit(handled: Handled, now: datetime):
    for number in range(5):
        add(number, now)
    assert outbox.run_due(now=now, limit=2) == 2
    assert outbox.run_due(now=now, limit=10) == 3


def test_a_kind_has_one_handler(handled: Handled):
    with pytest.raises(ValueError, match="test"):
        outbox.handler("test")(handled)


def test_the_status_counts_what_is_late_and_dead(handled: Handled, now: datetime):
    add(1, now - 3 * MINUTES)
    add(2, now - MINUTES)
    add(3, now + MINUTES)
    add(4, now, kind="pigeon")
    Outbox.objects.filter(kind="pigeon").update(state="dead")
    assert outbox.status(now=now) == outbox.Status(
        new=3,
        claimed=0,
        due=2,
        late=1,
        oldest_due_at=now - 3 * MINUTES,
        dead={"pigeon": 1},
    )
