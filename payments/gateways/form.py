"""The form of a notice, read in one way or not at all (security 33)."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from payments.gateways.contract import NoticeRefused

NAME = re.compile(r"[A-Za-z0-9_.-]+", re.ASCII)
"""What gateways call a field; none of it means anything in what they sign."""
MOST_FIELDS = 100
LONGEST = 64 * 1024


def read(body: bytes) -> dict[str, str]:
    """The fields of a form, or a refusal of whatever could be read in two ways.

    raises  NoticeRefused
    """
    if len(body) > LONGEST:
        raise NoticeRefused("too-large")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:
        raise NoticeRefused("malformed") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise NoticeRefused("duplicate")
    if not all(NAME.fullmatch(name) for name in fields):
        raise NoticeRefused("ambiguous")
    return fields
