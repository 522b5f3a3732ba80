"""The recommendation as a table, and its sentences against a second reckoning (S9)."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from benchmarks.recommendation import honesty
from members.ladder import Comparison, Step, cheapest_for, compare
from members.recommendation import recommend, window

DAY, WEEK, MONTH = Step(1, 300), Step(7, 1_500), Step(30, 5_000)
LADDER = [DAY, WEEK, MONTH]
TODAY = date(2026, 11, 24)


def ago(*days: int) -> list[date]:
    return [TODAY - timedelta(days=each) for each in days]


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ([], DAY),
        (ago(40), DAY),
        (ago(3, 17, 30, 60), DAY),
        (ago(*range(1, 4)), DAY),
        (ago(*range(1, 14)), WEEK),
        (ago(*range(1, 60)), MONTH),
        (ago(*range(1, 400)), MONTH),
        (ago(*(n for n in range(1, 90) if (TODAY - timedelta(n)).weekday() > 4)), DAY),
    ],
    ids=["new", "once", "thin", "burst", "weeks", "daily", "years", "weekends"],
)
def test_it_recommends_by_her_own_days(days: list[date], expected: Step):
    advice = recommend(days, LADDER, today=TODAY, default_days=7)
    assert advice.step == expected


def test_equal_input_gives_an_equal_answer_in_any_order():
    days = ago(*range(1, 30))
    first = recommend(days, LADDER, today=TODAY, default_days=7)
    again = recommend(set(days), LADDER[::-1], today=TODAY, default_days=7)
    assert first == again
    assert first.likely >= 0.6
    assert first.otherwise_fen - first.step.price_fen >= 200


def test_a_longer_plan_needs_days_that_would_have_cost_more():
    """Likely is not enough: sixteen days in a row cost less by the week."""
    advice = recommend(ago(*range(1, 16)), LADDER, today=TODAY, default_days=7)
    assert advice.step == WEEK


def test_without_a_ladder_there_is_no_advice():
    assert recommend(ago(1), [], today=TODAY, default_days=7) is None


def test_the_same_days_are_compared_gaps_and_all():
    numbers = [day.toordinal() for day in ago(0, 1, 2, 3, 4, 5)]
    assert compare(numbers, WEEK, [DAY, MONTH]) == Comparison(6, 1_500, 1_800, True)
    assert cheapest_for([1, 2, 40], LADDER) == 900
    assert cheapest_for([1, 2, 40], [WEEK]) == 3_000
    assert compare([], WEEK, [DAY]) is None


def test_the_window_holds_today_and_nothing_older_than_its_days():
    assert window(ago(6, 7, -1), 7, today=TODAY) == sorted(ago(6, 0))


def test_no_sentence_is_false():
    """Random ladders and histories of 1 to 400 days; the benchmark does 10^5 × 100."""
    false, told = honesty.run(60, 5, seed=9)
    assert told > 200
    assert false == 0


def test_the_second_reckoning_finds_a_lie():
    recent = ago(5, 4, 3, 2, 1, 0)
    assert not honesty.is_false(WEEK, 1_500, 1_800, recent, LADDER)
    assert honesty.is_false(WEEK, 1_500, 2_100, recent, LADDER)
    assert honesty.is_false(WEEK, 1_500, 1_500, recent[1:], LADDER)
