"""The console's messages and the outbox: what was told, what is due, what was given up."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from kameng.admin_site import Reporting, Tile
from kameng.logs import mask
from kameng.lookups import ClosedFilter, ConsoleAdmin, LookupAdmin, chip, now_of
from notifications import kinds
from notifications.models import Announcement, Notification, Outbox

RECENT = timedelta(days=7)
"""A message that failed longer ago is history, not a case."""
SECRET_PARAMS = ("link", "code")
"""What would let the reader in as somebody else."""

State = Notification.State
LOOKS = {
    State.SENT: ("ok", "✓"),
    State.FAILED: ("danger", "×"),
    State.UNKNOWN: ("warn", "?"),
    State.QUEUED: ("warn", "…"),
    State.SENDING: ("warn", "…"),
    State.SKIPPED: ("", "–"),
}
OUTBOX_LOOKS = {
    Outbox.State.DONE: ("ok", "✓"),
    Outbox.State.DEAD: ("danger", "×"),
    Outbox.State.NEW: ("warn", "…"),
    Outbox.State.CLAIMED: ("warn", "…"),
}


def failed_lately(now: datetime) -> QuerySet[Notification]:
    """Failed messages of the last days; keys rise with time and bound the look."""
    older = Notification.objects.filter(created_at__lt=now - RECENT).order_by("-pk")
    return Notification.objects.filter(
        pk__gt=Coalesce(Subquery(older.values("pk")[:1]), 0), state=State.FAILED
    )


class FailedFilter(ClosedFilter):
    title = gettext_lazy("没发出")
    parameter_name = "failed"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin
    ) -> list[tuple[str, str]]:
        return [("lately", _("近 7 天没发出"))]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Notification]
    ) -> QuerySet[Notification]:
        if self.value() is None:
            return queryset
        return queryset.filter(pk__in=failed_lately(now_of(request)).values("pk"))


class DeadFilter(ClosedFilter):
    title = gettext_lazy("状态")
    parameter_name = "state"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin
    ) -> list[tuple[str, str]]:
        return [(state.value, str(state.label)) for state in Outbox.State]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Outbox]
    ) -> QuerySet[Outbox]:
        value = self.value()
        return queryset.filter(state=value) if value else queryset


def readable(values: dict[str, Any]) -> SafeString:
    shown = {name: value for name, value in values.items() if name not in SECRET_PARAMS}
    text = json.dumps(shown, ensure_ascii=False, indent=2)
    return format_html("<pre>{}</pre>", mask(text))


@admin.register(Notification)
class NotificationAdmin(Reporting, LookupAdmin):
    lookups = ("failed",)
    list_filter = (FailedFilter,)
    list_select_related = ("member",)
    list_display = ("created_at", "member", "what", "channel", "condition", "provider")
    fields = (
        "member",
        "what",
        "channel",
        "condition",
        "due_at",
        "sent_at",
        "read_at",
        "tries",
        "sends",
        "provider",
        "provider_id",
        "code",
        "report",
        "values",
    )

    def tiles(self, request: HttpRequest) -> list[Tile]:
        listing = reverse("admin:notifications_notification_changelist")
        return [
            Tile(
                _("近 7 天没发出的消息"),
                failed_lately(now_of(request)).count(),
                f"{listing}?failed=lately",
                is_case=True,
            )
        ]

    @admin.display(description=gettext_lazy("种类"))
    def what(self, message: Notification) -> str:
        return kinds.label(message.kind)

    @admin.display(description=gettext_lazy("状态"))
    def condition(self, message: Notification) -> SafeString:
        state = State(message.state)
        return chip(state.label, *LOOKS[state])

    @admin.display(description=gettext_lazy("参数"))
    def values(self, message: Notification) -> SafeString:
        return readable(message.params)


@admin.register(Outbox)
class OutboxAdmin(Reporting, LookupAdmin):
    lookups = ("state",)
    list_filter = (DeadFilter,)
    list_display = ("due_at", "kind", "key", "condition", "tries", "trouble")
    fields = (
        "key",
        "kind",
        "condition",
        "due_at",
        "tries",
        "claimed_at",
        "created_at",
        "trouble",
        "values",
    )

    def tiles(self, request: HttpRequest) -> list[Tile]:
        listing = reverse("admin:notifications_outbox_changelist")
        return [
            Tile(
                _("已放弃的待办"),
                Outbox.objects.filter(state=Outbox.State.DEAD).count(),
                f"{listing}?state=dead",
                is_case=True,
            )
        ]

    @admin.display(description=gettext_lazy("状态"))
    def condition(self, row: Outbox) -> SafeString:
        state = Outbox.State(row.state)
        return chip(state.label, *OUTBOX_LOOKS[state])

    @admin.display(description=gettext_lazy("上次错误"))
    def trouble(self, row: Outbox) -> str:
        return mask(row.last_error) or "–"

    @admin.display(description=gettext_lazy("内容"))
    def values(self, row: Outbox) -> SafeString:
        return readable(row.payload)


@admin.register(Announcement)
class AnnouncementAdmin(ConsoleAdmin):
    """What everybody is told; of several that run the one that began last is shown."""

    sortable_by = ()
    list_display = ("text", "starts_at", "ends_at")
