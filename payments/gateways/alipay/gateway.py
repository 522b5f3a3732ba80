"""Alipay for the shop: PC page, phone page, QR, query, close, refunds, notices."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Self

from django.conf import LazySettings

from payments.gateways import beijing, keys, reading, values, yuan
from payments.gateways.alipay import bill, mandates
from payments.gateways.alipay.client import AlipayClient
from payments.gateways.alipay.mandates import AlipayMandates
from payments.gateways.bills import BillLine
from payments.gateways.contract import (
    Handover,
    HandoverKind,
    Notice,
    NoticeRefused,
    NoticeRequest,
    Product,
    RefundCapability,
    RefundRequest,
    RefundResult,
    RefundState,
    Refused,
    Reply,
    StartRequest,
    Trade,
    TradeState,
    Unclear,
    Window,
)
from payments.gateways.wire import Wire

_KEYS = (
    "ALIPAY_APP_ID",
    "ALIPAY_SELLER_ID",
    "ALIPAY_APP_PRIVATE_KEY",
    "ALIPAY_PUBLIC_KEY",
)

_STATES = {
    "WAIT_BUYER_PAY": TradeState.WAITING,
    "TRADE_SUCCESS": TradeState.PAID,
    "TRADE_FINISHED": TradeState.PAID,
    "TRADE_CLOSED": TradeState.CLOSED,
}
# What a refused close says about the trade. The last two mean "paid or closed".
_STATES_BY_CLOSE_ERROR = {
    "ACQ.TRADE_NOT_EXIST": TradeState.MISSING,
    "ACQ.TRADE_HAS_SUCCESS": TradeState.PAID,
    "ACQ.TRADE_HAS_FINISHED": TradeState.PAID,
    "ACQ.TRADE_HAS_CLOSE": TradeState.CLOSED,
    "ACQ.TRADE_STATUS_ERROR": TradeState.UNKNOWN,
    "ACQ.REASON_TRADE_STATUS_INVALID": TradeState.UNKNOWN,
}
_REFUND_NOT_THERE = {"ACQ.TRADE_NOT_EXIST", "ACQ.REFUND_NOT_EXIST"}

_PAGES: dict[str, tuple[str, str]] = {
    Product.PAGE: ("alipay.trade.page.pay", "FAST_INSTANT_TRADE_PAY"),
    Product.WAP: ("alipay.trade.wap.pay", "QUICK_WAP_WAY"),
}

# Alipay forbids these in a subject, and `&` with `=` would make our own notices
# ambiguous.
_SUBJECT = str.maketrans("/=&", "／＝＆")


class AlipayGateway:
    code = "alipay"
    refunds = RefundCapability.PARTIAL
    notice_methods: tuple[str, ...] = ("POST",)

    def __init__(
        self,
        *,
        client: AlipayClient,
        app_id: str,
        seller_id: str,
        origin: str,
        mandates: AlipayMandates | None = None,
    ) -> None:
        self.client = client
        self.mandates = mandates
        self.origins: tuple[str, ...] = (origin,)
        self._origin = origin
        self._app_id = app_id
        self._seller_id = seller_id

    @classmethod
    def from_settings(
        cls, settings: LazySettings, wire: Wire | None = None
    ) -> Self | None:
        """The configured gateway, or None when no key is set at all.

        raises  BadSettings
        """
        if not reading.is_any_set(settings, *_KEYS):
            return None
        reading.require(settings, "ALIPAY_GATEWAY_URL", *_KEYS)
        client = AlipayClient(
            gateway_url=settings.ALIPAY_GATEWAY_URL,
            app_id=settings.ALIPAY_APP_ID,
            app_private_key=reading.key(
                settings, "ALIPAY_APP_PRIVATE_KEY", keys.load_private_key
            ),
            alipay_public_key=reading.key(
                settings, "ALIPAY_PUBLIC_KEY", keys.load_public_key
            ),
            wire=wire or Wire(),
        )
        scene = settings.ALIPAY_CYCLE_SCENE
        return cls(
            client=client,
            app_id=settings.ALIPAY_APP_ID,
            seller_id=settings.ALIPAY_SELLER_ID,
            origin=reading.origin(settings, "ALIPAY_GATEWAY_URL"),
            mandates=AlipayMandates(client, scene=scene) if scene else None,
        )

    def start(self, request: StartRequest, *, now: datetime) -> Handover:
        content = {
            "out_trade_no": request.number,
            "total_amount": yuan.write(request.amount_fen),
            "subject": request.subject.translate(_SUBJECT),
            # Absolute: the relative form starts counting only after scan or login.
            "time_expire": beijing.plain(request.expires_at),
        }
        if request.product == Product.QR:
            answer = self.client.call(
                "alipay.trade.precreate",
                content,
                now=now,
                notify_url=request.notify_url,
            )
            _check_number(answer, request.number)
            url = values.link(answer, "qr_code")
            if not url:
                raise Unclear("malformed")
            return Handover(HandoverKind.QR, url=url)
        if request.product not in _PAGES:
            raise Refused("product", f"Alipay has no {request.product}")
        method, product_code = _PAGES[request.product]
        url = self.client.page_url(
            method,
            content | {"product_code": product_code},
            now=now,
            notify_url=request.notify_url,
            return_url=request.return_url,
        )
        return Handover(HandoverKind.REDIRECT, url=url)

    def query(
        self, number: str, *, now: datetime, window: Window | None = None
    ) -> Trade:
        try:
            answer = self.client.call(
                "alipay.trade.query", {"out_trade_no": number}, now=now
            )
        except Refused as error:
            if error.code != "ACQ.TRADE_NOT_EXIST":
                raise
            return Trade(number, TradeState.MISSING, raw_state=error.code)
        _check_number(answer, number)
        return _trade(answer)

    def close(
        self, number: str, *, now: datetime, window: Window | None = None
    ) -> Trade:
        try:
            answer = self.client.call(
                "alipay.trade.close", {"out_trade_no": number}, now=now
            )
        except Refused as error:
            if error.code not in _STATES_BY_CLOSE_ERROR:
                raise
            state = _STATES_BY_CLOSE_ERROR[error.code]
            return Trade(number, state, raw_state=error.code)
        _check_number(answer, number)
        return Trade(
            number, TradeState.CLOSED, txn_id=values.number(answer, "trade_no")
        )

    def refund(self, request: RefundRequest, *, now: datetime) -> RefundResult:
        """Refund; ``fund_change`` other than ``Y`` says only that it was accepted."""
        answer = self.client.call(
            "alipay.trade.refund",
            _trade_named(request)
            | {
                "refund_amount": yuan.write(request.refund_fen),
                "out_request_no": request.number,
                "refund_reason": request.reason,
            },
            now=now,
        )
        _check_number(answer, request.trade_number)
        moved = answer.get("fund_change") == "Y"
        return RefundResult(
            number=request.number,
            trade_number=request.trade_number,
            state=RefundState.SUCCESS if moved else RefundState.PROCESSING,
            refunded_total_fen=yuan.parse(answer.get("refund_fee")),
            raw_state=f"fund_change={values.words(answer, 'fund_change')}",
        )

    def query_refund(self, request: RefundRequest, *, now: datetime) -> RefundResult:
        """Ask for one refund; an answer without a status is one Alipay does not have."""
        found: Mapping[str, Any] = {}
        try:
            found = self.client.call(
                "alipay.trade.fastpay.refund.query",
                _trade_named(request) | {"out_request_no": request.number},
                now=now,
            )
        except Refused as error:
            if error.code not in _REFUND_NOT_THERE:
                raise
        status = values.words(found, "refund_status")
        state = RefundState.MISSING if not status else RefundState.UNKNOWN
        if status == "REFUND_SUCCESS":
            _check_number(found, request.trade_number)
            if found.get("out_request_no") != request.number:
                raise Unclear("mismatch")
            state = RefundState.SUCCESS
        return RefundResult(
            number=request.number,
            trade_number=request.trade_number,
            state=state,
            refund_fen=yuan.parse(found.get("refund_amount")),
            raw_state=status,
        )

    def fetch_bill(self, day: date, *, now: datetime) -> list[BillLine]:
        """See ``bills.BillSource``."""
        return bill.fetch(self.client, self._seller_id, self._origin, day, now=now)

    def parse_notice(self, request: NoticeRequest, *, now: datetime) -> Notice:
        """Verify a notice and say what it is about.

        Alipay signs no replay window: a repeated notice is told by its content. Any
        notice of another kind than a trade's comes back without trade and refund.
        """
        if request.method != "POST":
            raise NoticeRefused("method")
        params = self.client.read_notice(request.body)
        mandate = mandates.in_notice(params)
        if mandate is not None:  # these name no seller
            return Notice(
                number=mandate.number,
                ours=params.get("app_id") == self._app_id,
                mandate=mandate,
                event_id=values.number(params, "notify_id"),
            )
        ours = (
            params.get("app_id") == self._app_id
            and params.get("seller_id") == self._seller_id
        )
        about_trade = "trade_status" in params and "out_trade_no" in params
        return Notice(
            number=values.number(params, "out_trade_no"),
            ours=ours,
            trade=_trade(params) if about_trade else None,
            refund=_refund_in(params) if about_trade else None,
            event_id=values.number(params, "notify_id"),
        )

    def problems(self, *, now: datetime) -> list[str]:
        return []

    def received(self) -> Reply:
        return Reply(200, b"success", "text/plain")

    def not_received(self, reason: str) -> Reply:
        return Reply(200, b"fail", "text/plain")


def _check_number(answer: Mapping[str, Any], number: str) -> None:
    """A true answer to another question must not be taken for ours."""
    if answer.get("out_trade_no") != number:
        raise Unclear("mismatch")


def _trade_named(request: RefundRequest) -> dict[str, str]:
    """How a refund names its trade: by Alipay's number where several paid one attempt."""
    if request.txn_id:
        return {"trade_no": request.txn_id, "out_trade_no": request.trade_number}
    return {"out_trade_no": request.trade_number}


def _trade(given: Mapping[str, Any]) -> Trade:
    """The trade in a notice or in the answer to a query."""
    status = values.words(given, "trade_status")
    state = _STATES.get(status, TradeState.UNKNOWN)
    if state is TradeState.CLOSED and _was_paid(given):
        state = TradeState.PAID  # closed because all of it was refunded
    return Trade(
        number=values.number(given, "out_trade_no"),
        state=state,
        txn_id=values.number(given, "trade_no"),
        amount_fen=yuan.parse(given.get("total_amount")),
        paid_at=beijing.parse_plain(
            given.get("gmt_payment") or given.get("send_pay_date")
        ),
        raw_state=status,
    )


def _was_paid(given: Mapping[str, Any]) -> bool:
    """Notices carry the refunded sum or the time of payment, answers the latter."""
    return bool(
        yuan.parse(given.get("refund_fee"))
        or given.get("gmt_payment")
        or given.get("send_pay_date")
    )


def _refund_in(params: Mapping[str, str]) -> RefundResult | None:
    """The refund that a trade's notice reports, if it was sent because of one."""
    refunded = yuan.parse(params.get("refund_fee"))
    if not (refunded or params.get("gmt_refund") or params.get("out_biz_no")):
        return None
    return RefundResult(
        number=values.number(params, "out_biz_no"),
        trade_number=values.number(params, "out_trade_no"),
        state=RefundState.SUCCESS,
        refunded_total_fen=refunded,
        raw_state=values.words(params, "trade_status"),
    )
