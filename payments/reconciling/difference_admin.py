"""The console's cases of reconciliation, and the one action they have."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from kameng.admin_site import Reporting, Tile
from kameng.logs import mask
from kameng.lookups import ClosedFilter, LookupAdmin, PageAdmin, chip, now_of
from kameng.templatetags.shop import moment, yuan
from members.models import Member
from payments.models import Attempt, Refund
from payments.order_story import gateway_label
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


class ResolveForm(forms.Form):
    version = forms.IntegerField(min_value=0, widget=forms.HiddenInput)
    reason = forms.CharField(
        label=gettext_lazy("说明"),
        max_length=200,
        widget=forms.Textarea(attrs={"rows": 3}),
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
class BillDifferenceAdmin(Reporting, PageAdmin):
    page_template = "console/difference.html"
    lookups = ("case",)
    list_filter = (OpenFilter,)
    list_display = ("number", "gateway_name", "kind", "sums", "condition", "day")

    def tiles(self, request: HttpRequest) -> list[Tile]:
        listing = reverse("admin:payments_billdifference_changelist")
        count = differences.waiting().count()
        return [Tile(_("对账差异"), count, f"{listing}?case=open", is_case=True)]

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.resolve_view)
        name = "payments_billdifference_resolve"
        return [path("<int:pk>/resolve/", view, name=name), *super().get_urls()]

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

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        response = super().change_view(request, object_id, form_url, extra_context)
        if isinstance(response, TemplateResponse) and response.context_data:
            row = response.context_data["difference"]
            if may_resolve(request) and row.state == DifferenceState.OPEN:
                response.context_data["form"] = ResolveForm(
                    initial={"version": row.version}
                )
        return response

    def resolve_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Close a case with a reason; twice, or from an old page, changes nothing."""
        if not may_resolve(request):
            raise PermissionDenied
        assert isinstance(request.user, Member)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row = get_object_or_404(BillDifference, pk=pk)
        form = ResolveForm(request.POST)
        if not form.is_valid():
            context = {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                **self.page(row, now=now_of(request)),
                "form": form,
            }
            return TemplateResponse(request, self.page_template, context, status=422)
        try:
            differences.resolve(
                row.pk,
                version=form.cleaned_data["version"],
                actor=request.user,
                reason=form.cleaned_data["reason"],
                now=now_of(request),
            )
        except differences.NotOpen:
            words = _("这一条已经变了，没有处理。请看现在的情况。")
            messages.error(request, words)
        else:
            messages.success(request, _("已处理。"))
        page = reverse("admin:payments_billdifference_change", args=[row.pk])
        return HttpResponseRedirect(page)


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


def may_resolve(request: HttpRequest) -> bool:
    return bool(request.user.has_perm("payments.change_billdifference"))


def amount(fen: int | None) -> str:
    return "–" if fen is None else yuan(fen)
