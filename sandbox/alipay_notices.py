"""What Alipay sends by itself: signed notices, and the browser back to the shop."""

from __future__ import annotations

import json
import secrets
from datetime import datetime
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from sandbox import rsa
from sandbox.formats import yuan_text
from sandbox.keys import ALIPAY_APP_ID, ALIPAY_SELLER_ID
from sandbox.notices import Letter, Outgoing
from sandbox.times import beijing_text
from sandbox.trades import Payment, Refund, Trade
from sandbox.world import world

NAME = "alipay"
BUYER = "2088000000000002"
FORGERIES: tuple[str, ...] = (
    "wrong_signature",
    "unsigned",
    "tampered",
    "wrong_amount",
    "wrong_merchant",
    "wrong_app",
    "unknown_order",
)

Fields = dict[str, str]


def signing_text(fields: Fields) -> bytes:
    """``name=value`` sorted and joined, without empty values."""
    return "&".join(
        f"{name}={value}" for name, value in sorted(fields.items()) if value
    ).encode()


def amounts(payment: Payment) -> Fields:
    """What answers and notices say about the money besides its total."""
    paid = yuan_text(payment.amount_fen - payment.discount_fen)
    return {
        "buyer_pay_amount": paid,
        "invoice_amount": paid,
        "point_amount": "0.00",
        "receipt_amount": yuan_text(payment.amount_fen),
    }


def letter(
    trade: Trade,
    payment: Payment | None,
    *,
    refund: Refund | None = None,
    forgery: str = "",
) -> Letter:
    """The notice of a payment, of a refund, or (without either) of a closed trade."""
    event = "refund" if refund else "payment" if payment else "closed"
    notify_id = secrets.token_hex(17)
    return Letter(
        gateway=NAME,
        number=trade.number,
        event=event,
        url=trade.notify_url,
        build=lambda now: _notice(trade, payment, refund, notify_id, forgery, now),
        accepted=lambda status, body: status == 200 and body == b"success",
    )


def _notice(
    trade: Trade,
    payment: Payment | None,
    refund: Refund | None,
    notify_id: str,
    forgery: str,
    now: datetime,
) -> Outgoing:
    fields = _notice_fields(trade, payment, refund, now) | {"notify_id": notify_id}
    match forgery:
        case "wrong_amount":
            fields["total_amount"] = yuan_text(trade.amount_fen + 1)
        case "wrong_merchant":
            fields["seller_id"] = "2088999999999999"
        case "wrong_app":
            fields["app_id"] = "2021999999999999"
        case "unknown_order":
            fields["out_trade_no"] = "NOSUCHORDER00000000000001"
    content = signing_text(fields)
    if forgery == "wrong_signature":
        content += b" "
    sign = rsa.sign(content, world().keys.alipay_gateway)
    if forgery == "tampered":
        fields["total_amount"] = yuan_text(trade.amount_fen * 100)
    fields |= {"sign_type": "RSA2"} | ({} if forgery == "unsigned" else {"sign": sign})
    return Outgoing(
        {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
        urlencode(fields).encode(),
    )


def _notice_fields(
    trade: Trade, payment: Payment | None, refund: Refund | None, now: datetime
) -> Fields:
    fields = {
        "app_id": ALIPAY_APP_ID,
        "auth_app_id": ALIPAY_APP_ID,
        "buyer_id": BUYER,
        "charset": "utf-8",
        "gmt_create": beijing_text(trade.opened_at or trade.started_at),
        "notify_time": beijing_text(now),
        "notify_type": "trade_status_sync",
        "out_trade_no": trade.number,
        "passback_params": trade.details.get("passback_params", ""),
        "seller_id": ALIPAY_SELLER_ID,
        "subject": trade.subject,
        "total_amount": yuan_text(trade.amount_fen),
        "trade_no": trade.details.get("trade_no", ""),
        "trade_status": "TRADE_CLOSED",
        "version": "1.0",
    }
    if payment is None:
        return fields | {"gmt_close": beijing_text(trade.closed_at or now)}
    fields |= amounts(payment) | {
        "fund_bill_list": json.dumps(
            [{"amount": yuan_text(payment.amount_fen), "fundChannel": "ALIPAYACCOUNT"}],
            separators=(",", ":"),
        ),
        "gmt_payment": beijing_text(payment.paid_at),
        "total_amount": yuan_text(payment.amount_fen),
        "trade_no": payment.txn_id,
        "trade_status": "TRADE_SUCCESS",
    }
    if refund is not None:
        back = trade.refunded_fen(payment.txn_id)
        fields |= {
            "gmt_refund": beijing_text(refund.settled_at or now),
            "out_biz_no": refund.number,
            "refund_fee": yuan_text(back),
        }
        if back >= payment.amount_fen:
            fields |= {"gmt_close": beijing_text(now), "trade_status": "TRADE_CLOSED"}
    return fields


def back_url(trade: Trade, payment: Payment | None, *, now: datetime) -> str:
    """Where the browser goes: signed after a payment, else the shop's way out."""
    if payment is None:
        return trade.details.get("quit_url") or trade.return_url
    if not trade.return_url:
        return ""
    parts = urlsplit(trade.return_url)
    fields = dict(parse_qsl(parts.query)) | {
        "app_id": ALIPAY_APP_ID,
        "auth_app_id": ALIPAY_APP_ID,
        "charset": "utf-8",
        "method": f"alipay.trade.{trade.product}.pay.return",
        "out_trade_no": trade.number,
        "seller_id": ALIPAY_SELLER_ID,
        "timestamp": beijing_text(now),
        "total_amount": yuan_text(payment.amount_fen),
        "trade_no": payment.txn_id,
        "version": "1.0",
    }
    sign = rsa.sign(signing_text(fields), world().keys.alipay_gateway)
    query = urlencode(fields | {"sign_type": "RSA2", "sign": sign})
    return urlunsplit(parts._replace(query=query))
