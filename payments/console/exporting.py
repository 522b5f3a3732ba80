"""What operators take along as a file: orders, keys that were sold, money.

Phones are masked and keys are not in it: a file leaves the shop, and nobody sees who
opens it. Days are those of Shanghai.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import models
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from goods.models import CardKey, KeyState
from kameng.spreadsheets import Cell
from kameng.templatetags.shop import SHANGHAI
from orders.models import Order, Status
from payments.models import Attempt, Refund, RefundState

MOST = 50_000
"""Rows of one file."""
LONGEST = timedelta(days=92)

type Row = tuple[Cell, ...]


class Kind(models.TextChoices):
    ORDERS = "orders", gettext_lazy("订单")
    KEYS = "keys", gettext_lazy("卖出的卡密（不含卡密本身）")
    MONEY = "money", gettext_lazy("收款和退款")


class TooManyRows(Exception):
    """More than one file takes."""


@dataclass(frozen=True, slots=True)
class Table:
    header: tuple[str, ...]
    rows: list[Row]


def table(kind: Kind, since: datetime, until: datetime, *, now: datetime) -> Table:
    """What happened from ``since`` until before ``until``, oldest first.

    raises  TooManyRows
    """
    match kind:
        case Kind.ORDERS:
            return _orders(since, until, now=now)
        case Kind.KEYS:
            return _keys(since, until)
        case Kind.MONEY:
            return _money(since, until)


def _few[Found: models.Model](found: QuerySet[Found]) -> list[Found]:
    rows = list(found[: MOST + 1])
    if len(rows) > MOST:
        raise TooManyRows
    return rows


def _time(at: datetime | None) -> str:
    return at.astimezone(SHANGHAI).strftime("%Y-%m-%d %H:%M:%S") if at else ""


def _yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02}"


def _orders(since: datetime, until: datetime, *, now: datetime) -> Table:
    """By the time of placement; everything that was placed, paid or not."""
    found = Order.objects.filter(placed_at__gte=since, placed_at__lt=until)
    header = (
        *(_("订单号"), _("下单时间"), _("付款时间"), _("名称"), _("数量")),
        *(_("应付（元）"), _("优惠码减（元）"), _("状态"), _("履约"), _("会员")),
    )
    orders = _few(found.select_related("member").order_by("placed_at", "pk"))
    rows: list[Row] = [
        (
            *(order.no, _time(order.placed_at), _time(order.paid_at)),
            *(order.title, order.quantity, _yuan(order.amount_fen)),
            _yuan(order.coupon_off_fen),
            str(Status(order.status_at(now)).label),
            str(order.get_fulfil_display()),
            order.member.masked_phone or str(order.member),
        )
        for order in orders
    ]
    return Table(header, rows)


def _keys(since: datetime, until: datetime) -> Table:
    """By the time of payment; a key is named by its number, as the log does."""
    found = CardKey.objects.filter(
        state=KeyState.SOLD, order__paid_at__gte=since, order__paid_at__lt=until
    ).select_related("goods", "order")
    header = (
        *(_("编号"), _("商品"), _("批次"), _("订单号")),
        *(_("付款时间"), _("第一次查看")),
    )
    rows: list[Row] = [
        (
            *(key.pk, key.goods.name, key.batch_id, key.order.no if key.order else ""),
            _time(key.order.paid_at if key.order else None),
            _time(key.revealed_at),
        )
        for key in _few(found.order_by("order__paid_at", "pk"))
    ]
    return Table(header, rows)


def _money(since: datetime, until: datetime) -> Table:
    """Both ways, by the gateway's time of payment and our time of the refund's end."""
    header = (
        *(_("时间"), _("类别"), _("收（元）"), _("退（元）"), _("订单号"), _("网关")),
        *(_("商户订单号"), _("退款号"), _("平台交易号"), _("原因")),
    )
    rows = [*_received(since, until), *_returned(since, until)]
    if len(rows) > MOST:
        raise TooManyRows
    return Table(header, sorted(rows, key=lambda row: str(row[0])))


def _received(since: datetime, until: datetime) -> Iterator[Row]:
    found = Attempt.objects.filter(
        paid_at__gte=since, paid_at__lt=until, paid_fen__isnull=False
    )
    for attempt in _few(found.select_related("order").order_by("paid_at", "pk")):
        yield (
            *(_time(attempt.paid_at), _("收款"), _yuan(attempt.paid_fen or 0), ""),
            *(attempt.order.no, attempt.gateway, attempt.out_trade_no, ""),
            *(attempt.txn_id, ""),
        )


def _returned(since: datetime, until: datetime) -> Iterator[Row]:
    found = Refund.objects.filter(
        state=RefundState.SUCCESS, finished_at__gte=since, finished_at__lt=until
    ).select_related("attempt__order")
    for refund in _few(found.order_by("finished_at", "pk")):
        attempt = refund.attempt
        yield (
            *(_time(refund.finished_at), _("退款"), "", _yuan(refund.amount_fen)),
            *(attempt.order.no, attempt.gateway, attempt.out_trade_no),
            *(refund.out_refund_no, refund.gateway_refund_id or refund.txn_id),
            str(refund.get_reason_display()),
        )
