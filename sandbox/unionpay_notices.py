"""What UnionPay signs: answers, notices, and the form that leads back to the shop."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from urllib.parse import urlencode

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from sandbox import rsa, unionpay_keys
from sandbox.keys import private_key
from sandbox.notices import Letter, Outgoing
from sandbox.times import compact_text
from sandbox.trades import Payment, Refund, RefundStatus, Trade
from sandbox.unionpay_keys import MER_ID
from sandbox.world import world

NAME = "unionpay"
FORGERIES: tuple[str, ...] = (
    "wrong_signature",
    "unsigned",
    "tampered",
    "sha1",
    "no_certificate",
    "own_certificate",
    "stranger_chain",
    "wrong_amount",
    "wrong_currency",
    "wrong_merchant",
    "wrong_time",
    "unknown_order",
)
CURRENCIES = {"CNY": "156", "USD": "840", "HKD": "344"}
REFUND_CODES = {
    RefundStatus.SUCCESS: "00",
    RefundStatus.PROCESSING: "05",
    RefundStatus.CLOSED: "64",
    RefundStatus.ABNORMAL: "99",
}

Fields = dict[str, str]


def signing_text(fields: Fields) -> bytes:
    """``name=value`` sorted and joined, without empty values and the signature."""
    return "&".join(
        f"{name}={value}"
        for name, value in sorted(fields.items())
        if value and name != "signature"
    ).encode()


def digest(fields: Fields) -> bytes:
    return hashlib.sha256(signing_text(fields)).hexdigest().encode()


def frame(fields: Fields) -> Fields:
    """What every message of UnionPay's carries besides its content."""
    return {
        "version": "5.1.0",
        "encoding": "UTF-8",
        "signMethod": "01",
        "merId": MER_ID,
        "accessType": "0",
        **fields,
        "signPubKeyCert": world().unionpay.gateway_certificate,
    }


def sealed(fields: Fields) -> Fields:
    return fields | {"signature": rsa.sign(digest(fields), world().unionpay.gateway)}


def letter(
    trade: Trade, payment: Payment, *, refund: Refund | None = None, forgery: str = ""
) -> Letter:
    """The notice of a payment, or of a refund or undo that went through."""

    def build(now: datetime) -> Outgoing:
        fields = _bent(notice_fields(trade, payment, refund, now), forgery)
        return Outgoing(
            {"Content-Type": "application/x-www-form-urlencoded;charset=UTF-8"},
            urlencode(fields).encode(),
        )

    return Letter(
        gateway=NAME,
        number=trade.number,
        event="refund" if refund else "payment",
        url=refund.notify_url if refund else trade.notify_url,
        build=build,
        accepted=lambda status, body: status == 200,
    )


def notice_fields(
    trade: Trade, payment: Payment, refund: Refund | None, now: datetime
) -> Fields:
    paid_at = compact_text(payment.paid_at)
    fields = {
        "accNo": "6226********0018",
        "bizType": "000201",
        "currencyCode": CURRENCIES.get(payment.currency, "999"),
        "exchangeRate": "0",
        "orderId": trade.number,
        "payCardType": "01",
        "payType": "0201",
        "queryId": payment.txn_id,
        "respCode": "00",
        "respMsg": "成功[0000000]",
        "settleAmt": str(payment.amount_fen - payment.discount_fen),
        "settleCurrencyCode": "156",
        "settleDate": paid_at[4:8],
        "traceNo": payment.txn_id[-6:],
        "traceTime": paid_at[4:],
        "txnAmt": str(payment.amount_fen),
        "txnSubType": "01",
        "txnTime": trade.details["txn_time"],
        "txnType": "01",
    }
    if refund is not None:
        ended_at = compact_text(refund.settled_at or now)
        fields |= {
            "orderId": refund.number,
            "origQryId": payment.txn_id,
            "queryId": refund.gateway_id,
            "respCode": REFUND_CODES[refund.status],
            "settleAmt": str(refund.amount_fen),
            "settleDate": ended_at[4:8],
            "traceNo": refund.gateway_id[-6:],
            "traceTime": ended_at[4:],
            "txnAmt": str(refund.amount_fen),
            "txnSubType": "00",
            "txnTime": trade.details[f"txn_time:{refund.number}"],
            "txnType": trade.details[f"txn_type:{refund.number}"],
        }
    return frame(fields)


def _bent(fields: Fields, forgery: str) -> Fields:
    """Signed, and untrue or badly signed in one point."""
    match forgery:
        case "wrong_amount":
            fields["txnAmt"] = str(int(fields["txnAmt"]) + 1)
        case "wrong_currency":
            fields["currencyCode"] = "840"
        case "wrong_merchant":
            fields["merId"] = "898999999999999"
        case "wrong_time":
            fields["txnTime"] = "20200101000000"
        case "unknown_order":
            fields["orderId"] = "NOSUCHORDER00000000000001"
        case "no_certificate":
            del fields["signPubKeyCert"]
        case "own_certificate":
            fields["signPubKeyCert"] = world().unionpay.merchant_certificate
            return fields | {
                "signature": rsa.sign(digest(fields), world().unionpay.merchant)
            }
        case "stranger_chain":
            key, fields["signPubKeyCert"] = unionpay_keys.stranger()
            return fields | {"signature": rsa.sign(digest(fields), key)}
        case "sha1":
            return fields | {"signature": _by_sha1(fields)}
        case "unsigned":
            return fields
        case "wrong_signature":
            mistaken = digest(fields) + b" "
            sign = rsa.sign(mistaken, world().unionpay.gateway)
            return fields | {"signature": sign}
        case "tampered":
            whole = sealed(fields)
            return whole | {"txnAmt": str(int(fields["txnAmt"]) * 100)}
    return sealed(fields)


def _by_sha1(fields: Fields) -> str:
    """The signature of version 5.0.0."""
    text = hashlib.sha1(signing_text(fields), usedforsecurity=False).hexdigest()
    key = private_key(world().unionpay.gateway)
    signed = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA1())  # noqa: S303
    return base64.b64encode(signed).decode()
