"""The page on which a person agrees to sign in, or does not, as whom she likes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import URLPattern, path
from django.views.decorators.http import require_POST

from sandbox.people import APPLICATIONS
from sandbox.settings import POLICY
from sandbox.world import world

COOKIE = "person"
"""Whom this browser was last: WeChat knows it without asking."""
TITLES = {"wechat": ("微信登录", "WeChat"), "qq": ("QQ 登录", "QQ")}


@dataclass(frozen=True, slots=True)
class Wish:
    """What the shop sent the browser for."""

    provider: str
    appid: str
    redirect_uri: str
    state: str
    scope: str

    @property
    def is_sound(self) -> bool:
        parts = urlsplit(self.redirect_uri)
        return parts.scheme in ("http", "https") and bool(parts.netloc)

    def back(self, **more: str) -> str:
        joint = "&" if "?" in self.redirect_uri else "?"
        return f"{self.redirect_uri}{joint}{urlencode({**more, 'state': self.state})}"


def urls() -> list[URLPattern]:
    return [path("consent/<str:provider>/", decide, name="consent")]


def ask(request: HttpRequest, wish: Wish, *, silent: bool = False) -> HttpResponse:
    """The page, an error page, or with ``silent`` straight back."""
    if wish.appid not in APPLICATIONS[wish.provider]:
        return refused(request, wish.provider, "AppID 参数错误")
    if not wish.is_sound:
        return refused(request, wish.provider, "redirect_uri 参数错误")
    if silent:
        return _agreed(wish, request.COOKIES.get(COOKIE, ""))
    with world().lock:
        people = dict(world().people.nicknames)
    last = request.COOKIES.get(COOKIE, "")
    title, english = TITLES[wish.provider]
    response = render(
        request,
        "sandbox/consent.html",
        {
            "wish": wish,
            "people": people,
            "chosen": last if last in people else next(iter(people)),
            "title": title,
            "title_english": english,
            "shop": urlsplit(wish.redirect_uri).netloc,
        },
    )
    # The form is answered by a redirect to the shop.
    parts = urlsplit(wish.redirect_uri)
    allowed = f"form-action 'self' {parts.scheme}://{parts.netloc}"
    response["Content-Security-Policy"] = POLICY.replace("form-action 'self'", allowed)
    return response


@require_POST
def decide(request: HttpRequest, provider: str) -> HttpResponse:
    fields: Mapping[str, str] = request.POST.dict()
    if provider not in APPLICATIONS:
        return redirect("/")
    wish = Wish(
        provider,
        *(fields.get(n, "") for n in ("appid", "redirect_uri", "state", "scope")),
    )
    if wish.appid not in APPLICATIONS[provider] or not wish.is_sound:
        return refused(request, provider, "参数错误")
    if "agree" in fields:
        return _agreed(wish, fields.get("person", ""))
    if provider == "qq":
        return HttpResponseRedirect(wish.back(usercancel="1"))
    # WeChat leaves her where she is; the link is how older versions went back.
    context = {"title": TITLES[provider][0], "back": wish.back()}
    return render(request, "sandbox/declined.html", context)


def _agreed(wish: Wish, person: str) -> HttpResponse:
    with world().lock:
        people = world().people
        person = person if person in people.nicknames else next(iter(people.nicknames))
        code = people.agree(
            provider=wish.provider,
            appid=wish.appid,
            person=person,
            scope=wish.scope,
            redirect_uri=wish.redirect_uri,
            now=world().now(),
        )
    response = HttpResponseRedirect(wish.back(code=code))
    response.set_cookie(COOKIE, person, samesite="Lax", httponly=True)
    return response


def refused(request: HttpRequest, provider: str, words: str) -> HttpResponse:
    context = {"title": TITLES[provider][0], "code": "10003", "words": words}
    return render(request, "sandbox/refused.html", context, status=400)
