"""灵活退订 in the account: what can be returned, for how much, and the one confirmation."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from kameng.http import MemberRequest, SeeOther, ShopRequest
from orders.checkout import SHOWN_FEN
from orders.models import Kind, Order, Status
from payments import pay_page
from payments.channels import label_of
from payments.finding import own_order
from payments.refunding import refunds, returning
from payments.refunding.returning import NotReturnable, Offer

SHOWN_ORDERS = 20


@login_required
@require_GET
def account_returns(request: MemberRequest) -> HttpResponse:
    """Every order of hers with unused time, and what each would bring back now."""
    bought = Order.objects.filter(
        member=request.user,
        kind=Kind.TIER,
        status=Status.PAID,
        entitlement__isnull=False,
    ).select_related("plan__tier")
    rows = []
    for order in bought.order_by("-id")[:SHOWN_ORDERS]:
        order.member = request.user
        offer = returning.offer_for(order, now=request.now)
        if offer.left:
            rows.append({"order": _facts(order, request), "offer": offer})
    context = {"rows": rows, "here": "account"}
    return render(request, "members/returns.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def return_order(request: ShopRequest, no: str) -> HttpResponse:
    """Show the exact sum, and return the time for that very sum or for none."""
    order = own_order(request, no)
    if request.method != "POST":
        offer = returning.offer_for(order, now=request.now)
        return _page(request, order, offer)
    shown = request.POST.get("shown_fen", "")
    if not SHOWN_FEN.fullmatch(shown):
        offer = returning.offer_for(order, now=request.now)
        return _page(request, order, offer, changed=True, status=422)
    try:
        returning.return_unused(
            order.pk,
            member_id=order.member_id,
            shown_fen=int(shown),
            now=request.now,
        )
    except NotReturnable as refusal:
        return _page(request, order, refusal.offer, changed=True, status=409)
    return SeeOther(reverse("order", args=[order.no]))


def _page(
    request: ShopRequest,
    order: Order,
    offer: Offer,
    *,
    changed: bool = False,
    status: int = 200,
) -> HttpResponse:
    channel = ""
    if order.status == Status.PAID:
        channel = label_of(refunds.settling_attempt(order).channel)
    context = {
        "order": _facts(order, request),
        "offer": offer,
        "channel": channel,
        "changed": changed,
        "here": "account",
    }
    return render(request, "orders/return.html", context, status=status)


def _facts(order: Order, request: ShopRequest) -> dict[str, Any]:
    return pay_page.order_facts(order, now=request.now)
