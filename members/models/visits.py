from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from members.models.catalog import Plan


class VisitDay(models.Model):
    """A member was in the shop on that day (Asia/Shanghai): no page, no hour, no device.

    Kept for 90 days and for the recommendation alone; gone at once when she switches it
    off, and with the person.
    """

    member = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="visit_days"
    )
    day = models.DateField(_("日期"), db_index=True)

    class Meta:
        verbose_name = _("来访日")
        verbose_name_plural = _("来访日")
        constraints = [
            models.UniqueConstraint(fields=["member", "day"], name="visit_day_once")
        ]

    def __str__(self) -> str:
        return f"{self.day:%F}"


class AdviceRecord(models.Model):
    """What was recommended where a membership was ordered, and what was chosen.

    So that another way to recommend can be judged by what people did; decides nothing.
    Kept for 180 days, which leaves 90 for what she bought afterwards; gone with the
    days when she switches the recommendation off, and with the person.

    features    what was looked at, in numbers, with the ladder of the moment
    propensity  the chance with which just this plan was shown; 1 for a fixed rule
    """

    member = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="advice_records"
    )
    at = models.DateTimeField(_("时间"), default=timezone.now, db_index=True)
    shown = models.ForeignKey(Plan, models.PROTECT, related_name="+")
    chosen = models.ForeignKey(Plan, models.PROTECT, related_name="+")
    propensity = models.FloatField(_("推荐的概率"), default=1.0)
    features = models.JSONField(_("依据"))

    class Meta:
        verbose_name = _("推荐记录")
        verbose_name_plural = _("推荐记录")

    def __str__(self) -> str:
        return f"{self.shown} → {self.chosen}"
