"""Steps that several journeys take."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from orders.models import Order, Status
from payments.models import Attempt
from tests.journeys.conftest import GUEST, Shopper
from tests.sandbox_process import Sandbox, wait_for

Shopping = Callable[..., Shopper]
Shots = Callable[[Page, str], None]


def code_from(sandbox: Sandbox, phone: str = GUEST) -> str:
    """What the SMS inbox of this phone shows."""
    message = wait_for(lambda: sandbox.sms(to=f"+86{phone}"))[-1]
    found = re.search(r"\b(\d{6})\b", message["text"])
    assert found is not None
    return found[1]


def fill_in_phone(buyer: Shopper, sandbox: Sandbox, phone: str = GUEST) -> None:
    """Phone field, 获取验证码, the code that the telephone suggests."""
    field = buyer.page.get_by_label("中国大陆手机号")
    buyer.tap(field)
    buyer.type("中国大陆手机号", phone)
    buyer.tap("获取验证码")
    code = buyer.page.get_by_label("短信验证码")
    expect(code).to_be_visible()
    # Autofill: one tap on the suggestion above the keyboard, nothing typed.
    buyer.taps += 1
    code.fill(code_from(sandbox, phone))


def pay_in_the_wallet(buyer: Shopper, *, phone: bool, script: bool) -> None:
    """On a phone the browser goes to the wallet; on a desktop another phone scans."""
    attempt = wait_for(lambda: Attempt.objects.order_by("id").last())
    if phone:
        if not script:
            buyer.tap(buyer.page.get_by_role("link", name=re.compile("打开.+付款")))
        wallet = buyer.page
        wallet.get_by_role("button", name=re.compile("确认付款")).click()
        wallet.get_by_role("link", name=re.compile("返回商家")).click()
        return
    expect(buyer.page.locator(".qr img").first).to_be_visible()
    attempt.refresh_from_db()
    wallet = buyer.page.context.browser.new_page()
    wallet.goto(attempt.handover["url"])
    wallet.get_by_role("button", name=re.compile("确认付款")).click()
    expect(wallet.get_by_text("付款成功")).to_be_visible()
    wallet.close()
    if not script:
        wait_for(lambda: Order.objects.filter(status=Status.PAID).exists())
        buyer.tap(buyer.page.get_by_role("link", name="我已付款，查结果"))


def order_a_week(
    buyer: Shopper, sandbox: Sandbox, channel: str = "支付宝", phone: str = GUEST
) -> Order:
    """From the choice page to a placed order."""
    buyer.visit("/membership/temporary/")
    choose = buyer.page.get_by_role("radio", name=re.compile(channel))
    if not choose.is_checked():
        choose.check()
    fill_in_phone(buyer, sandbox, phone)
    buyer.tap(buyer.page.get_by_role("button", name="同意并支付 ¥15.00").last)
    return wait_for(lambda: Order.objects.order_by("id").last())
