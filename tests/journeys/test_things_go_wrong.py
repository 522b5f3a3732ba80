"""Refused, lost, late, returning: the same order, the same price, never twice."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone
from playwright.sync_api import expect

from members.models import Entitlement, Member
from orders.models import Order, Status
from payments.models import Attempt
from tests.journeys.buying import (
    Shopping,
    Shots,
    fill_in_phone,
    order_a_week,
    pay_in_the_wallet,
)
from tests.journeys.conftest import GUEST
from tests.sandbox_process import Sandbox, wait_for

pytestmark = pytest.mark.browser

both = pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])


def paid(order: Order) -> bool:
    return Order.objects.filter(pk=order.pk, status=Status.PAID).exists()


@both
def test_a_refused_payment_is_paid_again_with_one_tap(
    shopper: Shopping, sandbox: Sandbox, shots: Shots, script: bool
) -> None:
    """S13, A8, B4: the order stays, the same channel again, one tap on our page."""
    buyer = shopper(phone=False, script=script)
    sandbox.fault("wechat", "start", "refuse", count=1, code="NO_AUTH")
    order = order_a_week(buyer, sandbox, "微信支付")
    expect(buyer.page.get_by_role("heading", name="没付成功，钱没有扣")).to_be_visible()
    expect(buyer.page.get_by_text(re.compile("订单保留到"))).to_be_visible()
    shots(buyer.page, f"refused-{script}")
    before = buyer.taps
    buyer.tap("用微信支付再付一次")
    assert buyer.taps - before == 1
    pay_in_the_wallet(buyer, phone=False, script=script)
    wait_for(lambda: paid(order))
    assert list(order.attempts.values_list("state", flat=True)) == ["failed", "paid"]
    assert Entitlement.objects.count() == 1


@both
def test_a_wallet_that_says_no_is_opened_again_with_one_tap(
    shopper: Shopping, sandbox: Sandbox, shots: Shots, script: bool
) -> None:
    """S13: back from the wallet without paying; nothing is claimed, one tap goes on."""
    buyer = shopper(script=script)
    order = order_a_week(buyer, sandbox)
    if not script:
        buyer.tap(buyer.page.get_by_role("link", name=re.compile("打开.+付款")))
    buyer.page.get_by_role("button", name=re.compile("余额不足")).click()
    buyer.page.get_by_role("link", name=re.compile("返回商家")).click()
    expect(buyer.page.get_by_role("heading", name="付完了吗？")).to_be_visible()
    shots(buyer.page, f"returned-{script}")
    before = buyer.taps
    buyer.tap("没付成，再付一次")
    if not script:
        buyer.page.get_by_role("link", name=re.compile("打开.+付款")).click()
    assert buyer.taps - before == 1
    buyer.page.get_by_role("button", name=re.compile("确认付款")).click()
    wait_for(lambda: paid(order))
    assert order.attempts.count() == 1


@both
def test_another_channel_pays_the_same_order(
    shopper: Shopping, sandbox: Sandbox, script: bool
) -> None:
    """B3: the second attempt opens at once at the same price."""
    buyer = shopper(phone=False, script=script)
    order = order_a_week(buyer, sandbox, "微信支付")
    expect(buyer.page.locator(".qr img").first).to_be_visible()
    buyer.tap("换支付宝付 ¥15.00")
    pay_in_the_wallet(buyer, phone=False, script=script)
    wait_for(lambda: paid(order))
    order.refresh_from_db()
    assert order.settled_by is not None
    assert order.settled_by.gateway == "alipay"


def test_paid_while_the_browser_is_closed(shopper: Shopping, sandbox: Sandbox) -> None:
    """B18: the notice alone activates; she finds her membership when she returns."""
    buyer = shopper()
    order = order_a_week(buyer, sandbox)
    attempt = wait_for(lambda: order.attempts.filter(state="open").first())
    buyer.page.wait_for_url(re.compile(re.escape(sandbox.url)))
    buyer.page.goto("about:blank")
    sandbox.pay("alipay", attempt.out_trade_no)
    wait_for(lambda: paid(order))
    buyer.visit("/")
    badge = buyer.page.get_by_role("banner").get_by_text(re.compile("剩 6 天"))
    expect(badge).to_be_visible()


def test_a_lost_notice_is_found_by_the_sweep(
    shopper: Shopping, sandbox: Sandbox
) -> None:
    """B19, H5: no notice, no browser, no worker: `manage.py sweep` settles."""
    buyer = shopper(phone=False)
    order = order_a_week(buyer, sandbox, "微信支付")
    attempt = wait_for(lambda: order.attempts.filter(state="open").first())
    buyer.page.close()
    sandbox.pay("wechat", attempt.out_trade_no, notify="lose")
    assert not paid(order)
    Attempt.objects.update(next_query_at=timezone.now())
    call_command("sweep")
    assert paid(order)
    assert Entitlement.objects.count() == 1


def test_a_returning_member_needs_one_tap_and_types_nothing(
    shopper: Shopping, sandbox: Sandbox
) -> None:
    """Returning, same device: plan and channel from the last order (ux-brief part 2)."""
    buyer = shopper()
    first = order_a_week(buyer, sandbox)
    pay_in_the_wallet(buyer, phone=True, script=True)
    wait_for(lambda: paid(first))
    buyer.taps = buyer.typed = 0
    buyer.visit("/membership/temporary/")
    expect(buyer.page.get_by_text("138••••8000")).to_be_visible()
    expect(
        buyer.page.get_by_text(re.compile("剩余 [67] 天.*并入，新到期"))
    ).to_be_visible()  # all seven in the very second of the payment
    buyer.tap(buyer.page.get_by_role("button", name="同意并支付 ¥15.00").last)
    pay_in_the_wallet(buyer, phone=True, script=True)
    wait_for(lambda: Order.objects.filter(status=Status.PAID).count() == 2)
    assert (buyer.taps, buyer.typed) == (1, 0)
    member = Member.objects.get(phone=f"+86{GUEST}")
    total = member.paid_until - Entitlement.objects.earliest("id").created_at
    assert timedelta(days=14) - timedelta(seconds=1) <= total <= timedelta(days=14)


def test_an_order_after_its_time_offers_the_same_choice_again(
    shopper: Shopping, sandbox: Sandbox, shots: Shots
) -> None:
    """A9, A10, A11: closed after thirty minutes, without losing the choice."""
    buyer = shopper()
    order = order_a_week(buyer, sandbox)
    buyer.page.wait_for_url(re.compile(re.escape(sandbox.url)))
    past = timezone.now() - timedelta(seconds=1)
    Order.objects.filter(pk=order.pk).update(expires_at=past)
    buyer.visit(f"/orders/{order.no}/pay/")
    expect(buyer.page.get_by_role("heading", name=re.compile("已关闭"))).to_be_visible()
    shots(buyer.page, "expired")
    buyer.tap(buyer.page.get_by_role("link", name="按原来的选择重新下单"))
    expect(buyer.page.get_by_role("radio", name=re.compile("7 天"))).to_be_checked()


@both
def test_a_wrong_code_keeps_what_was_typed(
    shopper: Shopping, sandbox: Sandbox, shots: Shots, script: bool
) -> None:
    """Errors stand beside the field and nothing typed is lost (ux-brief rule 5)."""
    buyer = shopper(script=script)
    buyer.visit("/membership/temporary/")
    fill_in_phone(buyer, sandbox)
    right = buyer.page.get_by_label("短信验证码").input_value()
    wrong = "000000" if right != "000000" else "111111"
    buyer.page.get_by_label("短信验证码").fill(wrong)
    buyer.tap(buyer.page.get_by_role("button", name="同意并支付 ¥15.00").last)
    expect(buyer.page.get_by_text("验证码不对，还能试 4 次").first).to_be_visible()
    expect(buyer.page.get_by_label("中国大陆手机号")).to_have_value("138 0013 8000")
    shots(buyer.page, f"wrong-code-{script}")
    assert not Order.objects.exists()
    buyer.page.get_by_label("短信验证码").fill(right)
    buyer.tap(buyer.page.get_by_role("button", name="同意并支付 ¥15.00").last)
    assert wait_for(lambda: Order.objects.first()).amount_fen == 1_500
