"""Guessing order numbers and signed links is slow, and soon over (security 51).

Each address that leads to nothing is counted, for a member by her account, for a guest by
address and network, in the database like every other limit. Thirty in ten minutes, and
the next one is refused. A signed link is refused before anybody looks whether it is good,
so that the refusal says nothing; who is signed in still opens what is her own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render

from kameng.http import ShopRequest, member_of
from members import limits, rules
from members.addresses import client_of
from members.limits import Limit, Refusal
from members.models import Window

logger = logging.getLogger(__name__)

SECONDS = 600


class MissesMiddleware:
    """Counts what is not there among the addresses that can be guessed."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: ShopRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if response.status_code != 404 or not _is_guessable(request):
            return response
        refusal = limits.take_all(_limits(request), now=request.now)
        return response if refusal is None else _too_many(request, refusal)

    def process_view(
        self,
        request: ShopRequest,
        view: Callable[..., HttpResponse],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> HttpResponse | None:
        """A link opens what it names for anybody: not to somebody who is guessing."""
        if not (_is_guessable(request) and _has_token(request)):
            return None
        counted = _limits(request)
        logs = limits.peek(limit.key for limit in counted)
        refusal = limits.refused(counted, logs, now=request.now)
        return None if refusal is None else _too_many(request, refusal)


def _is_guessable(request: HttpRequest) -> bool:
    """An order by its number, or something by its signed link."""
    match = request.resolver_match
    if match is None:
        return False
    return "no" in match.kwargs or match.url_name in ("short-link", "return")


def _has_token(request: HttpRequest) -> bool:
    match = request.resolver_match
    return "token" in request.GET or bool(match and "token" in match.kwargs)


def _limits(request: ShopRequest) -> list[Limit]:
    """A member alone, or a neighbour of hers could close her own links to her."""
    shop = rules.current()
    each = (Window(SECONDS, shop.misses_per_address),)
    member = member_of(request)
    if member is not None:
        return [Limit("member", limits.key("misses-member", str(member.pk)), each)]
    client = client_of(request)
    network = (Window(SECONDS, shop.misses_per_network),)
    return [
        Limit("address", limits.key("misses-address", client.address), each),
        Limit("network", limits.key("misses-network", client.network), network),
    ]


def _too_many(request: ShopRequest, refusal: Refusal) -> HttpResponse:
    logger.warning("look-up refused: limit of the %s", refusal.scope)
    if request.htmx:
        response = HttpResponse(status=429)
        response["HX-Reswap"] = "none"
    else:
        context = {"retry_seconds": refusal.retry_after, "request_id": request.id}
        response = render(request, "429.html", context, status=429)
    response["Retry-After"] = str(refusal.retry_after)
    return response
