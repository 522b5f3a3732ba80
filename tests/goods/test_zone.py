"""The zone through the front door: prices, stock, limits, the checkout, the way back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from goods.models import CardKey, Category, Goods
from members.models import Member, Tier
from members.sign_in import way_back
from members.timeline import grant
from orders.checkout import GoodsGone, LimitReached, OutOfStock, PriceChanged
from orders.models import Order
from orders.pricing import line_fen
from payments.models import Attempt
from tests.goods.shelves import make_goods, make_member, restock, short
from tests.orders.test_checkout_page import PHONE, send_code
from tests.payments.far_side import FarAlipay
from tests.shopping import (
    Shopper,
    Till,
    client_token,
    fresh,
    new_member,
    statements,
)

pytestmark = pytest.mark.django_db(transaction=True)


def form(card: Goods, **change: Any) -> dict[str, Any]:
    return {
        "goods": card.slug,
        "quantity": "1",
        "channel": "alipay",
        "client_token": client_token(),
        "shown_fen": str(card.price_fen),
    } | change


@pytest.fixture
def alipay_on() -> Iterator[None]:
    with override_settings(**FarAlipay.settings()):
        yield


@pytest.fixture
def shopper(book: Till, member: Member, alipay_on: None) -> Shopper:
    """Signed in, without a membership."""
    return Shopper(book, member)


def text_of(answer: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))


# --- Prices ------------------------------------------------------------------------


def give(book: Till, member: Member, tier: str, days: int) -> None:
    grant(
        member.pk,
        tier=Tier.objects.get(code=tier),
        seconds=days * 86_400,
        actor=member,
        reason="W2",
        now=book.now,
    )
    member.refresh_from_db()


@pytest.fixture
def gold_over_silver(book: Till, member: Member) -> Member:
    """W2: silver at 95, gold at 85 running until 2026-11-29 10:00."""
    Tier.objects.filter(code="long-term").update(discount_bp=8_500)
    give(book, member, "temporary", 30)
    give(book, member, "long-term", 7)
    return member


def test_the_running_tier_decides_the_price(
    book: Till, gold_over_silver: Member, card: Goods
):
    """D13, W14: ¥85 to the last second of gold, ¥95 from then on, without any job."""
    shopper = Shopper(book, gold_over_silver)

    def badge() -> str:
        found = re.search(r'<a class="badge[^>]*>.*?</svg>(\S+)', shopper.get("/").text)
        assert found
        return found[1]

    book.wait(days=7, seconds=-1)
    assert badge() == "长期会员"
    assert 'name="shown_fen" value="8500"' in shopper.get("/zone/card/").text
    assert book.bill_goods(gold_over_silver, card, shown_fen=8_500).amount_fen == 8_500
    book.wait(seconds=1)
    assert badge() == "临时会员"
    assert 'name="shown_fen" value="9500"' in shopper.get("/zone/card/").text
    assert book.bill_goods(gold_over_silver, card, shown_fen=9_500).amount_fen == 9_500


def test_the_price_of_placement_is_due(
    book: Till, gold_over_silver: Member, card: Goods
):
    """A7: ordered a second before gold ends, paid twenty minutes later: ¥85."""
    book.wait(days=7, seconds=-1)
    attempt = book.bill_goods(gold_over_silver, card)
    book.wait(minutes=20)
    assert book.hear(attempt) == "settled"
    order = fresh(attempt.order)
    assert (order.amount_fen, order.unit_fen, order.discount_bp) == (
        8_500,
        10_000,
        8_500,
    )


@pytest.mark.parametrize(("today", "due"), [(9_000, 8_500), (8_000, 8_000)])
def test_a_member_keeps_what_she_bought_and_gets_what_is_better(
    book: Till, gold_over_silver: Member, card: Goods, today: int, due: int
):
    """D14, R17: the better of the snapshot and the tier's discount of today."""
    Tier.objects.filter(code="long-term").update(discount_bp=today)
    order = book.bill_goods(gold_over_silver, card, shown_fen=due).order
    assert order.amount_fen == due


@pytest.mark.parametrize(
    ("price", "bp", "due"), [(999, 8_500, 849), (1, 8_500, 1), (300, 9_500, 285)]
)
def test_fen_are_rounded_once(
    book: Till, member: Member, price: int, bp: int, due: int
):
    """R18, W15."""
    Tier.objects.filter(code="temporary").update(discount_bp=bp)
    goods = make_goods(keys=1, price_fen=price)
    make_member(book, member)
    assert line_fen(price, 1, bp) == due
    assert book.bill_goods(member, goods, shown_fen=due).amount_fen == due


def test_goods_without_a_discount_cost_everybody_the_same(book: Till, member: Member):
    goods = make_goods(keys=1, member_discount=False)
    make_member(book, member)
    assert book.bill_goods(member, goods, shown_fen=10_000).order.discount_bp == 10_000


def test_guest_and_member_see_their_prices_side_by_side(
    book: Till, member: Member, card: Goods, alipay_on: None
):
    """The member price is locked for a guest: 「开通会员后 ¥95.00」 with the way to it."""
    page = text_of(Shopper(book).get("/zone/"))
    assert "¥100.00" in page
    assert "开通会员后 ¥95.00" in page
    item = Shopper(book).get("/zone/card/")
    assert "开通临时会员，按 ¥95.00 买" in item.text
    assert 'name="shown_fen" value="10000"' in item.text
    make_member(book, member)
    mine = text_of(Shopper(book, member).get("/zone/"))
    assert "会员价 ¥95.00 原价 ¥100.00" in mine
    assert "开通会员后" not in mine


# --- The shelves -------------------------------------------------------------------


def test_shelves_search_and_pages(book: Till, card: Goods):
    tools = Category.objects.create(slug="tools", name="软件")
    make_goods("cloud", keys=1, name="云盘月卡")
    Goods.objects.filter(slug="cloud").update(category=tools)
    Goods.objects.create(
        slug="gone", category=tools, name="下架", price_fen=1, enabled=False
    )
    guest = Shopper(book)

    def slugs(query: str = "") -> list[str]:
        return re.findall(r'href="/zone/([\w-]+)/"', guest.get(f"/zone/{query}").text)

    assert set(slugs()) == {"card", "cloud"}
    assert slugs("?category=tools") == ["cloud"]
    assert slugs("?q=云盘") == ["cloud"]
    assert slugs("?q=nothing") == []
    assert slugs("?q=%00&category=%00") != []  # security 61
    assert slugs("?q=%00nothing") == []
    assert slugs("?category=none&page=99999999999999999999") != []
    assert "没有找到" in guest.get("/zone/?q=nothing").text
    assert guest.get("/zone/gone/").status_code == 404
    assert guest.get("/zone/nowhere/").status_code == 404
    Goods.objects.update(enabled=False)
    assert "专区还没有商品" in guest.get("/zone/").text


def test_more_goods_stand_on_the_next_page(book: Till, shop: None):
    for n in range(25):
        make_goods(f"it-{n:02}", keys=1)
    guest = Shopper(book)
    first = guest.get("/zone/?category=games").text
    assert "it-24" not in first
    found = re.search(r'rel="next" href="([^"]+)"', first)
    assert found is not None
    second = guest.get(found[1].replace("&amp;", "&")).text
    assert 'href="/zone/it-24/"' in second
    assert 'rel="prev"' in second


@pytest.mark.parametrize(
    ("keys", "restocks", "words"),
    [
        (3, True, "还有 3 件"),
        (100, True, "库存充足"),
        (0, True, "暂时缺货"),
        (0, False, "已售完"),
    ],
)
def test_stock_is_told_as_it_is(
    book: Till, shop: None, keys: int, restocks: bool, words: str
):
    make_goods("it", keys=keys, restocks=restocks)
    for path in ("/zone/", "/zone/it/"):
        page = Shopper(book).get(path)
        assert words in text_of(page)
    assert ('name="shown_fen"' in page.text) is bool(keys)


def test_keys_promised_to_the_line_are_not_offered(book: Till, member: Member):
    """Honest stock: what a restock brings belongs to those who wait first."""
    goods = make_goods("it")
    short(book, member, goods, quantity=2)
    restock(goods, 3)
    assert "还有 1 件" in text_of(Shopper(book).get("/zone/it/"))
    with pytest.raises(OutOfStock) as refusal:
        book.bill_goods(new_member(), goods, quantity=2)
    assert refusal.value.left == 1


def test_the_zone_costs_the_same_however_much_is_on_it(book: Till, shop: None):
    def cost(path: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            Shopper(book).get(path)
        return len(statements(queries))

    make_goods(keys=2)
    cost("/zone/")  # what the process keeps is read here
    few = cost("/zone/")
    for _ in range(30):
        make_goods(keys=1)
    assert cost("/zone/") == few <= 4


# --- Ordering ----------------------------------------------------------------------


def test_a_member_orders_by_the_same_form(shopper: Shopper, card: Goods):
    """A1 for goods: 303 to the pay page, frozen title, price and instructions."""
    Goods.objects.filter(pk=card.pk).update(instructions="到官网兑换")
    answer = shopper.post("/checkout/", **form(card, quantity="2", shown_fen="20000"))
    order = Order.objects.get()
    assert (answer.status_code, answer["Location"]) == (303, f"/orders/{order.no}/pay/")
    Goods.objects.filter(pk=card.pk).update(instructions="另一套", price_fen=1)
    assert (order.kind, order.goods, order.quantity) == ("goods", card, 2)
    assert (order.amount_fen, order.instructions) == (20_000, "到官网兑换")
    assert order.expires_at - order.placed_at == timedelta(minutes=30)


def test_a_guest_orders_with_a_code(till: Till, shop: None):
    """S1 for goods: phone and code on the page of the goods."""
    card = make_goods("card", keys=1)
    guest = Shopper(till)
    code = send_code(guest)
    answer = guest.post("/checkout/", **form(card, phone=PHONE, code=code))
    assert answer.status_code == 303
    assert Order.objects.get().member.phone == f"+86{PHONE}"


def test_a_member_who_comes_as_a_guest_is_asked_again_at_her_price(
    till: Till, shop: None
):
    """A3: the page showed ¥100; her code shows a member, whose price is ¥95."""
    card = make_goods("card", keys=1)
    make_member(till, Member.objects.create_user(f"+86{PHONE}"))
    guest = Shopper(till)
    code = send_code(guest)
    answer = guest.post("/checkout/", **form(card, phone=PHONE, code=code))
    assert answer.status_code == 422
    assert 'name="shown_fen" value="9500"' in answer.text
    assert not Order.objects.exists()
    again = guest.post("/checkout/", **form(card, shown_fen="9500"))
    assert again.status_code == 303


def test_sending_the_code_keeps_the_page_of_the_goods(till: Till, shop: None):
    card = make_goods("card", keys=3)
    guest = Shopper(till)
    answer = guest.post(
        "/checkout/code/", **form(card, phone=PHONE, quantity="2", shown_fen="20000")
    )
    assert answer.status_code == 200
    assert 'name="goods" value="card"' in answer.text
    assert 'name="shown_fen" value="20000"' in answer.text
    assert 'name="code"' in answer.text


def test_a_double_click_makes_one_order(shopper: Shopper, card: Goods):
    """A2, also when the goods have gone from the zone meanwhile."""
    fields = form(card)
    first = shopper.post("/checkout/", **fields)
    CardKey.objects.all().delete()
    Goods.objects.update(stock=0, enabled=False)
    assert shopper.post("/checkout/", **fields)["Location"] == first["Location"]
    assert Order.objects.count() == Attempt.objects.count() == 1


@pytest.mark.parametrize(
    "quantity",
    ["0", "-1", "1.99", "1e3", "1_0", "２", "1000000000", "", "4", "[1]", " 1", "0x1"],
)
def test_a_strange_quantity_orders_nothing(
    shopper: Shopper, card: Goods, quantity: str
):
    """security 44: whole numbers within the limits and nothing else."""
    Goods.objects.update(max_per_order=3)
    answer = shopper.post("/checkout/", **form(card, quantity=quantity))
    assert answer.status_code == 422
    assert not Order.objects.exists()


def test_limits_of_an_order_and_of_a_member(book: Till, member: Member):
    """Held and paid pieces count, refunded and lapsed ones do not."""
    goods = make_goods(keys=9, max_per_order=2, max_per_member=3)
    with pytest.raises(LimitReached) as refusal:
        book.bill_goods(member, goods, quantity=3)
    assert refusal.value.left == 2
    book.buy_goods(member, goods, quantity=2)
    book.bill_goods(member, goods)
    with pytest.raises(LimitReached) as refusal:
        book.bill_goods(member, goods)
    assert refusal.value.left == 0
    book.wait(minutes=31)
    assert book.bill_goods(member, goods).amount_fen == 10_000


def test_refusals_come_back_as_pages(shopper: Shopper, book: Till, card: Goods):
    """422 with words and the page as it is now; nothing is placed."""
    Goods.objects.update(max_per_member=1)
    limit = shopper.post("/checkout/", **form(card, quantity="2", shown_fen="20000"))
    assert (limit.status_code, "还能买 1 件" in limit.text) == (422, True)
    CardKey.objects.all().delete()
    Goods.objects.update(stock=0)
    gone = shopper.post("/checkout/", **form(card))
    assert (gone.status_code, "刚卖完" in gone.text) == (422, True)
    off = shopper.post("/checkout/", **form(card, goods="nothing"))
    assert (off.status_code, "不卖了" in off.text) == (422, True)
    price = shopper.post("/checkout/", **form(card, shown_fen="1"))
    assert price.status_code == 422
    assert not Order.objects.exists()


def test_the_domain_refuses_by_itself(book: Till, member: Member, card: Goods):
    with pytest.raises(PriceChanged) as changed:
        book.bill_goods(member, card, shown_fen=9_999)
    assert changed.value.price_fen == 10_000
    Goods.objects.update(enabled=False)
    with pytest.raises(GoodsGone):
        book.bill_goods(member, card)


def test_open_orders_do_not_hold_the_last_key(book: Till, card: Goods):
    """security 84: stock is promised by payment alone; five open orders a member."""
    hoarder = new_member()
    for _ in range(5):
        book.bill_goods(hoarder, card, quantity=3)
    assert fresh(card).stock == 3
    assert book.buy_goods(new_member(), card, quantity=3).fulfil == "done"


def test_placing_takes_at_most_eight_statements(book: Till, member: Member):
    goods = make_goods(keys=5, max_per_member=9)
    make_member(book, member)
    book.bill_goods(member, goods)
    with CaptureQueriesContext(connection) as queries:
        book.bill_goods(member, goods, shown_fen=9_500, address="digest")
    placing = statements(queries)[:-1]  # the last one is the test's, for its attempt
    assert len(placing) <= 8, "\n".join(placing)


# --- The way back ------------------------------------------------------------------


def test_a_membership_bought_on_the_way_leads_back_to_the_goods(
    shopper: Shopper, book: Till, card: Goods, member: Member
):
    """S21: the goods page, the membership, and the goods again at ¥95."""
    item = shopper.get("/zone/card/").text
    found = re.search(r'href="(/membership/temporary/\?next=[^"]+)"', item)
    assert found is not None
    choice = shopper.get(found[1]).text
    signed = re.search(r'name="next" value="([^"]+)"', choice)
    assert signed is not None
    answer = shopper.post(
        "/checkout/",
        plan="temporary-7",
        quantity="1",
        channel="alipay",
        client_token=client_token(),
        shown_fen="1500",
        next=signed[1],
    )
    attempt = Attempt.objects.get()
    book.hear(attempt)
    settled = shopper.get(answer["Location"]).text
    assert 'href="/zone/card/"' in settled
    assert 'name="shown_fen" value="9500"' in shopper.get("/zone/card/").text


@pytest.mark.parametrize(
    "wish",
    [
        "https://evil.example/",
        "//evil.example/",
        "/zone/card/",
        "/zone/card/:AAAA",
        "/\\evil.example:sig",
        "%2F%2Fevil.example",
        "",
    ],
)
def test_a_way_that_the_shop_did_not_sign_leads_nowhere(shopper: Shopper, wish: str):
    """security 28."""
    assert 'name="next"' not in shopper.get(
        "/membership/temporary/", query_params={"next": wish}
    ).text.replace('name="next" value="/membership', "")
    assert way_back.read(wish) == ""


def test_not_even_a_signed_way_leaves_the_shop():
    """security 28: signed by mistake or not, another host is no way back."""
    for wish in ("https://evil.example/", "//evil.example/", "evil", "/\\evil.example"):
        assert way_back.read(way_back.sign(wish)) == ""
    assert way_back.read(way_back.sign("/zone/card/")) == "/zone/card/"


def test_the_home_page_leads_to_the_zone(book: Till, shop: None):
    assert Client().get("/").text.count('href="/zone/"') == 2
