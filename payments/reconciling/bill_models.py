"""Tables of reconciliation: which bills are due, and what did not agree."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class BillDay(models.Model):
    """One gateway's bill of one day, Beijing time; done once ``due_at`` is empty.

    ``asked`` lines have been asked about where one run was too short for all.
    """

    gateway = models.CharField(_("网关"), max_length=16)
    day = models.DateField(_("账单日"))
    due_at = models.DateTimeField(_("下次取账单"), null=True)
    tries = models.PositiveIntegerField(_("取过几次"), default=0)
    asked = models.PositiveIntegerField(default=0)
    lines = models.PositiveIntegerField(_("账单行数"), null=True)
    done_at = models.DateTimeField(_("对账时间"), null=True)
    last_error = models.CharField(_("最近错误"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("账单")
        verbose_name_plural = _("账单")
        constraints = [
            models.UniqueConstraint(fields=["gateway", "day"], name="bill_day_once"),
            models.CheckConstraint(
                name="bill_day_due_or_done",
                condition=Q(due_at__isnull=False) | Q(done_at__isnull=False),
            ),
        ]
        indexes = [
            models.Index(
                fields=["due_at"],
                name="bill_day_due",
                condition=Q(due_at__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.gateway} {self.day}"


class DifferenceKind(models.TextChoices):
    UNKNOWN = "unknown", _("账单有，本店无此单")
    UNPAID = "unpaid", _("账单已付，本店未付")
    MISSING = "missing", _("本店已付，账单没有")
    AMOUNT = "amount", _("金额不一致")
    TRANSACTION = "transaction", _("交易号不一致")
    REFUND_UNKNOWN = "refund-unknown", _("账单有退款，本店没有")
    REFUND_OPEN = "refund-open", _("账单已退款，本店未退")
    REFUND_MISSING = "refund-missing", _("本店已退款，账单没有")
    REFUND_AMOUNT = "refund-amount", _("退款金额不一致")
    UNCONFIRMED = "unconfirmed", _("通知已付，查单不承认")


class DifferenceState(models.TextChoices):
    """Moves: open → resolved | healed; both → open, when the sums change or it comes
    again."""

    OPEN = "open", _("待处理")
    RESOLVED = "resolved", _("已处理")
    HEALED = "healed", _("已自行消除")


class BillDifference(models.Model):
    """Where a gateway and our books differ: a case for an operator.

    ``number`` is our out_trade_no, of a refund our out_refund_no. ``version`` rises
    with every change, so that nobody decides on a page that is no longer true.
    """

    gateway = models.CharField(_("网关"), max_length=16)
    day = models.DateField(_("账单日"))
    kind = models.CharField(_("差异"), max_length=16, choices=DifferenceKind)
    number = models.CharField(_("单号"), max_length=64)
    txn_id = models.CharField(_("平台交易号"), max_length=64, blank=True)
    ours_fen = models.PositiveBigIntegerField(_("本店（分）"), null=True)
    theirs_fen = models.PositiveBigIntegerField(_("网关（分）"), null=True)
    state = models.CharField(
        _("状态"),
        max_length=8,
        choices=DifferenceState,
        default=DifferenceState.OPEN,
    )
    version = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(_("发现时间"), default=timezone.now)
    closed_at = models.DateTimeField(_("处理时间"), null=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        related_name="+",
        verbose_name=_("谁处理"),
    )
    reason = models.CharField(_("说明"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("对账差异")
        verbose_name_plural = _("对账差异")
        constraints = [
            models.UniqueConstraint(
                fields=["gateway", "kind", "number", "txn_id"],
                name="bill_difference_once",
            ),
            models.CheckConstraint(
                name="bill_difference_known",
                condition=Q(
                    kind__in=DifferenceKind.values, state__in=DifferenceState.values
                ),
            ),
            models.CheckConstraint(
                name="bill_difference_closed_has_reason",
                condition=Q(state="open", closed_at__isnull=True)
                | Q(~Q(state="open"), ~Q(reason=""), closed_at__isnull=False),
            ),
            models.CheckConstraint(
                name="bill_difference_resolved_by_someone",
                condition=~Q(state="resolved") | Q(actor__isnull=False),
            ),
        ]
        indexes = [
            models.Index(
                fields=["gateway", "day"],
                name="bill_difference_open",
                condition=Q(state="open"),
            )
        ]

    def __str__(self) -> str:
        return f"{self.gateway} {self.kind} {self.number}"
