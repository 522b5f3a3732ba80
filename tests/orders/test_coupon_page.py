"""The coupon on the pages: collapsed, without script and with it, nothing typed is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from goods.models import Goods
from members.models import Member, Plan
from orders.models import Coupon, Order
from payments.console import order_story
from tests.goods.shelves import make_goods, make_member
from tests.orders.codes import make_coupon, used
from tests.orders.test_checkout_page import PHONE, send_code
from tests.payments.far_side import FarAlipay
from tests.shopping import Shopper, Till, checkout_form, new_member, statements


@pytest.fixture
def alipay_on() -> Iterator[None]:
    with override_settings(**FarAlipay.settings()):
        yield


@pytest.fixture
def shopper(book: Till, member: Member, alipay_on: None) -> Shopper:
    """Signed in, without a membership."""
    return Shopper(book, member)


@pytest.fixture
def coupon(book: Till) -> Coupon:
    """¥5 off, once."""
    return make_coupon(book, "SAVE2026")


@pytest.fixture
def card(shop: None) -> Goods:
    return make_goods("card", keys=3)


def form(**change: Any) -> dict[str, Any]:
    return checkout_form(channel="alipay", coupon="save-2026") | change


def goods_form(card: Goods, **change: Any) -> dict[str, Any]:
    fields = form(goods=card.slug, shown_fen="10000") | change
    del fields["plan"]
    return fields


def by_htmx(shopper: Shopper, path: str, target: str, **fields: Any) -> Any:
    headers = {"HX-Request": "true", "HX-Target": target}
    with shopper.till.stopped_clock():
        return shopper.client.post(path, fields, headers=headers)


def price_on(page: str) -> tuple[str, ...]:
    """The price in the hidden field, in the summary and on the button."""
    shown = re.findall(r'name="shown_fen" value="(\d+)"', page)
    line = re.findall(r'summary__line.*<span class="price">¥([\d.]+)</span>', page)
    button = re.findall(r"data-busy=[^>]*>同意并支付 ¥([\d.]+)<", page)
    return *shown, *line, *button


FULL, WITH = ("1500", "15.00", "15.00"), ("1000", "10.00", "10.00")


@pytest.mark.parametrize("path", ["/membership/temporary/", "/zone/card/"])
def test_a_page_has_the_field_folded_away(shopper: Shopper, card: Goods, path: str):
    page = shopper.get(path).text
    assert '<details class="more"><summary>有优惠码？</summary>' in page
    assert 'name="coupon"' in page
    assert 'name="applied"' not in page
    # Enter in another field must not press the coupon's button.
    buttons = re.findall(r"<button[^>]*>", page[page.index('id="checkout"') :])
    assert "checkout-coupon" not in buttons[0]
    assert "/checkout/coupon/" not in buttons[0]


def test_a_page_without_a_coupon_asks_the_database_nothing_about_it(
    shopper: Shopper, coupon: Coupon
):
    with CaptureQueriesContext(connection) as queries:
        shopper.get("/membership/temporary/")
        shopper.post("/checkout/", **form(coupon=""))
    assert Order.objects.get().coupon is None
    asked = statements(queries)
    assert not [sql for sql in asked if 'FROM "orders_coupon"' in sql]
    assert not [sql for sql in asked if "coupon-" in sql]


def test_applied_and_bought_without_script(shopper: Shopper, coupon: Coupon):
    answer = shopper.post("/checkout/coupon/", **form())
    assert answer.status_code == 200
    page = answer.text
    assert price_on(page) == WITH
    assert "优惠码减 ¥5.00" in page
    assert "优惠码用上了，新价格在付款按钮上。" in page
    assert 'value="save-2026"' in page
    assert '<details class="more" open>' in page
    answer = shopper.post("/checkout/", **form(shown_fen="1000"))
    order = Order.objects.get()
    assert (answer.status_code, answer["Location"]) == (303, f"/orders/{order.no}/pay/")
    assert (order.amount_fen, order.coupon_off_fen, order.coupon) == (1000, 500, coupon)
    assert order.attempts.get().amount_fen == 1_000
    assert used(coupon) == 1


def test_all_that_was_typed_comes_back(shopper: Shopper, coupon: Coupon):
    fields = form(plan="temporary-30", quantity="2", shown_fen="10000")
    page = shopper.post("/checkout/coupon/", **fields).text
    assert price_on(page) == ("9500", "95.00", "95.00")
    assert 'name="quantity" value="2"' in page
    assert f'name="client_token" value="{fields["client_token"]}"' in page
    assert re.search(r'value="temporary-30"[^>]* checked', page)
    assert re.search(r'value="alipay"[^>]* checked', page)


def test_a_guests_phone_and_code_stay(till: Till):
    """Without script: the field for the sent code is there still, and what is in it."""
    coupon = make_coupon(till, "SAVE2026")
    guest = Shopper(till)
    code = send_code(guest)
    fields = form(phone=PHONE, code=code, channel="wechat")
    page = guest.post("/checkout/coupon/", **fields).text
    assert price_on(page) == WITH
    assert f'value="{code}"' in page
    assert 'value="138 0013 8000"' in page
    answer = guest.post("/checkout/", **fields | {"shown_fen": "1000"})
    assert answer.status_code == 303
    order = Order.objects.get()
    assert (order.member.phone, order.amount_fen) == (f"+86{PHONE}", 1_000)
    assert used(coupon) == 1


def test_asking_for_a_code_keeps_the_coupon_on_the_price(till: Till):
    make_coupon(till, "SAVE2026")
    guest = Shopper(till)
    fields = form(phone=PHONE, channel="wechat")
    page = guest.post("/checkout/code/", **fields).text
    assert price_on(page) == WITH
    assert 'value="save-2026"' in page


def test_a_code_that_was_not_applied_is_asked_about_first(
    shopper: Shopper, coupon: Coupon
):
    """A3: she typed it and pressed pay at once; the price on the button follows."""
    answer = shopper.post("/checkout/", **form())
    assert answer.status_code == 422
    assert "这单现在是 ¥10.00，请确认后再付" in answer.text
    assert price_on(answer.text) == WITH
    assert not Order.objects.exists()
    assert used(coupon) == 0


def test_with_htmx_the_coupon_and_the_summary_come_back(
    shopper: Shopper, coupon: Coupon
):
    answer = by_htmx(shopper, "/checkout/coupon/", "coupon", **form())
    fragment = answer.text
    assert fragment.lstrip().startswith('<section class="card" id="coupon">')
    assert 'id="summary" data-hx-swap-oob="true"' in fragment
    assert price_on(fragment) == WITH
    assert "<form" not in fragment


def reference(fragment: str) -> str:
    found = re.search(r'name="applied" value="([^"]+)"', fragment)
    assert found is not None
    return found[1]


def test_another_plan_keeps_the_coupon_and_no_address_names_it(
    shopper: Shopper, coupon: Coupon
):
    """The code itself is in no address, which logs would keep."""
    answer = by_htmx(shopper, "/checkout/coupon/", "coupon", **form())
    applied = reference(answer.text)
    assert "SAVE" not in applied.upper()
    path = f"/checkout/summary/?plan=temporary-30&applied={applied}"
    assert price_on(shopper.get(path).text) == ("4500", "45.00", "45.00")
    forged = path[:-1] + ("A" if path[-1] != "A" else "B")
    assert price_on(shopper.get(forged).text) == ("5000", "50.00", "50.00")


def test_a_plan_that_the_coupon_is_not_for_says_so(
    shopper: Shopper, coupon: Coupon, week: Plan
):
    """And coming back to the right one brings the price back."""
    Coupon.objects.update(scope="chosen")
    coupon.plans.add(week)
    applied = reference(by_htmx(shopper, "/checkout/coupon/", "coupon", **form()).text)
    path = "/checkout/summary/?plan={}&applied={}"
    other = shopper.get(path.format("temporary-30", applied)).text
    assert price_on(other) == ("5000", "50.00", "50.00")
    assert "这个优惠码不能用在这里" in other
    again = shopper.get(path.format("temporary-7", reference(other))).text
    assert price_on(again) == WITH


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"enabled": False}, "这个优惠码无效、过期或已经用完"),
        ({"min_fen": 3_000}, "满 ¥30.00 才能用这个优惠码"),
        ({"scope": "goods"}, "这个优惠码不能用在这里"),
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/checkout/coupon/", "/checkout/"])
def test_it_says_why_and_shows_the_full_price(
    shopper: Shopper, coupon: Coupon, change: dict[str, Any], words: str, path: str
):
    Coupon.objects.update(**change)
    answer = shopper.post(path, **form())
    assert answer.status_code == 422
    assert f'<a href="#id_coupon">{words}</a>' in answer.text
    assert f'<p class="field__error" role="alert">{words}</p>' in answer.text
    assert price_on(answer.text) == FULL
    assert not Order.objects.exists()


def test_a_coupon_that_goes_meanwhile_is_told_with_the_full_price(
    shopper: Shopper, coupon: Coupon, book: Till
):
    """security 45: somebody else took the last use between the page and the button."""
    shopper.post("/checkout/coupon/", **form())
    book.place(new_member(), coupon=coupon)
    answer = shopper.post("/checkout/", **form(shown_fen="1000"))
    assert answer.status_code == 422
    assert "这个优惠码无效、过期或已经用完" in answer.text
    assert price_on(answer.text) == FULL
    assert Order.objects.count() == 1


def test_a_double_click_with_a_coupon_makes_one_order(shopper: Shopper, coupon: Coupon):
    """A2, and no wrong try is counted."""
    fields = form(shown_fen="1000")
    first = shopper.post("/checkout/", **fields)
    again = [shopper.post("/checkout/", **fields) for _ in range(12)]
    assert {each["Location"] for each in again} == {first["Location"]}
    assert (Order.objects.count(), used(coupon)) == (1, 1)


def test_guessing_is_slowed_down(shopper: Shopper, coupon: Coupon):
    """security 45: also over the front door; a right code is not told apart then."""
    for n in range(10):
        answer = shopper.post("/checkout/coupon/", **form(coupon=f"GUESS{n}"))
        assert answer.status_code == 422
    for code in ("GUESS", "SAVE2026"):
        answer = shopper.post("/checkout/coupon/", **form(coupon=code))
        assert answer.status_code == 429
        assert 0 < int(answer["Retry-After"]) <= 3_600
        assert price_on(answer.text) == FULL
    answer = shopper.post("/checkout/", **form(shown_fen="1000"))
    assert answer.status_code == 429
    assert shopper.post("/checkout/", **form(coupon="")).status_code == 303


@pytest.mark.parametrize("coupon", ["", " ", "-", " - "])
def test_an_empty_field_takes_the_coupon_off(shopper: Shopper, book: Till, coupon: str):
    answer = shopper.post("/checkout/coupon/", **form(coupon=coupon))
    assert answer.status_code == 200
    assert price_on(answer.text) == FULL


# --- Goods -------------------------------------------------------------------------


def test_goods_with_a_coupon(shopper: Shopper, coupon: Coupon, card: Goods):
    answer = shopper.post("/checkout/coupon/", **goods_form(card, quantity="2"))
    assert price_on(answer.text) == ("19500", "195.00", "195.00")
    assert "优惠码，比原价少 ¥5.00" in answer.text
    fields = goods_form(card, quantity="2", shown_fen="19500")
    assert shopper.post("/checkout/", **fields).status_code == 303
    order = Order.objects.get()
    assert (order.amount_fen, order.coupon_off_fen) == (19_500, 500)


def test_a_member_hears_that_her_price_is_as_good(
    shopper: Shopper, book: Till, member: Member, coupon: Coupon, card: Goods
):
    """S30: ¥95 either way; the coupon is kept, and the page says so."""
    make_member(book, member)
    answer = shopper.post("/checkout/coupon/", **goods_form(card))
    assert answer.status_code == 422
    assert "不用码也是这个价或更低，这个码留着下次用" in answer.text
    assert price_on(answer.text) == ("9500", "95.00", "95.00")
    assert used(coupon) == 0


def test_a_better_coupon_takes_the_place_of_her_discount(
    shopper: Shopper, book: Till, member: Member, coupon: Coupon, card: Goods
):
    make_member(book, member)
    Coupon.objects.update(off_fen=800)
    answer = shopper.post("/checkout/coupon/", **goods_form(card))
    assert price_on(answer.text) == ("9200", "92.00", "92.00")
    assert "优惠码，比原价少 ¥8.00" in answer.text
    assert "会员价，比原价少" not in answer.text
    applied = reference(answer.text)
    path = f"/checkout/summary/?goods=card&quantity=2&applied={applied}"
    # Two at her price cost ¥190, with the coupon ¥192: now her price is better.
    assert price_on(shopper.get(path).text) == ("19000", "190.00", "190.00")


def test_a_code_that_shows_a_member_shows_her_price(till: Till):
    """A7 with a coupon: as a guest ¥95, as the member she turns out to be ¥90."""
    card = make_goods("card", keys=3)
    make_coupon(till, "SAVE2026", off_fen=600)
    member = Member.objects.create_user(f"+86{PHONE}")
    make_member(till, member, "long-term")
    guest = Shopper(till)
    code = send_code(guest)
    fields = goods_form(card, channel="wechat", phone=PHONE, code=code)
    page = guest.post("/checkout/coupon/", **fields).text
    assert price_on(page) == ("9400", "94.00", "94.00")
    answer = guest.post("/checkout/", **fields | {"shown_fen": "9400"})
    assert answer.status_code == 422
    assert "不用码也是这个价或更低" in answer.text
    assert price_on(answer.text) == ("9000", "90.00", "90.00")
    assert guest.is_signed_in


def test_the_order_and_its_receipt_tell_of_the_coupon(shopper: Shopper, coupon: Coupon):
    shopper.post("/checkout/", **form(shown_fen="1000"))
    order = Order.objects.get()
    for path in (f"/orders/{order.no}/", f"/orders/{order.no}/pay/"):
        page = shopper.get(path).text
        assert "<dt>优惠码减</dt><dd>¥5.00</dd>" in page
    with_none = shopper.post("/checkout/", **form(coupon=""))
    assert "优惠码减" not in shopper.get(with_none["Location"]).text


def test_the_story_tells_of_the_coupon(shopper: Shopper, coupon: Coupon):
    shopper.post("/checkout/", **form(shown_fen="1000"))
    order = Order.objects.select_related("member", "plan__tier", "settled_by").get()
    story = order_story.story_of(order_story.records_of(order))
    placed = next(entry for entry in story if entry.title == "下单")
    assert ("优惠码", "SAVE2026") in placed.facts
    assert ("优惠码减", "¥5.00") in placed.facts
