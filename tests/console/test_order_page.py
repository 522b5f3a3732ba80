"""The order's page: summary, related rows and one story, read-only and masked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from members.models import Member
from notifications.models import Notification
from orders.models import Order, OrderEvent
from payments.console import decisions, order_story
from payments.models import Attempt, GatewayEvent
from tests.console.conftest import NOON, pay

pytestmark = pytest.mark.django_db

TXN = "4200001234202611221234567890"


def page(attempt: Attempt) -> str:
    return f"/console/orders/order/{attempt.order_id}/change/"


def second_attempt(first: Attempt) -> Attempt:
    return Attempt.objects.create(
        order=first.order,
        gateway="alipay",
        channel="alipay",
        product="page",
        out_trade_no="1" * 26,
        amount_fen=first.amount_fen,
        created_at=NOON,
        handover={"kind": "form", "url": "https://secret.example/pay?sign=abc"},
        payer_ip="203.0.113.9",
    )


def test_the_story_is_merged_from_every_table_in_order(
    buy: Callable[..., Attempt],
) -> None:
    attempt = buy()
    rival = second_attempt(attempt)
    pay(attempt, TXN, at=NOON + timedelta(seconds=5))
    pay(rival, "2026112222001", at=NOON + timedelta(seconds=9))
    records = order_story.records_of(Order.objects.get(pk=attempt.order_id))
    story = order_story.story_of(records)
    told = [(entry.label, entry.title, entry.actor) for entry in story]
    assert told[:9] == [
        ("订单", "下单", "买家"),
        ("风控", "放行", "系统"),
        ("支付", "用微信支付付款", "买家"),
        ("支付", "用支付宝付款", "买家"),
        ("通知", "微信支付：入账", "微信支付"),
        ("订单", "订单已付款", "系统"),
        ("开通", "会员开通", "系统"),
        ("消息", "站内：开通通知，已发", "系统"),
        ("消息", "短信：开通通知，排队", "系统"),
    ]
    assert ("通知", "支付宝：多付，退回", "支付宝") in told[9:]
    assert ("退款", "登记退款", "系统") in told[9:]
    assert [entry.at for entry in story] == sorted(entry.at for entry in story)
    assert story[4].source == "异步通知"
    refund = next(entry for entry in story if entry.title == "登记退款")
    assert ("金额", "¥15.00") in refund.facts
    assert ("原因", "重复付款") in refund.facts


def test_the_page_shows_times_to_the_second_in_shanghai_and_nothing_private(
    as_support: Client, buy: Callable[..., Attempt]
) -> None:
    attempt = buy()
    rival = second_attempt(attempt)
    pay(attempt, TXN, at=NOON + timedelta(seconds=5))
    Attempt.objects.filter(pk=rival.pk).update(last_error="payer 13800138000 refused")
    GatewayEvent.objects.update(content={"note": "call 13800138000"})
    link = "token-that-opens-the-order"
    Notification.objects.filter(channel="sms").update(params={"link": link})
    html = as_support.get(page(attempt)).content.decode()
    assert "2026-11-22 12:00:05" in html
    assert "138••••8000" in html
    assert "138****8000" in html
    for secret in ("13800138000", "secret.example", "203.0.113.9", link):
        assert secret not in html
    message = Notification.objects.get(channel="sms")
    shown = as_support.get(f"/console/notifications/notification/{message.pk}/change/")
    assert link not in shown.content.decode()
    shown = as_support.get(f"/console/payments/attempt/{rival.pk}/change/")
    for secret in ("13800138000", "secret.example", "203.0.113.9"):
        assert secret not in shown.content.decode()


def test_what_staff_did_names_who_did_it_and_why(
    as_support: Client, operator: Member, buy: Callable[..., Attempt]
) -> None:
    """C5: money of another sum, accepted by an operator."""
    attempt = buy(txn_id=TXN, paid_fen=1400)
    reason = "差一元，客户 13800138000 已补"
    decisions.accept(attempt.pk, actor=operator, reason=reason, now=NOON)
    records = order_story.records_of(Order.objects.get(pk=attempt.order_id))
    told = order_story.story_of(records)
    entry = next(each for each in told if each.part == "staff")
    assert (entry.title, entry.actor) == ("收下这笔钱", "yunying")
    assert ("实收", "¥14.00") in entry.facts
    html = as_support.get(page(attempt)).content.decode()
    assert "138****8000 已补" in html
    assert "13800138000" not in html


def test_the_page_costs_the_same_however_long_the_story(
    as_support: Client,
    buy: Callable[..., Attempt],
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    attempt = buy(txn_id=TXN)
    for number in range(20):
        OrderEvent.objects.create(order=attempt.order, at=NOON, kind=f"mark-{number}")
    as_support.get(page(attempt))
    with django_assert_max_num_queries(12):  # four of them: session, staff, rights
        assert as_support.get(page(attempt)).status_code == 200


def test_i1_nothing_of_an_order_can_be_edited(
    as_operator: Client, buy: Callable[..., Attempt]
) -> None:
    attempt = buy()
    before = Order.objects.filter(pk=attempt.order_id).values().get()
    typed = {"status": "paid", "amount_fen": "1", "fulfil": "done", "_save": "1"}
    assert as_operator.post(page(attempt), typed).status_code == 403
    assert Order.objects.filter(pk=attempt.order_id).values().get() == before
    html = as_operator.get(page(attempt)).content.decode()
    assert 'name="status"' not in html
    assert 'name="_save"' not in html


def test_a_pending_order_past_its_hold_is_told_as_expired(
    as_support: Client, buy: Callable[..., Attempt]
) -> None:
    """A10: derived on the page, even if the sweep is late."""
    attempt = buy()
    Order.objects.update(expires_at=NOON - timedelta(days=365))
    assert "已过期" in as_support.get(page(attempt)).content.decode()


def test_the_members_page_tells_what_she_holds(
    as_support: Client, buy: Callable[..., Attempt], buyer: Member
) -> None:
    buy(txn_id=TXN)
    answer = as_support.get(f"/console/members/member/{buyer.pk}/change/")
    html = answer.content.decode()
    assert "138••••8000" in html
    assert "13800138000" not in html
    assert "临时会员 7 天" in html
    assert "2026-11-29 12:00:00" in html
