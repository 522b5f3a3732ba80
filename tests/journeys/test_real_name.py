"""A larger order in a real browser: led to the name, verified, back to the choice (S22)."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from members.models import RealName
from orders.models import Order
from tests.goods.shelves import make_goods
from tests.journeys.buying import (
    Shopping,
    Shots,
    fill_in_phone,
    pay_in_the_wallet,
)
from tests.members.real_name.people import ADULT, NAME
from tests.sandbox_process import Sandbox, wait_for

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
def test_a_guest_is_led_to_the_name_and_back_to_what_she_chose(
    shopper: Shopping, sandbox: Sandbox, shots: Shots, script: bool
) -> None:
    """A mistake first, an outage next; the choice survives both and is paid for."""
    make_goods("card", keys=3, real_name_from_fen=20_000)
    buyer = shopper(script=script)
    page = buyer.page
    buyer.visit("/zone/card/?quantity=2&channel=alipay")
    expect(page.get_by_text("这一单要先实名认证")).to_be_visible()
    shots(page, f"goods-real-name-{script}")
    fill_in_phone(buyer, sandbox)
    buyer.tap(page.get_by_role("button", name="验证手机号，去实名认证").last)
    expect(page.get_by_role("heading", name="实名认证")).to_be_visible()
    shots(page, f"real-name-{script}")

    def submit(number: str) -> None:
        page.get_by_role("textbox", name="姓名").fill(NAME)
        page.get_by_role("textbox", name="身份证号").fill(number)
        page.get_by_label(re.compile("我单独同意")).check()
        buyer.tap("同意并认证")

    submit(f"{ADULT[:17]}1")
    expect(page.get_by_role("alert").get_by_text("身份证号有一位不对")).to_be_visible()
    expect(page.get_by_role("textbox", name="身份证号")).to_have_value("")
    sandbox.fault("real-name", "real-name", "500", count=1)
    submit(ADULT)
    expect(page.get_by_text("核验的服务现在没有答复")).to_be_visible()
    shots(page, f"real-name-outage-{script}")
    submit(ADULT)
    expect(page).to_have_url(f"{buyer.shop}/zone/card/?quantity=2&channel=alipay")
    expect(page.get_by_text("实名认证通过了")).to_be_visible()
    expect(page.get_by_role("radio", name=re.compile("支付宝"))).to_be_checked()
    assert RealName.objects.count() == 1
    assert not Order.objects.exists()
    buyer.tap(page.get_by_role("button", name="同意并支付 ¥200.00").last)
    wait_for(Order.objects.exists)
    pay_in_the_wallet(buyer, phone=True, script=script)
    expect(page.get_by_role("heading", name="卡密到了")).to_be_visible()
    assert Order.objects.get().quantity == 2
