"""WeChat Pay v3 for the shop: Native, H5, JSAPI, query, close, refunds, notices."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, Self
from urllib.parse import quote

from django.conf import LazySettings

from payments.gateways import beijing, keys, reading, values
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
from payments.gateways.wechat import bill
from payments.gateways.wechat.client import (
    Forged,
    MerchantKey,
    PlatformKeys,
    WechatClient,
)
from payments.gateways.wire import Wire

_KEYS = (
    "WECHAT_PAY_APP_ID",
    "WECHAT_PAY_MCH_ID",
    "WECHAT_PAY_SERIAL_NO",
    "WECHAT_PAY_PRIVATE_KEY",
    "WECHAT_PAY_API_V3_KEY",
)
_PUBLIC_KEY = ("WECHAT_PAY_PUBLIC_KEY_ID", "WECHAT_PAY_PUBLIC_KEY")
_CERTIFICATES = "WECHAT_PAY_PLATFORM_CERTS"

_STATES = {
    "NOTPAY": TradeState.WAITING,
    "USERPAYING": TradeState.WAITING,
    "SUCCESS": TradeState.PAID,
    "REFUND": TradeState.PAID,  # was paid; the refunds have numbers of their own
    "CLOSED": TradeState.CLOSED,
    "REVOKED": TradeState.CLOSED,
    "PAYERROR": TradeState.CLOSED,  # the bank said no; ``refused`` has the words
}
_REFUND_STATES = {
    "PROCESSING": RefundState.PROCESSING,
    "SUCCESS": RefundState.SUCCESS,
    "CLOSED": RefundState.FAILED,
    # ABNORMAL stays UNKNOWN: the money left us, did not arrive, and an operator
    # decides in WeChat's console where it goes.
}
_NOT_THERE = {"ORDER_NOT_EXIST", "ORDERNOTEXIST", "RESOURCE_NOT_EXISTS"}
_STATES_BY_CLOSE_ERROR = dict.fromkeys(_NOT_THERE, TradeState.MISSING) | {
    "ORDERPAID": TradeState.PAID,
    "ORDER_PAID": TradeState.PAID,
    "ORDERCLOSED": TradeState.CLOSED,
    "ORDER_CLOSED": TradeState.CLOSED,
}

_H5_LIFE = timedelta(minutes=5)
_CASHIER = "https://wx.tenpay.com"  # where H5 sends the browser
_WARN_BEFORE = timedelta(days=30)
_LONGEST_NOTICE = 64 * 1024
# An expired certificate is our own fault: say so, and WeChat sends the notice again.
_STATUS_BY_REASON = {
    "certificate": 503,
    **dict.fromkeys(("unsigned", "probe", "serial", "signature", "timestamp"), 401),
}


class WechatGateway:
    code = "wechat"
    refunds = RefundCapability.PARTIAL
    notice_methods: tuple[str, ...] = ("POST",)

    def __init__(
        self, *, client: WechatClient, app_id: str, origin: str, mp_app_id: str = ""
    ) -> None:
        self.client = client
        self.origins = tuple(dict.fromkeys((origin, _CASHIER)))
        self._origin = origin
        self._app_id = app_id
        # Inside WeChat she pays the service account, whose openid hers is.
        self._mp_app_id = mp_app_id or app_id
        self._mch_id = client.merchant.mch_id

    @classmethod
    def from_settings(
        cls, settings: LazySettings, wire: Wire | None = None
    ) -> Self | None:
        """The configured gateway, or None when no key is set at all.

        raises  BadSettings
        """
        if not reading.is_any_set(settings, *_KEYS, *_PUBLIC_KEY, _CERTIFICATES):
            return None
        reading.require(settings, "WECHAT_PAY_BASE_URL", *_KEYS)
        api_v3_key = settings.WECHAT_PAY_API_V3_KEY.encode()
        if len(api_v3_key) != 32:
            raise reading.BadSettings("WECHAT_PAY_API_V3_KEY: is not 32 bytes long")
        client = WechatClient(
            base_url=settings.WECHAT_PAY_BASE_URL.rstrip("/"),
            merchant=MerchantKey(
                mch_id=settings.WECHAT_PAY_MCH_ID,
                serial_no=settings.WECHAT_PAY_SERIAL_NO,
                private_key=reading.key(
                    settings, "WECHAT_PAY_PRIVATE_KEY", keys.load_private_key
                ),
            ),
            platform=_platform_keys(settings),
            api_v3_key=api_v3_key,
            wire=wire or Wire(),
        )
        return cls(
            client=client,
            app_id=settings.WECHAT_PAY_APP_ID,
            origin=reading.origin(settings, "WECHAT_PAY_BASE_URL"),
            mp_app_id=settings.WECHAT_MP_APP_ID,
        )

    def start(self, request: StartRequest, *, now: datetime) -> Handover:
        match request.product:
            case Product.NATIVE:
                answer = self._order(request, "native", {}, now=now)
                return Handover(HandoverKind.QR, url=_link(answer, "code_url"))
            case Product.H5:
                return self._start_h5(request, now=now)
            case Product.JSAPI:
                return self._start_jsapi(request, now=now)
        raise Refused("product", f"WeChat Pay has no {request.product}")

    def _start_h5(self, request: StartRequest, *, now: datetime) -> Handover:
        if not request.payer_ip:
            raise Refused("payer-ip", "H5 needs the shopper's address")
        scene = {"payer_client_ip": request.payer_ip, "h5_info": {"type": "Wap"}}
        answer = self._order(request, "h5", {"scene_info": scene}, now=now)
        url = _link(answer, "h5_url")
        joint = "&" if "?" in url else "?"
        return Handover(
            HandoverKind.REDIRECT,
            url=f"{url}{joint}redirect_url={quote(request.return_url, safe='')}",
            valid_until=now + _H5_LIFE,
        )

    def _start_jsapi(self, request: StartRequest, *, now: datetime) -> Handover:
        if not request.openid:
            raise Refused("openid", "JSAPI needs the shopper's openid")
        payer = {"payer": {"openid": request.openid}}
        answer = self._order(request, "jsapi", payer, now=now)
        prepay_id = values.number(answer, "prepay_id")
        if not prepay_id:
            raise Unclear("malformed")
        params = self.bridge_params(
            prepay_id,
            timestamp=str(int(now.timestamp())),
            nonce=secrets.token_hex(16),
        )
        return Handover(HandoverKind.JSAPI, params=params)

    def _order(
        self,
        request: StartRequest,
        product: str,
        extra: Mapping[str, Any],
        *,
        now: datetime,
    ) -> dict[str, Any]:
        content = {
            "appid": self._mp_app_id if product == "jsapi" else self._app_id,
            "mchid": self._mch_id,
            "description": request.subject,
            "out_trade_no": request.number,
            "time_expire": beijing.rfc3339(request.expires_at),
            "notify_url": request.notify_url,
            "amount": {"total": request.amount_fen, "currency": "CNY"},
            **extra,
        }
        return self.client.call(
            "POST", f"/v3/pay/transactions/{product}", content, now=now
        )

    def bridge_params(
        self, prepay_id: str, *, timestamp: str, nonce: str
    ) -> dict[str, str]:
        """What the page hands to WeChat's JavaScript bridge to open the wallet."""
        package = f"prepay_id={prepay_id}"
        return {
            "appId": self._mp_app_id,
            "timeStamp": timestamp,
            "nonceStr": nonce,
            "package": package,
            "signType": "RSA",
            "paySign": self.client.merchant.sign(
                self._mp_app_id, timestamp, nonce, package
            ),
        }

    def query(
        self, number: str, *, now: datetime, window: Window | None = None
    ) -> Trade:
        path = f"{_order_path(number)}?mchid={quote(self._mch_id, safe='')}"
        try:
            answer = self.client.call("GET", path, now=now)
        except Refused as error:
            if error.code not in _NOT_THERE:
                raise
            return Trade(number, TradeState.MISSING, raw_state=error.code)
        trade = _trade(answer)
        if trade.number != number or answer.get("mchid") != self._mch_id:
            raise Unclear("mismatch")
        return trade

    def close(
        self, number: str, *, now: datetime, window: Window | None = None
    ) -> Trade:
        content = {"mchid": self._mch_id}
        try:
            self.client.call("POST", f"{_order_path(number)}/close", content, now=now)
        except Refused as error:
            if error.code not in _STATES_BY_CLOSE_ERROR:
                raise
            state = _STATES_BY_CLOSE_ERROR[error.code]
            return Trade(number, state, raw_state=error.code)
        return Trade(number, TradeState.CLOSED)

    def refund(self, request: RefundRequest, *, now: datetime) -> RefundResult:
        """Refund one transaction; the answer usually says only that it was accepted."""
        trade = (
            {"transaction_id": request.txn_id}
            if request.txn_id
            else {"out_trade_no": request.trade_number}
        )
        content = {
            **trade,
            "out_refund_no": request.number,
            "reason": request.reason,
            "notify_url": request.notify_url,
            "amount": {
                "refund": request.refund_fen,
                "total": request.total_fen,
                "currency": request.currency,
            },
        }
        answer = self.client.call(
            "POST", "/v3/refund/domestic/refunds", content, now=now
        )
        return _answered_refund(answer, request)

    def query_refund(self, request: RefundRequest, *, now: datetime) -> RefundResult:
        path = f"/v3/refund/domestic/refunds/{quote(request.number, safe='')}"
        try:
            answer = self.client.call("GET", path, now=now)
        except Refused as error:
            if error.code not in _NOT_THERE:
                raise
            return RefundResult(
                number=request.number,
                trade_number=request.trade_number,
                state=RefundState.MISSING,
                raw_state=error.code,
            )
        return _answered_refund(answer, request)

    def fetch_bill(self, day: date, *, now: datetime) -> list[BillLine]:
        """See ``bills.BillSource``."""
        return bill.fetch(self.client, self._origin, day, now=now)

    def parse_notice(self, request: NoticeRequest, *, now: datetime) -> Notice:
        """Verify, decrypt and translate a notice.

        A stale one is translated as well, with ``fresh`` False. One about neither a
        payment nor a refund comes back without trade and refund.
        """
        if request.method != "POST":
            raise NoticeRefused("method")
        if len(request.body) > _LONGEST_NOTICE:
            raise NoticeRefused("too-large")
        headers = {name.lower(): value for name, value in request.headers.items()}
        try:
            fresh = self.client.platform.check(headers, request.body, now=now)
            envelope = _envelope(request.body)
            resource = values.inner(envelope, "resource")
            plain = self.client.decrypt(resource)
        except Forged as error:
            raise NoticeRefused(error.reason) from None
        kind = values.text(envelope, "event_type").partition(".")[0].lower()
        about = values.text(resource, "original_type")
        if kind != about and {kind, about} & {"transaction", "refund"}:
            raise NoticeRefused("event")
        # A refund names the merchant alone; a payment names the app as well.
        app_ids: set[object] = {self._app_id, self._mp_app_id}
        if kind != "transaction":
            app_ids.add(None)
        return Notice(
            number=values.number(plain, "out_trade_no"),
            ours=plain.get("mchid") == self._mch_id and plain.get("appid") in app_ids,
            fresh=fresh,
            trade=_trade(plain) if kind == "transaction" else None,
            refund=_refund(plain, "refund_status") if kind == "refund" else None,
            event_id=values.number(envelope, "id"),
        )

    def problems(self, *, now: datetime) -> list[str]:
        lines = []
        for serial, certificate in self.client.platform.certificates.items():
            name, last = f"{_CERTIFICATES}: {serial}", certificate.not_valid_after_utc
            if now < certificate.not_valid_before_utc:
                first = certificate.not_valid_before_utc
                lines.append(f"{name} is not valid before {first:%Y-%m-%d}")
            elif now > last:
                lines.append(f"{name} expired on {last:%Y-%m-%d}")
            elif now > last - _WARN_BEFORE:
                lines.append(f"{name} expires on {last:%Y-%m-%d}")
        return lines

    def received(self) -> Reply:
        return Reply(204, b"", "application/json")

    def not_received(self, reason: str) -> Reply:
        body = json.dumps({"code": "FAIL", "message": "not accepted"}).encode()
        return Reply(_STATUS_BY_REASON.get(reason, 400), body, "application/json")


def _platform_keys(settings: LazySettings) -> PlatformKeys:
    """Public key, certificates, or both; half a public key is refused."""
    with_key = reading.is_any_set(settings, *_PUBLIC_KEY)
    if with_key or not reading.is_any_set(settings, _CERTIFICATES):
        reading.require(settings, *_PUBLIC_KEY)
    return PlatformKeys(
        public_key_id=settings.WECHAT_PAY_PUBLIC_KEY_ID,
        public_key=reading.key(settings, "WECHAT_PAY_PUBLIC_KEY", keys.load_public_key)
        if with_key
        else None,
        certificates=reading.key(settings, _CERTIFICATES, keys.load_certificates)
        if reading.is_any_set(settings, _CERTIFICATES)
        else (),
    )


def _order_path(number: str) -> str:
    return f"/v3/pay/transactions/out-trade-no/{quote(number, safe='')}"


def _link(answer: Mapping[str, Any], name: str) -> str:
    url = values.link(answer, name)
    if not url:
        raise Unclear("malformed")
    return url


def _envelope(body: bytes) -> Mapping[str, Any]:
    try:
        envelope = json.loads(body)
    except (ValueError, RecursionError):
        envelope = None
    if not isinstance(envelope, dict):
        raise Forged("malformed")
    return envelope


def _trade(given: Mapping[str, Any]) -> Trade:
    """The transaction in a notice or in the answer to a query.

    ``amount.total`` is the order's total; ``payer_total`` is lower after WeChat's own
    coupons and does not matter here.
    """
    amount = values.inner(given, "amount")
    raw_state = values.words(given, "trade_state")
    failed = raw_state == "PAYERROR"
    return Trade(
        number=values.number(given, "out_trade_no"),
        state=_STATES.get(raw_state, TradeState.UNKNOWN),
        txn_id=values.number(given, "transaction_id"),
        amount_fen=values.fen(amount, "total"),
        currency=values.words(amount, "currency"),
        paid_at=beijing.parse_rfc3339(given.get("success_time")),
        refused=values.words(given, "trade_state_desc") if failed else "",
        raw_state=raw_state,
    )


def _refund(given: Mapping[str, Any], state_name: str) -> RefundResult:
    """The refund in a notice or an answer, which call its state differently."""
    raw_state = values.words(given, state_name)
    return RefundResult(
        number=values.number(given, "out_refund_no"),
        trade_number=values.number(given, "out_trade_no"),
        state=_REFUND_STATES.get(raw_state, RefundState.UNKNOWN),
        refund_fen=values.fen(values.inner(given, "amount"), "refund"),
        gateway_refund_id=values.number(given, "refund_id"),
        raw_state=raw_state,
    )


def _answered_refund(answer: Mapping[str, Any], request: RefundRequest) -> RefundResult:
    """The refund in an answer, which must be the one that was asked about."""
    found = _refund(answer, "status")
    if (found.number, found.trade_number) != (request.number, request.trade_number):
        raise Unclear("mismatch")
    return found
