"""Answers that a provider should never give, and names that nobody should have."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from members.identity import nicknames, qq, wechat, wire
from members.identity.contract import Refused, Unavailable

HOSTILE = [
    b"",
    b"[]",
    b"null",
    b"callback(",
    b"callback( [] );",
    b"\xff\xfe",
    b"<html>502</html>",
    b'{"access_token": 1, "openid": "o"}',
    b'{"access_token": {"$ne": 1}}',
    b'{"errcode": [40029]}',
    b'{"error": {}}',
    b"{" * 5_000,
]


@pytest.mark.parametrize("body", HOSTILE, ids=lambda body: repr(body[:20]))
def test_an_answer_without_sense_is_no_person(body: bytes) -> None:
    for read in (wechat.read_token, qq.read_token):
        with pytest.raises((Unavailable, Refused)):
            read(body)
    with pytest.raises((Unavailable, Refused)):
        qq.read_me(body, "10101101")


@pytest.mark.parametrize(
    "openid", ['""', "null", "1", '["o"]', '"o\\n"', '"' + "o" * 65 + '"', '"开"']
)
def test_an_openid_is_short_ascii_text(openid: str) -> None:
    body = f'{{"access_token": "A", "client_id": "1", "openid": {openid}}}'.encode()
    with pytest.raises(Refused):
        wechat.read_token(body)
    with pytest.raises(Refused):
        qq.read_me(body, "1")


def test_another_unionid_than_the_tokens_is_somebody_else() -> None:
    token = wechat.Token("A", "o", "u")
    with pytest.raises(Refused):
        wechat.read_user(b'{"openid": "o", "unionid": "v", "nickname": "x"}', token)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("卡盟用户🎫", "卡盟用户🎫"),
        ("<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"),
        ("a" * 10_000, "a" * 32),
        ("evil\u202egpj.exe", "evilgpj.exe"),
        ("\u2066\u2069\u200f\ufeffx\u200b", "x"),
        ("👨\u200d👩\u200d👧", "👨👩👧"),
        ("nul\x00l\x1b[31m", "null[31m"),
        ("two\nlines\r\n\u2028 and\u3000more", "two lines and more"),
        ("\ud800half", "half"),
        ("   ", ""),
        ("\u202e", ""),
    ],
)
def test_a_hostile_name_is_cleaned(typed: str, kept: str) -> None:
    """security 63"""
    assert nicknames.clean(typed) == kept


class Dripping(BaseHTTPRequestHandler):
    """One byte now and then, for ever."""

    def do_GET(self) -> None:
        self.send_response(302 if self.path.startswith("/moved") else 200)
        if self.path.startswith("/moved"):
            self.send_header("Location", "/")
            self.end_headers()
            return
        self.end_headers()
        try:
            if self.path.startswith("/huge"):
                self.wfile.write(b"x" * 200_000)
                return
            while True:
                self.wfile.write(b" ")
                time.sleep(0.1)
        except OSError:
            pass

    def log_message(self, *_: object) -> None:
        pass


def test_a_provider_has_five_seconds_and_little_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """FLT: a slow provider holds no worker; a redirect is not followed."""
    monkeypatch.setattr(wire, "TOTAL_SECONDS", 0.5)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Dripping)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    here = f"http://127.0.0.1:{server.server_port}"
    try:
        began = time.monotonic()
        with pytest.raises(Unavailable):
            wire.get(here + "/", {"secret": "s3cret"})
        assert time.monotonic() - began < 20
        for path in ("/huge", "/moved"):
            with pytest.raises(Unavailable) as doubt:
                wire.get(here + path, {"secret": "s3cret"})
            assert "s3cret" not in str(doubt.value)
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(Unavailable):
        wire.get(here, {})
