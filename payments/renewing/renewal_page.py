"""The page behind the link in a renewal's notice: what will be charged, and its stop.

Whoever holds the link may stop the renewal and nothing else; there is no page that
asks her to stay.
"""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from kameng.http import SeeOther, ShopRequest
from members import links
from payments.models import AutoRenew
from payments.renewing import mandates, renewal_state


def renewal_page(request: ShopRequest, token: str) -> HttpResponse:
    pk = links.read(token, links.STOP_RENEWAL)
    renewals = AutoRenew.objects.select_related("member")
    found = renewals.filter(pk=pk).first() if pk is not None else None
    if found is None:
        raise Http404
    if request.method == "POST":
        mandates.stop_all(found.member_id, now=request.now)
        return SeeOther(reverse("short-link", args=[token]))
    return render(request, "members/renewal.html", _context(found, request))


def _context(renewal: AutoRenew, request: ShopRequest) -> dict[str, object]:
    at = renewal_state.position(renewal.member, now=request.now)
    shown = None
    if at.is_on and at.consent is not None:
        shown = {
            "plan": str(at.consent.plan),
            "price_fen": at.amount_fen,
            "charge_at": at.charge_at,
        }
    return {"renewal": shown, "ends_at": at.ends_at}
