"""The console's pages for members, their time, and the shop's rules."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth import admin as auth_admin
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext, gettext_lazy

from kameng.lookups import ChosenOnly, ConsoleAdmin, LookupAdmin, PageAdmin, linked
from kameng.templatetags.shop import discount, duration
from members import gift_admin, phones, rule_bounds, unblocking
from members.models import Entitlement, Member, Pause, Segment, ShopRules
from members.real_name import desk
from members.sign_in import codes
from members.standing import standing
from members.tiers import catalogue_admin
from notifications import kinds
from payments.console.guarded import Guarding
from payments.console.merging_page import MERGE
from payments.renewing import renewal_state

__all__ = [
    "auth_admin",
    "catalogue_admin",
    "gift_admin",
]  # they register pages of their own

SHOWN_ROWS = 20

admin.site.unregister(Group)  # the roles are a list in members.staff_roles


class TailFilter(ChosenOnly):
    """Members by the last four digits of the phone; the look-up sets it."""

    title = gettext_lazy("手机尾号")
    parameter_name = "tail"
    pattern = phones.TAIL

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Member]
    ) -> QuerySet[Member]:
        return queryset.filter(phone__endswith=self.value() or "")


@admin.register(Member)
class MemberAdmin(Guarding, PageAdmin):
    guarded = (MERGE,)
    page_template = "console/member.html"
    lookups = ("tail",)
    list_filter = (TailFilter,)
    list_display = ("name", "paid_until", "created_at", "is_active")

    @admin.display(description=gettext_lazy("会员"))
    def name(self, member: Member) -> str:
        return str(member)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.unblock_view)
        return [
            path("unblock/", view, name="members_member_unblock"),
            *[
                path(
                    f"<int:pk>/real-name/{act}/",
                    self.admin_site.admin_view(self.real_name_view),
                    {"act": act},
                    name=f"members_member_real_name_{act.replace('-', '_')}",
                )
                for act in desk.ACTS
            ],
            *super().get_urls(),
        ]

    def unblock_view(self, request: HttpRequest) -> HttpResponse:
        context = {**self.admin_site.each_context(request), "opts": self.opts}
        return unblocking.page(request, context)

    def real_name_view(self, request: HttpRequest, pk: int, act: str) -> HttpResponse:
        context = {**self.admin_site.each_context(request), "opts": self.opts}
        return desk.page(request, self.get_object(request, str(pk)), act, context)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Member]:
        """Shoppers; staff accounts are for superusers to see (security 68)."""
        people = super().get_queryset(request)
        return people if request.user.is_superuser else people.filter(is_staff=False)

    def page(self, row: Member, *, now: datetime) -> dict[str, Any]:
        """What she holds, bought and was told; all newest first and cut off."""
        entitlements = row.entitlements.select_related(
            "tier", "order", "actor", "gift_code"
        )
        segments = row.segments.select_related("entitlement__tier")
        pauses = row.pauses.select_related("actor")
        return {
            "title": str(row),
            "member": row,
            "standing": standing(row, at=now),
            "is_blocked": bool(row.phone and codes.is_blocked(row.phone, now=now)),
            "segments": segments.order_by("-starts_at")[:SHOWN_ROWS],
            "entitlements": entitlements.order_by("-pk")[:SHOWN_ROWS],
            "pauses": pauses.order_by("-pk")[:SHOWN_ROWS],
            "real_name": desk.facts(row, now=now),
            "merged": row.merged.order_by("-pk")[:SHOWN_ROWS],
            "orders": row.orders.order_by("-pk")[:SHOWN_ROWS],
            "renewal": renewal_state.position(row, now=now),
            "consents": renewal_state.consents(row, limit=SHOWN_ROWS),
            "debits": renewal_state.debits(row, now=now),
            "told": [
                (message, kinds.label(message.kind))
                for message in row.notifications.order_by("-pk")[:SHOWN_ROWS]
            ],
        }


class MemberFilter(ChosenOnly):
    """Rows of one member, set by a link from her page."""

    title = gettext_lazy("会员")
    parameter_name = "member"
    pattern = re.compile(r"[0-9]{1,18}", re.ASCII)

    def label(self, value: str) -> str:
        return str(Member.objects.filter(pk=value).first() or value)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(member=value) if value else queryset


@admin.register(Entitlement)
class EntitlementAdmin(LookupAdmin):
    lookups = ("member",)
    list_filter = (MemberFilter,)
    list_select_related = ("member", "tier", "order", "actor")
    list_display = ("name", "owner", "length", "taken_back", "source", "created_at")
    fields = (
        "owner",
        "name",
        "rank",
        "rate",
        "length",
        "taken_back",
        "source",
        "bought_by",
        "came_with",
        "granted_by",
        "reason",
        "created_at",
    )
    owner = linked("member", gettext_lazy("会员"))
    bought_by = linked("order", gettext_lazy("订单"))
    came_with = linked("gift_code", gettext_lazy("兑换码"))

    @admin.display(description=gettext_lazy("谁赠送"))
    def granted_by(self, entitlement: Entitlement) -> str:
        return str(entitlement.actor or "–")

    @admin.display(description=gettext_lazy("等级"))
    def name(self, entitlement: Entitlement) -> str:
        return entitlement.tier.name

    @admin.display(description=gettext_lazy("时长"))
    def length(self, entitlement: Entitlement) -> str:
        return duration(entitlement.seconds)

    @admin.display(description=gettext_lazy("收回"))
    def taken_back(self, entitlement: Entitlement) -> str:
        seconds = entitlement.revoked_seconds
        return duration(seconds) if seconds else "–"

    @admin.display(description=gettext_lazy("折扣"))
    def rate(self, entitlement: Entitlement) -> str:
        return discount(entitlement.discount_bp) or gettext("无折扣")


@admin.register(Segment)
class SegmentAdmin(LookupAdmin):
    lookups = ("member",)
    list_filter = (MemberFilter,)
    list_select_related = ("member", "entitlement__tier")
    list_display = ("id", "owner", "given", "starts_at", "ends_at")
    fields = ("owner", "given", "starts_at", "ends_at")
    owner = linked("member", gettext_lazy("会员"))
    given = linked("entitlement", gettext_lazy("权益期"))


@admin.register(Pause)
class PauseAdmin(LookupAdmin):
    lookups = ("member",)
    list_filter = (MemberFilter,)
    list_select_related = ("member", "actor")
    list_display = ("id", "owner", "starts_at", "ends_at", "who")
    fields = ("owner", "starts_at", "ends_at", "who", "reason")
    owner = linked("member", gettext_lazy("会员"))

    @admin.display(description=gettext_lazy("谁暂停"))
    def who(self, pause: Pause) -> str:
        return str(pause.actor or "–")


class ShopRulesForm(forms.ModelForm):
    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if not self.errors:
            for field, words in rule_bounds.faults(self.instance).items():
                self.add_error(field, words)


@admin.register(ShopRules)
class ShopRulesAdmin(ConsoleAdmin):
    """One row; made by the first operator who saves it."""

    form = ShopRulesForm
    fieldsets = (
        (
            gettext_lazy("店铺"),
            {
                "fields": (
                    "shop_name",
                    "company",
                    "icp_number",
                    "license_number",
                    "support_contact",
                    "support_url",
                    "support_hours",
                )
            },
        ),
        (
            gettext_lazy("订单（秒）"),
            {
                "fields": (
                    "hold_seconds",
                    "last_attempt_seconds",
                    "grace_seconds",
                    "expired_at_once",
                    "late_seconds",
                    "confirm_above_fen",
                    "short_seconds",
                    "ageing_seconds",
                    "bother_fen",
                    "open_orders_max",
                    "open_orders_per_address",
                )
            },
        ),
        (
            gettext_lazy("验证码（秒、次）"),
            {
                "fields": (
                    "code_seconds",
                    "code_tries",
                    "code_resend_seconds",
                    "codes_per_phone_hour",
                    "codes_per_phone_day",
                    "failures_per_phone_day",
                    "failures_in_a_row",
                    "codes_per_address_hour",
                    "failures_per_address",
                    "misses_per_address",
                    "misses_per_network",
                    "codes_per_network_hour",
                    "codes_per_hour",
                    "codes_per_day",
                    "failures_alarm",
                )
            },
        ),
        (
            gettext_lazy("优惠码和兑换码（次）"),
            {
                "fields": (
                    "wrong_coupons_per_member_hour",
                    "wrong_coupons_per_member_day",
                    "wrong_coupons_per_address_hour",
                    "wrong_coupons_per_address_day",
                    "wrong_coupons_per_network_hour",
                    "wrong_gifts_per_member_hour",
                    "wrong_gifts_per_member_day",
                    "wrong_gifts_per_address_hour",
                    "wrong_gifts_per_address_day",
                    "wrong_gifts_per_network_hour",
                    "wrong_gifts_per_hour",
                )
            },
        ),
        (gettext_lazy("实名认证"), {"fields": ("real_name_accounts",)}),
        (
            gettext_lazy("提醒（点、秒）"),
            {
                "fields": (
                    "quiet_from_hour",
                    "quiet_until_hour",
                    "reminder_seconds",
                    "short_reminder_seconds",
                    "reminded_at_once",
                )
            },
        ),
        (
            gettext_lazy("自动续费（秒、点）"),
            {
                "fields": (
                    "renewal_notice_seconds",
                    "renewal_charge_seconds",
                    "renewal_retry_seconds",
                    "renewal_last_retry_seconds",
                    "renewal_from_hour",
                    "renewal_until_hour",
                )
            },
        ),
    )

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Straight to the one row, or to the form that makes it."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = ShopRules.objects.first()
        if row is None:
            return HttpResponseRedirect(reverse("admin:members_shoprules_add"))
        return HttpResponseRedirect(
            reverse("admin:members_shoprules_change", args=[row.pk])
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and not ShopRules.objects.exists()

    def has_delete_permission(
        self, request: HttpRequest, obj: Model | None = None
    ) -> bool:
        return False

    def save_model(
        self, request: HttpRequest, obj: ShopRules, form: Any, change: bool
    ) -> None:
        if not change:
            obj.pk = 1  # two operators who both make it make one row
        obj.save()
