from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from members.models.catalog import Tier

DAYS_MAX = 3_660
COUNT_MAX = 10_000


class GiftState(models.TextChoices):
    """Moves: unused → redeemed | revoked; both are final."""

    UNUSED = "unused", _("未兑换")
    REDEEMED = "redeemed", _("已兑换")
    REVOKED = "revoked", _("已撤销")


class GiftBatch(models.Model):
    """Codes that were made together, each good for so many days of one tier, once."""

    name = models.CharField(_("批次"), max_length=40)
    tier = models.ForeignKey(
        Tier, models.PROTECT, related_name="+", verbose_name=_("会员等级")
    )
    days = models.PositiveSmallIntegerField(
        _("天数"), validators=[MinValueValidator(1), MaxValueValidator(DAYS_MAX)]
    )
    count = models.PositiveIntegerField(
        _("多少个"), validators=[MinValueValidator(1), MaxValueValidator(COUNT_MAX)]
    )
    valid_until = models.DateTimeField(_("兑换截止"))
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="+",
        verbose_name=_("谁建的"),
    )
    created_at = models.DateTimeField(_("建立时间"), default=timezone.now)

    class Meta:
        verbose_name = _("兑换码批次")
        verbose_name_plural = _("兑换码批次")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="gift_batch_gives_time", condition=Q(days__gt=0, count__gt=0)
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def seconds(self) -> int:
        return self.days * 86_400


class GiftCode(models.Model):
    """One code, kept as a keyed digest: nobody can read it here. ``tail`` tells it from
    others of its batch. What it gave is the entitlement that names it, at most one."""

    batch = models.ForeignKey(
        GiftBatch, models.PROTECT, related_name="codes", verbose_name=_("批次")
    )
    digest = models.CharField(max_length=64, unique=True, editable=False)
    tail = models.CharField(_("尾号"), max_length=4)
    state = models.CharField(
        _("状态"), max_length=8, choices=GiftState, default=GiftState.UNUSED
    )
    redeemed_at = models.DateTimeField(_("兑换时间"), null=True)

    class Meta:
        verbose_name = _("兑换码")
        verbose_name_plural = _("兑换码")
        constraints = [
            models.CheckConstraint(
                name="gift_code_state_known", condition=Q(state__in=GiftState.values)
            ),
            models.CheckConstraint(
                name="gift_code_redeemed_at_a_moment",
                condition=Q(state="redeemed", redeemed_at__isnull=False)
                | (~Q(state="redeemed") & Q(redeemed_at__isnull=True)),
            ),
        ]

    def __str__(self) -> str:
        return f"••••-••••-••••-{self.tail}"
