"""The console's page that hands out files: for operators, logged, and not for ever."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from kameng import spreadsheets
from kameng.lookups import now_of
from kameng.templatetags.shop import SHANGHAI
from members import limits
from members.models import Window
from orders.models import Order
from payments.console import exporting
from payments.console.exporting import Kind, TooManyRows

AN_HOUR = (Window(3_600, 20),)
"""Files for one person: more is a copy of the shop's books being taken away."""


class ExportForm(forms.Form):
    kind = forms.ChoiceField(label=gettext_lazy("导出什么"), choices=Kind.choices)
    since = forms.DateField(
        label=gettext_lazy("从哪天"), widget=forms.DateInput(attrs={"type": "date"})
    )
    until = forms.DateField(
        label=gettext_lazy("到哪天（含）"),
        widget=forms.DateInput(attrs={"type": "date"}),
    )

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        since, until = given.get("since"), given.get("until")
        if since and until and not since <= until < since + exporting.LONGEST:
            raise forms.ValidationError(_("一次最多导出 92 天，结束不能早于开始"))
        return given


def export(request: HttpRequest) -> HttpResponse:
    """The form; its answer is the file."""
    if not request.user.has_perm("orders.export_order"):
        raise PermissionDenied
    posted = request.method == "POST"
    form = ExportForm(*((request.POST,) if posted else ()))
    if posted and form.is_valid():
        wait = limits.take(_limit(request), AN_HOUR, now_of(request))
        if wait is not None:
            form.add_error(None, _("导出太多次了，过一会儿再来"))
            return _page(request, form, status=429, retry_after=wait)
        try:
            return _file(request, form)
        except TooManyRows:
            form.add_error(None, _("超过 50000 行，把时间缩短一些"))
    return _page(request, form, status=422 if form.errors else 200)


def _limit(request: HttpRequest) -> str:
    return limits.key("export", str(request.user.pk))


def _file(request: HttpRequest, form: ExportForm) -> HttpResponse:
    """Written down before it is handed out: what, of which days, how many rows."""
    kind = Kind(form.cleaned_data["kind"])
    first, last = form.cleaned_data["since"], form.cleaned_data["until"]
    since, after = _midnight(first), _midnight(last + timedelta(days=1))
    found = exporting.table(kind, since, after, now=now_of(request))
    actor: Any = request.user
    LogEntry.objects.create(
        user=actor,
        action_time=now_of(request),
        content_type=ContentType.objects.get_for_model(Order),
        object_repr=str(kind.label),
        action_flag=CHANGE,
        change_message=_("导出 {since} 到 {until}，{n} 行").format(
            since=first, until=last, n=len(found.rows)
        ),
    )
    name = f"{kind.value}-{first}-{last}"
    return spreadsheets.answer(name, found.header, found.rows)


def _midnight(day: Any) -> datetime:
    return datetime.combine(day, time.min, SHANGHAI)


def _page(
    request: HttpRequest, form: ExportForm, *, status: int, retry_after: int = 0
) -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "opts": Order._meta,
        "title": _("导出"),
        "form": form,
    }
    response = TemplateResponse(request, "console/export.html", context, status=status)
    if retry_after:
        response["Retry-After"] = str(retry_after)
    return response
