"""The member's own pages: what she holds, what she bought, what she was told."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from kameng.http import MemberRequest, SeeOther, ShopRequest
from members import guide, visits
from members.context import DISMISSED, standing_facts
from notifications import messages
from notifications.push import subscriptions
from payments import pay_page

LATEST = 3
NOTICES = 5
PAGE = 20


@login_required
@require_GET
def account(request: MemberRequest) -> HttpResponse:
    member = request.user
    told = messages.history_for(member.pk, now=request.now, limit=NOTICES)
    context = {
        "here": "account",
        "signs_in_as": member.signs_in_as,
        "membership": standing_facts(request),
        "orders": _rows(member.orders.order_by("-id")[:LATEST], request),
        "notices": [
            {
                "at": one.created_at,
                "text": " · ".join(filter(None, (one.title, one.body))),
            }
            for one in told
        ],
        "guide": guide.of(member),
        "wants_advice": member.wants_advice,
        "push": subscriptions.offer(member.pk),
    }
    return render(request, "members/account.html", context)


@login_required
@require_GET
def orders(request: MemberRequest) -> HttpResponse:
    """Newest first; pages by the number of the last row, so none is counted."""
    before = request.GET.get("before", "")
    rows = request.user.orders.order_by("-id")
    if before.isascii() and before.isdigit() and len(before) < 19:
        rows = rows.filter(pk__lt=int(before))
    page = list(rows.select_related("plan__tier")[: PAGE + 1])
    more = len(page) > PAGE
    page = page[:PAGE]
    here = reverse("account-orders")
    context = {
        "here": "account",
        "orders": _rows(page, request),
        "older_url": f"{here}?before={page[-1].pk}" if more else None,
        "newer_url": here if before else None,
    }
    return render(request, "orders/list.html", context)


def _rows(found: Iterable[Any], request: MemberRequest) -> list[dict[str, Any]]:
    found = list(found)
    words = pay_page.status_words(found, now=request.now)
    return [
        {
            "no": order.no,
            "title": order.title,
            "amount_fen": order.amount_fen,
            "placed_at": order.placed_at,
            "status": words[order.pk],
        }
        for order in found
    ]


@require_POST
def dismiss_notice(request: ShopRequest) -> HttpResponse:
    """Put the expiry bar away until its next stage."""
    if request.user.is_authenticated:
        request.session[DISMISSED] = request.POST.get("key", "")[:40]
    if request.htmx:
        return HttpResponse()
    return SeeOther(reverse("home"))


@login_required
@require_POST
def dismiss_guide(request: MemberRequest) -> HttpResponse:
    guide.dismiss(request.user, now=request.now)
    if request.htmx:
        return HttpResponse()
    return SeeOther(reverse("account"))


@login_required
@require_POST
def advice(request: MemberRequest) -> HttpResponse:
    """The switch of the recommendation; back to the page that it was on."""
    visits.set_advice(request.user, wanted=request.POST.get("advice") == "on")
    if "kind" in request.POST:  # the button stands in the form of the checkout
        return SeeOther(reverse("membership-kind", args=["temporary"]))
    return SeeOther(reverse("account"))
