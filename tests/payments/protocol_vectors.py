"""The recorded gateway messages, from tests/vectors or the folder PROTOCOL_VECTORS."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.http.request import HttpHeaders

from payments.gateways.beijing import compact
from payments.gateways.contract import Notice, NoticeRequest

FOLDER = Path(
    os.environ.get("PROTOCOL_VECTORS") or Path(__file__).parents[1] / "vectors"
)

Vectors = dict[str, Any]
Case = dict[str, Any]


def load(name: str) -> Vectors:
    """One file; an empty set when the folder does not have it."""
    path = FOLDER / f"{name}.json"
    if not path.exists():
        return {"config": {}, "orders": [], "now": 0}
    loaded: Vectors = json.loads(path.read_text(encoding="utf-8"))
    return loaded


def cases(vectors: Vectors, section: str, protocol: str) -> list[Any]:
    """The cases of a section for ``parametrize``, named ``protocol-id``."""
    return [
        pytest.param(case, id=f"{protocol}-{case['id']}")
        for case in vectors.get(section, [])
    ]


def clock(vectors: Vectors, case: Case | None = None) -> datetime:
    seconds: int = (case or {}).get("clock") or vectors["now"]
    return datetime.fromtimestamp(seconds, UTC)


def alipay_settings(config: dict[str, str]) -> dict[str, str]:
    return {
        "ALIPAY_GATEWAY_URL": "https://alipay.test/gateway.do",
        "ALIPAY_APP_ID": config["app_id"],
        "ALIPAY_SELLER_ID": config["seller_id"],
        "ALIPAY_APP_PRIVATE_KEY": config["app_private_key_pkcs1"],
        "ALIPAY_PUBLIC_KEY": config["alipay_public_key"],
    }


def wechat_settings(config: dict[str, str]) -> dict[str, str]:
    return {
        "WECHAT_PAY_BASE_URL": "https://wechat.test",
        "WECHAT_PAY_APP_ID": config["appid"],
        "WECHAT_PAY_MCH_ID": config["mchid"],
        "WECHAT_PAY_SERIAL_NO": config["mch_cert_serial"],
        "WECHAT_PAY_PRIVATE_KEY": config["mch_private_key_pkcs8"],
        "WECHAT_PAY_API_V3_KEY": config["apiv3_key"],
        "WECHAT_PAY_PUBLIC_KEY_ID": config["wechatpay_public_key_id"],
        "WECHAT_PAY_PUBLIC_KEY": config["wechatpay_public_key"],
        "WECHAT_PAY_PLATFORM_CERTS": config["platform_cert"],
    }


def unionpay_settings(config: dict[str, str]) -> dict[str, str]:
    return {
        "UNIONPAY_GATEWAY_URL": "https://unionpay.test",
        "UNIONPAY_MER_ID": config["merId"],
        "UNIONPAY_SIGN_CERT": config["mer_pfx_base64"],
        "UNIONPAY_SIGN_PASSWORD": config["mer_pfx_password"],
        "UNIONPAY_ROOT_CERT": config["root_cert"],
        "UNIONPAY_MIDDLE_CERT": config["middle_cert"],
    }


def epay_settings(config: dict[str, str]) -> dict[str, str]:
    return {
        "EPAY_BASE_URL": "https://epay.test",
        "EPAY_PID": config["pid"],
        "EPAY_KEY": config["key"],
        "EPAY_PHONE_CREDIT_TYPE": "",
    }


def content_type(request: dict[str, Any]) -> str:
    headers = {
        name.lower(): value for name, value in request.get("headers", {}).items()
    }
    found: str = (
        headers.get("content-type") or request.get("content_type") or "application/json"
    )
    return found


def as_environ(request: dict[str, Any]) -> dict[str, str]:
    """The recorded headers as a WSGI server would pass them, content type apart."""
    return {
        f"HTTP_{name.upper().replace('-', '_')}": value
        for name, value in request.get("headers", {}).items()
        if name.lower() not in ("content-type", "content-length")
    }


def as_notice(case: Case) -> NoticeRequest:
    request = case["request"]
    return NoticeRequest(
        method=request["method"],
        headers=HttpHeaders(
            as_environ(request) | {"CONTENT_TYPE": content_type(request)}
        ),
        query=request.get("query", ""),
        body=request.get("body", "").encode(),
    )


def fits_an_order(vectors: Vectors, notice: Notice, gateway: str) -> bool:
    """Whether a payment in the notice is for an order of this gateway and amount."""
    trade = notice.trade
    return trade is not None and any(
        order["out_trade_no"] == trade.number
        and order["channel"] == gateway
        and order["amount_fen"] == trade.amount_fen
        and order.get("txnTime") in (None, trade.placed_at and compact(trade.placed_at))
        and trade.currency == "CNY"
        for order in vectors["orders"]
    )
