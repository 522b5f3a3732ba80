"""The epay adapter against the sandbox, whose checks share no code with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from django.conf import settings
from django.http.request import HttpHeaders
from django.test import override_settings
from django.utils import timezone

from orders.numbers import random_number
from payments.gateways.contract import (
    HandoverKind,
    Notice,
    NoticeRefused,
    NoticeRequest,
    RefundCapability,
    RefundRequest,
    RefundState,
    Refused,
    StartRequest,
    TradeState,
    Unclear,
)
from payments.gateways.epay.gateway import EpayGateway
from tests.sandbox.merchant import NoticeServer, Received
from tests.sandbox_process import Sandbox, wait_for


@pytest.fixture(scope="module")
def gateway(sandbox_process: Sandbox) -> Iterator[EpayGateway]:
    with override_settings(**sandbox_process.environment):
        built = EpayGateway.from_settings(settings)
        assert built is not None
        yield built


@pytest.fixture
def world(
    sandbox_process: Sandbox, notice_box: NoticeServer, monkeypatch: pytest.MonkeyPatch
) -> Sandbox:
    sandbox_process.reset()
    sandbox_process.set_notice_gaps()
    monkeypatch.setattr(notice_box, "only", f"/notify/{random_number()}/")
    notice_box.received.clear()
    return sandbox_process


@pytest.fixture
def order(world: Sandbox, notice_box: NoticeServer) -> StartRequest:
    return StartRequest(
        number=random_number(),
        amount_fen=1_500,
        subject="卡盟 临时会员 7 天 / a=1&b=2 " + "很长" * 40,
        product="huafei",
        expires_at=timezone.now() + timedelta(minutes=30),
        notify_url=notice_box.url.removesuffix("/notify/") + notice_box.only,
        return_url="http://127.0.0.1:1/payments/epay/return/?token=o1-abc",
        payer_ip="203.0.113.9",
    )


@pytest.fixture
def started(gateway: EpayGateway, order: StartRequest) -> StartRequest:
    gateway.start(order, now=timezone.now())
    return order


@pytest.fixture
def paid(world: Sandbox, started: StartRequest) -> StartRequest:
    world.pay("epay", started.number, notify="lose")
    return started


def state(gateway: EpayGateway, number: str) -> TradeState:
    return gateway.query(number, now=timezone.now()).state


def refund_of(request: StartRequest, fen: int = 1_500) -> RefundRequest:
    return RefundRequest(
        number=f"R{request.number}",
        trade_number=request.number,
        txn_id="",
        refund_fen=fen,
        total_fen=request.amount_fen,
        reason="重复付款",
        notify_url="",
    )


def next_notice(box: NoticeServer) -> Received:
    wait_for(lambda: box.received)
    return box.received.pop(0)


def read(gateway: EpayGateway, got: Received) -> Notice:
    request = NoticeRequest(got.method, HttpHeaders({}), got.query, got.body)
    return gateway.parse_notice(request, now=timezone.now())


def test_an_order_leads_to_the_aggregators_cashier(
    gateway: EpayGateway, world: Sandbox, order: StartRequest
) -> None:
    handover = gateway.start(order, now=timezone.now())
    assert handover.kind == HandoverKind.REDIRECT
    assert handover.url.startswith(gateway.origins[0])
    assert handover.valid_until is None
    page = httpx.get(handover.url)
    assert page.status_code == 200
    assert "15.00" in page.text
    trade = world.trade("epay", order.number)
    assert (trade["product"], trade["amount_fen"]) == ("huafei", 1_500)
    assert len(trade["subject"].encode()) <= 127
    assert trade["subject"].startswith("卡盟 临时会员 7 天 / a＝1＆b＝2")


def test_a_type_that_answers_with_a_code_stands_on_our_own_page(
    gateway: EpayGateway, order: StartRequest
) -> None:
    request = replace(order, product="wxpay")
    assert gateway.start(request, now=timezone.now()).kind == HandoverKind.QR


def test_the_same_request_again_leads_to_the_same_trade(
    gateway: EpayGateway, world: Sandbox, started: StartRequest
) -> None:
    """B2, R11"""
    number = world.trade("epay", started.number)["details"]["trade_no"]
    assert gateway.start(started, now=timezone.now()).url
    assert world.trade("epay", started.number)["details"]["trade_no"] == number


@pytest.mark.parametrize(
    "change", [{"product": "nosuch"}, {"product": "a b"}, {"payer_ip": ""}]
)
def test_what_cannot_be_ordered_is_refused(
    gateway: EpayGateway, order: StartRequest, change: dict[str, Any]
) -> None:
    with pytest.raises(Refused):
        gateway.start(replace(order, **change), now=timezone.now())


def test_another_sum_under_the_same_number_is_refused(
    gateway: EpayGateway, world: Sandbox, started: StartRequest
) -> None:
    """B4"""
    with pytest.raises(Refused) as caught:
        gateway.start(replace(started, amount_fen=1), now=timezone.now())
    assert "参数不一致" in caught.value.words
    assert world.trade("epay", started.number)["amount_fen"] == 1_500


def test_it_tells_every_state_of_a_trade(
    gateway: EpayGateway, world: Sandbox, started: StartRequest
) -> None:
    assert state(gateway, "NOSUCHORDER00000000000001") == TradeState.MISSING
    assert state(gateway, started.number) == TradeState.WAITING
    payment = world.pay("epay", started.number, notify="lose")["payments"][0]
    trade = gateway.query(started.number, now=timezone.now())
    assert (trade.state, trade.amount_fen) == (TradeState.PAID, 1_500)
    assert trade.txn_id == payment["txn_id"]
    assert trade.raw_state == "1 huafei"
    assert trade.paid_at is not None
    assert abs(timezone.now() - trade.paid_at) < timedelta(seconds=30)


def test_closing_asks_and_closes_nothing(
    gateway: EpayGateway, world: Sandbox, started: StartRequest
) -> None:
    """There is no close call: unpaid ends on our side alone, paid comes to light."""
    now = timezone.now()
    assert gateway.close(started.number, now=now).state == TradeState.MISSING
    assert world.trade("epay", started.number)["closed_at"] is None
    world.pay("epay", started.number, notify="lose")
    assert gateway.close(started.number, now=now).state == TradeState.PAID


def test_the_whole_sum_goes_back_once(
    gateway: EpayGateway, world: Sandbox, paid: StartRequest
) -> None:
    """R21, F8: without numbers of its own the order tells what has happened."""
    request, now = refund_of(paid), timezone.now()
    assert gateway.refunds is RefundCapability.FULL
    assert gateway.query_refund(request, now=now).state == RefundState.MISSING
    for _ in range(3):
        result = gateway.refund(request, now=now)
        assert (result.state, result.refund_fen) == (RefundState.SUCCESS, 1_500)
    assert gateway.query_refund(request, now=now).state == RefundState.SUCCESS
    assert len(world.trade("epay", paid.number)["refunds"]) == 1
    assert state(gateway, paid.number) == TradeState.PAID, "it was paid all the same"


def test_a_part_is_refused_before_anybody_is_asked(
    gateway: EpayGateway, world: Sandbox, paid: StartRequest
) -> None:
    with pytest.raises(Refused, match="partial"):
        gateway.refund(refund_of(paid, 500), now=timezone.now())
    assert world.calls("epay", "refund") == []
    assert world.trade("epay", paid.number)["refunds"] == []


def test_a_refusal_of_the_refund_is_definite_while_the_order_is_paid(
    gateway: EpayGateway, world: Sandbox, paid: StartRequest
) -> None:
    """F9: the operator reads the aggregator's own words."""
    world.plan_refunds("epay", "fail", count=1)
    with pytest.raises(Refused) as caught:
        gateway.refund(refund_of(paid), now=timezone.now())
    assert "余额不足" in caught.value.words


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_notice_says_what_was_paid_and_asks_to_be_confirmed(
    gateway: EpayGateway,
    world: Sandbox,
    notice_box: NoticeServer,
    started: StartRequest,
    method: str,
) -> None:
    world.control("epay/", {"notifies_by": method})
    payment = world.pay("epay", started.number)["payments"][0]
    got = next_notice(notice_box)
    assert got.method == method
    notice = read(gateway, got)
    assert (notice.number, notice.ours, notice.confirm) == (started.number, True, True)
    assert notice.trade is not None
    assert (notice.trade.state, notice.trade.amount_fen, notice.trade.txn_id) == (
        TradeState.PAID,
        1_500,
        payment["txn_id"],
    )


@pytest.mark.parametrize(
    "variant",
    ["wrong_signature", "unsigned", "empty_key", "tampered", "added_field"],
)
def test_forged_notices_are_refused(
    gateway: EpayGateway,
    world: Sandbox,
    notice_box: NoticeServer,
    paid: StartRequest,
    variant: str,
) -> None:
    world.notify("epay", paid.number, variant)
    with pytest.raises(NoticeRefused):
        read(gateway, next_notice(notice_box))


def test_the_browser_comes_back_to_our_own_token(
    world: Sandbox, gateway: EpayGateway, paid: StartRequest
) -> None:
    cashier = world.url + world.trade("epay", paid.number)["cashier"]
    page = httpx.get(cashier).text
    back = page.split('content="3;url=')[1].split('"')[0].replace("&amp;", "&")
    assert parse_qs(urlsplit(back).query)["token"] == ["o1-abc"]


@pytest.mark.parametrize("fault", ["500", "malformed"])
def test_a_fault_of_any_call_is_unclear_and_passes(
    gateway: EpayGateway,
    world: Sandbox,
    order: StartRequest,
    paid: StartRequest,
    fault: str,
) -> None:
    """FLT-24, FLT-25"""
    fresh, now = replace(order, number=random_number()), timezone.now()
    calls: dict[str, Callable[[], object]] = {
        "start": lambda: gateway.start(fresh, now=now),
        "query": lambda: gateway.query(paid.number, now=now),
        "refund": lambda: gateway.refund(refund_of(paid), now=now),
    }
    for method, call in calls.items():
        world.fault("epay", method, fault, count=1)
        with pytest.raises(Unclear):
            call()
        call()


def test_a_refund_without_an_answer_is_found_by_asking(
    gateway: EpayGateway, world: Sandbox, paid: StartRequest
) -> None:
    """H8"""
    world.fault("epay", "refund", "500", count=1, done=True)
    with pytest.raises(Unclear):
        gateway.refund(refund_of(paid), now=timezone.now())
    again = gateway.refund(refund_of(paid), now=timezone.now())
    assert again.state == RefundState.SUCCESS
    assert len(world.trade("epay", paid.number)["refunds"]) == 1


def test_a_late_answer_is_not_waited_for(
    gateway: EpayGateway, world: Sandbox, paid: StartRequest
) -> None:
    """FLT-23"""
    world.fault("epay", "query", "timeout", seconds=20, count=1)
    begun = time.monotonic()
    with pytest.raises(Unclear, match="timeout"):
        state(gateway, paid.number)
    assert time.monotonic() - begun < 15  # not the sandbox's twenty
    world.clear_faults()
    assert state(gateway, paid.number) == TradeState.PAID


def test_our_own_wrong_key_is_told_apart_from_an_outage(world: Sandbox) -> None:
    with override_settings(**world.environment | {"EPAY_KEY": "0123456789abcdef" * 2}):
        stranger = EpayGateway.from_settings(settings)
    assert stranger is not None
    with pytest.raises(Refused) as caught:
        stranger.query("ANYNUMBER0000000000000001", now=timezone.now())
    assert (caught.value.code, caught.value.words) == ("-3", "商户密钥错误")
