"""Alipay: one address, ``/gateway.do``, and the notices it sends.

Requests and answers as in Alipay's open platform manual. A trade exists for query
and close only once a buyer has opened it; ``page.pay`` and ``precreate`` alone make
none.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import URLPattern, path

from sandbox import alipay_agreements, alipay_notices, bills, rsa
from sandbox.agreements import Agreement, Outcome
from sandbox.alipay_notices import BUYER, Fields, amounts, signing_text
from sandbox.faults import Seal, answered
from sandbox.formats import yuan_text
from sandbox.keys import ALIPAY_APP_ID
from sandbox.notices import Letter
from sandbox.times import BEIJING, beijing_text, from_beijing_text
from sandbox.trades import Payment, Refund, RefundStatus, Trade, TradeState
from sandbox.world import Call, world

NAME = alipay_notices.NAME
TITLE = "支付宝"
TITLE_ENGLISH = "Alipay"
FORGERIES = alipay_notices.FORGERIES
letter = alipay_notices.letter
back_url = alipay_notices.back_url

CLOCK_TOLERANCE = timedelta(minutes=15)
LONGEST_LIFE = timedelta(days=15)
QR_LIFE = timedelta(hours=2)


class BusinessError(Exception):
    """An answer other than 10000; ``sub_code`` is what shops look at."""

    def __init__(self, sub_code: str, message: str, *, code: str = "40004") -> None:
        super().__init__(sub_code)
        self.payload = {
            "code": code,
            "msg": "Business Failed" if code == "40004" else "Invalid Arguments",
            "sub_code": sub_code,
            "sub_msg": message,
        }


@dataclass(frozen=True, slots=True)
class Order:
    """The ``biz_content`` of an order, checked."""

    number: str
    amount_fen: int
    subject: str
    expires_at: datetime | None
    life: timedelta
    passback: str
    quit_url: str


def urls() -> list[URLPattern]:
    return [
        path("gateway.do", gateway),
        path("alipay/bill/<str:token>/", bills.alipay_file),
    ]


def gateway(request: HttpRequest) -> HttpResponse:
    parameters = {name: str(value) for name, value in request.GET.items()}
    parameters |= {name: str(value) for name, value in request.POST.items()}
    method = parameters.get("method", "")
    if method in PAGES or method == SIGN_PAGE:
        return _open_page(request, parameters)
    name, interface = INTERFACES.get(method, ("unknown", _unknown_method))
    here = f"{request.scheme}://{request.get_host()}"

    def work() -> dict[str, Any]:
        try:
            content = _checked(parameters, world().now())
            with world().lock:
                result = interface(content, parameters, here, world().now())
        except BusinessError as error:
            result = error.payload
        return {"code": "10000", "msg": "Success"} | result

    def refuse(code: str, _status: int) -> dict[str, Any]:
        return BusinessError(code, "sandbox fault").payload

    fault = world().faults.take(NAME, name)
    response = answered(
        world().faults,
        fault,
        work=work,
        refuse=refuse,
        send=partial(_signed_answer, method),
    )
    _log(name, parameters, fault.kind if fault else str(response.status_code))
    return response


def _open_page(request: HttpRequest, parameters: Fields) -> HttpResponse:
    """page.pay, wap.pay, page.sign: the browser comes itself and is led on."""

    def work() -> Trade | Agreement | dict[str, Any]:
        try:
            content = _checked(parameters, world().now())
            with world().lock:
                if parameters["method"] == SIGN_PAGE:
                    return _ask(content, parameters, world().now())
                return _start(
                    content,
                    parameters,
                    product=PAGES[parameters["method"]],
                    now=world().now(),
                )
        except BusinessError as error:
            return error.payload

    def send(result: Trade | Agreement | dict[str, Any], _seal: Seal) -> HttpResponse:
        if isinstance(result, Agreement):
            return redirect("agreement", result.token)
        if isinstance(result, Trade):
            return redirect("cashier", NAME, result.links[-1].token)
        return render(
            request,
            "sandbox/refused.html",
            {"title": TITLE, "code": result["sub_code"], "words": result["sub_msg"]},
            status=400,
        )

    def refuse(code: str, _status: int) -> dict[str, Any]:
        return BusinessError(code, "sandbox fault").payload

    name = "sign" if parameters["method"] == SIGN_PAGE else "start"
    fault = world().faults.take(NAME, name)
    response = answered(world().faults, fault, work=work, refuse=refuse, send=send)
    _log(name, parameters, fault.kind if fault else str(response.status_code))
    return response


def _checked(parameters: Fields, now: datetime) -> dict[str, Any]:
    """The request's ``biz_content``, once its signature and frame hold."""
    invalid = partial(BusinessError, code="40002")
    if not parameters.get("method"):
        raise BusinessError("isv.missing-method", "缺少方法名参数", code="40001")
    if not parameters.get("sign"):
        raise BusinessError("isv.missing-signature", "缺少签名参数", code="40001")
    if parameters.get("app_id") != ALIPAY_APP_ID:
        raise invalid("isv.invalid-app-id", "无效的AppID参数")
    if parameters.get("sign_type") != "RSA2":
        raise invalid("isv.invalid-signature-type", "无效的签名类型")
    if parameters.get("charset", "").lower() != "utf-8":
        raise invalid("isv.invalid-charset", "字符集错误")
    if parameters.get("version") != "1.0":
        raise invalid("isv.invalid-version", "无效的版本")
    unsigned = {name: value for name, value in parameters.items() if name != "sign"}
    if not rsa.matches(
        signing_text(unsigned), parameters["sign"], world().keys.alipay_app
    ):
        raise invalid("isv.invalid-signature", "验签出错")
    try:
        sent_at = from_beijing_text(parameters.get("timestamp", ""))
    except ValueError as error:
        raise invalid("isv.invalid-timestamp", "非法的时间戳参数") from error
    if abs(now - sent_at) > CLOCK_TOLERANCE:
        raise invalid("isv.invalid-timestamp", "时间戳与服务器相差过大")
    try:
        content = json.loads(parameters.get("biz_content", ""))
    except ValueError as error:
        raise invalid("isv.invalid-parameter", "biz_content 不是 JSON") from error
    if not isinstance(content, dict):
        raise invalid("isv.invalid-parameter", "biz_content 不是对象")
    return content


def _signed_answer(method: str, payload: dict[str, Any], seal: Seal) -> HttpResponse:
    """The envelope; the signature covers the raw text of the inner object."""
    inner = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    known = method in INTERFACES
    name = method.replace(".", "_") + "_response" if known else "error_response"
    text = f'{{"{name}":{inner}'
    if seal != Seal.NONE:
        signed = inner if seal == Seal.RIGHT else inner + " "
        sign = rsa.sign(signed.encode(), world().keys.alipay_gateway)
        text += f',"sign":"{sign}"'
    return HttpResponse(text + "}", content_type="text/html;charset=utf-8")


def _log(method: str, parameters: Fields, outcome: str) -> None:
    number = ""
    try:
        content = json.loads(parameters["biz_content"])
        number = str(content.get("out_trade_no") or content["external_agreement_no"])
    except (AttributeError, KeyError, TypeError, ValueError):
        pass
    world().calls.append(Call(NAME, method, number, outcome, world().now()))


def _unknown_method(
    content: dict[str, Any], parameters: Fields, here: str, now: datetime
) -> dict[str, Any]:
    raise BusinessError("isv.invalid-method", "不存在的方法名", code="40002")


def _precreate(
    content: dict[str, Any], parameters: Fields, here: str, now: datetime
) -> dict[str, Any]:
    trade = _start(content, parameters, product="qr", now=now)
    return {
        "out_trade_no": trade.number,
        "qr_code": f"{here}/{NAME}/cashier/{trade.links[-1].token}/",
    }


def _query(
    content: dict[str, Any], parameters: Fields, here: str, now: datetime
) -> dict[str, Any]:
    trade = _existing(content, now)
    payment = trade.payment(str(content.get("trade_no", ""))) or trade.payment()
    answer = {
        "buyer_logon_id": "san***@sandbox",
        "buyer_user_id": BUYER,
        "out_trade_no": trade.number,
        "trade_no": payment.txn_id if payment else trade.details["trade_no"],
        "trade_status": _status(trade, now),
        "total_amount": yuan_text(payment.amount_fen if payment else trade.amount_fen),
    }
    if payment:
        answer |= amounts(payment) | {"send_pay_date": beijing_text(payment.paid_at)}
    return answer


def _close(
    content: dict[str, Any], parameters: Fields, here: str, now: datetime
) -> dict[str, Any]:
    trade = _existing(content, now)
    if trade.payments:
        raise BusinessError("ACQ.TRADE_STATUS_ERROR", "交易状态不合法")
    if trade.closed_at is None:
        trade.closed_at = now
        world().trades.save(trade)
    return {"out_trade_no": trade.number, "trade_no": trade.details["trade_no"]}


def _refund(
    content: dict[str, Any], parameters: Fields, here: str, now: datetime
) -> dict[str, Any]:
    trade = _existing(content, now)
    payment = trade.payment(str(content.get("trade_no", "")))
    if payment is None:
        raise BusinessError("ACQ.TRADE_STATUS_ERROR", "交易状态不合法")
    amount_fen = _fen(content.get("refund_amount"))
    number = str(content.get("out_request_no", ""))
    if not number:
        if amount_fen != payment.amount_fen:
            raise BusinessError("ACQ.REFUND_AMT_NOT_EQUAL_TOTAL", "部分退款需要退款号")
        number = trade.number
    moved = "N"
    refund = trade.refund(number)
    if refund is None:
        moved = _new_refund(trade, payment, number, amount_fen, content, now)
    elif refund.amount_fen != amount_fen:
        raise BusinessError("ACQ.DISCORDANT_REPEAT_REQUEST", "重复请求的参数不一致")
    return {
        "buyer_logon_id": "san***@sandbox",
        "buyer_user_id": BUYER,
        "fund_change": moved,
        "gmt_refund_pay": beijing_text(now),
        "out_trade_no": trade.number,
        "refund_fee": yuan_text(trade.refunded_fen(payment.txn_id)),
        "send_back_fee": yuan_text(amount_fen if moved == "Y" else 0),
        "trade_no": payment.txn_id,
    }


def _new_refund(
    trade: Trade,
    payment: Payment,
    number: str,
    amount_fen: int,
    content: dict[str, Any],
    now: datetime,
) -> str:
    """Book it and say whether money moved now: ``Y`` or ``N``."""
    if amount_fen > payment.amount_fen - trade.refunded_fen(payment.txn_id):
        raise BusinessError("ACQ.REASON_TRADE_REFUND_FEE_ERR", "退款金额无效")
    outcome = world().planned_refund(NAME)
    if outcome == "fail":
        raise BusinessError("ACQ.SELLER_BALANCE_NOT_ENOUGH", "卖家余额不足")
    refund = Refund(
        number=number,
        txn_id=payment.txn_id,
        amount_fen=amount_fen,
        status=RefundStatus.PROCESSING,
        created_at=now,
        gateway_id="",
        reason=str(content.get("refund_reason", "")),
    )
    trade.refunds.append(refund)
    world().trades.save(trade)
    if outcome != "processing":
        settle_refund(trade, refund, RefundStatus(outcome), now=now)
    return "Y" if refund.status == RefundStatus.SUCCESS else "N"


def _refund_query(
    content: dict[str, Any], parameters: Fields, here: str, now: datetime
) -> dict[str, Any]:
    trade = _existing(content, now)
    refund = trade.refund(str(content.get("out_request_no", "")))
    if refund is None or refund.status != RefundStatus.SUCCESS:
        return {}
    payment = trade.payment(refund.txn_id)
    return {
        "out_request_no": refund.number,
        "out_trade_no": trade.number,
        "refund_amount": yuan_text(refund.amount_fen),
        "refund_reason": refund.reason,
        "refund_status": "REFUND_SUCCESS",
        "total_amount": yuan_text(payment.amount_fen if payment else trade.amount_fen),
        "trade_no": refund.txn_id,
    }


def _bill(
    content: dict[str, Any], parameters: Fields, here: str, now: datetime
) -> dict[str, Any]:
    if content.get("bill_type") != "trade":
        raise BusinessError("isv.invalid-parameter", "bill_type 不对", code="40002")
    try:
        day = date.fromisoformat(str(content.get("bill_date", "")))
    except ValueError as error:
        raise BusinessError("isp.invalid-argument", "bill_date 不对") from error
    if day >= now.astimezone(BEIJING).date() or not bills.moves(NAME, day):
        raise BusinessError("isp.bill_not_exist", "账单不存在")
    token = bills.offer(bills.alipay_zip(day))
    return {"bill_download_url": f"{here}/{NAME}/bill/{token}/"}


def _ask(content: dict[str, Any], parameters: Fields, now: datetime) -> Agreement:
    for name in ("notify_url", "return_url"):
        _check_url(parameters.get(name, ""), name)
    try:
        return alipay_agreements.ask(content, parameters, now)
    except alipay_agreements.Refusal as refusal:
        raise BusinessError(refusal.sub_code, refusal.message) from refusal


def _agreed(interface: Interface) -> Interface:
    """An interface of agreements whose refusals are Alipay's business errors."""

    def call(
        content: dict[str, Any], parameters: Fields, here: str, now: datetime
    ) -> dict[str, Any]:
        try:
            return interface(content, parameters, here, now)
        except alipay_agreements.Refusal as refusal:
            raise BusinessError(refusal.sub_code, refusal.message) from refusal

    return call


def _debit(
    content: dict[str, Any], parameters: Fields, here: str, now: datetime
) -> dict[str, Any]:
    """``trade.pay`` under an agreement: paid, refused or under way, at once."""
    if content.get("product_code") != alipay_agreements.PRODUCT:
        raise BusinessError("ACQ.INVALID_PARAMETER", "product_code 不对")
    given = content | {"product_code": ""}
    trade = _start(given, parameters, product="debit", now=now)
    trade.links.clear()  # nobody pays it at a cashier
    agreement = alipay_agreements.check_debit(content, trade.amount_fen, now)
    opened(trade, now=now)
    plan = agreement.planned()
    if plan.outcome == Outcome.UNDER_WAY:
        raise BusinessError("", "等待用户付款", code="10003")
    if plan.outcome != Outcome.PAY:
        trade.refusals.append(plan.outcome.value)
        world().trades.save(trade)
        raise BusinessError(plan.outcome.value, "扣款失败")
    payment = Payment(trade.details["trade_no"], trade.amount_fen, "CNY", now)
    trade.payments.append(payment)
    world().trades.save(trade)
    if plan.notify == "send" and trade.notify_url:
        world().notices.post(letter(trade, payment))
    agreement.next_on += timedelta(days=agreement.period_days)
    agreement.debits.append(trade.number)
    world().agreements.save(agreement)
    return amounts(payment) | {
        "buyer_user_id": BUYER,
        "gmt_payment": beijing_text(payment.paid_at),
        "out_trade_no": trade.number,
        "total_amount": yuan_text(payment.amount_fen),
        "trade_no": payment.txn_id,
    }


type Interface = Callable[[dict[str, Any], Fields, str, datetime], dict[str, Any]]

SIGN_PAGE = "alipay.user.agreement.page.sign"
PAGES = {"alipay.trade.page.pay": "page", "alipay.trade.wap.pay": "wap"}
INTERFACES: dict[str, tuple[str, Interface]] = {
    "alipay.trade.precreate": ("start", _precreate),
    "alipay.trade.query": ("query", _query),
    "alipay.trade.close": ("close", _close),
    "alipay.trade.refund": ("refund", _refund),
    "alipay.trade.fastpay.refund.query": ("refund_query", _refund_query),
    "alipay.data.dataservice.bill.downloadurl.query": ("bill", _bill),
    "alipay.trade.pay": ("debit", _agreed(_debit)),
    "alipay.user.agreement.query": (
        "agreement_query",
        _agreed(alipay_agreements.query),
    ),
    "alipay.user.agreement.unsign": ("unsign", _agreed(alipay_agreements.unsign)),
    "alipay.user.agreement.executionplan.modify": (
        "postpone",
        _agreed(alipay_agreements.postpone),
    ),
}
PRODUCT_CODES = {
    "page": ("FAST_INSTANT_TRADE_PAY",),
    "wap": ("QUICK_WAP_WAY", "QUICK_WAP_PAY"),
    "qr": ("", "FACE_TO_FACE_PAYMENT", "QR_CODE_OFFLINE"),
    "debit": ("",),
}


def _start(
    content: dict[str, Any], parameters: Fields, *, product: str, now: datetime
) -> Trade:
    """The trade-to-be of an order; the same order again leads to the same one."""
    if content.get("product_code", "") not in PRODUCT_CODES[product]:
        raise BusinessError("ACQ.INVALID_PARAMETER", "product_code 不对")
    for name in ("notify_url", "return_url"):
        _check_url(parameters.get(name, ""), name)
    order = _order(content, now)
    _check_url(order.quit_url, "quit_url")
    trade = world().trades.get(NAME, order.number)
    if trade is None:
        trade = Trade(
            gateway=NAME,
            number=order.number,
            product=product,
            amount_fen=order.amount_fen,
            currency="CNY",
            subject=order.subject,
            notify_url="",
            return_url="",
            started_at=now,
            expires_at=order.expires_at,
            details={
                "life_seconds": str(int(order.life.total_seconds())),
                "passback_params": order.passback,
                "quit_url": order.quit_url,
            },
        )
    match trade.state(now):
        case TradeState.PAID:
            raise BusinessError("ACQ.TRADE_HAS_SUCCESS", "交易已被支付")
        case TradeState.CLOSED | TradeState.EXPIRED:
            raise BusinessError("ACQ.TRADE_HAS_CLOSE", "交易已经关闭")
    if (trade.amount_fen, trade.subject) != (order.amount_fen, order.subject):
        raise BusinessError("ACQ.CONTEXT_INCONSISTENT", "交易信息被篡改")
    trade.product = product
    trade.notify_url = parameters.get("notify_url", "")
    trade.return_url = parameters.get("return_url", "")
    trade.add_link(now + QR_LIFE if product == "qr" else None)
    world().trades.save(trade)
    return trade


def _order(content: dict[str, Any], now: datetime) -> Order:
    number = content.get("out_trade_no")
    if not isinstance(number, str) or not re.fullmatch(r"[A-Za-z0-9_]{1,64}", number):
        raise BusinessError("ACQ.INVALID_PARAMETER", "out_trade_no 不对")
    subject = content.get("subject")
    if not isinstance(subject, str) or not 1 <= len(subject) <= 256:
        raise BusinessError("ACQ.INVALID_PARAMETER", "subject 不对")
    try:
        expires_at = (
            from_beijing_text(str(content["time_expire"]))
            if "time_expire" in content
            else None
        )
        life = _life(str(content.get("timeout_express", "15d")))
    except ValueError as error:
        raise BusinessError("ACQ.INVALID_PARAMETER", "超时时间不对") from error
    if expires_at and expires_at <= now:
        raise BusinessError("ACQ.INVALID_PARAMETER", "time_expire 已过")
    return Order(
        number=number,
        amount_fen=_fen(content.get("total_amount")),
        subject=subject,
        expires_at=expires_at,
        life=life,
        passback=str(content.get("passback_params", "")),
        quit_url=str(content.get("quit_url", "")),
    )


def _life(text: str) -> timedelta:
    """``timeout_express``: 1m to 15d in minutes, hours or days; ``1c`` is a day."""
    found = re.fullmatch(r"([1-9]\d{0,4})([mhdc])", text)
    if found is None:
        raise ValueError(text)
    unit = {"m": 60, "h": 3600, "d": 86400, "c": 86400}[found[2]]
    life = timedelta(seconds=int(found[1]) * unit)
    if life > LONGEST_LIFE:
        raise ValueError(text)
    return life


def _fen(text: object) -> int:
    """Yuan with at most two decimals, 0.01 to 100000000, sent as text or number."""
    found = re.fullmatch(r"(\d{1,9})(?:\.(\d{1,2}))?", str(text))
    fen = int(found[1]) * 100 + int((found[2] or "").ljust(2, "0")) if found else 0
    if not 1 <= fen <= 10_000_000_000:
        raise BusinessError("ACQ.INVALID_PARAMETER", "金额不对")
    return fen


def _check_url(url: str, name: str) -> None:
    parts = urlsplit(url)
    if url and (parts.scheme not in ("http", "https") or not parts.netloc):
        raise BusinessError("ACQ.INVALID_PARAMETER", f"{name} 不对")
    if name == "notify_url" and parts.query:
        raise BusinessError("ACQ.INVALID_PARAMETER", "notify_url 不能带参数")


def _existing(content: dict[str, Any], now: datetime) -> Trade:
    """The trade asked for, if a buyer has made it one."""
    trade = world().trades.get(NAME, str(content.get("out_trade_no", "")))
    if trade is None and content.get("trade_no"):
        trade = world().trades.by_txn(NAME, str(content["trade_no"]))
    if trade is None or trade.opened_at is None:
        raise BusinessError("ACQ.TRADE_NOT_EXIST", "交易不存在")
    return trade


def _status(trade: Trade, now: datetime) -> str:
    match trade.state(now):
        case TradeState.PAID:
            left = sum(
                p.amount_fen - trade.refunded_fen(p.txn_id) for p in trade.payments
            )
            return "TRADE_SUCCESS" if left else "TRADE_CLOSED"
        case TradeState.CLOSED | TradeState.EXPIRED:
            return "TRADE_CLOSED"
    return "WAIT_BUYER_PAY"


def new_txn_id(now: datetime) -> str:
    return (
        f"{beijing_text(now)[:10].replace('-', '')}22{secrets.randbelow(10**18):018d}"
    )


def opened(trade: Trade, *, now: datetime) -> None:
    """A buyer has scanned or logged in: from now on the trade exists."""
    if trade.opened_at is None:
        trade.opened_at = now
        trade.details["trade_no"] = new_txn_id(now)
        if trade.expires_at is None:
            life = timedelta(seconds=int(trade.details["life_seconds"]))
            trade.expires_at = now + life
        world().trades.save(trade)


def next_txn_id(trade: Trade, now: datetime) -> str:
    """The first payment bears the trade's number, a second one its own."""
    return new_txn_id(now) if trade.payments else trade.details["trade_no"]


def closed_letter(trade: Trade) -> Letter | None:
    return letter(trade, None)


def settle_refund(
    trade: Trade, refund: Refund, status: RefundStatus, *, now: datetime
) -> None:
    refund.status = status
    refund.settled_at = now
    world().trades.save(trade)
    payment = trade.payment(refund.txn_id)
    if status == RefundStatus.SUCCESS and payment and trade.notify_url:
        world().notices.post(letter(trade, payment, refund=refund))
