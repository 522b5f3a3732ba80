"""UnionPay for the shop: cashier page by form, query, refund and undo, notices.

UnionPay names an order by our number together with the moment it was made, so each
attempt and each refund always goes out with the moment of its own row. There is no way
to close an order: it ends with ``payTimeout``, the end of the order's hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from django.conf import LazySettings

from payments.gateways import beijing, keys, reading, values
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
from payments.gateways.unionpay import client
from payments.gateways.unionpay.client import Authority, UnionPayClient
from payments.gateways.wire import Wire

_KEYS = (
    "UNIONPAY_MER_ID",
    "UNIONPAY_SIGN_CERT",
    "UNIONPAY_ROOT_CERT",
    "UNIONPAY_MIDDLE_CERT",
)
_TEST_HOST = "https://gateway.test.95516.com"

_ONLINE = "000201"  # bizType of payments and of what gives them back
_CNY = "156"
_CHANNELS: dict[str, str] = {Product.FRONT: "07", Product.FRONT_PHONE: "08"}
_PAY, _REFUND, _UNDO, _ASK = "01", "04", "31", "00"

# A payment made in the last second is still on its way when the clocks differ.
_CLOCKS_DIFFER = timedelta(minutes=1)
_DAY_BEGINS = timedelta(hours=1)  # the clearing day runs from 23:00 to 23:00
_TO_SPARE = timedelta(minutes=30)
_WARN_BEFORE = timedelta(days=30)

_FEN = re.compile(r"0|[1-9][0-9]{0,11}", re.ASCII)
_CURRENCY = re.compile(r"[0-9]{3}", re.ASCII)
# Inside the braces of ``riskRateInfo`` these would be read as its own.
_SUBJECT = str.maketrans("{}=&", "｛｝＝＆")


class UnionPayGateway:
    code = "unionpay"
    refunds = RefundCapability.PARTIAL
    notice_methods: tuple[str, ...] = ("POST",)

    def __init__(self, *, client: UnionPayClient, origin: str) -> None:
        self.client = client
        self.origins: tuple[str, ...] = (origin,)

    @classmethod
    def from_settings(
        cls, settings: LazySettings, wire: Wire | None = None
    ) -> Self | None:
        """The configured gateway, or None when no key is set at all.

        raises  BadSettings
        """
        if not reading.is_any_set(settings, *_KEYS, "UNIONPAY_SIGN_PASSWORD"):
            return None
        reading.require(settings, "UNIONPAY_GATEWAY_URL", *_KEYS)
        password = settings.UNIONPAY_SIGN_PASSWORD
        if not keys.is_pem(settings.UNIONPAY_SIGN_CERT):
            reading.require(settings, "UNIONPAY_SIGN_PASSWORD")
        key, certificate = reading.key(
            settings,
            "UNIONPAY_SIGN_CERT",
            lambda text: keys.load_identity(text, password),
        )
        origin = reading.origin(settings, "UNIONPAY_GATEWAY_URL")
        return cls(
            client=UnionPayClient(
                base_url=settings.UNIONPAY_GATEWAY_URL.rstrip("/"),
                mer_id=settings.UNIONPAY_MER_ID,
                key=key,
                certificate=certificate,
                authority=_authority(settings, is_test=origin == _TEST_HOST),
                wire=wire or Wire(),
            ),
            origin=origin,
        )

    def start(self, request: StartRequest, *, now: datetime) -> Handover:
        """The signed form with which the browser opens the cashier; nobody is asked."""
        if request.product not in _CHANNELS:
            raise Refused("product", f"UnionPay has no {request.product}")
        subject = request.subject.translate(_SUBJECT)
        fields = {
            "txnType": _PAY,
            "txnSubType": "01",
            "bizType": _ONLINE,
            "channelType": _CHANNELS[request.product],
            "orderId": request.number,
            "txnTime": beijing.compact(request.placed_at or now),
            "txnAmt": str(request.amount_fen),
            "currencyCode": _CNY,
            "frontUrl": request.return_url,
            "backUrl": request.notify_url,
            "payTimeout": beijing.compact(request.expires_at),
            "riskRateInfo": subject and f"{{commodityName={subject}}}",
        }
        return Handover(
            HandoverKind.FORM,
            url=self.client.address(client.FRONT),
            params=self.client.request(fields),
        )

    def query(
        self, number: str, *, now: datetime, window: Window | None = None
    ) -> Trade:
        """Ask for one attempt.

        Success is final. Everything else may still change until the window has ended,
        for shoppers try again on UnionPay's page; only then is it closed.
        """
        if window is None:
            raise Refused("window", "UnionPay names an order by its moment as well")
        is_over = now >= window.expires_at + _CLOCKS_DIFFER
        try:
            answer = self._ask(number, window.placed_at, now=now)
        except Refused as error:
            if error.code != client.UNKNOWN_TRANSACTION:
                raise
            state = TradeState.CLOSED if is_over else TradeState.MISSING
            return Trade(number, state, raw_state=error.code)
        trade = _trade(answer, "origRespCode", "origRespMsg", is_over=is_over)
        if trade.state == TradeState.UNKNOWN and trade.raw_state in client.UNDER_WAY:
            return Trade(number, TradeState.WAITING, raw_state=trade.raw_state)
        return trade

    def close(
        self, number: str, *, now: datetime, window: Window | None = None
    ) -> Trade:
        """Ask, for UnionPay closes nothing: an order ends by its ``payTimeout``.

        Until then an unpaid one stays ``WAITING``, or ``MISSING`` while no browser has
        brought it to UnionPay, and whoever holds its page may still pay. Expiry waits
        for the answer after the end; polling goes on until then.
        """
        return self.query(number, now=now, window=window)

    def refund(self, request: RefundRequest, *, now: datetime) -> RefundResult:
        """Give money back, by undoing the payment or by refunding it.

        A payment is undone when the whole of it goes back within its own clearing day,
        with half an hour to spare; UnionPay would refuse an undo after that day. All
        else is a refund. The kind depends on stored moments alone, so that a repeat
        says the same under the same number.
        """
        answer = self.client.call(
            client.BACK,
            {
                "txnType": _UNDO if is_undo(request) else _REFUND,
                "txnSubType": "00",
                "bizType": _ONLINE,
                "channelType": "07",
                "orderId": request.number,
                "txnTime": beijing.compact(request.requested_at or now),
                "txnAmt": str(request.refund_fen),
                "origQryId": request.txn_id,
                "backUrl": request.notify_url,
            },
            now=now,
        )
        if answer["respCode"] == client.REPEATED:
            return self.query_refund(request, now=now)  # known from an earlier try
        # Accepted or under way: how it ended, notice and query tell.
        return RefundResult(
            number=request.number,
            trade_number=request.trade_number,
            state=RefundState.PROCESSING,
            gateway_refund_id=values.number(answer, "queryId"),
            raw_state=values.words(answer, "respCode"),
        )

    def query_refund(self, request: RefundRequest, *, now: datetime) -> RefundResult:
        found: Mapping[str, str] = {}
        try:
            found = self._ask(request.number, request.requested_at or now, now=now)
        except Refused as error:
            if error.code != client.UNKNOWN_TRANSACTION:
                raise
        if found and _fen(found) != request.refund_fen:
            raise Unclear("mismatch")
        code = found.get("origRespCode", "")
        return RefundResult(
            number=request.number,
            trade_number=request.trade_number,
            state=_refund_state(code) if found else RefundState.MISSING,
            refund_fen=_fen(found),
            gateway_refund_id=values.number(found, "queryId"),
            raw_state=code or client.UNKNOWN_TRANSACTION,
        )

    def _ask(self, number: str, moment: datetime, *, now: datetime) -> dict[str, str]:
        fields = {
            "txnType": _ASK,
            "txnSubType": "00",
            "bizType": "000000",
            "orderId": number,
            "txnTime": beijing.compact(moment),
        }
        answer = self.client.call(client.QUERY, fields, now=now)
        if answer["respCode"] not in client.DONE:
            raise Unclear(answer["respCode"], values.words(answer, "respMsg"))
        return answer

    def parse_notice(self, request: NoticeRequest, *, now: datetime) -> Notice:
        """Verify a notice and say what it is about.

        UnionPay signs no replay window: a repeated notice is told by its content. One
        about neither a payment nor a refund comes back without either.
        """
        if request.method != "POST":
            raise NoticeRefused("method")
        fields = self.client.read_notice(request.body, now=now)
        kind = fields.get("txnType")
        return Notice(
            number=values.number(fields, "orderId"),
            ours=fields.get("merId") == self.client.mer_id,
            trade=_trade(fields, "respCode", "respMsg") if kind == _PAY else None,
            refund=_refund_in(fields) if kind in (_REFUND, _UNDO) else None,
        )

    def problems(self, *, now: datetime) -> list[str]:
        lines = []
        for name, certificate in (
            ("UNIONPAY_SIGN_CERT", self.client.certificate),
            ("UNIONPAY_ROOT_CERT", self.client.authority.root),
            ("UNIONPAY_MIDDLE_CERT", self.client.authority.middle),
        ):
            first = certificate.not_valid_before_utc
            last = certificate.not_valid_after_utc
            if now < first:
                lines.append(f"{name}: is not valid before {first:%Y-%m-%d}")
            elif now > last:
                lines.append(f"{name}: expired on {last:%Y-%m-%d}")
            elif now > last - _WARN_BEFORE:
                lines.append(f"{name}: expires on {last:%Y-%m-%d}")
        return lines

    def received(self) -> Reply:
        return Reply(200, b"ok", "text/plain")

    def not_received(self, reason: str) -> Reply:
        return Reply(400, b"fail", "text/plain")


def is_undo(request: RefundRequest) -> bool:
    """Whether undoing is certain to be possible: see ``UnionPayGateway.refund``."""
    paid, wanted = request.paid_at, request.requested_at
    if paid is None or wanted is None or request.refund_fen != request.total_fen:
        return False
    return _clearing_day(paid) == _clearing_day(wanted + _TO_SPARE)


def _clearing_day(moment: datetime) -> object:
    return (moment.astimezone(beijing.BEIJING) + _DAY_BEGINS).date()


def _authority(settings: LazySettings, *, is_test: bool) -> Authority:
    root: x509.Certificate = reading.key(
        settings, "UNIONPAY_ROOT_CERT", keys.load_certificate
    )
    middle: x509.Certificate = reading.key(
        settings, "UNIONPAY_MIDDLE_CERT", keys.load_certificate
    )
    try:
        middle.verify_directly_issued_by(root)
    except (ValueError, TypeError, InvalidSignature):
        raise reading.BadSettings(
            "UNIONPAY_MIDDLE_CERT: is not issued by UNIONPAY_ROOT_CERT"
        ) from None
    owners = {client.UNIONPAY, *([client.UNIONPAY_ON_TEST] if is_test else [])}
    return Authority(root, middle, frozenset(owners))


def _trade(
    fields: Mapping[str, str], code_name: str, words_name: str, *, is_over: bool = False
) -> Trade:
    """The payment in a notice or in the answer to a query.

    ``txnAmt`` is the order's total; what is settled with us differs and is not read.
    """
    code = values.words(fields, code_name)
    if code in client.DONE:
        state = TradeState.PAID
    elif code in client.UNDER_WAY or not code:
        state = TradeState.UNKNOWN
    else:
        state = TradeState.CLOSED if is_over else TradeState.WAITING
    by_bank = state == TradeState.CLOSED and client.is_refusal(code)
    placed_at = beijing.parse_compact(fields.get("txnTime"))
    return Trade(
        number=values.number(fields, "orderId"),
        state=state,
        txn_id=values.number(fields, "queryId"),
        amount_fen=_fen(fields),
        currency=_currency(fields.get("currencyCode", "")),
        paid_at=_paid_at(fields, placed_at),
        refused=values.words(fields, words_name) if by_bank else "",
        raw_state=code,
        placed_at=placed_at or _NEVER,
    )


_NEVER = datetime(2000, 1, 1, tzinfo=beijing.BEIJING)
"""No attempt was made then: without a moment UnionPay has not named one of ours."""


def _paid_at(fields: Mapping[str, str], placed_at: datetime | None) -> datetime | None:
    """``traceTime`` has no year: the one in which it is not before the order."""
    if placed_at is None:
        return None
    for year in (placed_at.year, placed_at.year + 1):
        moment = beijing.parse_compact(f"{year}{fields.get('traceTime', '')}")
        if moment is not None and moment >= placed_at - timedelta(days=1):
            return moment
    return None


def _currency(code: str) -> str:
    if code == _CNY:
        return "CNY"
    return code if _CURRENCY.fullmatch(code) else "???"


def _fen(fields: Mapping[str, str]) -> int | None:
    text = fields.get("txnAmt", "")
    return int(text) if _FEN.fullmatch(text) else None


def _refund_state(code: str) -> RefundState:
    if code in client.DONE:
        return RefundState.SUCCESS
    if code in client.UNDER_WAY:
        return RefundState.PROCESSING
    return RefundState.FAILED if client.is_refusal(code) else RefundState.UNKNOWN


def _refund_in(fields: Mapping[str, str]) -> RefundResult:
    """The refund or undo that a notice reports; it names the payment only by queryId."""
    code = values.words(fields, "respCode")
    return RefundResult(
        number=values.number(fields, "orderId"),
        trade_number="",
        state=_refund_state(code),
        refund_fen=_fen(fields),
        gateway_refund_id=values.number(fields, "queryId"),
        raw_state=code,
    )
