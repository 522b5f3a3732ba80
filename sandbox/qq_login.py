"""QQ Connect: answers as ``callback( {…} );`` or query string, JSON with ``fmt=json``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_safe

from sandbox import consent
from sandbox.consent import Wish
from sandbox.faults import Seal, answered
from sandbox.keys import QQ_LOGIN_APP_ID
from sandbox.people import CODE_LIFE, Grant
from sandbox.world import Call, world

NAME = "qq_login"

Json = dict[str, Any]


class ApiError(Exception):
    def __init__(self, error: int, words: str) -> None:
        super().__init__(words)
        self.answer: Json = {"error": error, "error_description": words}


def urls() -> list[URLPattern]:
    return [
        path("oauth2.0/authorize", authorize),
        path("oauth2.0/token", token),
        path("oauth2.0/me", me),
        path("user/get_user_info", user_info),
    ]


@require_safe
def authorize(request: HttpRequest) -> HttpResponse:
    given = {name: str(value) for name, value in request.GET.items()}
    wish = Wish(
        "qq",
        given.get("client_id", ""),
        given.get("redirect_uri", ""),
        given.get("state", ""),
        given.get("scope", ""),
    )
    return consent.ask(request, wish)


def token(request: HttpRequest) -> HttpResponse:
    def work(given: dict[str, str]) -> Json:
        people = world().people
        if given.get("client_id") != QQ_LOGIN_APP_ID:
            raise ApiError(100008, "client_id is illegal")
        if given.get("client_secret") != world().keys.qq_login_secret:
            raise ApiError(100009, "client_secret is illegal")
        if given.get("grant_type") != "authorization_code":
            raise ApiError(100004, "grant_type is illegal")
        grant = people.codes.get(given.get("code", ""))
        lapsed = grant is not None and world().now() > grant.made_at + CODE_LIFE
        if grant is None or grant.provider != "qq" or grant.used or lapsed:
            raise ApiError(100019, "code to access token error")
        if given.get("redirect_uri") != grant.redirect_uri:
            raise ApiError(100010, "redirect_uri is illegal")
        made = people.exchange(grant)
        return {
            "access_token": made,
            "expires_in": "7776000",
            "refresh_token": made[::-1],
        }

    return _served(request, "token", work, plain=True)


def me(request: HttpRequest) -> HttpResponse:
    def work(given: dict[str, str]) -> Json:
        people, grant = world().people, _granted(given)
        union = {}
        if given.get("unionid") == "1":
            if not people.unionids:
                raise ApiError(100048, "no right to unionid")
            union = {"unionid": people.unionid("qq", grant.person)}
        openid = people.openid("qq", grant.appid, grant.person)
        return {"client_id": grant.appid, "openid": openid, **union}

    return _served(request, "me", work)


def user_info(request: HttpRequest) -> HttpResponse:
    def work(given: dict[str, str]) -> Json:
        people = world().people
        try:
            grant = _granted(given)
        except ApiError:
            return {"ret": 100016, "msg": "access token check failed"}
        openid = people.openid("qq", grant.appid, grant.person)
        if (given.get("oauth_consumer_key"), given.get("openid")) != (
            grant.appid,
            openid,
        ):
            return {"ret": 100013, "msg": "access token is illegal"}
        return {
            "ret": 0,
            "msg": "",
            "is_lost": 0,
            "nickname": people.nicknames[grant.person],
            "gender": "男",
            "figureurl_qq_1": "javascript:alert(1)",
        }

    return _served(request, "userinfo", work, always_json=True)


def _granted(given: dict[str, str]) -> Grant:
    grant = world().people.tokens.get(given.get("access_token", ""))
    if grant is None or grant.provider != "qq":
        raise ApiError(100016, "access token check failed")
    return grant


def _served(
    request: HttpRequest,
    name: str,
    work: Callable[[dict[str, str]], Json],
    *,
    plain: bool = False,
    always_json: bool = False,
) -> HttpResponse:
    """plain  a success is a query string where JSON was not asked for"""
    given = {key: str(value) for key, value in request.GET.items()}

    def answer() -> Json:
        try:
            with world().lock:
                return work(given)
        except ApiError as error:
            return error.answer

    def refuse(code: str, _status: int) -> Json:
        return ApiError(int(code) if code.isdigit() else -1, "sandbox fault").answer

    def send(payload: Json, _seal: Seal) -> HttpResponse:
        text = json.dumps(payload, ensure_ascii=False)
        if given.get("fmt") != "json" and not always_json:
            is_query = plain and "error" not in payload
            text = urlencode(payload) if is_query else f"callback( {text} );\n"
        return HttpResponse(text.encode(), content_type="text/html")

    fault = world().faults.take(NAME, name)
    response = answered(world().faults, fault, work=answer, refuse=refuse, send=send)
    outcome = fault.kind if fault else str(response.status_code)
    world().calls.append(Call(NAME, name, "", outcome, world().now()))
    return response
