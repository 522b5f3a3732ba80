"""Automatic renewal as she meets it: ticked at checkout, signed, stopped from the SMS."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.utils import timezone
from playwright.sync_api import expect

from members.models import Member
from notifications import outbox
from orders.models import Order, Status
from payments.models import AutoRenew, Consent
from payments.renewing import renewal
from tests.journeys.buying import Shopping, Shots, fill_in_phone, pay_in_the_wallet
from tests.journeys.conftest import GUEST, Shopper
from tests.sandbox_process import Sandbox, wait_for

pytestmark = pytest.mark.browser

BOX = "到期自动续费 ¥15/7 天，随时可关"


def buy_with_the_box(buyer: Shopper, sandbox: Sandbox, *, script: bool) -> Order:
    """Alipay, the box ticked by her own hand, paid in the wallet."""
    page = buyer.page
    buyer.visit("/membership/temporary/")
    box = page.get_by_role("checkbox", name=BOX)
    expect(box).to_be_hidden()  # WeChat is chosen, and could not keep its word
    page.get_by_role("radio", name=re.compile("支付宝")).check()
    expect(box).not_to_be_checked()
    buyer.tap(box)
    fill_in_phone(buyer, sandbox)
    expect(box).to_be_checked()
    buyer.tap(page.get_by_role("button", name="同意并支付 ¥15.00").last)
    pay_in_the_wallet(buyer, phone=True, script=script)
    return wait_for(lambda: Order.objects.filter(status=Status.PAID).first())


def put_the_welcome_away(buyer: Shopper) -> None:
    """Whenever it stands above the page: it comes once, on this look or on one before."""
    known = buyer.page.get_by_role("button", name="知道了")
    buyer.page.add_locator_handler(known, lambda: known.click())


def sign(buyer: Shopper) -> None:
    """From the page after the payment to Alipay's and back."""
    page = buyer.page
    buyer.tap("去签约")
    expect(page.get_by_text("现在不会扣款")).to_be_visible()
    buyer.tap(page.get_by_role("link", name="打不开？在网页里签约"))
    page.get_by_role("button", name=re.compile("同意并签约")).click()
    page.get_by_role("link", name=re.compile("返回商家")).click()


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_ticked_paid_signed_and_on(
    shopper: Shopping, sandbox: Sandbox, shots: Shots, script: bool
) -> None:
    """E8, S29: the membership first; renewal is on once Alipay has her signature."""
    buyer = shopper(script=script)
    order = buy_with_the_box(buyer, sandbox, script=script)
    page = buyer.page
    buyer.visit(f"/orders/{order.no}/pay/")
    expect(page.get_by_text("会员已开通").first).to_be_visible()
    if script:
        put_the_welcome_away(buyer)
    shots(page, f"renewal-to-sign-{script}")
    assert not AutoRenew.objects.exists()
    sign(buyer)
    expect(page.get_by_role("heading", name="开着")).to_be_visible()
    expect(page.get_by_text("¥15.00").first).to_be_visible()
    shots(page, f"renewal-on-{script}")
    consent = Consent.objects.get(state="signed")
    assert (consent.order_id, consent.terms, consent.days) == (order.pk, "1.0", 7)
    buyer.taps = buyer.typed = 0
    buyer.visit("/account/")
    buyer.tap(page.get_by_role("link", name="查看或关闭"))
    buyer.tap("关闭自动续费")
    expect(page.get_by_text("你关了自动续费，不再扣款。")).to_be_visible()
    assert (buyer.taps, buyer.typed) == (2, 0)  # ux-brief part 2
    assert not AutoRenew.objects.get().enabled


def test_one_tap_from_the_sms_stops_it_without_signing_in(
    shopper: Shopping, sandbox: Sandbox, shots: Shots
) -> None:
    """E8, E10: another telephone, no session; looking stops nothing, the button does."""
    buyer = shopper()
    order = buy_with_the_box(buyer, sandbox, script=True)
    buyer.visit(f"/orders/{order.no}/pay/")
    put_the_welcome_away(buyer)
    sign(buyer)
    renewing = wait_for(lambda: AutoRenew.objects.filter(enabled=True).first())
    link = notice_of(renewing, sandbox)
    other = shopper()
    other.visit(link)
    expect(other.page.get_by_text("扣款金额")).to_be_visible()
    shots(other.page, "renewal-from-sms")
    renewing.refresh_from_db()
    assert renewing.enabled
    other.tap("关闭自动续费")
    expect(other.page.get_by_role("heading", name="已关闭自动续费")).to_be_visible()
    assert (other.taps, other.typed) == (1, 0)
    renewing.refresh_from_db()
    assert not renewing.enabled
    other.visit("/account/")
    expect(other.page).to_have_url(re.compile("/login/"))


def notice_of(renewing: AutoRenew, sandbox: Sandbox) -> str:
    """Five days before the charge, by day; the link of the SMS that then arrives."""
    end = Member.objects.get(pk=renewing.member_id).paid_until
    assert end is not None
    day = (end - timedelta(days=5)).date()
    at = datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=4)
    at = max(at, timezone.now())  # noon in Shanghai
    AutoRenew.objects.filter(pk=renewing.pk).update(due_at=at)
    with time_machine.travel(at, tick=False):
        renewal.run_due(now=at)
        outbox.run_due(now=at)
    texts = [each["text"] for each in sandbox.sms(to=f"+86{GUEST}")]
    [notice] = [each for each in texts if "将自动续费 ¥15" in each]
    return notice[notice.index("/s/") :]
