"""W1 to W13 of the timeline's arithmetic, as data: what happens, and the line after it.

S is a tier of rank 10, G one of rank 20; ``S365`` is 365 days of S. Moments are
Asia/Shanghai. The pure arithmetic and the database are both held to this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")
RANKS = {"S": 10, "G": 20}
DISCOUNTS = {"S": 9_500, "G": 8_500}
DAY = 86_400


def moment(text: str) -> datetime:
    """``2026-11-22 10:00`` in Shanghai."""
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)


@dataclass(frozen=True, slots=True)
class Buy:
    at: str
    name: str

    @property
    def rank(self) -> int:
        return RANKS[self.name[0]]

    @property
    def seconds(self) -> int:
        return int(self.name[1:].rstrip("abc")) * DAY


@dataclass(frozen=True, slots=True)
class Revoke:
    """All that is left of it; ``seconds`` is how much that must be."""

    at: str
    name: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Restore:
    at: str
    name: str
    seconds: int


@dataclass(frozen=True, slots=True)
class Pause:
    at: str


@dataclass(frozen=True, slots=True)
class Resume:
    at: str


Step = Buy | Revoke | Restore | Pause | Resume


@dataclass(frozen=True, slots=True)
class Example:
    """``line`` is the whole line, history included: (name, start, end)."""

    number: str
    steps: tuple[Step, ...]
    line: tuple[tuple[str, str, str], ...]

    @property
    def paid_until(self) -> datetime:
        return moment(self.line[-1][2])

    @property
    def stretches(self) -> list[tuple[str, datetime, datetime]]:
        return [(name, moment(start), moment(end)) for name, start, end in self.line]


_W2 = (Buy("2026-01-01 00:00", "S365"), Buy("2026-06-01 12:00", "G7"))
_W6 = (
    Buy("2026-11-22 10:00", "S1"),
    Buy("2026-11-22 10:00", "S7"),
    Buy("2026-11-22 10:00", "S30"),
    Revoke("2026-11-22 22:00", "S7", 604_800),
)

EXAMPLES = (
    Example(
        "W1",
        (Buy("2026-11-22 10:00", "S1"), Buy("2026-11-22 18:00", "S7")),
        (
            ("S1", "2026-11-22 10:00", "2026-11-23 10:00"),
            ("S7", "2026-11-23 10:00", "2026-11-30 10:00"),
        ),
    ),
    Example(
        "W2",
        _W2,
        (
            ("S365", "2026-01-01 00:00", "2026-06-01 12:00"),
            ("G7", "2026-06-01 12:00", "2026-06-08 12:00"),
            ("S365", "2026-06-08 12:00", "2027-01-08 00:00"),
        ),
    ),
    Example(
        "W2b",
        (*_W2, Buy("2026-06-03 12:00", "G1")),
        (
            ("S365", "2026-01-01 00:00", "2026-06-01 12:00"),
            ("G7", "2026-06-01 12:00", "2026-06-08 12:00"),
            ("G1", "2026-06-08 12:00", "2026-06-09 12:00"),
            ("S365", "2026-06-09 12:00", "2027-01-09 00:00"),
        ),
    ),
    Example(
        "W3",
        (Buy("2026-02-10 09:00", "G30"), Buy("2026-02-11 09:00", "S1")),
        (
            ("G30", "2026-02-10 09:00", "2026-03-12 09:00"),
            ("S1", "2026-03-12 09:00", "2026-03-13 09:00"),
        ),
    ),
    Example(
        "W4-2027",
        (Buy("2027-02-15 10:00", "S30"),),
        (("S30", "2027-02-15 10:00", "2027-03-17 10:00"),),
    ),
    Example(
        "W4-2028",
        (Buy("2028-02-15 10:00", "S30"),),
        (("S30", "2028-02-15 10:00", "2028-03-16 10:00"),),
    ),
    Example(
        "W4b",
        (Buy("2028-02-28 23:30", "S1"),),
        (("S1", "2028-02-28 23:30", "2028-02-29 23:30"),),
    ),
    Example(
        "W5",
        (
            Buy("2026-11-01 00:00", "S30"),
            Pause("2026-11-10 00:00"),
            Resume("2026-11-12 12:00"),
        ),
        (
            ("S30", "2026-11-01 00:00", "2026-11-10 00:00"),
            ("S30", "2026-11-12 12:00", "2026-12-03 12:00"),
        ),
    ),
    Example(
        "W6",
        _W6,
        (
            ("S1", "2026-11-22 10:00", "2026-11-23 10:00"),
            ("S30", "2026-11-23 10:00", "2026-12-23 10:00"),
        ),
    ),
    Example(
        "W7",
        (
            Buy("2026-11-22 10:00", "S7"),
            Buy("2026-11-23 00:00", "S30"),
            Revoke("2026-11-24 22:00", "S7", 388_800),
        ),
        (
            ("S7", "2026-11-22 10:00", "2026-11-24 22:00"),
            ("S30", "2026-11-24 22:00", "2026-12-24 22:00"),
        ),
    ),
    Example(
        "W8",
        (*_W2, Revoke("2026-06-03 00:00", "G7", 475_200)),
        (
            ("S365", "2026-01-01 00:00", "2026-06-01 12:00"),
            ("G7", "2026-06-01 12:00", "2026-06-03 00:00"),
            ("S365", "2026-06-03 00:00", "2027-01-02 12:00"),
        ),
    ),
    Example(
        "W9",
        (*_W6, Restore("2026-11-25 09:00", "S7", 604_800)),
        (
            ("S1", "2026-11-22 10:00", "2026-11-23 10:00"),
            ("S30", "2026-11-23 10:00", "2026-11-25 09:00"),
            ("S7", "2026-11-25 09:00", "2026-12-02 09:00"),
            ("S30", "2026-12-02 09:00", "2026-12-30 10:00"),
        ),
    ),
    Example(
        "W10",
        (Buy("2026-11-22 10:00", "S7a"), Buy("2026-11-29 10:00", "S7b")),
        (
            ("S7a", "2026-11-22 10:00", "2026-11-29 10:00"),
            ("S7b", "2026-11-29 10:00", "2026-12-06 10:00"),
        ),
    ),
    Example(
        "W11",
        (Buy("2026-11-22 10:00", "S1"), Buy("2026-11-25 08:00", "S7")),
        (
            ("S1", "2026-11-22 10:00", "2026-11-23 10:00"),
            ("S7", "2026-11-25 08:00", "2026-12-02 08:00"),
        ),
    ),
    Example(
        "W12",
        (Buy("2026-11-22 10:00", "S7a"), Buy("2026-11-28 10:00", "S7b")),
        (
            ("S7a", "2026-11-22 10:00", "2026-11-29 10:00"),
            ("S7b", "2026-11-29 10:00", "2026-12-06 10:00"),
        ),
    ),
    Example(
        "W13",
        (
            Buy("2026-11-01 00:00", "S30"),
            Buy("2026-11-11 00:00", "G7"),
            Pause("2026-11-13 06:00"),
            Buy("2026-11-13 12:00", "G1"),
            Resume("2026-11-14 06:00"),
        ),
        (
            ("S30", "2026-11-01 00:00", "2026-11-11 00:00"),
            ("G7", "2026-11-11 00:00", "2026-11-13 06:00"),
            ("G7", "2026-11-14 06:00", "2026-11-19 00:00"),
            ("G1", "2026-11-19 00:00", "2026-11-20 00:00"),
            ("S30", "2026-11-20 00:00", "2026-12-10 00:00"),
        ),
    ),
)
