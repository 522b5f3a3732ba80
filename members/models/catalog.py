from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class TierKind(models.TextChoices):
    TEMPORARY = "temporary", _("临时会员")
    LONG_TERM = "long-term", _("长期会员")


class Tier(models.Model):
    """A rank of membership with its benefits and discount."""

    code = models.SlugField(_("代码"), max_length=32, unique=True)
    name = models.CharField(_("名称"), max_length=32)
    name_en = models.CharField(_("英文名称"), max_length=64, blank=True)
    kind = models.CharField(_("类别"), max_length=16, choices=TierKind)
    rank = models.PositiveSmallIntegerField(
        _("等级"),
        unique=True,
        help_text=_("数字大的等级高，先使用；有销售后不能再改。"),
    )
    discount_bp = models.PositiveSmallIntegerField(
        _("折扣（万分比）"),
        default=10_000,
        validators=[MinValueValidator(1), MaxValueValidator(10_000)],
        help_text=_("9500 就是 95 折。"),
    )
    real_name_from_fen = models.PositiveIntegerField(
        _("多少起要实名（分）"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_("一单到这个金额，买的人要先实名认证。空着就是不要。"),
    )
    enabled = models.BooleanField(_("在售"), default=True)

    class Meta:
        verbose_name = _("会员等级")
        verbose_name_plural = _("会员等级")
        ordering = ["rank"]
        constraints = [
            models.CheckConstraint(
                name="tier_kind_known", condition=Q(kind__in=TierKind.values)
            ),
            models.CheckConstraint(
                name="tier_discount_range",
                condition=Q(discount_bp__gte=1, discount_bp__lte=10_000),
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Benefit(models.Model):
    """One perk of the shop; a tier grants a set of them."""

    code = models.SlugField(_("代码"), max_length=32, unique=True)
    label = models.CharField(_("名称"), max_length=40)
    label_en = models.CharField(_("英文名称"), max_length=80, blank=True)
    position = models.PositiveSmallIntegerField(_("排序"), default=0)
    tiers: models.ManyToManyField[Tier, TierBenefit] = models.ManyToManyField(
        Tier, through="TierBenefit", related_name="benefits"
    )

    class Meta:
        verbose_name = _("权益")
        verbose_name_plural = _("权益")
        ordering = ["position", "id"]

    def __str__(self) -> str:
        return self.label


class TierBenefit(models.Model):
    tier = models.ForeignKey(Tier, models.CASCADE)
    benefit = models.ForeignKey(Benefit, models.PROTECT, verbose_name=_("权益"))
    detail = models.CharField(_("说明"), max_length=60, blank=True)
    detail_en = models.CharField(_("英文说明"), max_length=120, blank=True)

    class Meta:
        verbose_name = _("等级权益")
        verbose_name_plural = _("等级权益")
        constraints = [
            models.UniqueConstraint(
                fields=["tier", "benefit"], name="tier_benefit_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.tier}: {self.benefit}"


class PlanQuerySet(models.QuerySet["Plan"]):
    def on_sale(self) -> PlanQuerySet:
        return self.filter(enabled=True, tier__enabled=True)


class Plan(models.Model):
    """A tier for so many days at a price: one step of the ladder.

    A promotional price (限时优惠) counts from ``promo_starts_at`` until
    ``promo_ends_at``; the admin refuses one that the price history does not prove.
    """

    slug = models.SlugField(_("代码"), max_length=40, unique=True)
    tier = models.ForeignKey(
        Tier, models.PROTECT, related_name="plans", verbose_name=_("会员等级")
    )
    days = models.PositiveSmallIntegerField(
        _("天数"), validators=[MinValueValidator(1), MaxValueValidator(3660)]
    )
    price_fen = models.PositiveIntegerField(
        _("价格（分）"), validators=[MinValueValidator(1)]
    )
    promo_price_fen = models.PositiveIntegerField(
        _("优惠价（分）"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    promo_starts_at = models.DateTimeField(_("优惠开始"), null=True, blank=True)
    promo_ends_at = models.DateTimeField(_("优惠结束"), null=True, blank=True)
    enabled = models.BooleanField(_("在售"), default=True)

    objects: ClassVar[models.Manager[Plan]] = PlanQuerySet.as_manager()

    class Meta:
        verbose_name = _("套餐")
        verbose_name_plural = _("套餐")
        ordering = ["tier__rank", "days"]
        constraints = [
            models.UniqueConstraint(
                fields=["tier", "days"], name="plan_tier_days_once"
            ),
            models.CheckConstraint(
                name="plan_positive", condition=Q(price_fen__gt=0, days__gt=0)
            ),
            models.CheckConstraint(
                name="plan_promo_whole",
                condition=Q(
                    promo_price_fen__isnull=True,
                    promo_starts_at__isnull=True,
                    promo_ends_at__isnull=True,
                )
                | Q(
                    promo_price_fen__gt=0,
                    promo_price_fen__lt=F("price_fen"),
                    promo_ends_at__gt=F("promo_starts_at"),
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tier.name} {self.days} 天"

    @property
    def seconds(self) -> int:
        return self.days * 86_400

    def promotion_runs(self, *, at: datetime) -> bool:
        return (
            self.promo_price_fen is not None
            and self.promo_starts_at is not None
            and self.promo_ends_at is not None
            and self.promo_starts_at <= at < self.promo_ends_at
        )

    def price_at(self, at: datetime) -> int:
        """What one costs at that moment, in fen."""
        if self.promotion_runs(at=at):
            assert self.promo_price_fen is not None
            return self.promo_price_fen
        return self.price_fen


class PriceChange(models.Model):
    """Price history: one row for each change of a price or a discount, for ever.

    ``field`` names what changed (``price_fen``, ``promo_price_fen``,
    ``discount_bp`` …); values are the numbers before and after, None where none.
    """

    plan = models.ForeignKey(
        Plan, models.PROTECT, null=True, related_name="price_changes"
    )
    tier = models.ForeignKey(
        Tier, models.PROTECT, null=True, related_name="price_changes"
    )
    field = models.CharField(_("项目"), max_length=32)
    old = models.CharField(_("原值"), max_length=40, blank=True)
    new = models.CharField(_("新值"), max_length=40, blank=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    changed_at = models.DateTimeField(_("时间"), default=timezone.now)

    class Meta:
        verbose_name = _("价格变更")
        verbose_name_plural = _("价格历史")
        ordering = ["-changed_at", "-id"]
        constraints = [
            models.CheckConstraint(
                name="price_change_of_one",
                condition=Q(plan__isnull=False, tier__isnull=True)
                | Q(plan__isnull=True, tier__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.field}: {self.old} → {self.new}"
