"""UnionPay 5.1.0: the cashier by form, query, refund and undo.

As the real one it closes nothing: an order ends with its ``payTimeout``. Before a
browser has paid or was refused it knows no transaction (34).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from urllib.parse import urlsplit

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, reverse

from sandbox import rsa, unionpay_notices
from sandbox.faults import Seal, answered
from sandbox.notices import Letter
from sandbox.settings import POLICY
from sandbox.times import BEIJING, compact_text, from_compact_text
from sandbox.trades import Payment, Refund, RefundStatus, Trade, TradeState
from sandbox.unionpay_keys import MER_ID
from sandbox.unionpay_notices import REFUND_CODES, Fields, digest, frame, sealed
from sandbox.world import Call, world

NAME = unionpay_notices.NAME
TITLE = "银联"
TITLE_ENGLISH = "UnionPay"
FORGERIES = unionpay_notices.FORGERIES
letter = unionpay_notices.letter

CLOCK_TOLERANCE = timedelta(hours=1)
CLEARING_DAY_BEGINS = timedelta(hours=1)  # 23:00 to 23:00
CHANNELS = {"07": "front", "08": "front_phone"}
PAY, REFUND, UNDO = "01", "04", "31"


class Declined(Exception):
    """An answer other than 00: respCode and words."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(code)
        self.fields = {"respCode": code, "respMsg": words}


def urls() -> list[URLPattern]:
    return [
        path("gateway/api/frontTransReq.do", front),
        path("gateway/api/backTransReq.do", back),
        path("gateway/api/queryTrans.do", query),
        path("unionpay/return/<str:token>/", way_back, name="unionpay-return"),
    ]


# --- The browser ---------------------------------------------------------------------


def front(request: HttpRequest) -> HttpResponse:
    """The browser brings the signed form and is led to the cashier."""
    fields = _given(request)

    def work() -> Trade | Fields:
        try:
            _check(fields, "orderId", "txnAmt", "payTimeout", "frontUrl", "backUrl")
            with world().lock:
                return _start(fields, world().now())
        except Declined as refusal:
            return refusal.fields

    def send(result: Trade | Fields, _seal: Seal) -> HttpResponse:
        if isinstance(result, Trade):
            return redirect("cashier", NAME, result.links[-1].token)
        words = {"title": TITLE, "code": result["respCode"], "words": result["respMsg"]}
        return render(request, "sandbox/refused.html", words, status=400)

    return _served("start", fields, work=work, send=send)


def way_back(request: HttpRequest, token: str) -> HttpResponse:
    """Let the browser post the signed result to the shop's ``frontUrl``."""
    with world().lock:
        trade, now = world().trades.by_link(NAME, token), world().now()
    payment = trade.payment() if trade else None
    if trade is None or payment is None or not trade.return_url:
        raise Http404
    fields = sealed(unionpay_notices.notice_fields(trade, payment, None, now))
    response = render(
        request,
        "sandbox/unionpay_return.html",
        {"title": TITLE, "url": trade.return_url, "fields": fields, "name": NAME},
    )
    parts = urlsplit(trade.return_url)
    shop = f"{parts.scheme}://{parts.netloc}"
    response["Content-Security-Policy"] = POLICY.replace(
        "form-action 'self'", f"form-action 'self' {shop}"
    )
    return response


def _start(fields: Fields, now: datetime) -> Trade:
    """The trade of an order; the same order again leads to the same one."""
    if (fields["txnType"], fields.get("txnSubType")) != (PAY, "01"):
        raise Declined("10", "txnType 不对")
    product = CHANNELS.get(fields.get("channelType", ""))
    if fields.get("bizType") != "000201" or product is None:
        raise Declined("10", "bizType 或 channelType 不对")
    if fields.get("currencyCode") != "156":
        raise Declined("10", "currencyCode 不对")
    placed_at, expires_at = _moment(fields, "txnTime"), _moment(fields, "payTimeout")
    if abs(now - placed_at) > CLOCK_TOLERANCE:
        raise Declined("10", "txnTime 不是当前时间")
    for name in ("frontUrl", "backUrl"):
        if not re.match(r"https?://[^/]", fields[name]):
            raise Declined("10", f"{name} 不对")
    number, amount_fen = fields["orderId"], _fen(fields)
    trade = world().trades.get(NAME, number)
    if trade is None:
        trade = Trade(
            gateway=NAME,
            number=number,
            product=product,
            amount_fen=amount_fen,
            currency="CNY",
            subject=_subject(fields),
            notify_url=fields["backUrl"],
            return_url=fields["frontUrl"],
            started_at=now,
            expires_at=expires_at,
            details={"txn_time": fields["txnTime"]},
        )
    if (trade.amount_fen, trade.details["txn_time"]) != (amount_fen, fields["txnTime"]):
        raise Declined("12", "重复交易")
    match trade.state(now):
        case TradeState.PAID:
            raise Declined("12", "交易已成功")
        case TradeState.CLOSED | TradeState.EXPIRED:
            raise Declined("42", "订单已超时")
    trade.add_link()
    world().trades.save(trade)
    return trade


def _subject(fields: Fields) -> str:
    found = re.search(r"commodityName=([^&}]*)", fields.get("riskRateInfo", ""))
    return found[1] if found else fields.get("orderDesc", "")


# --- The shop's server ---------------------------------------------------------------


def query(request: HttpRequest) -> HttpResponse:
    fields = _given(request)
    is_refund = world().trades.by_refund(NAME, fields.get("orderId", "")) is not None
    name = "refund_query" if is_refund else "query"
    return _answered(request, fields, name, partial(_query, fields), "orderId")


def back(request: HttpRequest) -> HttpResponse:
    fields = _given(request)
    required = ("orderId", "txnAmt", "origQryId", "backUrl")
    return _answered(request, fields, "refund", partial(_refund, fields), *required)


def _query(fields: Fields, now: datetime) -> Fields:
    number, txn_time = fields["orderId"], fields["txnTime"]
    if fields["txnType"] != "00" or fields.get("bizType") != "000000":
        raise Declined("10", "txnType 或 bizType 不对")
    trade = world().trades.get(NAME, number)
    if trade is not None and trade.details["txn_time"] == txn_time:
        return _order(trade)
    trade = world().trades.by_refund(NAME, number)
    refund = trade.refund(number) if trade else None
    if trade is None or refund is None:
        raise Declined("34", "查无此交易")
    if trade.details[f"txn_time:{number}"] != txn_time:
        raise Declined("34", "查无此交易")
    return {
        "respCode": "00",
        "respMsg": "成功[0000000]",
        "origRespCode": REFUND_CODES[refund.status],
        "origRespMsg": refund.status,
        "origQryId": refund.txn_id,
        "queryId": refund.gateway_id,
        "txnAmt": str(refund.amount_fen),
        "currencyCode": "156",
    }


def _order(trade: Trade) -> Fields:
    payment = trade.payment()
    if payment is not None:
        told = unionpay_notices.notice_fields(trade, payment, None, payment.paid_at)
        names = ("queryId", "txnAmt", "currencyCode", "settleAmt", "traceTime")
        return {
            "respCode": "00",
            "respMsg": "成功[0000000]",
            "origRespCode": "00",
            "origRespMsg": "成功[0000000]",
            "cardTransData": "{issuer=sandbox&card={type=01}}",
            **{name: told[name] for name in names},
        }
    if not trade.refusals:
        raise Declined("34", "查无此交易")
    return {
        "respCode": "00",
        "respMsg": "成功[0000000]",
        "origRespCode": "64",
        "origRespMsg": trade.refusals[-1],
        "txnAmt": str(trade.amount_fen),
        "currencyCode": "156",
    }


def _refund(fields: Fields, now: datetime) -> Fields:
    kind, number, amount_fen = fields["txnType"], fields["orderId"], _fen(fields)
    if kind not in (REFUND, UNDO) or fields.get("bizType") != "000201":
        raise Declined("10", "txnType 或 bizType 不对")
    known = world().trades.by_refund(NAME, number)
    if known is not None:
        raise Declined("12", "重复交易")
    trade = world().trades.by_txn(NAME, fields["origQryId"])
    payment = trade.payment(fields["origQryId"]) if trade else None
    if trade is None or payment is None:
        raise Declined("35", "原交易不存在或状态不正确")
    back_fen = trade.refunded_fen(payment.txn_id)
    if kind == UNDO:
        if amount_fen != payment.amount_fen or back_fen:
            raise Declined("36", "与原交易信息不符")
        if _clearing_day(payment.paid_at) != _clearing_day(now):
            raise Declined("35", "原交易已清算，请退货")
    if amount_fen > payment.amount_fen - back_fen:
        raise Declined("36", "退货金额超限")
    outcome = world().planned_refund(NAME)
    if outcome == "fail":
        raise Declined("06", "系统繁忙，请稍后再试")
    refund = Refund(
        number=number,
        txn_id=payment.txn_id,
        amount_fen=amount_fen,
        status=RefundStatus.PROCESSING,
        created_at=now,
        gateway_id=new_txn_id(now),
        notify_url=fields["backUrl"],
    )
    trade.refunds.append(refund)
    trade.details |= {
        f"txn_time:{number}": fields["txnTime"],
        f"txn_type:{number}": kind,
    }
    world().trades.save(trade)
    if outcome != "processing":
        settle_refund(trade, refund, RefundStatus(outcome), now=now)
    return {"respCode": "00", "respMsg": "成功[0000000]", "queryId": refund.gateway_id}


def _clearing_day(moment: datetime) -> object:
    return (moment.astimezone(BEIJING) + CLEARING_DAY_BEGINS).date()


# --- Every message -------------------------------------------------------------------


def _given(request: HttpRequest) -> Fields:
    return {name: str(value) for name, value in request.POST.items()}


def _check(fields: Fields, *required: str) -> None:
    """Signature and frame of a request."""
    keys = world().unionpay
    signature = fields.get("signature", "")
    if not rsa.matches(digest(fields), signature, keys.merchant):
        raise Declined("11", "验证签名失败")
    if fields.get("merId") != MER_ID:
        raise Declined("31", "商户状态不正确")
    for name, value in (
        *(("version", "5.1.0"), ("encoding", "UTF-8"), ("signMethod", "01")),
        *(("accessType", "0"), ("certId", keys.merchant_cert_id)),
    ):
        if fields.get(name) != value:
            raise Declined("10", f"{name} 不对")
    for name in ("txnType", "txnTime", *required):
        if not fields.get(name):
            raise Declined("10", f"缺少 {name}")
    _moment(fields, "txnTime")
    if not re.fullmatch(r"[0-9A-Za-z]{8,40}", fields.get("orderId", "")):
        raise Declined("10", "orderId 不对")


def _moment(fields: Fields, name: str) -> datetime:
    try:
        return from_compact_text(fields[name])
    except ValueError as error:
        raise Declined("10", f"{name} 不对") from error


def _fen(fields: Fields) -> int:
    if not re.fullmatch(r"[1-9]\d{0,11}", fields["txnAmt"]):
        raise Declined("10", "txnAmt 不对")
    return int(fields["txnAmt"])


def _answered(
    request: HttpRequest,
    fields: Fields,
    name: str,
    interface: Callable[[datetime], Fields],
    *required: str,
) -> HttpResponse:
    """The signed answer to a request of the shop's server."""

    def work() -> Fields:
        try:
            _check(fields, *required)
            with world().lock:
                return interface(world().now())
        except Declined as refusal:
            return refusal.fields

    return _served(name, fields, work=work, send=partial(_signed_answer, fields))


def _signed_answer(asked: Fields, result: Fields, seal: Seal) -> HttpResponse:
    """``name=value&…`` that nobody encodes."""
    echoed = ("bizType", "txnType", "txnSubType", "orderId", "txnTime")
    fields = frame({name: asked.get(name, "") for name in echoed} | result)
    whole = sealed(fields)
    if seal == Seal.WRONG:
        whole["signature"] = rsa.sign(b"mistaken", world().unionpay.gateway)
    if seal == Seal.NONE:
        del whole["signature"]
    text = "&".join(f"{name}={value}" for name, value in whole.items() if value)
    return HttpResponse(text, content_type="text/html;charset=utf-8")


def _served[Result](
    name: str,
    fields: Fields,
    *,
    work: Callable[[], Result | Fields],
    send: Callable[[Result | Fields, Seal], HttpResponse],
) -> HttpResponse:
    def refuse(code: str, _status: int) -> Fields:
        return {"respCode": code[:2], "respMsg": "sandbox fault"}

    fault = world().faults.take(NAME, name)
    response = answered(world().faults, fault, work=work, refuse=refuse, send=send)
    outcome = fault.kind if fault else str(response.status_code)
    number = fields.get("orderId", "")
    world().calls.append(Call(NAME, name, number, outcome, world().now()))
    return response


# --- What cashier and control need ----------------------------------------------------


def new_txn_id(now: datetime) -> str:
    return f"{compact_text(now)}{secrets.randbelow(10**7):07d}"


def next_txn_id(trade: Trade, now: datetime) -> str:
    return new_txn_id(now)


def opened(trade: Trade, *, now: datetime) -> None:
    if trade.opened_at is None:
        trade.opened_at = now
        world().trades.save(trade)


def closed_letter(trade: Trade) -> Letter | None:
    """UnionPay tells of success alone."""
    return None


def settle_refund(
    trade: Trade, refund: Refund, status: RefundStatus, *, now: datetime
) -> None:
    refund.status = status
    refund.settled_at = now
    world().trades.save(trade)
    payment = trade.payment(refund.txn_id)
    if status == RefundStatus.SUCCESS and payment and refund.notify_url:
        world().notices.post(letter(trade, payment, refund=refund))


def back_url(trade: Trade, payment: Payment | None, *, now: datetime) -> str:
    """A page of ours that posts the result after a payment, else the shop's address."""
    if payment is None or not trade.links:
        return trade.return_url
    return reverse("unionpay-return", args=[trade.links[-1].token])
