"""One call to a push service: to the judged address, without redirects, in 3 seconds."""

from __future__ import annotations

import queue
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from notifications.push import endpoints

if TYPE_CHECKING:
    import httpx

LIMIT_SECONDS = 3.0


class NoAnswer(Exception):
    """Nothing usable came back in time."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    retry_after: int | None = None


def post(endpoint: str, *, headers: Mapping[str, str], body: bytes) -> Answer:
    """Send one message. raises NoAnswer, endpoints.Refused"""
    return _within(LIMIT_SECONDS, lambda: _call(endpoint, headers, body))


def _call(endpoint: str, headers: Mapping[str, str], body: bytes) -> Answer:
    import httpx  # slow to load, and needed only to send

    url, sent, extensions = httpx.URL(endpoint), dict(headers), {}
    try:
        if not endpoints.is_sandbox(endpoint):
            host = endpoints.judge(endpoint)
            # The name still stands in the certificate and in ``Host``; resolving it a
            # second time could lead elsewhere.
            url = url.copy_with(host=endpoints.public_address(host), port=443)
            sent["Host"], extensions["sni_hostname"] = host, host
        with _client().stream(
            "POST", url, headers=sent, content=body, extensions=extensions
        ) as response:  # nobody reads the body
            wait = response.headers.get("Retry-After", "")
            seconds = int(wait) if wait.isascii() and wait.isdigit() else None
            return Answer(response.status_code, seconds)
    except (httpx.HTTPError, OSError) as error:
        raise NoAnswer(type(error).__name__) from None


@cache
def _client() -> httpx.Client:
    import httpx

    return httpx.Client(
        timeout=LIMIT_SECONDS,
        trust_env=False,  # a proxy would resolve the name again
        follow_redirects=False,
        verify=trust(),
        limits=httpx.Limits(max_keepalive_connections=0),
    )


def trust() -> ssl.SSLContext:
    import certifi

    return ssl.create_default_context(cafile=certifi.where())


def _within(seconds: float, call: Callable[[], Answer]) -> Answer:
    """The time-outs of the library count each read; this counts the whole call."""
    results: queue.SimpleQueue[Answer | Exception] = queue.SimpleQueue()

    def work() -> None:
        try:
            results.put(call())
        except Exception as error:
            results.put(error)

    threading.Thread(target=work, daemon=True).start()
    try:
        result = results.get(timeout=seconds)
    except queue.Empty:
        raise NoAnswer("deadline") from None
    if isinstance(result, Exception):
        raise result
    return result
