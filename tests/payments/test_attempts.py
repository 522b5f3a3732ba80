"""Pressing "pay": one live attempt a gateway, its number reused, doubt kept apart."""

from __future__ import annotations

from datetime import timedelta

import pytest

from members.models import Member
from notifications.models import Outbox
from orders.models import Order, Status
from payments import attempts, polling
from payments.attempts import ChannelOff, NotPayable, Way, handover_of
from payments.gateways.contract import Product
from payments.models import Attempt
from tests.shopping import (
    ALIPAY,
    ALIPAY_PAGE,
    WECHAT,
    WECHAT_H5,
    Till,
    broken,
    events_of,
    fresh,
)


@pytest.fixture
def order(till: Till, member: Member) -> Order:
    return till.place(member)


def starts(till: Till, gateway: str = "") -> list[tuple[str, str]]:
    """(number, outcome) of each create call that reached the sandbox."""
    calls = till.wallet.calls(gateway=gateway, method="start")
    return [(call["number"], call["outcome"]) for call in calls]


def test_the_row_is_committed_before_the_gateway_is_called(
    till: Till, order: Order, monkeypatch: pytest.MonkeyPatch
):
    """B1 and R4 [K8]: number and amount are there, whatever becomes of the call."""
    seen: list[tuple[str, int]] = []

    def look(attempt: Attempt, *, now: object) -> Attempt:
        row = fresh(attempt)
        seen.append((row.state, row.amount_fen))
        return attempt

    monkeypatch.setattr(attempts, "start", look)
    attempt = attempts.pay(order.pk, WECHAT, now=till.now)
    assert seen == [("created", 1_500)]
    assert len(attempt.out_trade_no) == 26


def test_an_accepted_attempt_is_open_and_knows_the_way_into_the_wallet(
    till: Till, order: Order
):
    """B1."""
    attempt = till.pay(order, WECHAT)
    assert attempt.state == "open"
    handover = handover_of(attempt)
    assert handover is not None
    assert handover.kind == "qr"
    trade = till.wallet.trade("wechat", attempt.out_trade_no)
    assert trade["amount_fen"] == 1_500
    assert attempt.next_query_at == till.now + timedelta(seconds=5)


def test_pressing_again_reuses_the_number(till: Till, order: Order):
    """B2 [K10]: no second row and no second call."""
    first = till.pay(order, WECHAT)
    till.wait(seconds=20)
    assert till.pay(order, WECHAT) == first
    assert Attempt.objects.count() == 1
    assert len(starts(till)) == 1


def test_an_h5_link_that_ran_out_is_asked_for_again_under_the_same_number(
    till: Till, order: Order
):
    """WeChat's H5 link lives five minutes."""
    first = till.pay(order, WECHAT_H5)
    old = handover_of(first)
    till.wait(minutes=5)
    again = till.pay(order, WECHAT_H5)
    new = handover_of(again)
    assert old is not None
    assert new is not None
    assert again == first
    assert new.valid_until == till.now + timedelta(minutes=5)
    assert [number for number, _ in starts(till)] == [first.out_trade_no] * 2


def test_another_gateway_opens_at_once_and_the_first_is_closed_behind(
    till: Till, order: Order
):
    """B3: queued, not waited for."""
    wechat = till.pay(order, WECHAT)
    alipay = till.pay(order, ALIPAY)
    assert (fresh(wechat).state, alipay.state) == ("open", "open")
    assert Outbox.objects.get(kind="attempt.close").payload == {"attempt": wechat.pk}
    till.run_outbox()
    assert fresh(wechat).state == "closed"
    assert till.wallet.trade("wechat", wechat.out_trade_no)["state"] == "closed"
    assert fresh(alipay).state == "open"
    assert fresh(order).status == "pending"


def test_another_product_of_one_gateway_closes_the_first_before(
    till: Till, order: Order
):
    """R11: synchronously, one live attempt a gateway."""
    native = till.pay(order, WECHAT)
    h5 = till.pay(order, WECHAT_H5)
    assert fresh(native).state == "closed"
    assert (h5.state, h5.product) == ("open", "h5")
    assert h5.out_trade_no != native.out_trade_no
    assert not Outbox.objects.filter(kind="attempt.close").exists()


def test_an_alipay_page_that_nobody_opened_makes_room_for_the_qr(
    till: Till, order: Order
):
    """Alipay has no such trade yet, which proves nothing: it is asked on."""
    page = till.pay(order, ALIPAY_PAGE)
    qr = till.pay(order, ALIPAY)
    assert (fresh(page).state, qr.state) == ("closed", "open")
    assert fresh(page).next_query_at is not None
    till.wallet.trade("alipay", qr.out_trade_no)


def test_a_first_product_that_was_paid_meanwhile_pays_the_order(
    till: Till, member: Member, order: Order
):
    """R11: what the close brings out is booked, and no second attempt opens."""
    native = till.pay(order, WECHAT)
    till.wallet.pay("wechat", native.out_trade_no, notify="lose")
    with pytest.raises(NotPayable):
        till.pay(order, WECHAT_H5)
    assert fresh(order).status == "paid"
    assert Attempt.objects.count() == 1


def test_the_old_product_stays_when_it_cannot_be_closed(till: Till, order: Order):
    """K10: better the old way to pay than none."""
    native = till.pay(order, WECHAT)
    till.wallet.fault("wechat", "close", "500")
    assert till.pay(order, WECHAT_H5) == native
    assert fresh(native).state == "open"


def test_a_refused_create_fails_and_the_next_press_makes_a_new_number(
    till: Till, order: Order
):
    """B4 and A8: the order waits on."""
    till.wallet.fault("wechat", "start", "refuse", code="NO_AUTH", status=403, count=1)
    refused = till.pay(order, WECHAT)
    assert (refused.state, refused.next_query_at) == ("failed", None)
    assert fresh(order).is_open(at=till.now)
    assert events_of(order) == ["placed", "attempt-failed"]
    assert order.events.get(kind="attempt-failed").detail["code"] == "NO_AUTH"
    again = till.pay(order, WECHAT)
    assert again.state == "open"
    assert again.out_trade_no != refused.out_trade_no


@pytest.mark.parametrize("fault", ["500", "malformed", "wrong_signature", "unsigned"])
def test_an_unclear_create_is_unknown_and_asked_about(
    till: Till, order: Order, fault: str
):
    """B5 and R12: never assumed failed."""
    till.wallet.fault("wechat", "start", fault, count=1)
    attempt = till.pay(order, WECHAT)
    assert attempt.state == "unknown"
    assert attempt.next_query_at == till.now + timedelta(seconds=5)
    assert handover_of(attempt) is None
    assert events_of(order) == ["placed", "attempt-unknown"]


def test_a_create_that_times_out_is_unknown(till: Till, order: Order):
    """B5: no answer within the adapter's patience."""
    till.wallet.fault("alipay", "start", "timeout", seconds=4, count=1)
    assert till.pay(order, ALIPAY).state == "unknown"


def test_an_unknown_attempt_that_was_paid_is_settled_by_the_poll(
    till: Till, member: Member, order: Order
):
    """B5: the gateway had taken the order, its answer was lost."""
    till.wallet.fault("wechat", "start", "500", done=True, count=1)
    attempt = till.pay(order, WECHAT)
    till.wallet.pay("wechat", attempt.out_trade_no, notify="lose")
    till.wait(seconds=5)
    assert till.poll() == 1
    assert fresh(order).status == "paid"


def test_an_unknown_attempt_that_the_gateway_lacks_is_sent_again_under_its_number(
    till: Till, order: Order
):
    """B5."""
    till.wallet.fault("wechat", "start", "500", count=1)
    attempt = till.pay(order, WECHAT)
    till.wait(seconds=5)
    till.poll()
    assert fresh(attempt).state == "unknown"
    till.wait(seconds=30)
    again = till.pay(order, WECHAT)
    assert (again, again.state) == (attempt, "open")
    assert till.wallet.trade("wechat", attempt.out_trade_no)["state"] == "unopened"


def test_an_unknown_attempt_that_the_gateway_has_becomes_open(till: Till, order: Order):
    """B5: and the next press brings the way into the wallet."""
    till.wallet.fault("wechat", "start", "500", done=True, count=1)
    attempt = till.pay(order, WECHAT)
    till.wait(seconds=5)
    till.poll()
    assert (fresh(attempt).state, handover_of(fresh(attempt))) == ("open", None)
    again = till.pay(order, WECHAT)
    assert again == attempt
    assert handover_of(again) is not None


def test_a_refused_repeat_brings_out_that_it_was_paid(
    till: Till, member: Member, order: Order
):
    """A refusal of the second request says nothing about the first."""
    till.wallet.fault("wechat", "start", "500", done=True, count=1)
    attempt = till.pay(order, WECHAT)
    till.wallet.pay("wechat", attempt.out_trade_no, notify="lose")
    till.wait(seconds=40)
    till.wallet.fault("wechat", "start", "refuse", code="ORDERPAID", count=1)
    assert till.pay(order, WECHAT).state == "paid"
    assert fresh(order).status == "paid"


def test_a_refused_repeat_of_what_is_unpaid_makes_room_for_a_new_number(
    till: Till, order: Order
):
    till.wallet.fault("wechat", "start", "500", done=True, count=1)
    attempt = till.pay(order, WECHAT)
    till.wait(seconds=40)
    till.wallet.fault("wechat", "start", "refuse", code="INVALID_REQUEST", count=1)
    assert till.pay(order, WECHAT).state == "closed"
    assert till.pay(order, WECHAT).out_trade_no != attempt.out_trade_no


def test_an_answer_that_a_notice_overtook_does_not_reopen(
    till: Till, member: Member, order: Order
):
    """R1: the row may be paid before the create call has returned."""
    attempt = till.place(member, way=WECHAT).attempts.get()
    stale = fresh(attempt)
    till.hear(attempt)
    attempts.start(stale, now=till.now)
    assert fresh(attempt).state == "paid"


def test_a_doubt_does_not_unmake_what_another_request_opened(till: Till, order: Order):
    """Two clicks at once: the slower one times out."""
    attempt = till.pay(order, WECHAT)
    stale = fresh(attempt)
    stale.state, stale.handover = "created", None
    till.wallet.fault("wechat", "start", "500", count=1)
    attempts.start(stale, now=till.now)
    assert fresh(attempt).state == "open"


def test_a_killed_worker_leaves_an_attempt_that_the_poll_finds(
    till: Till, member: Member
):
    """H7: after the gateway's create, before its answer was saved."""
    order = till.place(member, way=WECHAT)
    attempt = order.attempts.get()
    attempts.start(fresh(attempt), now=till.now)
    Attempt.objects.filter(pk=attempt.pk).update(state="created", handover=None)
    till.wallet.pay("wechat", attempt.out_trade_no, notify="lose")
    till.wait(seconds=5)
    till.poll()
    assert fresh(order).status == "paid"


# --- When nothing may be opened ----------------------------------------------------


@pytest.mark.parametrize("seconds", [90, 60, 1])
def test_in_the_last_ninety_seconds_no_attempt_is_made(
    till: Till, order: Order, seconds: int
):
    """A9 and R8."""
    till.set_clock(order.expires_at - timedelta(seconds=seconds))
    with pytest.raises(NotPayable):
        till.pay(order, WECHAT)
    assert not Attempt.objects.exists()


def test_a_second_before_that_one_is_made(till: Till, order: Order):
    till.set_clock(order.expires_at - timedelta(seconds=91))
    assert till.pay(order, WECHAT).state == "open"


def test_a_live_attempt_can_be_reopened_to_the_end(till: Till, order: Order):
    """A9: also when another product was picked, which could not be opened any more."""
    attempt = till.pay(order, WECHAT)
    till.set_clock(order.expires_at - timedelta(seconds=1))
    assert till.pay(order, WECHAT) == attempt
    assert till.pay(order, WECHAT_H5) == attempt
    assert fresh(attempt).state == "open"
    till.set_clock(order.expires_at)
    with pytest.raises(NotPayable):
        till.pay(order, WECHAT)


@pytest.mark.parametrize("status", [Status.EXPIRED, Status.CANCELLED])
def test_what_is_over_cannot_be_paid(till: Till, order: Order, status: Status):
    """A11: no attempt."""
    Order.objects.filter(pk=order.pk).update(status=status)
    with pytest.raises(NotPayable):
        till.pay(order, WECHAT)
    assert not Attempt.objects.exists()


def test_what_is_paid_is_not_paid_again(till: Till, member: Member):
    attempt = till.bill(member)
    till.hear(attempt)
    with pytest.raises(NotPayable):
        till.pay(attempt.order, ALIPAY)
    assert Attempt.objects.count() == 1


def test_a_gateway_without_keys_opens_nothing(
    book: Till, member: Member, settings: object
):
    order = book.place(member)
    for name in ("ALIPAY_APP_ID", "ALIPAY_SELLER_ID", "ALIPAY_APP_PRIVATE_KEY"):
        setattr(settings, name, "")
    settings.ALIPAY_PUBLIC_KEY = ""  # type: ignore[attr-defined]
    with pytest.raises(ChannelOff):
        book.pay(order, ALIPAY)
    with pytest.raises(ChannelOff):
        book.pay(order, Way("epay", "phone_credit", Product.PAGE))
    assert not Attempt.objects.exists()


def test_a_cancelled_order_is_closed_at_the_gateway_as_well(till: Till, order: Order):
    """A12."""
    attempt = till.pay(order, WECHAT)
    assert polling.cancel(order.pk, now=till.now) == "done"
    assert fresh(order).status == "cancelled"
    till.run_outbox()
    assert fresh(attempt).state == "closed"
    assert till.wallet.trade("wechat", attempt.out_trade_no)["state"] == "closed"
    assert broken(till.now) == []


def test_a_close_that_fails_is_tried_again(till: Till, order: Order):
    attempt = till.pay(order, WECHAT)
    polling.cancel(order.pk, now=till.now)
    till.wallet.fault("wechat", "close", "500", count=1)
    till.run_outbox()
    assert fresh(attempt).state == "open"
    till.wait(minutes=2)
    till.run_outbox()
    assert fresh(attempt).state == "closed"
