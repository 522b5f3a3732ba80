"""The member's side of automatic renewal, over HTTP: E8 to E15, K26, A2, A3.

Consent beside the pay button, signature on the wallet's page, what the account says,
one tap to stop. The time is Asia/Shanghai, as in ``test_renewals``.
"""

from __future__ import annotations

import html
import re
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.test import override_settings

from members import timeline
from members.models import Member, Plan
from orders.models import Order
from payments.models import Attempt, AutoRenew, Consent, Refund
from payments.renewing import mandates
from tests.goods.shelves import make_goods
from tests.payments.renewing import (
    HOUR,
    Renewals,
    beijing,
    bought,
    charges_of,
    renewals_of,
    told,
)
from tests.shopping import Shopper, Till, broken, checkout_form, fresh, new_member

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = "/account/renewal/"
CHOICE = "/membership/temporary/"
BALANCE = "ACQ.BUYER_BALANCE_NOT_ENOUGH"
BOX = re.compile(r'<input type="checkbox" name="renew"[^>]*>')


@pytest.fixture
def shop_of(till: Till) -> Renewals:
    return Renewals(till)


@pytest.fixture
def shopper(till: Till, member: Member) -> Shopper:
    return Shopper(till, member)


def text(answer: Any) -> str:
    return html.unescape(answer.content.decode())


def page(shopper: Shopper, path: str = PAGE) -> str:
    answer = shopper.get(path)
    assert answer.status_code == 200
    return text(answer)


def renewing_form(**change: Any) -> dict[str, Any]:
    ticked = {"channel": "alipay", "renew": "on", "renew_for": "temporary-7"}
    ticked["renew_fen"] = "1500"
    return checkout_form(**(ticked | change))


def place(shopper: Shopper, **change: Any) -> tuple[Order, Consent]:
    """She ticks the box and pays by Alipay; the money has not come yet."""
    answer = shopper.post("/checkout/", **renewing_form(**change))
    assert answer.status_code == 303, text(answer)
    order = Order.objects.latest("pk")
    return order, order.consents.get()


def paid(shop_of: Renewals, shopper: Shopper) -> tuple[Order, Consent]:
    order, consent = place(shopper)
    shop_of.till.hear(order.attempts.get())
    return order, consent


def link_to_sign(shopper: Shopper) -> str:
    found = re.search(r'href="(http[^"]+gateway\.do\?[^"]+)"', page(shopper))
    assert found is not None
    return found[1]


def look(url: str) -> str:
    with httpx.Client(trust_env=False) as browser:
        answer = browser.get(url, follow_redirects=True)
    assert answer.status_code == 200, answer.text
    return answer.text


# --- The box --------------------------------------------------------------------------


def test_the_box_is_there_unticked_and_says_what_it_costs(till: Till):
    """E8: price, period, when and how to stop; the terms one tap away."""
    shown = page(Shopper(till), CHOICE)
    [box] = BOX.findall(shown)
    assert "checked" not in box
    assert "到期自动续费 ¥15/7 天，随时可关" in shown
    assert "扣款前 5 天发短信提醒" in shown
    assert "到期前 24 小时扣款" in shown
    assert '"/legal/renewal/"' in shown
    assert shown.count(" data-renews") == 1  # Alipay's row and no other


@pytest.mark.parametrize(
    "path",
    [f"{CHOICE}?plan=temporary-1", "/membership/long-term/?plan=long-term-365"],
)
def test_what_cannot_renew_itself_has_no_box(till: Till, path: str):
    """E8: shorter than seven days, dearer than one charge may be."""
    assert BOX.findall(page(Shopper(till), path)) == []


def test_without_a_contract_there_is_no_box_and_no_page_to_begin(
    till: Till, shopper: Shopper, member: Member
):
    bought(till, member=member)
    with override_settings(ALIPAY_CYCLE_SCENE=""):
        assert BOX.findall(page(shopper, CHOICE)) == []
        assert 'name="renew"' not in page(shopper)
        assert "自动续费</h2>" not in page(shopper, "/account/")
        answer = shopper.post("/checkout/", **renewing_form())
        assert answer.status_code == 422
    assert not Consent.objects.exists()


def test_another_plan_brings_its_own_box_unticked(shopper: Shopper):
    """The fragment beside the summary: the one-day plan takes the box away."""
    week = text(shopper.get("/checkout/summary/?plan=temporary-30&channel=alipay"))
    assert "到期自动续费 ¥50/30 天" in week
    assert "checked" not in BOX.findall(week)[0]
    day = text(shopper.get("/checkout/summary/?plan=temporary-1&channel=alipay"))
    assert '<div class="renewal" id="renewal" data-hx-swap-oob="true"></div>' in day


def test_the_consent_is_written_with_the_order(shopper: Shopper, till: Till):
    """E8: version, time, price, period; no gateway has heard of it."""
    order, consent = place(shopper)
    assert (consent.terms, consent.agreed_at) == (mandates.TERMS, till.now)
    assert (consent.price_fen, consent.days, consent.gateway) == (1_500, 7, "alipay")
    assert (consent.member_id, consent.plan_id) == (order.member_id, order.plan_id)
    assert (consent.state, consent.first_on) == ("waiting", None)
    terms = (settings.BASE_DIR / "templates/legal/renewal.html").read_text()
    assert f"{{% block version %}}{consent.terms}{{% endblock version %}}" in terms


def test_two_weeks_at_once_are_renewed_by_one(shopper: Shopper):
    """A6: the box names the price of one period, whatever is bought now."""
    order, consent = place(shopper, quantity="2", shown_fen="3000")
    assert (order.amount_fen, consent.price_fen, consent.days) == (3_000, 1_500, 7)


def test_unticked_is_one_purchase(shopper: Shopper):
    answer = shopper.post("/checkout/", **checkout_form(channel="alipay"))
    assert answer.status_code == 303
    assert not Consent.objects.exists()


def test_another_channel_is_refused_in_words_and_nothing_is_lost(shopper: Shopper):
    """renew=on with WeChat: 422, tick, plan and channel as they were, no order."""
    fields = renewing_form(channel="wechat")
    answer = shopper.post("/checkout/", **fields)
    assert answer.status_code == 422
    shown = text(answer)
    assert "自动续费只支持支付宝。换成它付款，或去掉勾选" in shown
    assert 'href="#id_renew"' in shown
    assert "checked" in BOX.findall(shown)[0]
    assert re.search(r'value="wechat" checked', shown)
    assert fields["client_token"] in shown
    assert not Order.objects.exists()
    again = shopper.post("/checkout/", **(fields | {"channel": "alipay"}))
    assert again.status_code == 303
    assert Consent.objects.count() == 1


def test_a_guests_code_survives_the_refusal(till: Till):
    guest = Shopper(till)
    fields = renewing_form(channel="wechat", phone="13800138000")
    assert guest.post("/checkout/code/", **fields).status_code == 200
    code = re.findall(r"\d{6}", till.wallet.sms(to="+8613800138000")[-1]["text"])[0]
    answer = guest.post("/checkout/", **fields, code=code)
    assert answer.status_code == 422
    assert code in text(answer)
    mended = fields | {"channel": "alipay", "code": code}
    assert guest.post("/checkout/", **mended).status_code == 303
    assert Consent.objects.get().member.phone == "+8613800138000"


@pytest.mark.parametrize(
    "change",
    [
        {"plan": "temporary-1", "shown_fen": "300", "renew_for": ""},
        {"renew_for": "temporary-30"},
        {"shown_fen": "1400"},
        {"renew_fen": "1400"},
    ],
    ids=[
        *("too short", "the box of another plan", "another price"),
        "another price of the renewal alone",
    ],
)
def test_what_she_did_not_see_is_not_agreed_to(
    shopper: Shopper, change: dict[str, str]
):
    """E8, A3: 422, and the tick is hers to set again."""
    answer = shopper.post("/checkout/", **renewing_form(**change))
    assert answer.status_code == 422
    boxes = BOX.findall(text(answer))
    assert len(boxes) == (0 if change.get("plan") == "temporary-1" else 1)
    assert not any("checked" in box for box in boxes)
    assert not Order.objects.exists()
    assert not Consent.objects.exists()


def test_goods_cannot_renew_themselves(shopper: Shopper):
    thing = make_goods("card", keys=3)
    fields = renewing_form(plan="", goods="card", shown_fen=str(thing.price_fen))
    answer = shopper.post("/checkout/", **fields)
    assert answer.status_code == 422
    assert "这里不能自动续费，勾选已去掉" in text(answer)
    assert not Order.objects.exists()


def test_a_double_click_agrees_once(shopper: Shopper):
    """A2"""
    fields = renewing_form()
    first, second = (shopper.post("/checkout/", **fields) for _ in range(2))
    assert first["Location"] == second["Location"]
    assert (Order.objects.count(), Consent.objects.count()) == (1, 1)


# --- The signature --------------------------------------------------------------------


def test_paid_then_signed_then_on(shop_of: Renewals, shopper: Shopper, member: Member):
    """E8: bought, signed on Alipay's page, back: the page names day and amount."""
    order, consent = place(shopper)
    shopper.post(f"{PAGE}sign/")  # not before the money is in
    assert Consent.objects.get().first_on is None
    shop_of.till.hear(order.attempts.get())
    assert "还差一步：自动续费要签约" in page(shopper, f"/orders/{order.no}/pay/")
    assert "没有开，还差签约" in page(shopper, "/account/")
    assert "gateway.do" not in page(shopper)  # opened by a button, not by looking
    answer = shopper.post(f"{PAGE}sign/")
    assert (answer.status_code, answer["Location"]) == (303, PAGE)
    assert "同意自动扣款？" in look(link_to_sign(shopper))
    shop_of.agree(consent, notify="lose")
    assert "还差签约" in page(shopper)
    shown = page(shopper, f"{PAGE}?returned=1")  # asks the gateway at once
    assert "已开通" in shown
    assert "11 月 28 日 10:00" in shown  # the charge
    assert "11 月 23 日 10:00" in shown  # its notice
    assert "¥15.00" in shown
    assert "11 月 28 日 10:00</time> 扣 ¥15" in page(shopper, "/account/")
    assert AutoRenew.objects.get(member=member).consent_id == consent.pk
    assert "还差一步" not in page(shopper, f"/orders/{order.no}/pay/")
    assert broken(shop_of.now) == []


def test_the_page_to_sign_on_stays_the_same_when_the_end_moves(
    shop_of: Renewals, shopper: Shopper, member: Member
):
    """A gateway takes one number with one content only."""
    paid(shop_of, shopper)
    shopper.post(f"{PAGE}sign/")
    look(link_to_sign(shopper))
    bought(shop_of.till, member=member)
    shopper.post(f"{PAGE}sign/")
    assert "同意自动扣款？" in look(link_to_sign(shopper))


def test_whoever_does_not_sign_has_bought_all_the_same(
    shop_of: Renewals, shopper: Shopper, member: Member
):
    """E8: paid and complete; a day later nothing waits any more."""
    order, consent = paid(shop_of, shopper)
    assert fresh(order).fulfil == "done"
    assert fresh(member).paid_until == beijing("11-29 10:00")
    shown = page(shopper)
    assert "不签也没关系，买的会员照常用" in shown
    shop_of.until("11-23 10:01", every=12 * HOUR)
    assert "没有开" in page(shopper)
    assert "还差签约" not in page(shopper, "/account/")
    assert Consent.objects.get(pk=consent.pk).ended_by == "unsigned"
    shop_of.until("11-29 10:01", every=24 * HOUR)
    assert charges_of(member) == []
    assert broken(shop_of.now) == []


def test_an_unpaid_order_waits_for_no_signature(shop_of: Renewals, shopper: Shopper):
    place(shopper)
    shop_of.until("11-22 11:00")
    assert "还差签约" not in page(shopper)
    shopper.post(f"{PAGE}sign/")
    shop_of.until("11-23 10:01", every=12 * HOUR)
    assert Consent.objects.get().ended_by == "unsigned"
    assert broken(shop_of.now) == []


def test_she_leaves_it_off_instead_of_signing(shop_of: Renewals, shopper: Shopper):
    _, consent = paid(shop_of, shopper)
    shopper.post(f"{PAGE}sign/")
    look(link_to_sign(shopper))
    assert shopper.post(f"{PAGE}stop/").status_code == 303
    assert "没有开" in page(shopper)
    shop_of.agree(consent)  # in a tab that was still open
    shop_of.till.run_outbox()
    assert not AutoRenew.objects.exists()
    assert shop_of.agreement(consent)["status"] == "UNSIGN"


def test_opting_in_later_takes_a_tick_and_the_price_she_saw(
    shop_of: Renewals, shopper: Shopper, member: Member
):
    """E8, E13: unticked, or at a price that is over, nothing is agreed to."""
    assert 'name="renew"' not in page(shopper)  # no time is running
    bought(shop_of.till, member=member)
    shown = page(shopper)
    assert "checked" not in re.findall(r'<input type="checkbox"[^>]*>', shown)[0]
    assert 'value="temporary-1"' not in shown
    assert 'value="long-term-365"' not in shown
    seen = {"plan": "temporary-7", "shown": ["temporary-7:1500", "temporary-30:5000"]}
    unticked = shopper.post(PAGE, **seen)
    assert unticked.status_code == 422
    assert "勾上「到期自动续费」才会开通" in text(unticked)
    stale = shopper.post(PAGE, **seen | {"shown": "temporary-7:1400", "renew": "on"})
    assert stale.status_code == 422
    short = {"plan": "temporary-1", "shown": "temporary-1:300", "renew": "on"}
    assert shopper.post(PAGE, **short).status_code == 422
    assert not Consent.objects.exists()
    assert shopper.post(PAGE, **seen, renew="on").status_code == 303
    consent = Consent.objects.get()
    assert (consent.order, consent.terms, consent.price_fen) == (None, "1.0", 1_500)
    look(link_to_sign(shopper))
    shop_of.agree(consent)
    assert "已开通" in page(shopper)


def test_on_a_phone_the_wallet_opens_and_inside_wechat_it_cannot(
    shop_of: Renewals, shopper: Shopper
):
    paid(shop_of, shopper)
    shopper.post(f"{PAGE}sign/")
    phone = text(shopper.get(PAGE, HTTP_USER_AGENT="Mobile Android"))
    assert 'href="alipays://platformapi/startapp' in phone
    assert "打不开？在网页里签约" in phone
    inside = text(shopper.get(PAGE, HTTP_USER_AGENT="Mobile MicroMessenger/8"))
    assert "微信里打不开支付宝" in inside
    assert "alipays:" not in inside


def test_the_renewal_of_somebody_else_is_out_of_reach(
    shop_of: Renewals, shopper: Shopper
):
    """security 52: a guest is asked to sign in, a stranger stops her own and no other."""
    other = bought(shop_of.till)
    shop_of.signed(other)
    for path in (PAGE, f"{PAGE}sign/", f"{PAGE}stop/"):
        answer = Shopper(shop_of.till).post(path)
        assert answer.status_code == 302
        assert answer["Location"].startswith("/login/")
    shopper.post(f"{PAGE}stop/")
    assert "没有开" in page(shopper)
    assert AutoRenew.objects.get(member=other).enabled
    assert shopper.get(f"{PAGE}stop/").status_code == 405
    assert shopper.get(f"{PAGE}sign/").status_code == 405


# --- One tap to stop ------------------------------------------------------------------


def test_stopping_works_while_the_gateway_is_down(
    shop_of: Renewals, shopper: Shopper, member: Member
):
    """E10: nothing is charged from the tap on; the contract ends when Alipay answers."""
    bought(shop_of.till, member=member)
    consent = shop_of.signed(member).consent
    shop_of.till.wallet.fault("alipay", "*", "500")
    assert shopper.post(f"{PAGE}stop/").status_code == 303
    shown = page(shopper)
    assert "你关了自动续费，不再扣款。" in shown
    assert "11 月 29 日 10:00" in shown
    shop_of.tick()
    assert shop_of.agreement(consent)["status"] == "NORMAL"
    shop_of.till.wallet.clear_faults()
    shop_of.until("11-23 10:00")
    assert shop_of.agreement(consent)["status"] == "UNSIGN"
    shop_of.until("11-29 10:01", every=12 * HOUR)
    assert charges_of(member) == []
    assert broken(shop_of.now) == []


def test_a_stop_under_way_offers_the_money_back_in_full(
    shop_of: Renewals, shopper: Shopper, member: Member
):
    """E10: after the claim the result stands, and the page leads to all of it."""
    bought(shop_of.till, member=member)
    shop_of.signed(member)
    shop_of.until("11-28 09:59")
    shop_of.till.wallet.fault("alipay", "debit", "500", count=1, done=True)
    shop_of.at("11-28 10:00").tick()
    assert "扣款中" in page(shopper)
    assert shopper.post(f"{PAGE}stop/").status_code == 303
    shop_of.at("11-28 10:01").tick()
    [order] = renewals_of(member)
    assert order.status == "paid"
    back = f"/orders/{order.no}/return/"
    assert back in page(shopper)
    assert "¥15.00" in page(shopper, back)
    assert shopper.post(back, shown_fen="1500").status_code == 303
    assert Refund.objects.get().amount_fen == 1_500
    assert fresh(member).paid_until == beijing("11-29 10:00")
    assert back not in page(shopper)


# --- What the pages say as the world moves --------------------------------------------


def test_the_bar_tells_of_the_charge_in_place_of_the_end(
    shop_of: Renewals, shopper: Shopper, member: Member
):
    """E8: three days before the end; stopped, it is the end again."""
    bought(shop_of.till, member=member)
    shop_of.signed(member)
    shop_of.until("11-26 10:05")
    shown = page(shopper, "/")
    assert "将自动续费 ¥15" in shown
    assert f'<a href="{PAGE}">不想续？点这里关闭</a>' in shown
    assert "到期，还有" not in shown
    assert f'<a href="{PAGE}">11 月 28 日 10:00 将自动续费' in page(
        shopper, "/account/"
    )
    shopper.post(f"{PAGE}stop/")
    assert "到期，还有" in page(shopper, "/")


def test_a_notice_that_is_late_lets_the_night_pass(shop_of: Renewals):
    """E7, E8: nothing ran until 23:00; the site says it at once, the SMS at 08:00."""
    member = bought(shop_of.till)
    shop_of.signed(member)
    shop_of.at("11-23 23:00").tick()
    shop_of.at("11-23 23:05").tick()
    assert len(told(member, "renewal")) == 1
    [sms] = told(member, "renewal", "sms")
    assert (sms.state, sms.due_at) == ("queued", beijing("11-24 08:00"))
    shop_of.at("11-24 07:59").tick()
    assert told(member, "renewal", "sms")[0].sent_at is None
    shop_of.at("11-24 08:00").tick()
    assert told(member, "renewal", "sms")[0].state == "sent"
    shop_of.until("11-28 10:01")
    assert charges_of(member) == [("11-28 10:01", 1_500, "paid")]


def test_a_failed_charge_is_told_tried_again_and_then_over(
    shop_of: Renewals, shopper: Shopper, member: Member
):
    """E11: told at once on the site, after the last one with a way to renew by hand."""
    shop_of.at("11-22 18:00")
    bought(shop_of.till, member=member)
    shop_of.next_debit(shop_of.signed(member), BALANCE)
    shop_of.until("11-28 18:00").until("11-28 18:06")
    shown = page(shopper)
    assert "没扣成，会再试" in shown
    assert "11 月 29 日 12:00" in shown
    assert len(told(member, "renewal_retry")) == 1
    assert "自动续费 ¥15.00 没有扣成" in page(shopper, "/account/")
    shop_of.until("11-29 12:00").until("11-29 12:06")
    assert "11 月 29 日 17:00" in page(shopper)
    shop_of.until("11-29 17:00").until("11-29 17:10")
    shown = page(shopper)
    assert "已经不再扣了" in shown
    assert f'href="{CHOICE}?plan=temporary-7"' in shown
    assert shown.count("没扣成") == 3
    assert len(told(member, "renewal_retry")) == 1
    assert "没有扣成，已停" in page(shopper, "/account/")
    assert "会再试" not in page(shopper, "/account/")
    assert broken(shop_of.now) == []


def test_from_the_failed_charge_two_taps_renew_by_hand(
    shop_of: Renewals, shopper: Shopper, member: Member
):
    """E11, ux-brief: link, pay; the plan is chosen and she is known."""
    bought(shop_of.till, member=member)
    shop_of.next_debit(shop_of.signed(member), BALANCE)
    shop_of.until("11-28 10:00").until("11-29 09:10", every=HOUR)
    sms = shop_of.till.wallet.sms(str(member.phone))[-1]["text"]
    link = sms[sms.index("/s/") :]
    way = re.search(r'href="(/membership/[^"]+)">续费', page(shopper, link))
    assert way is not None
    assert 'value="temporary-7" checked' in page(shopper, way[1])
    answer = shopper.post("/checkout/", **checkout_form())
    assert answer.status_code == 303


def test_a_dearer_plan_asks_for_a_new_consent(
    shop_of: Renewals, shopper: Shopper, member: Member
):
    """E13: no charge at ¥18 before she has agreed to ¥18, by tick and signature."""
    bought(shop_of.till, member=member)
    shop_of.signed(member)
    Plan.objects.filter(slug="temporary-7").update(price_fen=1_800)
    old = {"plan": "temporary-7", "shown": "temporary-7:1500", "renew": "on"}
    shop_of.until("11-22 12:00", every=HOUR)
    assert shopper.post(PAGE, **old).status_code == 422  # a page of before
    shown = page(shopper)
    assert "价格涨过你同意的 ¥15，没有你重新同意不会扣款。" in shown
    assert "按新价格重新同意" in shown
    assert len(told(member, "renewal_price")) == 1
    agreed = {"plan": "temporary-7", "shown": "temporary-7:1800", "renew": "on"}
    assert shopper.post(PAGE, **agreed).status_code == 303
    consent = Consent.objects.latest("pk")
    look(link_to_sign(shopper))
    shop_of.agree(consent)
    shop_of.until("11-28 10:01")
    assert charges_of(member) == [("11-28 10:01", 1_800, "paid")]
    assert broken(shop_of.now) == []


def test_a_cheaper_plan_is_shown_at_what_will_be_charged(
    shop_of: Renewals, shopper: Shopper, member: Member
):
    """E13: ¥15 → ¥12."""
    bought(shop_of.till, member=member)
    shop_of.signed(member)
    Plan.objects.filter(slug="temporary-7").update(price_fen=1_200)
    assert "¥12.00" in page(shopper)


def test_a_plan_off_sale_and_a_pause_are_said(
    shop_of: Renewals, shopper: Shopper, member: Member
):
    """E15, then E14."""
    bought(shop_of.till, member=member)
    shop_of.signed(member)
    timeline.pause(member.pk, now=shop_of.now)
    assert "会员暂停的时候不扣款" in page(shopper)
    timeline.resume(member.pk, now=shop_of.now)
    Plan.objects.filter(slug="temporary-7").update(enabled=False)
    shop_of.until("11-22 12:00", every=HOUR)
    assert "这个套餐不再售卖，自动续费停了。" in page(shopper)


def test_too_late_to_be_told_is_said_and_not_charged(
    shop_of: Renewals, shopper: Shopper, member: Member
):
    """E8, INV-15: two days are left; the page promises no charge, and none comes."""
    bought(shop_of.till, member=member)
    shop_of.at("11-27 10:00")
    shop_of.signed(member)
    assert "这次来不及提前通知，到期前不会扣款" in page(shopper)
    assert "开着，这次到期前不会扣款" in page(shopper, "/account/")
    shop_of.until("11-29 10:01", every=HOUR)
    assert charges_of(member) == []


# --- Support --------------------------------------------------------------------------


def test_support_sees_consent_and_charges(
    shop_of: Renewals, shopper: Shopper, member: Member, operator: Member
):
    """E8: on the member's page and in the story of either order."""
    operator.is_superuser = True
    operator.save()
    order, consent = paid(shop_of, shopper)
    shopper.post(f"{PAGE}sign/")
    look(link_to_sign(shopper))
    shop_of.agree(consent)
    shop_of.until("11-28 10:01")
    [renewal] = renewals_of(member)
    staff = Shopper(shop_of.till, operator)
    shown = page(staff, f"/console/members/member/{member.pk}/change/")
    charge = Attempt.objects.get(product="mandate")
    for words in (consent.number, "同意协议 1.0", "¥15.00/7 天", charge.out_trade_no):
        assert words in shown
    bought_story = page(staff, f"/console/orders/order/{order.pk}/change/")
    assert "同意自动续费" in bought_story
    assert "自动续费签约" in bought_story
    story = page(staff, f"/console/orders/order/{renewal.pk}/change/")
    assert "用支付宝自动扣款" in story
    assert "续费预告" in story  # the notice that went before it
    assert consent.number in story


def test_a_stranger_without_rights_sees_none_of_it(shop_of: Renewals):
    member = new_member()
    answer = Shopper(shop_of.till, member).get(
        f"/console/members/member/{member.pk}/change/"
    )
    assert answer.status_code in (302, 403, 404)
