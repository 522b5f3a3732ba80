"""The ladder's arithmetic: the figures of the shop, and brute force on random ladders."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from members.models import Plan
from members.tiers import catalogue
from members.tiers.ladder import (
    Saving,
    Step,
    Tie,
    breaks_ladder,
    cheapest_cover,
    saving,
    tie,
)

DAY, WEEK, MONTH = Step(1, 300), Step(7, 1_500), Step(30, 5_000)
LADDER = (DAY, WEEK, MONTH)

# Days in a row that are needed, and the least that covers them (security.md 5.1).
COVERS = {
    **{days: 300 * days for days in (1, 2, 3, 4)},
    **dict.fromkeys((5, 6, 7), 1_500),
    **{days: 1_500 + 300 * (days - 7) for days in range(8, 13)},
    **dict.fromkeys((13, 14), 3_000),
    **{days: 3_000 + 300 * (days - 14) for days in range(15, 20)},
    **dict.fromkeys((20, 21), 4_500),
    22: 4_800,
    **dict.fromkeys(range(23, 31), 5_000),
}


@pytest.mark.parametrize(("days", "fen"), COVERS.items())
def test_it_knows_the_cheapest_way_to_cover_so_many_days(days: int, fen: int):
    assert cheapest_cover(days, LADDER) == fen


def test_nothing_covers_without_a_ladder():
    assert cheapest_cover(7, ()) is None
    assert cheapest_cover(-1, LADDER) is None
    assert cheapest_cover(0, LADDER) == 0


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (DAY, None),  # nothing shorter to compare with
        (WEEK, Saving(600, by_day=True)),
        (MONTH, Saving(1_600, by_day=False)),  # four weeks and two days: ¥66
    ],
    ids=["day", "week", "month"],
)
def test_a_saving_is_told_against_the_cheapest_other_way(
    step: Step, expected: Saving | None
):
    others = [other for other in LADDER if other is not step]
    assert saving(step, others) == expected


def test_three_weeks_are_never_said_to_cost_more_than_a_month():
    """The false sentence of the source: 3 × ¥15 is less than ¥50."""
    assert saving(MONTH, [Step(7, 1_500)]) == Saving(2_500, by_day=False)
    assert saving(Step(21, 5_000), [WEEK]) is None


def test_a_plan_without_a_shorter_one_saves_nothing():
    """Long-term 90 days against 365 days would read as ¥163 saved."""
    assert saving(Step(90, 7_500), [Step(365, 23_800)]) is None
    assert saving(Step(365, 23_800), [Step(90, 7_500)]) == Saving(13_700, by_day=False)


def test_five_days_cost_the_same_as_a_week_which_gives_two_more():
    assert tie(WEEK, [DAY, MONTH]) == Tie(from_days=5, extra_days=2)


@pytest.mark.parametrize(
    ("step", "others"),
    [
        (MONTH, [DAY, WEEK]),  # ¥50 is no multiple of ¥3
        (DAY, [WEEK, MONTH]),
        (WEEK, [MONTH]),  # nothing by the day
        (Step(7, 2_100), [DAY]),  # exactly seven days' price: no day more
        (Step(30, 6_000), [DAY, WEEK]),  # 20 days: three weeks are cheaper
    ],
)
def test_it_tells_a_tie_only_where_there_is_one(step: Step, others: list[Step]):
    assert tie(step, others) is None


def test_it_finds_the_plan_that_costs_more_by_the_day_than_a_shorter_one():
    assert breaks_ladder(LADDER) is None
    assert breaks_ladder([MONTH, Step(7, 2_200), DAY]) == (DAY, Step(7, 2_200))
    assert breaks_ladder([]) is None


def test_a_promotion_moves_the_savings_of_its_neighbours(week: Plan, now):
    """The catalogue compares the prices of the moment, within one tier."""
    shop = catalogue.current()
    month = shop.plan("temporary-30")
    assert month is not None
    assert shop.saving(month, at=now) == Saving(1_600, by_day=False)
    Plan.objects.filter(slug="temporary-7").update(price_fen=1_000)
    catalogue.forget()
    # Four weeks at ¥10 and two days at ¥3 are cheaper than the month.
    assert catalogue.current().saving(month, at=now) is None


# --- Brute force -------------------------------------------------------------------

STEPS = st.lists(
    st.builds(Step, days=st.integers(1, 9), price_fen=st.integers(1, 60)),
    min_size=1,
    max_size=3,
)


def by_trying_all(days: int, ladder: list[Step]) -> int:
    counts = product(*(range(-(-days // step.days) + 1) for step in ladder))
    return min(
        sum(n * step.price_fen for n, step in zip(taken, ladder, strict=True))
        for taken in counts
        if sum(n * step.days for n, step in zip(taken, ladder, strict=True)) >= days
    )


@given(days=st.integers(1, 14), ladder=STEPS)
def test_no_combination_is_cheaper_than_the_cheapest_cover(days, ladder):
    assert cheapest_cover(days, ladder) == by_trying_all(days, ladder)


@given(step=st.builds(Step, st.integers(1, 14), st.integers(1, 60)), others=STEPS)
def test_no_saving_is_told_that_another_combination_beats(step, others):
    """Every sentence "you save X" is true, and X is never zero or less."""
    told = saving(step, others)
    if told is None:
        return
    assert told.fen > 0
    assert told.fen == by_trying_all(step.days, others) - step.price_fen


@given(step=st.builds(Step, st.integers(1, 14), st.integers(1, 60)), others=STEPS)
def test_a_tie_is_one_to_the_fen(step, others):
    told = tie(step, others)
    if told is None:
        return
    assert by_trying_all(told.from_days, others) == step.price_fen
    assert told.from_days + told.extra_days == step.days
    assert told.extra_days > 0
