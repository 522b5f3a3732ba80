"""Serves the collected static files in front of Django, compressed and cacheable.

granian can serve a folder too, but sends every file uncompressed.
"""

from __future__ import annotations

import gzip
import json
import mimetypes
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

FOREVER = "public, max-age=31536000, immutable"
BRIEFLY = "public, max-age=3600"
MANIFEST = "staticfiles.json"
WORTH_COMPRESSING = ("text/", "image/svg", "application/json", "application/manifest")
TEXT_TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}


class StaticFile:
    """One file, read and compressed at its first request."""

    def __init__(self, path: Path, *, is_versioned: bool) -> None:
        self._path = path
        guessed = TEXT_TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
        kind = guessed or "application/octet-stream"
        self._is_compressible = kind.startswith(WORTH_COMPRESSING)
        self._headers = [
            (
                "Content-Type",
                f"{kind}; charset=utf-8" if kind.startswith("text/") else kind,
            ),
            ("Cache-Control", FOREVER if is_versioned else BRIEFLY),
            ("X-Content-Type-Options", "nosniff"),
        ]
        if self._is_compressible:
            self._headers.append(("Vary", "Accept-Encoding"))

    @cached_property
    def _plain(self) -> bytes:
        return self._path.read_bytes()

    @cached_property
    def _compressed(self) -> bytes | None:
        """None where compression gains nothing."""
        if not self._is_compressible:
            return None
        packed = gzip.compress(self._plain, compresslevel=9, mtime=0)
        return packed if len(packed) < len(self._plain) else None

    def answer(self, accepted: str) -> tuple[bytes, list[tuple[str, str]]]:
        """The body for a client that accepts these encodings, and its headers."""
        body, headers = self._plain, list(self._headers)
        if "gzip" in accepted and self._compressed is not None:
            body = self._compressed
            headers.append(("Content-Encoding", "gzip"))
        headers.append(("Content-Length", str(len(body))))
        return body, headers


class StaticFiles:
    """WSGI: answers for the files below ``root``, leaves the rest to ``application``.

    Old versions stay beside the new ones, for pages of the release before ask for them
    (FLT-37). No request's path reaches the disk: the files are those that existed when
    the manifest was written, which ``collectstatic`` does last. A process of the release
    before finds the new ones too, since both serve while one takes over from the other.

    Files under a name that ``collectstatic`` derived from their content never change.
    """

    def __init__(self, application: WSGIApplication, root: Path, prefix: str) -> None:
        self._application = application
        self._root = root
        self._prefix = prefix
        self._list()

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        file = self._files.get(path)
        if file is None and path.startswith(self._prefix) and self._is_outdated():
            self._list()
            file = self._files.get(path)
        if file is None or method not in ("GET", "HEAD"):
            return self._application(environ, start_response)
        body, headers = file.answer(environ.get("HTTP_ACCEPT_ENCODING", ""))
        start_response("200 OK", headers)
        return [body if method == "GET" else b""]

    def _list(self) -> None:
        self._listed_at = _written_at(self._root / MANIFEST)
        versioned = _versioned_names(self._root / MANIFEST)
        self._files = {
            f"{self._prefix}{name}": StaticFile(path, is_versioned=name in versioned)
            for path in self._root.rglob("*")
            if path.is_file()
            and (name := path.relative_to(self._root).as_posix()) != MANIFEST
        }

    def _is_outdated(self) -> bool:
        return _written_at(self._root / MANIFEST) != self._listed_at


def _written_at(manifest: Path) -> int:
    try:
        return manifest.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _versioned_names(manifest: Path) -> frozenset[str]:
    try:
        return frozenset(json.loads(manifest.read_text())["paths"].values())
    except FileNotFoundError:
        return frozenset()
