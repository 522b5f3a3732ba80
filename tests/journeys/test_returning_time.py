"""A member returns a week herself: the sum before she confirms, the state afterwards."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from members.models import Member
from orders.models import Order, Status
from payments.models import Refund
from tests.journeys.buying import Shopping, Shots, order_a_week, pay_in_the_wallet
from tests.sandbox_process import Sandbox, wait_for

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_a_week_is_returned_in_three_taps(
    shopper: Shopping, sandbox: Sandbox, shots: Shots, script: bool
) -> None:
    """灵活退订, on a phone, with and without JavaScript: nothing typed, nothing asked."""
    buyer = shopper(script=script)
    order = order_a_week(buyer, sandbox)
    pay_in_the_wallet(buyer, phone=True, script=script)
    wait_for(lambda: Order.objects.filter(pk=order.pk, status=Status.PAID).exists())
    page = buyer.page
    buyer.visit("/account/")
    buyer.taps = buyer.typed = 0
    buyer.tap(page.get_by_role("link", name="退订没用完的时间"))
    offered = page.get_by_role("link", name=re.compile(r"退订，现在能退 ¥1[45]\.\d\d"))
    shots(page, f"returns-{script}")
    buyer.tap(offered)
    expect(page.get_by_role("heading", name="退订没用完的时间")).to_be_visible()
    expect(page.get_by_text("支付宝")).to_be_visible()
    button = page.get_by_role("button", name=re.compile("确认退订，退 ¥"))
    sum_ = re.search(r"¥(\d+\.\d\d)", button.inner_text())
    assert sum_ is not None
    shots(page, f"return-{script}")
    buyer.tap(button)
    page.wait_for_url(re.compile(f"/orders/{order.no}/$"))
    states = re.compile("^(退款中|已退款|已退一部分)$")  # the wallet may be quick
    expect(page.locator(".chip").get_by_text(states).first).to_be_visible()
    assert (buyer.taps, buyer.typed) == (3, 0)
    refund = Refund.objects.get()
    assert f"{refund.amount_fen / 100:.2f}" == sum_[1]
    assert Member.objects.get(pk=order.member_id).paid_until is None
    wait_for(lambda: Refund.objects.filter(state="success").exists())
    page.reload()
    expect(page.get_by_text(f"已退款 +¥{sum_[1]}")).to_be_visible()
    shots(page, f"returned-{script}")
