"""Phone numbers: every spelling of a Chinese mobile leads to one E.164 string."""

from __future__ import annotations

import re
import unicodedata

LONGEST = 64
"""Longer input is refused unread."""

TAIL = re.compile(r"[0-9]{4}", re.ASCII)
"""What staff may type instead of a whole number."""

_ORNAMENTS = ("Cf", "Pd")
"""Zero-width and bidirectional marks; dashes of all lengths."""
_SEPARATORS = re.compile(r"[\s().]")
_DIGITS = re.compile(r"\+?[0-9]{1,20}")
_MOBILE = re.compile(r"1[3-9][0-9]{9}")


class BadPhone(ValueError):
    """Not a Chinese mobile number that can get a code."""


def parse(raw: str) -> str:
    """``１３８ 0013-8000`` and all its spellings → ``+8613800138000`` (security 15–17).

    Refuses foreign and fixed lines, service numbers, extensions, control characters
    and everything else that is not one mobile number.
    """
    digits = _digits(raw)
    # Its metadata costs a tenth of a second to load; only the web processes need it.
    import phonenumbers

    try:
        number = phonenumbers.parse(digits, "CN")
    except phonenumbers.NumberParseException as error:
        raise BadPhone("not a phone number") from error
    mobile = str(number.national_number)
    if (
        number.country_code != 86
        or phonenumbers.number_type(number) != phonenumbers.PhoneNumberType.MOBILE
        or not _MOBILE.fullmatch(mobile)
    ):
        raise BadPhone("not a Chinese mobile number")
    return f"+86{mobile}"


def _digits(raw: str) -> str:
    """The number without the ornaments that keyboards and address books add."""
    if len(raw) > LONGEST or any(unicodedata.category(each) == "Cc" for each in raw):
        raise BadPhone("too long or with control characters")
    text = "".join(
        each
        for each in unicodedata.normalize("NFKC", raw)
        if unicodedata.category(each) not in _ORNAMENTS
    ).strip()
    if text[:4].lower() == "tel:":
        text = text[4:]
    digits = _SEPARATORS.sub("", text)
    if not _DIGITS.fullmatch(digits):
        raise BadPhone("characters that no phone number has")
    return digits


def national(phone: str) -> str:
    """``+8613800138000`` → ``13800138000``."""
    return phone.removeprefix("+86")


def tail(phone: str) -> str:
    """The last four digits, for 「尾号 8000」."""
    return phone[-4:]
