"""I11: support looks up by phone, order number, attempt number and gateway number."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from kameng.templatetags.shop import grouped
from members.models import Member
from payments.console import order_search
from payments.models import Attempt, EventOutcome, GatewayEvent
from tests.console.conftest import PHONE, pay

pytestmark = pytest.mark.django_db

TXN = "4200001234202611221234567890"
FIND = "/console/orders/order/find/"


def lead(client: Client, typed: str) -> str:
    """Where the box leads; empty when it says that nothing was found."""
    answer = client.post(FIND, {"q": typed})
    return "" if answer.status_code == 200 else answer["Location"]


def page(attempt: Attempt) -> str:
    return reverse("admin:orders_order_change", args=[attempt.order_id])


def test_every_spelling_of_every_number_leads_to_the_order(
    as_support: Client, buy: Callable[..., Attempt]
) -> None:
    attempt = buy(txn_id=TXN)
    number = attempt.order.no
    for typed in (
        number,
        number.lower(),
        grouped(number),
        f"  {grouped(number).lower()} ",
        "-".join(grouped(number).split()),
        number.replace("0", "o").replace("1", "l"),
        attempt.out_trade_no,
        attempt.out_trade_no.lower(),
        TXN,
        f" {TXN} ",
    ):
        assert lead(as_support, typed) == page(attempt), typed


@pytest.mark.parametrize(
    "typed",
    [
        "13800138000",
        "138 0013 8000",
        "+86 138-0013-8000",
        "0086 13800138000",
        "１３８００１３８０００",
        "8000",
    ],
)
def test_a_phone_leads_to_its_one_order(
    as_support: Client, buy: Callable[..., Attempt], typed: str
) -> None:
    attempt = buy()
    assert lead(as_support, typed) == page(attempt)


def test_a_phone_with_several_orders_leads_to_their_list_without_the_phone(
    as_support: Client, buy: Callable[..., Attempt], buyer: Member
) -> None:
    mine = [buy(), buy("temporary-1")]
    other = buy(member=Member.objects.create_user("+8613900139001"))
    where = lead(as_support, "13800138000")
    assert where == f"/console/orders/order/?member={buyer.pk}"
    listed = as_support.get(where).content.decode()
    assert all(grouped(each.order.no) in listed for each in mine)
    assert grouped(other.order.no) not in listed
    assert "13800138000" not in listed
    assert "138••••8000" in listed


def test_four_digits_lead_to_all_who_share_them(
    as_support: Client, buy: Callable[..., Attempt]
) -> None:
    twin = Member.objects.create_user("+8613900138000")
    mine = [buy(), buy(member=twin)]
    other = buy(member=Member.objects.create_user("+8613900139001"))
    where = lead(as_support, "8000")
    assert where == "/console/orders/order/?tail=8000"
    listed = as_support.get(where).content.decode()
    assert all(grouped(each.order.no) in listed for each in mine)
    assert grouped(other.order.no) not in listed


def test_a_phone_without_orders_leads_to_the_member(
    as_support: Client, buyer: Member
) -> None:
    assert lead(as_support, PHONE) == f"/console/members/member/{buyer.pk}/change/"
    assert lead(as_support, "8000") == f"/console/members/member/{buyer.pk}/change/"
    Member.objects.create_user("+8613900138000")
    assert lead(as_support, "8000") == "/console/members/member/?tail=8000"


def test_a_refund_number_leads_to_the_order(
    as_support: Client, buy: Callable[..., Attempt]
) -> None:
    attempt = buy(txn_id=TXN)
    second = Attempt.objects.create(
        order=attempt.order,
        gateway="alipay",
        channel="alipay",
        product="page",
        out_trade_no="0" * 26,
        amount_fen=1500,
    )
    pay(second, "2026112222001")
    refund = second.refunds.get()
    assert lead(as_support, refund.out_refund_no) == page(attempt)
    assert lead(as_support, "2026112222001") == page(attempt)


def test_the_number_of_an_orphan_leads_to_the_gateways_message(
    as_support: Client, buy: Callable[..., Attempt]
) -> None:
    orphan = GatewayEvent.objects.create(
        gateway="wechat",
        digest="d",
        kind="notice",
        number="NOBODY0001",
        txn_id=TXN,
        outcome=EventOutcome.ORPHAN,
    )
    where = f"/console/payments/gatewayevent/{orphan.pk}/change/"
    assert lead(as_support, TXN) == where
    assert lead(as_support, "NOBODY0001") == where
    attempt = buy(txn_id="4200009999")
    pay(attempt, "4200008888")  # B14b: a second transaction for a paid attempt
    assert lead(as_support, "4200008888") == page(attempt)


@pytest.mark.parametrize(
    "typed",
    [
        "",
        " ",
        "x",
        "nothing here",
        "13800138001",
        "9999",
        "%",
        "_" * 10,
        "\x00" * 8,
        "' OR 1=1 --",
        "<svg onload=alert(1)>",
        "8" * 5000,
        "no__startswith",
        "１２３４",
    ],
)
def test_what_is_not_found_is_said_and_kept(
    as_support: Client, buy: Callable[..., Attempt], typed: str
) -> None:
    buy()
    answer = as_support.post(FIND, {"q": typed})
    assert answer.status_code == 200
    text = answer.content.decode()
    assert "没有找到" in text or "先填一个号码" in text
    assert "<svg onload" not in text


def test_the_list_takes_the_customary_q_too(
    as_support: Client, buy: Callable[..., Attempt]
) -> None:
    attempt = buy()
    answer = as_support.get("/console/orders/order/", {"q": attempt.order.no})
    assert answer["Location"] == page(attempt)
    for hostile in ("\x00", "%", "'", "no__contains"):
        answer = as_support.get("/console/orders/order/", {"q": hostile})
        assert answer.status_code == 200


def test_no_look_scans_the_orders(
    buy: Callable[..., Attempt], django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    attempt = buy(txn_id=TXN)
    for typed in (attempt.order.no, TXN, PHONE, "8000"):
        with django_assert_max_num_queries(6) as asked:
            assert order_search.find(typed).orders
        for query in asked.captured_queries:
            assert "orders_order" not in query["sql"] or "LIKE" not in query["sql"]
