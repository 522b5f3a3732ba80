"""Guarded actions of the console (R24): a page that says what will happen, a reason, the
version of what was seen, a right of its own, and a line in the log.

Rows are never edited; an action calls one domain function, which decides under the
locks. A page that is out of date is refused and shown anew (I3), so pressing twice acts
once (I4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from kameng.lookups import now_of
from members.models import Member
from orders.models import Order
from orders.versions import Stale

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

STALE = gettext_lazy("这一单刚有变化，什么也没做。看过新的情况再决定。")

type Facts = list[tuple[str, str]]


class GuardedForm(forms.Form):
    """What every action asks for; ``tail`` proves that the right order was meant.

    row       that the action is about; order, where it has one
    version   of what was shown, see ``shown_version``
    rests_on  fields without which a preview can show nothing
    """

    required_css_class = "required"
    rests_on: frozenset[str] = frozenset()
    version: forms.Field = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, row: Any, now: datetime, **kwargs: Any) -> None:
        self.row, self.now = row, now
        self.order = order_of(row)
        super().__init__(*args, **kwargs)

    def shown_version(self) -> object:
        """What the page shows as of now; None where nothing can have changed."""
        return self.order.version if self.order else None

    def clean(self) -> dict[str, Any]:
        named = self.cleaned_data.get("version")
        if named is None and self.shown_version() is not None:
            raise forms.ValidationError(_("页面过期了，请再点一次"))
        return self.cleaned_data

    def clean_tail(self) -> str:
        typed = str(self.cleaned_data["tail"]).strip().upper()
        if self.order is None or typed != self.order.no[-4:]:
            raise forms.ValidationError(_("和这一单的最后四位不一样"))
        return typed


@dataclass(frozen=True, slots=True)
class Deed:
    """What an operator has confirmed."""

    row: Any
    data: dict[str, Any]
    actor: Member
    now: datetime


@dataclass(frozen=True, slots=True)
class Guarded:
    """One action on one row.

    right       permission that a role needs besides looking at the row
    is_offered  whether the row is in a state for it
    facts       what will happen, from a form that may be incomplete
    do          calls the domain; the words said afterwards
    refusals    what ``do`` may raise, said in ``words``
    stale       the words for a page that is out of date
    is_logged   ``do`` writes the log's line itself, together with its effect
    """

    name: str
    label: StrPromise
    right: str
    form: type[GuardedForm]
    is_offered: Callable[[Any, datetime], bool]
    facts: Callable[[Any, GuardedForm, datetime], Facts]
    do: Callable[[Deed], str]
    refusals: tuple[type[Exception], ...]
    words: Callable[[Exception], str]
    has_preview: bool = False
    stale: StrPromise = STALE
    is_logged: bool = False


def order_of(row: Any) -> Order | None:
    """The order that a row of the queue belongs to."""
    match row:
        case Order():
            return row
        case _ if hasattr(row, "order"):
            order: Order = row.order
            return order
    attempt = getattr(row, "attempt", None)
    return attempt.order if attempt else None


class Guarding(admin.ModelAdmin):
    """A model admin whose rows have guarded actions."""

    guarded: tuple[Guarded, ...] = ()
    change_form_template = "console/guarded_row.html"

    def get_urls(self) -> list[URLPattern]:
        stem = f"{self.opts.app_label}_{self.opts.model_name}"
        own = [
            path(
                f"<int:pk>/{action.name}/",
                self.admin_site.admin_view(partial(self.guarded_view, action=action)),
                name=f"{stem}_{action.name}",
            )
            for action in self.guarded
        ]
        return [*own, *super().get_urls()]

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        context |= self.extras(request, obj) if obj is not None else {}
        return super().render_change_form(request, context, add, change, form_url, obj)

    def extras(self, request: HttpRequest, row: Model) -> dict[str, Any]:
        return {"guarded": self.offers(request, row)}

    def offers(self, request: HttpRequest, row: Model) -> list[tuple[str, str]]:
        """(address, words) of what this person may do with this row now."""
        return [
            (self.address(action, row), str(action.label))
            for action in self.guarded
            if request.user.has_perm(action.right)
            and action.is_offered(row, now_of(request))
        ]

    def address(self, action: Guarded, row: Model) -> str:
        stem = f"{self.opts.app_label}_{self.opts.model_name}"
        return reverse(f"admin:{stem}_{action.name}", args=[row.pk])

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """Where a list shows cases, what can be done stands in the row."""

        @admin.display(description=gettext_lazy("处理"))
        def to_do(row: Model) -> SafeString | str:
            links = self.offers(request, row)
            return format_html_join(" · ", '<a href="{}">{}</a>', links) or "–"

        columns = list(super().get_list_display(request))
        return [*columns, to_do] if "case" in request.GET else columns

    def guarded_view(
        self, request: HttpRequest, pk: int, *, action: Guarded
    ) -> HttpResponse:
        """Show what will happen; do it when it is confirmed."""
        if not self.has_view_permission(request) or not request.user.has_perm(
            action.right
        ):
            raise PermissionDenied
        row = self.get_object(request, str(pk))
        if row is None:
            raise Http404
        now = now_of(request)
        if not action.is_offered(row, now):
            return self.shown(request, row, action, None, status=409)
        if "confirm" not in request.POST:
            form = self.form_for(request, row, action)
            lacks = "preview" in request.POST and form.errors.keys() & form.rests_on
            status = 422 if lacks else 200
            return self.shown(request, row, action, form, status=status)
        form = action.form(request.POST, row=row, now=now)
        if not form.is_valid():
            return self.shown(request, row, action, form, status=422)
        try:
            words = action.do(Deed(row, form.cleaned_data, staff_of(request), now))
        except Stale:
            return self.refused(request, pk, action, str(action.stale))
        except action.refusals as refusal:
            return self.refused(request, pk, action, action.words(refusal))
        if not action.is_logged:
            self.log_change(request, row, f"{action.label} {self.reason(form)}".strip())
        messages.success(request, words)
        return HttpResponseRedirect(self.page_of(row))

    def form_for(
        self, request: HttpRequest, row: Model, action: Guarded
    ) -> GuardedForm:
        """Empty at first; a preview keeps what was typed. Either names the version."""
        now = now_of(request)
        if request.method != "POST":
            form = action.form(row=row, now=now)
            form.initial["version"] = form.shown_version()
            return form
        typed = request.POST.copy()
        form = action.form(typed, row=row, now=now)
        version = form.shown_version()
        typed["version"] = "" if version is None else str(version)
        return form

    def refused(
        self, request: HttpRequest, pk: int, action: Guarded, error: str
    ) -> HttpResponse:
        """The page as of now, with what was typed and why nothing happened."""
        row: Any = self.get_object(request, str(pk))
        if not action.is_offered(row, now_of(request)):
            return self.shown(request, row, action, None, error=error, status=409)
        form = self.form_for(request, row, action)
        return self.shown(request, row, action, form, error=error, status=409)

    def shown(
        self,
        request: HttpRequest,
        row: Model,
        action: Guarded,
        form: GuardedForm | None,
        *,
        error: str = "",
        status: int = 200,
    ) -> HttpResponse:
        if form is not None and form.is_bound:
            form.is_valid()  # the facts are told of what was typed well
        context = {
            **self.admin_site.each_context(request),
            "title": str(action.label),
            "opts": self.opts,
            "row": row,
            "action": action,
            "form": form,
            "facts": action.facts(row, form, now_of(request)) if form else [],
            "error": error,
            "back": self.page_of(row),
        }
        page = "console/guarded.html"
        return TemplateResponse(request, page, context, status=status)

    def page_of(self, row: Model) -> str:
        stem = f"admin:{self.opts.app_label}_{self.opts.model_name}"
        return reverse(f"{stem}_change", args=[row.pk])

    def reason(self, form: GuardedForm) -> str:
        said = (form.cleaned_data.get(name) for name in ("reference", "reason"))
        return " · ".join(filter(None, said))


def staff_of(request: HttpRequest) -> Member:
    assert isinstance(request.user, Member)
    return request.user
