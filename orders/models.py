from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from goods.models import Goods
from members.models import Plan
from orders.coupon_models import Coupon

__all__ = ["Coupon", "Fulfil", "Kind", "Order", "OrderEvent", "Risk", "Status"]


class Status(models.TextChoices):
    """Moves: pending → paid | expired | cancelled; expired → paid (late money)."""

    PENDING = "pending", _("待付款")
    PAID = "paid", _("已付款")
    EXPIRED = "expired", _("已过期")
    CANCELLED = "cancelled", _("已取消")


class Fulfil(models.TextChoices):
    """Moves: none → done | short | held; short, held → done | void; done → void."""

    NONE = "none", _("未履约")
    DONE = "done", _("已履约")
    SHORT = "short", _("缺货")
    HELD = "held", _("人工复核")
    VOID = "void", _("已作废")


class Kind(models.TextChoices):
    TIER = "tier", _("会员")
    GOODS = "goods", _("商品")


class Risk(models.TextChoices):
    ALLOW = "allow", _("放行")
    REVIEW = "review", _("复核")


class OrderQuerySet(models.QuerySet["Order"]):
    def pending(self, *, at: datetime) -> OrderQuerySet:
        """Still payable: pending and inside the hold."""
        return self.filter(status=Status.PENDING, expires_at__gt=at)


class Order(models.Model):
    """One purchase of one thing at a frozen price.

    ``instructions`` of goods are frozen like the price. ``coupon_off_fen`` is what its
    coupon took off the full price; a coupon stands in the place of a discount. ``priority`` is 1 for goods that
    a member paid for, and says who is served first when keys are short (D25).
    ``settled_by`` is the payment attempt whose money paid it; it points up the import
    direction by name only, so that the database can refuse a paid order without money.
    """

    no = models.CharField(_("订单号"), max_length=32, unique=True)
    client_token = models.CharField(max_length=64, unique=True, editable=False)
    member = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="orders",
        verbose_name=_("会员"),
    )
    kind = models.CharField(_("类别"), max_length=8, choices=Kind, default=Kind.TIER)
    plan = models.ForeignKey(
        Plan, models.PROTECT, null=True, related_name="orders", verbose_name=_("套餐")
    )
    goods = models.ForeignKey(
        Goods, models.PROTECT, null=True, related_name="orders", verbose_name=_("商品")
    )
    title = models.CharField(_("名称"), max_length=80)
    instructions = models.TextField(_("使用说明"), blank=True)
    quantity = models.PositiveIntegerField(_("数量"), default=1)
    unit_fen = models.PositiveIntegerField(_("单价（分）"))
    discount_bp = models.PositiveSmallIntegerField(_("折扣（万分比）"), default=10_000)
    coupon = models.ForeignKey(
        Coupon,
        models.PROTECT,
        null=True,
        related_name="orders",
        verbose_name=_("优惠码"),
    )
    coupon_off_fen = models.PositiveIntegerField(_("优惠码减（分）"), default=0)
    amount_fen = models.PositiveIntegerField(_("应付（分）"))
    currency = models.CharField(_("币种"), max_length=3, default="CNY")
    seconds = models.PositiveBigIntegerField(_("时长（秒）"), default=0)
    rank = models.PositiveSmallIntegerField(_("等级"), default=0)
    tier_discount_bp = models.PositiveSmallIntegerField(
        _("会员折扣（万分比）"), default=10_000
    )
    priority = models.PositiveSmallIntegerField(_("发货优先"), default=0)
    status = models.CharField(
        _("状态"), max_length=10, choices=Status, default=Status.PENDING
    )
    fulfil = models.CharField(
        _("履约"), max_length=6, choices=Fulfil, default=Fulfil.NONE
    )
    risk = models.CharField(_("风控"), max_length=8, choices=Risk, default=Risk.ALLOW)
    placed_at = models.DateTimeField(_("下单时间"), default=timezone.now)
    expires_at = models.DateTimeField(_("保留到"))
    paid_at = models.DateTimeField(_("付款时间"), null=True)
    settled_by = models.OneToOneField(
        "payments.Attempt",
        models.PROTECT,
        null=True,
        related_name="settled_order",
        verbose_name=_("入账的支付"),
    )
    renewal_key = models.CharField(max_length=64, null=True, unique=True)
    address_digest = models.CharField(max_length=64, blank=True, editable=False)
    version = models.PositiveIntegerField(default=0, editable=False)

    objects: ClassVar[models.Manager[Order]] = OrderQuerySet.as_manager()

    class Meta:
        verbose_name = _("订单")
        verbose_name_plural = _("订单")
        permissions = [("export_order", _("导出订单、卡密和钱的记录"))]
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(  # K3
                name="order_status_known", condition=Q(status__in=Status.values)
            ),
            models.CheckConstraint(
                name="order_fulfil_known", condition=Q(fulfil__in=Fulfil.values)
            ),
            models.CheckConstraint(  # K4
                name="order_paid_has_money",
                condition=Q(
                    status="paid", settled_by__isnull=False, paid_at__isnull=False
                )
                | (
                    ~Q(status="paid") & Q(settled_by__isnull=True, paid_at__isnull=True)
                ),
            ),
            models.CheckConstraint(
                name="order_goods_of_its_kind",
                condition=Q(kind="goods", goods__isnull=False)
                | (~Q(kind="goods") & Q(goods__isnull=True, priority=0)),
            ),
            models.CheckConstraint(  # K7
                name="order_amount_and_time",
                condition=Q(amount_fen__gt=0, currency="CNY", quantity__gt=0)
                & (
                    Q(kind="tier", seconds__gt=0, plan__isnull=False)
                    | Q(kind="goods", plan__isnull=True)
                ),
            ),
            models.CheckConstraint(
                name="order_coupon_takes_something_off",
                condition=Q(coupon__isnull=True, coupon_off_fen=0)
                | Q(coupon__isnull=False, coupon_off_fen__gt=0, discount_bp=10_000),
            ),
        ]
        indexes = [
            models.Index(
                fields=["expires_at"],
                name="order_pending_expiry",
                condition=Q(status="pending"),
            ),
            models.Index(fields=["member", "-id"], name="order_member_newest"),
            models.Index(
                fields=["address_digest", "expires_at"],
                name="order_pending_address",
                condition=Q(status="pending"),
            ),
            models.Index(
                fields=["goods", "paid_at"],
                name="order_waiting_for_keys",
                condition=Q(fulfil="short"),
            ),
            models.Index(
                fields=["goods", "member"],
                name="order_goods_member",
                condition=Q(goods__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.no

    def is_open(self, *, at: datetime) -> bool:
        return self.status == Status.PENDING and at < self.expires_at

    def status_at(self, at: datetime) -> str:
        """What people are told: expired from the second the hold ends (A10)."""
        if self.status == Status.PENDING and at >= self.expires_at:
            return Status.EXPIRED.value
        return str(self.status)


class OrderEvent(models.Model):
    """One line of an order's story; appended with the change it tells of."""

    order = models.ForeignKey(Order, models.PROTECT, related_name="events")
    at = models.DateTimeField(_("时间"))
    kind = models.CharField(_("事件"), max_length=32)
    detail = models.JSONField(_("细节"), default=dict)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )

    class Meta:
        verbose_name = _("订单事件")
        verbose_name_plural = _("订单事件")
        ordering = ["at", "id"]

    def __str__(self) -> str:
        return f"{self.kind} {self.at:%F %T}"
