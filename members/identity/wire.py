"""The one HTTP client of the identity providers: five seconds, and silent in the logs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from members.identity.contract import Unavailable

if TYPE_CHECKING:
    import httpx

# Both write every URL, which here holds secrets, codes and openids.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)

TOTAL_SECONDS = 5.0
"""By which the whole answer must have come."""
LARGEST_ANSWER = 64 * 1024


@cache
def _client() -> httpx.Client:
    import httpx  # here and below: slow to load, and needed only by a log-in

    from kameng.punctual import PunctualTransport

    return httpx.Client(
        transport=PunctualTransport(httpx.Limits(max_keepalive_connections=4)),
        trust_env=False,
        follow_redirects=False,
        timeout=TOTAL_SECONDS,
        headers={"User-Agent": "kameng", "Accept-Encoding": "identity"},
    )


def get(url: str, params: Mapping[str, str]) -> bytes:
    """The body of an answer with status 200, unread; raises ``Unavailable``."""
    import httpx

    from kameng.punctual import deadline

    deadline.set(TOTAL_SECONDS)
    body = bytearray()
    try:
        with _client().stream("GET", url, params=params) as response:
            if response.status_code != 200:
                raise Unavailable(f"HTTP {response.status_code}")
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > LARGEST_ANSWER:
                    raise Unavailable("too large")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        # Without the cause: it carries the URL, and a log would print it.
        raise Unavailable(type(error).__name__) from None
    return bytes(body)
