"""The sandbox's keys: made once, kept in files that only their owner can read."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Callable, Set
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from sandbox.sms_templates import TEMPLATES

ALIPAY_APP_ID = "SANDBOX2021000000000001"
ALIPAY_SELLER_ID = "SANDBOX2088000000000001"
ALIPAY_CYCLE_SCENE = "INDUSTRY|DIGITAL_MEDIA"
WECHAT_APP_ID = "SANDBOXwx00000000000001"
WECHAT_LOGIN_APP_ID = "SANDBOXwx00000000000002"
WECHAT_MP_APP_ID = "SANDBOXwx00000000000003"
QQ_LOGIN_APP_ID = "SANDBOX101000001"
WECHAT_MCH_ID = "SANDBOX1900000001"
WECHAT_PUBLIC_KEY_ID = "PUB_KEY_ID_SANDBOX0000000000000001"
EPAY_PID = "SANDBOX1101"
EPAY_PHONE_CREDIT_TYPE = "huafei"
SMS_SIGN_NAME = "卡盟"
TENCENT_SDK_APP_ID = "SANDBOX1400000001"
VAPID_SUBJECT = "mailto:push@sandbox.invalid"


@dataclass(frozen=True, slots=True)
class Keys:
    """Private keys are PKCS #8 PEM text; ``*_serial`` are upper-case hex; ``vapid`` is a
    number as base64url."""

    alipay_app: str
    alipay_gateway: str
    wechat_merchant: str
    wechat_merchant_serial: str
    wechat_gateway: str
    wechat_platform: str
    wechat_platform_certificate: str
    wechat_platform_serial: str
    wechat_api_v3_key: str
    epay_key: str
    wechat_login_secret: str
    wechat_mp_secret: str
    qq_login_secret: str
    tencent_secret_id: str
    tencent_secret_key: str
    aliyun_access_key_id: str
    aliyun_access_key_secret: str
    vapid: str


def load(directory: Path) -> Keys:
    """Read the keys of ``directory``, making them first where there are none."""
    names = {field.name for field in fields(Keys)}
    return Keys(**kept(directory / "keys.json", names, lambda: asdict(_make())))


def kept(
    path: Path, names: Set[str], make: Callable[[], dict[str, str]]
) -> dict[str, str]:
    """What ``make`` made once for ever, in a file that only its owner can read.

    Two processes that start together end with the same keys: the first to link its
    file into place wins. Keys that an older version did not know are added.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}.draft")
        _write(draft, make())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    found: dict[str, str] = json.loads(path.read_text())
    if names - found.keys():
        found = make() | found
        _write(path, found)
    return found


def _write(path: Path, content: dict[str, str]) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump(content, file, indent=1)


def environment(directory: Path, base_url: str) -> dict[str, str]:
    """The variables that point a shop at the sandbox answering at ``base_url``."""
    keys = load(directory)
    base_url = base_url.rstrip("/")
    templates = {
        kind: {"id": template.number, "params": list(template.params)}
        for kind, template in TEMPLATES.items()
    }
    return {
        "ALIPAY_GATEWAY_URL": f"{base_url}/gateway.do",
        "ALIPAY_APP_ID": ALIPAY_APP_ID,
        "ALIPAY_SELLER_ID": ALIPAY_SELLER_ID,
        "ALIPAY_APP_PRIVATE_KEY": _private_line(keys.alipay_app),
        "ALIPAY_PUBLIC_KEY": _public_line(keys.alipay_gateway),
        "ALIPAY_CYCLE_SCENE": ALIPAY_CYCLE_SCENE,
        "WECHAT_PAY_BASE_URL": base_url,
        "WECHAT_PAY_APP_ID": WECHAT_APP_ID,
        "WECHAT_PAY_MCH_ID": WECHAT_MCH_ID,
        "WECHAT_PAY_SERIAL_NO": keys.wechat_merchant_serial,
        "WECHAT_PAY_PRIVATE_KEY": _private_line(keys.wechat_merchant),
        "WECHAT_PAY_API_V3_KEY": keys.wechat_api_v3_key,
        "WECHAT_PAY_PUBLIC_KEY_ID": WECHAT_PUBLIC_KEY_ID,
        "WECHAT_PAY_PUBLIC_KEY": _public_line(keys.wechat_gateway),
        "WECHAT_PAY_PLATFORM_CERTS": keys.wechat_platform_certificate,
        "WECHAT_LOGIN_APP_ID": WECHAT_LOGIN_APP_ID,
        "WECHAT_LOGIN_SECRET": keys.wechat_login_secret,
        "WECHAT_LOGIN_AUTHORIZE_URL": f"{base_url}/connect/qrconnect",
        "WECHAT_LOGIN_API_URL": base_url,
        "WECHAT_MP_APP_ID": WECHAT_MP_APP_ID,
        "WECHAT_MP_SECRET": keys.wechat_mp_secret,
        "QQ_LOGIN_APP_ID": QQ_LOGIN_APP_ID,
        "QQ_LOGIN_SECRET": keys.qq_login_secret,
        "QQ_LOGIN_AUTHORIZE_URL": f"{base_url}/oauth2.0/authorize",
        "QQ_LOGIN_API_URL": base_url,
        "EPAY_BASE_URL": base_url,
        "EPAY_PID": EPAY_PID,
        "EPAY_KEY": keys.epay_key,
        "EPAY_PHONE_CREDIT_TYPE": EPAY_PHONE_CREDIT_TYPE,
        "SMS_PROVIDER": "sandbox",
        "SMS_SANDBOX_URL": f"{base_url}/sms/send/",
        "REAL_NAME_PROVIDER": "sandbox",
        "REAL_NAME_SANDBOX_URL": f"{base_url}/real-name/check/",
        "TENCENT_FACEID_URL": base_url,
        "TENCENT_FACEID_SECRET_ID": keys.tencent_secret_id,
        "TENCENT_FACEID_SECRET_KEY": keys.tencent_secret_key,
        "TENCENT_SMS_ENDPOINT": base_url,
        "TENCENT_SMS_SECRET_ID": keys.tencent_secret_id,
        "TENCENT_SMS_SECRET_KEY": keys.tencent_secret_key,
        "TENCENT_SMS_SDK_APP_ID": TENCENT_SDK_APP_ID,
        "TENCENT_SMS_SIGN_NAME": SMS_SIGN_NAME,
        "TENCENT_SMS_TEMPLATES": json.dumps(templates),
        "ALIYUN_SMS_ENDPOINT": base_url,
        "ALIYUN_SMS_ACCESS_KEY_ID": keys.aliyun_access_key_id,
        "ALIYUN_SMS_ACCESS_KEY_SECRET": keys.aliyun_access_key_secret,
        "ALIYUN_SMS_SIGN_NAME": SMS_SIGN_NAME,
        "ALIYUN_SMS_TEMPLATES": json.dumps(templates),
        "VAPID_PRIVATE_KEY": keys.vapid,
        "VAPID_SUBJECT": VAPID_SUBJECT,
        "PUSH_SANDBOX_URL": f"{base_url}/push",
    }


@cache
def private_key(pem: str) -> rsa.RSAPrivateKey:
    """Parse once: loading a private key costs far more than using it."""
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def _make() -> Keys:
    platform = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    certificate = _certificate(platform)
    return Keys(
        alipay_app=new_private_key(),
        alipay_gateway=new_private_key(),
        wechat_merchant=new_private_key(),
        wechat_merchant_serial=secrets.token_hex(20).upper(),
        wechat_gateway=new_private_key(),
        wechat_platform=private_pem(platform),
        wechat_platform_certificate=certificate.public_bytes(
            serialization.Encoding.PEM
        ).decode(),
        wechat_platform_serial=f"{certificate.serial_number:040X}",
        wechat_api_v3_key=secrets.token_hex(16),
        epay_key=secrets.token_hex(16),
        wechat_login_secret=secrets.token_hex(16),
        wechat_mp_secret=secrets.token_hex(16),
        qq_login_secret=secrets.token_hex(16),
        tencent_secret_id="SANDBOX" + secrets.token_hex(12),
        tencent_secret_key=secrets.token_hex(16),
        aliyun_access_key_id="SANDBOX" + secrets.token_hex(8),
        aliyun_access_key_secret=secrets.token_hex(15),
        vapid=secrets.token_urlsafe(32),
    )


def new_private_key() -> str:
    return private_pem(rsa.generate_private_key(public_exponent=65537, key_size=2048))


def private_pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _certificate(key: rsa.RSAPrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "SANDBOX WeChat Pay")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )


def _private_line(pem: str) -> str:
    der = private_key(pem).private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return base64.b64encode(der).decode()


def _public_line(pem: str) -> str:
    der = (
        private_key(pem)
        .public_key()
        .public_bytes(
            serialization.Encoding.DER,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        )
    )
    return base64.b64encode(der).decode()
