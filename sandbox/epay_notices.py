"""What the epay aggregator sends by itself: signed notices, and the browser back."""

from __future__ import annotations

import hashlib
from datetime import datetime
from urllib.parse import urlencode

from sandbox.formats import yuan_text
from sandbox.keys import EPAY_PID
from sandbox.notices import Letter, Outgoing
from sandbox.trades import Payment, Refund, Trade
from sandbox.world import world

NAME = "epay"
FORGERIES: tuple[str, ...] = (
    "wrong_signature",
    "unsigned",
    "empty_key",
    "tampered",
    "added_field",
    "wrong_amount",
    "wrong_merchant",
    "wrong_type",
    "wrong_state",
    "unknown_order",
)

Fields = dict[str, str]


def sign(fields: Fields, key: str) -> str:
    """MD5 over the sorted pairs, raw, with the key straight behind the last one."""
    pairs = [
        name + "=" + fields[name]
        for name in sorted(fields)
        if fields[name] != "" and name not in ("sign", "sign_type")
    ]
    return hashlib.md5(("&".join(pairs) + key).encode("utf-8")).hexdigest()  # noqa: S324


def letter(
    trade: Trade,
    payment: Payment,
    *,
    refund: Refund | None = None,
    forgery: str = "",
) -> Letter:
    """The notice of a payment; refunds have none."""
    return Letter(
        gateway=NAME,
        number=trade.number,
        event="payment",
        url=trade.notify_url,
        build=lambda now: _notice(trade, payment, forgery),
        accepted=lambda status, body: status == 200 and body == b"success",
    )


def _notice(trade: Trade, payment: Payment, forgery: str) -> Outgoing:
    fields = _fields(trade, payment)
    key = world().keys.epay_key
    match forgery:
        case "wrong_amount":
            fields["money"] = yuan_text(trade.amount_fen + 1)
        case "wrong_merchant":
            fields["pid"] = "SANDBOX9999"
        case "wrong_type":
            fields["type"] = "bank"
        case "wrong_state":
            fields["trade_status"] = "WAIT_BUYER_PAY"
        case "unknown_order":
            fields["out_trade_no"] = "NOSUCHORDER00000000000001"
        case "empty_key":
            key = ""
        case "wrong_signature":
            key += "x"
    fields["sign"] = "" if forgery == "unsigned" else sign(fields, key)
    fields["sign_type"] = "MD5"
    if forgery == "tampered":
        fields["money"] = yuan_text(trade.amount_fen * 100)
    if forgery == "added_field":
        fields["zz"] = "1"
    form = urlencode(fields)
    if world().epay_notifies_by == "GET":
        return Outgoing({}, b"", query=form)
    return Outgoing(
        {"Content-Type": "application/x-www-form-urlencoded"}, form.encode()
    )


def _fields(trade: Trade, payment: Payment) -> Fields:
    return {
        "pid": EPAY_PID,
        "trade_no": payment.txn_id,
        "out_trade_no": trade.number,
        "type": trade.product,
        "name": trade.subject,
        "money": yuan_text(payment.amount_fen),
        "trade_status": "TRADE_SUCCESS",
        "param": trade.details.get("param", ""),
    }


def back_url(trade: Trade, payment: Payment | None, *, now: datetime) -> str:
    """Where the browser goes: with the fields of a notice after a payment."""
    if payment is None or not trade.return_url:
        return trade.return_url
    fields = _fields(trade, payment)
    fields |= {"sign": sign(fields, world().keys.epay_key), "sign_type": "MD5"}
    joint = "&" if "?" in trade.return_url else "?"
    return trade.return_url + joint + urlencode(fields)
