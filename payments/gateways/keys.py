"""RSA keys and certificates from configuration, and the one signature all use.

Keys are PEM text or the single base64 line that the merchant consoles hand out.
Loading a private key checks its numbers (about 50 ms): do it once per process.
"""

from __future__ import annotations

import base64
import binascii
import re

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import pkcs12

_SMALLEST_BITS = 2048
_BLOCK = re.compile(r"-----BEGIN ([A-Z ]+)-----.+?-----END \1-----", re.DOTALL)


class BadKey(ValueError):
    """The text is no usable key; the message never repeats any part of it."""


def load_private_key(text: str) -> rsa.RSAPrivateKey:
    """A private key in PKCS#1 or PKCS#8, without a passphrase."""
    try:
        key = serialization.load_der_private_key(_der(text), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadKey("is not a private key in PKCS#1 or PKCS#8") from None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise BadKey("is not an RSA key")
    _check_size(key.key_size)
    return key


def load_public_key(text: str) -> rsa.RSAPublicKey:
    """A public key as X.509 SubjectPublicKeyInfo or PKCS#1."""
    try:
        key = serialization.load_der_public_key(_der(text))
    except (ValueError, UnsupportedAlgorithm):
        raise BadKey("is not a public key") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise BadKey("is not an RSA key")
    _check_size(key.key_size)
    return key


def load_certificates(text: str) -> list[x509.Certificate]:
    """The certificates of a PEM bundle; each must hold an RSA key."""
    bundle = _with_newlines(text).encode()
    try:
        certificates = x509.load_pem_x509_certificates(bundle)
        keys = [certificate.public_key() for certificate in certificates]
    except (ValueError, UnsupportedAlgorithm):
        raise BadKey("is not a PEM bundle of certificates") from None
    if len(keys) != bundle.count(b"-----BEGIN "):
        raise BadKey("holds something torn, or something else than certificates")
    for key in keys:
        if not isinstance(key, rsa.RSAPublicKey):
            raise BadKey("holds a certificate without an RSA key")
        _check_size(key.key_size)
    return certificates


def load_certificate(text: str) -> x509.Certificate:
    """One certificate with an RSA key."""
    try:
        certificate = x509.load_der_x509_certificate(_der(text))
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise BadKey("is not a certificate") from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise BadKey("holds no RSA key")
    _check_size(key.key_size)
    return certificate


def load_identity(
    text: str, password: str
) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    """A private key and its certificate: PKCS#12 as base64, or both as PEM."""
    try:
        key, certificate = _opened(_with_newlines(text), password.encode())
    except BadKey:
        raise
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadKey(
            "is no key with its certificate, or has another password"
        ) from None
    if not isinstance(key, rsa.RSAPrivateKey) or certificate is None:
        raise BadKey("holds no RSA key with its certificate")
    _check_size(key.key_size)
    if certificate.public_key() != key.public_key():
        raise BadKey("holds a key and a certificate that do not belong together")
    return key, certificate


def _opened(
    text: str, password: bytes
) -> tuple[PrivateKeyTypes | None, x509.Certificate | None]:
    if not is_pem(text):
        key, certificate, _ = pkcs12.load_key_and_certificates(_der(text), password)
        return key, certificate
    blocks = {found[1].split()[-1]: found[0] for found in _BLOCK.finditer(text)}
    if set(blocks) != {"KEY", "CERTIFICATE"}:
        raise BadKey("holds something else than one key and one certificate")
    is_locked = "ENCRYPTED" in blocks["KEY"]
    return (
        serialization.load_pem_private_key(
            blocks["KEY"].encode(), password if is_locked else None
        ),
        load_certificate(blocks["CERTIFICATE"]),
    )


def is_pem(text: str) -> bool:
    return "-----BEGIN " in text


def sign(key: rsa.RSAPrivateKey, content: bytes) -> str:
    """RSA PKCS#1 v1.5 with SHA-256 in base64: "RSA2" and "SHA256-RSA2048"."""
    signature = key.sign(content, padding.PKCS1v15(), hashes.SHA256())
    return base64.b64encode(signature).decode()


def is_signed(key: rsa.RSAPublicKey, content: bytes, signature: str) -> bool:
    """Whether ``signature`` (strict base64) by this key holds over ``content``."""
    try:
        key.verify(
            base64.b64decode(signature, validate=True),
            content,
            padding.PKCS1v15(),
            hashes.SHA256(),
        )
    except (InvalidSignature, ValueError):
        return False
    return True


def _with_newlines(text: str) -> str:
    r"""Undo the ``\n`` in which environment files write a PEM on one line."""
    return text.replace("\\n", "\n").strip()


def _der(text: str) -> bytes:
    """The bytes inside a PEM, or of a bare base64 line."""
    body = _with_newlines(text)
    armoured = re.fullmatch(
        r"-----BEGIN ([A-Z ]+)-----(.+)-----END \1-----", body, re.DOTALL
    )
    try:
        return base64.b64decode(
            "".join((armoured[2] if armoured else body).split()), validate=True
        )
    except (binascii.Error, ValueError):
        raise BadKey("is neither PEM nor base64") from None


def _check_size(bits: int) -> None:
    if bits < _SMALLEST_BITS:
        raise BadKey(f"has {bits} bits, fewer than {_SMALLEST_BITS}")
