"""What WeChat Pay says about payments and refunds, by query and by notice."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from sandbox import wechat_seal
from sandbox.keys import WECHAT_APP_ID, WECHAT_MCH_ID
from sandbox.notices import Letter, Outgoing
from sandbox.times import rfc3339_text
from sandbox.trades import Payment, Refund, RefundStatus, Trade

NAME = "wechat"
FORGERIES: tuple[str, ...] = (
    "wrong_signature",
    "unsigned",
    "stale",
    "future",
    "unknown_serial",
    "signtest",
    "wrong_key",
    "certificate",
    "public_key",
    "wrong_amount",
    "wrong_currency",
    "wrong_merchant",
    "wrong_app",
    "unknown_order",
)
BUYER = "oSANDBOX000000000000000000001"
TRADE_TYPES = {"native": "NATIVE", "h5": "MWEB", "jsapi": "JSAPI"}

Json = dict[str, Any]


def transaction(trade: Trade, payment: Payment) -> Json:
    """A paid order as query and notice show it."""
    return {
        "mchid": WECHAT_MCH_ID,
        "appid": trade.details.get("appid", WECHAT_APP_ID),
        "out_trade_no": trade.number,
        "transaction_id": payment.txn_id,
        "trade_type": TRADE_TYPES[trade.product],
        "trade_state": "SUCCESS",
        "trade_state_desc": "支付成功",
        "bank_type": "OTHERS",
        "attach": trade.details.get("attach", ""),
        "success_time": rfc3339_text(payment.paid_at),
        "payer": {"openid": trade.details.get("openid") or BUYER},
        "amount": {
            "total": payment.amount_fen,
            "payer_total": payment.amount_fen - payment.discount_fen,
            "currency": payment.currency,
            "payer_currency": payment.currency,
        },
    }


def refund_amounts(payment: Payment, refund: Refund) -> Json:
    return {
        "total": payment.amount_fen,
        "refund": refund.amount_fen,
        "payer_total": payment.amount_fen - payment.discount_fen,
        "payer_refund": refund.amount_fen,
    }


def letter(
    trade: Trade,
    payment: Payment,
    *,
    refund: Refund | None = None,
    forgery: str = "",
) -> Letter:
    """The notice of a payment or of a refund's end; its id outlives the retries."""
    event_id = secrets.token_hex(18)
    created = refund.settled_at if refund else payment.paid_at

    def build(now: datetime) -> Outgoing:
        content = (
            _refunded(trade, payment, refund) if refund else transaction(trade, payment)
        )
        _bend(content, forgery)
        kind = "refund" if refund else "transaction"
        sealed = wechat_seal.encrypted(
            wechat_seal.compact(content), kind, wrong_key=forgery == "wrong_key"
        )
        body = wechat_seal.compact(
            {
                "id": event_id,
                "create_time": rfc3339_text(created or now),
                "resource_type": "encrypt-resource",
                "event_type": (
                    f"REFUND.{refund.status.upper()}"
                    if refund
                    else "TRANSACTION.SUCCESS"
                ),
                "summary": "退款结果" if refund else "支付成功",
                "resource": {"original_type": kind} | sealed,
            }
        )
        return Outgoing(_headers(body, now, forgery), body)

    return Letter(
        gateway=NAME,
        number=trade.number,
        event="refund" if refund else "payment",
        url=refund.notify_url if refund else trade.notify_url,
        build=build,
        accepted=lambda status, body: status in (200, 204),
    )


def _refunded(trade: Trade, payment: Payment, refund: Refund) -> Json:
    content: Json = {
        "mchid": WECHAT_MCH_ID,
        "out_trade_no": trade.number,
        "transaction_id": payment.txn_id,
        "out_refund_no": refund.number,
        "refund_id": refund.gateway_id,
        "refund_status": refund.status.upper(),
        "user_received_account": "支付用户零钱",
        "amount": refund_amounts(payment, refund),
    }
    if refund.status == RefundStatus.SUCCESS and refund.settled_at:
        content["success_time"] = rfc3339_text(refund.settled_at)
    return content


def _bend(content: Json, forgery: str) -> None:
    """Make the content untrue in one point, to be signed all the same."""
    match forgery:
        case "wrong_amount":
            content["amount"]["total"] += 1
        case "wrong_currency":
            content["amount"]["currency"] = "USD"
        case "wrong_merchant":
            content["mchid"] = "1999999999"
        case "wrong_app":
            content["appid"] = "wx9999999999999999"
        case "unknown_order":
            content["out_trade_no"] = "NOSUCHORDER00000000000001"


def _headers(body: bytes, now: datetime, forgery: str) -> dict[str, str]:
    plain = {"Content-Type": "application/json", "User-Agent": "Mozilla/4.0"}
    if forgery == "unsigned":
        return plain
    signs_with = forgery if forgery in ("certificate", "public_key") else ""
    return plain | wechat_seal.headers(
        body, now, signs_with=signs_with, forgery=forgery
    )
