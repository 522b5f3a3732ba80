"""Pages that belong to the site and not to a subject: health, errors, language."""

from __future__ import annotations

import sys
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseForbidden,
    JsonResponse,
)
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST
from django.views.i18n import set_language as django_set_language

from kameng import clock, freshness
from kameng.static_pages import unavailable

INSIDE = tuple(
    ip_network(network)
    for network in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
    )
)
"""Who may read ``/metrics``: this machine and private networks."""
FORWARDED = ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via")
LEGAL = ("agreement", "privacy", "renewal", "refunds", "minors")


@never_cache
@require_GET
def healthz(request: HttpRequest) -> HttpResponse:
    """The process is alive; asks nothing else."""
    return HttpResponse("ok", content_type="text/plain")


@never_cache
@require_GET
def readyz(request: HttpRequest) -> HttpResponse:
    """Whether this process can serve: database, clock, broker, freshness of the sweeps.

    Only the first two decide the status: holds and memberships of a wrong time are
    wrong for good (FLT-33), while without a broker the shop goes on (H5).
    """
    checks = {"database": _database(), "broker": _broker()}
    stands = checks["database"] == "ok"
    checks["clock"] = _clock() if stands else "unknown"
    checks["sweeps"] = freshness.of_sweeps(now=timezone.now()) if stands else "unknown"
    status = 200 if checks["database"] == checks["clock"] == "ok" else 503
    return JsonResponse({"ready": status == 200, "checks": checks}, status=status)


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "down"
    return "ok"


def _clock() -> str:
    try:
        clock.agreed_now()
    except clock.Astray:
        return "astray"
    return "ok"


def _broker() -> str:
    from redis.exceptions import RedisError  # slow to load: not at the start

    try:
        cache.get("readyz")
    except (RedisError, OSError):
        return "down"
    return "ok"


@csrf_exempt
@require_POST
def set_language(request: HttpRequest) -> HttpResponse:
    """Remember the language in a cookie.

    The form stands in cached parts of every page and carries no token; a request that
    the browser itself calls cross-site is refused instead.
    """
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return HttpResponseForbidden()
    return django_set_language(request)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return render(request, "403.html", {"csrf": True}, status=403)


def server_error(request: HttpRequest) -> HttpResponse:
    """500 with the request's number; 503 where the database is away.

    Errors of views are met by ``UnavailableMiddleware``; here come those of error pages
    and of the session that is kept after the view.
    """
    if isinstance(sys.exception(), (OperationalError, InterfaceError)):
        return unavailable(request)
    context = {"request_id": getattr(request, "id", "")}
    return HttpResponse(render_to_string("500.html", context), status=500)


@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus text; only for networks inside, never through a proxy."""
    from kameng import metrics as numbers  # all the apps: not at the start

    if not _comes_from_inside(request):
        raise Http404
    return HttpResponse(
        numbers.text(now=timezone.now()),
        content_type="text/plain; version=0.0.4; charset=utf-8",
    )


def _comes_from_inside(request: HttpRequest) -> bool:
    """Whether the caller itself has an inside address and speaks for nobody else.

    A socket of this machine has no address.
    """
    if any(name in request.headers for name in FORWARDED):
        return False
    peer = request.META.get("REMOTE_ADDR", "")
    try:
        return not peer or any(ip_address(peer) in network for network in INSIDE)
    except ValueError:
        return False


@require_GET
def official(request: HttpRequest) -> HttpResponse:
    """Are you on the real site? (S31)"""
    asked = urlsplit(f"//{request.get_host()}").hostname or ""
    genuine = asked == settings.PUBLIC_HOST
    return render(request, "official.html", {"request_host": asked, "genuine": genuine})


@require_GET
def legal(request: HttpRequest, slug: str) -> HttpResponse:
    if slug not in LEGAL:
        raise Http404
    return render(request, f"legal/{slug}.html", {"slug": slug})
