"""The gateways' own side of the wire, written by hand: what they would sign and seal.

Unlike the sandbox it signs whatever it is given, sense or nonsense, and needs no
process. It shares no line with the adapters.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.x509.oid import NameOID

NOBODY = "http://127.0.0.1:1"
"""Where nobody listens."""
API_V3_KEY = "0123456789abcdefghijklmnopqrstuv"
PUBLIC_KEY_ID = "PUB_KEY_ID_0119000001012026010100000001"
CERTIFICATE_SERIAL = 0x5157F09EFDC096DE15EBE81A47057A7232F1B8E1


@cache
def key(owner: str) -> rsa.RSAPrivateKey:
    """Everyone has one key; making it takes longer than most tests."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)


def signature(owner: str, content: bytes) -> str:
    made = key(owner).sign(content, padding.PKCS1v15(), hashes.SHA256())
    return base64.b64encode(made).decode()


def private_line(owner: str) -> str:
    """PKCS#8 on one base64 line, as merchant consoles hand it out."""
    der = key(owner).private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return base64.b64encode(der).decode()


def public_line(owner: str) -> str:
    der = (
        key(owner)
        .public_key()
        .public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return base64.b64encode(der).decode()


@cache
def certificate(owner: str, *, name: str = "Tenpay", days: int = 365) -> str:
    """A certificate that began a year ago and ends after so many ``days``, as PEM."""
    now = datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key(owner).public_key())
        .serial_number(CERTIFICATE_SERIAL)
        .not_valid_before(now - timedelta(days=400))
        .not_valid_after(now + timedelta(days=days))
        .sign(key(owner), hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
        .decode()
    )


@dataclass(frozen=True)
class Letter:
    """One notice on its way: body and headers."""

    body: bytes
    headers: Mapping[str, str]
    content_type: str = "application/json"


class FarAlipay:
    """Alipay's side; ``GATEWAY_URL`` may be pointed at a server of the test's own."""

    APP_ID = "2021004100000001"
    SELLER_ID = "2088004100000001"

    @classmethod
    def settings(cls, url: str = f"{NOBODY}/gateway.do") -> dict[str, str]:
        return {
            "ALIPAY_GATEWAY_URL": url,
            "ALIPAY_APP_ID": cls.APP_ID,
            "ALIPAY_SELLER_ID": cls.SELLER_ID,
            "ALIPAY_APP_PRIVATE_KEY": private_line("merchant"),
            "ALIPAY_PUBLIC_KEY": public_line("alipay"),
        }

    @classmethod
    def paid(cls, number: str, amount: str = "15.00", **other: str) -> dict[str, str]:
        """The fields of a success notice; ``other`` replaces or adds some."""
        return {
            "app_id": cls.APP_ID,
            "auth_app_id": cls.APP_ID,
            "buyer_id": "2088000000000002",
            "charset": "utf-8",
            "gmt_create": "2026-11-22 10:00:01",
            "gmt_payment": "2026-11-22 10:00:09",
            "notify_id": "2026112200222100009000000000000001",
            "notify_time": "2026-11-22 10:00:10",
            "notify_type": "trade_status_sync",
            "out_trade_no": number,
            "seller_id": cls.SELLER_ID,
            "subject": "卡盟 临时会员 7 天",
            "total_amount": amount,
            "trade_no": "2026112222001400000000000001",
            "trade_status": "TRADE_SUCCESS",
            "version": "1.0",
        } | other

    @staticmethod
    def text(fields: Mapping[str, str]) -> str:
        return "&".join(f"{name}={fields[name]}" for name in sorted(fields))

    @classmethod
    def signed(cls, fields: Mapping[str, str]) -> dict[str, str]:
        given = {name: value for name, value in fields.items() if value}
        sign = signature("alipay", cls.text(given).encode())
        return {**fields, "sign_type": "RSA2", "sign": sign}

    @classmethod
    def notice(cls, fields: Mapping[str, str]) -> bytes:
        return urlencode(cls.signed(fields)).encode()

    @staticmethod
    def answer(
        method: str, inner: str, *, node: str = "", owner: str = "alipay"
    ) -> str:
        """An answer whose inner object is this text, whatever it says."""
        node = node or f"{method.replace('.', '_')}_response"
        sign = signature(owner, inner.encode("utf-8", "surrogatepass"))
        return f'{{"{node}":{inner},"sign":"{sign}"}}'


class FarWechat:
    """WeChat Pay's side."""

    APP_ID = "wx8888888888888888"
    MCH_ID = "1900008888"

    @classmethod
    def settings(cls, url: str = NOBODY) -> dict[str, str]:
        return {
            "WECHAT_PAY_BASE_URL": url,
            "WECHAT_PAY_APP_ID": cls.APP_ID,
            "WECHAT_PAY_MCH_ID": cls.MCH_ID,
            "WECHAT_PAY_SERIAL_NO": "3775B6A45ACD588826D15E583A95F5DD45B1E1F1",
            "WECHAT_PAY_PRIVATE_KEY": private_line("merchant"),
            "WECHAT_PAY_API_V3_KEY": API_V3_KEY,
            "WECHAT_PAY_PUBLIC_KEY_ID": PUBLIC_KEY_ID,
            "WECHAT_PAY_PUBLIC_KEY": public_line("wechat"),
            "WECHAT_PAY_PLATFORM_CERTS": certificate("platform"),
        }

    @classmethod
    def paid(
        cls, number: str, total: object = 1_500, **other: object
    ) -> dict[str, Any]:
        """The plain text of a success notice; ``other`` replaces or adds members."""
        return {
            "mchid": cls.MCH_ID,
            "appid": cls.APP_ID,
            "out_trade_no": number,
            "transaction_id": "4200001234202611220000000001",
            "trade_type": "NATIVE",
            "trade_state": "SUCCESS",
            "trade_state_desc": "支付成功",
            "success_time": "2026-11-22T10:00:09+08:00",
            "payer": {"openid": "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o"},
            "amount": {"total": total, "payer_total": total, "currency": "CNY"},
        } | other

    @staticmethod
    def sealed(plain: bytes, **other: object) -> dict[str, Any]:
        """The ``resource`` that holds a plain text; ``other`` replaces members."""
        nonce, label = "0123456789ab", "transaction"
        text = AESGCM(API_V3_KEY.encode()).encrypt(
            nonce.encode(), plain, label.encode()
        )
        return {
            "original_type": "transaction",
            "algorithm": "AEAD_AES_256_GCM",
            "ciphertext": base64.b64encode(text).decode(),
            "associated_data": label,
            "nonce": nonce,
        } | other

    @classmethod
    def envelope(cls, resource: object, **other: object) -> bytes:
        return json.dumps(
            {
                "id": "EV-2026112210000900001",
                "create_time": "2026-11-22T10:00:09+08:00",
                "resource_type": "encrypt-resource",
                "event_type": "TRANSACTION.SUCCESS",
                "summary": "支付成功",
                "resource": resource,
            }
            | other
        ).encode()

    @classmethod
    def notice(cls, plain: Mapping[str, Any], *, now: datetime) -> Letter:
        """A genuine notice."""
        return cls.seal(cls.envelope(cls.sealed(json.dumps(plain).encode())), now=now)

    @staticmethod
    def seal(
        body: bytes, *, now: datetime, owner: str = "wechat", **other: str
    ) -> Letter:
        """Any body, signed; ``other`` replaces headers: ``timestamp``, ``serial`` …"""
        timestamp = other.get("timestamp", str(int(now.timestamp())))
        nonce = "593BEC0C930BF1AFEB40B4A08C8FB242"
        signed = f"{timestamp}\n{nonce}\n".encode() + body + b"\n"
        headers = {
            "Wechatpay-Timestamp": timestamp,
            "Wechatpay-Nonce": nonce,
            "Wechatpay-Serial": other.get("serial", PUBLIC_KEY_ID),
            "Wechatpay-Signature-Type": "WECHATPAY2-SHA256-RSA2048",
            "Wechatpay-Signature": signature(owner, signed),
        }
        return Letter(body, headers)
