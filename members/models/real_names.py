from __future__ import annotations

from datetime import date

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from members.models.people import Member

ACCOUNTS_MAX = 20
"""Most accounts that one identity may verify, whatever an operator allows."""


class Verifier(models.TextChoices):
    """Who said that name and number belong together."""

    SANDBOX = "sandbox", _("沙箱")
    TENCENT = "tencent", _("腾讯云")
    HAND = "hand", _("人工")


class CheckOutcome(models.TextChoices):
    """Moves: asked → any other one, once."""

    ASKED = "asked", _("已提交")
    MATCH = "match", _("一致")
    MISMATCH = "mismatch", _("不一致")
    NOT_FOUND = "not_found", _("库里查不到")
    TAKEN = "taken", _("证件已用于太多账号")
    UNAVAILABLE = "unavailable", _("核验服务没有答复")


class RealName(models.Model):
    """That a member's name was verified: the result alone, never name or number.

    adult_on  the day on which a minor comes of age, in Shanghai; None for whoever was
              of age when she was verified
    digest    keyed digest of the ID number, so that it is known again; empty where a
              person of the shop has decided (``HAND``) and saw no number
    slot      which of the accounts that one number may verify this is: 1, 2 …
    """

    member = models.OneToOneField(Member, models.CASCADE, related_name="real_name")
    verified_at = models.DateTimeField(_("认证时间"), default=timezone.now)
    provider = models.CharField(_("核验方"), max_length=8, choices=Verifier)
    adult_on = models.DateField(_("成年日期"), null=True)
    digest = models.CharField(max_length=64, blank=True, editable=False)
    slot = models.PositiveSmallIntegerField(null=True, editable=False)

    class Meta:
        verbose_name = _("实名认证")
        verbose_name_plural = _("实名认证")
        constraints = [
            models.CheckConstraint(
                name="real_name_provider_known",
                condition=Q(provider__in=Verifier.values),
            ),
            models.CheckConstraint(  # a number itself would not fit
                name="real_name_digest_or_hand",
                condition=Q(provider="hand", digest="", slot__isnull=True)
                | ~Q(provider="hand")
                & Q(digest__regex=r"^[0-9a-f]{64}$", slot__isnull=False)
                & Q(slot__gte=1, slot__lte=ACCOUNTS_MAX),
            ),
            models.UniqueConstraint(fields=["digest", "slot"], name="real_name_slots"),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"

    def is_minor(self, *, today: date) -> bool:
        """today  in Shanghai"""
        return self.adult_on is not None and today < self.adult_on


class RealNameCheck(models.Model):
    """One question to the verifier: her separate consent to it, and what came of it.

    Written before the question is asked, so that no number leaves the shop without a
    consent on record (security 76).
    """

    member = models.ForeignKey(
        Member, models.CASCADE, related_name="real_name_checks", editable=False
    )
    consent_version = models.CharField(max_length=16, editable=False)
    asked_at = models.DateTimeField(default=timezone.now, editable=False)
    provider = models.CharField(max_length=8, choices=Verifier, editable=False)
    outcome = models.CharField(
        max_length=12, choices=CheckOutcome, default=CheckOutcome.ASKED, editable=False
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="real_name_check_outcome_known",
                condition=Q(outcome__in=CheckOutcome.values),
            ),
            models.CheckConstraint(
                name="real_name_check_has_consent", condition=~Q(consent_version="")
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"
