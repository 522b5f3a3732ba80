"""The rendered states behind a small web server, under the product's security policy."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from django.conf import settings
from django.test import override_settings
from django.utils.csp import CSP

from tests.pages.states import STATES, render

POLICY = "; ".join(
    f"{directive} {' '.join(values)}"
    for directive, values in settings.SECURE_CSP.items()
    if isinstance(values, (list, tuple))
)
assert CSP.UNSAFE_INLINE not in POLICY


@contextmanager
def serve(language: str = "zh-hans") -> Iterator[str]:
    """``http://…/<state>`` for each state, ``/static/…`` as the templates name it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            name = path.lstrip("/")
            if path.startswith("/static/"):
                file = settings.BASE_DIR / "static" / path.removeprefix("/static/")
                kind = mimetypes.guess_type(file.name)[0] or "text/plain"
                self._answer(file.read_bytes(), kind)
            elif name in STATES:
                self._answer(
                    render(name, language).encode(), "text/html; charset=utf-8"
                )
            else:
                self.send_response(204)
                self.end_headers()

        def _answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Security-Policy", POLICY)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    plain = "django.contrib.staticfiles.storage.StaticFilesStorage"
    caches = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    with override_settings(
        STORAGES={"staticfiles": {"BACKEND": plain}},
        ROOT_URLCONF="tests.pages.urls",
        CACHES=caches,
    ):
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
