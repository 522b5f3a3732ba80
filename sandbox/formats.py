"""Template filters: money and time, one each."""

from __future__ import annotations

from datetime import datetime

from django.template import Library

from sandbox.times import BEIJING

register = Library()


@register.filter
def yuan(fen: int) -> str:
    """1500 → ``15.00``"""
    return yuan_text(fen)


@register.filter
def clock(moment: datetime | None) -> str:
    """``11-22 18:30:05`` in Beijing."""
    return moment.astimezone(BEIJING).strftime("%m-%d %H:%M:%S") if moment else ""


@register.filter
def hour(moment: datetime | None) -> str:
    """``18:30`` in Beijing."""
    return moment.astimezone(BEIJING).strftime("%H:%M") if moment else ""


def yuan_text(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02d}"
