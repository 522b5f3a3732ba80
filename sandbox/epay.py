"""An epay V1 aggregator: ``submit.php``, ``mapi.php`` and ``api.php``.

As the manuals of such aggregators have it: one shared key signs by MD5 and, in
``api.php``, stands in the request itself; answers are not signed; a trade has no time
limit and cannot be closed by the shop; only the whole sum can go back, without a number.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path

from sandbox import epay_notices
from sandbox.epay_notices import Fields, sign
from sandbox.faults import Seal, answered
from sandbox.formats import yuan_text
from sandbox.keys import EPAY_PHONE_CREDIT_TYPE, EPAY_PID
from sandbox.notices import Letter
from sandbox.times import beijing_text
from sandbox.trades import Refund, RefundStatus, Trade
from sandbox.world import Call, world

NAME = epay_notices.NAME
TITLE = "易支付"
TITLE_ENGLISH = "epay, third party"
FORGERIES = epay_notices.FORGERIES
letter = epay_notices.letter
back_url = epay_notices.back_url

TYPES = {EPAY_PHONE_CREDIT_TYPE, "alipay", "wxpay", "qqpay", "bank"}
BY_CODE = {"wxpay"}
"""For these ``mapi.php`` answers a code to scan instead of an address to open."""
LONGEST_NAME = 127


class Refused(Exception):
    """An answer whose ``code`` is not 1."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.answer = {"code": code, "msg": message}


def urls() -> list[URLPattern]:
    return [path("submit.php", submit), path("mapi.php", mapi), path("api.php", api)]


def submit(request: HttpRequest) -> HttpResponse:
    """The browser comes itself and is led to the cashier."""
    fields = _fields(request)

    def work() -> Trade | dict[str, Any]:
        try:
            with world().lock:
                return _start(fields, world().now())
        except Refused as error:
            return error.answer

    def send(result: Trade | dict[str, Any], _seal: Seal) -> HttpResponse:
        if isinstance(result, Trade):
            return redirect("cashier", NAME, result.links[-1].token)
        return render(
            request,
            "sandbox/refused.html",
            {"title": TITLE, "code": result["code"], "words": result["msg"]},
            status=400,
        )

    return _bent("start", fields, work, send)


def mapi(request: HttpRequest) -> HttpResponse:
    """The shop's server asks for an address or a code to scan."""
    fields = _fields(request)
    here = f"{request.scheme}://{request.get_host()}"

    def order(now: datetime) -> dict[str, Any]:
        if request.method != "POST":
            raise Refused(-1, "请使用 POST")
        if not fields.get("clientip"):
            raise Refused(-1, "用户IP地址(clientip)不能为空")
        trade = _start(fields, now)
        address = f"{here}/{NAME}/cashier/{trade.links[-1].token}/"
        kind = "qrcode" if trade.product in BY_CODE else "payurl"
        return {"msg": "", "trade_no": trade.details["trade_no"], kind: address}

    return _answer("start", fields, order)


def api(request: HttpRequest) -> HttpResponse:
    fields = _fields(request)
    method = {"order": "query", "refund": "refund"}.get(fields.get("act", ""))
    if method is None:
        return _json(Refused(-5, "No Act!").answer)

    def work(now: datetime) -> dict[str, Any]:
        _check_merchant(fields)
        return _query(fields) if method == "query" else _refund(fields, now)

    return _answer(method, fields, work)


def _fields(request: HttpRequest) -> Fields:
    fields = {name: str(value) for name, value in request.GET.items()}
    return fields | {name: str(value) for name, value in request.POST.items()}


def _answer(
    method: str, fields: Fields, work: Callable[[datetime], dict[str, Any]]
) -> HttpResponse:
    def answer() -> dict[str, Any]:
        try:
            with world().lock:
                return {"code": 1} | work(world().now())
        except Refused as error:
            return error.answer

    # Nothing is signed here, so that no signature can be wrong or missing.
    return _bent(method, fields, answer, lambda result, _seal: _json(result))


def _bent[Result](
    method: str,
    fields: Fields,
    work: Callable[[], Result | dict[str, Any]],
    send: Callable[[Result | dict[str, Any], Seal], HttpResponse],
) -> HttpResponse:
    def refuse(code: str, _status: int) -> dict[str, Any]:
        known = re.fullmatch(r"-?\d{1,6}", code)
        return Refused(int(code) if known else -1, "sandbox fault").answer

    fault = world().faults.take(NAME, method)
    response = answered(world().faults, fault, work=work, refuse=refuse, send=send)
    outcome = fault.kind if fault else str(response.status_code)
    number = fields.get("out_trade_no", "")
    world().calls.append(Call(NAME, method, number, outcome, world().now()))
    return response


def _json(payload: dict[str, Any]) -> HttpResponse:
    return HttpResponse(json.dumps(payload), content_type="application/json")


def _start(fields: Fields, now: datetime) -> Trade:
    """The trade of an order; the same order again is the same trade."""
    _check_order(fields)
    amount_fen = _fen(fields.get("money", ""))
    trade = world().trades.get(NAME, fields["out_trade_no"])
    if trade is None:
        trade = Trade(
            gateway=NAME,
            number=fields["out_trade_no"],
            product=fields["type"],
            amount_fen=amount_fen,
            currency="CNY",
            subject=_cut(fields["name"]),
            notify_url=fields["notify_url"],
            return_url=fields.get("return_url", ""),
            started_at=now,
            details={"trade_no": new_txn_id(now), "param": fields.get("param", "")},
        )
    if trade.payments or trade.closed_at:
        raise Refused(-1, "该订单已支付或已关闭")
    if (trade.amount_fen, trade.product) != (amount_fen, fields["type"]):
        raise Refused(-1, "商户订单号重复，参数不一致")
    trade.add_link()
    world().trades.save(trade)
    return trade


def _check_order(fields: Fields) -> None:
    if fields.get("pid") != EPAY_PID:
        raise Refused(-1, "商户不存在")
    if fields.get("sign_type", "MD5") != "MD5":
        raise Refused(-1, "签名方式不支持")
    given, key = fields.get("sign", ""), world().keys.epay_key
    if not hmac.compare_digest(given.encode(), sign(fields, key).encode()):
        raise Refused(-1, "签名校验失败")
    if not re.fullmatch(r"[A-Za-z0-9]{1,64}", fields.get("out_trade_no", "")):
        raise Refused(-1, "订单号(out_trade_no)格式不正确")
    if not fields.get("name"):
        raise Refused(-1, "商品名称(name)不能为空")
    if fields.get("type") not in TYPES:
        raise Refused(-1, "支付方式(type)不存在")
    for name in ("notify_url", "return_url"):
        parts = urlsplit(fields.get(name, ""))
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise Refused(-1, f"{name} 格式不正确")


def _check_merchant(fields: Fields) -> None:
    """``api.php`` wants the key itself, or in newer versions a signature."""
    key = world().keys.epay_key
    if fields.get("pid") != EPAY_PID:
        raise Refused(-3, "商户ID不存在")
    proof = sign(fields, key) if "sign" in fields else key
    given = fields.get("sign", fields.get("key", ""))
    if not hmac.compare_digest(given.encode(), proof.encode()):
        raise Refused(-3, "商户密钥错误")


def _existing(fields: Fields) -> Trade:
    trade = None
    if fields.get("trade_no"):
        trade = world().trades.by_txn(NAME, fields["trade_no"])
    elif fields.get("out_trade_no"):
        trade = world().trades.get(NAME, fields["out_trade_no"])
    if trade is None:
        raise Refused(-1, "订单号不存在")
    return trade


def _query(fields: Fields) -> dict[str, Any]:
    trade = _existing(fields)
    payment = trade.payment(fields.get("trade_no", "")) or trade.payment()
    answer = {
        "msg": "查询订单号成功！",
        "trade_no": payment.txn_id if payment else trade.details["trade_no"],
        "out_trade_no": trade.number,
        "type": trade.product,
        "pid": EPAY_PID,
        "addtime": beijing_text(trade.started_at),
        "name": trade.subject,
        "money": yuan_text(payment.amount_fen if payment else trade.amount_fen),
        "status": 0,
    }
    if payment:
        refunded = trade.refunded_fen(payment.txn_id) > 0
        answer |= {
            "endtime": beijing_text(payment.paid_at),
            "status": 2 if refunded else 1,
        }
    return answer


def _refund(fields: Fields, now: datetime) -> dict[str, Any]:
    trade = _existing(fields)
    payment = trade.payment(fields.get("trade_no", ""))
    if payment is None:
        raise Refused(-1, "该订单未支付")
    if trade.refunded_fen(payment.txn_id):
        raise Refused(-1, "该订单已退款")
    if _fen(fields.get("money", "")) != payment.amount_fen:
        raise Refused(-1, "只支持全额退款")
    if world().planned_refund(NAME) == "fail":
        raise Refused(-1, "商户余额不足，请充值")
    refund = Refund(
        number=f"E{secrets.token_hex(12)}",
        txn_id=payment.txn_id,
        amount_fen=payment.amount_fen,
        status=RefundStatus.PROCESSING,
        created_at=now,
        gateway_id="",
    )
    trade.refunds.append(refund)
    settle_refund(trade, refund, RefundStatus.SUCCESS, now=now)
    return {"msg": f"退款成功！退款金额¥{yuan_text(payment.amount_fen)}"}


def _fen(text: str) -> int:
    found = re.fullmatch(r"(\d{1,7})(?:\.(\d{1,2}))?", text, re.ASCII)
    fen = int(found[1]) * 100 + int((found[2] or "").ljust(2, "0")) if found else 0
    if fen < 1:
        raise Refused(-1, "金额(money)不合法")
    return fen


def _cut(name: str) -> str:
    return name.encode()[:LONGEST_NAME].decode(errors="ignore")


def new_txn_id(now: datetime) -> str:
    stamp = re.sub(r"\D", "", beijing_text(now))
    return f"{stamp}{secrets.randbelow(10**8):08d}"


def opened(trade: Trade, *, now: datetime) -> None:
    if trade.opened_at is None:
        trade.opened_at = now
        world().trades.save(trade)


def next_txn_id(trade: Trade, now: datetime) -> str:
    """The first payment bears the trade's number, a second one its own."""
    return new_txn_id(now) if trade.payments else trade.details["trade_no"]


def closed_letter(trade: Trade) -> Letter | None:
    return None


def settle_refund(
    trade: Trade, refund: Refund, status: RefundStatus, *, now: datetime
) -> None:
    refund.status = status
    refund.settled_at = now
    world().trades.save(trade)
