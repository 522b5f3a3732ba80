"""Where a buyer of goods gets her keys, or sees how she stands in the line.

Keys are listed masked; each is opened by a POST that is written down, in the session of
the owner alone. A signed link opens the status and never a key (security 52 to 54).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_GET, require_POST

from kameng.http import ShopRequest
from orders import delivery
from orders.checkout import QUANTITY
from orders.delivery_state import facts
from orders.models import Kind, Order
from payments import pay_page
from payments.finding import own_order


def _context(
    request: ShopRequest, order: Order, opened: Mapping[int, str] | None = None
) -> dict[str, Any]:
    story = pay_page.Story.of(order, now=request.now)
    shown = story.settling or story.shown
    return {
        "here": "account",
        "order": pay_page.order_facts(order, now=request.now),
        "status": story.status_word(),
        "attempt": pay_page.attempt_facts(shown) if shown else None,
        "delivery": facts(order, now=request.now),
        "refund": pay_page.refund_facts(story.returned),
        "opened": opened or {},
        "token": "",
    }


def _own_goods(request: ShopRequest, no: str) -> Order:
    order = own_order(request, no)
    if order.kind != Kind.GOODS:
        raise Http404
    return order


@require_GET
def page(request: ShopRequest, no: str) -> HttpResponse:
    """The keys of an order, masked, or its place in the line; 204 when nothing moved."""
    context = _context(request, _own_goods(request, no))
    found = context["delivery"]
    if request.htmx and found:
        if request.GET.get("seen") == f"{found['state']}:{found['ahead']}":
            return HttpResponse(status=204)
        return render(request, "orders/delivery.html#delivery", context)
    return render(request, "orders/delivery.html", context)


@require_POST
@sensitive_variables("opened")
def reveal(request: ShopRequest, no: str) -> HttpResponse:
    """Show one key to its owner; the look is written down before it is shown."""
    order = _own_goods(request, no)
    n = request.POST.get("n", "")
    if not QUANTITY.fullmatch(n):
        raise Http404
    try:
        opened = {int(n): delivery.reveal(order.pk, int(n), now=request.now)}
    except delivery.NoKey:
        raise Http404 from None
    context = _context(request, order, opened)
    name = "orders/delivery.html#delivery" if request.htmx else "orders/delivery.html"
    response = render(request, name, context)
    response["Cache-Control"] = "private, no-store"
    return response
