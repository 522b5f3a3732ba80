"""``/account/`` and its orders: what she holds, what she bought, what she was told.

Here and not with the members, because an order is told by its payments.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET

from kameng.http import MemberRequest
from members import drawing, guide
from members.context import standing_facts
from members.real_name import holding
from notifications import messages
from notifications.push import subscriptions
from payments import pay_page
from payments.renewing import renewal_account, renewal_state
from payments.renewing.renewal_state import State

LATEST = 3
NOTICES = 5
PAGE = 20
ABOUT_RENEWAL = (
    *("renewal", "renewal_off", "renewal_price", "renewal_failed", "renewal_retry"),
)
"""Messages that lead to the page of the renewal."""


@login_required
@require_GET
def account(request: MemberRequest) -> HttpResponse:
    member = request.user
    told = messages.history_for(member.pk, now=request.now, limit=NOTICES)
    context = {
        "here": "account",
        "signs_in_as": member.signs_in_as,
        "membership": standing_facts(request),
        "drawing": drawing.draw(member, now=request.now),
        "orders": _rows(member.orders.order_by("-id")[:LATEST], request),
        "notices": [
            {
                "at": one.created_at,
                "text": " · ".join(filter(None, (one.title, one.body))),
                "url": reverse("account-renewal") if one.kind in ABOUT_RENEWAL else "",
            }
            for one in told
        ],
        "guide": guide.of(member),
        "renewal": _renewal(request),
        "wants_advice": member.wants_advice,
        "push": subscriptions.offer(member.pk),
        "real_name": holding.state_of(holding.of(member), now=request.now).value,
    }
    return render(request, "members/account.html", context)


def _renewal(request: MemberRequest) -> dict[str, Any] | None:
    """In a line; None where the shop has none to offer and she never had one."""
    at = renewal_state.position(request.user, now=request.now)
    if at.state == State.OFF and not renewal_state.offers(now=request.now):
        return None
    return renewal_account.facts(at)


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
