"""The recommendation as a table, and what it costs simulated shoppers (S9)."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from benchmarks.recommendation import __main__ as evaluation
from benchmarks.recommendation.policies import advised, type_oracles
from benchmarks.recommendation.shoppers import DAYS, FIRST, crowd
from members import told
from members.recommendation import POPULATION, follow, passed, recommend, window
from members.tiers.ladder import Comparison, Step, cheapest_for, compare_within

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
        (ago(*range(60, 90)), DAY),
    ],
    ids=[
        "new",
        "once",
        "thin",
        "burst",
        "weeks",
        "daily",
        "years",
        "weekends",
        "long ago",
    ],
)
def test_it_recommends_by_her_own_days(days: list[date], expected: Step):
    advice = recommend(days, LADDER, today=TODAY, default_days=7)
    assert advice is not None
    assert advice.step == expected


def test_equal_input_gives_an_equal_answer_in_any_order():
    days = ago(*range(1, 30))
    first = recommend(days, LADDER, today=TODAY, default_days=7)
    again = recommend(set(days), LADDER[::-1], today=TODAY, default_days=7)
    copies = [replace(step) for step in LADDER]  # as the next request reads them
    later = recommend(days, copies, today=TODAY, default_days=7)
    assert first is not None
    assert first == again == later
    assert first.likely is not None
    assert first.otherwise_fen is not None
    assert first.likely >= 0.6
    assert first.otherwise_fen - first.step.price_fen >= 200


def test_a_longer_plan_needs_days_that_would_have_cost_more():
    """Likely is not enough: sixteen days in a row cost less by the week."""
    advice = recommend(ago(*range(1, 16)), LADDER, today=TODAY, default_days=7)
    assert advice is not None
    assert advice.step == WEEK


def test_a_tie_gets_the_shorter_plan():
    """Five days are ¥15 by the day and by the week: nothing is saved, nothing is told."""
    five = Step(5, 1_500)
    days = ago(*range(1, 90))
    advice = recommend(days, [DAY, five], today=TODAY, default_days=7)
    assert advice is not None
    assert advice.step == DAY


def test_where_money_is_even_fewer_payments_decide_and_no_saving_is_told():
    """security.md 5.3 (b), 5.4: price + h × purchases, with h in the open."""
    five = Step(5, 1_500)
    days = ago(*range(1, 90))
    advice = recommend(days, [DAY, five], today=TODAY, default_days=7, bother_fen=50)
    assert advice is not None
    assert (advice.step, advice.bother_fen) == (five, 50)
    found = told.sums(days, advice, today=TODAY)
    assert found == told.Sums(5, 5, 1_500, by_day=True, no_saving=True)
    week = recommend(days[:13], LADDER, today=TODAY, default_days=7, bother_fen=50)
    assert week is not None
    assert (week.step, week.bother_fen) == (WEEK, 0), "money alone had decided"


def test_the_bother_of_paying_never_sells_more_than_the_default():
    days = ago(*range(1, 16))
    for bother_fen in (0, 50, 10_000):
        advice = recommend(
            days, LADDER, today=TODAY, default_days=7, bother_fen=bother_fen
        )
        assert advice is not None
        assert advice.step == WEEK


def test_two_plans_of_equal_days_and_price_save_nothing_on_each_other():
    """The twin is another way to cover the same days."""
    advice = recommend(
        ago(*range(1, 90)),
        [DAY, MONTH, Step(30, 5_000)],
        today=TODAY,
        default_days=7,
    )
    assert advice is not None
    assert advice.step == DAY


def test_without_a_ladder_there_is_no_advice():
    assert recommend(ago(1), [], today=TODAY, default_days=7) is None


def test_what_is_known_of_one_stage_is_known_of_several():
    """Two reckonings, one for habits of one stage: both take the same chances."""
    came = passed(set(ago(*range(20, 40, 3), 3, 2)), until=TODAY)
    for habit in POPULATION:
        found, stages = follow(habit, came)
        assert found < 0
        assert len(stages) == habit.stages
        assert 0 < sum(stages) <= 1


def test_the_same_days_are_compared_gaps_and_all():
    numbers = [day.toordinal() for day in ago(0, 1, 2, 3, 4, 5)]
    assert compare_within(numbers, WEEK, [DAY, MONTH]) == Comparison(
        6, 1_500, 1_800, True
    )
    assert cheapest_for([1, 2, 40], LADDER) == 900
    assert cheapest_for([1, 2, 40], [WEEK]) == 3_000
    assert cheapest_for([], LADDER) == 0
    assert compare_within([], WEEK, [DAY]) is None


def test_the_window_holds_today_and_nothing_older_than_its_days():
    assert window(ago(6, 7, -1), 7, today=TODAY) == sorted(ago(6, 0))


def test_simulated_shoppers_pay_little_more_than_an_oracle_lets_them():
    """security.md 5.4; `python -m benchmarks.recommendation` is the whole of it."""
    shoppers = crowd(300, seed=4_711)
    found = evaluation.regrets(shoppers, type_oracles(seed=4_712, sample=40))
    assert found.free <= 4
    assert found.first_by_rule <= 11
    assert found.regretted <= found.regretted_by_oracle + 0.08


def test_the_chance_that_is_told_is_what_happens_within_ten_points():
    """security.md 5.4. One shopper is many cases that go together, so it takes a crowd."""
    assert evaluation.calibration(crowd(900, seed=4_711)) <= evaluation.APART_MOST


def test_whoever_is_told_the_end_does_not_buy_beyond_it():
    """security.md 5.4: what the count in full measures, besides the advice."""
    last = FIRST + timedelta(days=DAYS - 1)
    days = [last - timedelta(days=ago) for ago in range(60, 0, -1)]
    assert advised()(days, last, []) == MONTH
    assert advised(told_the_end=True)(days, last, []) == DAY
    early = last - timedelta(days=40)
    before = [day for day in days if day < early] + ago_of(early, 30)
    assert advised(told_the_end=True)(before, early, []) == MONTH


def ago_of(day: date, count: int) -> list[date]:
    return [day - timedelta(days=ago) for ago in range(1, count)]
