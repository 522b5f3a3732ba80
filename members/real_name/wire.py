"""The one HTTP client of the verifiers: bounded in time and size, silent in the logs."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)

TOTAL_SECONDS = 5.0
"""By which the whole answer must have come: she waits for it."""
LARGEST_ANSWER = 64 * 1024


class NoAnswer(Exception):
    """Nothing usable came; the words name the kind of trouble alone."""


@dataclass(frozen=True, slots=True)
class Reply:
    """``data`` is the JSON object of the body, empty where there is none."""

    status: int
    data: Mapping[str, Any]


@cache
def _client() -> httpx.Client:
    import httpx  # here and below: slow to load, and seldom needed

    from kameng.punctual import PunctualTransport

    return httpx.Client(
        transport=PunctualTransport(httpx.Limits(max_keepalive_connections=0)),
        trust_env=False,
        follow_redirects=False,
        timeout=TOTAL_SECONDS,
        headers={"User-Agent": "kameng", "Accept-Encoding": "identity"},
    )


def post(url: str, *, headers: Mapping[str, str], body: bytes) -> Reply:
    """Send one request.

    raises  NoAnswer, never an error of the HTTP library: that would carry the request
    """
    import httpx

    from kameng.punctual import deadline

    deadline.set(TOTAL_SECONDS)
    received = bytearray()
    try:
        with _client().stream("POST", url, headers=headers, content=body) as response:
            for chunk in response.iter_raw():
                received += chunk
                if len(received) > LARGEST_ANSWER:
                    raise NoAnswer("too large")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise NoAnswer(type(error).__name__) from None
    try:
        data = json.loads(received)
    except ValueError:
        data = {}
    return Reply(response.status_code, data if isinstance(data, dict) else {})
