"""Error pages that need neither database nor session."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.http import HttpRequest, HttpResponse

RETRY_SECONDS = "30"


def unavailable(request: HttpRequest) -> HttpResponse:
    """503: the shop is in maintenance or its database is away; orders are safe."""
    page = Path(settings.BASE_DIR) / "templates" / "503.html"
    response = HttpResponse(page.read_bytes(), status=503)
    response["Retry-After"] = RETRY_SECONDS
    response["Cache-Control"] = "no-store"
    return response
