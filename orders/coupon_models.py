"""Coupons: a code that takes something off one order."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import (
    MaxValueValidator,
    MinValueValidator,
    RegexValidator,
)
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from goods.models import Goods
from members.models import Plan, Tier

FULL_BP = 10_000


class Scope(models.TextChoices):
    ALL = "all", _("全店")
    MEMBERSHIPS = "memberships", _("所有会员套餐")
    GOODS = "goods", _("所有商品")
    CHOSEN = "chosen", _("下面选中的")


class Coupon(models.Model):
    """What a code takes off, for whom it was meant and how often it may be used.

    ``used`` is the number of orders that hold the coupon: unpaid ones that still may be
    paid, and paid ones. It moves in the transaction that places or closes the order, by
    a conditional update; the audit compares the two (INV-13). The code never changes;
    what it takes off may, since each order keeps its own sum.

    off_fen, off_bp  one of them: a sum, or ten-thousandths of the price
    min_fen          the sum before the coupon has to reach it
    batch            the name under which codes were made together; may be empty
    """

    code = models.CharField(
        _("优惠码"),
        max_length=24,
        unique=True,
        validators=[
            RegexValidator(r"^[A-Z0-9]{4,24}\Z", _("4 到 24 个大写字母和数字"))
        ],
    )
    batch = models.CharField(_("批次"), max_length=40, blank=True)
    off_fen = models.PositiveIntegerField(
        _("减多少（分）"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(10_000_000)],
        help_text=_("和下一项二选一。实付最少 1 分。"),
    )
    off_bp = models.PositiveSmallIntegerField(
        _("减百分之几（万分比）"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1), MaxValueValidator(FULL_BP)],
        help_text=_("1000 是减 10%，也就是 9 折。"),
    )
    min_fen = models.PositiveIntegerField(
        _("满多少可用（分）"), default=0, help_text=_("按用码前的价格算，0 是不限。")
    )
    starts_at = models.DateTimeField(_("开始"), default=timezone.now)
    ends_at = models.DateTimeField(_("结束"))
    scope = models.CharField(
        _("能用在"), max_length=12, choices=Scope, default=Scope.ALL
    )
    plans = models.ManyToManyField(Plan, blank=True, verbose_name=_("套餐"))
    tiers = models.ManyToManyField(Tier, blank=True, verbose_name=_("会员等级"))
    goods = models.ManyToManyField(Goods, blank=True, verbose_name=_("商品"))
    max_uses = models.PositiveIntegerField(
        _("一共能用几次"), default=1, validators=[MinValueValidator(1)]
    )
    max_per_member = models.PositiveSmallIntegerField(
        _("每人能用几次"), default=1, validators=[MinValueValidator(1)]
    )
    used = models.PositiveIntegerField(_("已用"), default=0, editable=False)
    enabled = models.BooleanField(_("启用"), default=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        editable=False,
        related_name="+",
        verbose_name=_("谁建的"),
    )
    created_at = models.DateTimeField(
        _("建立时间"), default=timezone.now, editable=False
    )

    class Meta:
        verbose_name = _("优惠码")
        verbose_name_plural = _("优惠码")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(  # INV-13
                name="coupon_used_within_limit",
                condition=Q(used__gte=0, used__lte=F("max_uses")),
            ),
            models.CheckConstraint(
                name="coupon_takes_one_thing_off",
                # NULL > 0 is unknown, which a CHECK lets pass: hence the plain words.
                condition=Q(off_fen__isnull=False, off_fen__gt=0, off_bp__isnull=True)
                | Q(
                    off_fen__isnull=True,
                    off_bp__isnull=False,
                    off_bp__gt=0,
                    off_bp__lte=FULL_BP,
                ),
            ),
            models.CheckConstraint(
                name="coupon_time_forward", condition=Q(ends_at__gt=F("starts_at"))
            ),
            models.CheckConstraint(
                name="coupon_scope_known", condition=Q(scope__in=Scope.values)
            ),
        ]
        indexes = [
            models.Index(fields=["batch"], name="coupon_batch", condition=~Q(batch="")),
        ]

    def __str__(self) -> str:
        return self.code
