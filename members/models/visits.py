from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


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
