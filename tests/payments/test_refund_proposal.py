"""The arithmetic of refunds alone: R19, F4, F5, F17, and what must hold for any sums."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payments.refunding.refund_proposal import (
    Proposal,
    Time,
    propose,
    seconds_for,
    worth_fen,
)

DAY = 86_400
WEEK = 7 * DAY


@pytest.mark.parametrize(
    ("paid", "reserved", "delivered", "expected"),
    [
        (1_500, 0, Time(WEEK, WEEK), Proposal(1_500, WEEK)),  # W6
        (1_500, 0, Time(WEEK, 388_800), Proposal(964, 388_800)),  # W7
        (2_800, 0, Time(WEEK, 475_200), Proposal(2_200, 475_200)),  # W8
        (1_500, 0, Time(WEEK, 0), Proposal(0, 0)),  # F4
        (1_500, 500, Time(WEEK, WEEK - 201_600), Proposal(1_000, WEEK - 201_600)),
        (1_500, 1_500, Time(WEEK, 0), Proposal(0, 0)),
        (1_400, 0, Time(WEEK, WEEK), Proposal(1_400, WEEK)),  # C5: what came, not due
        (1_500, 0, None, Proposal(1_500, 0)),  # F17: nothing was granted
        (1_500, 600, None, Proposal(900, 0)),
        (1, 0, Time(DAY, DAY - 1), Proposal(0, 0)),  # less than one fen
        (7_000, 0, Time(WEEK, 4 * DAY), Proposal(4_000, 4 * DAY)),  # the page's example
    ],
)
def test_the_proposal_is_what_is_unused(
    paid: int, reserved: int, delivered: Time | None, expected: Proposal
):
    """R19."""
    assert propose(paid, reserved, delivered) == expected


def test_a_part_takes_its_share_of_the_time():
    """F5: 604,800 × 500 // 1500."""
    assert seconds_for(500, 1_500, Time(WEEK, WEEK)) == 201_600


def test_a_sum_beyond_what_is_unused_takes_all_that_is_left_and_no_more():
    """An operator is generous."""
    assert seconds_for(1_500, 1_500, Time(WEEK, 3 * DAY)) == 3 * DAY
    assert seconds_for(500, 1_500, Time(WEEK, 0)) == 0


@given(st.data())
def test_no_sum_or_second_too_much(data: st.DataObject):
    """K12, K17: for any order and any history of refunds."""
    paid = data.draw(st.integers(1, 10**7))
    reserved = data.draw(st.integers(0, paid))
    seconds = data.draw(st.integers(1, 400 * DAY))
    time = Time(seconds, data.draw(st.integers(0, seconds)))
    found = propose(paid, reserved, time)
    assert 0 <= found.amount_fen <= paid - reserved
    assert 0 <= found.seconds <= time.left
    assert found.amount_fen * seconds <= paid * time.left
    part = data.draw(st.integers(1, paid))
    assert 0 <= seconds_for(part, paid, time) <= time.left
    if part >= worth_fen(paid, time):
        assert seconds_for(part, paid, time) == time.left
