"""Delivery of notices to the shop: threads, time-outs, retries."""

from __future__ import annotations

import heapq
import http.client
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from sandbox.trades import KEPT

WORKERS = 8
TIMEOUT_SECONDS = 5.0
GAPS_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0)
"""The gateways' pauses between tries, scaled down from minutes and hours."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One POST, or a GET of ``query``, signed for the moment it is sent at."""

    headers: dict[str, str]
    body: bytes
    query: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One try. ``status`` 0 means no answer; ``answer`` then says why."""

    gateway: str
    number: str
    event: str
    url: str
    attempt: int
    status: int
    answer: str
    accepted: bool
    at: datetime


@dataclass(slots=True)
class Letter:
    """One notice, tried until the shop accepts it.

    event     a word for people: ``payment``, ``refund``, ``closed``
    build     signs it anew for each try
    accepted  whether this status and body end the tries
    """

    gateway: str
    number: str
    event: str
    url: str
    build: Callable[[datetime], Outgoing]
    accepted: Callable[[int, bytes], bool]
    tries: int = 0
    batch: int = 0
    arrived: threading.Event = field(default_factory=threading.Event)

    def copy(self) -> Letter:
        """The same notice, with the same id, to be tried on its own."""
        return Letter(
            self.gateway, self.number, self.event, self.url, self.build, self.accepted
        )


class Postman:
    """Delivers letters from a few daemon threads. Safe between threads."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._due: list[tuple[float, int, Letter]] = []
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._workers = 0
        self._batch = 0
        self.gaps: tuple[float, ...] = GAPS_SECONDS
        self.deliveries: deque[Delivery] = deque(maxlen=KEPT)

    def post(self, letter: Letter, *, delay: float = 0.0) -> None:
        """Deliver in the background, first after ``delay`` seconds."""
        with self._changed:
            if len(self._due) >= KEPT:
                return
            letter.batch = self._batch
            due = time.monotonic() + delay
            heapq.heappush(self._due, (due, next(self._order), letter))
            if self._workers < WORKERS:
                self._workers += 1
                threading.Thread(target=self._work, daemon=True).start()
            self._changed.notify()

    def deliver(self, letter: Letter) -> Delivery:
        """Try once, now, in this thread."""
        letter.tries += 1
        batch, now = self._batch, self._now()
        status, answer = _send(letter.url, letter.build(now))
        accepted = letter.accepted(status, answer)
        delivery = Delivery(
            gateway=letter.gateway,
            number=letter.number,
            event=letter.event,
            url=letter.url,
            attempt=letter.tries,
            status=status,
            answer=answer[:300].decode(errors="replace"),
            accepted=accepted,
            at=now,
        )
        if batch == self._batch:
            self.deliveries.append(delivery)
        if accepted:
            letter.arrived.set()
        return delivery

    def waiting(self) -> int:
        with self._changed:
            return len(self._due)

    def clear(self) -> None:
        """Forget what is on its way, even in this moment, and what was delivered."""
        with self._changed:
            self._batch += 1
            self._due.clear()
            self.gaps = GAPS_SECONDS
        self.deliveries.clear()

    def _work(self) -> None:
        while True:
            letter = self._next()
            is_done = self.deliver(letter).accepted or letter.tries > len(self.gaps)
            if not is_done and letter.batch == self._batch:
                self.post(letter, delay=self.gaps[letter.tries - 1])

    def _next(self) -> Letter:
        with self._changed:
            while True:
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._due)[2]
                self._changed.wait(wait)


def _send(url: str, outgoing: Outgoing) -> tuple[int, bytes]:
    """POST or GET without following redirects, as the gateways do."""
    parts = urlsplit(url)
    kind = (
        http.client.HTTPSConnection
        if parts.scheme == "https"
        else http.client.HTTPConnection
    )
    path = parts.path or "/"
    if parts.query:
        path += f"?{parts.query}"
    method = "POST"
    if outgoing.query:
        method, path = "GET", f"{path}{'&' if parts.query else '?'}{outgoing.query}"
    try:
        connection = kind(parts.netloc, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, path, outgoing.body or None, outgoing.headers)
            response = connection.getresponse()
            return response.status, response.read(65536)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        return 0, f"{type(error).__name__}: {error}".encode()
