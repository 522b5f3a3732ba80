"""UnionPay against recorded messages: requests byte for byte, answers, notices."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from django.conf import settings
from django.test import override_settings

from payments.gateways import beijing
from payments.gateways.contract import (
    NoticeRefused,
    RefundRequest,
    StartRequest,
    TradeState,
    Unclear,
    Window,
)
from payments.gateways.unionpay import client
from payments.gateways.unionpay.gateway import UnionPayGateway, is_undo
from payments.gateways.wire import Answer, Wire
from tests.payments import protocol_vectors
from tests.payments.protocol_vectors import Case

VECTORS = protocol_vectors.load("unionpay")
NOTICES = protocol_vectors.cases(VECTORS, "notify", "unionpay")
REQUESTS = protocol_vectors.cases(VECTORS, "requests", "unionpay")
RESPONSES = protocol_vectors.cases(VECTORS, "responses", "unionpay")
HALF_AN_HOUR = timedelta(minutes=30)

pytestmark = pytest.mark.vectors


class Network:
    """Keeps what was sent and answers ``body``, or 503 without one."""

    def __init__(self) -> None:
        self.sent: list[httpx.Request] = []
        self.body = ""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        stream = httpx.ByteStream(self.body.encode())
        return httpx.Response(200 if self.body else 503, stream=stream)


@pytest.fixture(scope="module")
def network() -> Network:
    return Network()


@pytest.fixture(scope="module")
def gateway(network: Network) -> UnionPayGateway:
    wire = Wire(httpx.MockTransport(network))
    with override_settings(**protocol_vectors.unionpay_settings(VECTORS["config"])):
        gateway = UnionPayGateway.from_settings(settings, wire)
    assert gateway is not None
    return gateway


@pytest.mark.parametrize("case", REQUESTS)
def test_it_signs_the_recorded_parameters_to_the_byte(
    gateway: UnionPayGateway, case: Case
) -> None:
    assert client.signed_text(case["params"]) == case["signed_content"]
    assert client.digest(case["params"]).decode() == case["sha256_hex"]
    assert gateway.client.sign(case["params"]) == case["signature"]


def test_it_takes_the_number_of_its_certificate_in_decimal(
    gateway: UnionPayGateway,
) -> None:
    assert gateway.client.request({})["certId"] == VECTORS["config"]["cert_id"]


def _moment(params: dict[str, str], name: str = "txnTime") -> datetime:
    moment = beijing.parse_compact(params[name])
    assert moment is not None
    return moment


def _start(params: dict[str, str]) -> StartRequest:
    subject = params.get("riskRateInfo", "").removeprefix("{commodityName=")
    return StartRequest(
        number=params["orderId"],
        amount_fen=int(params["txnAmt"]),
        subject=subject.removesuffix("}"),
        product={"07": "front", "08": "front_phone"}[params["channelType"]],
        expires_at=_moment(params, "payTimeout"),
        notify_url=params["backUrl"],
        return_url=params["frontUrl"],
        placed_at=_moment(params),
    )


def _refund(params: dict[str, str]) -> RefundRequest:
    """An undo is of what was paid a moment ago, a refund of what was paid long ago."""
    wanted, fen = _moment(params), int(params["txnAmt"])
    is_refund = params["txnType"] == "04"
    return RefundRequest(
        number=params["orderId"],
        trade_number="",
        txn_id=params["origQryId"],
        refund_fen=fen,
        total_fen=fen,
        reason="",
        notify_url=params["backUrl"],
        paid_at=wanted - timedelta(days=2) if is_refund else wanted,
        requested_at=wanted,
    )


@pytest.mark.parametrize("case", REQUESTS)
def test_it_builds_the_recorded_request_from_the_shops_values(
    gateway: UnionPayGateway, network: Network, case: Case
) -> None:
    params, now = case["params"], _moment(case["params"]) + timedelta(minutes=3)
    network.sent.clear()
    network.body = ""
    if case["path"] == client.FRONT:
        handover = gateway.start(_start(params), now=now)
        url, built = handover.url, dict(handover.params)
    else:
        with suppress(Unclear):  # what the silent network makes of every call
            if case["path"] == client.QUERY:
                window = Window(_moment(params), now)
                gateway.query(params["orderId"], now=now, window=window)
            else:
                gateway.refund(_refund(params), now=now)
        [request] = network.sent
        url, built = str(request.url), dict(parse_qsl(request.content.decode()))
    if params["txnType"] == "31" and not is_undo(_refund(params)):
        params = params | {"txnType": "04"}  # recorded at the end of a clearing day
        built.pop("signature")
    else:
        params = params | {"signature": case["signature"]}
    assert urlsplit(url).path == case["path"]
    assert built == params


@pytest.mark.parametrize("case", RESPONSES)
def test_it_believes_only_answers_that_unionpay_signed(
    gateway: UnionPayGateway, case: Case
) -> None:
    now = protocol_vectors.clock(VECTORS, case)
    answer = Answer(200, {}, case["body"].encode())
    if not case["expect"]["signature_valid"]:
        with pytest.raises(Unclear):
            gateway.client.read(answer, now=now)
        return
    found = gateway.client.read(answer, now=now)
    for name in ("respCode", "origRespCode"):
        assert found.get(name) == case["expect"][name]
    for at, changed in ((b"txnTime=2", b"txnTime=1"), (b"respCode=", b"respCode=9")):
        torn = Answer(200, {}, answer.body.replace(at, changed))
        with pytest.raises(Unclear):
            gateway.client.read(torn, now=now)


@pytest.mark.parametrize("case", RESPONSES)
def test_it_says_what_a_recorded_answer_means_before_the_end_and_after_it(
    gateway: UnionPayGateway, network: Network, case: Case
) -> None:
    """Success is final; all else only when the time to pay has passed."""
    asked, network.body = dict(client.split(case["body"])), case["body"]
    placed_at, now = _moment(asked), protocol_vectors.clock(VECTORS, case)
    paid = case["expect"]["origRespCode"] in ("00", "A6")
    under_way = case["expect"]["origRespCode"] in ("03", "04", "05")
    missing = case["expect"]["respCode"] == "34"
    for expires_at, otherwise in (
        (now + HALF_AN_HOUR, TradeState.MISSING if missing else TradeState.WAITING),
        (now - HALF_AN_HOUR, TradeState.CLOSED),
    ):
        window = Window(placed_at, expires_at)
        trade = gateway.query(asked["orderId"], now=now, window=window)
        if paid:
            assert trade.state == TradeState.PAID
            assert trade.amount_fen == int(asked["txnAmt"])
            assert trade.txn_id == asked["queryId"]
            assert trade.currency == "CNY"
        else:
            assert trade.state == (TradeState.WAITING if under_way else otherwise)


@pytest.mark.parametrize("case", RESPONSES)
def test_an_answer_to_another_question_is_none(
    gateway: UnionPayGateway, network: Network, case: Case
) -> None:
    asked, network.body = dict(client.split(case["body"])), case["body"]
    placed_at, now = _moment(asked), protocol_vectors.clock(VECTORS, case)
    for number, moment in (
        (asked["orderId"][:-1], placed_at),
        (asked["orderId"], placed_at + timedelta(seconds=1)),
    ):
        with pytest.raises(Unclear, match="mismatch"):
            gateway.query(number, now=now, window=Window(moment, now))


@pytest.mark.parametrize("case", NOTICES)
def test_it_judges_a_recorded_notice(gateway: UnionPayGateway, case: Case) -> None:
    expect = case["expect"]
    now = protocol_vectors.clock(VECTORS, case)
    request = protocol_vectors.as_notice(case)
    if expect["signature_valid"] is False:
        with pytest.raises(NoticeRefused):
            gateway.parse_notice(request, now=now)
        return
    notice = gateway.parse_notice(request, now=now)
    if "accept" in expect:
        fits = notice.ours and protocol_vectors.fits_an_order(
            VECTORS, notice, "unionpay"
        )
        assert fits == expect["accept"]
    match expect.get("effect"):
        case "mark_paid" | "late_paid" | "flag_overpaid":
            assert notice.trade is not None
            assert notice.trade.state is TradeState.PAID
            assert notice.trade.txn_id
            assert notice.trade.paid_at is not None
        case "query_later":
            assert notice.trade is not None
            assert notice.trade.state is TradeState.UNKNOWN
    if expect.get("effect_not") == "mark_paid":
        assert notice.trade is None
        assert notice.refund is not None
    if case.get("signed_content"):
        fields = dict(parse_qsl(case["request"]["body"]))
        assert client.signed_text(fields) == case["signed_content"]
        assert client.digest(fields).decode() == case["sha256_hex"]
