from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from members.models import Plan
from orders.models import Order


class ConsentState(models.TextChoices):
    """Moves: waiting → signed | ended; signed → ended."""

    WAITING = "waiting", _("等待签约")
    SIGNED = "signed", _("已签约")
    ENDED = "ended", _("已结束")


class EndedBy(models.TextChoices):
    """Why a consent is over."""

    MEMBER = "member", _("会员关闭")
    WALLET = "wallet", _("在支付平台关闭")
    REPLACED = "replaced", _("换成新的同意")
    UNSIGNED = "unsigned", _("没有签约")
    PRICE = "price", _("涨价，需重新同意")
    PLAN = "plan", _("套餐停售")
    FAILED = "failed", _("扣款没有成功")
    LAPSED = "lapsed", _("会员已到期")
    MERGED = "merged", _("账号已合并")


class Consent(models.Model):
    """A member's word that one plan may be charged again, and how it ended; kept.

    ``price_fen`` is the most that one charge may take, ``days`` the time that it brings,
    ``terms`` the version of the renewal terms she was shown. ``order`` is the purchase
    with whose checkout she ticked the box, null for a consent given in her account.
    ``first_on`` is the first day named to the gateway, null until the page to sign on
    was asked for. ``number`` is ours at the gateway, ``contract_no`` the gateway's own
    once it is signed there.
    """

    member = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="renewal_consents",
        verbose_name=_("会员"),
    )
    plan = models.ForeignKey(
        Plan, models.PROTECT, related_name="+", verbose_name=_("套餐")
    )
    price_fen = models.PositiveIntegerField(_("同意的金额（分）"))
    days = models.PositiveSmallIntegerField(_("同意的周期（天）"))
    terms = models.CharField(_("协议版本"), max_length=8)
    order = models.ForeignKey(
        Order,
        models.PROTECT,
        null=True,
        related_name="consents",
        verbose_name=_("下单时同意"),
    )
    first_on = models.DateField(_("首个扣款日"), null=True)
    gateway = models.CharField(_("网关"), max_length=16)
    number = models.CharField(_("商户签约号"), max_length=32)
    contract_no = models.CharField(_("平台协议号"), max_length=64, null=True)
    state = models.CharField(
        _("状态"), max_length=8, choices=ConsentState, default=ConsentState.WAITING
    )
    agreed_at = models.DateTimeField(_("同意时间"))
    signed_at = models.DateTimeField(_("签约时间"), null=True)
    ended_at = models.DateTimeField(_("结束时间"), null=True)
    ended_by = models.CharField(_("结束原因"), max_length=8, choices=EndedBy, null=True)
    next_query_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("续费同意")
        verbose_name_plural = _("续费同意")
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["gateway", "number"], name="consent_number_once"
            ),
            models.UniqueConstraint(
                fields=["gateway", "contract_no"],
                name="consent_contract_once",
                condition=Q(contract_no__isnull=False),
            ),
            models.UniqueConstraint(
                fields=["member"],
                name="consent_one_signed",
                condition=Q(state="signed"),
            ),
            models.CheckConstraint(
                name="consent_state_has_times",
                condition=Q(state="waiting", signed_at__isnull=True, ended_at=None)
                | Q(
                    state="signed",
                    signed_at__isnull=False,
                    contract_no__isnull=False,
                    ended_at=None,
                )
                | Q(state="ended", ended_at__isnull=False, ended_by__isnull=False),
            ),
            models.CheckConstraint(
                name="consent_price_positive", condition=Q(price_fen__gt=0)
            ),
        ]
        indexes = [
            models.Index(
                fields=["next_query_at"],
                name="consent_due_query",
                condition=Q(next_query_at__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.gateway} {self.number}"


class AutoRenew(models.Model):
    """Whether a member's time renews itself, by which consent; one row a member (K26).

    Plan, price, gateway and contract number are those of the consent. Written under
    the member's lock. ``due_at`` is when to look again, null while it is off.
    """

    member = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        related_name="auto_renew",
        verbose_name=_("会员"),
    )
    consent = models.OneToOneField(
        Consent, models.PROTECT, related_name="+", verbose_name=_("同意")
    )
    enabled = models.BooleanField(_("开着"), default=True)
    changed_at = models.DateTimeField(_("变更时间"))
    due_at = models.DateTimeField(_("下次检查"), null=True)

    class Meta:
        verbose_name = _("自动续费")
        verbose_name_plural = _("自动续费")
        constraints = [
            models.CheckConstraint(
                name="auto_renew_on_is_due",
                condition=Q(enabled=True, due_at__isnull=False)
                | Q(enabled=False, due_at__isnull=True),
            )
        ]
        indexes = [
            models.Index(
                fields=["due_at"], name="auto_renew_due", condition=Q(enabled=True)
            )
        ]

    def __str__(self) -> str:
        return f"{self.member_id} {'on' if self.enabled else 'off'}"
