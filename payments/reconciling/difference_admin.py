"""The console's cases of reconciliation, and the one guarded action they have."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from kameng.admin_site import Reporting, Tile
from kameng.logs import mask
from kameng.lookups import ClosedFilter, LookupAdmin, PageAdmin, chip, now_of
from kameng.templatetags.shop import moment, yuan
from payments.console.guarded import Deed, Facts, Guarded, GuardedForm, Guarding
from payments.console.order_story import gateway_label
from payments.models import Attempt, Refund
from payments.reconciling import bill_days, differences
from payments.reconciling.bill_models import (
    BillDay,
    BillDifference,
    DifferenceState,
)

LOOKS = {
    DifferenceState.OPEN: ("danger", "!"),
    DifferenceState.RESOLVED: ("ok", "✓"),
    DifferenceState.HEALED: ("ok", "✓"),
}


class ResolveForm(GuardedForm):
    reason = forms.CharField(
        label=gettext_lazy("说明"),
        max_length=200,
        help_text=gettext_lazy(
            "查清之后写明原因。这里不动钱：要入账或退款，请到支付尝试或订单页。"
        ),
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def shown_version(self) -> int:
        version: int = self.row.version
        return version


def _is_open(row: BillDifference, now: datetime) -> bool:
    return row.state == DifferenceState.OPEN


def _facts(row: BillDifference, form: GuardedForm, now: datetime) -> Facts:
    return [
        (_("对账差异"), row.get_kind_display()),
        (_("网关"), gateway_label(row.gateway)),
        (_("单号"), row.number),
        (_("平台交易号"), row.txn_id or "–"),
        (_("网关的金额"), amount(row.theirs_fen)),
        (_("本店的金额"), amount(row.ours_fen)),
    ]


def _resolve(deed: Deed) -> str:
    differences.resolve(
        deed.row.pk,
        version=deed.data["version"],
        actor=deed.actor,
        reason=deed.data["reason"],
        now=deed.now,
    )
    return _("已处理。")


RESOLVE = Guarded(
    "resolve",
    gettext_lazy("处理完毕"),
    "payments.change_billdifference",
    ResolveForm,
    is_offered=_is_open,
    facts=_facts,
    do=_resolve,
    refusals=(differences.NotOpen,),
    words=lambda refusal: _("这一条已经变了，没有处理。请看现在的情况。"),
    is_logged=True,
)


class OpenFilter(ClosedFilter):
    title = gettext_lazy("待处理")
    parameter_name = "case"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin
    ) -> list[tuple[str, str]]:
        return [("open", _("待处理"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() is None:
            return queryset
        if queryset.model is BillDay:
            late = bill_days.overdue(now=now_of(request))
            return queryset.filter(pk__in=late.values("pk"))
        return queryset.filter(state=DifferenceState.OPEN)


@admin.register(BillDifference)
class BillDifferenceAdmin(Guarding, Reporting, PageAdmin):
    guarded = (RESOLVE,)
    page_template = "console/difference.html"
    lookups = ("case",)
    list_filter = (OpenFilter,)
    list_display = ("number", "gateway_name", "kind", "sums", "condition", "day")

    def tiles(self, request: HttpRequest) -> list[Tile]:
        listing = reverse("admin:payments_billdifference_changelist")
        count = differences.waiting().count()
        return [Tile(_("对账差异"), count, f"{listing}?case=open", is_case=True)]

    @admin.display(description=gettext_lazy("网关"))
    def gateway_name(self, row: BillDifference) -> str:
        return gateway_label(row.gateway)

    @admin.display(description=gettext_lazy("网关／本店"))
    def sums(self, row: BillDifference) -> str:
        return f"{amount(row.theirs_fen)} / {amount(row.ours_fen)}"

    @admin.display(description=gettext_lazy("状态"))
    def condition(self, row: BillDifference) -> SafeString:
        state = DifferenceState(row.state)
        return chip(state.label, *LOOKS[state])

    def page(self, row: BillDifference, *, now: datetime) -> dict[str, Any]:
        attempt = Attempt.objects.filter(
            gateway=row.gateway, out_trade_no=row.number
        ).first()
        refund = Refund.objects.filter(
            attempt__gateway=row.gateway, out_refund_no=row.number
        ).first()
        return {
            "title": row.number,
            "difference": row,
            "gateway": gateway_label(row.gateway),
            "theirs": amount(row.theirs_fen),
            "ours": amount(row.ours_fen),
            "condition": self.condition(row),
            "attempt": attempt or (refund.attempt if refund else None),
            "refund": refund,
        }


@admin.register(BillDay)
class BillDayAdmin(Reporting, LookupAdmin):
    lookups = ("case",)
    list_filter = (OpenFilter,)
    list_display = ("day", "gateway_name", "condition", "lines", "done", "trouble")
    fields = ("day", "gateway_name", "condition", "lines", "tries", "done", "trouble")

    def tiles(self, request: HttpRequest) -> list[Tile]:
        listing = reverse("admin:payments_billday_changelist")
        late = bill_days.overdue(now=now_of(request)).count()
        return [Tile(_("没取到的账单"), late, f"{listing}?case=open", is_case=True)]

    @admin.display(description=gettext_lazy("网关"))
    def gateway_name(self, row: BillDay) -> str:
        return gateway_label(row.gateway)

    @admin.display(description=gettext_lazy("状态"))
    def condition(self, row: BillDay) -> SafeString:
        if row.done_at is None:
            return chip(_("待取"), "warn", "…")
        return chip(_("已对"), "ok", "✓")

    @admin.display(description=gettext_lazy("对账时间"))
    def done(self, row: BillDay) -> str:
        return moment(row.done_at) if row.done_at else "–"

    @admin.display(description=gettext_lazy("最近错误"))
    def trouble(self, row: BillDay) -> str:
        return mask(row.last_error) or "–"


def amount(fen: int | None) -> str:
    return "–" if fen is None else yuan(fen)
