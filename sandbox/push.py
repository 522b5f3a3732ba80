"""A push service: it takes what is sealed for a browser, and cannot read it.

The last part of an endpoint may ask for another answer: ``/push/410-name/``. No browser
subscribes here; endpoints are made up by tests and by who tries something out.
"""

from __future__ import annotations

import re

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST, require_safe

from sandbox.world import Pushed, world

SHOWN = 50
LONGEST = 4096
VAPID = re.compile(r"vapid t=[\w-]+\.[\w-]+\.[\w-]+, ?k=[\w-]+")


def urls() -> list[URLPattern]:
    return [
        path("push/", pushed, name="pushed"),
        path("push/<slug:browser>/", take),
    ]


@require_safe
def pushed(request: HttpRequest) -> HttpResponse:
    """What was taken, newest first; the text is for the browser alone."""
    with world().lock:
        rows = list(reversed(world().pushed))
    return render(request, "sandbox/pushed.html", {"rows": rows[:SHOWN]})


@require_POST
def take(request: HttpRequest, browser: str) -> HttpResponse:
    """RFC 8030: 201 and a place; the sender has to say for how long and who it is."""
    status = _status(request, browser)
    with world().lock:
        world().pushed.append(
            Pushed(
                browser,
                request.headers.get("Topic", ""),
                request.headers.get("TTL", ""),
                len(request.body),
                status,
                world().now(),
            )
        )
    response = HttpResponse(status=status)
    if status == 201:
        response["Location"] = f"{request.build_absolute_uri()}message"
    if status == 429:
        response["Retry-After"] = "120"
    return response


def _status(request: HttpRequest, browser: str) -> int:
    if asked := re.match(r"([45]\d\d)-", browser):
        return int(asked[1])
    if not request.headers.get("TTL", "").isdigit():
        return 400
    if request.headers.get("Content-Encoding") != "aes128gcm":
        return 415
    if not VAPID.fullmatch(request.headers.get("Authorization", "")):
        return 401
    return 201 if len(request.body) <= LONGEST else 413
