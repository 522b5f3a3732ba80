"""What a member puts away or switches on her own pages."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from kameng.http import MemberRequest, SeeOther, ShopRequest
from members import guide, visits
from members.context import DISMISSED


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
def begin_in_zone(request: MemberRequest) -> HttpResponse:
    """The task of the guide that leads to the zone, ticked off on the way."""
    guide.saw(request.user, guide.ZONE)
    return SeeOther(reverse("zone"))


@login_required
@require_POST
def begin_in_membership(request: MemberRequest) -> HttpResponse:
    """The task in the place of a passkey, likewise."""
    guide.saw(request.user, guide.MEMBERSHIP)
    return SeeOther(reverse("membership"))


@login_required
@require_POST
def advice(request: MemberRequest) -> HttpResponse:
    """The switch of the recommendation; back to the page that it was on."""
    visits.set_advice(request.user, wanted=request.POST.get("advice") == "on")
    if "kind" in request.POST:  # the button stands in the form of the checkout
        return SeeOther(reverse("membership-kind", args=["temporary"]))
    return SeeOther(reverse("account"))
