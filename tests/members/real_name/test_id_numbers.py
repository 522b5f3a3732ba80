"""Names and ID numbers as people type them: GB 11643-1999, ages by the calendar."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from members.real_name import id_numbers
from members.real_name.id_numbers import Fault, Unreadable
from tests.members.real_name.people import ADULT, id_number

TODAY = date(2026, 11, 22)


def fault_of(typed: str) -> Fault:
    with pytest.raises(Unreadable) as refused:
        id_numbers.parse(typed, today=TODAY)
    assert typed.strip() not in str(refused.value) or not typed.strip()
    return refused.value.fault


@pytest.mark.parametrize(
    "typed",
    [
        ADULT,
        "11010519491231002x",
        " 110105 19491231 002X ",
        "１１０１０５１９４９１２３１００２Ｘ",
        "110105-19491231-002X",
    ],
)
def test_it_reads_a_number_however_it_is_typed(typed: str) -> None:
    number = id_numbers.parse(typed, today=TODAY)
    assert (number.digits, number.born_on) == (ADULT, date(1949, 12, 31))
    assert ADULT not in repr(number)
    assert "1949" not in repr(number)


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "X",
        ADULT[:17],
        ADULT + "0",
        "01010519491231002X",
        "1101051949123100XX",
        "110105491231002",  # 15 places, out of use since 2013
        "١١٠١٠٥١٩٤٩١٢٣١٠٠٢X",
        "11010519491231002X\0",
        "9" * 5_000,
    ],
)
def test_what_has_another_shape_is_none(typed: str) -> None:
    """security 44"""
    assert fault_of(typed) is Fault.SHAPE


def test_every_single_slip_and_every_swap_of_neighbours_is_seen() -> None:
    """What the last place is there for; the birth date may be hit as well."""
    for place, digit in enumerate(ADULT[:17]):
        for other in "0123456789".replace(digit, ""):
            if (place, other) != (0, "0"):
                slip = ADULT[:place] + other + ADULT[place + 1 :]
                assert fault_of(slip) is Fault.CHECKSUM, slip
    for place in range(16):
        a, b = ADULT[place], ADULT[place + 1]
        if a != b and not (place == 0 and b == "0"):
            swapped = ADULT[:place] + b + a + ADULT[place + 2 :]
            assert fault_of(swapped) is Fault.CHECKSUM, swapped


def test_the_day_of_birth_was_one() -> None:
    for day in ("20000230", "20001301", "20000000"):
        body = next(
            f"110105{day}002{last}"
            for last in "0123456789X"
            if _adds_up(f"110105{day}002{last}")
        )
        assert fault_of(body) is Fault.BIRTH
    assert fault_of(id_number(TODAY + timedelta(days=1))) is Fault.BIRTH
    assert fault_of(id_number(date(1906, 11, 22))) is Fault.BIRTH
    assert id_numbers.parse(id_number(date(1906, 11, 23)), today=TODAY)
    assert id_numbers.parse(id_number(TODAY), today=TODAY)


def _adds_up(number: str) -> bool:
    places = [10 if place == "X" else int(place) for place in number]
    return sum(p * pow(2, 17 - n) for n, p in enumerate(places)) % 11 == 1


@pytest.mark.parametrize(
    ("born", "day", "is_minor"),
    [
        (date(2008, 11, 22), date(2026, 11, 22), False),
        (date(2008, 11, 23), date(2026, 11, 22), True),
        (date(2008, 2, 29), date(2026, 2, 28), True),
        (date(2008, 2, 29), date(2026, 3, 1), False),
    ],
)
def test_she_comes_of_age_on_her_birthday(
    born: date, day: date, is_minor: bool
) -> None:
    number = id_numbers.parse(id_number(born), today=TODAY)
    assert number.is_under(18, today=day) is is_minor


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("王芳", "王芳"),
        (" 王 芳 ", "王芳"),
        ("阿卜杜拉•买买提", "阿卜杜拉·买买提"),
        ("阿卜杜拉.买买提", "阿卜杜拉·买买提"),
        ("张〇", "张〇"),
        ("𠮷田", "𠮷田"),
    ],
)
def test_a_name_is_what_stands_on_the_card(typed: str, name: str) -> None:
    assert id_numbers.clean_name(typed) == name


@pytest.mark.parametrize(
    "typed",
    ["", "王", "Wang Fang", "王芳1", "王·", "·芳", "王··芳", "王" * 31, "王\0芳"],
)
def test_anything_else_is_no_name(typed: str) -> None:
    with pytest.raises(Unreadable) as refused:
        id_numbers.clean_name(typed)
    assert refused.value.fault is Fault.NAME
