"""How the shop writes money, moments, remaining time, phones and numbers.

Each filter has a Chinese form and an English one. Money comes in as integer fen,
moments as aware datetimes; moments are shown in Asia/Shanghai.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Protocol
from zoneinfo import ZoneInfo

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language, gettext


class Complaint(Protocol):
    """One line of a form's error summary; ``field`` is empty where none is to blame."""

    @property
    def field(self) -> str: ...
    @property
    def message(self) -> str: ...


register = template.Library()

SHANGHAI = ZoneInfo("Asia/Shanghai")
MONTHS = [
    "Jan",
    "Feb",
    "Mar",
    "Apr",
    "May",
    "Jun",
    "Jul",
    "Aug",
    "Sep",
    "Oct",
    "Nov",
    "Dec",
]
MINUTE, HOUR, DAY = 60, 3_600, 86_400


def _english() -> bool:
    return (get_language() or "").startswith("en")


# Money


@register.filter
def yuan(fen: int) -> str:
    """Write fen with two decimals, for totals, buttons and receipts: ``¥15.00``."""
    sign = "-" if fen < 0 else ""
    whole, rest = divmod(abs(fen), 100)
    return f"{sign}¥{whole}.{rest:02}"


@register.filter
def yuan_short(fen: int) -> str:
    """Write fen without empty decimals, for stubs: ``¥15``, ``¥15.50``."""
    return yuan(fen).removesuffix(".00")


@register.filter
def per_day(price_fen: int, days: int) -> str:
    """Price of one day, rounded half up to fen and called so: ``每天约 ¥2.14``."""
    exact = price_fen % days == 0
    price = yuan_short((2 * price_fen + days) // (2 * days))
    if _english():
        return f"{price} a day" if exact else f"about {price} a day"
    return f"每天 {price}" if exact else f"每天约 {price}"


@register.filter
def discount(basis_points: int) -> str:
    """9500 → ``95 折``, 9000 → ``9 折``; in English ``5% off``; none → empty."""
    if basis_points >= 10_000:
        return ""
    if _english():
        return f"{_trimmed(10_000 - basis_points)}% off"
    rate = _trimmed(basis_points)
    return f"{rate.removesuffix('0') if '.' not in rate else rate} 折"


def _trimmed(basis_points: int) -> str:
    """Percent without empty decimals: 9500 → 95, 9550 → 95.5."""
    whole, rest = divmod(basis_points, 100)
    return f"{whole}.{rest:02}".rstrip("0").rstrip(".") if rest else str(whole)


# Moments and spans


@register.filter
def moment(at: datetime, now: datetime | None = None) -> str:
    """``11 月 29 日 14:05``; with the year when it is not this year."""
    local = at.astimezone(SHANGHAI)
    this_year = (now or timezone.now()).astimezone(SHANGHAI).year
    if _english():
        year = "" if local.year == this_year else f" {local.year}"
        return f"{local.day} {MONTHS[local.month - 1]}{year} {local:%H:%M}"
    year = "" if local.year == this_year else f"{local.year} 年 "
    return f"{year}{local.month} 月 {local.day} 日 {local:%H:%M}"


@register.filter
def day(at: datetime, now: datetime | None = None) -> str:
    """``11 月 29 日``: a moment without its clock time."""
    return moment(at, now).rpartition(" ")[0]


@register.filter
def clock(at: datetime) -> str:
    """``14:35``, for 「14:35 前付款」."""
    return f"{at.astimezone(SHANGHAI):%H:%M}"


@register.filter
def iso(at: datetime) -> str:
    """The same moment for machines: ``2026-11-29T06:05:00+00:00``."""
    return at.astimezone(UTC).isoformat(timespec="seconds")


@register.filter
def moment_tag(at: datetime, now: datetime | None = None) -> SafeString:
    return format_html('<time datetime="{}">{}</time>', iso(at), moment(at, now))


@register.filter
def day_tag(at: datetime, now: datetime | None = None) -> SafeString:
    return format_html('<time datetime="{}">{}</time>', iso(at), day(at, now))


@register.filter
def clock_tag(at: datetime) -> SafeString:
    return format_html('<time datetime="{}">{}</time>', iso(at), clock(at))


@register.filter
def duration(seconds: int | timedelta) -> str:
    """A span rounded down: ``6 天``, ``1 天 5 小时``, ``5 小时``, ``12 分钟``."""
    if isinstance(seconds, timedelta):
        seconds = int(seconds.total_seconds())
    days, hours, minutes = seconds // DAY, seconds % DAY // HOUR, seconds // MINUTE
    if _english():
        if days >= 2:
            return f"{days} days"
        if days == 1:
            return f"1 day {hours} h" if hours else "1 day"
        return f"{hours} h" if hours else f"{minutes} min"
    if days >= 2:
        return f"{days} 天"
    if days == 1:
        return f"1 天 {hours} 小时" if hours else "1 天"
    return f"{hours} 小时" if hours else f"{minutes} 分钟"


@register.filter
def to_the_second(seconds: int) -> str:
    """A span that money is counted by, whole: ``6 天 23 小时 59 分 48 秒``."""
    parts = (
        (seconds // DAY, "d", "天"),
        (seconds % DAY // HOUR, "h", "小时"),
        (seconds % HOUR // MINUTE, "min", "分"),
        (seconds % MINUTE, "s", "秒"),
    )
    english = _english()
    said = [f"{n} {en if english else zh}" for n, en, zh in parts if n]
    return " ".join(said) or ("0 s" if english else "0 秒")


@register.filter
def remaining(ends_at: datetime | None, now: datetime | None = None) -> str:
    """What is left of a membership, never overstated: ``剩 6 天``, ``已到期``."""
    left = ends_at - (now or timezone.now()) if ends_at else timedelta()
    seconds = int(left.total_seconds())
    if seconds <= 0:
        return "Ended" if _english() else "已到期"
    if seconds < MINUTE:
        return "under 1 min left" if _english() else "剩不到 1 分钟"
    return f"{duration(seconds)} left" if _english() else f"剩 {duration(seconds)}"


@register.filter
def time_left(ends_at: datetime, now: datetime | None = None) -> str:
    """The bare span until a moment, rounded down, for 「还有 3 天」."""
    left = int((ends_at - (now or timezone.now())).total_seconds())
    return duration(max(0, left))


@register.filter
def time_to_wait(until: datetime, now: datetime | None = None) -> str:
    """The span until something works again, rounded up to minutes."""
    left = int((until - (now or timezone.now())).total_seconds())
    return duration(max(1, -(-left // MINUTE)) * MINUTE)


@register.filter
def seconds_left(until: datetime, now: datetime | None = None) -> int:
    """Whole seconds until a moment, for clocks that must not trust the device's."""
    left = (until - (now or timezone.now())).total_seconds()
    return max(0, ceil(left))


@register.filter
def minutes_to(start: datetime, end: datetime) -> int:
    return int((end - start).total_seconds()) // MINUTE


@register.filter
def days_left(ends_at: datetime, now: datetime | None = None) -> int:
    """Whole days left, rounded down, for 「还有 {n} 天」."""
    return max(0, (ends_at - (now or timezone.now())).days)


# Phones and numbers


def _national(phone: str) -> str:
    return phone.removeprefix("+86")


@register.filter
def masked_phone(phone: str) -> str:
    """``+8613800138000`` → ``138••••8000``."""
    number = _national(phone)
    return f"{number[:3]}••••{number[-4:]}"


@register.filter
def phone_tail(phone: str) -> str:
    """The last four digits, for 「尾号 8000」."""
    return "".join(digit for digit in phone if digit.isdecimal())[-4:]


@register.filter
def spaced_phone(phone: str) -> str:
    """``138 0013 8000`` in an entry field; what is no mobile number stays as typed."""
    number = _national(phone)
    if len(number) == 11 and number.isascii() and number.isdigit():
        return f"{number[:3]} {number[3:7]} {number[7:]}"
    return phone


@register.filter
def grouped(number: str) -> str:
    """An order number in groups of four: ``7K3M 9QXA …``."""
    return " ".join(number[i : i + 4] for i in range(0, len(number), 4))


# Words that hang on a value


@register.filter
def plan_caption(days: int) -> str:
    """What a plan of so many days is for; empty where nothing honest can be said."""
    match days:
        case 1:
            return gettext("试一天")
        case 7:
            return gettext("够用一周")
        case 30:
            return gettext("常用更划算")
    return ""


@register.filter
def days_word(days: int) -> str:
    """The unit beside a number of days that is set apart from it."""
    if _english():
        return "day" if days == 1 else "days"
    return "天"


@register.filter
def at(values: Mapping[int, str] | None, key: int) -> str:
    """What a mapping holds under a key, empty where it holds nothing."""
    return (values or {}).get(key, "")


@register.filter
def message_for(errors: Iterable[Complaint] | None, field: str) -> str:
    """The first message of a form's ``errors`` that belongs to ``field``."""
    return next((each.message for each in errors or () if each.field == field), "")
