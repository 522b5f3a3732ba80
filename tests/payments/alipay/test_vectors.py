"""Alipay against recorded messages: requests byte for byte, answers, notices."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from django.conf import settings
from django.test import override_settings

from payments.gateways import beijing, yuan
from payments.gateways.alipay.client import signed_text
from payments.gateways.alipay.gateway import AlipayGateway
from payments.gateways.contract import (
    GatewayError,
    NoticeRefused,
    Product,
    RefundRequest,
    Refused,
    StartRequest,
    TradeState,
    Unclear,
)
from payments.gateways.wire import Answer, Wire
from tests.payments import protocol_vectors
from tests.payments.protocol_vectors import Case

VECTORS = protocol_vectors.load("alipay")
NOTICES = protocol_vectors.cases(VECTORS, "notify", "alipay")
REQUESTS = protocol_vectors.cases(VECTORS, "requests", "alipay")
RESPONSES = protocol_vectors.cases(VECTORS, "responses", "alipay")

pytestmark = pytest.mark.vectors


@pytest.fixture(scope="module")
def sent() -> list[httpx.Request]:
    return []


@pytest.fixture(scope="module")
def gateway(sent: list[httpx.Request]) -> AlipayGateway:
    def refuse(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(503, stream=httpx.ByteStream(b""))

    wire = Wire(httpx.MockTransport(refuse))
    with override_settings(**protocol_vectors.alipay_settings(VECTORS["config"])):
        gateway = AlipayGateway.from_settings(settings, wire)
    assert gateway is not None
    return gateway


@pytest.mark.parametrize("case", REQUESTS)
def test_it_signs_the_recorded_parameters_to_the_byte(
    gateway: AlipayGateway, case: Case
) -> None:
    assert signed_text(case["params"]) == case["signed_content"]
    assert gateway.client.sign(case["params"]) == case["sign"]


def _ask(gateway: AlipayGateway, params: dict[str, str]) -> str:
    """Make the gateway build the recorded request; returns a page's URL, if any."""
    content = json.loads(params["biz_content"])
    now = beijing.parse_plain(params["timestamp"])
    assert now is not None
    number = content["out_trade_no"]
    match params["method"].removeprefix("alipay.trade."):
        case "page.pay":
            return gateway.start(_start(params, content, Product.PAGE), now=now).url
        case "wap.pay":
            return gateway.start(_start(params, content, Product.WAP), now=now).url
        case "precreate":
            return gateway.start(_start(params, content, Product.QR), now=now).url
        case "query":
            gateway.query(number, now=now)
        case "close":
            gateway.close(number, now=now)
        case "refund":
            gateway.refund(_refund(content), now=now)
        case "fastpay.refund.query":
            gateway.query_refund(_refund(content), now=now)
    return ""


def _start(
    params: dict[str, str], content: dict[str, str], product: Product
) -> StartRequest:
    expires_at = beijing.parse_plain(content["time_expire"])
    assert isinstance(expires_at, datetime)
    return StartRequest(
        number=content["out_trade_no"],
        amount_fen=yuan.parse(content["total_amount"]) or 0,
        subject=content["subject"],
        product=product,
        expires_at=expires_at,
        notify_url=params["notify_url"],
        return_url=params.get("return_url", ""),
    )


def _refund(content: dict[str, str]) -> RefundRequest:
    return RefundRequest(
        number=content["out_request_no"],
        trade_number=content["out_trade_no"],
        txn_id="",
        refund_fen=yuan.parse(content.get("refund_amount")) or 0,
        total_fen=0,
        reason=content.get("refund_reason", ""),
        notify_url="",
    )


@pytest.mark.parametrize("case", REQUESTS)
def test_it_builds_the_recorded_request_from_the_shops_values(
    gateway: AlipayGateway, sent: list[httpx.Request], case: Case
) -> None:
    sent.clear()
    with suppress(Unclear):  # what the silent network makes of every call
        url = _ask(gateway, case["params"])
    text = sent[0].content.decode() if sent else urlsplit(url).query
    assert dict(parse_qsl(text)) == case["params"] | {"sign": case["sign"]}


@pytest.mark.parametrize("case", RESPONSES)
def test_it_believes_only_answers_that_alipay_signed(
    gateway: AlipayGateway, case: Case
) -> None:
    method = case["node"].removesuffix("_response").replace("_", ".")
    recorded = json.loads(case["body"])[case["node"]]
    answer = Answer(200, {}, case["body"].encode())

    def read() -> dict[str, Any]:
        return gateway.client.read(method, answer)

    if not case["expect"]["signature_valid"]:
        with pytest.raises(Unclear):
            read()
    elif recorded["code"] == "10000":
        assert read() == recorded
    else:
        with pytest.raises(GatewayError) as caught:
            read()
        assert caught.value.code == recorded["sub_code"]
        assert isinstance(caught.value, Refused)


@pytest.mark.parametrize("case", NOTICES)
def test_it_judges_a_recorded_notice(gateway: AlipayGateway, case: Case) -> None:
    expect = case["expect"]
    now = protocol_vectors.clock(VECTORS, case)
    request = protocol_vectors.as_notice(case)
    if expect["signature_valid"] is False:
        with pytest.raises(NoticeRefused):
            gateway.parse_notice(request, now=now)
        return
    notice = gateway.parse_notice(request, now=now)
    fits = notice.ours and protocol_vectors.fits_an_order(VECTORS, notice, "alipay")
    assert fits == expect["accept"]
    assert notice.trade is not None
    assert notice.trade.number == notice.number
    match expect["effect"]:
        case "mark_paid" | "late_paid" | "flag_overpaid":
            assert notice.trade.state is TradeState.PAID
            assert notice.trade.txn_id
        case "mark_closed":
            assert notice.trade.state is TradeState.CLOSED
        case "refund_done":
            assert notice.refund is not None
            assert notice.refund.number == expect["needs_refund"]
    if "signed_content" in case:
        fields = dict(parse_qsl(case["request"]["body"]))
        fields.pop("sign")
        fields.pop("sign_type")
        assert signed_text(fields) == case["signed_content"]
