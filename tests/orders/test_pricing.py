"""W15 and R18: integer fen, rounded half up, once."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.pricing import line_fen


@pytest.mark.parametrize(
    ("unit_fen", "quantity", "discount_bp", "expected"),
    [
        (999, 1, 8_500, 849),  # W15: ¥9.99 at 85 折
        (1, 1, 8_500, 1),  # W15
        (300, 1, 9_500, 285),  # W15: ¥3 at 95 折
        (10_000, 1, 8_500, 8_500),  # W14
        (10_000, 1, 9_500, 9_500),
        (1_500, 2, 10_000, 3_000),  # A6
        (1, 1, 1, 1),  # never below 1 fen
        (50, 1, 9_900, 50),  # 49.5 goes up
        (150, 1, 9_900, 149),  # 148.5 goes up, not to the even number
        (333, 3, 8_500, 849),  # the line is rounded, not the unit
    ],
)
def test_it_rounds_a_line_half_up(unit_fen, quantity, discount_bp, expected):
    assert line_fen(unit_fen, quantity, discount_bp) == expected


@given(st.integers(1, 10**7), st.integers(1, 12), st.integers(1, 10_000))
def test_it_equals_decimal_arithmetic(unit_fen, quantity, discount_bp):
    exact = Decimal(unit_fen) * quantity * discount_bp / 10_000
    rounded = int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))
    assert line_fen(unit_fen, quantity, discount_bp) == max(1, rounded)
