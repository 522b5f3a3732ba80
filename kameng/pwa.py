"""What makes the shop an app on a home screen: a manifest and a service worker.

Both are the same for everyone and know nothing of who asks.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.templatetags.static import static
from django.views.decorators.http import require_safe

from members.context import shop_data

ICONS = (("img/icon-192.png", "192x192"), ("img/icon-512.png", "512x512"))


@require_safe
def manifest(request: HttpRequest) -> HttpResponse:
    name = shop_data()["name"]
    icons = [
        {"src": static(path), "sizes": sizes, "type": "image/png"}
        for path, sizes in ICONS
    ]
    icons.append(
        {"src": static("img/favicon.svg"), "sizes": "any", "type": "image/svg+xml"}
    )
    response = JsonResponse(
        {
            "id": "/",
            "name": name,
            "short_name": name,
            "lang": "zh-CN",
            "start_url": "/",
            "scope": "/",
            "display": "standalone",
            "background_color": "#F5F3EC",
            "theme_color": "#F5F3EC",
            "icons": icons,
        },
        content_type="application/manifest+json",
        json_dumps_params={"ensure_ascii": False},
    )
    response["Cache-Control"] = "public, max-age=3600"
    return response


@require_safe
def service_worker(request: HttpRequest) -> HttpResponse:
    """At the root, for a worker reaches no further than the folder of its script."""
    context = {"name": shop_data()["name"]}
    response = render(
        request, "sw.js", context, content_type="text/javascript; charset=utf-8"
    )
    response["Cache-Control"] = "no-cache"  # an old one has to be able to go
    return response
