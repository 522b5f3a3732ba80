"""G10: several workers, each row carried out once, on whatever database is in use."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from django.db import connection

from notifications import outbox
from notifications.models import Outbox

pytestmark = pytest.mark.django_db(transaction=True)

WORKERS = 8
ROWS = 24


@pytest.fixture
def done(monkeypatch: Any, now: datetime) -> Counter[int]:
    """How often each of the due rows was carried out."""
    counts: Counter[int] = Counter()
    lock = threading.Lock()
    monkeypatch.setattr(outbox, "_handlers", {})
    monkeypatch.setattr(outbox, "wake", lambda: None)

    @outbox.handler("test")
    def count(payload: outbox.Payload, *, now: datetime) -> None:
        assert not connection.in_atomic_block
        with lock:
            counts[payload["number"]] += 1
        time.sleep(0.001)

    outbox.add_all(
        outbox.Entry(f"test:{number}", "test", {"number": number}, now)
        for number in range(ROWS)
    )
    return counts


def all_workers_at_once(work: Callable[[], object]) -> list[BaseException]:
    barrier = threading.Barrier(WORKERS)
    errors: list[BaseException] = []

    def run() -> None:
        try:
            barrier.wait(10)
            work()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return errors


def test_eight_workers_carry_out_each_row_once(done: Counter[int], now: datetime):
    assert all_workers_at_once(lambda: outbox.run_due(now=now)) == []
    assert done == dict.fromkeys(range(ROWS), 1)
    assert set(Outbox.objects.values_list("state", "tries")) == {("done", 1)}


def test_eight_workers_take_back_a_lost_claim_once(done: Counter[int], now: datetime):
    """H4 and G10 together."""
    Outbox.objects.update(state="claimed", tries=1, claimed_at=now)
    later = datetime.fromtimestamp(now.timestamp() + 301, now.tzinfo)
    assert all_workers_at_once(lambda: outbox.run_due(now=later)) == []
    assert done == dict.fromkeys(range(ROWS), 1)


def test_control_without_the_conditional_update_rows_are_carried_out_twice(
    done: Counter[int], now: datetime, monkeypatch: Any
):
    """The harness sees the race: read, decide, write instead of compare-and-swap."""

    def read_then_write(row: Outbox, at: datetime) -> bool:
        free = Outbox.objects.get(pk=row.pk).state == Outbox.State.NEW
        time.sleep(0.01)
        Outbox.objects.filter(pk=row.pk).update(
            state=Outbox.State.CLAIMED, tries=row.tries + 1, claimed_at=at
        )
        row.tries += 1
        return free

    monkeypatch.setattr(outbox, "_claim", read_then_write)
    all_workers_at_once(lambda: outbox.run_due(now=now))
    assert max(done.values()) > 1
