"""The page behind the link in a renewal's notice: what will be charged, and its stop.

Whoever holds the link may stop the renewal and nothing else; there is no page that
asks her to stay.
"""

from __future__ import annotations

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from kameng.http import SeeOther, ShopRequest
from members import links, rules
from payments import mandates, renewal_telling
from payments.models import AutoRenew
from payments.renewal_steps import charge_at


def renewal_page(request: ShopRequest, token: str) -> HttpResponse:
    pk = links.read(token, links.STOP_RENEWAL)
    renewals = AutoRenew.objects.select_related("member", "consent__plan__tier")
    found = renewals.filter(pk=pk).first() if pk is not None else None
    if found is None:
        raise Http404
    if request.method == "POST":
        if found.enabled:
            mandates.stop(found.consent_id, now=request.now)
        return SeeOther(reverse("short-link", args=[token]))
    return render(request, "members/renewal.html", _context(found, request))


def _context(renewal: AutoRenew, request: ShopRequest) -> dict[str, object]:
    member, consent = renewal.member, renewal.consent
    end = member.paid_until
    running = end is not None and end > request.now
    told = renewal_telling.notices(member).first() if running else None
    return {
        "renewal": {
            "plan": str(consent.plan),
            "price_fen": int(told.params["price"]) if told else consent.price_fen,
            "charge_at": charge_at(end, rules.current()) if end and running else None,
        }
        if renewal.enabled
        else None,
        "ends_at": end if running else None,
    }
