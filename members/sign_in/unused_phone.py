"""``/login/unused/``: a number that was not used for long asks once more who it is."""

from __future__ import annotations

from datetime import timedelta

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_http_methods

from kameng.http import SeeOther, ShopRequest, member_of, next_page
from members.identity import offers
from members.models import Member
from members.sign_in import recycled, signin

PATIENCE = timedelta(minutes=10)
"""So long after the code she may say who she is."""


def address(where: str) -> str:
    """Of the page; afterwards she goes ``where``."""
    return f"{reverse('login-unused')}?{urlencode({'next': where})}"


@require_http_methods(["GET", "HEAD", "POST"])
def unused(request: ShopRequest) -> HttpResponse:
    """Ask for something that only the holder of old has, or begin anew.

    Which ways lead into her account is not told: whoever has the number now shall not
    learn it.
    """
    where = next_page(request, "account")
    if member_of(request) is not None:
        return SeeOther(where)
    member = _whose(request)
    if member is None:
        return SeeOther(f"{reverse('login')}?{urlencode({'next': where})}")
    if request.method == "POST":
        try:
            signin.sign_in_afresh(request, member, now=request.now)
        except signin.Refused:  # closed in this moment
            return SeeOther(reverse("login"))
        messages.info(request, recycled.afresh())
        return SeeOther(where)
    context = {"here": "login", "next": where, "offers": offers.here(request)}
    return render(request, "members/unused.html", context)


def _whose(request: ShopRequest) -> Member | None:
    """The account whose number was proved in this browser a moment ago."""
    kept = request.session.get(signin.PROVED_UNUSED)
    if kept is None:
        return None
    if not 0 <= request.now.timestamp() - kept["at"] <= PATIENCE.total_seconds():
        return None
    member = Member.objects.filter(pk=kept["member"]).first()
    return member if member and recycled.proves(kept, member) else None
