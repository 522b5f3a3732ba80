"""The proxy in front of two web processes, as docs/releases.md sets it up."""

from __future__ import annotations

from contextlib import suppress

import httpx

PATIENCE = httpx.Timeout(120).as_dict()
"""A process that is slow, because the machine is busy, is not one that is gone."""


class Proxy(httpx.BaseTransport):
    """Asks the first process that answers in full, over a new connection each time.

    ``answers`` are the statuses that browsers have seen; 502: neither has answered.
    """

    def __init__(self, *ports: int) -> None:
        self._ports = ports
        self._way = httpx.HTTPTransport(
            trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )
        self.answers: list[int] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        answer = self._ask(request)
        self.answers.append(answer.status_code)
        return answer

    def _ask(self, request: httpx.Request) -> httpx.Response:
        for port in self._ports:
            there = httpx.Request(
                request.method,
                request.url.copy_with(port=port),
                headers=request.headers,
                content=request.content,
                extensions={"timeout": PATIENCE},
            )
            with suppress(httpx.TransportError):
                answer = self._way.handle_request(there)
                body = b"".join(answer.iter_raw())
                return httpx.Response(
                    answer.status_code, headers=answer.headers, content=body
                )
        return httpx.Response(502)
