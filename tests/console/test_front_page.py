"""The front page: what waits for a person, what happens today, every number a link."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from goods.models import Goods
from notifications.models import Notification, Outbox
from orders.models import Order, Status
from payments.models import Attempt, EventOutcome, GatewayEvent
from tests.console.conftest import pay
from tests.goods.shelves import make_goods

pytestmark = pytest.mark.django_db

TILE = re.compile(r'<a class="tile"[^>]*href="([^"]+)"><b>(\d+)</b> ([^<]+)</a>')
CALM = "没有要处理的事"


def tiles(client: Client) -> dict[str, tuple[int, str]]:
    html = client.get("/console/").content.decode()
    return {label: (int(count), url) for url, count, label in TILE.findall(html)}


def listed(client: Client, url: str) -> int:
    page = client.get(url)
    assert page.status_code == 200
    return int(page.context["cl"].result_count)


def test_i14_empty_is_the_normal_state_and_says_so(
    as_operator: Client, buy: Callable[..., Attempt]
) -> None:
    now = timezone.now()
    buy(txn_id="4200001", at=now)
    buy("temporary-1", at=now)
    Notification.objects.update(state="sent")
    shown = tiles(as_operator)
    assert {label: count for label, (count, _url) in shown.items()} == {
        "没有入账的钱": 0,
        "要人处理的退款": 0,
        "对不上的网关通知": 0,
        "库存低的商品": 0,
        "对账差异": 0,
        "没取到的账单": 0,
        "近 7 天没发出的消息": 0,
        "已放弃的待办": 0,
        "待付款订单": 1,
        "今天付款": 1,
    }
    assert CALM in as_operator.get("/console/").content.decode()


def test_i14_every_number_links_to_the_list_behind_it(
    as_operator: Client, buy: Callable[..., Attempt]
) -> None:
    now = timezone.now()
    buy(txn_id="4200001", at=now)
    buy(txn_id="4200002", paid_fen=1400, at=now)  # C1: another amount
    doubled = buy(txn_id="4200003", at=now)
    pay(doubled, "4200004", at=now)  # B14b: a second transaction
    for number, outcome in enumerate((EventOutcome.ORPHAN, EventOutcome.ALIEN)):
        GatewayEvent.objects.create(
            gateway="alipay", digest=f"{number}", kind="notice", outcome=outcome
        )
    GatewayEvent.objects.create(
        gateway="alipay",
        digest="seen to",
        kind="notice",
        outcome=EventOutcome.ORPHAN,
        resolved_at=now,
    )
    Outbox.objects.create(key="dead", kind="sms", due_at=now, state="dead")
    Notification.objects.filter(channel="sms").update(state="failed")
    make_goods(keys=1)
    Goods.objects.update(low_since=timezone.now())
    shown = tiles(as_operator)
    assert {label: count for label, (count, _url) in shown.items()} == {
        "没有入账的钱": 1,
        "要人处理的退款": 0,
        "对不上的网关通知": 3,
        "库存低的商品": 1,
        "对账差异": 0,
        "没取到的账单": 0,
        "近 7 天没发出的消息": 2,
        "已放弃的待办": 1,
        "待付款订单": 1,
        "今天付款": 2,
    }
    for count, url in shown.values():
        assert listed(as_operator, url) == count, url
    assert CALM not in as_operator.get("/console/").content.decode()


def test_money_on_its_way_back_is_no_case(
    as_operator: Client, buy: Callable[..., Attempt]
) -> None:
    attempt = buy(at=timezone.now())
    Order.objects.update(status=Status.CANCELLED)
    pay(attempt, "4200001", at=timezone.now())  # C11: refunded whole
    assert tiles(as_operator)["没有入账的钱"][0] == 0


def test_yesterdays_money_is_not_todays(
    as_operator: Client, buy: Callable[..., Attempt]
) -> None:
    """Late money of an order placed yesterday counts, yesterday's own does not."""
    now = timezone.now()
    buy(txn_id="4200001", at=now - timedelta(days=1, hours=12))
    late = buy("temporary-1", at=now - timedelta(hours=23))
    pay(late, "4200002", at=now)
    assert tiles(as_operator)["今天付款"][0] == 1


def test_support_sees_only_what_it_may_open(
    as_support: Client, buy: Callable[..., Attempt]
) -> None:
    html = as_support.get("/console/").content.decode()
    assert "已放弃的待办" not in html
    assert "套餐" not in html
    for _count, url in tiles(as_support).values():
        assert as_support.get(url).status_code == 200


def test_a_list_stops_after_its_newest_thousand_and_counts_no_more(
    as_support: Client, buy: Callable[..., Attempt], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kameng.lookups.RecentPages.MOST", 2)
    for _number in range(4):
        buy()
    html = as_support.get("/console/orders/order/").content.decode()
    assert "只列最新 2 条" in html


def test_the_console_speaks_english_to_those_who_ask(as_operator: Client) -> None:
    page = as_operator.get("/console/", headers={"Accept-Language": "en"})
    html = page.content.decode()
    assert 'lang="en"' in html
    assert "Overview" in html
    assert CALM not in html
