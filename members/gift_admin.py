"""The console's gift codes: made as a file that is handed out once, revoked, looked at."""

from __future__ import annotations

import csv
import re
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters

from kameng.lookups import ChosenOnly, LookupAdmin, PageAdmin, chip, linked, now_of
from members import gift_codes
from members.models import GiftBatch, GiftCode, GiftState

LOOKS = {
    GiftState.UNUSED: ("ok", "…"),
    GiftState.REDEEMED: ("", "✓"),
    GiftState.REVOKED: ("warn", "×"),
}


class GiftBatchForm(forms.ModelForm):
    class Meta:
        model = GiftBatch
        fields = ("name", "tier", "days", "count", "valid_until")
        widgets = {
            "valid_until": forms.DateTimeInput(
                attrs={"placeholder": "2027-01-31 23:59"}
            )
        }


@admin.register(GiftBatch)
class GiftBatchAdmin(PageAdmin):
    """No code is ever shown here: the file of its making is the only place for it."""

    page_template = "console/gift_batch.html"
    change_list_template = "console/gift_list.html"
    list_display = ("name", "tier", "days", "count", "valid_until", "actor")
    list_select_related = ("tier", "actor")

    def page(self, row: GiftBatch, *, now: datetime) -> dict[str, Any]:
        counts = row.codes.aggregate(
            **{state.value: Count("pk", filter=Q(state=state)) for state in GiftState}
        )
        return {"title": str(row), "batch": row, "counts": counts}

    def get_urls(self) -> list[URLPattern]:
        make = self.admin_site.admin_view(self.make_view)
        revoke = self.admin_site.admin_view(self.revoke_view)
        return [
            path("new/", make, name="members_giftbatch_new"),
            path("<int:pk>/revoke/", revoke, name="members_giftbatch_revoke"),
            *super().get_urls(),
        ]

    def make_view(self, request: HttpRequest) -> HttpResponse:
        """The form; its answer is the file with the codes, this once."""
        if not request.user.has_perm("members.add_giftbatch"):
            raise PermissionDenied
        form = GiftBatchForm(*((request.POST,) if request.method == "POST" else ()))
        if request.method == "POST" and form.is_valid():
            return self._file(request, form.cleaned_data)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("生成兑换码"),
            "form": form,
        }
        status = 422 if form.errors else 200
        return TemplateResponse(
            request, "console/gift_new.html", context, status=status
        )

    def _file(self, request: HttpRequest, given: dict[str, Any]) -> HttpResponse:
        actor: Any = request.user
        made = gift_codes.make(**given, actor=actor, now=now_of(request))
        words = _("生成 {n} 个兑换码").format(n=made.batch.count)
        self.log_addition(request, made.batch, words)
        answer = HttpResponse(content_type="text/csv; charset=utf-8")
        name = f"gift-codes-{made.batch.pk}.csv"
        answer["Content-Disposition"] = f'attachment; filename="{name}"'
        writer = csv.writer(answer)
        writer.writerow(["code"])
        writer.writerows([code] for code in made.codes)
        return answer

    @method_decorator(sensitive_post_parameters("gift"))
    def revoke_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Make one code worthless, or all that are unused; leaves a line in the log."""
        if not request.user.has_perm("members.change_giftbatch"):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponse(status=405, headers={"Allow": "POST"})
        batch = get_object_or_404(GiftBatch, pk=pk)
        one = request.POST.get("gift", "").strip()
        if one:
            revoked = int(gift_codes.revoke(batch.pk, one))
        elif request.POST.get("all") == "yes":
            revoked = gift_codes.revoke_unused(batch.pk)
        else:
            revoked = 0
        if revoked:
            words = _("撤销 {n} 个没用过的兑换码").format(n=revoked)
            self.log_change(request, batch, words)
            messages.success(request, words)
        else:
            messages.error(request, _("没有这样的未兑换的码，没有改动"))
        where = reverse("admin:members_giftbatch_change", args=[batch.pk])
        return HttpResponseRedirect(where)


class GiftBatchFilter(ChosenOnly):
    """Codes of one batch, set by a link from its page."""

    title = gettext_lazy("批次")
    parameter_name = "batch"
    pattern = re.compile(r"[0-9]{1,18}", re.ASCII)

    def label(self, value: str) -> str:
        return str(GiftBatch.objects.filter(pk=value).first() or value)

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[GiftCode]
    ) -> QuerySet[GiftCode]:
        value = self.value()
        return queryset.filter(batch_id=int(value)) if value else queryset


@admin.register(GiftCode)
class GiftCodeAdmin(LookupAdmin):
    lookups = ("batch",)
    list_filter = (GiftBatchFilter,)
    list_select_related = ("batch", "entitlement__member")
    list_display = ("masked", "of_batch", "now_is", "redeemed_at", "gave")
    fields = ("masked", "of_batch", "now_is", "redeemed_at", "gave")
    of_batch = linked("batch", gettext_lazy("批次"))

    @admin.display(description=gettext_lazy("兑换码"))
    def masked(self, code: GiftCode) -> str:
        return str(code)

    @admin.display(description=gettext_lazy("状态"))
    def now_is(self, code: GiftCode) -> SafeString:
        state = GiftState(code.state)
        return chip(state.label, *LOOKS[state])

    @admin.display(description=gettext_lazy("谁兑换的"))
    def gave(self, code: GiftCode) -> str:
        given = getattr(code, "entitlement", None)
        return str(given.member) if given else "–"
