from __future__ import annotations

import subprocess
import sys

import pytest

from members import phones

E164 = "+8613800138000"


@pytest.mark.parametrize(
    "spelling",
    [
        "13800138000",
        "138 0013 8000",
        "138-0013-8000",
        "138–0013—8000",
        "(138) 0013.8000",
        " 13800138000 ",
        "+8613800138000",
        "+86 138 0013 8000",
        "008613800138000",
        "0086 138 0013 8000",
        "8613800138000",
        "013800138000",
        "tel:+86-138-0013-8000",
        "TEL:13800138000",
        "１３８００１３８０００",
        "＋８６　１３８００１３８０００",
        "138\u200b0013\u200d8000",
        "\ufeff13800138000",
        "\u202a+86 138 0013 8000\u202c",
        "\u2066138\u20690013\u200e8000",
        "138\u00a00013\u30008000",
    ],
)
def test_every_spelling_is_one_number(spelling: str) -> None:
    """security 16"""
    assert phones.parse(spelling) == E164


@pytest.mark.parametrize(
    "text",
    [
        "",
        "abc",
        "1380013800",
        "138001380000",
        "861380013800086",
        "+12025550123",
        "+85291234567",
        "+886912345678",
        "010-12345678",
        "02112345678",
        "4001234567",
        "95588",
        "14112345678",
        "1064812345678",
        "13800138000;ext=1",
        "13800138000x1",
        "13800138000#1",
        "13800138000,1",
        "tel:13800138000;phone-context=+1",
        "138FLOWERS8",
        "+86+8613800138000",
        "13800138000/13900139000",
        "٠١٣٨٠٠١٣٨٠٠٠",
        "²13800138000²",
    ],
)
def test_it_refuses_what_is_no_chinese_mobile(text: str) -> None:
    """security 15"""
    with pytest.raises(phones.BadPhone):
        phones.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "13800138000\n",
        "138\n00138000",
        "13800138000\r\nX: y",
        "138\t00138000",
        "13800138000\x00",
        "138*00138000",
        "13800138000:1",
        "1" * 65,
        "13800138000" + " " * 60,
        "1" * 10_000,
    ],
)
def test_it_refuses_what_could_break_a_key(text: str) -> None:
    """security 17"""
    with pytest.raises(phones.BadPhone):
        phones.parse(text)


@pytest.mark.parametrize("prefix", ["170", "171", "162", "165", "167", "192", "199"])
def test_virtual_operators_are_mobiles(prefix: str) -> None:
    assert phones.parse(f"{prefix}12345678") == f"+86{prefix}12345678"


def test_the_parts_that_people_see() -> None:
    assert phones.national(E164) == "13800138000"
    assert phones.tail(E164) == "8000"


def test_the_metadata_is_not_loaded_at_start() -> None:
    program = "import sys, members.phones; sys.exit('phonenumbers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
