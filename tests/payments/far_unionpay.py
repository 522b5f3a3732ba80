"""UnionPay's own side of the wire, written by hand: certificates, and what they sign."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from payments.models import Attempt
from tests.payments.far_side import NOBODY, key, signature

PASSWORD = "123456"
OWNER = "041@Z2026@中国银联股份有限公司@00001493"


@cache
def issued(
    owner: str, issuer: str, name: str, *, first: int = -400, last: int = 365
) -> x509.Certificate:
    """A certificate of ``owner``'s key by ``issuer``'s, valid between days from now."""
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key(owner).public_key())
        .serial_number(68_759_585_092)
        .not_valid_before(now + timedelta(days=first))
        .not_valid_after(now + timedelta(days=last))
        .sign(key(issuer), hashes.SHA256())
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def root(**days: int) -> str:
    return pem(issued("up-root", "up-root", "up-root", **days))


def middle(**days: int) -> str:
    return pem(issued("up-middle", "up-root", "up-middle", **days))


def leaf(
    *,
    owner: str = "unionpay",
    name: str = OWNER,
    issuer: str = "up-middle",
    **days: int,
) -> str:
    """UnionPay's own certificate, or what somebody made to look like it."""
    return pem(issued(owner, issuer, name, **days))


def merchant() -> x509.Certificate:
    """Ours: of the same chain, and none of UnionPay's."""
    return issued("merchant", "up-middle", "041@777290000000001@kameng@00000001")


@cache
def pfx(password: str = PASSWORD) -> str:
    sealed = pkcs12.serialize_key_and_certificates(
        b"merchant",
        key("merchant"),
        merchant(),
        None,
        serialization.BestAvailableEncryption(password.encode()),
    )
    return base64.b64encode(sealed).decode()


class FarUnionPay:
    MER_ID = "898110148990001"

    @classmethod
    def settings(cls, url: str = NOBODY) -> dict[str, str]:
        return {
            "UNIONPAY_GATEWAY_URL": url,
            "UNIONPAY_MER_ID": cls.MER_ID,
            "UNIONPAY_SIGN_CERT": pfx(),
            "UNIONPAY_SIGN_PASSWORD": PASSWORD,
            "UNIONPAY_ROOT_CERT": root(),
            "UNIONPAY_MIDDLE_CERT": middle(),
        }

    @classmethod
    def paid(
        cls, attempt: Attempt, amount: str = "1500", **other: str
    ) -> dict[str, str]:
        """The fields of a success notice; ``other`` replaces or adds some."""
        made = attempt.created_at.astimezone(ZoneInfo("Asia/Shanghai"))
        return {
            "accNo": "6226********0018",
            "accessType": "0",
            "bizType": "000201",
            "currencyCode": "156",
            "encoding": "UTF-8",
            "merId": cls.MER_ID,
            "orderId": attempt.out_trade_no,
            "payCardType": "01",
            "queryId": "202611221000090000018",
            "respCode": "00",
            "respMsg": "成功[0000000]",
            "settleAmt": amount,
            "settleCurrencyCode": "156",
            "settleDate": "1122",
            "signMethod": "01",
            "signPubKeyCert": leaf(),
            "traceNo": "000018",
            "traceTime": f"{made + timedelta(seconds=9):%m%d%H%M%S}",
            "txnAmt": amount,
            "txnSubType": "01",
            "txnTime": f"{made:%Y%m%d%H%M%S}",
            "txnType": "01",
            "version": "5.1.0",
        } | other

    @staticmethod
    def text(fields: Mapping[str, str]) -> str:
        return "&".join(
            f"{name}={fields[name]}"
            for name in sorted(fields)
            if fields[name] and name != "signature"
        )

    @classmethod
    def signed(
        cls, fields: Mapping[str, str], *, owner: str = "unionpay"
    ) -> dict[str, str]:
        content = hashlib.sha256(cls.text(fields).encode()).hexdigest()
        return {**fields, "signature": signature(owner, content.encode())}

    @classmethod
    def notice(cls, fields: Mapping[str, str]) -> bytes:
        return urlencode(cls.signed(fields)).encode()
