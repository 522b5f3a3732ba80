"""epay (易支付) for the shop: phone credit and whatever else an aggregator carries.

A payment is opened by ``mapi.php``, from server to server, not by the browser's form to
``submit.php``: the gateway's refusal reaches us, a QR code can stand on our own page,
and a repeat leads to the same trade. An attempt's product is the gateway's ``type``.

The protocol knows no time limit and no closing, so late payments are ordinary here; and
its key is shared, so every success is confirmed by a query (``Notice.confirm``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Self
from urllib.parse import urlsplit

from django.conf import LazySettings

from payments.gateways import beijing, reading, values, yuan
from payments.gateways.contract import (
    Handover,
    HandoverKind,
    Notice,
    NoticeRefused,
    NoticeRequest,
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
from payments.gateways.epay.client import EpayClient
from payments.gateways.wire import Wire

_KEYS = ("EPAY_BASE_URL", "EPAY_PID", "EPAY_KEY")

TYPE = re.compile(r"[A-Za-z0-9_-]{1,16}", re.ASCII)
"""What a gateway may call one of its channels: ``alipay``, ``qqpay``, ``huafei`` ..."""

_FEWEST_CHARACTERS = 16
_FEWEST_DISTINCT = 8

_NO_SUCH_ORDER = "-1"
_PAID = {"1", "2"}  # 2: paid, and refunded since
_REFUNDED = "2"
_STATUSES = {
    "0": TradeState.WAITING,
    **dict.fromkeys(_PAID, TradeState.PAID),
}

_NOTICED = {
    "TRADE_SUCCESS": TradeState.PAID,
    "WAIT_BUYER_PAY": TradeState.WAITING,
}

# A name with these would make our own notices ambiguous.
_NAME = str.maketrans("=&", "＝＆")
_LONGEST_NAME = 127  # bytes; gateways cut there, be it inside of a character

_DEVICE = "mobile"
"""The cashier suits itself to the browser; `pc` would give phones a code to scan."""

_WALLETS = {"weixin", "wxp", "alipay", "alipays", "mqqapi", "mqqwpa"}
_ADDRESS = re.compile(r"[!-~]{1,1000}", re.ASCII)


class EpayGateway:
    code = "epay"
    refunds = RefundCapability.FULL
    notice_methods: tuple[str, ...] = ("GET", "POST")

    def __init__(self, *, client: EpayClient, pid: str, origin: str) -> None:
        self.client = client
        self.origins: tuple[str, ...] = (origin,)
        self._pid = pid
        self._schemes = {"https", *_WALLETS}
        if origin.startswith("http:"):  # in development; production demands https
            self._schemes.add("http")

    @classmethod
    def from_settings(
        cls, settings: LazySettings, wire: Wire | None = None
    ) -> Self | None:
        """The configured gateway, or None when no key is set at all.

        raises  BadSettings
        """
        if not reading.is_any_set(settings, *_KEYS):
            return None
        reading.require(settings, *_KEYS)
        key = settings.EPAY_KEY
        if len(key) < _FEWEST_CHARACTERS or len(set(key)) < _FEWEST_DISTINCT:
            raise reading.BadSettings("EPAY_KEY: a sample, not a random key")
        phone_credit = settings.EPAY_PHONE_CREDIT_TYPE
        if phone_credit and not TYPE.fullmatch(phone_credit):
            raise reading.BadSettings("EPAY_PHONE_CREDIT_TYPE: is not a type")
        return cls(
            client=EpayClient(
                base_url=settings.EPAY_BASE_URL,
                pid=settings.EPAY_PID,
                key=key,
                wire=wire or Wire(),
            ),
            pid=settings.EPAY_PID,
            origin=reading.origin(settings, "EPAY_BASE_URL"),
        )

    def start(self, request: StartRequest, *, now: datetime) -> Handover:
        if not TYPE.fullmatch(request.product):
            raise Refused("product", f"epay has no {request.product}")
        if not request.payer_ip:
            raise Refused("payer_ip", "mapi.php demands the shopper's address")
        answer = self.client.order(
            {
                "type": request.product,
                "out_trade_no": request.number,
                "notify_url": request.notify_url,
                "return_url": request.return_url,
                "name": _name(request.subject),
                "money": yuan.write(request.amount_fen),
                "clientip": request.payer_ip,
                "device": _DEVICE,
            }
        )
        for field, kind in (
            ("payurl", HandoverKind.REDIRECT),
            ("qrcode", HandoverKind.QR),
            ("urlscheme", HandoverKind.REDIRECT),
        ):
            if url := self._address(answer, field):
                return Handover(kind, url=url)
        raise Unclear("malformed")

    def query(
        self, number: str, *, now: datetime, window: Window | None = None
    ) -> Trade:
        try:
            answer = self._asked(number)
        except Refused as error:
            if error.code != _NO_SUCH_ORDER:
                raise
            return Trade(number, TradeState.MISSING, raw_state=error.code)
        status = values.words(answer, "status")
        return Trade(
            number=number,
            state=_STATUSES.get(status, TradeState.UNKNOWN),
            txn_id=values.number(answer, "trade_no"),
            amount_fen=yuan.parse(answer.get("money")),
            paid_at=beijing.parse_plain(answer.get("endtime")),
            raw_state=_with_type(status, answer),
        )

    def close(
        self, number: str, *, now: datetime, window: Window | None = None
    ) -> Trade:
        """Ask instead: nothing can be closed here.

        An unpaid trade comes back as ``MISSING``, so that it ends on our side alone and
        is asked about for as long as money may still come.
        """
        trade = self.query(number, now=now)
        if trade.state is TradeState.WAITING:
            return Trade(number, TradeState.MISSING, raw_state="cannot be closed")
        return trade

    def refund(self, request: RefundRequest, *, now: datetime) -> RefundResult:
        """Give the whole sum back; the protocol has no numbers for refunds.

        A refusal may only mean that an earlier try went through: the order tells.
        """
        if request.refund_fen != request.total_fen:
            raise Refused("partial", "epay refunds the whole sum only")
        fields = {"money": yuan.write(request.refund_fen)}
        if request.txn_id:
            fields["trade_no"] = request.txn_id
        else:
            fields["out_trade_no"] = request.trade_number
        try:
            self.client.refund(fields)
        except Refused:
            if self.query_refund(request, now=now).state is RefundState.SUCCESS:
                return _refunded(request)
            raise
        return _refunded(request)

    def query_refund(self, request: RefundRequest, *, now: datetime) -> RefundResult:
        """What the order says of its refund: there is no query of its own."""
        status = values.words(self._asked(request.trade_number), "status")
        if status == _REFUNDED:
            return _refunded(request)
        state = RefundState.MISSING if status in _PAID else RefundState.UNKNOWN
        return RefundResult(
            number=request.number,
            trade_number=request.trade_number,
            state=state,
            raw_state=f"status={status}",
        )

    def parse_notice(self, request: NoticeRequest, *, now: datetime) -> Notice:
        """Verify a notice, sent by GET or, by some gateways, by POST."""
        query = request.query.encode("ascii", "replace")
        given = {"GET": (query, request.body), "POST": (request.body, query)}
        if request.method not in given:
            raise NoticeRefused("method")
        form, other = given[request.method]
        if other:  # two places for one field: two readings
            raise NoticeRefused("ambiguous")
        params = self.client.read_notice(form)
        number = values.number(params, "out_trade_no")
        status = values.text(params, "trade_status")
        return Notice(
            number=number,
            ours=params.get("pid") == self._pid,
            trade=Trade(
                number=number,
                state=_NOTICED.get(status, TradeState.UNKNOWN),
                txn_id=values.number(params, "trade_no"),
                amount_fen=yuan.parse(params.get("money")),
                raw_state=_with_type(values.words(params, "trade_status"), params),
            ),
            confirm=True,
        )

    def problems(self, *, now: datetime) -> list[str]:
        return []

    def received(self) -> Reply:
        return Reply(200, b"success", "text/plain")

    def not_received(self, reason: str) -> Reply:
        return Reply(200, b"fail", "text/plain")

    def _asked(self, number: str) -> dict[str, str]:
        """The gateway's order; a true answer to another question is not taken for it."""
        answer = self.client.query(number)
        if answer.get("out_trade_no") != number:
            raise Unclear("mismatch")
        if answer.get("pid", self._pid) != self._pid:
            raise Unclear("mismatch")
        return answer

    def _address(self, answer: Mapping[str, str], field: str) -> str:
        """An address that leads to a cashier or into a wallet; "" for any other."""
        url = answer.get(field, "")
        try:
            usable = bool(_ADDRESS.fullmatch(url)) and (
                urlsplit(url).scheme.lower() in self._schemes
            )
        except ValueError:
            return ""
        return url if usable else ""


def _name(subject: str) -> str:
    cut = subject.translate(_NAME).encode()[:_LONGEST_NAME]
    return cut.decode(errors="ignore")


def _with_type(status: str, given: Mapping[str, str]) -> str:
    """The state with the channel that was really used, which may be another than ours."""
    return f"{status} {values.words(given, 'type')}".strip()


def _refunded(request: RefundRequest) -> RefundResult:
    return RefundResult(
        number=request.number,
        trade_number=request.trade_number,
        state=RefundState.SUCCESS,
        refund_fen=request.refund_fen,
        raw_state="refunded",
    )
