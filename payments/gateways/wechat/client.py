"""WeChat Pay v3 on the wire: signing, checking, decrypting."""

from __future__ import annotations

import base64
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from payments.gateways import bills, keys, values
from payments.gateways.contract import GatewayError, Refused, Unclear
from payments.gateways.wire import Answer, Wire

SCHEME = "WECHATPAY2-SHA256-RSA2048"
_WINDOW = timedelta(minutes=5)
_PROBE = "WECHATPAY/SIGNTEST/"
_CIPHER = "AEAD_AES_256_GCM"
# These say "not now", so the same number may be sent again.
_REPEATABLE = {
    "SYSTEM_ERROR",
    "FREQUENCY_LIMITED",
    "RATELIMIT_EXCEEDED",
    "NOT_ENOUGH",
    "BIZ_ERR_NEED_RETRY",
}


class Forged(Exception):
    """What came in is not provably WeChat's; ``reason`` is a short English word."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class MerchantKey:
    """Our side: who signs, and under which certificate number WeChat knows the key."""

    mch_id: str
    serial_no: str
    private_key: rsa.RSAPrivateKey

    def sign(self, *lines: str) -> str:
        """The signature over ``lines``, each ended by a line feed."""
        return keys.sign(self.private_key, "".join(f"{x}\n" for x in lines).encode())

    def authorization(
        self, method: str, path: str, body: str, *, timestamp: str, nonce: str
    ) -> str:
        """The header of one request; ``path`` holds the query, ``body`` may be empty."""
        signature = self.sign(method, path, timestamp, nonce, body)
        return (
            f'{SCHEME} mchid="{self.mch_id}",nonce_str="{nonce}",'
            f'signature="{signature}",timestamp="{timestamp}",'
            f'serial_no="{self.serial_no}"'
        )


class PlatformKeys:
    """WeChat's side: its public key, its platform certificates, or both.

    During a change-over both kinds of signature arrive. An unknown serial is refused;
    asking WeChat for it would let anybody make us call out.
    """

    def __init__(
        self,
        *,
        public_key_id: str = "",
        public_key: rsa.RSAPublicKey | None = None,
        certificates: Sequence[x509.Certificate] = (),
    ) -> None:
        self.public_key_id = public_key_id if public_key else ""
        self.certificates = {_hex(c.serial_number): c for c in certificates}
        self._public_key = public_key

    def find(self, serial: str, *, now: datetime) -> rsa.RSAPublicKey:
        """The key behind a ``Wechatpay-Serial``; raises Forged."""
        if self._public_key is not None and serial == self.public_key_id:
            return self._public_key
        certificate = self.certificates.get(serial.upper().lstrip("0"))
        if certificate is None:
            raise Forged("serial")
        if not (
            certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
        ):
            raise Forged("certificate")
        key = certificate.public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise Forged("certificate")
        return key

    def check(self, headers: Mapping[str, str], body: bytes, *, now: datetime) -> bool:
        """Check the signature of an answer or a notice.

        headers  any mapping that finds the lower-case names
        returns  whether its time stamp lies in the replay window
        raises   Forged
        """
        timestamp = headers.get("wechatpay-timestamp", "")
        nonce = headers.get("wechatpay-nonce", "")
        signature = headers.get("wechatpay-signature", "")
        if not (timestamp and nonce and signature):
            raise Forged("unsigned")
        if signature.startswith(_PROBE):
            raise Forged("probe")
        if headers.get("wechatpay-signature-type", SCHEME) != SCHEME:
            raise Forged("algorithm")
        key = self.find(headers.get("wechatpay-serial", ""), now=now)
        signed = f"{timestamp}\n{nonce}\n".encode() + body + b"\n"
        if not keys.is_signed(key, signed, signature):
            raise Forged("signature")
        if not re.fullmatch("[0-9]{1,10}", timestamp):
            raise Forged("timestamp")
        return abs(now - datetime.fromtimestamp(int(timestamp), UTC)) <= _WINDOW


class WechatClient:
    """Sends signed requests and returns what WeChat provably answered."""

    def __init__(
        self,
        *,
        base_url: str,
        merchant: MerchantKey,
        platform: PlatformKeys,
        api_v3_key: bytes,
        wire: Wire,
    ) -> None:
        self.merchant = merchant
        self.platform = platform
        self._base_url = base_url
        self._aes = AESGCM(api_v3_key)
        self._wire = wire

    def call(
        self,
        method: str,
        path: str,
        content: Mapping[str, Any] | None = None,
        *,
        now: datetime,
    ) -> dict[str, Any]:
        """Ask WeChat; an answer without a body (204) comes back as an empty object.

        raises  Refused, Unclear
        """
        body = (
            ""
            if content is None
            else json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        )
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "Authorization": self._authorization(method, path, body, now=now),
        }
        if self.platform.public_key_id:
            headers["Wechatpay-Serial"] = self.platform.public_key_id
        answer = self._wire.exchange(
            method, self._base_url + path, headers=headers, content=body.encode()
        )
        return self.read(answer, now=now)

    def download(self, url: str, *, now: datetime) -> bytes:
        """The file at an address that WeChat has named and the caller has checked.

        Its answer bears no signature; a hash in the signed answer stands for it.

        raises  Unclear
        """
        parts = urlsplit(url)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        answer = self._wire.exchange(
            "GET",
            url,
            headers={"Authorization": self._authorization("GET", path, "", now=now)},
            content=b"",
            largest=bills.LARGEST_FILE,
            seconds=bills.DOWNLOAD_SECONDS,
        )
        if answer.status != 200:
            raise Unclear(f"http-{answer.status}")
        return answer.body

    def _authorization(
        self, method: str, path: str, body: str, *, now: datetime
    ) -> str:
        return self.merchant.authorization(
            method,
            path,
            body,
            timestamp=str(int(now.timestamp())),
            nonce=secrets.token_hex(16).upper(),
        )

    def read(self, answer: Answer, *, now: datetime) -> dict[str, Any]:
        """The object in an answer; only errors may come unsigned.

        raises  Refused for a 4xx that names its reason, Unclear for all else
        """
        success = 200 <= answer.status < 300
        if success or "wechatpay-signature" in answer.headers:
            try:
                fresh = self.platform.check(answer.headers, answer.body, now=now)
            except Forged as error:
                raise Unclear("forged", error.reason) from None
            if not fresh:
                raise Unclear("forged", "timestamp")
        if not success:
            raise _error(answer)
        return _object(answer.body) if answer.body else {}

    def decrypt(self, resource: Mapping[str, Any]) -> dict[str, Any]:
        """The object inside the ``resource`` of a notice; raises Forged."""
        if resource.get("algorithm") != _CIPHER:
            raise Forged("algorithm")
        try:
            # Texts from JSON may hold lone surrogates, which have no bytes.
            nonce = values.text(resource, "nonce").encode()
            if len(nonce) != 12:
                raise Forged("decrypt")
            plain = self._aes.decrypt(
                nonce,
                base64.b64decode(values.text(resource, "ciphertext"), validate=True),
                values.text(resource, "associated_data").encode(),
            )
            return _object(plain)
        except (InvalidTag, ValueError, Unclear):
            raise Forged("decrypt") from None


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Unclear("malformed")
    return found


def _error(answer: Answer) -> GatewayError:
    """What an answer that is no success means for the call."""
    try:
        given = _object(answer.body)
    except Unclear:
        given = {}
    code, words = values.words(given, "code"), values.words(given, "message")
    definite = 400 <= answer.status < 500 and answer.status != 429
    if definite and code and code not in _REPEATABLE:
        return Refused(code, words)
    return Unclear(code or f"http-{answer.status}", words)


def _hex(serial: int) -> str:
    return f"{serial:X}"
