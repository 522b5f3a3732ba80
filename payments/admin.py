"""The console's payments: attempts, refunds, the gateways' messages, open cases."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from kameng.admin_site import Reporting, Tile
from kameng.logs import mask
from kameng.lookups import ClosedFilter, ConsoleAdmin, LookupAdmin, chip, linked
from kameng.templatetags.shop import moment, yuan
from payments import cases
from payments.channels import CHANNELS
from payments.console import desk
from payments.console.guarded import Guarding
from payments.console.order_story import channel_label, gateway_label
from payments.gateways.contract import Product
from payments.gateways.epay.gateway import TYPE as EPAY_TYPE
from payments.models import (
    Attempt,
    AttemptState,
    EpayChannel,
    GatewayEvent,
    Refund,
    RefundState,
)
from payments.reconciling import difference_admin

__all__ = ["difference_admin"]  # it registers pages of its own

ATTEMPT_LOOKS = {
    AttemptState.PAID: ("ok", "✓"),
    AttemptState.UNKNOWN: ("warn", "?"),
    AttemptState.OPEN: ("warn", "…"),
    AttemptState.CREATED: ("warn", "…"),
    AttemptState.FAILED: ("danger", "×"),
    AttemptState.CLOSED: ("", "–"),
}
REFUND_LOOKS = {
    RefundState.SUCCESS: ("ok", "✓"),
    RefundState.FAILED: ("danger", "×"),
    RefundState.REQUESTED: ("warn", "…"),
    RefundState.PROCESSING: ("warn", "…"),
    RefundState.MANUAL: ("danger", "!"),
}
WAITING: dict[type[Model], Callable[[], QuerySet[Any]]] = {
    Attempt: cases.unallocated,
    Refund: cases.waiting_refunds,
    GatewayEvent: cases.open_events,
}


class CaseFilter(ClosedFilter):
    """Everything, or what waits for a person."""

    title = gettext_lazy("待处理")
    parameter_name = "case"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin
    ) -> list[tuple[str, str]]:
        return [("open", _("待处理"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        waiting = WAITING[queryset.model]()
        return queryset.filter(pk__in=waiting.values("pk"))


@admin.register(Attempt)
class AttemptAdmin(Guarding, Reporting, LookupAdmin):
    guarded = desk.ATTEMPT
    lookups = ("case",)
    list_filter = (CaseFilter,)
    list_select_related = ("order",)
    list_display = (
        "out_trade_no",
        "channel_name",
        "amount",
        "received",
        "condition",
        "created_at",
    )
    fields = (
        "order",
        "channel_name",
        "product",
        "out_trade_no",
        "txn_id",
        "condition",
        "amount",
        "received",
        "paid_at",
        "reserved",
        "created_at",
        "asked",
        "trouble",
    )

    def tiles(self, request: HttpRequest) -> list[Tile]:
        listing = reverse("admin:payments_attempt_changelist")
        return [
            Tile(
                _("没有入账的钱"),
                cases.unallocated().count(),
                f"{listing}?case=open",
                is_case=True,
            )
        ]

    @admin.display(description=gettext_lazy("渠道"))
    def channel_name(self, attempt: Attempt) -> str:
        return channel_label(attempt)

    @admin.display(description=gettext_lazy("金额"))
    def amount(self, attempt: Attempt) -> str:
        return yuan(attempt.amount_fen)

    @admin.display(description=gettext_lazy("实收"))
    def received(self, attempt: Attempt) -> str:
        if attempt.paid_fen is None:
            return "–"
        other = "" if attempt.paid_currency == "CNY" else f" {attempt.paid_currency}"
        return f"{yuan(attempt.paid_fen)}{other}"

    @admin.display(description=gettext_lazy("已占用退款"))
    def reserved(self, attempt: Attempt) -> str:
        return yuan(attempt.refund_reserved_fen)

    @admin.display(description=gettext_lazy("最近查单"))
    def asked(self, attempt: Attempt) -> str:
        return moment(attempt.queried_at) if attempt.queried_at else "–"

    @admin.display(description=gettext_lazy("状态"))
    def condition(self, attempt: Attempt) -> SafeString:
        state = AttemptState(attempt.state)
        return chip(state.label, *ATTEMPT_LOOKS[state])

    @admin.display(description=gettext_lazy("最近错误"))
    def trouble(self, attempt: Attempt) -> str:
        return mask(attempt.last_error) or "–"


@admin.register(Refund)
class RefundAdmin(Guarding, Reporting, LookupAdmin):
    guarded = desk.REFUND
    lookups = ("case",)
    list_filter = (CaseFilter,)
    list_select_related = ("attempt",)
    list_display = ("out_refund_no", "amount", "reason", "condition", "created_at")
    fields = (
        "attempt",
        "out_refund_no",
        "gateway_refund_id",
        "amount",
        "reason",
        "condition",
        "revoked_seconds",
        "by_hand",
        "actor",
        "words",
        "created_at",
        "finished_at",
        "trouble",
    )

    def tiles(self, request: HttpRequest) -> list[Tile]:
        listing = reverse("admin:payments_refund_changelist")
        return [
            Tile(
                _("要人处理的退款"),
                cases.waiting_refunds().count(),
                f"{listing}?case=open",
                is_case=True,
            )
        ]

    @admin.display(description=gettext_lazy("说明"))
    def words(self, refund: Refund) -> str:
        return mask(refund.note) or "–"

    @admin.display(description=gettext_lazy("金额"))
    def amount(self, refund: Refund) -> str:
        return yuan(refund.amount_fen)

    @admin.display(description=gettext_lazy("状态"))
    def condition(self, refund: Refund) -> SafeString:
        state = RefundState(refund.state)
        return chip(state.label, *REFUND_LOOKS[state])

    @admin.display(description=gettext_lazy("最近错误"))
    def trouble(self, refund: Refund) -> str:
        return mask(refund.last_error) or "–"


@admin.register(GatewayEvent)
class GatewayEventAdmin(Guarding, Reporting, LookupAdmin):
    guarded = desk.EVENT
    lookups = ("case",)
    list_filter = (CaseFilter,)
    list_select_related = ("attempt",)
    list_display = (
        "created_at",
        "gateway_name",
        "kind",
        "number",
        "amount",
        "result",
    )
    fields = (
        "created_at",
        "gateway_name",
        "kind",
        "number",
        "txn_id",
        "amount",
        "payment",
        "result",
        "resolved_at",
        "resolved_by",
        "resolved_how",
        "message",
    )

    payment = linked("attempt", gettext_lazy("支付尝试"))

    def tiles(self, request: HttpRequest) -> list[Tile]:
        listing = reverse("admin:payments_gatewayevent_changelist")
        return [
            Tile(
                _("对不上的网关通知"),
                cases.open_events().count(),
                f"{listing}?case=open",
                is_case=True,
            )
        ]

    @admin.display(description=gettext_lazy("网关"))
    def gateway_name(self, event: GatewayEvent) -> str:
        return gateway_label(event.gateway)

    @admin.display(description=gettext_lazy("金额"))
    def amount(self, event: GatewayEvent) -> str:
        if event.amount_fen is None:
            return "–"
        return f"{yuan(event.amount_fen)} {event.currency}"

    @admin.display(description=gettext_lazy("结果"))
    def result(self, event: GatewayEvent) -> SafeString:
        waits = cases.is_open(event)
        return chip(event.get_outcome_display(), *(("danger", "!") if waits else ()))

    @admin.display(description=gettext_lazy("处理说明"))
    def resolved_how(self, event: GatewayEvent) -> str:
        return mask(event.resolution) or "–"

    @admin.display(description=gettext_lazy("内容"))
    def message(self, event: GatewayEvent) -> SafeString:
        text = json.dumps(event.content, ensure_ascii=False, indent=2)
        return format_html("<pre>{}</pre>", mask(text))


class EpayChannelForm(forms.ModelForm):
    def clean_code(self) -> str:
        """A code stands in orders for ever, so it is fixed once it was saved."""
        code = str(self.cleaned_data["code"])
        if self.instance.pk and code != self.initial["code"]:
            raise ValidationError(_("代号用过以后不能改，请新建一个渠道。"))
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,15}", code) or code in CHANNELS:
            raise ValidationError(_("用小写字母开头，不能和自带的付款方式同名。"))
        return code

    def clean_epay_type(self) -> str:
        kind = str(self.cleaned_data["epay_type"])
        # The names of our own products mean an address that nobody is asked for.
        if kind and (not EPAY_TYPE.fullmatch(kind) or kind in set(Product)):
            raise ValidationError(
                _("只能有字母、数字、- 和 _，而且不能和内部名称相同。")
            )
        return kind

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        phone_credit = cleaned.get("code") == EpayChannel.PHONE_CREDIT
        if "epay_type" in cleaned and phone_credit == bool(cleaned["epay_type"]):
            self.add_error(
                "epay_type",
                _("话费的 type 由服务器设置决定，这里要留空。")
                if phone_credit
                else _("请填对方平台给的 type。"),
            )
        if cleaned.get("cap_fen") == 0:
            self.add_error("cap_fen", _("上限要大于 0；不开放就取消勾选「开放」。"))
        return cleaned


@admin.register(EpayChannel)
class EpayChannelAdmin(ConsoleAdmin):
    """Channels that somebody else settles; Django's log keeps who changed what."""

    form = EpayChannelForm
    list_display = ("label", "code", "epay_type", "cap", "third_party", "enabled")
    fields = (
        "code",
        "label",
        "label_en",
        "epay_type",
        "cap_fen",
        "position",
        "enabled",
    )

    @admin.display(description=gettext_lazy("单笔上限"))
    def cap(self, channel: EpayChannel) -> str:
        return "–" if channel.cap_fen is None else yuan(channel.cap_fen)

    @admin.display(description=gettext_lazy("结算"))
    def third_party(self, channel: EpayChannel) -> SafeString:
        return chip(_("第三方"), "warn", "!")

    def has_delete_permission(
        self, request: HttpRequest, obj: Model | None = None
    ) -> bool:
        """Switched off, never deleted: old orders name it."""
        return False
