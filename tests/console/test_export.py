"""Files that operators take along: exact, masked, harmless, logged, limited."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry

from kameng import spreadsheets
from members.models import Member
from orders import delivery
from orders.models import Order
from payments.console import exporting
from payments.models import Refund
from tests.goods.shelves import make_goods, restock
from tests.shopping import Shopper, Till, fresh, new_member

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = "/console/orders/order/export/"
NIGHT = datetime(2026, 11, 22, 15, 59, 59, tzinfo=UTC)
"""A second before midnight in Shanghai."""


def export(desk: Shopper, kind: str, **dates: str) -> list[list[str]]:
    """The rows of a file, its header first."""
    fields = {"kind": kind, "since": "2026-11-22", "until": "2026-11-22"} | dates
    answer = desk.post(PAGE, **fields)
    assert answer.status_code == 200, answer.text
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert "no-store" in answer["Cache-Control"]
    name = f'attachment; filename="{kind}-{fields["since"]}-{fields["until"]}.csv"'
    assert answer["Content-Disposition"] == name
    text = answer.content.decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text)))


@pytest.fixture
def desk(book: Till, operator: Member) -> Shopper:
    """An operator at the till's time."""
    return Shopper(book, operator)


def test_orders_of_a_day_in_shanghai(
    book: Till, operator: Member, buyer: Member
) -> None:
    """Paid, open and lapsed; to the second by Shanghai's midnight; phones masked."""
    paid = book.bill(buyer)
    book.hear(paid)
    lapsed = book.place(new_member())
    book.set_clock(NIGHT)
    last = book.place(new_member())
    book.set_clock(NIGHT + timedelta(seconds=1))
    tomorrow = book.place(new_member())
    desk = Shopper(book, operator)
    header, *rows = export(desk, "orders")
    assert header[:5] == ["订单号", "下单时间", "付款时间", "名称", "数量"]
    assert [row[0] for row in rows] == [paid.order.no, lapsed.no, last.no]
    assert rows[0][1:] == [
        *("2026-11-22 10:00:00", "2026-11-22 10:00:00", fresh(paid.order).title, "1"),
        *("15.00", "0.00", "已付款", "已履约", "138••••8000"),
    ]
    assert [row[7] for row in rows] == ["已付款", "已过期", "待付款"]
    assert rows[2][1] == "2026-11-22 23:59:59"
    [row] = export(desk, "orders", since="2026-11-23", until="2026-11-23")[1:]
    assert (row[0], row[1]) == (tomorrow.no, "2026-11-23 00:00:00")
    [entry] = LogEntry.objects.order_by("action_time")[:1]
    words = "导出 2026-11-22 到 2026-11-22，3 行"
    assert (entry.object_repr, entry.get_change_message()) == ("订单", words)


def test_keys_that_were_sold_and_no_key(
    book: Till, desk: Shopper, buyer: Member
) -> None:
    """security 53, 74: which key went where and when it was seen, never what it says."""
    goods = make_goods(name="=1+1 点卡")
    secrets = restock(goods, 3)
    order = book.buy_goods(buyer, fresh(goods), quantity=2)
    book.wait(minutes=1)
    delivery.reveal(order.pk, 1, now=book.now)
    _, *rows = export(desk, "keys")
    first, second = order.keys.order_by("pk")
    sold = ["2026-11-22 10:00:00"]
    name, batch = "'=1+1 点卡", str(first.batch_id or "")
    assert rows == [
        [str(first.pk), name, batch, order.no, *sold, "2026-11-22 10:01:00"],
        [str(second.pk), name, batch, order.no, *sold, ""],
    ]
    assert not any(secret in str(rows) for secret in secrets)


def test_money_both_ways(book: Till, desk: Shopper, buyer: Member, operator: Member):
    """What came in and what went back; the sums are those of the ledger."""
    attempt = book.bill(buyer)
    book.hear(attempt)
    book.wait(hours=1)
    refund = Refund.objects.create(
        attempt=attempt,
        out_refund_no="R20261122001",
        amount_fen=500,
        reason="operator",
        state="success",
        gateway_refund_id="503000001",
        actor=operator,
        finished_at=book.now,
    )
    header, *rows = export(desk, "money")
    attempt = fresh(attempt)
    no, number = attempt.order.no, attempt.out_trade_no
    assert header[2:4] == ["收（元）", "退（元）"]
    assert rows == [
        [
            *("2026-11-22 10:00:00", "收款", "15.00", "", no, "wechat", number, ""),
            *(attempt.txn_id, ""),
        ],
        [
            *("2026-11-22 11:00:00", "退款", "", "5.00", no, "wechat", number),
            *(refund.out_refund_no, "503000001"),
            "运营退款",
        ],
    ]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(1)", "'@SUM(1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("小明", "小明"),
        (None, ""),
        (15, "15"),
    ],
)
def test_no_cell_is_a_formula(value: str | int | None, written: str) -> None:
    """security 73: prefixed, quoted, and kept by no cache."""
    answer = spreadsheets.answer("x", ["a"], [[value]])
    text = answer.content.decode("utf-8-sig")
    [_, [cell]] = csv.reader(io.StringIO(text, newline=""))
    assert cell == written
    assert text.startswith('"a"\r\n"')


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "这个字段是必填项"),
        ({"since": "2026-11-23"}, "结束不能早于开始"),
        ({"since": "2026-08-22"}, "一次最多导出 92 天"),
        ({"kind": "secrets"}, "secrets"),
        ({"since": "gestern"}, "输入一个有效的日期"),
    ],
)
def test_a_form_without_sense_hands_out_nothing(
    book: Till, desk: Shopper, fields: dict[str, str], words: str
) -> None:
    day = {"kind": "orders", "since": "2026-11-22", "until": "2026-11-22"}
    answer = desk.post(PAGE, **(day | fields if fields else {}))
    assert answer.status_code == 422
    assert words in answer.text
    assert not LogEntry.objects.exists()


def test_support_takes_no_file_away(book: Till, support: Member) -> None:
    """security 68: neither the page nor the link to it."""
    shopper = Shopper(book, support)
    assert shopper.get(PAGE).status_code == 403
    assert shopper.post(PAGE, kind="orders").status_code == 403
    assert PAGE not in shopper.get("/console/orders/order/").text
    assert not LogEntry.objects.exists()


def test_an_operator_finds_it_from_the_orders(book: Till, desk: Shopper) -> None:
    assert f'href="{PAGE}"' in desk.get("/console/orders/order/").text
    assert "手机号打码" in desk.get(PAGE).text


def test_files_are_limited(book: Till, desk: Shopper) -> None:
    """security 73: twenty an hour, and so many rows at once."""
    for _ in range(20):
        export(desk, "orders")
    day = {"kind": "orders", "since": "2026-11-22", "until": "2026-11-22"}
    answer = desk.post(PAGE, **day)
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 3_600
    assert LogEntry.objects.count() == 20
    book.wait(hours=1)
    export(desk, "orders")


def test_too_many_rows_are_not_cut_off_silently(
    book: Till, desk: Shopper, buyer: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "MOST", 1)
    book.place(buyer)
    book.place(new_member())
    day = {"kind": "orders", "since": "2026-11-22", "until": "2026-11-22"}
    answer = desk.post(PAGE, **day)
    assert answer.status_code == 422
    assert "把时间缩短一些" in answer.text
    assert Order.objects.count() == 2
    assert not LogEntry.objects.exists()
