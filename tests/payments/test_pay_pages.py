"""Paying, coming back and cancelling over HTTP: A8 to A13, B16 to B18, B22, security 48."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError

from members import links
from members.models import Member
from orders.models import Order
from payments import settle
from payments.gateways.contract import TradeState
from payments.models import Attempt
from tests.races import at_once
from tests.rows import changed, fingerprint
from tests.shopping import (
    ALIPAY,
    ALIPAY_PAGE,
    WECHAT,
    Shopper,
    Till,
    counts,
    fresh,
    new_member,
)


@pytest.fixture
def order(till: Till, member: Member) -> Order:
    return till.place(member)


@pytest.fixture
def attempt(till: Till, order: Order) -> Attempt:
    return till.pay(order, WECHAT)


@pytest.fixture
def shopper(till: Till, member: Member) -> Shopper:
    return Shopper(till, member)


def pay_page(order: Order) -> str:
    return f"/orders/{order.no}/pay/"


def press_pay(shopper: Shopper, order: Order, channel: str = "wechat") -> Any:
    return shopper.post(f"/orders/{order.no}/payments/", channel=channel)


def state_of(answer: Any) -> str:
    return str(answer.context["pay_state"])


def test_a_failed_payment_is_paid_again_with_one_click(
    shopper: Shopper, till: Till, order: Order, attempt: Attempt
):
    """A8: also on the other channel."""
    till.wait(minutes=10)
    till.hear(attempt, state=TradeState.CLOSED, refused="余额不足")
    page = shopper.get(pay_page(order))
    assert state_of(page) == "refused"
    assert fresh(order).status == "pending"
    assert f'action="/orders/{order.no}/payments/"' in page.content.decode()
    answer = press_pay(shopper, order, "alipay")
    assert (answer.status_code, answer["Location"]) == (303, pay_page(order))
    assert Attempt.objects.get(gateway="alipay").state == "open"


@pytest.mark.parametrize(
    ("seconds_left", "live", "status"),
    [
        (91, False, 303),
        (90, False, 409),  # A9
        (1, True, 303),  # security 48: 29:59, reopened
        (0, True, 409),
        (-1, False, 409),  # 30:01
    ],
)
def test_pay_is_pressed_in_time_or_answered_409(
    shopper: Shopper,
    till: Till,
    order: Order,
    request: pytest.FixtureRequest,
    seconds_left: int,
    live: bool,
    status: int,
):
    if live:
        request.getfixturevalue("attempt")
    before = Attempt.objects.count()
    till.set_clock(order.expires_at - timedelta(seconds=seconds_left))
    assert press_pay(shopper, order).status_code == status
    assert Attempt.objects.count() == before + (status == 303 and not live)


def test_in_the_last_ninety_seconds_the_page_offers_a_fresh_order(
    shopper: Shopper, till: Till, order: Order
):
    """A9: at today's price."""
    till.set_clock(order.expires_at - timedelta(seconds=60))
    answer = press_pay(shopper, order)
    assert state_of(answer) == "closing"
    assert "/membership/temporary/?plan=temporary-7" in answer.content.decode()
    till.set_clock(order.expires_at)
    page = shopper.get(pay_page(order))
    assert state_of(page) == "expired"  # A10: before any sweep
    assert fresh(order).status == "pending"
    assert "/membership/temporary/?plan=temporary-7" in page.content.decode()


@pytest.mark.parametrize("end", ["expired", "cancelled"])
def test_what_is_over_links_to_a_fresh_order(
    shopper: Shopper, till: Till, order: Order, end: str
):
    """A11."""
    Order.objects.filter(pk=order.pk).update(status=end)
    answer = press_pay(shopper, order)
    assert answer.status_code == 409
    assert "/membership/temporary/?plan=temporary-7" in answer.content.decode()
    assert not Attempt.objects.exists()


def test_cancelling_a_paid_order_names_what_can_be_done(
    shopper: Shopper, till: Till, order: Order, attempt: Attempt
):
    """A13: nothing changes; the answer leads to the refund."""
    till.hear(attempt)
    before = fingerprint()
    answer = shopper.post(f"/orders/{order.no}/cancel/")
    assert answer.status_code == 409
    assert changed(before) == []
    assert fresh(order).status == "paid"
    page = answer.content.decode()
    assert "这单已经付款，没有取消。" in page
    assert f'<a href="/orders/{order.no}/">要退款，在订单里看能退多少</a>' in page
    assert f"/orders/{order.no}/return/" in shopper.get(f"/orders/{order.no}/").text
    assert "没有取消" not in shopper.get(pay_page(order)).text


def test_she_cancels_with_one_click(shopper: Shopper, order: Order):
    """A12."""
    answer = shopper.post(f"/orders/{order.no}/cancel/")
    assert (answer.status_code, fresh(order).status) == (303, "cancelled")
    assert state_of(shopper.get(pay_page(order))) == "cancelled"


@pytest.mark.parametrize("channel", ["", "manual", "bitcoin", "x" * 99])
def test_a_channel_that_does_not_serve_is_refused(
    shopper: Shopper, order: Order, channel: str
):
    assert press_pay(shopper, order, channel).status_code == 409
    assert not Attempt.objects.exists()


PAGES: list[Callable[[Shopper, Order], Any]] = [
    lambda shopper, order: shopper.get(pay_page(order)),
    lambda shopper, order: shopper.get(f"/orders/{order.no}/status/"),
    lambda shopper, order: shopper.get(f"/orders/{order.no}/"),
    press_pay,
    lambda shopper, order: shopper.post(f"/orders/{order.no}/cancel/"),
]


@pytest.mark.parametrize("visit", PAGES)
@pytest.mark.parametrize("who", ["a guest", "another member"])
def test_an_order_is_404_for_everybody_else(
    till: Till, order: Order, who: str, visit: Callable[[Shopper, Order], Any]
):
    """Security 48 and 52: as for a number that does not exist."""
    stranger = Shopper(till, None if who == "a guest" else new_member())
    assert visit(stranger, order).status_code == 404
    assert fresh(order).status == "pending"
    assert not Attempt.objects.exists()


# --- Coming back -------------------------------------------------------------------


def back(order: Order, gateway: str, **extra: str) -> str:
    token = links.token(links.ORDER, order.pk)
    query = "&".join(f"{name}={value}" for name, value in extra.items())
    return f"/payments/{gateway}/return/?token={token}&{query}"


def test_a_forged_return_settles_nothing(
    shopper: Shopper, till: Till, order: Order, attempt: Attempt
):
    """B17: the gateway is asked; without its word nothing changes."""
    lie = {"status": "success", "trade_status": "TRADE_SUCCESS"}
    till.wait(seconds=10)
    answer = shopper.get(back(order, "wechat", **lie, total_amount="15.00"))
    assert answer.status_code == 303
    assert (fresh(attempt).state, fresh(order).status) == ("open", "pending")
    assert len(till.wallet.calls(method="query", number=attempt.out_trade_no)) == 1


def test_a_true_return_settles_by_asking(
    shopper: Shopper, till: Till, order: Order, attempt: Attempt
):
    """B18: the notice was lost; the page shows paid."""
    till.wallet.pay("wechat", attempt.out_trade_no, notify="lose")
    till.wait(seconds=10)
    answer = shopper.get(back(order, "wechat"))
    assert fresh(order).status == "paid"
    assert answer["Location"] == f"{pay_page(order)}?returned=1"
    assert state_of(shopper.get(answer["Location"])) == "paid"


def test_a_return_for_an_attempt_that_was_closed_here_asks_as_well(
    shopper: Shopper, till: Till, order: Order
):
    """She paid on the page that she had left for the QR code."""
    page = till.pay(order, ALIPAY_PAGE)
    till.pay(order, ALIPAY)
    assert fresh(page).state == "closed"
    till.wait(seconds=10)
    shopper.get(back(order, "alipay"))
    asked = till.wallet.calls(method="query", number=page.out_trade_no)
    assert len(asked) == 1


def test_the_other_browser_that_the_wallet_opens_sees_the_state_alone(
    till: Till, order: Order, attempt: Attempt
):
    """A signed token opens a redacted page; it signs nobody in."""
    wallet = Shopper(till)
    answer = wallet.get(back(order, "wechat"))
    assert answer.status_code == 303
    page = wallet.get(answer["Location"])
    assert page.status_code == 200
    assert not wallet.is_signed_in
    assert f"/orders/{order.no}/payments/" not in page.content.decode()


@pytest.mark.parametrize("token", ["", "o1-0000000000000000", "x", "o1"])
def test_a_return_without_our_token_leads_nowhere(till: Till, token: str):
    answer = Shopper(till).get(f"/payments/alipay/return/?token={token}")
    assert answer.status_code == 404


def test_a_posted_return_becomes_a_get(shopper: Shopper, order: Order):
    answer = shopper.post(back(order, "alipay"), trade_status="TRADE_SUCCESS")
    assert (answer.status_code, answer["Location"]) == (303, back(order, "alipay"))


# --- Waiting -----------------------------------------------------------------------


def test_twenty_refreshes_ask_the_gateway_once_in_three_seconds(
    shopper: Shopper, till: Till, order: Order, attempt: Attempt
):
    """B22 through the page."""
    till.wait(seconds=4)
    for _ in range(20):
        assert state_of(shopper.get(pay_page(order))) == "ready"
    assert len(till.wallet.calls(method="query", number=attempt.out_trade_no)) == 1


def test_the_status_tells_programs_where_the_order_stands(
    shopper: Shopper, till: Till, order: Order, attempt: Attempt
):
    def status() -> Any:
        path = f"/orders/{order.no}/status/"
        return shopper.get(path, HTTP_ACCEPT="application/json").json()

    assert status() == {
        "status": "pending",
        "fulfil": "none",
        "expires_at": "2026-11-22T02:30:00Z",
        "ends_at": None,
    }
    till.hear(attempt)
    assert status() == {
        "status": "paid",
        "fulfil": "done",
        "expires_at": "2026-11-22T02:30:00Z",
        "ends_at": "2026-11-29T02:00:00Z",
    }


def test_the_waiting_page_is_told_only_what_is_new(
    shopper: Shopper, till: Till, order: Order, attempt: Attempt
):
    path = f"/orders/{order.no}/status/?seen=ready"
    htmx = {"HTTP_HX_REQUEST": "true"}
    assert shopper.get(path, **htmx).status_code == 204
    till.hear(attempt)
    answer = shopper.get(path, **htmx)
    assert answer.status_code == 200
    assert answer["HX-Retarget"] == "#main"
    assert 'data-state="paid"' in answer.content.decode()


@pytest.mark.django_db(transaction=True)
def test_a_notice_and_the_return_page_at_the_same_moment_activate_once(
    till: Till, member: Member
):
    """B16: both succeed, the page shows paid."""
    order = till.place(member)
    attempt = till.pay(order, WECHAT)
    till.wallet.pay("wechat", attempt.out_trade_no)
    notice = till.caught()[0]
    shopper = Shopper(till, member)
    till.wait(seconds=10)
    with till.stopped_clock():
        ends = at_once(
            lambda: till.post_notice(notice, gateway="wechat").status_code,
            lambda: shopper.client.get(back(order, "wechat")).status_code,
        )
    assert ends == [204, 303]
    assert counts(member)["entitlements"] == 1
    assert state_of(shopper.get(pay_page(order))) == "paid"


@pytest.mark.django_db(transaction=True)
def test_a_database_that_is_away_answers_503_and_the_retry_settles(
    till: Till, member: Member, monkeypatch: pytest.MonkeyPatch
):
    """H1: nothing half-done."""
    attempt = till.pay(till.place(member), ALIPAY)
    till.wallet.pay("alipay", attempt.out_trade_no)
    notice = till.caught()[0]

    def away(*args: object) -> None:
        raise OperationalError("the database is starting up")

    with monkeypatch.context() as patch:
        patch.setattr(settle, "lock_order_of", away)
        answer = till.deliver(notice, gateway="alipay")
    assert answer.status_code == 503
    assert answer["Retry-After"]
    assert fresh(attempt).state == "open"
    assert till.deliver(notice, gateway="alipay").content == b"success"
    assert counts(member)["entitlements"] == 1
