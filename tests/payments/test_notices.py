"""The notify addresses, with notices that the sandbox signs like the gateways do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from members.models import Member
from payments import cases, gateways, notices, polling
from payments.gateways.contract import (
    Notice,
    NoticeRequest,
    RefundRequest,
    Trade,
    TradeState,
)
from payments.models import Attempt, GatewayEvent, Refund
from tests.sandbox.merchant import Received
from tests.shopping import (
    ALIPAY,
    WECHAT,
    Till,
    broken,
    counts,
    fresh,
    new_member,
)

WAYS = {"wechat": WECHAT, "alipay": ALIPAY}
FAILURES = {"wechat": (400, b"FAIL"), "alipay": (200, b"fail")}


@pytest.fixture(params=["wechat", "alipay"])
def attempt(till: Till, member: Member, request: pytest.FixtureRequest) -> Attempt:
    """Open at the gateway, once for each."""
    return till.pay(till.place(member), WAYS[request.param])


def paid(till: Till, attempt: Attempt, **options: Any) -> Received:
    """Pay in the wallet and catch the notice."""
    till.wallet.pay(attempt.gateway, attempt.out_trade_no, **options)
    return till.caught()[0]


def forged(till: Till, attempt: Attempt, variant: str, **options: Any) -> Received:
    till.wallet.notify(attempt.gateway, attempt.out_trade_no, variant, **options)
    return till.caught()[0]


def is_received(attempt: Attempt, response: Any) -> bool:
    """In the gateway's own words."""
    if attempt.gateway == "alipay":
        return bool(response.status_code == 200 and response.content == b"success")
    return bool(response.status_code == 204 and not response.content)


def is_refused(attempt: Attempt, response: Any) -> bool:
    if attempt.gateway == "alipay":
        return bool(response.status_code == 200 and response.content == b"fail")
    return bool(400 <= response.status_code < 500 and b"FAIL" in response.content)


def untouched(attempt: Attempt) -> bool:
    row = fresh(attempt)
    return (row.state, row.txn_id, fresh(attempt.order).status) == (
        "open",
        None,
        "pending",
    )


def alerts(caplog: pytest.LogCaptureFixture) -> str:
    """What calls for a person: the lines of level error."""
    return "\n".join(r.getMessage() for r in caplog.records if r.levelname == "ERROR")


def test_a_true_notice_activates_before_it_is_answered(
    till: Till, member: Member, attempt: Attempt
):
    """B6."""
    notice = paid(till, attempt)
    response = till.deliver(notice, gateway=attempt.gateway)
    assert is_received(attempt, response)
    assert fresh(attempt.order).status == "paid"
    assert counts(member)["entitlements"] == 1
    kept = GatewayEvent.objects.get()
    assert (kept.kind, kept.outcome, kept.attempt) == ("notice", "settled", attempt)
    assert broken(till.now) == []


def test_the_same_notice_again_does_nothing_and_is_answered_alike(
    till: Till, member: Member, attempt: Attempt
):
    """B7, security 38: also an hour later, where the protocol has no window."""
    notice = paid(till, attempt)
    till.deliver(notice, gateway=attempt.gateway)
    before = counts(member)
    for _ in range(3):
        assert is_received(attempt, till.deliver(notice, gateway=attempt.gateway))
    till.wait(hours=1)
    assert is_received(attempt, till.deliver(notice, gateway=attempt.gateway))
    assert counts(member) == before


@pytest.mark.parametrize("variant", ["wrong_signature", "unsigned"])
def test_a_forged_notice_changes_nothing_and_is_logged_without_its_content(
    till: Till,
    attempt: Attempt,
    variant: str,
    caplog: pytest.LogCaptureFixture,
):
    """B10 and security 31 [R25]: nothing is looked up or written."""
    notice = forged(till, attempt, variant)
    response = till.deliver(notice, gateway=attempt.gateway)
    assert is_refused(attempt, response)
    assert untouched(attempt)
    assert not GatewayEvent.objects.exists()
    lines = [record.getMessage() for record in caplog.records]
    assert any("notice refused" in line for line in lines)
    assert not any(attempt.out_trade_no in line for line in lines)


def test_no_query_is_made_for_a_forged_notice(
    till: Till, attempt: Attempt, django_assert_num_queries: Any
):
    """R25: the signature first; the process keeps its keys."""
    notice = forged(till, attempt, "wrong_signature")
    with django_assert_num_queries(0):
        till.deliver(notice, gateway=attempt.gateway)


def test_no_flood_of_forgeries_keeps_a_true_notice_out(
    till: Till, member: Member, attempt: Attempt
):
    """B10: a gateway's notices come from few addresses, so none of them is throttled."""
    lie = forged(till, attempt, "wrong_signature")
    for _ in range(60):
        assert is_refused(attempt, till.deliver(lie, gateway=attempt.gateway))
    notice = paid(till, attempt)
    assert is_received(attempt, till.deliver(notice, gateway=attempt.gateway))
    assert fresh(attempt.order).status == "paid"
    assert counts(member)["entitlements"] == 1


@pytest.mark.parametrize("flip", [0, 40, -2])
def test_one_changed_byte_spoils_a_notice(till: Till, attempt: Attempt, flip: int):
    """Security 31."""
    notice = paid(till, attempt)
    body = bytearray(notice.body)
    body[flip] ^= 1
    spoilt = Received(notice.path, notice.headers, bytes(body), notice.at)
    response = till.deliver(spoilt, gateway=attempt.gateway)
    assert not is_received(attempt, response)
    assert response.status_code < 500
    assert untouched(attempt)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"a=1&a=2", b"{}" * 40_000]
)
def test_rubbish_gets_the_failure_words(till: Till, attempt: Attempt, body: bytes):
    """Security 32 and 33: never a 500."""
    rubbish = Received("", {"Content-Type": "application/json"}, body, till.now)
    response = till.deliver(rubbish, gateway=attempt.gateway)
    assert is_refused(attempt, response)
    assert untouched(attempt)


def test_a_stale_notice_makes_the_shop_ask(till: Till, member: Member):
    """B11: its content is not used, the gateway's answer is."""
    attempt = till.pay(till.place(member), WECHAT)
    till.wallet.pay("wechat", attempt.out_trade_no, notify="lose")
    stale = forged(till, attempt, "stale")
    assert is_received(attempt, till.deliver(stale, gateway="wechat"))
    assert fresh(attempt.order).status == "paid"
    assert till.wallet.calls(method="query", number=attempt.out_trade_no)


@pytest.mark.parametrize("variant", ["stale", "future"])
def test_a_stale_lie_settles_nothing(till: Till, member: Member, variant: str):
    """B11: the gateway says it is unpaid."""
    attempt = till.pay(till.place(member), WECHAT)
    lie = forged(till, attempt, variant)
    assert is_received(attempt, till.deliver(lie, gateway="wechat"))
    assert untouched(attempt)


def test_a_stale_notice_is_sent_again_while_the_gateway_is_silent(
    till: Till, member: Member
):
    attempt = till.pay(till.place(member), WECHAT)
    till.wallet.fault("wechat", "query", "500")
    stale = forged(till, attempt, "stale")
    assert is_refused(attempt, till.deliver(stale, gateway="wechat"))
    assert untouched(attempt)


def test_a_true_notice_about_nothing_of_ours_is_kept(
    till: Till, attempt: Attempt, caplog: pytest.LogCaptureFixture
):
    """B12: failure words, since a retry changes nothing; one row however often; alert."""
    orphan = forged(till, attempt, "unknown_order")
    for _ in range(2):
        assert is_refused(attempt, till.deliver(orphan, gateway=attempt.gateway))
    assert [event.outcome for event in cases.open_events()] == ["orphan"]
    assert GatewayEvent.objects.count() == 1
    assert "names no attempt of ours" in alerts(caplog)
    assert untouched(attempt)


@pytest.mark.parametrize("variant", ["wrong_merchant", "wrong_app"])
def test_a_true_notice_of_another_merchant_is_kept_as_alien(
    till: Till, attempt: Attempt, variant: str, caplog: pytest.LogCaptureFixture
):
    """B13 and security 39: an alert, and nothing moves."""
    alien = forged(till, attempt, variant)
    assert is_refused(attempt, till.deliver(alien, gateway=attempt.gateway))
    assert [event.outcome for event in cases.open_events()] == ["alien"]
    assert "for another merchant" in alerts(caplog)
    assert untouched(attempt)


def test_a_notice_for_the_other_gateways_address_is_worth_nothing(
    till: Till, attempt: Attempt
):
    """B14 and security 35."""
    notice = paid(till, attempt)
    other = {"wechat": "alipay", "alipay": "wechat"}[attempt.gateway]
    assert not is_received(attempt, till.deliver(notice, gateway=other))
    assert untouched(attempt)


def test_another_amount_is_recorded_and_refused(till: Till, attempt: Attempt):
    """C1 and security 36, through the front door."""
    notice = paid(till, attempt, amount_fen=1_400)
    for _ in range(2):
        assert is_refused(attempt, till.deliver(notice, gateway=attempt.gateway))
    assert (fresh(attempt).state, fresh(attempt).paid_fen) == ("paid", 1_400)
    assert fresh(attempt.order).status == "pending"
    assert list(cases.unallocated()) == [fresh(attempt)]


def test_a_coupon_of_the_gateway_matches(till: Till, member: Member, attempt: Attempt):
    """C4: the order's total counts, not what the payer gave."""
    notice = paid(till, attempt, discount_fen=300)
    assert is_received(attempt, till.deliver(notice, gateway=attempt.gateway))
    assert fresh(attempt).paid_fen == 1_500
    assert counts(member)["entitlements"] == 1


def test_a_notice_of_one_order_moves_no_other(till: Till, attempt: Attempt):
    """Security 37."""
    other = till.pay(till.place(new_member()), WAYS[attempt.gateway])
    till.deliver(paid(till, attempt), gateway=attempt.gateway)
    assert untouched(other)


def test_a_second_transaction_is_kept_as_overpaid(till: Till, attempt: Attempt):
    """B14b: received, the order untouched, a person decides."""
    till.deliver(paid(till, attempt), gateway=attempt.gateway)
    second = paid(till, attempt)
    assert is_received(attempt, till.deliver(second, gateway=attempt.gateway))
    assert [event.outcome for event in cases.open_events()] == ["overpaid"]
    assert not Refund.objects.exists()


def test_a_closed_notice_after_the_payment_changes_nothing(till: Till, member: Member):
    """B8, FLT-28: Alipay tells of a trade that ran out, late."""
    attempt = till.pay(till.place(member), ALIPAY)
    till.wallet.close("alipay", attempt.out_trade_no)
    closed = till.caught()[0]
    till.hear(attempt)
    before, order = counts(member), fresh(attempt.order)
    assert is_received(attempt, till.deliver(closed, gateway="alipay"))
    assert fresh(attempt).state == "paid"
    assert (fresh(attempt.order).status, fresh(attempt.order).version) == (
        "paid",
        order.version,
    )
    # The message itself is kept, and nothing else is written.
    assert counts(member) == before | {"events": before["events"] + 1}


def test_a_closed_notice_closes_the_attempt_and_not_the_order(
    till: Till, member: Member
):
    attempt = till.pay(till.place(member), ALIPAY)
    till.wallet.close("alipay", attempt.out_trade_no)
    assert is_received(attempt, till.deliver(till.caught()[0], gateway="alipay"))
    assert (fresh(attempt).state, fresh(attempt.order).status) == ("closed", "pending")


# --- Refund notices ----------------------------------------------------------------


@pytest.mark.parametrize("first", ["refund", "payment"])
def test_a_refund_and_its_payment_end_with_the_same_sums_in_either_order(
    till: Till, member: Member, attempt: Attempt, first: str
):
    """B20, FLT-28: a refund whose payment is not known makes the shop ask for that first."""
    payment = paid(till, attempt)
    refund = console_refund(till, attempt)
    notices = [refund, payment] if first == "refund" else [payment, refund]
    for notice in notices:
        assert is_received(attempt, till.deliver(notice, gateway=attempt.gateway))
        assert fresh(attempt).state == "paid"
    assert counts(member)["entitlements"] == 1
    booked = fresh(attempt)
    assert (booked.paid_fen, booked.refund_reserved_fen) == (1_500, 1_500)
    external = GatewayEvent.objects.get(kind="refund")
    assert (external.outcome, external.attempt) == ("external", attempt)
    row = Refund.objects.get()
    assert (row.reason, row.state, row.amount_fen) == ("external", "success", 1_500)
    order = fresh(attempt.order)
    assert (order.status, order.fulfil) == ("paid", "void")
    assert fresh(member).paid_until is None
    assert broken(till.now) == []


def test_a_refund_whose_payment_cannot_be_asked_for_is_sent_again(
    till: Till, attempt: Attempt
):
    """B20: nothing is booked on a guess."""
    paid(till, attempt)
    refund = console_refund(till, attempt)
    till.wallet.fault(attempt.gateway, "query", "500")
    assert is_refused(attempt, till.deliver(refund, gateway=attempt.gateway))
    assert untouched(attempt)
    assert not GatewayEvent.objects.exists()


def console_refund(till: Till, attempt: Attempt) -> Received:
    """The notice of a refund that somebody made in the merchant's console."""
    gateway = gateways.get(attempt.gateway)
    assert gateway is not None
    refund = RefundRequest(
        number="CONSOLE0000000000001",
        trade_number=attempt.out_trade_no,
        txn_id="",
        refund_fen=1_500,
        total_fen=1_500,
        reason="console",
        notify_url=f"{settings.PUBLIC_URL}/payments/{attempt.gateway}/notify/",
    )
    gateway.refund(refund, now=till.now)
    return till.caught()[-1]


# --- What no sandbox says -----------------------------------------


@dataclass
class OddGateway:
    """A WeChat that says something new, for what no sandbox can say."""

    says: Trade
    code: str = "wechat"

    def parse_notice(self, request: NoticeRequest, *, now: datetime) -> Notice:
        return Notice(number=self.says.number, trade=self.says)

    def received(self) -> str:
        return "received"

    def not_received(self, reason: str) -> str:
        return "not received"


@pytest.mark.parametrize("is_paid", [False, True])
def test_a_state_that_the_adapter_does_not_know_is_kept_and_asked_about(
    till: Till, member: Member, caplog: pytest.LogCaptureFixture, is_paid: bool
):
    """B21: an alert, no state change by itself; the gateway's answer counts."""
    attempt = till.pay(till.place(member), WECHAT)
    if is_paid:
        till.wallet.pay("wechat", attempt.out_trade_no, notify="lose")
    odd = Trade(attempt.out_trade_no, TradeState.UNKNOWN, raw_state="ACCEPT")
    request = NoticeRequest("POST", {}, "", b"odd")
    answer = notices.receive(OddGateway(odd), request, now=till.now)  # type: ignore[arg-type]
    assert str(answer) == "received"
    assert fresh(attempt.order).status == ("paid" if is_paid else "pending")
    kept = GatewayEvent.objects.get(kind="notice")
    assert (kept.content["state"], kept.outcome) == ("ACCEPT", "noted")
    assert "ACCEPT" in caplog.text
    assert len(till.wallet.calls(method="query", number=attempt.out_trade_no)) == 1


def test_success_without_an_amount_is_asked_about(till: Till, member: Member):
    """The contract: without a plain amount nothing settles, the query may."""
    attempt = till.pay(till.place(member), WECHAT)
    till.wallet.pay("wechat", attempt.out_trade_no, notify="lose")
    vague = Trade(attempt.out_trade_no, TradeState.PAID, txn_id="T1")
    request = NoticeRequest("POST", {}, "", b"vague")
    answer = notices.receive(OddGateway(vague), request, now=till.now)  # type: ignore[arg-type]
    assert str(answer) == "not received"
    assert fresh(attempt.order).status == "paid"


@pytest.mark.parametrize("address", ["epay", "manual", "nothing", "ALIPAY"])
def test_a_gateway_that_is_off_has_no_address(till: Till, address: str):
    """Security 34."""
    assert Client().post(f"/payments/{address}/notify/").status_code == 404


def test_a_notice_comes_by_post_only(till: Till):
    assert Client().get("/payments/alipay/notify/").status_code == 404
    assert Client().put("/payments/alipay/notify/").status_code == 405


def test_a_notice_after_the_sweep_has_expired_the_order_settles_it(
    till: Till, member: Member, attempt: Attempt
):
    """C8 through the front door, security 41."""
    notice_of_a_wallet_in_a_hurry = paid(till, attempt)
    Attempt.objects.filter(pk=attempt.pk).update(state="closed")
    till.set_clock(attempt.order.expires_at)
    polling.expire_due(now=till.now)
    assert fresh(attempt.order).status == "expired"
    till.wait(minutes=1)
    if attempt.gateway == "wechat":  # a new time stamp, as WeChat's retry has
        notice_of_a_wallet_in_a_hurry = forged(till, attempt, "resend")
    response = till.deliver(notice_of_a_wallet_in_a_hurry, gateway=attempt.gateway)
    assert is_received(attempt, response)
    assert fresh(attempt.order).status == "paid"
    assert fresh(member).paid_until is not None
