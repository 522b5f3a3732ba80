"""How the console lists things: closed filters, no counting of big tables, read only."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Field, Model, QuerySet
from django.db.models.expressions import Combinable
from django.forms import Field as FormField
from django.forms import ModelChoiceField, TypedChoiceField
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _


def now_of(request: HttpRequest) -> datetime:
    """The one moment of this request."""
    return request.now  # type: ignore[attr-defined]


class PlainChoices:
    """Choices in our words, without the pop-ups that change the chosen object."""

    def formfield_for_dbfield(
        self, db_field: Field, request: HttpRequest, **kwargs: Any
    ) -> FormField | None:
        field = super().formfield_for_dbfield(  # type: ignore[misc]
            db_field, request, **kwargs
        )
        if field and isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget = field.widget.widget
        if isinstance(field, ModelChoiceField) and field.empty_label:
            field.empty_label = _("选一项")
        elif isinstance(field, TypedChoiceField):
            choices: Any = field.choices
            field.choices = [
                (value, label if value else _("选一项")) for value, label in choices
            ]
        return field


class ConsoleAdmin(PlainChoices, admin.ModelAdmin):
    """A list whose address takes only the lookups that it names (security 64)."""

    lookups: tuple[str, ...] = ()
    actions = None
    show_facets = admin.ShowFacets.NEVER

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Closed: by default the admin would filter by any column, also a secret one."""
        return lookup in self.lookups

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        named = {"title": capfirst(str(self.opts.verbose_name_plural))}
        return super().changelist_view(request, named | (extra_context or {}))


class RecentPages(Paginator):
    """Pages through the first thousand rows and never counts more of a big table."""

    MOST = 1_000

    @cached_property
    def count(self) -> int:
        return min(self._found, self.MOST)

    @property
    def is_cut(self) -> bool:
        return self._found > self.MOST

    @cached_property
    def _found(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return rows.order_by()[: self.MOST + 1].count()


class NewestFirst(ChangeList):
    """In the order of the primary key; the address cannot ask for another one."""

    def get_ordering(
        self, request: HttpRequest, queryset: QuerySet[Any]
    ) -> list[str | Combinable]:
        return ["-pk"]


class LookupAdmin(ConsoleAdmin):
    """Rows to look at: nobody adds, changes or deletes them here (I1, R24)."""

    list_per_page = 50
    list_max_show_all = 50
    sortable_by = ()
    show_full_result_count = False
    paginator = RecentPages

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(
        self, request: HttpRequest, obj: Model | None = None
    ) -> bool:
        return False

    def has_delete_permission(
        self, request: HttpRequest, obj: Model | None = None
    ) -> bool:
        return False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return NewestFirst


class PageAdmin(LookupAdmin):
    """Rows that are shown on a page of their own instead of Django's form."""

    page_template: str

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        if request.method not in ("GET", "HEAD") or not self.has_view_permission(
            request, row
        ):
            raise PermissionDenied
        if row is None:  # Django says so and leads back
            return super().change_view(request, object_id, form_url, extra_context)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "now": now_of(request),
            **self.page(row, now=now_of(request)),
            **self.extras(request, row),
        }
        return TemplateResponse(request, self.page_template, context)

    def extras(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """What the page shows to this very person."""
        return {}

    def page(self, row: Any, *, now: datetime) -> dict[str, Any]:
        """What the template needs, ``title`` among it."""
        raise NotImplementedError


class ClosedFilter(admin.SimpleListFilter):
    """A filter that knows its values; any other one in the address counts for nothing."""

    def value(self) -> str | None:
        given = super().value()
        known = {str(value) for value, _label in self.lookup_choices}
        return given if given in known else None


class ChosenOnly(admin.SimpleListFilter):
    """A filter that a link sets; it shows itself only while it is on.

    pattern  what its value looks like; anything else counts for nothing
    """

    pattern: re.Pattern[str]

    def label(self, value: str) -> str:
        return value

    def value(self) -> str | None:
        given = super().value()
        return given if given and self.pattern.fullmatch(given) else None

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin
    ) -> list[tuple[str, str]]:
        value = self.value()
        return [(value, self.label(value))] if value else []


def linked(name: str, label: Any) -> Callable[[Any, Model], SafeString | str]:
    """A column of a model admin: the related row as a link to its page.

    name   of the relation
    label  the column's name, for relations whose models give them none
    """

    @admin.display(description=label)
    def column(self: Any, row: Model) -> SafeString | str:
        related: Model | None = getattr(row, name)
        if related is None:
            return "–"
        page = f"admin:{related._meta.app_label}_{related._meta.model_name}_change"
        return format_html(
            '<a href="{}">{}</a>', reverse(page, args=[related.pk]), related
        )

    return column


def chip(words: object, tone: str = "", icon: str = "•") -> SafeString:
    """A state as a coloured word with a sign, so that it is never colour alone.

    tone  ``ok``, ``warn``, ``danger`` or nothing
    """
    return format_html(
        '<span class="chip chip--{}"><span aria-hidden="true">{}</span> {}</span>',
        tone or "plain",
        icon,
        words,
    )
