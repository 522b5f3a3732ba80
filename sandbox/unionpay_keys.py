"""UnionPay's certificates as the sandbox plays them: a chain of its own, made once.

Root and middle sign in this moment and are forgotten: nobody can add to the chain.
"""

from __future__ import annotations

import base64
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from sandbox.keys import kept, private_pem

MER_ID = "SANDBOX77729001"
PASSWORD = "sandbox-000000"  # noqa: S105
OWNER = "041@SANDBOX@中国银联股份有限公司@00000001"
LIFE = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Keys:
    """Private keys and certificates are PEM text, ``merchant_pfx`` is base64."""

    root_certificate: str
    middle_certificate: str
    gateway: str
    gateway_certificate: str
    merchant: str
    merchant_certificate: str
    merchant_pfx: str

    @property
    def merchant_cert_id(self) -> str:
        certificate = x509.load_pem_x509_certificate(self.merchant_certificate.encode())
        return str(certificate.serial_number)


def load(directory: Path) -> Keys:
    """Read the keys of ``directory``, making them first where there are none."""
    names = {field.name for field in fields(Keys)}
    return Keys(**kept(directory / "unionpay.json", names, lambda: asdict(_make())))


def environment(directory: Path, base_url: str) -> dict[str, str]:
    """The variables that point a shop at the sandbox answering at ``base_url``."""
    keys = load(directory)
    return {
        "UNIONPAY_GATEWAY_URL": base_url.rstrip("/"),
        "UNIONPAY_MER_ID": MER_ID,
        "UNIONPAY_SIGN_CERT": keys.merchant_pfx,
        "UNIONPAY_SIGN_PASSWORD": PASSWORD,
        "UNIONPAY_ROOT_CERT": keys.root_certificate,
        "UNIONPAY_MIDDLE_CERT": keys.middle_certificate,
    }


@cache
def stranger() -> tuple[str, str]:
    """Key and certificate out of a chain that only bears the same names."""
    made = _make()
    return made.gateway, made.gateway_certificate


def _make() -> Keys:
    root, middle, gateway, merchant = (
        rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(4)
    )
    root_name, middle_name = "SANDBOX UnionPay ROOT CA", "SANDBOX UnionPay OCA"
    merchant_certificate = _certificate(
        merchant, f"041@{MER_ID}@kameng@00000001", middle, middle_name
    )
    pfx = pkcs12.serialize_key_and_certificates(
        MER_ID.encode(),
        merchant,
        merchant_certificate,
        None,
        serialization.BestAvailableEncryption(PASSWORD.encode()),
    )
    return Keys(
        root_certificate=_pem(_certificate(root, root_name, root, root_name)),
        middle_certificate=_pem(_certificate(middle, middle_name, root, root_name)),
        gateway=private_pem(gateway),
        gateway_certificate=_pem(_certificate(gateway, OWNER, middle, middle_name)),
        merchant=private_pem(merchant),
        merchant_certificate=_pem(merchant_certificate),
        merchant_pfx=base64.b64encode(pfx).decode(),
    )


def _certificate(
    key: rsa.RSAPrivateKey, name: str, issuer: rsa.RSAPrivateKey, issuer_name: str
) -> x509.Certificate:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer_name))
        .public_key(key.public_key())
        .serial_number(int(x509.random_serial_number()) >> 100)
        .not_valid_before(now - LIFE)  # clocks of tests stand still or go back
        .not_valid_after(now + LIFE)
        .sign(issuer, hashes.SHA256())
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
