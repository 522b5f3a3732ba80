"""RSA signatures as both gateways use them: PKCS #1 v1.5 with SHA-256, base64."""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from sandbox.keys import private_key


def sign(content: bytes, private_pem: str) -> str:
    key = private_key(private_pem)
    return base64.b64encode(
        key.sign(content, padding.PKCS1v15(), hashes.SHA256())
    ).decode()


def matches(content: bytes, signature: str, private_pem: str) -> bool:
    """Whether the owner of ``private_pem`` has signed ``content``.

    The sandbox made every key itself, so it always has the private half.
    """
    try:
        raw = base64.b64decode(signature, validate=True)
        private_key(private_pem).public_key().verify(
            raw, content, padding.PKCS1v15(), hashes.SHA256()
        )
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
