"""The one HTTP connection of a gateway: short, bounded, and silent in the logs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from payments.gateways.contract import Unclear

if TYPE_CHECKING:
    import httpx

# Together five seconds, by which the whole answer must have come.
CONNECT_SECONDS = 1.5
WRITE_SECONDS = 0.5
READ_SECONDS = 3.0
TOTAL_SECONDS = CONNECT_SECONDS + WRITE_SECONDS + READ_SECONDS
LARGEST_ANSWER = 256 * 1024

# Both write every URL, which holds order and merchant numbers, at INFO or DEBUG.
logging.getLogger("httpx").setLevel(logging.WARNING)
logging.getLogger("httpcore").setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True)
class Answer:
    """``headers`` have lower-case names; ``body`` is what was signed, byte for byte."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire:
    """A long-lived client that turns every mishap into ``Unclear``.

    Proxies and netrc of the environment are ignored and redirects are not followed: a
    payment is only ever discussed with the configured host.

    transport  stands in for the network in tests
    """

    def __init__(self, transport: httpx.BaseTransport | None = None) -> None:
        self._transport = transport

    @cached_property
    def _http(self) -> httpx.Client:
        # Imported and opened at the first call, so that neither `manage.py check` nor
        # a parent about to fork pays for it.
        import httpx

        from kameng.punctual import PunctualTransport

        limits = httpx.Limits(max_connections=None, max_keepalive_connections=8)
        return httpx.Client(
            transport=self._transport or PunctualTransport(limits),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(
                connect=CONNECT_SECONDS,
                write=WRITE_SECONDS,
                read=READ_SECONDS,
                pool=CONNECT_SECONDS,
            ),
            headers={"User-Agent": "kameng", "Accept-Encoding": "identity"},
        )

    def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        content: bytes,
        largest: int = LARGEST_ANSWER,
        seconds: float = TOTAL_SECONDS,
    ) -> Answer:
        """Send one request and read the whole answer.

        largest, seconds  more than usual for a bill, which is a file
        raises  Unclear: the gateway may or may not have acted
        """
        import httpx

        from kameng.punctual import deadline

        deadline.set(seconds)
        body = bytearray()
        try:
            with self._http.stream(
                method, url, headers=headers, content=content
            ) as response:
                for chunk in response.iter_raw():
                    body += chunk
                    if len(body) > largest:
                        raise Unclear("too-large")
        except httpx.TimeoutException:
            raise Unclear("timeout") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # Without the cause: it carries the request, and a log would print it.
            raise Unclear("connection", type(error).__name__) from None
        return Answer(
            status=response.status_code,
            headers={name.lower(): value for name, value in response.headers.items()},
            body=bytes(body),
        )
