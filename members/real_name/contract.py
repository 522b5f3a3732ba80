"""What the shop asks of whoever verifies names, and how the answers read."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Result(StrEnum):
    """What became of one question; each value asks for another next step."""

    MATCH = "match"  # name and number belong together
    MISMATCH = "mismatch"  # they do not, or one of them cannot exist
    NOT_FOUND = "not_found"  # the library does not hold this number
    BUSY = "busy"  # no answer, their trouble: the same question again later
    ALARM = "alarm"  # keys, balance, our quota: a person of the shop must act


@dataclass(frozen=True, slots=True)
class Answer:
    """code: their word for it, for our log; never free text, which may quote her."""

    result: Result
    code: str = ""


class RealNameProvider(Protocol):
    """One configured verifier.

    ``check`` ends within seconds and never raises for what the network or the verifier
    did; that is in the result. Neither name nor number may reach a log or an exception.
    """

    def check(self, name: str, id_number: str, *, now: datetime) -> Answer: ...
