"""The sandbox's web server: one process, one thread a connection."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType

from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application

IDLE_SECONDS = 60


class Server(ThreadedWSGIServer):
    request_queue_size = 128

    def _close_connections(self) -> None:
        """There is no database."""

    def handle_error(self, request: object, client_address: object) -> None:
        """A kept connection that says nothing more is no error."""
        if not isinstance(sys.exception(), TimeoutError):
            super().handle_error(request, client_address)


class Handler(WSGIRequestHandler):
    # Header and body leave in two writes; Nagle would hold the second for 40 ms.
    disable_nagle_algorithm = True
    timeout = IDLE_SECONDS

    def get_environ(self) -> dict[str, str]:
        """Add the target as it came: WeChat Pay's signature covers it unquoted."""
        return super().get_environ() | {"RAW_URI": self.path}

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: Aliyun's codes stand in the URL."""


def serve(host: str, port: int) -> None:
    """Answer until SIGTERM or Ctrl-C."""
    server = Server((host, port), Handler)
    server.set_app(get_wsgi_application())

    def stop(_signal: int, _frame: FrameType | None) -> None:
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print(f"sandbox: http://{host}:{server.server_port}/", flush=True)  # noqa: T201
    server.serve_forever(poll_interval=0.2)
    server.server_close()
