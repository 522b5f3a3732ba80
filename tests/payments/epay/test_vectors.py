"""epay against recorded messages: requests byte for byte, answers, notices."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from django.conf import settings
from django.test import override_settings

from payments.gateways import yuan
from payments.gateways.contract import (
    GatewayError,
    Handover,
    HandoverKind,
    NoticeRefused,
    Refused,
    StartRequest,
    Trade,
    TradeState,
    Unclear,
)
from payments.gateways.epay.client import signed_text
from payments.gateways.epay.gateway import EpayGateway
from payments.gateways.wire import Wire
from tests.payments import protocol_vectors
from tests.payments.protocol_vectors import Case

VECTORS = protocol_vectors.load("epay")
NOTICES = protocol_vectors.cases(VECTORS, "notify", "epay")
REQUESTS = protocol_vectors.cases(VECTORS, "requests", "epay")
RESPONSES = protocol_vectors.cases(VECTORS, "responses", "epay")
NOW = datetime(2027, 3, 2, tzinfo=UTC)

pytestmark = pytest.mark.vectors


class Network:
    """Answers every call with ``body`` and keeps what was sent."""

    def __init__(self) -> None:
        self.sent: list[httpx.Request] = []
        self.body = ""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        return httpx.Response(200, stream=httpx.ByteStream(self.body.encode()))


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def gateway(network: Network) -> EpayGateway:
    wire = Wire(httpx.MockTransport(network))
    with override_settings(**protocol_vectors.epay_settings(VECTORS["config"])):
        gateway = EpayGateway.from_settings(settings, wire)
    assert gateway is not None
    return gateway


@pytest.mark.parametrize("case", REQUESTS)
def test_it_signs_the_recorded_parameters_to_the_byte(
    gateway: EpayGateway, case: Case
) -> None:
    assert signed_text(case["params"]) == case["signed_content"]
    assert gateway.client.sign(case["params"]) == case["sign"]


@pytest.mark.parametrize("case", REQUESTS)
def test_it_builds_the_recorded_request_from_the_shops_values(
    gateway: EpayGateway, network: Network, case: Case
) -> None:
    """An order of ``submit.php`` has the same fields but for two of the shopper."""
    params = case["params"]
    with suppress(Unclear):  # what the silent network makes of every call
        gateway.start(_start(params), now=NOW)
    [request] = network.sent
    assert (request.method, request.url.path) == ("POST", "/mapi.php")
    sent = dict(parse_qsl(request.content.decode()))
    expected = {name: value for name, value in params.items() if value}
    if case["path"] == "/mapi.php":
        assert sent.pop("sign") == case["sign"]
    else:
        del sent["sign"]
        expected |= {"clientip": "203.0.113.7", "device": "mobile"}
    assert sent.pop("sign_type") == case["sign_type"]
    assert sent == expected


def _start(params: dict[str, str]) -> StartRequest:
    return StartRequest(
        number=params["out_trade_no"],
        amount_fen=yuan.parse(params["money"]) or 0,
        subject=params["name"],
        product=params["type"],
        expires_at=NOW,
        notify_url=params["notify_url"],
        return_url=params["return_url"],
        payer_ip=params.get("clientip", "203.0.113.7"),
    )


ANSWERS: dict[str, Any] = {
    "mapi-ok": HandoverKind.REDIRECT,
    "mapi-fail": Refused,
    "order-paid": TradeState.PAID,
    "order-unpaid-string-status": TradeState.WAITING,
    "not-json": Unclear,
}


@pytest.mark.parametrize("case", RESPONSES)
def test_it_reads_the_recorded_answers(
    gateway: EpayGateway, network: Network, case: Case
) -> None:
    network.body = case["body"]
    [order] = [o for o in VECTORS["orders"] if o["out_trade_no"] in case["body"]] or [
        VECTORS["orders"][0]
    ]
    expected = ANSWERS[case["id"]]

    def ask() -> Handover | Trade:
        if case["id"].startswith("order"):
            return gateway.query(order["out_trade_no"], now=NOW)
        return gateway.start(_start(VECTORS["requests"][0]["params"]), now=NOW)

    if isinstance(expected, type) and issubclass(expected, GatewayError):
        with pytest.raises(expected) as caught:
            ask()
        if expected is Refused:
            assert caught.value.words
        return
    found = ask()
    if isinstance(found, Handover):
        assert (found.kind, bool(found.url)) == (expected, True)
        return
    assert found.state == expected
    assert found.amount_fen == order["amount_fen"]
    if found.state == TradeState.PAID:
        assert found.txn_id
        assert found.paid_at is not None
        assert order["type"] in found.raw_state


@pytest.mark.parametrize("case", NOTICES)
def test_it_judges_a_recorded_notice(gateway: EpayGateway, case: Case) -> None:
    expect = case["expect"]
    request = protocol_vectors.as_notice(case)
    if not expect["signature_valid"]:
        with pytest.raises(NoticeRefused):
            gateway.parse_notice(request, now=NOW)
        return
    notice = gateway.parse_notice(request, now=NOW)
    trade = notice.trade
    assert trade is not None
    fits = notice.ours and protocol_vectors.fits_an_order(VECTORS, notice, "epay")
    if "accept" in expect:
        assert fits == expect["accept"]
    else:
        assert trade.state is not TradeState.PAID
    if expect["effect"] != "none":
        assert trade.state is TradeState.PAID
        assert trade.txn_id
    fields = dict(parse_qsl(case["request"]["query"]))
    assert signed_text(fields) == case["signed_content"]
