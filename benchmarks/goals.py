"""Figures with their goals, and the table that a run ends with."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number.

    at_most, at_least  the goal, where there is one
    wall_clock         the goal only counts on a machine that does nothing else
    """

    what: str
    value: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None
    wall_clock: bool = False

    @property
    def is_met(self) -> bool:
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )

    @property
    def goal(self) -> str:
        if self.at_most is not None:
            return f"≤ {_number(self.at_most)}"
        return f"≥ {_number(self.at_least)}" if self.at_least is not None else ""

    def verdict(self, *, quiet: bool) -> str:
        if not self.goal:
            return ""
        if self.is_met:
            return "met"
        return "MISSED" if quiet or not self.wall_clock else "missed (busy machine)"

    def as_json(self, *, quiet: bool) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict(quiet=quiet)}


class Skipped(Exception):
    """A part that cannot run here; the text says what is missing."""


def table(figures: list[Figure], *, quiet: bool) -> str:
    """Markdown, one line a figure."""
    rows = ["| what | measured | goal | |", "|---|---:|---:|---|"]
    rows += [
        f"| {each.what} | {_number(each.value)} {each.unit} | {each.goal} "
        f"| {each.verdict(quiet=quiet)} |"
        for each in figures
    ]
    return "\n".join(rows)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if value >= 10 else 2
    return f"{value:.{digits}f}"
