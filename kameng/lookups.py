"""How the console lists things: closed filters, no counting of big tables, read only."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.core.paginator import Paginator
from django.db.models import Field, Model, QuerySet
from django.forms import Field as FormField
from django.http import HttpRequest
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString


def now_of(request: HttpRequest) -> datetime:
    """The one moment of this request."""
    return request.now  # type: ignore[attr-defined, no-any-return]


class PlainChoices:
    """Choices without the pop-ups that add or change the chosen object."""

    def formfield_for_dbfield(
        self, db_field: Field, request: HttpRequest, **kwargs: Any
    ) -> FormField | None:
        field = super().formfield_for_dbfield(  # type: ignore[misc]
            db_field, request, **kwargs
        )
        if field and isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget = field.widget.widget
        return field


class ConsoleAdmin(PlainChoices, admin.ModelAdmin):
    """A list whose address takes only the lookups that it names (security 64)."""

    lookups: tuple[str, ...] = ()
    actions = None
    show_facets = admin.ShowFacets.NEVER

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Closed: by default the admin would filter by any column, also a secret one."""
        return lookup in self.lookups


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

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str]:
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


class ChosenOnly(admin.SimpleListFilter):
    """A filter that a link sets; it shows itself only while it is on."""

    def label(self, value: str) -> str:
        raise NotImplementedError

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin
    ) -> list[tuple[str, str]]:
        value = self.value()
        return [(value, self.label(value))] if value else []


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
