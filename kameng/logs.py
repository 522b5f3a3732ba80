"""Log lines for people and machines, with personal data masked as a last net."""

from __future__ import annotations

import logging
import re
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="-")

_PHONE = re.compile(r"(?<!\d)(?:\+?86)?(1[3-9]\d)\d{4}(\d{4})(?!\d)")
_ID_NUMBER = re.compile(r"(?<!\d)(\d{6})\d{8}(\d{3}[\dXx])(?!\d)")
_SECRET_IN_URL = re.compile(
    r"(/s/|/enrol/|\btoken=|[?&](?:code|state)=|/notifications/sms/\w+/)[\w:-]+"
)


def mask(text: str) -> str:
    """Phones and identity numbers shortened, 138****8000; secrets of addresses gone."""
    text = _SECRET_IN_URL.sub(r"\1****", text)
    return _ID_NUMBER.sub(r"\1********\2", _PHONE.sub(r"\1****\2", text))


class MaskPersonalData(logging.Filter):
    """Rewrites the finished message; arguments are folded in first."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        masked = mask(message)
        if masked != message:
            record.msg, record.args = masked, None
        return True


class LineFormatter(logging.Formatter):
    """``time level logger [request] message``; tracebacks are masked too."""

    def __init__(self) -> None:
        super().__init__(
            "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"
        )

    def format(self, record: logging.LogRecord) -> str:
        record.request_id = request_id.get()
        return mask(super().format(record))
