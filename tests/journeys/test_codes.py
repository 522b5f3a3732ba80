"""Coupons and gift codes in a real browser: on a phone, with script and without."""

from __future__ import annotations

import re

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from members.models import Member
from orders.models import Order
from tests.journeys.buying import (
    Shopping,
    Shots,
    fill_in_phone,
    pay_in_the_wallet,
)
from tests.journeys.conftest import GUEST
from tests.members.gifts import make
from tests.orders.codes import make_coupon, used
from tests.sandbox_process import Sandbox
from tests.shopping import Till

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_a_guest_buys_a_week_with_a_coupon(
    shopper: Shopping, sandbox: Sandbox, shots: Shots, script: bool
) -> None:
    """security 45, A3: three taps more; nothing typed is lost, the button says ¥10."""
    coupon = make_coupon(Till(timezone.now()), "SAVE2026", max_uses=5)
    buyer = shopper(script=script)
    page = buyer.page
    buyer.visit("/membership/temporary/")
    page.get_by_role("radio", name=re.compile("支付宝")).check()
    fill_in_phone(buyer, sandbox)
    code = page.get_by_label("短信验证码").input_value()
    before = buyer.taps
    if not page.get_by_label("优惠码").is_visible():
        buyer.tap(page.get_by_text("有优惠码？"))
    buyer.type("优惠码", "save-2026")
    buyer.tap(page.get_by_role("button", name="用这个码"))
    assert buyer.taps - before <= 3
    expect(page.get_by_text("优惠码用上了，新价格在付款按钮上。")).to_be_visible()
    expect(page.get_by_text("优惠码减 ¥5.00")).to_be_visible()
    assert page.get_by_label("短信验证码").input_value() == code
    assert page.get_by_role("radio", name=re.compile("支付宝")).is_checked()
    shots(page, f"coupon-{script}")
    if script:  # another plan and back: the coupon stays on the price
        page.get_by_role("radio", name=re.compile("30")).check(force=True)
        expect(
            page.get_by_role("button", name="同意并支付 ¥45.00").last
        ).to_be_visible()
        page.locator('input[name="plan"][value="temporary-7"]').check(force=True)
    buyer.tap(page.get_by_role("button", name="同意并支付 ¥10.00").last)
    pay_in_the_wallet(buyer, phone=True, script=script)
    expect(page.get_by_role("heading", name="会员已开通")).to_be_visible()
    order = Order.objects.get()
    assert (order.amount_fen, order.coupon_off_fen) == (1_000, 500)
    assert used(coupon) == 1


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_a_guest_redeems_a_gift_code(
    shopper: Shopping, sandbox: Sandbox, shots: Shots, script: bool
) -> None:
    """From a letter to a membership: a code, a phone, a message, one button."""
    giver = Member.objects.create(username="giver", is_staff=True)
    (gift,) = make(giver, timezone.now()).codes
    buyer = shopper(script=script)
    page = buyer.page
    buyer.visit("/membership/")
    buyer.tap(page.get_by_role("link", name="有兑换码？在这里兑换"))
    buyer.type("兑换码", gift.lower())
    fill_in_phone(buyer, sandbox)
    assert page.get_by_label("兑换码").input_value() == gift.lower()
    shots(page, f"redeem-{script}")
    buyer.tap(page.get_by_role("button", name="兑换", exact=True).last)
    expect(page.get_by_text("恭喜您成为临时会员，专属折扣已开启")).to_be_visible()
    shots(page, f"redeemed-{script}")
    if script:
        page.get_by_role("button", name="知道了").click()
    expect(page.get_by_role("heading", name="会员已开通")).to_be_visible()
    member = Member.objects.get(phone=f"+86{GUEST}")
    assert member.entitlements.get().source == "gift"
