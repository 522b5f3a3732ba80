"""WeChat Pay v3: the merchant interfaces under ``/v3/`` and the ways to the cashier."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from urllib.parse import unquote, urlsplit

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path, re_path

from sandbox import bills, rsa, wechat_notices, wechat_seal
from sandbox.faults import Seal, answered
from sandbox.keys import WECHAT_APP_ID, WECHAT_MCH_ID, WECHAT_MP_APP_ID
from sandbox.notices import Letter
from sandbox.times import BEIJING, beijing_text, from_rfc3339_text, rfc3339_text
from sandbox.trades import Payment, Refund, RefundStatus, Trade, TradeState
from sandbox.wechat_notices import TRADE_TYPES, Json, refund_amounts, transaction
from sandbox.world import Call, world

NAME = wechat_notices.NAME
TITLE = "微信支付"
TITLE_ENGLISH = "WeChat Pay"
FORGERIES = wechat_notices.FORGERIES
letter = wechat_notices.letter

LONGEST_LIFE = timedelta(days=7)
SHORTEST_LIFE = timedelta(minutes=1)
LINK_LIFE = {
    "native": timedelta(hours=2),
    "h5": timedelta(minutes=5),
    "jsapi": timedelta(hours=2),
}
MOST_REFUNDS = 50


class ApiError(Exception):
    """A refusal in WeChat Pay's words; ``detail`` becomes the end of Request-ID."""

    def __init__(self, status: int, code: str, message: str, detail: str = "0") -> None:
        super().__init__(code)
        self.answer = Answer(status, {"code": code, "message": message}, detail)


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    payload: Json | None
    detail: str = "0"


@dataclass(frozen=True, slots=True)
class Ask:
    """One genuine request; ``here`` is the address the caller used."""

    body: Json
    query: dict[str, str]
    here: str
    now: datetime


def urls() -> list[URLPattern]:
    orders = "v3/pay/transactions/out-trade-no/<str:number>"
    return [
        path("v3/pay/transactions/<str:product>", start),
        path("v3/pay/transactions/id/<str:txn_id>", query_by_txn),
        re_path(r"^v3/pay/transactions/out-trade-no/(?P<number>[^/]+)$", query),
        path(f"{orders}/close", close),
        path("v3/refund/domestic/refunds", refund),
        path("v3/refund/domestic/refunds/<str:number>", refund_query),
        path("v3/certificates", certificates),
        path("v3/bill/tradebill", trade_bill),
        path("v3/billdownload/file", bill_file),
        path("wechat/h5/", open_h5),
        path("wechat/jsapi/", open_jsapi),
    ]


def start(request: HttpRequest, product: str) -> HttpResponse:
    def work(ask: Ask) -> Answer:
        if product not in TRADE_TYPES:
            raise ApiError(404, "NOT_FOUND", "没有这个产品")
        trade = _start(ask, product)
        token = trade.add_link(ask.now + LINK_LIFE[product]).token
        world().trades.save(trade)
        match product:
            case "native":
                return Answer(200, {"code_url": f"{ask.here}/wechat/cashier/{token}/"})
            case "h5":
                url = f"{ask.here}/wechat/h5/?prepay_id={token}&package=1"
                return Answer(200, {"h5_url": url})
        return Answer(200, {"prepay_id": token})

    return _served(request, "POST", "start", work)


def query(request: HttpRequest, number: str) -> HttpResponse:
    def work(ask: Ask) -> Answer:
        return Answer(200, _order(_existing(number), None, ask))

    return _served(request, "GET", "query", work, number)


def query_by_txn(request: HttpRequest, txn_id: str) -> HttpResponse:
    def work(ask: Ask) -> Answer:
        trade = world().trades.by_txn(NAME, txn_id)
        payment = trade.payment(txn_id) if trade else None
        if trade is None or payment is None:
            raise ApiError(404, "ORDER_NOT_EXIST", "订单不存在")
        return Answer(200, _order(trade, payment, ask))

    return _served(request, "GET", "query", work, txn_id)


def close(request: HttpRequest, number: str) -> HttpResponse:
    def work(ask: Ask) -> Answer:
        _check_merchant(ask.body)
        trade = _existing(number)
        if trade.payments:
            raise ApiError(400, "ORDERPAID", "该订单已支付", "268498689")
        if trade.closed_at is None:
            trade.closed_at = ask.now
            world().trades.save(trade)
        return Answer(204, None)

    return _served(request, "POST", "close", work, number)


def refund(request: HttpRequest) -> HttpResponse:
    return _served(request, "POST", "refund", _refund)


def refund_query(request: HttpRequest, number: str) -> HttpResponse:
    def work(ask: Ask) -> Answer:
        trade = world().trades.by_refund(NAME, number)
        found = trade.refund(number) if trade else None
        if trade is None or found is None:
            raise ApiError(404, "RESOURCE_NOT_EXISTS", "退款单不存在")
        return Answer(200, _refund_view(trade, found, found.status))

    return _served(request, "GET", "refund_query", work, number)


def certificates(request: HttpRequest) -> HttpResponse:
    def work(ask: Ask) -> Answer:
        keys = world().keys
        sealed = wechat_seal.encrypted(
            keys.wechat_platform_certificate.encode(), "certificate"
        )
        entry = {
            "serial_no": keys.wechat_platform_serial,
            "effective_time": rfc3339_text(ask.now - timedelta(days=1)),
            "expire_time": rfc3339_text(ask.now + timedelta(days=3000)),
            "encrypt_certificate": sealed,
        }
        return Answer(200, {"data": [entry]})

    return _served(request, "GET", "certificates", work)


def trade_bill(request: HttpRequest) -> HttpResponse:
    def work(ask: Ask) -> Answer:
        try:
            day = date.fromisoformat(ask.query.get("bill_date", ""))
        except ValueError as error:
            raise ApiError(400, "PARAM_ERROR", "bill_date 不对") from error
        if ask.query.get("bill_type", "ALL") != "ALL":
            raise ApiError(400, "PARAM_ERROR", "沙箱只有 ALL 账单")
        if day >= ask.now.astimezone(BEIJING).date() or not bills.moves(NAME, day):
            raise ApiError(400, "NO_STATEMENT_EXIST", "账单文件不存在")
        text = bills.wechat_text(day)
        is_packed = ask.query.get("tar_type") == "GZIP"
        token = bills.offer(gzip.compress(text) if is_packed else text)
        payload = {
            "hash_type": "SHA1",
            "hash_value": hashlib.sha1(text, usedforsecurity=False).hexdigest(),
            "download_url": f"{ask.here}/v3/billdownload/file?token={token}",
        }
        return Answer(200, payload)

    return _served(request, "GET", "bill", work)


def bill_file(request: HttpRequest) -> HttpResponse:
    """The file itself: asked for with a signature, answered without one."""

    def work() -> HttpResponse:
        try:
            ask = _authenticated(request)
        except ApiError as error:
            return _send(error.answer, Seal.NONE)
        file = bills.FILES.get(ask.query.get("token", ""))
        return HttpResponse(file or b"", "text/plain", 200 if file else 404)

    fault = world().faults.take(NAME, "bill_file")
    response = answered(
        world().faults,
        fault,
        work=work,
        refuse=lambda code, status: HttpResponse(code, "text/plain", status),
        send=lambda answer, _seal: answer,
    )
    outcome = fault.kind if fault else str(response.status_code)
    world().calls.append(Call(NAME, "bill_file", "", outcome, world().now()))
    return response


def _served(
    request: HttpRequest,
    http_method: str,
    name: str,
    work: Callable[[Ask], Answer],
    number: str = "",
) -> HttpResponse:
    """Check the request's signature, do the work under the lock, sign the answer."""

    def checked_work() -> Answer:
        try:
            if request.method != http_method:
                raise ApiError(405, "PARAM_ERROR", "请求方法不对")
            ask = _authenticated(request)
            with world().lock:
                return work(ask)
        except ApiError as error:
            return error.answer

    def refuse(code: str, status: int) -> Answer:
        return ApiError(status, code, "sandbox fault").answer

    fault = world().faults.take(NAME, name)
    response = answered(
        world().faults, fault, work=checked_work, refuse=refuse, send=_send
    )
    outcome = fault.kind if fault else str(response.status_code)
    number = number or _number_in(request.body)
    world().calls.append(Call(NAME, name, number, outcome, world().now()))
    return response


def _authenticated(request: HttpRequest) -> Ask:
    now = world().now()
    reason = wechat_seal.refusal(
        request.headers.get("Authorization", ""),
        request.method or "",
        request.META["RAW_URI"],
        request.body,
        now,
    )
    if reason:
        raise ApiError(401, "SIGN_ERROR", reason)
    try:
        body = json.loads(request.body) if request.body else {}
    except ValueError as error:
        raise ApiError(400, "PARAM_ERROR", "请求体不是 JSON") from error
    if not isinstance(body, dict):
        raise ApiError(400, "PARAM_ERROR", "请求体不是对象")
    return Ask(
        body=body,
        query={name: str(value) for name, value in request.GET.items()},
        here=f"{request.scheme}://{request.get_host()}",
        now=now,
    )


def _send(answer: Answer, seal: Seal) -> HttpResponse:
    body = b"" if answer.payload is None else wechat_seal.compact(answer.payload)
    response = HttpResponse(body, "application/json; charset=utf-8", answer.status)
    response["Request-ID"] = f"{secrets.token_hex(8).upper()}-{answer.detail}"
    if seal != Seal.NONE:
        forgery = "wrong_signature" if seal == Seal.WRONG else ""
        for name, value in wechat_seal.headers(
            body, world().now(), forgery=forgery
        ).items():
            response[name] = value
    return response


def _number_in(body: bytes) -> str:
    try:
        return str(json.loads(body).get("out_trade_no", ""))
    except (AttributeError, ValueError):
        return ""


def _check_merchant(values: Json | dict[str, str]) -> None:
    if values.get("mchid") != WECHAT_MCH_ID:
        raise ApiError(400, "PARAM_ERROR", "mchid 不对")


def _existing(number: str) -> Trade:
    trade = world().trades.get(NAME, unquote(number))
    if trade is None:
        raise ApiError(404, "ORDER_NOT_EXIST", "订单不存在")
    return trade


def _start(ask: Ask, product: str) -> Trade:
    """The trade of an order; the same request again leads to the same one."""
    _check_order(ask.body, product)
    number = ask.body["out_trade_no"]
    trade = world().trades.get(NAME, number)
    wanted = json.dumps(ask.body, sort_keys=True)
    if trade is None:
        return Trade(
            gateway=NAME,
            number=number,
            product=product,
            amount_fen=ask.body["amount"]["total"],
            currency="CNY",
            subject=ask.body["description"],
            notify_url=ask.body["notify_url"],
            return_url="",
            started_at=ask.now,
            expires_at=_expiry(ask.body.get("time_expire"), ask.now),
            details={
                "request": wanted,
                "attach": str(ask.body.get("attach", "")),
                "openid": str(ask.body.get("payer", {}).get("openid", "")),
                "appid": str(ask.body["appid"]),
            },
        )
    if trade.product != product or trade.details["request"] != wanted:
        message = "请求重入时，参数与首次请求时不一致"
        raise ApiError(400, "INVALID_REQUEST", message, "268498688")
    match trade.state(ask.now):
        case TradeState.PAID:
            raise ApiError(400, "ORDERPAID", "该订单已支付", "268498689")
        case TradeState.CLOSED:
            raise ApiError(400, "ORDER_CLOSED", "该订单已关闭")
        case TradeState.EXPIRED:
            raise ApiError(400, "ORDER_CLOSED", "该订单已过期", "268447914")
    return trade


def _check_order(body: Json, product: str) -> None:
    amount, scene, payer = (
        value if isinstance(value, dict) else {}
        for value in (body.get(name) for name in ("amount", "scene_info", "payer"))
    )
    total = amount.get("total")
    notify = urlsplit(str(body.get("notify_url", "")))
    wrong = {
        "out_trade_no": not re.fullmatch(
            r"[0-9A-Za-z_\-|*]{6,32}", str(body.get("out_trade_no", ""))
        ),
        "description": not 1 <= len(str(body.get("description", ""))) <= 127,
        "amount.total": type(total) is not int or total < 1,
        "amount.currency": amount.get("currency", "CNY") != "CNY",
        "notify_url": notify.scheme not in ("http", "https") or bool(notify.query),
        "scene_info": product == "h5"
        and not (scene.get("payer_client_ip") and scene.get("h5_info")),
        "payer.openid": product == "jsapi" and not payer.get("openid"),
    }
    _check_merchant(body)
    if body.get("appid") not in (WECHAT_APP_ID, WECHAT_MP_APP_ID):
        raise ApiError(400, "APPID_MCHID_NOT_MATCH", "appid 与 mchid 不匹配")
    if body["appid"] == WECHAT_MP_APP_ID and product == "jsapi":
        openid = str(payer.get("openid", ""))
        if not world().people.is_known("wechat", WECHAT_MP_APP_ID, openid):
            raise ApiError(400, "PARAM_ERROR", "openid 与 appid 不匹配")
    for name, is_wrong in wrong.items():
        if is_wrong:
            raise ApiError(400, "PARAM_ERROR", f"{name} 不对")


def _expiry(text: object, now: datetime) -> datetime:
    """The last moment to pay; less than a minute from now is lifted to one minute."""
    if text is None:
        return now + LONGEST_LIFE
    try:
        moment = from_rfc3339_text(str(text))
    except ValueError as error:
        raise ApiError(400, "PARAM_ERROR", "time_expire 不对") from error
    if moment <= now:
        raise ApiError(400, "PARAM_ERROR", "time_expire 已过")
    return max(moment, now + SHORTEST_LIFE)


def _order(trade: Trade, payment: Payment | None, ask: Ask) -> Json:
    """An order as the query shows it. Its end of life is not a close."""
    _check_merchant(ask.query)
    payment = payment or trade.payment()
    if payment:
        view = transaction(trade, payment)
        if any(found.txn_id == payment.txn_id for found in trade.refunds):
            view |= {"trade_state": "REFUND", "trade_state_desc": "转入退款"}
        return view
    is_closed = trade.closed_at is not None
    return {
        "mchid": WECHAT_MCH_ID,
        "appid": trade.details.get("appid", WECHAT_APP_ID),
        "out_trade_no": trade.number,
        "trade_state": "CLOSED" if is_closed else "NOTPAY",
        "trade_state_desc": "订单已关闭" if is_closed else "订单未支付",
        "amount": {"total": trade.amount_fen, "payer_currency": trade.currency},
    }


def _refund(ask: Ask) -> Answer:
    """Accept a refund. It ends at once, but only query and notice say so."""
    body, trades = ask.body, world().trades
    txn_id = str(body.get("transaction_id", ""))
    trade = (
        trades.by_txn(NAME, txn_id)
        if txn_id
        else trades.get(NAME, str(body.get("out_trade_no", "")))
    )
    if trade is None:
        raise ApiError(404, "RESOURCE_NOT_EXISTS", "订单不存在")
    payment = trade.payment(txn_id)
    if payment is None:
        raise ApiError(400, "INVALID_REQUEST", "订单未支付")
    number, amount_fen = _checked_refund(body, payment)
    elsewhere = trades.by_refund(NAME, number)
    if elsewhere is not None:
        found = elsewhere.refund(number)
        if found is None or (found.txn_id, found.amount_fen) != (
            payment.txn_id,
            amount_fen,
        ):
            raise ApiError(400, "INVALID_REQUEST", "退款单号重复，参数不一致")
        return Answer(200, _refund_view(trade, found, found.status))
    if amount_fen > payment.amount_fen - trade.refunded_fen(payment.txn_id):
        raise ApiError(400, "INVALID_REQUEST", "申请退款金额超过可退金额")
    if len(trade.refunds) >= MOST_REFUNDS:
        raise ApiError(403, "RULE_LIMIT", "部分退款次数超限")
    outcome = world().planned_refund(NAME)
    if outcome == "fail":
        raise ApiError(403, "NOT_ENOUGH", "基本账户余额不足")
    made = Refund(
        number=number,
        txn_id=payment.txn_id,
        amount_fen=amount_fen,
        status=RefundStatus.PROCESSING,
        created_at=ask.now,
        gateway_id=new_refund_id(ask.now),
        reason=str(body.get("reason", "")),
        notify_url=str(body.get("notify_url", "")),
    )
    trade.refunds.append(made)
    trades.save(trade)
    if outcome != "processing":
        settle_refund(trade, made, RefundStatus(outcome), now=ask.now)
    return Answer(200, _refund_view(trade, made, RefundStatus.PROCESSING))


def _checked_refund(body: Json, payment: Payment) -> tuple[str, int]:
    """The refund's number and sum in fen."""
    number = body.get("out_refund_no")
    amount = body.get("amount")
    if not isinstance(number, str) or not re.fullmatch(
        r"[0-9A-Za-z_\-|*@]{1,64}", number
    ):
        raise ApiError(400, "PARAM_ERROR", "out_refund_no 不对")
    sums = amount if isinstance(amount, dict) else {}
    refund_fen = sums.get("refund")
    if type(refund_fen) is not int or refund_fen < 1:
        raise ApiError(400, "PARAM_ERROR", "amount.refund 不对")
    if sums.get("currency") != payment.currency:
        raise ApiError(400, "PARAM_ERROR", "amount.currency 不对")
    if sums.get("total") != payment.amount_fen:
        raise ApiError(400, "INVALID_REQUEST", "订单金额与原订单不一致")
    return number, refund_fen


def _refund_view(trade: Trade, found: Refund, status: RefundStatus) -> Json:
    payment = trade.payment(found.txn_id)
    view: Json = {
        "refund_id": found.gateway_id,
        "out_refund_no": found.number,
        "transaction_id": found.txn_id,
        "out_trade_no": trade.number,
        "channel": "ORIGINAL",
        "user_received_account": "支付用户零钱",
        "create_time": rfc3339_text(found.created_at),
        "status": status.upper(),
        "funds_account": "AVAILABLE",
        "amount": refund_amounts(payment, found) if payment else {},
    }
    if status == RefundStatus.SUCCESS and found.settled_at:
        view["success_time"] = rfc3339_text(found.settled_at)
    return view


def open_h5(request: HttpRequest) -> HttpResponse:
    """The page an ``h5_url`` leads to; it remembers where the shop wants her back."""
    token = str(request.GET.get("prepay_id", ""))
    back = str(request.GET.get("redirect_url", ""))
    with world().lock:
        trade = world().trades.by_link(NAME, token)
        if trade is None:
            return _no_such_order(request)
        parts = urlsplit(back)
        if parts.scheme in ("http", "https") and parts.netloc:
            trade.return_url = back
        trade.details["referer"] = request.headers.get("Referer", "")
        world().trades.save(trade)
    return redirect("cashier", NAME, token)


def open_jsapi(request: HttpRequest) -> HttpResponse:
    """What ``WeixinJSBridge`` does with ``getBrandWCPayRequest``: its parameters as a
    query lead to the cashier when the merchant's signature holds."""
    values = {name: str(value) for name, value in request.GET.items()}
    package = values.get("package", "")
    lines = (values.get("appId"), values.get("timeStamp"), values.get("nonceStr"))
    content = "".join(f"{line}\n" for line in (*lines, package)).encode()
    token = package.removeprefix("prepay_id=")
    with world().lock:
        trade = world().trades.by_link(NAME, token)
    is_genuine = (
        values.get("appId") == (trade and trade.details.get("appid"))
        and values.get("signType") == "RSA"
        and rsa.matches(
            content, values.get("paySign", ""), world().keys.wechat_merchant
        )
    )
    if trade is None or trade.product != "jsapi" or not is_genuine:
        return _no_such_order(request)
    return redirect("cashier", NAME, token)


def _no_such_order(request: HttpRequest) -> HttpResponse:
    return render(
        request,
        "sandbox/refused.html",
        {"title": TITLE, "code": "PARAM_ERROR", "words": "商户订单参数异常"},
        status=400,
    )


def new_txn_id(now: datetime) -> str:
    day = beijing_text(now)[:10].replace("-", "")
    return f"42000{day}{secrets.randbelow(10**15):015d}"


def new_refund_id(now: datetime) -> str:
    return f"503{new_txn_id(now)[5:]}"


def opened(trade: Trade, *, now: datetime) -> None:
    """A buyer has scanned; WeChat Pay's order exists from the merchant's call on."""
    if trade.opened_at is None:
        trade.opened_at = now
        world().trades.save(trade)


def next_txn_id(trade: Trade, now: datetime) -> str:
    return new_txn_id(now)


def closed_letter(trade: Trade) -> Letter | None:
    return None


def settle_refund(
    trade: Trade, refund: Refund, status: RefundStatus, *, now: datetime
) -> None:
    refund.status = status
    refund.settled_at = now
    world().trades.save(trade)
    payment = trade.payment(refund.txn_id)
    if status != RefundStatus.PROCESSING and payment and refund.notify_url:
        world().notices.post(letter(trade, payment, refund=refund))


def back_url(trade: Trade, payment: Payment | None, *, now: datetime) -> str:
    """``redirect_url``, the same after paying and after leaving."""
    return trade.return_url
