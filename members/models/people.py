from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.contrib.auth.models import (
    AbstractBaseUser,
    BaseUserManager,
    PermissionsMixin,
)
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class MemberManager(BaseUserManager["Member"]):
    def create_user(self, phone: str) -> Member:
        """A shopper, by a phone already normalised to E.164; no password."""
        member = self.model(phone=phone)
        member.set_unusable_password()
        member.save(using=self._db)
        return member

    def create_staff(self, username: str, password: str) -> Member:
        """An operator or support account; rights come from its group."""
        member = self.model(username=username, is_staff=True)
        member.set_password(password)
        member.save(using=self._db)
        return member

    def create_superuser(self, username: str, password: str) -> Member:
        member = self.create_staff(username, password)
        member.is_superuser = True
        member.save(update_fields=["is_superuser"])
        return member

    def get_by_natural_key(self, username: str | None) -> Member:
        return self.get(username=username)


class Member(AbstractBaseUser, PermissionsMixin):
    """A person: a shopper known by a phone, or staff known by a name.

    ``paid_until`` and ``timeline_at`` are written by ``members.timeline.rebuild``
    alone, under this row's lock. ``erase_at`` is when a person who asked for it goes;
    after ``erased_at`` the row stands for nobody. An account that was merged into
    another one keeps the history of what ran in it and nothing else. ``phone_proved_at``
    says when a code last showed that the phone is in her hand.
    """

    phone = models.CharField(
        _("手机号"), max_length=16, null=True, blank=True, unique=True
    )
    username = models.CharField(
        _("员工账号"), max_length=40, null=True, blank=True, unique=True
    )
    is_staff = models.BooleanField(_("员工"), default=False)
    is_active = models.BooleanField(_("可登录"), default=True)
    created_at = models.DateTimeField(
        _("建立时间"), default=timezone.now, editable=False
    )
    paid_until = models.DateTimeField(
        _("会员到期"), null=True, blank=True, editable=False
    )
    timeline_at = models.DateTimeField(null=True, editable=False)
    merged_into = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        editable=False,
        related_name="merged",
        verbose_name=_("并入"),
    )
    phone_proved_at = models.DateTimeField(
        _("上次验证手机号"), null=True, editable=False
    )
    risk_flag_until = models.DateTimeField(_("风险标记到"), null=True, blank=True)
    guide_done = models.JSONField(default=list, editable=False)
    guide_dismissed_at = models.DateTimeField(null=True, editable=False)
    erase_at = models.DateTimeField(null=True, editable=False)
    erased_at = models.DateTimeField(null=True, editable=False)
    wants_advice = models.BooleanField(
        _("按记录推荐时长"), default=True, editable=False
    )
    version = models.PositiveIntegerField(default=0, editable=False)

    objects: ClassVar[MemberManager] = MemberManager()

    USERNAME_FIELD = "username"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        verbose_name = _("会员")
        verbose_name_plural = _("会员")
        constraints = [
            models.CheckConstraint(
                name="member_phone_e164",  # Chinese mobile numbers only
                condition=Q(phone__isnull=True)
                | Q(phone__regex=r"^\+861[3-9][0-9]{9}$"),
            ),
            models.CheckConstraint(
                name="member_staff_has_name",
                condition=Q(is_staff=False) | Q(username__isnull=False),
            ),
            models.CheckConstraint(  # I12: nobody signs in, no time is ahead
                name="member_merged_is_over",
                condition=Q(merged_into__isnull=True)
                | Q(is_active=False, phone__isnull=True, paid_until__isnull=True)
                & ~Q(merged_into=F("pk")),
            ),
        ]
        indexes = [
            models.Index(
                fields=["paid_until"],
                name="member_paid_until",
                condition=Q(paid_until__isnull=False),
            ),
            models.Index(
                fields=["erase_at"],
                name="member_erase_at",
                condition=Q(erase_at__isnull=False, erased_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return self.username or self.masked_phone or f"#{self.pk}"

    @property
    def masked_phone(self) -> str:
        """``138••••8000``, the only form that leaves the member's own pages."""
        if not self.phone:
            return ""
        national = self.phone.removeprefix("+86")
        return f"{national[:3]}••••{national[-4:]}"

    @property
    def signs_in_as(self) -> str:
        """How her own pages name her: by the phone, else by who vouches for her."""
        if self.phone:
            return self.masked_phone
        identity = self.identities.order_by("pk").first()
        if identity is None:
            return str(self)
        return f"{identity.get_provider_display()} {identity.nickname}".strip()

    def is_member(self, *, at: datetime) -> bool:
        return self.paid_until is not None and at < self.paid_until


class FormerPhone(models.Model):
    """A number that a member has left, for the notice to it and no longer than a week."""

    member = models.ForeignKey(
        Member, on_delete=models.CASCADE, related_name="former_phones"
    )
    phone = models.CharField(max_length=16)
    left_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"#{self.pk}"
