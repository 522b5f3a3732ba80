"""Pages for people: the front page, and the headers of every answer."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe
from django.views.static import serve

from sandbox.gateways import GATEWAYS
from sandbox.settings import HERE, POLICY
from sandbox.world import world

SHOWN = 12

Answering = Callable[[HttpRequest], HttpResponseBase]


def guarded(get_response: Answering) -> Answering:
    """Middleware: strict content policy, nothing cached, connections kept alive."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.setdefault("Content-Security-Policy", POLICY)
        response["X-Content-Type-Options"] = "nosniff"
        response["Cache-Control"] = "no-store"
        if isinstance(response, HttpResponse):
            response["Content-Length"] = str(len(response.content))
        return response

    return middleware


def static(request: HttpRequest, path: str) -> HttpResponseBase:
    return serve(request, path, document_root=str(HERE / "static"))


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    """What this is, the trades that wait for a buyer, the last ones that ended."""
    with world().lock:
        now = world().now()
        rows = [
            {
                "trade": trade,
                "state": trade.state(now),
                "title": GATEWAYS[trade.gateway].TITLE,
                "link": trade.links[-1].token,
            }
            for trade in world().trades
            if trade.links
        ]
        messages = len(world().messages)
        agreements = list(world().agreements)
    waiting = [row for row in rows if row["state"] in ("open", "unopened")]
    ended = [row for row in rows if row["state"] not in ("open", "unopened")]
    return render(
        request,
        "sandbox/index.html",
        {
            "waiting": waiting[:SHOWN],
            "waiting_count": len(waiting),
            "ended": ended[:SHOWN],
            "messages": messages,
            "agreements": agreements[:SHOWN],
            "faults": world().faults.all(),
        },
    )
