"""WeChat Pay v3 against recorded messages: requests byte for byte, answers, notices."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.test import override_settings

from payments.gateways.contract import (
    GatewayError,
    Handover,
    Notice,
    NoticeRefused,
    Product,
    RefundRequest,
    RefundState,
    Refused,
    StartRequest,
    TradeState,
    Unclear,
)
from payments.gateways.wechat.gateway import WechatGateway
from payments.gateways.wire import Answer, Wire
from tests.payments import protocol_vectors
from tests.payments.protocol_vectors import Case

VECTORS = protocol_vectors.load("wechatpay")
NOTICES = protocol_vectors.cases(VECTORS, "notify", "wechatpay")
REQUESTS = protocol_vectors.cases(VECTORS, "requests", "wechatpay")
RESPONSES = protocol_vectors.cases(VECTORS, "responses", "wechatpay")
INVOCATIONS = [
    pytest.param(VECTORS[name], id="wechatpay-jsapi")
    for name in ("jsapi_invoke",)
    if name in VECTORS
]

pytestmark = pytest.mark.vectors


@pytest.fixture(scope="module")
def sent() -> list[httpx.Request]:
    return []


@pytest.fixture(scope="module")
def gateway(sent: list[httpx.Request]) -> WechatGateway:
    def refuse(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(503, stream=httpx.ByteStream(b""))

    wire = Wire(httpx.MockTransport(refuse))
    with override_settings(**protocol_vectors.wechat_settings(VECTORS["config"])):
        gateway = WechatGateway.from_settings(settings, wire)
    assert gateway is not None
    return gateway


@pytest.mark.parametrize("case", REQUESTS)
def test_it_signs_the_recorded_request_to_the_byte(
    gateway: WechatGateway, case: Case
) -> None:
    header = gateway.client.merchant.authorization(
        case["method"],
        case["path"],
        case["body"],
        timestamp=case["timestamp"],
        nonce=case["nonce_str"],
    )
    assert header == case["authorization"]


def _ask(gateway: WechatGateway, case: Case) -> Handover | None:
    """Make the gateway build the recorded request."""
    now = datetime.fromtimestamp(int(case["timestamp"]), UTC)
    content = json.loads(case["body"] or "{}")
    path = case["path"].partition("?")[0]
    number = path.removesuffix("/close").rpartition("/")[2]
    if path.endswith("/close"):
        gateway.close(number, now=now)
    elif "/out-trade-no/" in path:
        gateway.query(number, now=now)
    elif path.endswith("/refunds"):
        gateway.refund(_refund(content), now=now)
    elif "/refunds/" in path:
        gateway.query_refund(_refund({"out_refund_no": number}), now=now)
    else:
        return gateway.start(_start(content, Product(number)), now=now)
    return None


def _start(content: dict[str, Any], product: Product) -> StartRequest:
    return StartRequest(
        number=content["out_trade_no"],
        amount_fen=content["amount"]["total"],
        subject=content["description"],
        product=product,
        expires_at=datetime.fromisoformat(content["time_expire"]),
        notify_url=content["notify_url"],
        return_url="https://shop.test/return/",
        payer_ip=content.get("scene_info", {}).get("payer_client_ip", ""),
        openid=content.get("payer", {}).get("openid", ""),
    )


def _refund(content: dict[str, Any]) -> RefundRequest:
    amount = content.get("amount", {"refund": 0, "total": 0})
    return RefundRequest(
        number=content["out_refund_no"],
        trade_number=content.get("out_trade_no", ""),
        txn_id=content.get("transaction_id", ""),
        refund_fen=amount["refund"],
        total_fen=amount["total"],
        reason=content.get("reason", ""),
        notify_url=content.get("notify_url", ""),
    )


@pytest.mark.parametrize("case", REQUESTS)
def test_it_builds_the_recorded_request_from_the_shops_values(
    gateway: WechatGateway, sent: list[httpx.Request], case: Case
) -> None:
    sent.clear()
    with pytest.raises(Unclear, match="http-503"):
        _ask(gateway, case)
    (request,) = sent
    assert request.method == case["method"]
    assert request.url.raw_path.decode() == case["path"]
    assert request.content.decode() == case["body"]
    assert f'timestamp="{case["timestamp"]}"' in request.headers["Authorization"]
    assert (
        request.headers["Wechatpay-Serial"]
        == VECTORS["config"]["wechatpay_public_key_id"]
    )


@pytest.mark.parametrize("invocation", INVOCATIONS)
def test_it_signs_the_call_of_the_wallet_to_the_byte(
    gateway: WechatGateway, invocation: dict[str, str]
) -> None:
    made = gateway.bridge_params(
        invocation["package"].removeprefix("prepay_id="),
        timestamp=invocation["timeStamp"],
        nonce=invocation["nonceStr"],
    )
    assert made == invocation


@pytest.mark.parametrize("case", RESPONSES)
def test_it_believes_only_answers_that_wechat_signed(
    gateway: WechatGateway, case: Case
) -> None:
    headers = {name.lower(): value for name, value in case["headers"].items()}
    answer = Answer(case["status"], headers, case["body"].encode())
    now = protocol_vectors.clock(VECTORS, case)
    expect = case["expect"]
    if expect.get("accept"):
        recorded = json.loads(case["body"] or "{}")
        assert gateway.client.read(answer, now=now) == recorded
        return
    with pytest.raises(GatewayError) as caught:
        gateway.client.read(answer, now=now)
    if "error" in expect:
        assert caught.value.code == expect["error"]
        kind = Unclear if expect.get("retry") else Refused
        assert isinstance(caught.value, kind)
    else:
        assert isinstance(caught.value, Unclear)
        assert caught.value.code == "forged"


def _parsed(gateway: WechatGateway, case: Case) -> Notice | NoticeRefused:
    now = protocol_vectors.clock(VECTORS, case)
    try:
        return gateway.parse_notice(protocol_vectors.as_notice(case), now=now)
    except NoticeRefused as refusal:
        return refusal


@pytest.mark.parametrize("case", NOTICES)
def test_it_judges_a_recorded_notice(gateway: WechatGateway, case: Case) -> None:
    expect = case["expect"]
    notice = _parsed(gateway, case)
    if isinstance(notice, NoticeRefused):
        assert not expect.get("accept")
        assert gateway.not_received(notice.reason).status in range(400, 600)
        return
    assert expect["signature_valid"] is not False
    genuine = notice.ours and notice.fresh
    fits = genuine and (
        notice.refund is not None
        or protocol_vectors.fits_an_order(VECTORS, notice, "wechat")
    )
    assert fits == expect.get("accept", fits)
    state = notice.trade.state if notice.trade else None
    if expect.get("effect_not") == "mark_paid":
        assert state is not TradeState.PAID
    match expect.get("effect"):
        case "mark_paid" | "late_paid" | "flag_overpaid":
            assert state is TradeState.PAID
        case "mark_closed":
            assert state is TradeState.CLOSED
        case "refund_done":
            assert notice.refund is not None
            assert notice.refund.number == expect["needs_refund"]
            assert notice.refund.state is RefundState.SUCCESS
    if plain := case.get("plaintext"):
        said = notice.trade or notice.refund
        assert said is not None
        assert plain["out_trade_no"] == notice.number
        assert said.raw_state == plain.get("trade_state", plain.get("refund_status"))
