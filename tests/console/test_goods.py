"""The console's goods: prices with a history, keys in by a dry run, keys shown to staff."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from goods import importing
from goods.models import CardKey, Goods, KeyBatch
from members.models import Member
from orders import delivery
from orders.models import Order
from payments.console import order_story
from tests.console.form_of import form_of
from tests.goods.shelves import empty, make_goods, restock, short
from tests.shopping import Till, fresh

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def card(shop: None) -> Goods:
    return make_goods("card", keys=1)


def import_page(goods: Goods) -> str:
    return f"/console/goods/goods/{goods.pk}/import/"


def batch_page(batch: KeyBatch, decision: str = "change") -> str:
    return f"/console/goods/keybatch/{batch.pk}/{decision}/"


def check(client: Client, goods: Goods, **fields: Any) -> KeyBatch:
    answer = client.post(import_page(goods), fields)
    assert answer.status_code == 302, answer.text
    return KeyBatch.objects.order_by("-id")[0]


# --- Keys coming in ----------------------------------------------------------------


def test_keys_come_in_by_a_dry_run(
    as_operator: Client, operator: Member, card: Goods, asleep: None
) -> None:
    """I10 at the console: checked, looked at, confirmed, imported, undone."""
    batch = check(as_operator, card, text="CON-0001\nCON-0001\nab\nCON-0002\n")
    page = as_operator.get(batch_page(batch)).text
    assert "CON-" not in page
    assert "第 3 行：太短" in page
    assert "导入 2 张" in page
    assert (batch.duplicates, batch.actor) == ([2], operator)
    as_operator.post(batch_page(batch, "confirm"))
    running = as_operator.get(batch_page(batch)).text
    assert '<progress id="progress" max="2" value="0">' in running
    Till(timezone.now()).run_outbox()
    assert fresh(card).stock == 3
    done = as_operator.get(batch_page(batch)).text
    assert "撤销：拿出 2 张未售的" in done
    as_operator.post(batch_page(batch, "undo"))
    assert fresh(card).stock == 1
    words = LogEntry.objects.filter(object_id=str(batch.pk)).order_by("id")
    assert [entry.get_change_message() for entry in words] == [
        "开始导入",
        "已撤销 2 张未售的卡密",
    ]


def test_a_file_can_be_dropped(as_operator: Client, card: Goods, asleep: None) -> None:
    file = SimpleUploadedFile("keys.csv", "卡号,密码\nF-0001,pw\n".encode("gb18030"))
    batch = check(as_operator, card, file=file)
    assert batch.lines == 1
    as_operator.post(batch_page(batch, "drop"))
    as_operator.post(batch_page(batch, "confirm"))
    batch.refresh_from_db()
    assert (batch.state, batch.content) == ("dropped", "")
    assert CardKey.objects.count() == 1


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"text": "   "},
        {"text": "A-0001", "file": SimpleUploadedFile("a.txt", b"B-0001")},
        {"file": SimpleUploadedFile("a.txt", b"\xff\xff\xff")},
    ],
    ids=["nothing", "blank", "both", "no text"],
)
def test_a_form_without_sense_imports_nothing(
    as_operator: Client, card: Goods, fields: dict[str, Any]
) -> None:
    assert as_operator.post(import_page(card), fields).status_code == 422
    assert KeyBatch.objects.count() == 1


def test_support_brings_no_keys_in(as_support: Client, card: Goods) -> None:
    """security 68."""
    assert as_support.post(import_page(card), {"text": "A-0001"}).status_code == 403
    batch = KeyBatch.objects.get()
    assert as_support.post(batch_page(batch, "undo")).status_code == 403
    assert fresh(card).stock == 1


def test_a_formula_is_a_key_like_any_other(
    as_operator: Client, card: Goods, asleep: None
) -> None:
    """security 73: kept as it came; no page of goods hands out a file."""
    empty(card)
    batch = check(as_operator, card, text="=HYPERLINK(1)\n@SUM(1)\n")
    as_operator.post(batch_page(batch, "confirm"))
    Till(timezone.now()).run_outbox()
    assert fresh(card).stock == 2
    for path in ("/console/goods/goods/", batch_page(batch), "/console/"):
        answer = as_operator.get(path)
        assert "HYPERLINK" not in answer.text
        assert "csv" not in answer["Content-Type"]
        assert "export" not in answer.text.lower()


def test_ten_thousand_keys_come_in_off_the_request(
    as_operator: Client, buyer: Member, card: Goods, asleep: None
) -> None:
    """I10, D23 at the console: named by line, imported piece by piece, undone.

    The request that agrees adds nothing; each piece moves the bar that the page draws,
    the last one serves who waited, and what was sold stays sold.
    """
    till = Till(timezone.now())
    waiting = short(till, buyer, card)
    lines = [f"TEN-{n:05}" for n in range(10_000)]
    lines[4_999] = "x"
    lines[9_999] = lines[0]
    file = SimpleUploadedFile("keys.csv", "\n".join(["卡密", *lines]).encode())
    batch = check(as_operator, card, file=file)
    page = as_operator.get(batch_page(batch)).text
    assert "导入 9998 张" in page
    assert "第 5001 行：太短" in page
    assert 'id="duplicates-heading">重复的行</h2><p>10001</p>' in page
    assert "TEN-" not in page
    as_operator.post(batch_page(batch, "confirm"))
    as_operator.post(batch_page(batch, "confirm"))  # a double click
    assert fresh(card).stock == 0
    seen = []
    for _ in importing.pieces(batch.pk, now=till.now):
        page = as_operator.get(batch_page(batch)).text
        seen += re.findall(r'<progress id="progress" max="9998" value="(\d+)"', page)
    assert seen == [str(n) for n in range(500, 9_998, 500)]
    till.run_outbox()
    assert fresh(waiting).fulfil == "done"
    assert fresh(card).stock == 9_997
    as_operator.post(batch_page(batch, "undo"))
    assert fresh(card).stock == 0
    assert waiting.keys.count() == 1
    page = as_operator.get(batch_page(batch)).text
    assert "<dt>已撤销</dt><dd>9997</dd>" in page
    assert "<dt>已售</dt><dd>1</dd>" in page


def test_keys_that_are_there_already_are_named(
    as_operator: Client, card: Goods, asleep: None
) -> None:
    """K20: by line, before anything is imported; the same key in other goods is new."""
    text = "OLD-0001\nOLD-0002\n"
    batch = check(as_operator, card, text=text)
    as_operator.post(batch_page(batch, "confirm"))
    Till(timezone.now()).run_outbox()
    again = check(as_operator, card, text=f"NEW-0001\n{text}")
    page = as_operator.get(batch_page(again)).text
    assert "导入 1 张" in page
    assert "<p>2, 3</p>" in page
    other = make_goods("other")
    assert check(as_operator, other, text=text).lines == 2


# --- Prices ------------------------------------------------------------------------


def test_a_price_change_is_written_down_and_leaves_the_stock_alone(
    as_operator: Client, operator: Member, card: Goods
) -> None:
    """I9 for goods; a sale between the form and its saving is not lost."""
    page = f"/console/goods/goods/{card.pk}/change/"
    form = form_of(as_operator, page)
    Goods.objects.update(stock=0)
    answer = as_operator.post(page, form | {"price_fen": "9000"})
    assert answer.status_code == 302, answer.text
    goods = fresh(card)
    assert (goods.price_fen, goods.stock) == (9_000, 0)
    change = goods.changes.get()
    assert (change.field, change.old, change.new) == ("price_fen", "10000", "9000")
    assert change.actor == operator
    assert "¥100.00" in as_operator.get(page).text


def test_low_stock_is_a_case_of_the_front_page(
    as_operator: Client,
    buyer: Member,
    card: Goods,
    asleep: None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Once a crossing in the log, as long as it lasts on the front page."""
    till = Till(timezone.now())
    restock(card, 3)
    Goods.objects.update(low_stock=4)
    case = 'data-open href="/console/goods/goods/?stock=low"'
    assert case not in as_operator.get("/console/").text
    for _ in range(2):
        till.buy_goods(buyer, fresh(card))
    assert [r.message for r in caplog.records if "is low" in r.message] == [
        f"goods {card.pk}: stock is low, 3 left"
    ]
    assert case in as_operator.get("/console/").text
    listing = as_operator.get("/console/goods/goods/?stock=low")
    assert card.name in listing.text


# --- Keys shown to staff -----------------------------------------------------------


@pytest.fixture
def secret(card: Goods) -> str:
    empty(card)
    return restock(card, 1)[0]


@pytest.fixture
def order(asleep: None, buyer: Member, card: Goods, secret: str) -> Order:
    card.refresh_from_db()
    return Till(timezone.now()).buy_goods(buyer, card)


def test_support_sees_a_key_with_a_reason(
    as_support: Client, support: Member, order: Order, secret: str
) -> None:
    """I11, security 68: masked until then, audited with who and why, never kept."""
    page = f"/console/orders/order/{order.pk}/change/"
    assert secret not in as_support.get(page).text
    answer = as_support.post(
        f"/console/orders/order/{order.pk}/keys/", {"n": "1", "reason": "买家电话里问"}
    )
    assert secret in answer.text
    assert "no-store" in answer["Cache-Control"]
    event = order.events.get(kind=delivery.REVEALED)
    assert (event.actor, event.detail) == (
        support,
        {"key": 1, "reason": "买家电话里问"},
    )
    story = order_story.story_of(order_story.records_of(order))
    assert ("查看卡密", "kefu") in [(entry.title, entry.actor) for entry in story]
    shown = as_support.get(page).text
    assert secret not in shown
    assert "买家电话里问" in shown


@pytest.mark.parametrize(
    "fields",
    [{"n": "1"}, {"n": "1", "reason": " a "}, {"n": "x", "reason": "为什么要看"}],
)
def test_without_a_reason_support_sees_nothing(
    as_support: Client, order: Order, secret: str, fields: dict[str, str]
) -> None:
    url = f"/console/orders/order/{order.pk}/keys/"
    answer = as_support.post(url, fields, follow=True)
    assert secret not in answer.text
    assert not order.events.filter(kind=delivery.REVEALED).exists()
    assert order.keys.get().revealed_at is None


def test_a_key_that_went_back_is_shown_to_nobody(
    as_support: Client, order: Order, secret: str
) -> None:
    url = f"/console/orders/order/{order.pk}/keys/"
    answer = as_support.post(url, {"n": "2", "reason": "买家电话里问"}, follow=True)
    assert "已经不在这个订单里了" in answer.text
    assert secret not in answer.text
