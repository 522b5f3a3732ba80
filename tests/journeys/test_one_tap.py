"""Inside WeChat: two screens, two taps, nothing typed (ux-brief part 2)."""

from __future__ import annotations

import re

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from members.models import Entitlement, Identity, Member
from notifications import outbox
from notifications.models import Notification
from orders.models import Order, Status
from tests.goods.shelves import make_goods, restock
from tests.journeys.buying import Shopping, Shots
from tests.journeys.conftest import PHONE_UA, WECHAT_UA, Shopper
from tests.sandbox_process import Sandbox, wait_for

pytestmark = pytest.mark.browser

QQ_UA = PHONE_UA + " V1_AND_SQ_9.1.0 QQ/9.1.0.21360 MQQBrowser/6.2 NetType/WIFI"


def bridge_of(sandbox: Sandbox) -> str:
    """Stands for WeChat's own script: the wallet opens as a page and comes back."""
    return f"""
    window.WeixinJSBridge = {{
      invoke(name, params, answered) {{
        if (name !== "getBrandWCPayRequest") throw new Error(name);
        const query = new URLSearchParams(params);
        window.open("{sandbox.url}/wechat/jsapi/?" + query, "wallet");
        window.answered = answered;
      }},
    }};
    """


def agree(buyer: Shopper, person: str = "小明") -> None:
    """On the provider's own page: not one of our taps."""
    page = buyer.page
    page.get_by_role("radio", name=re.compile(person)).check()
    page.get_by_role("button", name=re.compile("同意")).click()


def one_tap(buyer: Shopper) -> None:
    buyer.tap("微信一键登录")
    agree(buyer)


def paid() -> Order | None:
    return Order.objects.filter(status=Status.PAID).first()


def test_a_guest_inside_wechat_buys_with_two_taps(
    shopper: Shopping, sandbox: Sandbox, shots: Shots
) -> None:
    """S2, S10, S12: one tap signs in, one pays; a member without a phone."""
    buyer = shopper(user_agent=WECHAT_UA)
    buyer.page.add_init_script(bridge_of(sandbox))
    buyer.visit("/membership/temporary/")
    shots(buyer.page, "wechat-guest")
    one_tap(buyer)
    expect(buyer.page.get_by_text("微信 小明🎫")).to_be_visible()
    shots(buyer.page, "wechat-signed-in")
    with buyer.page.expect_popup() as popup:
        buyer.tap(buyer.page.get_by_role("button", name="同意并支付 ¥15.00").last)
    wallet = popup.value
    wallet.get_by_role("button", name=re.compile("确认付款")).click()
    order = wait_for(paid)
    welcome = buyer.page.get_by_text("恭喜您成为临时会员，专属折扣已开启")
    expect(welcome).to_be_visible()
    assert (buyer.taps, buyer.typed) == (2, 0)
    assert list(dict.fromkeys(buyer.screens)) == [
        "/membership/temporary/",
        f"/orders/{order.no}/pay/",
    ]
    assert order.attempts.get().product == "jsapi"
    member = Member.objects.get()
    assert member.phone is None
    assert Entitlement.objects.get().member == member
    outbox.run_due(now=timezone.now())
    assert sandbox.sms() == []
    told = Notification.objects.filter(member=member).values_list("channel", "state")
    assert dict(told) == {"site": "sent", "sms": "skipped"}
    buyer.visit("/account/")
    expect(buyer.page.get_by_text("恭喜您成为临时会员").first).to_be_visible()


def test_a_guest_inside_wechat_buys_goods_with_two_taps(
    shopper: Shopping, sandbox: Sandbox, shots: Shots
) -> None:
    """S2, S10, S19: the same on the page of one thing; how many she wants comes along."""
    goods = make_goods("card")
    restock(goods, 3)
    buyer = shopper(user_agent=WECHAT_UA)
    page = buyer.page
    page.add_init_script(bridge_of(sandbox))
    buyer.visit("/zone/card/?quantity=2")
    one_tap(buyer)
    expect(page.get_by_text("微信 小明🎫")).to_be_visible()
    expect(page.get_by_label("买几件")).to_have_value("2")
    shots(page, "wechat-goods")
    with page.expect_popup() as popup:
        buyer.tap(page.get_by_role("button", name="同意并支付 ¥200.00").last)
    popup.value.get_by_role("button", name=re.compile("确认付款")).click()
    order = wait_for(paid)
    assert (buyer.taps, buyer.typed) == (2, 0)
    assert order.attempts.get().product == "jsapi"
    assert (order.goods, order.quantity) == (goods, 2)
    assert order.member.phone is None


def test_she_comes_back_to_the_same_membership(
    shopper: Shopping, sandbox: Sandbox
) -> None:
    """Another browser, the same WeChat: one tap, nothing typed."""
    for _ in range(2):
        buyer = shopper(user_agent=WECHAT_UA)
        buyer.visit("/login/")
        one_tap(buyer)
        expect(buyer.page.get_by_text("微信 小明🎫")).to_be_visible()
        assert (buyer.taps, buyer.typed) == (1, 0)
    assert Member.objects.count() == Identity.objects.count() == 1


def test_without_script_the_code_to_scan_is_offered(
    shopper: Shopping, sandbox: Sandbox, shots: Shots
) -> None:
    """The wallet inside WeChat only exists in script; the order is payable without."""
    buyer = shopper(user_agent=WECHAT_UA, script=False)
    buyer.visit("/membership/temporary/")
    one_tap(buyer)
    buyer.tap(buyer.page.get_by_role("button", name="同意并支付 ¥15.00").last)
    buyer.tap(buyer.page.get_by_role("link", name="打开微信付款"))
    expect(buyer.page.get_by_text(re.compile("在微信里付款要用脚本"))).to_be_visible()
    shots(buyer.page, "wechat-no-script")
    buyer.tap("用另一台手机扫码")
    expect(buyer.page.locator(".qr img").first).to_be_visible()
    assert buyer.typed == 0


def test_a_desktop_signs_in_by_both_and_says_no(
    shopper: Shopping, sandbox: Sandbox, shots: Shots
) -> None:
    """S2, S3: refusing leaves her a guest who may go on by phone."""
    buyer = shopper(phone=False)
    buyer.visit("/login/?next=/membership/temporary/")
    buyer.tap("QQ 登录")
    shots(buyer.page, "consent-qq")
    buyer.page.get_by_role("button", name=re.compile("拒绝")).click()
    expect(buyer.page.get_by_text(re.compile("你没有同意用QQ登录"))).to_be_visible()
    buyer.tap(buyer.page.get_by_role("link", name="用手机号登录"))
    buyer.tap("微信扫码登录")
    agree(buyer, "美丽")
    expect(buyer.page).to_have_url(re.compile("/membership/temporary/$"))
    expect(buyer.page.get_by_text("微信 美丽的 QQ 昵称")).to_be_visible()
    buyer.visit("/account/identities/")
    expect(buyer.page.get_by_text("唯一的登录方式，不能解绑")).to_be_visible()


def test_qq_is_bound_and_signs_in(
    shopper: Shopping, sandbox: Sandbox, shots: Shots
) -> None:
    """S3: after confirming who she is, an explicit yes; then either opens the account."""
    buyer = shopper(phone=False)
    buyer.visit("/login/")
    buyer.tap("微信扫码登录")
    agree(buyer)
    buyer.visit("/account/identities/")
    buyer.tap("绑定 QQ")
    buyer.tap("用微信确认")
    agree(buyer)
    buyer.tap("绑定 QQ")
    agree(buyer)
    shots(buyer.page, "bind")
    buyer.tap("确认绑定")
    expect(buyer.page.get_by_text("绑定好了，下次可以用它登录")).to_be_visible()
    shots(buyer.page, "identities")
    other = shopper(user_agent=QQ_UA)
    other.visit("/login/")
    other.tap("QQ 一键登录")
    agree(other)
    expect(other.page.get_by_role("heading", name="我的")).to_be_visible()
    assert (other.taps, other.typed) == (1, 0)
    assert Member.objects.count() == 1
    assert Identity.objects.count() == 2
