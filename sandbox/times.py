"""Beijing time in the spellings of the gateways."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

BEIJING = timezone(timedelta(hours=8))


def beijing_text(moment: datetime) -> str:
    """``2026-11-22 18:30:05``, Alipay's form."""
    return moment.astimezone(BEIJING).strftime("%Y-%m-%d %H:%M:%S")


def from_beijing_text(text: str) -> datetime:
    """Read Alipay's form, to the second or to the minute; ValueError otherwise."""
    pattern = "%Y-%m-%d %H:%M:%S" if len(text) == 19 else "%Y-%m-%d %H:%M"
    return datetime.strptime(text, pattern).replace(tzinfo=BEIJING).astimezone(UTC)


def compact_text(moment: datetime) -> str:
    """``20261122183005``, UnionPay's form."""
    return moment.astimezone(BEIJING).strftime("%Y%m%d%H%M%S")


def from_compact_text(text: str) -> datetime:
    """Read UnionPay's form; ValueError otherwise."""
    if len(text) != 14:
        raise ValueError(text)
    moment = datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=BEIJING)
    return moment.astimezone(UTC)


def rfc3339_text(moment: datetime) -> str:
    """``2026-11-22T18:30:05+08:00``, WeChat Pay's form."""
    return moment.astimezone(BEIJING).isoformat(timespec="seconds")


def from_rfc3339_text(text: str) -> datetime:
    """Read WeChat Pay's form; ValueError when it lacks the time zone."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or "T" not in text:
        raise ValueError(text)
    return moment.astimezone(UTC)
