"""A member, a fixed time and a provider's front door that the tests script."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from members.models import Member

PHONE = "+8613800138000"


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


@pytest.fixture
def member(db: None) -> Member:
    return Member.objects.create_user(PHONE)


@dataclass(frozen=True, slots=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


@dataclass
class FrontDoor:
    """A provider at the network's edge: answers what the test says, keeps what came.

    ``answers`` are used up one by one, the last one stays; ``None`` reads the request
    and closes the connection without a word.
    """

    url: str = ""
    answers: list[tuple[int, str] | None] = field(
        default_factory=lambda: [(200, '{"id": "box-1"}')]
    )
    received: list[Received] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    before_answer: Callable[[], object] = lambda: None

    def answer(self) -> tuple[int, str] | None:
        self.before_answer()
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def front_door() -> Iterator[FrontDoor]:
    door = FrontDoor()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            door.received.append(Received(self.path, headers, body))
            reply = door.answer()
            if reply is None:
                self.close_connection = True
                return
            status, text = reply
            with suppress(BrokenPipeError):  # the caller lost patience
                self.send_response(status)
                for name, value in door.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    door.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}
    )
    thread.start()
    yield door
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def inbox(front_door: FrontDoor, settings: Any) -> FrontDoor:
    """The front door as the sandbox's SMS inbox, which is what the shop sends to."""
    settings.SMS_PROVIDER = "sandbox"
    settings.SMS_SANDBOX_URL = f"{front_door.url}/sms/send/"
    return front_door


@pytest.fixture
def nowhere() -> str:
    """An address at which nobody listens."""
    return "http://127.0.0.1:1"
