"""The one HTTP client of the SMS providers, and what its failures mean."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from notifications.sms.contract import Result, SendResult

if TYPE_CHECKING:
    import httpx

# httpx logs whole URLs, and Aliyun's carries the phone and the code.
logging.getLogger("httpx").setLevel(logging.WARNING)

TIMEOUT_SECONDS = 3.0


class NoAnswer(Exception):
    """The call gave no usable answer; ``outcome`` says whether it may have worked."""

    def __init__(self, outcome: SendResult) -> None:
        super().__init__(outcome.code)
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class Answer:
    """``data`` is the JSON object of the body, empty where there is none."""

    status: int
    data: Mapping[str, Any]


@cache
def _client() -> httpx.Client:
    import httpx  # here and below: slow to load, and needed only to send

    # A kept connection that the provider closes meanwhile would leave us not knowing
    # whether the message went out, so each call opens its own.
    return httpx.Client(
        timeout=TIMEOUT_SECONDS,
        trust_env=False,
        limits=httpx.Limits(max_keepalive_connections=0),
    )


def base_url(endpoint: str) -> str:
    """A bare host name means https; outside production a local http URL is allowed."""
    url = endpoint if "://" in endpoint else f"https://{endpoint}"
    return url.rstrip("/")


def host_of(url: str) -> str:
    """The Host header that a call to ``url`` carries; it is part of the signatures."""
    import httpx

    return httpx.URL(url).netloc.decode("ascii")


def post(url: str, *, headers: Mapping[str, str], body: bytes = b"") -> Answer:
    """Send one request; raises ``NoAnswer``, never an error of the HTTP library."""
    import httpx

    try:
        response = _client().post(url, headers=headers, content=body)
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise NoAnswer(
            SendResult(Result.RETRY_OTHER_PROVIDER, code=type(error).__name__)
        ) from None
    except httpx.HTTPError as error:  # sent, or partly sent: it may have worked
        raise NoAnswer(SendResult(Result.UNKNOWN, code=type(error).__name__)) from None
    return answer(response.status_code, response.content)


def answer(status: int, body: bytes) -> Answer:
    try:
        data = json.loads(body)
    except ValueError:
        data = {}
    return Answer(status, data if isinstance(data, dict) else {})


def unreadable(status: int) -> SendResult:
    """For an answer that is not the provider's own: a proxy, a crash, a new format."""
    return SendResult(Result.UNKNOWN, code=f"HTTP {status}")
