"""The cryptography of web push: who sends (RFC 8292) and what only the browser reads
(RFC 8291 over the content encoding of RFC 8188).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from datetime import datetime, timedelta
from functools import cache
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

CURVE = ec.SECP256R1()
POINT_BYTES, SCALAR_BYTES, AUTH_BYTES = 65, 32, 16
RECORD_SIZE = 4096
"""What each push service takes at least (RFC 8030, 7.2); one record holds it all."""
LONGEST = RECORD_SIZE - 16 - 4 - 1 - POINT_BYTES - 16 - 1
"""Bytes of text: less salt, size, length, key, tag and delimiter."""
TOKEN_LIVES = timedelta(hours=12)
"""RFC 8292 allows 24; half of it forgives a clock."""


class BadKey(ValueError):
    """Not a key of this curve."""


def to_bytes(text: str) -> bytes:
    """Base64url, with or without its padding. raises BadKey"""
    try:
        padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
        return base64.b64decode(padded, altchars=b"-_", validate=True)
    except (ValueError, binascii.Error) as error:
        raise BadKey("not base64url") from error


def to_text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@cache
def vapid_key(text: str) -> ec.EllipticCurvePrivateKey:
    """Our key, as PEM or as 32 bytes in base64url. raises BadKey"""
    if "-----BEGIN" not in text:
        return private_key(to_bytes(text))
    pem = text.replace("\\n", "\n").encode()
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise BadKey("no PEM") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != CURVE.name:
        raise BadKey("another kind of key")
    return key


def private_key(scalar: bytes) -> ec.EllipticCurvePrivateKey:
    if len(scalar) != SCALAR_BYTES:
        raise BadKey("not 32 bytes")
    try:
        return ec.derive_private_key(int.from_bytes(scalar), CURVE)
    except ValueError as error:
        raise BadKey("not a scalar of the curve") from error


def public_bytes(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The 65 bytes of an uncompressed point."""
    return key.public_key().public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )


def browser_keys(p256dh: str, auth: str) -> tuple[ec.EllipticCurvePublicKey, bytes]:
    """The two keys of a subscription. raises BadKey"""
    point, secret = to_bytes(p256dh), to_bytes(auth)
    if len(point) != POINT_BYTES or len(secret) != AUTH_BYTES:
        raise BadKey("wrong length")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(CURVE, point), secret
    except ValueError as error:
        raise BadKey("not on the curve") from error


def sealed(
    text: bytes,
    p256dh: str,
    auth: str,
    *,
    salt: bytes | None = None,
    sender: ec.EllipticCurvePrivateKey | None = None,
) -> bytes:
    """The body of a push message, readable by this subscription's browser alone.

    salt, sender  only to repeat a known message; else new ones for each

    raises  BadKey; ValueError when the text is longer than ``LONGEST``
    """
    if len(text) > LONGEST:
        raise ValueError("too long for one record")
    browser, secret = browser_keys(p256dh, auth)
    salt = salt or os.urandom(16)
    sender = sender or ec.generate_private_key(CURVE)
    ours, theirs = public_bytes(sender), to_bytes(p256dh)
    shared = sender.exchange(ec.ECDH(), browser)
    info = b"WebPush: info\0" + theirs + ours
    material = _derived(shared, salt=secret, info=info, length=32)
    key = _derived(
        material, salt=salt, info=b"Content-Encoding: aes128gcm\0", length=16
    )
    nonce = _derived(material, salt=salt, info=b"Content-Encoding: nonce\0", length=12)
    header = salt + RECORD_SIZE.to_bytes(4) + bytes([len(ours)]) + ours
    # 2 marks the last record (RFC 8188, 2); the first record's nonce is the base one.
    return header + AESGCM(key).encrypt(nonce, text + b"\2", None)


def authorization(
    endpoint: str, *, key: ec.EllipticCurvePrivateKey, subject: str, now: datetime
) -> str:
    """The header by which the push service knows us."""
    parts = urlsplit(endpoint)
    claims = {
        "aud": f"{parts.scheme}://{parts.netloc}",
        "exp": int((now + TOKEN_LIVES).timestamp()),
        "sub": subject,
    }
    signed = f"{_part({'typ': 'JWT', 'alg': 'ES256'})}.{_part(claims)}"
    signature = key.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
    r, s = decode_dss_signature(signature)
    raw = r.to_bytes(SCALAR_BYTES) + s.to_bytes(SCALAR_BYTES)
    return f"vapid t={signed}.{to_text(raw)}, k={to_text(public_bytes(key))}"


def _part(value: dict[str, object]) -> str:
    return to_text(json.dumps(value, separators=(",", ":")).encode())


def _derived(material: bytes, *, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(material)
