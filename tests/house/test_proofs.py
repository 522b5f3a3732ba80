"""docs/proofs.md is true: each case stands there once, with tests that cite it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "proofs.md"
NUMBER = r"(?:FLT-|INV-)?[A-Z]?\d+b?"
RANGE = re.compile(r"\b(FLT-|INV-|[A-Z])(\d+)\b(?: to |–)(?:FLT-|INV-|[A-Z])?(\d+)\b")
CASES = [
    *(f"A{n}" for n in range(1, 16)),
    *(f"B{n}" for n in range(1, 23)),
    "B14b",
    *(f"C{n}" for n in range(1, 13)),
    *(f"D{n}" for n in range(1, 26)),
    *(f"E{n}" for n in range(1, 18)),
    *(f"F{n}" for n in range(1, 19)),
    *(f"G{n}" for n in range(1, 13)),
    *(f"H{n}" for n in range(1, 17)),
    *(f"I{n}" for n in range(1, 15)),
    *(f"W{n}" for n in range(1, 16)),
    *(f"K{n}" for n in range(1, 28)),
    *(f"FLT-{n}" for n in range(1, 45)),
]
NOTHING = "nothing to stand on yet"
ATTACKS = range(1, 89)
_NUMBER = r"(\d+)(?!\.?\d)(?:(?:\s+to\s+|–)(\d+))?"
CITED = re.compile(rf"\bsecurity\s+(?:{_NUMBER}(?:,\s+|\s+and\s+)?)+", re.IGNORECASE)
"""``security 31–33, 36`` or ``security 51 to 55``, also in the name of a test."""


def rows() -> list[tuple[str, str]]:
    """Case and proof of each line of the page's tables."""
    found = re.findall(
        r"^\| ([A-Z-]+\d+b?) \| [^|]+ \| ([^|]+) \|$", PAGE.read_text(), re.M
    )
    return [(case, proof.strip()) for case, proof in found]


@cache
def words_of(path: Path) -> str:
    """The docstrings of a test file, and what its scenarios say they prove."""
    tree = ast.parse(path.read_text())
    return "\n".join(_words(tree))


def _words(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node) or ""
        if isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call):
                    yield " ".join(
                        arg.value
                        for arg in decorator.args
                        if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
                    )
            yield node.name.replace("_", " ").upper()


def cites(words: str, case: str) -> bool:
    """By its number, or by a range of numbers like ``W1 to W13``."""
    if re.search(rf"(?<![\w-]){re.escape(case)}(?!\w)", words):
        return True
    letter, number = re.fullmatch(r"(FLT-|INV-|[A-Z])(\d+)b?", case).groups()
    return any(
        kind == letter and int(first) <= int(number) <= int(last)
        for kind, first, last in RANGE.findall(words)
    )


def test_every_case_stands_there_once():
    assert [case for case, _ in rows()] == CASES


@pytest.mark.parametrize(("case", "proof"), rows())
def test_the_named_tests_cite_their_case(case: str, proof: str):
    files = re.findall(r"`([^`]+\.py)`", proof)
    assert files or proof.startswith((NOTHING, "not proven", "not here")), proof
    for name in files:
        assert cites(words_of(ROOT / "tests" / name), case), name


def test_nothing_that_is_proven_is_said_to_be_missing():
    """Once a test cites a case, its row must name it."""
    everywhere = {path: words_of(path) for path in (ROOT / "tests").rglob("test_*.py")}
    missing = [case for case, proof in rows() if not proof.startswith("`")]
    proven = [
        f"{case}: {path.name}"
        for case in missing
        for path, words in everywhere.items()
        if cites(words, case)
    ]
    assert proven == []


# --- Attacks ---------------------------------------------------------------------------


def attack_rows() -> list[tuple[int, str]]:
    found = re.findall(
        r"^\| security (\d+) \| [^|]+ \| ([^|]+) \|$", PAGE.read_text(), re.M
    )
    return [(int(number), proof.strip()) for number, proof in found]


@cache
def attacks_in(path: Path) -> frozenset[int]:
    """The numbers of the attacks that a test file cites."""
    return frozenset(
        number
        for list_ in CITED.finditer(words_of(path))
        for first, last in re.findall(_NUMBER, list_[0])
        for number in range(int(first), int(last or first) + 1)
    )


def test_every_attack_stands_there_once():
    assert [number for number, _ in attack_rows()] == list(ATTACKS)


@pytest.mark.parametrize(("number", "proof"), attack_rows())
def test_the_named_tests_cite_their_attack(number: int, proof: str):
    files = re.findall(r"`([^`]+\.py)`", proof)
    assert files or proof.startswith((NOTHING, "not proven")), proof
    for name in files:
        assert number in attacks_in(ROOT / "tests" / name), name


def test_no_attack_that_is_proven_is_said_to_be_missing():
    citing = frozenset[int]().union(
        *(attacks_in(path) for path in (ROOT / "tests").rglob("test_*.py"))
    )
    missing = {number for number, proof in attack_rows() if not proof.startswith("`")}
    assert missing & citing == set()
