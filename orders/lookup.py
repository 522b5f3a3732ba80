"""Order look-up: a phone and a code to it open the orders of its owner (security 53).

A right code signs her in for half an hour and proves nothing beyond: it is no code to
confirm dangerous acts with. A phone without orders gets the same answers, and no
account is made for it. So does a phone that was not used for half a year: who holds it
now may be another (security 21).
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from kameng.http import SeeOther, ShopRequest, member_of
from members import phones
from members.models import Member, Purpose
from members.sign_in import phone_step, recycled, signin
from members.sign_in.phone_step import Step
from orders.views import order_rows

SESSION_SECONDS = 1_800
"""A guest often looks from a telephone that is not hers."""
SHOWN = 20

LOOKED_UP = "looked_up"
"""Session key: a right code was typed here, whether there was anything to find or not."""


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("phone", "code")
def lookup(request: ShopRequest) -> HttpResponse:
    """The form, and its judge: 303 to the list, also when there is nothing on it."""
    if member_of(request) is not None:
        return SeeOther(reverse("lookup-orders"))
    if request.method != "POST":
        return _page(request, Step(phone_step.entry()))
    typed, code = request.POST.get("phone", ""), request.POST.get("code", "")[:16]
    complaint = phone_step.prove(request, typed, code, Purpose.LOOKUP, now=request.now)
    if complaint is not None:
        return _page(request, complaint, code)
    owner = Member.objects.filter(phone=phones.parse(typed)).first()
    if owner is not None and not recycled.is_unused(owner, now=request.now):
        with suppress(signin.Refused):  # a closed account shows nothing, like none
            signin.enter(request, owner)
    request.session[LOOKED_UP] = True
    request.session.set_expiry(SESSION_SECONDS)
    return SeeOther(reverse("lookup-orders"))


@require_POST
@sensitive_post_parameters("phone", "code")
def send_code(request: ShopRequest) -> HttpResponse:
    """Send a code; looks up nobody, so that it tells nothing of who has bought."""
    if member_of(request) is not None:
        return SeeOther(reverse("lookup-orders"))
    step = phone_step.send(
        request, request.POST.get("phone", ""), Purpose.LOOKUP, now=request.now
    )
    return _page(request, step)


@require_GET
def orders(request: ShopRequest) -> HttpResponse:
    """What was found: the newest orders, or that there are none. No keys here."""
    member = member_of(request)
    if member is None and not request.session.get(LOOKED_UP):
        return SeeOther(reverse("lookup"))
    found = list(member.orders.order_by("-id")[: SHOWN + 1]) if member else []
    context = {
        "orders": order_rows(found[:SHOWN], now=request.now),
        "more": len(found) > SHOWN,
        "masked_phone": member.masked_phone if member else "",
        "here": "lookup",
    }
    return render(request, "orders/found.html", context)


def _page(request: ShopRequest, step: Step, code: str = "") -> HttpResponse:
    context: dict[str, Any] = {
        **step.context,
        "errors": step.errors,
        "form": {"code": code},
        "here": "lookup",
    }
    fragment = "#phone" if request.htmx and not request.htmx.boosted else ""
    response = render(
        request, f"orders/lookup.html{fragment}", context, status=step.status
    )
    if step.retry_after is not None:
        response["Retry-After"] = str(step.retry_after)
    return response
