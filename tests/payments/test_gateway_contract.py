"""What every gateway must do, whichever it is: one test over the whole registry.

A new gateway joins by its line in ``payments.gateways.GATEWAYS``: the shop, its adapter
and the sandbox's side of it are driven as they are, through the front door where money
comes in. What is special about one gateway is proven in the tests of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from django.test import override_settings

from kameng import counters
from kameng.devices import Device
from members import rules
from members.models import Member
from orders.models import Order
from payments import channels, gateways, polling
from payments.attempts import Way, handover_of
from payments.gateways.contract import (
    Gateway,
    HandoverKind,
    RefundCapability,
    TradeState,
    Window,
)
from payments.models import Attempt, GatewayEvent, Refund
from tests.sandbox.merchant import Received
from tests.sandbox_process import Sandbox
from tests.shopping import Till, broken, counts, fresh, new_member


@pytest.fixture(params=gateways.GATEWAYS)
def gateway(
    request: pytest.FixtureRequest, till: Till, sandbox_process: Sandbox
) -> Iterator[Gateway]:
    names = {
        name: value
        for name, value in sandbox_process.environment.items()
        if name.startswith("EPAY_")  # the till has the others on
    }
    with override_settings(**names):
        found = gateways.get(request.param)
        assert found is not None, "the sandbox's environment switches every gateway on"
        yield found


def ways(gateway: Gateway) -> Iterator[Way]:
    """Each product of each channel of a gateway, as a device meets it."""
    seen = set()
    for device in Device:
        for offer in channels.offers(device):
            if offer.channel.gateway != gateway.code:
                continue
            for product in channels.products_of(offer.channel, device):
                if (offer.code, product) not in seen:
                    seen.add((offer.code, product))
                    yield Way(gateway.code, offer.code, product, "203.0.113.9")


@pytest.fixture
def attempt(till: Till, member: Member, gateway: Gateway) -> Attempt:
    """¥15.00, open at the gateway by its first way, and seen by a buyer."""
    attempt = till.pay(till.place(member), next(ways(gateway)))
    open_wallet(attempt)
    return attempt


def open_wallet(attempt: Attempt) -> None:
    """Go where the pay page leads the browser, or scan what it shows."""
    handover = handover_of(attempt)
    assert handover is not None
    method = "POST" if handover.kind == HandoverKind.FORM else "GET"
    data = dict(handover.params) if method == "POST" else None
    answer = httpx.request(method, handover.url, data=data, follow_redirects=True)
    assert answer.status_code == 200
    assert "15.00" in answer.text


def paid(till: Till, attempt: Attempt, **options: Any) -> Received:
    """Pay in the wallet and catch the notice."""
    till.wallet.pay(attempt.gateway, attempt.out_trade_no, **options)
    return till.caught()[0]


def told(till: Till, gateway: Gateway, notice: Received) -> bool:
    """Deliver a notice; whether the shop answered that it has it, in the right words."""
    answer = till.deliver(notice, gateway=gateway.code)
    said = (answer.status_code, answer.content)
    received = gateway.received()
    if said == (received.status, received.body):
        return True
    assert answer.status_code < 500
    assert answer.content == gateway.not_received("test").body
    return False


def status_of(attempt: Attempt) -> tuple[str, str]:
    return fresh(attempt).state, fresh(attempt.order).status


def test_every_way_in_starts_and_leads_to_a_known_place(
    till: Till, gateway: Gateway
) -> None:
    """A8, R4: the browser is only ever sent to the gateway's own origins."""
    found = list(ways(gateway))
    assert found
    for way in found:
        attempt = till.pay(till.place(new_member()), way)
        assert attempt.state == "open"
        handover = handover_of(attempt)
        assert handover is not None
        parts = urlsplit(handover.url)
        if handover.kind in (HandoverKind.REDIRECT, HandoverKind.FORM):
            assert f"{parts.scheme}://{parts.netloc}" in gateway.origins
        open_wallet(attempt)
        trade = till.wallet.trade(gateway.code, attempt.out_trade_no)
        assert (trade["amount_fen"], trade["state"]) == (1_500, "open")


def test_the_same_attempt_again_is_the_same_trade(
    till: Till, gateway: Gateway, attempt: Attempt
) -> None:
    """B2, R11: another press on the button opens the wallet and no second trade."""
    till.wait(seconds=40)
    way = Way(gateway.code, attempt.channel, attempt.product, "203.0.113.9")
    again = till.pay(attempt.order, way)
    assert again.pk == attempt.pk
    open_wallet(again)
    assert len(till.wallet.trades(gateway.code)) == 1


def test_a_notice_pays_once_however_often_it_comes(
    till: Till, member: Member, gateway: Gateway, attempt: Attempt
) -> None:
    """B6, B7, R5"""
    notice = paid(till, attempt)
    assert told(till, gateway, notice)
    assert status_of(attempt) == ("paid", "paid")
    before = counts(member)
    assert before["entitlements"] == 1
    for _ in range(3):
        assert told(till, gateway, notice)
    assert counts(member) == before
    assert broken(till.now) == []


@pytest.mark.parametrize("amount_fen", [1, 1_501])
def test_another_amount_is_kept_for_a_person_and_gives_nothing(
    till: Till, member: Member, gateway: Gateway, attempt: Attempt, amount_fen: int
) -> None:
    """C1, C2, R7"""
    notice = paid(till, attempt, amount_fen=amount_fen)
    assert not told(till, gateway, notice)
    assert status_of(attempt) == ("paid", "pending")
    assert fresh(attempt).paid_fen == amount_fen
    assert counts(member)["entitlements"] == 0
    outcomes = GatewayEvent.objects.values_list("outcome", flat=True)
    assert set(outcomes) == {
        "mismatch"
    }  # of the notice, and of the query that it led to
    assert broken(till.now, besides=("INV-12",)) == []


@pytest.mark.parametrize("variant", ["wrong_signature", "unsigned"])
def test_a_notice_under_another_key_changes_nothing(
    till: Till, gateway: Gateway, attempt: Attempt, variant: str
) -> None:
    """B10, security 31; FLT-42: also a key that is new there and not here yet. It is
    counted, and the words bring it back until it settles under the right one."""
    before = counters.read(counters.REFUSED_NOTICES, gateway.code)
    assert before is not None
    till.wallet.notify(gateway.code, attempt.out_trade_no, variant)
    assert not told(till, gateway, till.caught()[0])
    assert status_of(attempt) == ("open", "pending")
    assert not GatewayEvent.objects.exists()
    assert counters.read(counters.REFUSED_NOTICES, gateway.code) == before + 1
    assert told(till, gateway, paid(till, attempt))
    assert status_of(attempt) == ("paid", "paid")


@pytest.mark.parametrize(
    ("variant", "outcome"), [("wrong_merchant", "alien"), ("unknown_order", "orphan")]
)
def test_a_true_notice_about_something_else_changes_nothing(
    till: Till, gateway: Gateway, attempt: Attempt, variant: str, outcome: str
) -> None:
    """B12, B13"""
    till.wallet.notify(gateway.code, attempt.out_trade_no, variant)
    assert not told(till, gateway, till.caught()[0])
    assert status_of(attempt) == ("open", "pending")
    assert GatewayEvent.objects.get().outcome == outcome


def test_a_lost_notice_is_found_by_asking_and_a_late_one_is_a_repeat(
    till: Till, member: Member, gateway: Gateway, attempt: Attempt
) -> None:
    """B8, B19: query first, notice afterwards, and "not paid" last of all."""
    notice = paid(till, attempt)
    till.wait(seconds=6)
    assert till.poll() == 1
    assert status_of(attempt) == ("paid", "paid")
    assert told(till, gateway, notice)
    for state in (TradeState.WAITING, TradeState.CLOSED, TradeState.MISSING):
        till.hear(attempt, state=state)
    assert status_of(attempt) == ("paid", "paid")
    assert counts(member)["entitlements"] == 1
    assert broken(till.now) == []


def test_an_unpaid_attempt_ends_with_its_order(
    till: Till, gateway: Gateway, attempt: Attempt
) -> None:
    """A10: closed at the gateway, or by the gateway's own limit soon after.

    epay has neither: it goes on waiting, and late money is honoured or returned.
    """
    window = Window(attempt.created_at, attempt.order.expires_at)
    till.wait(minutes=32)
    assert till.expire() == 1
    assert status_of(attempt) == ("closed", "expired")
    number = attempt.out_trade_no
    trade = gateway.query(number, now=till.now, window=window)
    endless = {TradeState.WAITING} if gateway.code == "epay" else set()
    assert trade.state in {TradeState.CLOSED, TradeState.MISSING} | endless
    assert broken(till.now) == []


def test_money_for_a_cancelled_order_goes_back_once(
    till: Till, member: Member, gateway: Gateway, attempt: Attempt
) -> None:
    """R10, R21: refund and its notice, repeated and before the payment's own."""
    order: Order = attempt.order
    polling.cancel(order.pk, now=till.now)
    till.run_outbox()
    payment = paid(till, attempt)
    assert told(till, gateway, payment)
    refund = Refund.objects.get(attempt=attempt)
    assert (refund.reason, refund.amount_fen) == ("late", 1_500)
    till.run_outbox()
    if gateway.refunds == RefundCapability.NONE:
        assert till.wallet.trade(gateway.code, attempt.out_trade_no)["refunds"] == []
        return
    # epay tells of no refund.
    notices = [] if gateway.code == "epay" else till.caught()[:1]
    for _ in range(2):
        for notice in (*notices, payment):
            assert told(till, gateway, notice)
        till.wait(minutes=2)
        till.run_outbox()
        till.continue_refunds()
    assert fresh(refund).state == "success"
    [sent] = till.wallet.trade(gateway.code, attempt.out_trade_no)["refunds"]
    assert sent["amount_fen"] == 1_500
    if gateway.code != "epay":  # its refunds have no number
        assert sent["number"] == refund.out_refund_no
    assert counts(member)["entitlements"] == 0
    assert broken(till.now) == []


def test_a_refund_whose_answer_was_lost_is_not_made_twice(
    till: Till, gateway: Gateway, attempt: Attempt
) -> None:
    """F8, H8"""
    if gateway.refunds == RefundCapability.NONE:
        pytest.skip(f"{gateway.code} refunds nothing by itself")
    polling.cancel(attempt.order_id, now=till.now)
    till.run_outbox()
    assert told(till, gateway, paid(till, attempt))
    till.wallet.fault(gateway.code, "refund", "500", count=1, done=True)
    till.run_outbox()
    for _ in range(3):
        till.wait(minutes=2)
        till.run_outbox()
        till.continue_refunds()
    assert Refund.objects.get(attempt=attempt).state == "success"
    assert len(till.wallet.trade(gateway.code, attempt.out_trade_no)["refunds"]) == 1


def test_an_outage_leaves_the_attempt_as_it_is(
    till: Till, gateway: Gateway, attempt: Attempt
) -> None:
    """FLT-22 to FLT-25: nothing is known, so nothing is said; then it is found."""
    till.wallet.pay(gateway.code, attempt.out_trade_no, notify="lose")
    faults = ["500", "malformed", "wrong_signature", "unsigned"]
    if gateway.code == "epay":  # no answer of it is signed
        faults = faults[:2]
    for fault in faults:
        till.wallet.fault(gateway.code, "query", fault, count=1)
        till.wait(seconds=70)
        till.poll()
        assert status_of(attempt) == ("open", "pending"), fault
    till.wait(seconds=70)
    till.poll()
    assert status_of(attempt) == ("paid", "paid")


def test_money_after_the_hold_is_honoured_and_much_later_goes_back(
    till: Till, gateway: Gateway, attempt: Attempt
) -> None:
    """R10, A11"""
    other = till.pay(till.place(new_member()), next(ways(gateway)))
    open_wallet(other)
    till.wait(minutes=32)
    assert till.expire() == 2
    assert told(till, gateway, paid(till, attempt))
    assert status_of(attempt) == ("paid", "paid")
    till.run_outbox()
    till.wait(seconds=rules.current().late_seconds)
    assert told(till, gateway, paid(till, other))
    assert status_of(other) == ("paid", "expired")
    assert Refund.objects.get().attempt == other
    assert broken(till.now) == []
