from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from members.models.people import Member


class Provider(models.TextChoices):
    """Who vouches for a person besides her phone."""

    WECHAT = "wechat", _("微信")
    QQ = "qq", "QQ"


class Identity(models.Model):
    """An account at WeChat or QQ with which a member signs in.

    Recognised by ``unionid``, which is the same in all applications of one owner; where
    the provider gives none, by ``openid`` within the application ``appid``.

    nickname  for her own eyes: cleaned, at most 32 characters, and never used to find
              or to join anybody
    """

    member = models.ForeignKey(
        Member, on_delete=models.CASCADE, related_name="identities"
    )
    provider = models.CharField(max_length=8, choices=Provider)
    appid = models.CharField(max_length=32)
    openid = models.CharField(max_length=64)
    unionid = models.CharField(max_length=64, blank=True)
    nickname = models.CharField(max_length=32, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="identity_unionid_once",
                fields=["provider", "unionid"],
                condition=~Q(unionid=""),
            ),
            models.UniqueConstraint(
                name="identity_openid_once", fields=["provider", "appid", "openid"]
            ),
            models.CheckConstraint(
                name="identity_provider_known",
                condition=Q(provider__in=Provider.values),
            ),
            models.CheckConstraint(
                name="identity_has_openid",
                condition=~Q(openid="") & ~Q(appid=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider} #{self.pk}"
