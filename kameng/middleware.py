"""Middleware of the whole site: request id, the cached landing, 503, private pages."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable

from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import DisallowedHost
from django.db import InterfaceError, OperationalError, connections
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.translation import get_language_from_request

from kameng.logs import request_id
from kameng.static_pages import unavailable

log = logging.getLogger(__name__)

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class RequestIdMiddleware:
    """Gives each request an id for logs and error pages, and its one ``now``."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.id = secrets.token_hex(6)  # type: ignore[attr-defined]
        request.now = timezone.now()  # type: ignore[attr-defined]
        token = request_id.set(request.id)  # type: ignore[attr-defined]
        try:
            response = self.get_response(request)
        finally:
            request_id.reset(token)
        response["X-Request-Id"] = request.id  # type: ignore[attr-defined]
        return response


class LandingCacheMiddleware:
    """Answers the anonymous landing page whole, headers included.

    It is the same for everyone without a session, so it is kept in the process for
    seconds and behind that in Redis; when Redis is away the page is simply made anew.
    """

    SECONDS = 5.0
    BEHIND_SECONDS = 30

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.kept: dict[str, tuple[float, tuple[bytes, dict[str, str]]]] = {}

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if (
            request.path != "/"
            or request.method != "GET"
            or request.META.get("QUERY_STRING")
            or settings.SESSION_COOKIE_NAME in request.COOKIES
            or request.headers.get("HX-Request")
        ):
            return self.get_response(request)
        try:
            host = request.get_host()
        except DisallowedHost:
            return self.get_response(request)  # to be refused with all the headers
        language = get_language_from_request(request)
        key = f"landing:{request.scheme}:{host}:{language}"
        kept = self.kept.get(key)
        if kept is not None and time.monotonic() < kept[0]:
            return self._answer(kept[1])
        page = self._from_cache(key)
        if page is None:
            response = self.get_response(request)
            if response.status_code != 200 or response.cookies or response.streaming:
                return response
            assert isinstance(response, HttpResponse)
            patch_cache_control(response, private=True, max_age=0, must_revalidate=True)
            page = (response.content, dict(response.items()))
            self._to_cache(key, page)
        if len(self.kept) > 50:
            self.kept.clear()
        self.kept[key] = (time.monotonic() + self.SECONDS, page)
        return self._answer(page)

    def _answer(self, page: tuple[bytes, dict[str, str]]) -> HttpResponse:
        return HttpResponse(page[0], headers=page[1])

    def _from_cache(self, key: str) -> tuple[bytes, dict[str, str]] | None:
        from redis.exceptions import RedisError  # slow to load: not at the start

        try:
            page: tuple[bytes, dict[str, str]] | None = cache.get(key)
        except (RedisError, OSError):
            return None
        return page

    def _to_cache(self, key: str, page: tuple[bytes, dict[str, str]]) -> None:
        from redis.exceptions import RedisError

        try:
            cache.set(key, page, self.BEHIND_SECONDS)
        except (RedisError, OSError):
            log.warning("cache is away; the landing page is kept in the process only")


class UnavailableMiddleware:
    """A database that is down or locked answers 503 with ``Retry-After`` (H1, H13).

    Gateways repeat their notices, so nothing is lost. A body that breaks off in the
    middle is the caller's failure, not ours.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(
        self, request: HttpRequest, error: Exception
    ) -> HttpResponse | None:
        if isinstance(error, UnreadablePostError):
            return HttpResponse(status=400)
        if not isinstance(error, (OperationalError, InterfaceError)):
            return None
        log.error("database unavailable: %s", type(error).__name__)
        connections.close_all()
        return unavailable(request)


class PrivacyMiddleware:
    """Pages of a person are never kept by a cache (security 55, 56)."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if not response.has_header("Cache-Control"):
            patch_cache_control(response, private=True, no_store=True)
            patch_vary_headers(response, ["Cookie", "HX-Request"])
        return response
