from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from members.models.catalog import Tier
from members.models.gifts import GiftCode


class EntitlementSource(models.TextChoices):
    ORDER = "order", _("订单")
    GRANT = "grant", _("赠送")
    GIFT = "gift", _("兑换码")


class Entitlement(models.Model):
    """Membership time that was bought or granted; the timeline says when it runs.

    Rank and discount are frozen at the purchase (R17). ``order`` points up the import
    direction by name only.
    """

    member = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="entitlements"
    )
    tier = models.ForeignKey(Tier, models.PROTECT, related_name="entitlements")
    rank = models.PositiveSmallIntegerField(_("等级"))
    discount_bp = models.PositiveSmallIntegerField(_("折扣（万分比）"))
    seconds = models.PositiveBigIntegerField(_("时长（秒）"))
    revoked_seconds = models.PositiveBigIntegerField(_("收回（秒）"), default=0)
    source = models.CharField(_("来源"), max_length=8, choices=EntitlementSource)
    order = models.OneToOneField(
        "orders.Order", models.PROTECT, null=True, related_name="entitlement"
    )
    gift_code = models.OneToOneField(
        GiftCode, models.PROTECT, null=True, related_name="entitlement"
    )
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    reason = models.CharField(_("原因"), max_length=200, blank=True)
    created_at = models.DateTimeField(_("建立时间"), default=timezone.now)

    class Meta:
        verbose_name = _("会员权益期")
        verbose_name_plural = _("会员权益期")
        constraints = [
            models.CheckConstraint(  # K17
                name="entitlement_seconds",
                condition=Q(seconds__gt=0, revoked_seconds__lte=F("seconds")),
            ),
            models.CheckConstraint(  # INV-2
                name="entitlement_has_source",
                condition=Q(source="order", order__isnull=False, gift_code__isnull=True)
                | Q(
                    source="grant",
                    order__isnull=True,
                    gift_code__isnull=True,
                    actor__isnull=False,
                )
                | Q(source="gift", order__isnull=True, gift_code__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tier} {self.seconds // 86_400} 天"


class Segment(models.Model):
    """One stretch of the timeline: this entitlement runs in [starts_at, ends_at)."""

    member = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="segments"
    )
    entitlement = models.ForeignKey(
        Entitlement, models.PROTECT, related_name="segments"
    )
    starts_at = models.DateTimeField(_("开始"))
    ends_at = models.DateTimeField(_("结束"))

    class Meta:
        verbose_name = _("会员时段")
        verbose_name_plural = _("会员时段")
        ordering = ["starts_at"]
        constraints = [  # K18
            models.UniqueConstraint(
                fields=["member", "starts_at"], name="segment_member_start"
            ),
            models.UniqueConstraint(
                fields=["member", "ends_at"], name="segment_member_end"
            ),
            models.CheckConstraint(
                name="segment_forward", condition=Q(ends_at__gt=F("starts_at"))
            ),
        ]

    def __str__(self) -> str:
        return f"{self.starts_at:%F %T} – {self.ends_at:%F %T}"


class Pause(models.Model):
    """A stop of the member's clock; open while ``ends_at`` is null."""

    member = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="pauses"
    )
    starts_at = models.DateTimeField(_("开始"))
    ends_at = models.DateTimeField(_("结束"), null=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, related_name="+"
    )
    reason = models.CharField(_("原因"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("暂停")
        verbose_name_plural = _("暂停")
        constraints = [
            models.UniqueConstraint(  # K19
                fields=["member"],
                name="pause_one_open",
                condition=Q(ends_at__isnull=True),
            ),
            models.CheckConstraint(
                name="pause_forward",
                condition=Q(ends_at__isnull=True) | Q(ends_at__gte=F("starts_at")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.starts_at:%F %T}"
