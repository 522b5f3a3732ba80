"""The console's coupons: one by hand, many by chance, and never the count of uses."""

from __future__ import annotations

import csv
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from members.models import Member, Plan
from orders.models import Coupon
from tests.console.form_of import form_of
from tests.orders.codes import make_coupon, used
from tests.shopping import Till, new_member

LIST = "/console/orders/coupon/"
ADD = f"{LIST}add/"

pytestmark = pytest.mark.usefixtures("shop")


@pytest.fixture
def book(asleep: None, shop: None) -> Till:
    return Till(timezone.now())


def fields(client: Client, **change: Any) -> dict[str, Any]:
    end = timezone.localtime(timezone.now() + timedelta(days=7))
    return (
        form_of(client, ADD)
        | {
            "off_fen": "500",
            "ends_at_0": f"{end:%Y-%m-%d}",
            "ends_at_1": f"{end:%H:%M:%S}",
            "max_uses": "100",
        }
        | change
    )


def complaints(client: Client, **change: Any) -> str:
    answer = client.post(ADD, fields(client, **change))
    assert answer.status_code == 200
    assert not Coupon.objects.exists()
    return answer.text


def test_a_coupon_by_hand(as_operator: Client, operator: Member, week: Plan):
    """The code is kept as it is looked for."""
    answer = as_operator.post(
        ADD,
        fields(as_operator, code="spring-2026", scope="chosen", plans=[str(week.pk)]),
    )
    assert answer.status_code == 302, answer.text
    coupon = Coupon.objects.get()
    assert (coupon.code, coupon.off_fen, coupon.off_bp) == ("SPRING2026", 500, None)
    assert (coupon.max_uses, coupon.max_per_member, coupon.used) == (100, 1, 0)
    assert list(coupon.plans.all()) == [week]
    assert coupon.actor == operator
    page = as_operator.get(LIST).text
    assert "SPRING2026" in page
    assert "0 / 100" in page
    assert "SPRING2026" in as_operator.get(f"{LIST}?q=spring2026").text


def test_many_codes_at_once(as_operator: Client, week: Plan):
    """Each its own code, all with the same value and scope; out again as a file."""
    given = fields(
        as_operator,
        how_many="30",
        batch="双十一",
        max_uses="1",
        scope="chosen",
        plans=[str(week.pk)],
    )
    assert as_operator.post(ADD, given).status_code == 302
    made = Coupon.objects.all()
    assert len({each.code for each in made}) == 30
    assert all(len(each.code) == 10 for each in made)
    assert {each.off_fen for each in made} == {500}
    assert all(list(each.plans.all()) == [week] for each in made)
    make_coupon(Till(timezone.now()), "ANOTHERBATCH")
    answer = as_operator.get(f"{LIST}codes/?batch=双十一")
    rows = list(csv.reader(answer.text.splitlines()))
    assert rows[0] == ["code", "used", "max_uses"]
    assert {row[0] for row in rows[1:]} == {each.code for each in made}
    assert "no-store" in answer["Cache-Control"]
    page = as_operator.get(f"{LIST}?batch=双十一").text
    assert "下载这批优惠码" in page
    assert "ANOTHERBATCH" not in page


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"off_fen": ""}, "减钱和减百分比，填一项"),
        ({"off_bp": "1000"}, "减钱和减百分比，填一项"),
        ({"ends_at_0": "2020-01-01"}, "结束要晚于开始"),
        ({"scope": "chosen"}, "至少选一个套餐、等级或商品"),
        ({"how_many": "2"}, "一次生成多个时要有批次名，好找"),
        ({"batch": "<script>"}, "只用文字、数字、空格和横线"),
        ({"code": "no!"}, "4 到 24 个大写字母和数字"),
    ],
    ids=str,
)
def test_what_the_form_refuses(as_operator: Client, change: dict[str, str], words: str):
    assert words in complaints(as_operator, **change)


@pytest.mark.parametrize(
    "change",
    [{"off_fen": "0"}, {"off_fen": "-1"}, {"max_uses": "0"}, {"how_many": "1001"}],
    ids=str,
)
def test_bounds(as_operator: Client, change: dict[str, str]):
    """security 44."""
    complaints(as_operator, **{"batch": "x"} | change)


def test_saving_never_touches_the_count(as_operator: Client, book: Till):
    """INV-13: a form that was opened before an order was placed."""
    coupon = make_coupon(book, max_uses=5)
    page = f"{LIST}{coupon.pk}/change/"
    opened = form_of(as_operator, page)
    book.place(new_member(), coupon=coupon)
    book.place(new_member(), coupon=coupon)
    assert as_operator.post(page, opened | {"max_uses": "1"}).status_code == 200
    answer = as_operator.post(page, opened | {"max_uses": "2", "code": "OTHERCODE"})
    assert answer.status_code == 302
    before = coupon.code
    coupon.refresh_from_db()
    assert (coupon.code, coupon.max_uses, used(coupon)) == (before, 2, 2)


def test_who_may(as_operator: Client, as_support: Client, book: Till):
    """security 68: codes are money; support sees none, nobody deletes one."""
    coupon = make_coupon(book, batch="x")
    for path in (LIST, ADD, f"{LIST}{coupon.pk}/change/", f"{LIST}codes/?batch=x"):
        assert as_support.get(path).status_code == 403
    assert as_operator.get(f"{LIST}{coupon.pk}/delete/").status_code == 403
