"""The console's orders: a list, the one search box, and an order's whole story."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_variables

from kameng.admin_site import Reporting, Tile
from kameng.lookups import ChosenOnly, ClosedFilter, PageAdmin, chip, now_of
from kameng.templatetags.shop import SHANGHAI, grouped, yuan
from members import phones, rules
from members.admin import MemberFilter
from notifications import kinds
from orders import coupon_admin, delivery
from orders.checkout import QUANTITY
from orders.models import Order, Status
from payments.console import desk, export_page, order_search, order_story
from payments.console.guarded import Guarding
from payments.console.order_search import Found

__all__ = ["coupon_admin"]  # it registers a page of its own

SHORTEST_REASON = 4
LOOKS = {
    Status.PENDING: ("warn", "…"),
    Status.PAID: ("ok", "✓"),
    Status.EXPIRED: ("", "–"),
    Status.CANCELLED: ("", "×"),
}


def status_chip(status: str) -> SafeString:
    return chip(Status(status).label, *LOOKS[Status(status)])


def today(now: datetime) -> datetime:
    """The last midnight in Shanghai."""
    local = now.astimezone(SHANGHAI)
    return local.replace(hour=0, minute=0, second=0, microsecond=0)


def paid_since(start: datetime) -> QuerySet[Order]:
    """Orders paid from ``start`` on, without a look at the old ones.

    An order is paid at most so long after it was placed, and keys rise with time: the
    first key of that span bounds the look, no index needed.
    """
    limits = rules.current()
    earliest = start - timedelta(seconds=limits.hold_seconds + limits.late_seconds)
    older = Order.objects.filter(placed_at__lt=earliest).order_by("-pk").values("pk")
    return Order.objects.filter(
        pk__gt=Coalesce(Subquery(older[:1]), 0), paid_at__gte=start
    )


class StatusFilter(ClosedFilter):
    title = gettext_lazy("状态")
    parameter_name = "status"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin
    ) -> list[tuple[str, str]]:
        known = [(status.value, str(status.label)) for status in Status]
        return [*known, ("paid-today", _("今天付款"))]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Order]
    ) -> QuerySet[Order]:
        value = self.value()
        if value == "paid-today":
            recent = paid_since(today(now_of(request)))
            return queryset.filter(pk__in=recent.values("pk"))
        return queryset.filter(status=value) if value else queryset


class TailFilter(ChosenOnly):
    """Orders by the last four digits of the phone; the search box sets it."""

    title = gettext_lazy("手机尾号")
    parameter_name = "tail"
    pattern = phones.TAIL

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[Order]
    ) -> QuerySet[Order]:
        value = self.value()
        if value is None:
            return queryset
        return queryset.filter(pk__in=order_search.find(value).orders)


@admin.register(Order)
class OrderAdmin(Guarding, Reporting, PageAdmin):
    guarded = desk.ORDER
    page_template = "console/order.html"
    change_list_template = "console/order_list.html"
    lookups = ("status", "member", "tail")
    list_filter = (StatusFilter, MemberFilter, TailFilter)
    list_select_related = ("member",)
    list_display = ("number", "title", "member", "amount", "state", "placed_at")

    @admin.display(description=gettext_lazy("订单号"))
    def number(self, order: Order) -> str:
        return grouped(order.no)

    @admin.display(description=gettext_lazy("应付"))
    def amount(self, order: Order) -> str:
        return yuan(order.amount_fen)

    @admin.display(description=gettext_lazy("状态"))
    def state(self, order: Order) -> SafeString:
        return status_chip(order.status)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.find_view)
        reveal = self.admin_site.admin_view(self.reveal_view)
        return [
            path("find/", view, name="orders_order_find"),
            path(
                "export/",
                self.admin_site.admin_view(export_page.export),
                name="orders_order_export",
            ),
            path("<int:pk>/keys/", reveal, name="orders_order_reveal"),
            *super().get_urls(),
        ]

    def tiles(self, request: HttpRequest) -> list[Tile]:
        listing = reverse("admin:orders_order_changelist")
        start = today(now_of(request))
        return [
            Tile(
                _("待付款订单"),
                Order.objects.filter(status=Status.PENDING).count(),
                f"{listing}?status=pending",
            ),
            Tile(
                _("今天付款"), paid_since(start).count(), f"{listing}?status=paid-today"
            ),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The list; with ``?q=`` the same look-up as the box, which posts instead so
        that no phone gets into an address or a log (security 74)."""
        if "q" in request.GET and self.has_view_permission(request):
            return self.answer(request, request.GET["q"])
        return super().changelist_view(request, extra_context)

    def find_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self.answer(request, request.POST.get("q", ""))

    def answer(self, request: HttpRequest, typed: str) -> HttpResponse:
        """To the one order, to the list of several, or a page that says none."""
        address = self.address_of(order_search.find(typed))
        if address:
            return HttpResponseRedirect(address)
        context = {
            **self.admin_site.each_context(request),
            "title": _("查订单"),
            "opts": self.opts,
            "typed": typed[:64],
        }
        return TemplateResponse(request, "console/nothing_found.html", context)

    @sensitive_variables("secret")
    def reveal_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Read a key for its buyer: with a reason, written down before it is shown."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponse(status=405, headers={"Allow": "POST"})
        order = get_object_or_404(Order, pk=pk)
        page = reverse("admin:orders_order_change", args=[pk])
        reason = " ".join(request.POST.get("reason", "").split())[:200]
        n = request.POST.get("n", "")
        if len(reason) < SHORTEST_REASON or not QUANTITY.fullmatch(n):
            messages.error(request, _("请写明为什么要看，至少 4 个字"))
            return HttpResponseRedirect(page)
        staff: Any = request.user
        try:
            secret = delivery.reveal(
                pk, int(n), now=now_of(request), actor=staff, reason=reason
            )
        except delivery.NoKey:
            messages.error(request, _("这一张已经不在这个订单里了"))
            return HttpResponseRedirect(page)
        context = {
            **self.admin_site.each_context(request),
            "title": _("卡密"),
            "opts": self.opts,
            "order": order,
            "n": n,
            "secret": secret,
        }
        response = TemplateResponse(request, "console/key.html", context)
        response["Cache-Control"] = "private, no-store"
        return response

    def address_of(self, found: Found) -> str:
        """Where a look-up leads, empty when nothing was found."""
        if len(found.orders) == 1:
            return reverse("admin:orders_order_change", args=found.orders)
        if found.orders and len(found.members) == 1:
            listing = reverse("admin:orders_order_changelist")
            return f"{listing}?member={found.members[0]}"
        if found.orders and found.tail:
            return f"{reverse('admin:orders_order_changelist')}?tail={found.tail}"
        if found.orders:
            return reverse("admin:orders_order_change", args=found.orders[:1])
        if len(found.members) == 1:
            return reverse("admin:members_member_change", args=found.members)
        if found.members:
            return f"{reverse('admin:members_member_changelist')}?tail={found.tail}"
        if found.events:
            return reverse("admin:payments_gatewayevent_change", args=found.events[:1])
        return ""

    def page(self, row: Order, *, now: datetime) -> dict[str, Any]:
        """Summary, related rows and the whole story; nothing to edit (I1, R24)."""
        records = order_story.records_of(row)
        return {
            "title": grouped(row.no),
            "order": row,
            "status": status_chip(row.status_at(now)),
            "records": records,
            "attempts": [
                (attempt, order_story.channel_label(attempt))
                for attempt in records.attempts
            ],
            "told": [(each, kinds.label(each.kind)) for each in records.messages],
            "keys": delivery.keys_of(row) if row.goods_id else [],
            "story": order_story.story_of(records),
        }

    def get_queryset(self, request: HttpRequest) -> QuerySet[Order]:
        return super().get_queryset(request).select_related("member")
