"""The log of what staff changed: for reading, never for editing (security 69)."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.utils.translation import gettext_lazy as _

from kameng.lookups import LookupAdmin


@admin.register(LogEntry)
class LogEntryAdmin(LookupAdmin):
    list_display = ("action_time", "user", "action_flag", "subject", "changes")
    list_display_links = ("action_time",)
    list_select_related = ("user", "content_type")
    fields = ("action_time", "user", "action_flag", "subject", "changes")

    @admin.display(description=_("对象"))
    def subject(self, entry: LogEntry) -> str:
        return f"{entry.content_type or ''} {entry.object_repr}".strip()

    @admin.display(description=_("改了什么"))
    def changes(self, entry: LogEntry) -> str:
        return entry.get_change_message()
