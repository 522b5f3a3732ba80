from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from members.models import Entitlement
from orders.models import Order
from payments.reconciling.bill_models import BillDay, BillDifference

__all__ = ["BillDay", "BillDifference"]  # tables of this app in a file of their own
from payments.renewing.renewal_models import AutoRenew as AutoRenew
from payments.renewing.renewal_models import Consent as Consent


class AttemptState(models.TextChoices):
    """Moves: created → open | unknown | failed; unknown → open | failed | closed;
    open → failed | closed; any → paid, which is final (R1)."""

    CREATED = "created", _("已登记")
    OPEN = "open", _("待付款")
    UNKNOWN = "unknown", _("结果不明")
    FAILED = "failed", _("失败")
    CLOSED = "closed", _("已关闭")
    PAID = "paid", _("已付款")


LIVE_STATES = (AttemptState.CREATED, AttemptState.OPEN, AttemptState.UNKNOWN)


class Attempt(models.Model):
    """One try to pay an order at one gateway, under a number of our own.

    ``handover`` is how the browser reaches the wallet (see ``payments.attempts``).
    ``confirm_at`` is when to ask whether a notice of success was true (see
    ``payments.confirmation``), ``billed_on`` the day whose bill lists the payment.
    """

    order = models.ForeignKey(
        Order, models.PROTECT, related_name="attempts", verbose_name=_("订单")
    )
    gateway = models.CharField(_("网关"), max_length=16)
    channel = models.CharField(_("渠道"), max_length=16)
    product = models.CharField(_("产品"), max_length=16)
    out_trade_no = models.CharField(_("商户订单号"), max_length=64)
    amount_fen = models.PositiveIntegerField(_("金额（分）"))
    currency = models.CharField(_("币种"), max_length=3, default="CNY")
    state = models.CharField(
        _("状态"), max_length=8, choices=AttemptState, default=AttemptState.CREATED
    )
    txn_id = models.CharField(_("平台交易号"), max_length=64, null=True)
    paid_fen = models.PositiveBigIntegerField(_("实收（分）"), null=True)
    paid_currency = models.CharField(_("实收币种"), max_length=3, null=True)
    paid_at = models.DateTimeField(_("付款时间"), null=True)
    refund_reserved_fen = models.PositiveBigIntegerField(
        _("已占用退款（分）"), default=0
    )
    created_at = models.DateTimeField(_("建立时间"), default=timezone.now)
    next_query_at = models.DateTimeField(null=True)
    queried_at = models.DateTimeField(null=True)
    confirm_at = models.DateTimeField(null=True)
    billed_on = models.DateField(null=True)
    handover = models.JSONField(null=True)
    payer_ip = models.GenericIPAddressField(null=True)
    last_error = models.CharField(_("最近错误"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("支付尝试")
        verbose_name_plural = _("支付尝试")
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                name="attempt_state_known", condition=Q(state__in=AttemptState.values)
            ),
            models.UniqueConstraint(  # K8
                fields=["gateway", "out_trade_no"], name="attempt_number_once"
            ),
            models.UniqueConstraint(  # K9
                fields=["gateway", "txn_id"],
                name="attempt_txn_once",
                condition=Q(txn_id__isnull=False),
            ),
            models.UniqueConstraint(  # K10
                fields=["order", "gateway"],
                name="attempt_one_live",
                condition=Q(state__in=["created", "open", "unknown"]),
            ),
            models.CheckConstraint(  # K11
                name="attempt_paid_has_money",
                condition=~Q(state="paid")
                | Q(txn_id__isnull=False, paid_fen__isnull=False),
            ),
            models.CheckConstraint(  # K12
                name="attempt_refund_within_paid",
                condition=Q(
                    refund_reserved_fen__lte=Coalesce(F("paid_fen"), 0),
                ),
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_query_at"],
                name="attempt_due_query",
                condition=Q(next_query_at__isnull=False),
            ),
            models.Index(
                fields=["confirm_at"],
                name="attempt_due_confirm",
                condition=Q(confirm_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.gateway} {self.out_trade_no}"

    @property
    def is_live(self) -> bool:
        return self.state in LIVE_STATES

    def is_placed_at(self, moment: datetime | None) -> bool:
        """Whether a gateway that names attempts by their second too can mean this one;
        None from one that does not."""
        return moment is None or moment == self.created_at.replace(microsecond=0)


class RefundReason(models.TextChoices):
    OPERATOR = "operator", _("运营退款")
    SURPLUS = "surplus", _("重复付款")
    LATE = "late", _("过期付款")
    SHORT = "short", _("缺货")
    EXTERNAL = "external", _("网关侧退款")
    MEMBER = "member", _("会员退订")


class RefundState(models.TextChoices):
    """Moves: requested → processing → success | failed; requested → failed;
    failed → success (F11); manual → success | failed, by an operator;
    success → failed for money of the gateway's own refund that came back (F13)."""

    REQUESTED = "requested", _("已登记")
    PROCESSING = "processing", _("处理中")
    SUCCESS = "success", _("已退回")
    FAILED = "failed", _("失败")
    MANUAL = "manual", _("待人工退")


UNDER_WAY = (RefundState.REQUESTED, RefundState.PROCESSING, RefundState.MANUAL)


class Refund(models.Model):
    """Money going back for one attempt; its number is reused on every retry (R21).

    ``by_hand`` is a refund that the gateway cannot make: an operator does it outside,
    and its bill never shows it.
    ``revoked_seconds`` of ``entitlement`` were taken back with it (R20).

    second_payment  the genuine message of a second transaction under the attempt's
                    number, whose money this is (B14b); None: the attempt's own money
    note            an operator's reason, then how it was done outside
    seen_at         an operator has looked at a refund that failed
    """

    attempt = models.ForeignKey(
        Attempt, models.PROTECT, related_name="refunds", verbose_name=_("支付尝试")
    )
    out_refund_no = models.CharField(_("退款号"), max_length=64, unique=True)
    amount_fen = models.PositiveBigIntegerField(_("金额（分）"))
    reason = models.CharField(_("原因"), max_length=10, choices=RefundReason)
    state = models.CharField(
        _("状态"), max_length=10, choices=RefundState, default=RefundState.REQUESTED
    )
    txn_id = models.CharField(_("平台交易号"), max_length=64, blank=True)
    gateway_refund_id = models.CharField(_("平台退款号"), max_length=64, null=True)
    entitlement = models.ForeignKey(
        Entitlement, models.PROTECT, null=True, related_name="refunds"
    )
    revoked_seconds = models.PositiveBigIntegerField(_("收回（秒）"), default=0)
    second_payment = models.ForeignKey(
        "payments.GatewayEvent",
        models.PROTECT,
        null=True,
        related_name="refunds",
        verbose_name=_("第二笔付款"),
    )
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        verbose_name=_("谁退的"),
    )
    by_hand = models.BooleanField(_("网关外退款"), default=False)
    note = models.CharField(_("说明"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("建立时间"), default=timezone.now)
    next_query_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(_("完成时间"), null=True)
    billed_on = models.DateField(null=True)
    seen_at = models.DateTimeField(_("处理时间"), null=True)
    last_error = models.CharField(_("最近错误"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("退款")
        verbose_name_plural = _("退款")
        constraints = [
            models.CheckConstraint(
                name="refund_known",
                condition=Q(
                    state__in=RefundState.values,
                    reason__in=RefundReason.values,
                    amount_fen__gt=0,
                ),
            ),
            models.UniqueConstraint(  # K14
                fields=["attempt"],
                name="refund_automatic_once",
                condition=Q(reason__in=["surplus", "late", "short"]),
            ),
            models.UniqueConstraint(  # K15
                fields=["gateway_refund_id"],
                name="refund_gateway_id_once",
                condition=Q(gateway_refund_id__isnull=False),
            ),
            models.UniqueConstraint(
                fields=["second_payment"],
                name="refund_second_payment_once",
                condition=Q(second_payment__isnull=False) & ~Q(state="failed"),
            ),
            models.CheckConstraint(
                name="refund_seconds_are_of_something",
                condition=Q(revoked_seconds=0) | Q(entitlement__isnull=False),
            ),
        ]
        indexes = [
            models.Index(
                fields=["state"],
                name="refund_for_a_person",
                condition=Q(state__in=["manual", "failed"], seen_at__isnull=True),
            ),
            models.Index(
                fields=["next_query_at"],
                name="refund_due_query",
                condition=Q(next_query_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return self.out_refund_no


class EventOutcome(models.TextChoices):
    SETTLED = "settled", _("入账")
    DUPLICATE = "duplicate", _("重复")
    NOTED = "noted", _("已记录")
    MISMATCH = "mismatch", _("金额或币种不符")
    SURPLUS = "surplus", _("多付，退回")
    LATE = "late", _("迟到，退回")
    OVERPAID = "overpaid", _("同单第二笔交易")
    ORPHAN = "orphan", _("无此单")
    ALIEN = "alien", _("不是本商户")
    CLASH = "clash", _("交易号重复")
    REFUND = "refund", _("退款结果")
    EXTERNAL = "external", _("网关侧退款")


class GatewayEvent(models.Model):
    """A genuine message of a gateway and what became of it; append only.

    ``content`` is what the adapter read out of it, without the payer's data; it is a
    record, never the source of a decision.
    """

    gateway = models.CharField(_("网关"), max_length=16)
    digest = models.CharField(max_length=64)
    kind = models.CharField(_("类别"), max_length=16)
    number = models.CharField(_("单号"), max_length=64, blank=True)
    txn_id = models.CharField(_("平台交易号"), max_length=64, blank=True)
    amount_fen = models.BigIntegerField(_("金额（分）"), null=True)
    currency = models.CharField(_("币种"), max_length=3, blank=True)
    content = models.JSONField(_("内容"), default=dict)
    attempt = models.ForeignKey(
        Attempt, models.PROTECT, null=True, related_name="gateway_events"
    )
    outcome = models.CharField(_("结果"), max_length=10, choices=EventOutcome)
    created_at = models.DateTimeField(_("时间"), default=timezone.now)
    resolved_at = models.DateTimeField(_("处理时间"), null=True)
    resolved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        verbose_name=_("谁处理"),
    )
    resolution = models.CharField(_("处理说明"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("网关通知")
        verbose_name_plural = _("网关通知")
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(  # K24
                fields=["gateway", "digest"], name="gateway_event_once"
            ),
            models.CheckConstraint(
                name="gateway_event_known",
                condition=Q(outcome__in=EventOutcome.values),
            ),
        ]
        indexes = [
            models.Index(
                fields=["outcome"],
                name="gateway_event_open",
                condition=Q(
                    resolved_at__isnull=True,
                    outcome__in=[
                        "orphan",
                        "overpaid",
                        "clash",
                        "alien",
                        "external",
                        "mismatch",
                    ],
                ),
            )
        ]

    def __str__(self) -> str:
        return f"{self.gateway} {self.kind} {self.outcome}"


class EpayChannel(models.Model):
    """One way to pay that the epay aggregator carries, kept by operators.

    ``phone_credit`` is always offered where ``EPAY_PHONE_CREDIT_TYPE`` is set; a row of
    that code only holds its cap, its type is the setting.
    Every other row is a channel of its own.
    """

    PHONE_CREDIT = "phone_credit"

    code = models.SlugField(
        _("代号"),
        max_length=16,
        unique=True,
        help_text=_("小写字母、数字和下划线，用过以后不要再改"),
    )
    label = models.CharField(_("名称"), max_length=20)
    label_en = models.CharField(_("英文名称"), max_length=40, blank=True)
    epay_type = models.CharField(
        _("易支付 type"),
        max_length=16,
        blank=True,
        help_text=_("对方平台给的代码，例如 qqpay；话费由服务器设置决定，这里留空"),
    )
    cap_fen = models.PositiveIntegerField(
        _("单笔上限（分）"), null=True, blank=True, help_text=_("空着就是没有上限")
    )
    position = models.PositiveSmallIntegerField(_("顺序"), default=0)
    enabled = models.BooleanField(_("开放"), default=True)

    class Meta:
        verbose_name = _("第三方渠道（易支付）")
        verbose_name_plural = _("第三方渠道（易支付）")
        ordering = ["position", "id"]
        constraints = [
            models.CheckConstraint(
                name="epay_channel_has_type",
                condition=Q(code="phone_credit", epay_type="")
                | (~Q(code="phone_credit") & ~Q(epay_type="")),
            ),
            models.CheckConstraint(
                name="epay_channel_cap_positive",
                condition=Q(cap_fen__isnull=True) | Q(cap_fen__gt=0),
            ),
        ]

    def __str__(self) -> str:
        return self.label
