from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _


class Purpose(models.TextChoices):
    """What a code may be used for; it is good for nothing else."""

    CHECKOUT = "checkout", _("下单")
    LOGIN = "login", _("登录")
    LOOKUP = "lookup", _("查订单")
    CONFIRM = "confirm", _("确认是你本人")
    PHONE = "phone", _("换手机号")


class OneTimeCode(models.Model):
    """A code sent to a phone, kept as a keyed digest.

    Bound to the browser session, the purpose and the phone. The newest row of a phone
    and purpose counts; a new code replaces the old one.
    """

    phone = models.CharField(max_length=16)
    purpose = models.CharField(max_length=16, choices=Purpose)
    session_digest = models.CharField(max_length=64)
    code_digest = models.CharField(max_length=64)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    failures = models.PositiveSmallIntegerField(default=0)
    spent_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["phone", "purpose", "-id"], name="code_newest"),
            models.Index(fields=["created_at"], name="code_age"),
        ]
        constraints = [
            models.CheckConstraint(
                name="code_purpose_known", condition=Q(purpose__in=Purpose.values)
            )
        ]

    def __str__(self) -> str:
        return f"{self.purpose} #{self.pk}"
