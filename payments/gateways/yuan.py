"""Amounts as yuan text, the way Alipay and epay write them; fen inside the shop."""

from __future__ import annotations

import re

_AMOUNT = re.compile(r"(0|[1-9][0-9]{0,9})(?:\.([0-9]{1,2}))?", re.ASCII)


def parse(text: object) -> int | None:
    """Fen of ``50``, ``50.0`` or ``50.00``; None for every other spelling or type."""
    match = _AMOUNT.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    return int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))


def write(fen: int) -> str:
    """``5000`` as ``50.00``."""
    if fen < 0:
        raise ValueError("an amount of money is never negative")
    return f"{fen // 100}.{fen % 100:02}"
