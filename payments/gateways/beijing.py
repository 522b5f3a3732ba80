"""Moments as Chinese gateways write them: always UTC+8, whatever the server's zone."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

BEIJING = timezone(timedelta(hours=8))
_YEARS = range(2000, 2100)  # beyond them no calendar of ours need reckon
_FOURTEEN = re.compile(r"[0-9]{14}", re.ASCII)


def plain(moment: datetime) -> str:
    """``2027-03-02 09:23:45`` (Alipay); fractions of a second are cut off."""
    return moment.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S")


def compact(moment: datetime) -> str:
    """``20270302092345`` (UnionPay); fractions of a second are cut off."""
    return moment.astimezone(BEIJING).strftime("%Y%m%d%H%M%S")


def rfc3339(moment: datetime) -> str:
    """``2027-03-02T09:23:45+08:00`` (WeChat Pay)."""
    return moment.astimezone(BEIJING).isoformat(timespec="seconds")


def parse_plain(text: object) -> datetime | None:
    """The moment of Alipay's text, with or without fractions; None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is not None or moment.year not in _YEARS:
        return None
    return moment.replace(tzinfo=BEIJING)


def parse_compact(text: object) -> datetime | None:
    """The moment of UnionPay's fourteen digits; None for anything else."""
    if not isinstance(text, str) or not _FOURTEEN.fullmatch(text):
        return None
    try:
        moment = datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=BEIJING)
    except ValueError:
        return None
    return moment if moment.year in _YEARS else None


def parse_rfc3339(text: object) -> datetime | None:
    """The moment of WeChat's text; None for anything else or without an offset."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None or moment.year not in _YEARS:
        return None
    return moment
