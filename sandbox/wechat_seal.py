"""WeChat Pay v3 signatures, both ways, and the encryption of notices."""

from __future__ import annotations

import base64
import json
import re
import secrets
from datetime import datetime

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sandbox import rsa
from sandbox.keys import WECHAT_MCH_ID, WECHAT_PUBLIC_KEY_ID
from sandbox.world import world

SCHEME = "WECHATPAY2-SHA256-RSA2048"
CLOCK_TOLERANCE_SECONDS = 300


def refusal(
    authorization: str, method: str, uri: str, body: bytes, now: datetime
) -> str:
    """Why a request's Authorization does not hold; empty when it does.

    uri  path and query exactly as they came
    """
    scheme, _, rest = authorization.partition(" ")
    if scheme != SCHEME:
        return "Authorization 的认证类型不对"
    values = dict(re.findall(r'(\w+)="([^"]*)"', rest))
    if values.keys() != {"mchid", "nonce_str", "signature", "timestamp", "serial_no"}:
        return "Authorization 缺少字段"
    if values["mchid"] != WECHAT_MCH_ID:
        return "商户号不对"
    if values["serial_no"] != world().keys.wechat_merchant_serial:
        return "商户证书序列号不对"
    if not re.fullmatch(r"\d{10}", values["timestamp"]):
        return "时间戳不对"
    if abs(now.timestamp() - int(values["timestamp"])) > CLOCK_TOLERANCE_SECONDS:
        return "时间戳与服务器相差过大"
    lines = (method, uri, values["timestamp"], values["nonce_str"])
    content = "".join(f"{line}\n" for line in lines).encode() + body + b"\n"
    if not rsa.matches(content, values["signature"], world().keys.wechat_merchant):
        return "签名错误，请检查后再试"
    return ""


def headers(
    body: bytes, now: datetime, *, signs_with: str = "", forgery: str = ""
) -> dict[str, str]:
    """The four headers over an answer or a notice.

    signs_with  ``public_key`` or ``certificate``; empty for what the control chose
    forgery     ``wrong_signature``, ``stale``, ``future``, ``unknown_serial``,
                ``signtest``
    """
    keys = world().keys
    if (signs_with or world().wechat_signs_with) == "certificate":
        key, serial = keys.wechat_platform, keys.wechat_platform_serial
    else:
        key, serial = keys.wechat_gateway, WECHAT_PUBLIC_KEY_ID
    shift = {"stale": -301, "future": 600}.get(forgery, 0)
    timestamp = str(int(now.timestamp()) + shift)
    nonce = secrets.token_hex(16)
    content = f"{timestamp}\n{nonce}\n".encode() + body + b"\n"
    if forgery == "wrong_signature":
        content += b" "
    signature = rsa.sign(content, key)
    if forgery == "signtest":
        signature = "WECHATPAY/SIGNTEST/" + signature[19:]
    if forgery == "unknown_serial":
        serial = "7" * 40
    return {
        "Wechatpay-Timestamp": timestamp,
        "Wechatpay-Nonce": nonce,
        "Wechatpay-Signature": signature,
        "Wechatpay-Serial": serial,
        "Wechatpay-Signature-Type": SCHEME,
    }


def encrypted(plain: bytes, label: str, *, wrong_key: bool = False) -> dict[str, str]:
    """AES-256-GCM under the APIv3 key; ``label`` is the associated data."""
    key = b"0" * 32 if wrong_key else world().keys.wechat_api_v3_key.encode()
    nonce = secrets.token_hex(6)
    sealed = AESGCM(key).encrypt(nonce.encode(), plain, label.encode())
    return {
        "algorithm": "AEAD_AES_256_GCM",
        "nonce": nonce,
        "associated_data": label,
        "ciphertext": base64.b64encode(sealed).decode(),
    }


def compact(value: object) -> bytes:
    """JSON as WeChat Pay writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
