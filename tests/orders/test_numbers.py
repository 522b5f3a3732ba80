from __future__ import annotations

import pytest

from orders.numbers import PATTERN, random_number, tidy


def test_a_number_fits_every_gateway_and_is_never_seen_twice():
    numbers = {random_number() for _ in range(2_000)}
    assert len(numbers) == 2_000
    assert all(PATTERN.fullmatch(number) for number in numbers)
    assert not any(set(number) & set("ILOU") for number in numbers)


@pytest.mark.parametrize(
    "typed",
    [
        "3ZZZ-0001-ABCD-EFGH-JKMN-PQRS-TV",
        "3zzz 0001 abcd efgh jkmn pqrs tv",
        "3ZZZ0OOIABCDEFGHJKMNPQRSTV",
        "3zzz–000l–abcd–efgh–jkmn–pqrs–tv",
    ],
)
def test_it_reads_a_number_as_people_type_it(typed: str):
    number = "3ZZZ0001ABCDEFGHJKMNPQRSTV"
    assert PATTERN.fullmatch(number)
    assert tidy(typed) == number
