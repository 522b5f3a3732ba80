from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from members import limits
from members.limits import Limit
from members.models import HitLog, Window
from tests.members.edge import at_once

THREE = [Window(60, 3)]


def after(now: datetime, seconds: float) -> datetime:
    return now + timedelta(seconds=seconds)


@pytest.mark.django_db
def test_it_lets_so_many_through_and_says_when_the_next_fits(now: datetime) -> None:
    taken = [limits.take("k", THREE, after(now, 10 * n)) for n in range(4)]
    assert taken == [None, None, None, 30]
    assert limits.take("k", THREE, after(now, 59.9)) == 1
    assert limits.take("k", THREE, after(now, 60)) is None
    assert limits.take("k", THREE, after(now, 60)) == 10


@pytest.mark.django_db
def test_a_refusal_counts_nothing(now: datetime) -> None:
    for seconds in (0, 0, 0, 1, 2, 50, 59):
        limits.take("k", THREE, after(now, seconds))
    assert limits.take("k", THREE, after(now, 60)) is None


@pytest.mark.django_db
def test_the_tightest_of_several_windows_decides(now: datetime) -> None:
    windows = [Window(60, 1), Window(3600, 2)]
    assert limits.take("k", windows, now) is None
    assert limits.take("k", windows, after(now, 30)) == 30
    assert limits.take("k", windows, after(now, 60)) is None
    assert limits.take("k", windows, after(now, 90)) == 3510


@pytest.mark.django_db
def test_keys_do_not_share_a_count(now: datetime) -> None:
    assert [limits.take(key, [Window(60, 1)], now) for key in ("a", "b", "a")] == [
        None,
        None,
        60,
    ]


@pytest.mark.django_db
def test_nothing_is_counted_anywhere_when_one_of_many_refuses(now: datetime) -> None:
    full = Limit("address", "full", (Window(60, 1),))
    free = Limit("phone", "free", (Window(60, 1),))
    assert limits.take_all([full], now=now) is None
    refusal = limits.take_all([free, full], now=after(now, 20))
    assert refusal == limits.Refusal("address", 40)
    assert limits.take_all([free], now=after(now, 20)) is None


@pytest.mark.django_db
@pytest.mark.parametrize("at_most", [1, 64, 65, 400])
def test_no_stretch_of_time_holds_one_too_many(now: datetime, at_most: int) -> None:
    """Exact up to 64, in slots above: early by a slot perhaps, never late (case 14)."""
    window = Window(3600, at_most)
    log = HitLog(key="k", until=now)
    hour = timedelta(hours=1)
    passed: list[datetime] = []
    for step in range(3 * at_most + 200):
        at = after(now, step * 3600 / (at_most + 60))
        if log.retry_after(window, now=at) is None:
            log.add(window, now=at)
            passed.append(at)
    crowd = max(sum(1 for p in passed if at <= p < at + hour) for at in passed)
    assert crowd <= at_most
    assert crowd >= at_most * 0.9
    assert len(log.hits["3600"]) <= 66


@pytest.mark.django_db
def test_waiting_as_long_as_told_is_enough(now: datetime) -> None:
    window = Window(600, 200)
    log = HitLog(key="k", until=now)
    for second in range(200):
        log.add(window, now=after(now, second))
    wait = log.retry_after(window, now=after(now, 200))
    assert wait is not None
    assert wait <= 600
    assert log.retry_after(window, now=after(now, 200 + wait)) is None


@pytest.mark.django_db
def test_a_window_of_nothing_refuses_all(now: datetime) -> None:
    assert limits.take("k", [Window(60, 0)], now) == 60


@pytest.mark.django_db
def test_a_clock_that_goes_back_opens_nothing(now: datetime) -> None:
    assert limits.take("k", [Window(60, 1)], now) is None
    assert limits.take("k", [Window(60, 1)], after(now, -600)) is not None


@pytest.mark.django_db
def test_the_subject_never_shows_in_a_key(now: datetime) -> None:
    """security 17"""
    key = limits.key("codes-phone", "138\n*:" + "x" * 10_000)
    assert key.startswith("codes-phone:")
    assert len(key) <= 80
    assert key.partition(":")[2].isalnum()


@pytest.mark.django_db
def test_only_rows_without_a_living_hit_are_forgotten(now: datetime) -> None:
    limits.take("old", [Window(60, 1)], now)
    limits.take("new", [Window(3600, 1)], now)
    assert limits.forget(now=after(now, 120)) == 1
    assert [log.key for log in HitLog.objects.all()] == ["new"]


@pytest.mark.django_db
def test_half_of_a_budget_rings_once(
    now: datetime, caplog: pytest.LogCaptureFixture
) -> None:
    """security 14"""
    budget = Limit("shop", "codes-shop:x", (Window(3600, 6),), alarm=True)
    for _ in range(7):
        limits.take_all([budget], now=now)
    assert [r.message for r in caplog.records if r.levelname == "ERROR"] == [
        "limit codes-shop: half of 6 in 3600 s is used"
    ]


@pytest.mark.django_db(transaction=True)
def test_parallel_requests_cannot_slip_through_together(now: datetime) -> None:
    results = at_once(8, lambda _: limits.take("k", THREE, now))
    assert sorted(results, key=str) == [60] * 5 + [None] * 3


@pytest.mark.django_db(transaction=True)
def test_keys_in_any_order_do_not_wait_in_a_circle(now: datetime) -> None:
    def act(number: int) -> limits.Refusal | None:
        pair = [Limit(key, key, (Window(60, 50),)) for key in ("a", "b", "c", "d")]
        return limits.take_all(pair[::-1] if number % 2 else pair, now=now)

    assert at_once(8, act) == [None] * 8
    assert HitLog.objects.get(key="a").count(Window(60, 50), now=now) == 8
