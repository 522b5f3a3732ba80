"""Names and citizen identity numbers as people type them (GB 11643-1999)."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

LONGEST = 64
"""Characters that are looked at; what is longer is neither name nor number."""
OLDEST = 120
ADULT_AGE, CHILD_AGE = 18, 14
"""民法典 17; under 14 a guardian has to consent to the check itself (个保法 31)."""

_NUMBER = re.compile(r"[1-9][0-9]{16}[0-9X]", re.ASCII)
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECKS = "10X98765432"
_DOTS = str.maketrans("•‧・.。", "·····")


class Fault(StrEnum):
    SHAPE = "shape"  # not 17 digits and a digit or X
    CHECKSUM = "checksum"  # one digit is wrong, or two have changed places
    BIRTH = "birth"  # born on a day that never was, to come, or too long ago
    NAME = "name"  # not a Chinese name


class Unreadable(ValueError):
    """Says what is wrong and never quotes what was typed."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class IdNumber:
    """A number that may exist; ``digits`` never shows in a ``repr``."""

    digits: str = field(repr=False)
    born_on: date = field(repr=False)

    def comes_of(self, age: int) -> date:
        """The birthday; who was born on a leap day has it on 1 March between."""
        year = self.born_on.year + age
        try:
            return self.born_on.replace(year=year)
        except ValueError:
            return date(year, 3, 1)

    def is_under(self, age: int, *, today: date) -> bool:
        return today < self.comes_of(age)


def parse(typed: str, *, today: date) -> IdNumber:
    """The number behind what was typed: blanks, full-width digits and a small x are fine.

    raises  Unreadable
    """
    plain = unicodedata.normalize("NFKC", typed[:LONGEST])
    digits = re.sub(r"[\s-]", "", plain).upper()
    if not _NUMBER.fullmatch(digits):
        raise Unreadable(Fault.SHAPE)
    total = sum(
        int(digit) * weight for digit, weight in zip(digits, _WEIGHTS, strict=False)
    )
    if _CHECKS[total % 11] != digits[17]:
        raise Unreadable(Fault.CHECKSUM)
    try:
        born_on = date(int(digits[6:10]), int(digits[10:12]), int(digits[12:14]))
    except ValueError:
        raise Unreadable(Fault.BIRTH) from None
    number = IdNumber(digits, born_on)
    if born_on > today or not number.is_under(OLDEST, today=today):
        raise Unreadable(Fault.BIRTH)
    return number


def clean_name(typed: str) -> str:
    """A name as the identity card has it: Chinese signs, with a dot between two parts.

    raises  Unreadable
    """
    plain = unicodedata.normalize("NFC", typed[:LONGEST])
    name = "".join(plain.split()).translate(_DOTS)
    parts = name.split("·")
    if not (
        2 <= len(name) <= 30
        and all(parts)
        and all(_is_ideograph(sign) for part in parts for sign in part)
    ):
        raise Unreadable(Fault.NAME)
    return name


def _is_ideograph(sign: str) -> bool:
    return sign == "〇" or unicodedata.name(sign, "").startswith("CJK UNIFIED")
