"""A browser at the other end of web push, written by hand: it shares no line with ours."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256


def text64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def bytes64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


class Browser:
    def __init__(self, scalar: bytes | None = None, auth: bytes | None = None) -> None:
        number = int.from_bytes(scalar or os.urandom(31))
        self.key = ec.derive_private_key(number, ec.SECP256R1())
        self.point = self.key.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
        )
        self.auth = auth or os.urandom(16)

    @property
    def keys(self) -> dict[str, str]:
        return {"p256dh": text64(self.point), "auth": text64(self.auth)}

    def open(self, body: bytes) -> bytes:
        """RFC 8291 read backwards; one record of RFC 8188."""
        salt, size, length = body[:16], int.from_bytes(body[16:20]), body[20]
        assert (size, length) == (4096, 65)
        assert len(body) <= 4096
        theirs, sealed = body[21:86], body[86:]
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), theirs)
        shared = self.key.exchange(ec.ECDH(), point)
        first = _hmac(self.auth, shared)
        info = b"WebPush: info\0" + self.point + theirs
        material = _hmac(salt, _hmac(first, info + b"\1"))
        key = _hmac(material, b"Content-Encoding: aes128gcm\0\1")[:16]
        nonce = _hmac(material, b"Content-Encoding: nonce\0\1")[:12]
        text = AESGCM(key).decrypt(nonce, sealed, None)
        assert text[-1:] == b"\2"
        return text[:-1]

    def read(self, body: bytes) -> dict[str, Any]:
        return json.loads(self.open(body))


def claims_of(authorization: str) -> tuple[dict[str, Any], str]:
    """The checked claims and the public key of a VAPID header, as a service reads it."""
    scheme, _, rest = authorization.partition(" ")
    assert scheme == "vapid"
    parts = dict(part.strip().split("=", 1) for part in rest.split(","))
    head, body, raw = parts["t"].split(".")
    assert json.loads(bytes64(head)) == {"typ": "JWT", "alg": "ES256"}
    signature = bytes64(raw)
    assert len(signature) == 64
    der = utils.encode_dss_signature(
        int.from_bytes(signature[:32]), int.from_bytes(signature[32:])
    )
    point = ec.EllipticCurvePublicKey.from_encoded_point(
        ec.SECP256R1(), bytes64(parts["k"])
    )
    point.verify(der, f"{head}.{body}".encode(), ec.ECDSA(SHA256()))
    return json.loads(bytes64(body)), parts["k"]
