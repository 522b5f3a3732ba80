"""The request as our middleware leaves it, for type checkers and readers."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.utils.http import url_has_allowed_host_and_scheme

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser
    from django_htmx.middleware import HtmxDetails

    from members.models import Member


class ShopRequest(HttpRequest):
    """id   names the request in logs and on error pages
    now  the one moment of this request, aware
    """

    id: str
    now: datetime
    htmx: HtmxDetails
    user: Member | AnonymousUser


class MemberRequest(ShopRequest):
    """Behind ``login_required``."""

    user: Member


def member_of(request: HttpRequest) -> Member | None:
    """The signed-in member or None; staff without a phone shop like anybody."""
    user = request.user
    return user if user.is_authenticated else None


def next_page(request: HttpRequest, fallback: str) -> str:
    """Where to go afterwards: a path of this very site or the fallback (security 28).

    The value is used as it came; decoding it once more would let ``/%09/evil`` out.
    """
    wish = request.POST.get("next") or request.GET.get("next", "")
    here = {request.get_host()}
    if wish.startswith("/") and url_has_allowed_host_and_scheme(
        wish, here, require_https=request.is_secure()
    ):
        return wish
    return resolve_url(fallback)


class SeeOther(HttpResponseRedirect):
    """303: after a POST the browser gets the next page."""

    status_code = 303
