"""The adapters against the sandbox, whose checks share no code with them.

Each call in each state of a trade, notices as they really arrive, and every fault.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from django.conf import settings
from django.http.request import HttpHeaders
from django.test import override_settings
from django.utils import timezone

from orders.numbers import random_number
from payments.gateways.alipay.gateway import AlipayGateway
from payments.gateways.contract import (
    Gateway,
    GatewayError,
    Handover,
    HandoverKind,
    Notice,
    NoticeRefused,
    NoticeRequest,
    Product,
    RefundRequest,
    RefundResult,
    RefundState,
    Refused,
    StartRequest,
    Trade,
    TradeState,
    Unclear,
    Window,
)
from payments.gateways.unionpay.gateway import UnionPayGateway
from payments.gateways.wechat.gateway import WechatGateway
from tests.payments.far_unionpay import PASSWORD, pfx
from tests.sandbox.merchant import NoticeServer, Received
from tests.sandbox_process import Sandbox, wait_for

GATEWAYS = {
    "alipay": AlipayGateway,
    "wechat": WechatGateway,
    "unionpay": UnionPayGateway,
}
CALLED = ("alipay", "wechat")
"""Those that our server asks to open and to close; UnionPay is opened by the browser
and closes nothing."""
PRODUCTS = {
    "alipay": (Product.PAGE, Product.WAP, Product.QR),
    "wechat": (Product.NATIVE, Product.H5, Product.JSAPI),
    "unionpay": (Product.FRONT, Product.FRONT_PHONE),
}
CODE_ON_OUR_PAGE = {
    "alipay": Product.QR,
    "wechat": Product.NATIVE,
    "unionpay": Product.FRONT,
}
_orders: dict[str, StartRequest] = {}
_paid: dict[str, str] = {}
"""The transaction of a paid number, where its gateway refunds by that."""
_numbers = iter(range(1, 10_000))


@pytest.fixture(scope="module")
def sandbox_world(sandbox_process: Sandbox) -> Iterator[Sandbox]:
    with override_settings(**sandbox_process.environment):
        yield sandbox_process


@pytest.fixture(scope="module")
def built(sandbox_world: Sandbox) -> dict[str, Gateway]:
    return {code: build(kind) for code, kind in GATEWAYS.items()}


def build(kind: type) -> Gateway:
    gateway: Gateway | None = kind.from_settings(settings)  # type: ignore[attr-defined]
    assert gateway is not None
    return gateway


@pytest.fixture
def world(sandbox_world: Sandbox, notice_box: NoticeServer) -> Sandbox:
    sandbox_world.reset()
    sandbox_world.set_notice_gaps()
    notice_box.received.clear()
    return sandbox_world


@pytest.fixture(params=GATEWAYS)
def gateway(
    request: pytest.FixtureRequest, built: dict[str, Gateway], world: Sandbox
) -> Gateway:
    return built[request.param]


@pytest.fixture(params=CALLED)
def called(
    request: pytest.FixtureRequest, built: dict[str, Gateway], world: Sandbox
) -> Gateway:
    return built[request.param]


@pytest.fixture
def notify_url(notice_box: NoticeServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """An address of this test alone."""
    path = f"/notify/{random_number()}/"
    monkeypatch.setattr(notice_box, "only", path)
    notice_box.received.clear()
    return notice_box.url.removesuffix("/notify/") + path


def order(product: str, notify_url: str, **other: Any) -> StartRequest:
    request = StartRequest(
        number=f"AGAINSTTHESANDBOX{next(_numbers):09}",
        amount_fen=1_500,
        subject="卡盟 临时会员 7 天 / a=1&b=2",
        product=product,
        expires_at=timezone.now() + timedelta(minutes=30),
        notify_url=notify_url,
        return_url="http://127.0.0.1:1/payments/return/?token=o1-abc",
        payer_ip="203.0.113.9",
        openid="oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",
        placed_at=timezone.now(),
    )
    _orders[request.number] = replace(request, **other)
    return _orders[request.number]


def started(gateway: Gateway, notify_url: str) -> StartRequest:
    request = order(CODE_ON_OUR_PAGE[gateway.code], notify_url)
    handover = gateway.start(request, now=timezone.now())
    if handover.kind == HandoverKind.FORM:
        assert httpx.post(handover.url, data=dict(handover.params)).is_redirect
    return request


def refund_of(
    request: StartRequest, fen: int = 1_500, number: str = ""
) -> RefundRequest:
    return RefundRequest(
        number=number or f"R{request.number}",
        trade_number=request.number,
        txn_id=_paid.get(request.number, ""),
        refund_fen=fen,
        total_fen=request.amount_fen,
        reason="重复付款 & 退回",
        notify_url=request.notify_url,
        requested_at=request.placed_at,
    )


def look(gateway: Gateway, number: str) -> Trade:
    return gateway.query(number, now=timezone.now(), window=window(number))


def window(number: str) -> Window:
    known = _orders.get(number)
    placed_at = known.placed_at if known and known.placed_at else timezone.now()
    return Window(placed_at, placed_at + timedelta(minutes=30))


def state(gateway: Gateway, number: str) -> TradeState:
    return look(gateway, number).state


def read(gateway: Gateway, notice: Received, *, at: datetime | None = None) -> Notice:
    """A notice as the shop's view would hand it to the adapter."""
    environ = {
        f"HTTP_{name.upper().replace('-', '_')}": value
        for name, value in notice.headers.items()
    }
    request = NoticeRequest("POST", HttpHeaders(environ), "", notice.body)
    return gateway.parse_notice(request, now=at or timezone.now())


def next_notice(box: NoticeServer) -> Received:
    wait_for(lambda: box.received)
    return box.received.pop(0)


# --- Starting ------------------------------------------------------------------------


@pytest.mark.parametrize("product", PRODUCTS["alipay"])
def test_alipay_opens_each_product(
    built: dict[str, Gateway], world: Sandbox, notify_url: str, product: Product
) -> None:
    request = order(product, notify_url)
    handover = built["alipay"].start(request, now=timezone.now())
    if product is Product.QR:
        assert handover.kind == HandoverKind.QR
    else:
        assert handover.kind == HandoverKind.REDIRECT
        assert httpx.get(handover.url, follow_redirects=True).status_code == 200
        trade = world.trade("alipay", request.number)
        assert (trade["amount_fen"], trade["state"]) == (1_500, "open")
    assert handover.url.startswith(world.url)
    assert handover.valid_until is None


@pytest.mark.parametrize("product", PRODUCTS["wechat"])
def test_wechat_opens_each_product(
    built: dict[str, Gateway], world: Sandbox, notify_url: str, product: Product
) -> None:
    # WeChat knows the openids that it has given to the service account.
    appid = world.environment["WECHAT_MP_APP_ID"]
    openid = world.control("people/")["people"][0]["openids"][appid]
    request, now = order(product, notify_url, openid=openid), timezone.now()
    handover = built["wechat"].start(request, now=now)
    if product is Product.NATIVE:
        assert handover.kind == HandoverKind.QR
    elif product is Product.H5:
        query = parse_qs(urlsplit(handover.url).query)
        assert query["redirect_url"] == [request.return_url]
        assert handover.valid_until == now + timedelta(minutes=5)
    else:
        assert handover.kind == HandoverKind.JSAPI
        bridge = httpx.get(f"{world.url}/wechat/jsapi/", params=dict(handover.params))
        assert bridge.is_redirect, "the sandbox checks paySign"
    assert world.trade("wechat", request.number)["amount_fen"] == 1_500
    assert state(built["wechat"], request.number) == TradeState.WAITING


def test_the_same_request_again_leads_to_the_same_trade(
    gateway: Gateway, world: Sandbox, notify_url: str
) -> None:
    """B2, R11"""
    request = started(gateway, notify_url)
    assert gateway.start(request, now=timezone.now()).url
    world.pay(gateway.code, request.number, notify="lose")
    assert len(world.trade(gateway.code, request.number)["payments"]) == 1


@pytest.mark.parametrize("code", GATEWAYS)
def test_a_product_of_another_gateway_is_refused(
    built: dict[str, Gateway], notify_url: str, code: str
) -> None:
    for product in set(Product) - set(PRODUCTS[code]):
        with pytest.raises(Refused, match="product"):
            built[code].start(order(product, notify_url), now=timezone.now())


@pytest.mark.parametrize(
    ("product", "lacking"), [(Product.H5, "payer_ip"), (Product.JSAPI, "openid")]
)
def test_wechat_wants_to_know_the_shopper(
    built: dict[str, Gateway], notify_url: str, product: Product, lacking: str
) -> None:
    request = order(product, notify_url, **{lacking: ""})
    with pytest.raises(Refused):
        built["wechat"].start(request, now=timezone.now())


def test_another_sum_under_the_same_number_is_refused(
    called: Gateway, world: Sandbox, notify_url: str
) -> None:
    """B4: definite, and nothing is changed by it."""
    gateway = called
    request = started(gateway, notify_url)
    world.pay(gateway.code, request.number, after=3_600)  # a buyer has opened it
    with pytest.raises(Refused) as caught:
        gateway.start(replace(request, amount_fen=1), now=timezone.now())
    assert caught.value.code
    assert caught.value.words
    assert world.trade(gateway.code, request.number)["amount_fen"] == 1_500


@pytest.mark.parametrize("product", PRODUCTS["unionpay"])
def test_unionpay_opens_by_a_form_of_the_browsers(
    built: dict[str, Gateway], world: Sandbox, notify_url: str, product: Product
) -> None:
    """Our server asks nobody; until the form has been posted nobody knows the order."""
    gateway, request = built["unionpay"], order(product, notify_url)
    handover = gateway.start(request, now=timezone.now() + timedelta(minutes=5))
    assert handover.kind == HandoverKind.FORM
    assert handover.url.startswith(world.url)
    assert handover.valid_until is None
    assert state(gateway, request.number) == TradeState.MISSING
    for _ in range(2):  # pressing the button again leads to the same order
        page = httpx.post(
            handover.url, data=dict(handover.params), follow_redirects=True
        )
        assert page.status_code == 200
        assert "15.00" in page.text
    trade = world.trade("unionpay", request.number)
    assert (trade["amount_fen"], trade["state"]) == (1_500, "open")
    assert trade["product"] == product
    tampered = dict(handover.params) | {"txnAmt": "1"}
    assert httpx.post(handover.url, data=tampered).status_code == 400


# --- Asking and closing --------------------------------------------------------------


def test_it_tells_every_state_of_a_trade(
    gateway: Gateway, world: Sandbox, notify_url: str
) -> None:
    assert state(gateway, "NOSUCHORDER00000000000001") == TradeState.MISSING
    waiting, paid, closed = (started(gateway, notify_url) for _ in range(3))
    world.refuse(gateway.code, waiting.number)
    assert state(gateway, waiting.number) == TradeState.WAITING
    world.pay(gateway.code, paid.number, discount_fen=300, notify="lose")
    trade = look(gateway, paid.number)
    assert (trade.state, trade.amount_fen, trade.currency) == (
        TradeState.PAID,
        1_500,  # the order's total, not what the wallet's coupon left (C4)
        "CNY",
    )
    assert (
        trade.txn_id == world.trade(gateway.code, paid.number)["payments"][0]["txn_id"]
    )
    assert trade.paid_at is not None
    assert abs(timezone.now() - trade.paid_at) < timedelta(seconds=30)
    world.refuse(gateway.code, closed.number)
    world.close(gateway.code, closed.number, notify="lose")
    if gateway.code in CALLED:
        assert state(gateway, closed.number) == TradeState.CLOSED


def test_closing_ends_what_is_unpaid_and_tells_what_is_not(
    called: Gateway, world: Sandbox, notify_url: str
) -> None:
    gateway = called
    now = timezone.now()
    assert gateway.close("NOSUCHORDER00000000000001", now=now).state == (
        TradeState.MISSING
    )
    request = started(gateway, notify_url)
    world.refuse(gateway.code, request.number)
    assert gateway.close(request.number, now=now).state == TradeState.CLOSED
    assert world.trade(gateway.code, request.number)["state"] == "closed"
    assert state(gateway, request.number) == TradeState.CLOSED
    paid = started(gateway, notify_url)
    world.pay(gateway.code, paid.number, notify="lose")
    known = gateway.close(paid.number, now=now).state
    assert known in (TradeState.PAID, TradeState.UNKNOWN)
    assert state(gateway, paid.number) == TradeState.PAID


def test_closing_twice_says_closed_or_ask(
    called: Gateway, world: Sandbox, notify_url: str
) -> None:
    gateway = called
    request = started(gateway, notify_url)
    world.refuse(gateway.code, request.number)
    gateway.close(request.number, now=timezone.now())
    again = gateway.close(request.number, now=timezone.now()).state
    assert again in (TradeState.CLOSED, TradeState.UNKNOWN)


def test_unionpay_closes_nothing_and_is_final_after_the_end(
    built: dict[str, Gateway], world: Sandbox, notify_url: str
) -> None:
    """A10: what is not paid may still be; one minute after the end it is closed."""
    gateway = built["unionpay"]
    unseen, refused, paid = (started(gateway, notify_url) for _ in range(3))
    world.refuse("unionpay", refused.number)
    world.pay("unionpay", paid.number, notify="lose")
    for request, before, after in (
        (unseen, TradeState.MISSING, TradeState.CLOSED),
        (refused, TradeState.WAITING, TradeState.CLOSED),
        (paid, TradeState.PAID, TradeState.PAID),
    ):
        span = window(request.number)
        for seconds, expected in ((-1, before), (59, before), (61, after)):
            at = span.expires_at + timedelta(seconds=seconds)
            for ask in (gateway.query, gateway.close):
                assert ask(request.number, now=at, window=span).state == expected
    assert world.trade("unionpay", unseen.number)["closed_at"] is None
    world.pay("unionpay", unseen.number, notify="lose")
    assert state(gateway, unseen.number) == TradeState.PAID


def test_unionpay_knows_an_order_by_its_moment_too(
    built: dict[str, Gateway], world: Sandbox, notify_url: str
) -> None:
    gateway = built["unionpay"]
    request = started(gateway, notify_url)
    world.pay("unionpay", request.number, notify="lose")
    true = window(request.number)
    later = Window(true.placed_at + timedelta(seconds=1), true.expires_at)
    found = gateway.query(request.number, now=timezone.now(), window=later)
    assert found.state == TradeState.MISSING
    with pytest.raises(Refused):
        gateway.query(request.number, now=timezone.now())


# --- Refunds -------------------------------------------------------------------------


@pytest.fixture
def paid(gateway: Gateway, world: Sandbox, notify_url: str) -> StartRequest:
    request = started(gateway, notify_url)
    made = world.pay(gateway.code, request.number, notify="lose")
    if gateway.code not in CALLED:
        _paid[request.number] = made["payments"][0]["txn_id"]
    return request


def refunded(gateway: Gateway, request: RefundRequest) -> RefundResult:
    return gateway.refund(request, now=timezone.now())


def asked(gateway: Gateway, request: RefundRequest) -> RefundResult:
    return gateway.query_refund(request, now=timezone.now())


def test_a_refund_repeated_under_its_number_moves_money_once(
    gateway: Gateway, world: Sandbox, paid: StartRequest
) -> None:
    """R21, F8"""
    request = refund_of(paid)
    assert asked(gateway, request).state == RefundState.MISSING
    first = refunded(gateway, request)
    assert first.state in (RefundState.SUCCESS, RefundState.PROCESSING)
    assert (first.number, first.trade_number) == (request.number, paid.number)
    for _ in range(2):
        refunded(gateway, request)
    wait_for(lambda: asked(gateway, request).state == RefundState.SUCCESS)
    assert asked(gateway, request).refund_fen == 1_500
    [done] = world.trade(gateway.code, paid.number)["refunds"]
    assert done["amount_fen"] == 1_500
    assert state(gateway, paid.number) == TradeState.PAID, "it was paid all the same"


def test_a_refund_in_parts_ends_at_the_whole(
    gateway: Gateway, world: Sandbox, paid: StartRequest
) -> None:
    for fen, number in ((500, "RPART1"), (1_000, "RPART2")):
        refunded(gateway, refund_of(paid, fen, f"{number}{paid.number}"))
    with pytest.raises(GatewayError):
        refunded(gateway, refund_of(paid, 1, f"RPART3{paid.number}"))
    done = world.trade(gateway.code, paid.number)["refunds"]
    assert sorted(one["amount_fen"] for one in done) == [500, 1_000]


def test_another_sum_under_a_refunds_number_is_an_error(
    gateway: Gateway, world: Sandbox, paid: StartRequest
) -> None:
    refunded(gateway, refund_of(paid, 500))
    with pytest.raises(GatewayError):
        refunded(gateway, refund_of(paid, 600))
    [done] = world.trade(gateway.code, paid.number)["refunds"]
    assert done["amount_fen"] == 500


def test_a_refund_of_what_was_never_paid_is_refused(
    gateway: Gateway, world: Sandbox, notify_url: str
) -> None:
    request = started(gateway, notify_url)
    world.refuse(gateway.code, request.number)
    with pytest.raises(GatewayError):
        refunded(gateway, refund_of(request))


def test_a_merchant_without_money_may_try_again(
    gateway: Gateway, world: Sandbox, paid: StartRequest
) -> None:
    """F9: not a definite failure; the same number works once there is money."""
    world.plan_refunds(gateway.code, "fail", count=1)
    with pytest.raises(Unclear):
        refunded(gateway, refund_of(paid))
    refunded(gateway, refund_of(paid))
    wait_for(lambda: asked(gateway, refund_of(paid)).state == RefundState.SUCCESS)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ("processing", RefundState.PROCESSING),
        ("closed", RefundState.FAILED),
        ("abnormal", RefundState.UNKNOWN),
    ],
)
def test_wechat_tells_how_a_refund_ended(
    built: dict[str, Gateway],
    world: Sandbox,
    notify_url: str,
    outcome: str,
    expected: RefundState,
) -> None:
    """F8, F9; an abnormal one waits for a person."""
    gateway = built["wechat"]
    request = started(gateway, notify_url)
    world.pay("wechat", request.number, notify="lose")
    world.plan_refunds("wechat", outcome)
    refunded(gateway, refund_of(request))
    assert asked(gateway, refund_of(request)).state == expected
    if outcome == "processing":
        world.settle_refund("wechat", refund_of(request).number)
        assert asked(gateway, refund_of(request)).state == RefundState.SUCCESS


@pytest.mark.parametrize(
    ("fen", "paid_before", "kind"),
    [
        (1_500, timedelta(0), "31"),
        (1_499, timedelta(0), "04"),
        (1_500, timedelta(days=1), "04"),
    ],
)
def test_unionpay_undoes_a_whole_payment_on_its_day_and_refunds_all_else(
    built: dict[str, Gateway],
    world: Sandbox,
    notify_url: str,
    notice_box: NoticeServer,
    fen: int,
    paid_before: timedelta,
    kind: str,
) -> None:
    """The sandbox refuses an undo of another sum or of another clearing day."""
    noon = timezone.now().replace(hour=4, minute=0, second=0)
    world.set_clock(now=noon.isoformat())
    gateway = built["unionpay"]
    request = order(Product.FRONT, notify_url, placed_at=noon)
    request = replace(request, expires_at=noon + timedelta(minutes=30))
    form = gateway.start(request, now=noon)
    assert httpx.post(form.url, data=dict(form.params)).is_redirect
    made = world.pay("unionpay", request.number, notify="lose")
    wanted = noon + paid_before
    world.set_clock(now=wanted.isoformat())
    refund = replace(
        refund_of(request, fen),
        txn_id=made["payments"][0]["txn_id"],
        paid_at=noon,
        requested_at=wanted,
    )
    assert gateway.refund(refund, now=wanted).state == RefundState.PROCESSING
    details = world.trade("unionpay", request.number)["details"]
    assert details[f"txn_type:{refund.number}"] == kind
    assert gateway.query_refund(refund, now=wanted).state == RefundState.SUCCESS
    notice = read(gateway, next_notice(notice_box)).refund
    assert notice is not None
    assert (notice.state, notice.refund_fen) == (RefundState.SUCCESS, fen)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ("processing", RefundState.PROCESSING),
        ("closed", RefundState.FAILED),
        ("abnormal", RefundState.UNKNOWN),
    ],
)
def test_unionpay_tells_how_a_refund_ended(
    built: dict[str, Gateway],
    world: Sandbox,
    notify_url: str,
    outcome: str,
    expected: RefundState,
) -> None:
    """F8, F9"""
    gateway = built["unionpay"]
    request = started(gateway, notify_url)
    made = world.pay("unionpay", request.number, notify="lose")
    refund = replace(refund_of(request), txn_id=made["payments"][0]["txn_id"])
    world.plan_refunds("unionpay", outcome)
    refunded(gateway, refund)
    assert asked(gateway, refund).state == expected
    if outcome == "processing":
        world.settle_refund("unionpay", refund.number)
        assert asked(gateway, refund).state == RefundState.SUCCESS


# --- Notices -------------------------------------------------------------------------


def test_a_notice_of_payment_says_what_was_paid(
    gateway: Gateway, world: Sandbox, notice_box: NoticeServer, notify_url: str
) -> None:
    request = started(gateway, notify_url)
    payment = world.pay(gateway.code, request.number, discount_fen=300)
    notice = read(gateway, next_notice(notice_box))
    assert (notice.number, notice.ours, notice.fresh) == (request.number, True, True)
    assert notice.refund is None
    trade = notice.trade
    assert trade is not None
    assert (trade.state, trade.amount_fen, trade.currency) == (
        TradeState.PAID,
        1_500,
        "CNY",
    )
    assert trade.txn_id == payment["payments"][0]["txn_id"]
    assert bool(notice.event_id) == (gateway.code in CALLED)


def test_a_notice_of_refund_names_both_numbers(
    gateway: Gateway, world: Sandbox, notice_box: NoticeServer, paid: StartRequest
) -> None:
    refunded(gateway, refund_of(paid, 500))
    notice = read(gateway, next_notice(notice_box))
    refund = notice.refund
    assert refund is not None
    assert notice.ours
    assert refund.number == f"R{paid.number}"
    assert refund.trade_number == (paid.number if gateway.code in CALLED else "")
    assert refund.state == RefundState.SUCCESS
    assert 500 in (refund.refund_fen, refund.refunded_total_fen)
    if gateway.code == "alipay":  # says both at once
        assert notice.trade is not None
        assert notice.trade.state == TradeState.PAID


def test_a_trade_closed_by_the_whole_refund_was_paid(
    built: dict[str, Gateway], world: Sandbox, notice_box: NoticeServer
) -> None:
    """Alipay calls it TRADE_CLOSED; the money had come, and has gone."""
    gateway = built["alipay"]
    request = started(gateway, notice_box.url)
    world.pay("alipay", request.number, notify="lose")
    refunded(gateway, refund_of(request))
    notice = read(gateway, next_notice(notice_box))
    assert notice.trade is not None
    assert (notice.trade.raw_state, notice.trade.state) == (
        "TRADE_CLOSED",
        TradeState.PAID,
    )
    assert state(gateway, request.number) == TradeState.PAID


def test_alipay_tells_of_a_trade_that_it_closed(
    built: dict[str, Gateway], world: Sandbox, notice_box: NoticeServer
) -> None:
    gateway = built["alipay"]
    request = started(gateway, notice_box.url)
    world.refuse("alipay", request.number)
    world.close("alipay", request.number)
    notice = read(gateway, next_notice(notice_box))
    assert notice.trade is not None
    assert notice.trade.state == TradeState.CLOSED
    assert notice.refund is None


FORGED = {
    "alipay": ("wrong_signature", "unsigned", "tampered"),
    "wechat": (
        "wrong_signature",
        "unsigned",
        "unknown_serial",
        "signtest",
        "wrong_key",
    ),
    "unionpay": (
        *("wrong_signature", "unsigned", "tampered", "sha1", "no_certificate"),
        *("own_certificate", "stranger_chain"),
    ),
}
UNTRUE = ("wrong_amount", "wrong_merchant", "wrong_app", "unknown_order")


def test_forged_notices_are_refused(
    gateway: Gateway, world: Sandbox, notice_box: NoticeServer, paid: StartRequest
) -> None:
    for variant in FORGED[gateway.code]:
        world.notify(gateway.code, paid.number, variant)
        with pytest.raises(NoticeRefused):
            read(gateway, next_notice(notice_box))


def test_genuine_notices_of_untrue_content_show_what_is_untrue(
    gateway: Gateway, world: Sandbox, notice_box: NoticeServer, paid: StartRequest
) -> None:
    """B12, B13, C1: the adapter translates, the domain decides."""
    found = {}
    untrue = [v for v in UNTRUE if gateway.code in CALLED or v != "wrong_app"]
    for variant in untrue:
        world.notify(gateway.code, paid.number, variant)
        found[variant] = read(gateway, next_notice(notice_box))
    trades = {variant: notice.trade for variant, notice in found.items()}
    assert all(trade is not None for trade in trades.values())
    assert trades["wrong_amount"].amount_fen == 1_501
    assert not found["wrong_merchant"].ours
    assert "wrong_app" not in found or not found["wrong_app"].ours
    assert found["unknown_order"].number == "NOSUCHORDER00000000000001"
    assert found["unknown_order"].ours


@pytest.mark.parametrize("variant", ["stale", "future"])
def test_wechats_old_notices_are_genuine_and_not_fresh(
    built: dict[str, Gateway], world: Sandbox, notice_box: NoticeServer, variant: str
) -> None:
    """B11"""
    request = started(built["wechat"], notice_box.url)
    world.pay("wechat", request.number, notify="lose")
    world.notify("wechat", request.number, variant)
    notice = read(built["wechat"], next_notice(notice_box))
    assert (notice.number, notice.fresh) == (request.number, False)


# --- Two ways in which WeChat signs ---------------------------------------------------


@pytest.mark.parametrize("signs_with", ["public_key", "certificate"])
@pytest.mark.parametrize("known", ["public_key", "certificate", "both"])
def test_wechat_is_understood_by_public_key_by_certificate_and_by_both(
    world: Sandbox, notice_box: NoticeServer, signs_with: str, known: str
) -> None:
    """88: an answer or notice under a key that we do not hold is a forgery."""
    left_out = {
        "public_key": ("WECHAT_PAY_PLATFORM_CERTS",),
        "certificate": ("WECHAT_PAY_PUBLIC_KEY_ID", "WECHAT_PAY_PUBLIC_KEY"),
        "both": (),
    }[known]
    with override_settings(**dict.fromkeys(left_out, "")):
        gateway = build(WechatGateway)
    world.control("wechat/", {"signs_with": signs_with})
    request = order(Product.NATIVE, notice_box.url)
    if known in (signs_with, "both"):
        gateway.start(request, now=timezone.now())
        assert state(gateway, request.number) == TradeState.WAITING
        world.pay("wechat", request.number)
        assert read(gateway, next_notice(notice_box)).ours
    else:
        with pytest.raises(Unclear, match="forged"):
            gateway.start(request, now=timezone.now())
        world.pay("wechat", request.number)
        with pytest.raises(NoticeRefused, match="serial"):
            read(gateway, next_notice(notice_box))


# --- Faults --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", ["500", "malformed", "wrong_signature", "unsigned", "refuse"]
)
def test_a_fault_of_any_call_is_unclear_and_passes(
    gateway: Gateway, world: Sandbox, notify_url: str, paid: StartRequest, fault: str
) -> None:
    """FLT-24, FLT-25: "refuse" is the gateway's own "not now", signed."""
    code = {
        "alipay": "ACQ.SYSTEM_ERROR",
        "wechat": "SYSTEM_ERROR",
        "unionpay": "06",
    }[gateway.code]
    fresh, waiting = order(paid.product, notify_url), started(gateway, notify_url)
    world.refuse(gateway.code, waiting.number)
    refunded(gateway, refund_of(paid, 500))
    more = refund_of(paid, 500, f"RMORE{paid.number}")
    calls: dict[str, Callable[[], object]] = {
        "start": lambda: gateway.start(fresh, now=timezone.now()),
        "query": lambda: look(gateway, paid.number),
        "close": lambda: gateway.close(waiting.number, now=timezone.now()),
        "refund": lambda: refunded(gateway, more),
        "refund_query": lambda: asked(gateway, refund_of(paid, 500)),
    }
    if (gateway.code, fault) == ("wechat", "malformed"):
        del calls["close"]  # its answer has no body that could be cut
    if gateway.code not in CALLED:
        del calls["start"], calls["close"]
    for method, call in calls.items():
        world.fault(gateway.code, method, fault, count=1, code=code)
        with pytest.raises(Unclear):
            call()
        call()


def test_a_slow_answer_is_waited_for_and_a_late_one_is_not(
    gateway: Gateway, world: Sandbox, paid: StartRequest
) -> None:
    """FLT-23"""
    world.fault(gateway.code, "query", "slow", seconds=1, count=1)
    assert state(gateway, paid.number) == TradeState.PAID
    world.fault(gateway.code, "query", "timeout", seconds=20, count=1)
    begun = time.monotonic()
    with pytest.raises(Unclear, match="timeout"):
        state(gateway, paid.number)
    assert time.monotonic() - begun < 15  # not the sandbox's twenty
    world.clear_faults()
    assert state(gateway, paid.number) == TradeState.PAID


@pytest.mark.parametrize("method", ["start", "refund"])
def test_work_that_was_done_without_an_answer_is_found_by_asking(
    gateway: Gateway, world: Sandbox, notify_url: str, paid: StartRequest, method: str
) -> None:
    """R12, H7, H8: unclear is not failed; the same number does it once."""
    if method == "start" and gateway.code not in CALLED:
        return  # nobody is asked
    request = order(CODE_ON_OUR_PAGE[gateway.code], notify_url)
    do: Callable[[], Handover | RefundResult] = (
        partial(gateway.start, request, now=timezone.now())
        if method == "start"
        else partial(refunded, gateway, refund_of(paid))
    )
    world.fault(gateway.code, method, "500", count=1, done=True)
    with pytest.raises(Unclear):
        do()
    do()
    if method == "refund":
        wait_for(lambda: asked(gateway, refund_of(paid)).state == RefundState.SUCCESS)
        assert len(world.trade(gateway.code, paid.number)["refunds"]) == 1
    else:
        world.pay(gateway.code, request.number, notify="lose")
        assert state(gateway, request.number) == TradeState.PAID


def test_a_definite_refusal_carries_the_gateways_words(
    called: Gateway, world: Sandbox, notify_url: str
) -> None:
    """B4"""
    gateway = called
    code = {"alipay": "ACQ.BUYER_ENABLE_STATUS_FORBID", "wechat": "NO_AUTH"}[
        gateway.code
    ]
    world.fault(gateway.code, "start", "refuse", code=code, status=403, count=1)
    with pytest.raises((Refused, Unclear)) as caught:
        started(gateway, notify_url)
    if gateway.code == "wechat":
        assert isinstance(caught.value, Refused)
        assert caught.value.code == code


def test_our_own_wrong_key_is_told_apart_from_an_outage(
    gateway: Gateway, world: Sandbox
) -> None:
    """A request that the gateway cannot verify is refused by its own words."""
    foreign = {
        "alipay": {
            "ALIPAY_APP_PRIVATE_KEY": world.environment["WECHAT_PAY_PRIVATE_KEY"]
        },
        "wechat": {
            "WECHAT_PAY_PRIVATE_KEY": world.environment["ALIPAY_APP_PRIVATE_KEY"]
        },
        "unionpay": {"UNIONPAY_SIGN_CERT": pfx(), "UNIONPAY_SIGN_PASSWORD": PASSWORD},
    }[gateway.code]
    with override_settings(**foreign):
        stranger = build(GATEWAYS[gateway.code])
    with pytest.raises(GatewayError) as caught:
        look(stranger, "ANYNUMBER0000000000000001")
    assert caught.value.code in ("isv.invalid-signature", "SIGN_ERROR", "11")
