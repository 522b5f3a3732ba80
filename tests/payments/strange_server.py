"""A server that answers whatever a test says, byte for byte, and as slowly."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Behaviour = Callable[[socket.socket], None]


@dataclass
class StrangeServer:
    """``behave`` gets the connection once a whole request has been read from it."""

    url: str = ""
    behave: Behaviour = lambda connection: None
    requests: list[bytes] = field(default_factory=list)

    def says(self, answer: bytes) -> None:
        self.behave = lambda connection: connection.sendall(answer)


def http(
    body: bytes, status: str = "200 OK", headers: tuple[tuple[str, str], ...] = ()
) -> bytes:
    """A plain answer after which the connection ends."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def dripping(first: bytes, drop: bytes, *, every: float, seconds: float) -> Behaviour:
    """Say ``first`` and then a drop now and then: no single wait is long."""

    def drip(connection: socket.socket) -> None:
        end = time.monotonic() + seconds
        with suppress(OSError):  # the caller has had enough
            connection.sendall(first)
            while time.monotonic() < end:
                connection.sendall(drop)
                time.sleep(every)

    return drip


@contextmanager
def strange_server() -> Iterator[StrangeServer]:
    server = StrangeServer()
    listener = socket.create_server(("127.0.0.1", 0))
    server.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    threading.Thread(target=_accept, args=(listener, server), daemon=True).start()
    try:
        yield server
    finally:
        listener.close()


def _accept(listener: socket.socket, server: StrangeServer) -> None:
    with suppress(OSError):  # closed at the end
        while True:
            connection, _ = listener.accept()
            threading.Thread(
                target=_serve, args=(connection, server), daemon=True
            ).start()


def _serve(connection: socket.socket, server: StrangeServer) -> None:
    with connection, suppress(OSError):
        server.requests.append(_request(connection))
        server.behave(connection)


def _request(connection: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65_536) or b"\r\n\r\n"
    head, _, body = received.partition(b"\r\n\r\n")
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(body) < length:
        body += connection.recv(65_536)
    return head + b"\r\n\r\n" + body
