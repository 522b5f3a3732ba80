"""The request as our middleware leaves it, for type checkers and readers."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.http import HttpRequest, HttpResponseRedirect

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


class SeeOther(HttpResponseRedirect):
    """303: after a POST the browser gets the next page."""

    status_code = 303
