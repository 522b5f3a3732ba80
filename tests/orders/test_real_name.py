"""An order that asks for a verified name: refused before money, never after (S22)."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from goods.models import Goods
from members.models import Member, RealName, Tier
from members.real_name import holding
from members.tiers import catalogue
from orders.checkout import NameWanted
from orders.models import Order
from orders.real_name import Lack
from payments.models import Attempt
from tests.goods.shelves import make_goods
from tests.orders.test_checkout_page import PHONE, send_code
from tests.rows import changed, fingerprint
from tests.shopping import Shopper, Till, checkout_form, fresh, new_member

LEAST = 20_000


@pytest.fixture(autouse=True)
def _provider(settings: Any) -> None:
    settings.REAL_NAME_PROVIDER = "sandbox"


@pytest.fixture
def card(db: None) -> Goods:
    """¥100 each; from ¥200 on it asks for a name."""
    return make_goods("card", keys=9, real_name_from_fen=LEAST)


def verified(member: Member, *, adult_on: date | None = None) -> Member:
    slot = RealName.objects.count() + 1
    RealName.objects.create(
        member=member,
        provider="sandbox",
        digest=f"{slot:064x}",
        slot=1,
        adult_on=adult_on,
    )
    return member


def lack_of(book: Till, member: Member, goods: Goods, quantity: int = 2) -> Lack:
    with pytest.raises(NameWanted) as refused:
        book.bill_goods(member, goods, quantity=quantity)
    return refused.value.lack


def test_a_smaller_order_asks_nothing(book: Till, member: Member, card: Goods):
    assert book.buy_goods(member, card, quantity=1).status == "paid"


def test_an_order_of_the_sum_is_refused_and_nothing_is_written(
    book: Till, member: Member, card: Goods
):
    """The rule is the domain's: no page is needed to keep it."""
    before = fingerprint()
    assert lack_of(book, member, card) is Lack.NAME
    assert changed(before) == []


def test_a_verified_adult_buys(book: Till, member: Member, card: Goods):
    order = book.buy_goods(verified(member), card, quantity=2)
    assert (order.status, order.fulfil) == ("paid", "done")


def test_a_minor_does_not_until_she_is_of_age(book: Till, member: Member, card: Goods):
    birthday = holding.today(book.now) + timedelta(days=3)
    verified(member, adult_on=birthday)
    assert lack_of(book, member, card) is Lack.MINOR
    assert book.buy_goods(member, card, quantity=1).status == "paid"
    book.wait(days=3)
    assert book.buy_goods(member, card, quantity=2).status == "paid"


def test_while_nobody_verifies_names_it_is_sold_to_the_verified_alone(
    book: Till, member: Member, card: Goods, settings: Any
):
    settings.REAL_NAME_PROVIDER = ""
    assert lack_of(book, member, card) is Lack.CLOSED
    assert book.buy_goods(verified(new_member()), card, quantity=2).status == "paid"


def test_a_tier_asks_by_the_same_rule(book: Till, member: Member):
    Tier.objects.filter(code="temporary").update(real_name_from_fen=5_000)
    assert book.place(member, "temporary-7")
    with pytest.raises(NameWanted):
        book.place(member, "temporary-30")
    with pytest.raises(NameWanted):
        book.place(member, "temporary-7", quantity=4)
    assert book.place(member, "long-term-365")
    assert book.place(verified(member), "temporary-30")


@pytest.mark.parametrize("lost", ["taken back", "a minor after all", "asks for more"])
def test_what_is_ordered_is_paid_and_delivered_whatever_becomes_of_the_name(
    book: Till, member: Member, operator: Member, card: Goods, lost: str
):
    """A4: asked when the order is placed and never again."""
    attempt = book.bill_goods(verified(member), card, quantity=2)
    match lost:
        case "taken back":
            holding.take_back(member.pk, actor=operator, reason="test")
        case "a minor after all":
            RealName.objects.update(adult_on=date(2040, 1, 1))
        case _:
            RealName.objects.all().delete()
            Goods.objects.update(real_name_from_fen=1)
    book.hear(attempt)
    order = fresh(attempt.order)
    assert (order.status, order.fulfil, order.keys.count()) == ("paid", "done", 2)


# --- The pages -----------------------------------------------------------------------


def order_form(**change: Any) -> dict[str, Any]:
    facts = {"goods": "card", "quantity": "2", "shown_fen": "20000"}
    form = checkout_form(**facts | change)
    del form["plan"]
    return form


def next_of(url: str) -> str:
    split = urlsplit(url)
    assert split.path == "/account/real-name/"
    return parse_qs(split.query)["next"][0]


@pytest.fixture
def shopper(till: Till, member: Member) -> Shopper:
    return Shopper(till, member)


def test_the_page_leads_to_the_name_and_keeps_the_choice(shopper: Shopper, card: Goods):
    """Quantity and channel come along and are there again on the way back."""
    assert "去实名认证" not in shopper.get("/zone/card/").text
    page = shopper.get("/zone/card/?quantity=2&channel=alipay")
    assert "这一单要先实名认证" in page.text
    assert 'name="verify_name"' in page.text
    back = next_of(page.context["real_name"]["url"])
    assert back == "/zone/card/?quantity=2&channel=alipay"
    again = shopper.get(back)
    assert again.context["summary"]["quantity"] == 2
    [chosen] = [each for each in again.context["channels"] if each["selected"]]
    assert chosen["code"] == "alipay"


def test_the_button_takes_along_what_the_form_holds_by_now(
    shopper: Shopper, card: Goods
):
    answer = shopper.post(
        "/checkout/", **order_form(channel="alipay", quantity="3", verify_name="1")
    )
    assert answer.status_code == 303
    assert next_of(answer["Location"]) == "/zone/card/?quantity=3&channel=alipay"
    assert not Order.objects.exists()


def test_posting_past_the_page_is_refused_with_the_way_to_it(
    shopper: Shopper, card: Goods
):
    """422 with what was chosen, no order, no attempt, no question to a gateway."""
    answer = shopper.post("/checkout/", **order_form(channel="alipay"))
    assert answer.status_code == 422
    assert "这一单要先实名认证，没有下单，也没有扣款" in answer.text
    url = answer.context["real_name"]["url"]
    assert url.replace("&", "&amp;") in answer.text
    assert next_of(url) == "/zone/card/?quantity=2&channel=alipay"
    assert 'id="id_real_name"' in answer.text
    assert not Order.objects.exists()
    assert not Attempt.objects.exists()


def test_a_minor_is_told_what_to_do(shopper: Shopper, member: Member, card: Goods):
    verified(member, adult_on=date(2040, 1, 1))
    answer = shopper.post("/checkout/", **order_form())
    assert answer.status_code == 422
    assert "这一单只卖给成年人，没有下单，也没有扣款" in answer.text
    assert "请监护人联系客服" in answer.text
    assert "/legal/minors/" in answer.text
    assert 'name="verify_name"' not in answer.text
    assert not Order.objects.exists()


def test_while_nobody_verifies_the_page_says_that_it_is_not_sold(
    shopper: Shopper, card: Goods, settings: Any
):
    settings.REAL_NAME_PROVIDER = ""
    assert "暂时不卖" in shopper.get("/zone/card/?quantity=2").text
    answer = shopper.post("/checkout/", **order_form())
    assert answer.status_code == 422
    assert "现在还不能认证，没有下单，也没有扣款" in answer.text
    assert 'name="verify_name"' not in answer.text


def test_a_verified_shopper_sees_nothing_of_it(
    shopper: Shopper, member: Member, card: Goods
):
    verified(member)
    assert "实名" not in shopper.get("/zone/card/?quantity=2").text
    answer = shopper.post("/checkout/", **order_form())
    assert answer["Location"].endswith("/pay/")
    assert Order.objects.get().amount_fen == LEAST


def test_a_guest_proves_her_phone_and_is_led_on(till: Till, card: Goods):
    """Her code is not lost: she is signed in and stands before the page of the name."""
    guest = Shopper(till)
    page = guest.get("/zone/card/?quantity=2")
    assert "手机号验证以后带你去，选好的都留着" in page.text
    code = send_code(guest)
    answer = guest.post(
        "/checkout/", **order_form(phone=PHONE, code=code, verify_name="1")
    )
    assert answer.status_code == 303
    assert guest.is_signed_in
    assert next_of(answer["Location"]) == "/zone/card/?quantity=2&channel=wechat"
    page = guest.get(answer["Location"])  # the code counts as her confirmation
    assert page.status_code == 200
    assert 'name="id_number"' in page.text


def test_a_plan_keeps_its_choice_too(shopper: Shopper):
    Tier.objects.filter(code="long-term").update(real_name_from_fen=10_000)
    catalogue.forget()
    answer = shopper.post(
        "/checkout/",
        **checkout_form(plan="long-term-365", shown_fen="23800", channel="alipay"),
    )
    assert answer.status_code == 422
    back = next_of(answer.context["real_name"]["url"])
    assert back == "/membership/long-term/?plan=long-term-365&channel=alipay"
    assert shopper.get(back).context["selected"]["slug"] == "long-term-365"
    summary = shopper.get("/checkout/summary/?plan=long-term-90&channel=alipay")
    assert "实名" not in summary.text
    summary = shopper.get("/checkout/summary/?plan=long-term-365&channel=alipay")
    assert 'name="verify_name"' in summary.text


@pytest.mark.parametrize("quantity", ["0", "-1", "x", "999", "１", "1\0"])
def test_a_strange_quantity_in_the_address_breaks_nothing(
    shopper: Shopper, card: Goods, quantity: str
):
    """security 44"""
    page = shopper.client.get("/zone/card/", {"quantity": quantity})
    assert page.status_code == 200
    assert page.context["summary"]["quantity"] <= 12
