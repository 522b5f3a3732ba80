"""What shoppers find in the chooser, and how operators keep it: S11, ux-brief part 3."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from django.db import IntegrityError, transaction
from django.test import Client, override_settings
from django.utils.translation import override

from kameng.devices import Device
from members import staff_roles
from members.models import Member
from orders.models import Order
from payments import channels
from payments.gateways.contract import Product
from payments.models import Attempt, EpayChannel
from tests.console.form_of import form_of
from tests.payments.epay.test_confirmation import deliver
from tests.shopping import Shopper, Till, broken, checkout_form, counts, fresh

PHONE_BROWSER = (
    "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Mobile Safari/537.36"
)
PAGE = "/membership/temporary/"
LIST = "/console/payments/epaychannel/"


@pytest.fixture
def shopper(epay_on: None, till: Till, member: Member) -> Shopper:
    """Signed in, on a phone."""
    found = Shopper(till, member)
    found.client = Client(HTTP_USER_AGENT=PHONE_BROWSER)
    with till.stopped_clock():
        found.client.force_login(member)
    return found


def row(page: Any, code: str) -> str:
    """The chooser's line of one channel; "" when it is not there."""
    found = re.search(
        rf'<label class="pay-row"(?:(?!</label>).)*value="{code}".*?</label>',
        page.content.decode(),
        re.DOTALL,
    )
    return found[0] if found else ""


def cap(code: str, fen: int | None) -> None:
    """As an operator sets it; saving also empties the cache."""
    channel = EpayChannel.objects.get(code=code)
    channel.cap_fen = fen
    channel.save()


def test_a_shopper_on_a_phone_pays_by_phone_credit(
    shopper: Shopper, till: Till, member: Member
) -> None:
    """S11: chooser, order, the aggregator's cashier, the notice, the way back."""
    assert "话费" in row(shopper.get(PAGE), "phone_credit")
    placed = shopper.post("/checkout/", **checkout_form(channel="phone_credit"))
    assert placed.status_code == 303
    attempt = Attempt.objects.get()
    assert (attempt.gateway, attempt.channel, attempt.product, attempt.state) == (
        "epay",
        "phone_credit",
        "huafei",
        "open",
    )

    page = shopper.get(placed["Location"]).content.decode()
    assert "打开收银台付款" in page
    [link] = re.findall(r'href="([^"]+)" data-handover', page)
    with httpx.Client(follow_redirects=True) as wallet:
        cashier = wallet.get(link)
        assert "确认付款 ¥15.00" in cashier.text
        action = re.findall(r'action="([^"]+)" id="pay"', cashier.text)[0]
        done = wallet.post(f"{till.wallet.url}{action}")
    assert "付款成功" in done.text
    assert deliver(till, till.caught()[0]).content == b"success"

    back = re.findall(r'content="3;url=([^"]+)"', done.text)[0].replace("&amp;", "&")
    returned = shopper.get(back[back.index("/payments/") :])
    assert returned.status_code == 303
    assert fresh(attempt.order).status == "paid"
    assert counts(member)["entitlements"] == 1
    assert shopper.get(returned["Location"]).context["pay_state"] == "paid"
    assert broken(till.now) == []


def test_the_way_back_survives_a_second_question_mark(
    shopper: Shopper, till: Till
) -> None:
    """Some aggregators append their fields by "?", whatever stands before it."""
    shopper.post("/checkout/", **checkout_form(channel="phone_credit"))
    attempt = Attempt.objects.get()
    trade = till.wallet.trade("epay", attempt.out_trade_no)
    path = trade["return_url"].split("/payments/")[1]
    answer = shopper.get(f"/payments/{path}?pid=1101&trade_status=TRADE_SUCCESS")
    assert answer.status_code == 303
    assert fresh(attempt.order).status == "pending", "the browser decides nothing (B17)"


def test_a_channel_over_its_cap_stays_in_sight_with_the_reason(
    shopper: Shopper,
) -> None:
    cap("phone_credit", 1_499)
    line = row(shopper.get(PAGE), "phone_credit")
    assert "disabled" in line
    assert "单笔最多 ¥14.99，请换一种付法" in line
    assert "disabled" not in row(
        shopper.get(f"{PAGE}?plan=temporary-1"), "phone_credit"
    )


def test_the_cap_itself_may_still_be_paid(shopper: Shopper) -> None:
    cap("phone_credit", 1_500)
    assert "disabled" not in row(shopper.get(PAGE), "phone_credit")
    answer = shopper.post("/checkout/", **checkout_form(channel="phone_credit"))
    assert answer.status_code == 303


def test_a_form_over_the_cap_is_refused_with_what_was_typed(shopper: Shopper) -> None:
    """The page may be older than the cap, or posted without script."""
    cap("phone_credit", 1_499)
    answer = shopper.post("/checkout/", **checkout_form(channel="phone_credit"))
    assert answer.status_code == 422
    assert "单笔最多 ¥14.99，请换一种付法" in answer.content.decode()
    assert not Order.objects.exists()


def test_paying_again_honours_the_cap_too(shopper: Shopper) -> None:
    placed = shopper.post("/checkout/", **checkout_form(channel="wechat"))
    cap("phone_credit", 1_499)
    page = shopper.get(placed["Location"])
    offered = [each["code"] for each in page.context["retry_channels"]]
    assert "alipay" in offered
    assert "phone_credit" not in offered
    url = placed["Location"].replace("/pay/", "/payments/")
    assert shopper.post(url, channel="phone_credit").status_code == 409
    assert [a.gateway for a in Attempt.objects.all()] == ["wechat"]


def test_another_plan_brings_the_chooser_for_its_sum(shopper: Shopper) -> None:
    """htmx: the choice of channel is kept, and no cap is computed by script."""
    cap("phone_credit", 1_499)
    small = shopper.get("/checkout/summary/?plan=temporary-1&channel=phone_credit")
    assert 'id="id_channel"' in small.content.decode()
    assert 'data-hx-swap-oob="true"' in small.content.decode()
    assert " checked" in row(small, "phone_credit")
    large = shopper.get("/checkout/summary/?plan=temporary-30&channel=phone_credit")
    assert "disabled" in row(large, "phone_credit")
    assert " checked" not in row(large, "phone_credit")
    cap("phone_credit", None)
    plain = shopper.get("/checkout/summary/?plan=temporary-30&channel=phone_credit")
    assert 'id="id_channel"' not in plain.content.decode()


def test_phone_credit_needs_its_type(shopper: Shopper) -> None:
    with override_settings(EPAY_PHONE_CREDIT_TYPE=""):
        assert row(shopper.get(PAGE), "phone_credit") == ""
        answer = shopper.post("/checkout/", **checkout_form(channel="phone_credit"))
        assert answer.status_code == 422
    assert not Order.objects.exists()


def test_without_epay_nothing_of_it_is_offered(epay_on: None, shop: None) -> None:
    EpayChannel.objects.create(code="qq", label="QQ 钱包", epay_type="qqpay")
    with override_settings(EPAY_PID="", EPAY_KEY="", EPAY_BASE_URL=""):
        codes = [offer.code for offer in channels.offers(Device.PHONE)]
    assert {"phone_credit", "qq"}.isdisjoint(codes)


# --- Channels that operators add ---------------------------------------------------------


@pytest.fixture
def console(member: Member) -> Client:
    operator = Member.objects.create_staff("yunying", "correct horse battery")
    staff_roles.assign(operator, staff_roles.OPERATOR)
    client = Client()
    client.force_login(operator)
    return client


def add(console: Client, **fields: object) -> Any:
    given = {
        "code": "qq",
        "label": "QQ 钱包",
        "label_en": "QQ Wallet",
        "epay_type": "qqpay",
        "cap_fen": "2000",
        "position": "1",
        "enabled": "on",
    }
    return console.post(f"{LIST}add/", given | fields)


def test_an_operator_adds_a_channel_that_shoppers_then_pay_by(
    shopper: Shopper, console: Client, till: Till
) -> None:
    """S11: never a line of code for one more channel."""
    assert add(console).status_code == 302
    assert "QQ 钱包" in row(shopper.get(PAGE), "qq")
    offered = [offer.code for offer in channels.offers(Device.PHONE)]
    assert offered == ["wechat", "alipay", "unionpay", "phone_credit", "qq"]
    placed = shopper.post("/checkout/", **checkout_form(channel="qq"))
    attempt = Attempt.objects.get()
    assert (attempt.gateway, attempt.channel, attempt.product) == (
        "epay",
        "qq",
        "qqpay",
    )
    till.wallet.pay("epay", attempt.out_trade_no)
    deliver(till, till.caught()[0])
    assert shopper.get(placed["Location"]).context["attempt"]["label"] == "QQ 钱包"
    with override("en"):
        assert channels.label_of("qq") == "QQ Wallet"


def test_a_channel_switched_off_is_offered_no_more_and_keeps_its_name(
    shopper: Shopper, console: Client, till: Till, order: Order
) -> None:
    add(console)
    channel = EpayChannel.objects.get(code="qq")
    url = f"{LIST}{channel.pk}/change/"
    fields = form_of(console, url)
    del fields["enabled"]
    assert console.post(url, fields).status_code == 302
    assert row(shopper.get(PAGE), "qq") == ""
    assert channels.product_for("qq", Device.PHONE) is None
    assert channels.label_of("qq") == "QQ 钱包"


@pytest.mark.parametrize(
    "wrong",
    [
        *({"code": "wechat"}, {"code": "Alipay"}, {"code": "a b"}, {"code": ""}),
        *({"epay_type": ""}, {"epay_type": "a b"}, {"epay_type": "page"}),
        *({"cap_fen": "0"}, {"cap_fen": "-1"}, {"cap_fen": "1.5"}, {"label": ""}),
        *({"code": "phone_credit"}, {"epay_type": "微信"}, {"epay_type": "x" * 17}),
    ],
)
def test_a_wrong_channel_is_refused_in_words(
    epay_on: None, till: Till, console: Client, wrong: dict[str, str]
) -> None:
    before = list(EpayChannel.objects.values())
    answer = add(console, **wrong)
    assert answer.status_code == 200
    assert answer.context["adminform"].form.errors
    assert list(EpayChannel.objects.values()) == before


def test_a_code_in_use_is_fixed_and_nothing_is_deleted(
    epay_on: None, till: Till, console: Client
) -> None:
    add(console)
    url = f"{LIST}{EpayChannel.objects.get(code='qq').pk}"
    fields = form_of(console, f"{url}/change/") | {"code": "qq2"}
    assert console.post(f"{url}/change/", fields).status_code == 200
    assert console.post(f"{url}/delete/", {"post": "yes"}).status_code == 403
    assert EpayChannel.objects.filter(code="qq").exists()


def test_the_console_calls_them_third_party(
    epay_on: None, till: Till, console: Client
) -> None:
    page = console.get(LIST).content.decode()
    assert "第三方" in page
    assert "话费" in page


def test_support_may_not_touch_channels(epay_on: None, till: Till) -> None:
    """security 68"""
    support = Member.objects.create_staff("kefu", "correct horse battery")
    staff_roles.assign(support, staff_roles.SUPPORT)
    client = Client()
    client.force_login(support)
    assert client.get(LIST).status_code == 403
    assert add(client).status_code == 403


def test_no_row_takes_the_place_of_a_gateways_own_channel(db: None) -> None:
    """However it came there: the form refuses it, see above."""
    EpayChannel.objects.create(code="alipay", label="支付宝", epay_type="alipay")
    assert channels.known()["alipay"].gateway == "alipay"
    assert channels.label_of("alipay") == "支付宝"
    assert channels.product_for("alipay", Device.DESKTOP) == Product.QR


@pytest.mark.parametrize(
    "wrong",
    [
        {"epay_type": ""},
        {"code": "phone_credit"},
        {"cap_fen": 0},
        {"code": "twice"},
    ],
)
def test_the_database_refuses_what_cannot_be(db: None, wrong: dict[str, Any]) -> None:
    """Below the application."""
    EpayChannel.objects.filter(code="phone_credit").delete()
    given = {"label": "QQ", "epay_type": "qqpay"}
    EpayChannel.objects.create(**given, code="twice")
    with pytest.raises(IntegrityError), transaction.atomic():
        EpayChannel.objects.create(**{"code": "qq", **given, **wrong})
