"""A merchant written for these tests: signs, verifies and decrypts by hand.

Shares no line with the sandbox or with the shop, so that a mistake shows.
"""

from __future__ import annotations

import base64
import json
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import httpx
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.sandbox_process import Sandbox

BEIJING = timezone(timedelta(hours=8))
Json = dict[str, Any]
HTTP = httpx.Client(trust_env=False, timeout=20)
"""One client for all: making one costs more than a request."""


def new_number() -> str:
    return uuid.uuid4().hex[:26].upper()


@cache
def private_key(line: str) -> rsa.RSAPrivateKey:
    key = serialization.load_der_private_key(base64.b64decode(line), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def sign(content: bytes, private_line: str) -> str:
    key = private_key(private_line)
    return base64.b64encode(
        key.sign(content, padding.PKCS1v15(), hashes.SHA256())
    ).decode()


def holds(content: bytes, signature: str, key: object) -> bool:
    assert isinstance(key, rsa.RSAPublicKey)
    try:
        key.verify(
            base64.b64decode(signature), content, padding.PKCS1v15(), hashes.SHA256()
        )
    except (InvalidSignature, ValueError):
        return False
    return True


def public_key(line: str) -> object:
    return serialization.load_der_public_key(base64.b64decode(line))


class AlipayMerchant:
    def __init__(self, sandbox: Sandbox) -> None:
        self.settings = sandbox.environment
        self.key = public_key(self.settings["ALIPAY_PUBLIC_KEY"])

    def parameters(self, method: str, content: Json, **extra: str) -> dict[str, str]:
        parameters = {
            "app_id": self.settings["ALIPAY_APP_ID"],
            "method": method,
            "format": "json",
            "charset": "utf-8",
            "sign_type": "RSA2",
            "timestamp": datetime.now(BEIJING).strftime("%Y-%m-%d %H:%M:%S"),
            "version": "1.0",
            "biz_content": json.dumps(content, ensure_ascii=False),
        } | extra
        parameters["sign"] = sign(
            alipay_text(parameters), self.settings["ALIPAY_APP_PRIVATE_KEY"]
        )
        return parameters

    def call(self, method: str, content: Json, **extra: str) -> Json:
        """A verified answer."""
        text = self.raw(self.parameters(method, content, **extra)).text
        inner, name = self.opened(text)
        assert name == method.replace(".", "_") + "_response"
        return inner

    def raw(self, parameters: dict[str, str]) -> httpx.Response:
        return HTTP.post(self.settings["ALIPAY_GATEWAY_URL"], data=parameters)

    def opened(self, text: str) -> tuple[Json, str]:
        """The inner object and its name, once the signature over its raw text holds."""
        start, end = text.index(":{") + 1, text.rindex(',"sign":"')
        inner = text[start:end]
        assert holds(inner.encode(), json.loads(text)["sign"], self.key)
        return json.loads(inner), text[2 : start - 2]

    def verified(self, query_or_body: str) -> dict[str, str]:
        """The fields of a notice or return, once their signature holds."""
        fields = dict(parse_qsl(query_or_body, strict_parsing=True))
        unsigned = {k: v for k, v in fields.items() if k not in ("sign", "sign_type")}
        assert holds(alipay_text(unsigned), fields["sign"], self.key)
        assert fields["sign_type"] == "RSA2"
        return fields


def alipay_text(fields: dict[str, str]) -> bytes:
    return "&".join(f"{k}={fields[k]}" for k in sorted(fields) if fields[k]).encode()


class WeChatMerchant:
    def __init__(self, sandbox: Sandbox) -> None:
        self.settings = sandbox.environment
        bundle = self.settings["WECHAT_PAY_PLATFORM_CERTS"].encode()
        certificate = x509.load_pem_x509_certificate(bundle)
        self.keys = {
            self.settings["WECHAT_PAY_PUBLIC_KEY_ID"]: public_key(
                self.settings["WECHAT_PAY_PUBLIC_KEY"]
            ),
            f"{certificate.serial_number:040X}": certificate.public_key(),
        }

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        age: int = 0,
        sent: str = "",
        **change: str,
    ) -> httpx.Response:
        """Sign and send; ``sent`` sends another body than the signed one."""
        text = "" if body is None else json.dumps(body)
        timestamp, nonce = str(int(time.time()) - age), uuid.uuid4().hex
        content = f"{method}\n{path}\n{timestamp}\n{nonce}\n{text}\n".encode()
        values = {
            "mchid": self.settings["WECHAT_PAY_MCH_ID"],
            "nonce_str": nonce,
            "signature": sign(content, self.settings["WECHAT_PAY_PRIVATE_KEY"]),
            "timestamp": timestamp,
            "serial_no": self.settings["WECHAT_PAY_SERIAL_NO"],
        } | change
        joined = ",".join(f'{name}="{value}"' for name, value in values.items())
        return HTTP.request(
            method,
            self.settings["WECHAT_PAY_BASE_URL"] + path,
            content=(sent or text).encode(),
            headers={
                "Authorization": f"WECHATPAY2-SHA256-RSA2048 {joined}",
                "Content-Type": "application/json",
                "Accept": "application/json",
            },
        )

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Json]:
        """Status and body of a verified answer."""
        response = self.request(method, path, body)
        self.check(dict(response.headers), response.content)
        return response.status_code, response.json() if response.content else {}

    def order(self, number: str, **change: object) -> Json:
        return {
            "appid": self.settings["WECHAT_PAY_APP_ID"],
            "mchid": self.settings["WECHAT_PAY_MCH_ID"],
            "description": "临时会员 7 天",
            "out_trade_no": number,
            "time_expire": (datetime.now(BEIJING) + timedelta(minutes=30)).isoformat(
                timespec="seconds"
            ),
            "notify_url": "http://127.0.0.1:9/notify/",
            "amount": {"total": 1500, "currency": "CNY"},
        } | change

    def check(self, headers: dict[str, str], body: bytes) -> str:
        """The serial that signed ``body``; AssertionError when none did."""
        lower = {name.lower(): value for name, value in headers.items()}
        timestamp = lower["wechatpay-timestamp"]
        content = f"{timestamp}\n{lower['wechatpay-nonce']}\n".encode() + body + b"\n"
        serial = lower["wechatpay-serial"]
        assert abs(time.time() - int(timestamp)) < 300
        assert holds(content, lower["wechatpay-signature"], self.keys[serial])
        return serial

    def decrypted(self, resource: dict[str, str]) -> bytes:
        cipher = AESGCM(self.settings["WECHAT_PAY_API_V3_KEY"].encode())
        return cipher.decrypt(
            resource["nonce"].encode(),
            base64.b64decode(resource["ciphertext"]),
            resource["associated_data"].encode(),
        )

    def notice(self, received: Received) -> tuple[Json, Json]:
        """Envelope and resource of a genuine notice."""
        self.check(received.headers, received.body)
        envelope: Json = json.loads(received.body)
        return envelope, json.loads(self.decrypted(envelope["resource"]))


@dataclass(frozen=True)
class Received:
    path: str
    headers: dict[str, str]
    body: bytes
    at: datetime
    method: str = "POST"
    query: str = ""


@dataclass
class NoticeServer:
    """The shop's notify address. ``replies`` are used up, then ``reply`` is repeated.

    ``only`` names the one path whose notices count: retries meant for an earlier test
    may still arrive.
    """

    url: str = ""
    only: str = ""
    received: list[Received] = field(default_factory=list)
    replies: deque[tuple[int, bytes]] = field(default_factory=deque)
    reply: tuple[int, bytes] = (200, b"success")
    server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.take(self.rfile.read(int(self.headers["Content-Length"])))

            def do_GET(self) -> None:
                self.take(b"")

            def take(self, body: bytes) -> None:
                path, _, query = self.path.partition("?")
                if not owner.only or path == owner.only:
                    headers, now = dict(self.headers.items()), datetime.now(UTC)
                    owner.received.append(
                        Received(path, headers, body, now, self.command, query)
                    )
                status, answer = (
                    owner.replies.popleft() if owner.replies else owner.reply
                )
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/notify/"
        threading.Thread(
            target=self.server.serve_forever, args=(0.02,), daemon=True
        ).start()

    def stop(self) -> None:
        if self.server:
            self.server.shutdown()
            self.server.server_close()
