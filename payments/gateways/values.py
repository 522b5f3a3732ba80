"""Plain values out of what a gateway sent: never a type or a length by surprise."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_NUMBER = re.compile(r"[!-~]{1,64}", re.ASCII)
_LINK = re.compile(r"(?:https?|weixin)://[!-~]{1,1000}", re.ASCII)
_MOST_WORDS = 200
_MOST_FEN = 10**13  # no gateway moves more at once, and every column holds it


def text(values: Mapping[str, Any], name: str) -> str:
    """The text called ``name``; "" when it is missing or something else."""
    value = values.get(name)
    return value if isinstance(value, str) else ""


def words(values: Mapping[str, Any], name: str) -> str:
    """A short text for people and records, without what no database or log can hold."""
    return "".join(filter(str.isprintable, text(values, name)))[:_MOST_WORDS]


def link(values: Mapping[str, Any], name: str) -> str:
    """An address that leads into a wallet, short enough for a QR code; else ""."""
    value = text(values, name)
    return value if _LINK.fullmatch(value) else ""


def number(values: Mapping[str, Any], name: str) -> str:
    """An order, trade or refund number; "" when it cannot be one."""
    value = text(values, name)
    return value if _NUMBER.fullmatch(value) else ""


def fen(values: Mapping[str, Any], name: str) -> int | None:
    """An integer of fen; None for negative ones, floats, texts and booleans."""
    value = values.get(name)
    return value if type(value) is int and 0 <= value <= _MOST_FEN else None


def inner(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The object called ``name``; an empty one when it is missing or something else."""
    value = values.get(name)
    return value if isinstance(value, dict) else {}
