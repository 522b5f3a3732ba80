"""WeChat's OAuth: website application and service account.

Errors are HTTP 200 with ``errcode``; answers are UTF-8 under ``text/plain`` that names
no charset, as WeChat sends them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.views.decorators.http import require_safe

from sandbox import consent
from sandbox.consent import Wish
from sandbox.faults import Seal, answered
from sandbox.keys import WECHAT_LOGIN_APP_ID, WECHAT_MP_APP_ID
from sandbox.people import CODE_LIFE, Grant
from sandbox.world import Call, world

NAME = "wechat_login"
SCOPES = {
    WECHAT_LOGIN_APP_ID: ("snsapi_login",),
    WECHAT_MP_APP_ID: ("snsapi_base", "snsapi_userinfo"),
}

Json = dict[str, Any]


class ApiError(Exception):
    def __init__(self, errcode: int, errmsg: str) -> None:
        super().__init__(errmsg)
        self.answer: Json = {"errcode": errcode, "errmsg": errmsg}


def urls() -> list[URLPattern]:
    return [
        path("connect/qrconnect", authorize, {"appid": WECHAT_LOGIN_APP_ID}),
        path("connect/oauth2/authorize", authorize, {"appid": WECHAT_MP_APP_ID}),
        path("sns/oauth2/access_token", access_token),
        path("sns/userinfo", userinfo),
    ]


@require_safe
def authorize(request: HttpRequest, appid: str) -> HttpResponse:
    """The page of one kind of application; ``snsapi_base`` asks nothing."""
    given = {name: str(value) for name, value in request.GET.items()}
    scope = given.get("scope", "")
    if scope not in SCOPES[appid]:
        return consent.refused(request, "wechat", "Scope 参数错误或没有 Scope 权限")
    if given.get("appid") != appid or given.get("response_type") != "code":
        return consent.refused(request, "wechat", "AppID 参数错误")
    wish = Wish(
        "wechat", appid, given.get("redirect_uri", ""), given.get("state", ""), scope
    )
    return consent.ask(request, wish, silent=scope == "snsapi_base")


def access_token(request: HttpRequest) -> HttpResponse:
    def work(given: dict[str, str]) -> Json:
        keys, people = world().keys, world().people
        secrets = {
            WECHAT_LOGIN_APP_ID: keys.wechat_login_secret,
            WECHAT_MP_APP_ID: keys.wechat_mp_secret,
        }
        appid = given.get("appid", "")
        if appid not in secrets:
            raise ApiError(40013, "invalid appid")
        if given.get("secret") != secrets[appid]:
            raise ApiError(40125, "invalid appsecret")
        if given.get("grant_type") != "authorization_code":
            raise ApiError(40002, "invalid grant_type")
        if not given.get("code"):
            raise ApiError(41008, "missing code")
        grant = people.codes.get(given["code"])
        if grant is None or grant.provider != "wechat" or grant.appid != appid:
            raise ApiError(40029, "invalid code")
        if grant.used:
            raise ApiError(40163, "code been used")
        if world().now() > grant.made_at + CODE_LIFE:
            raise ApiError(42003, "oauth_code expired")
        token = people.exchange(grant)
        return {
            "access_token": token,
            "expires_in": 7200,
            "refresh_token": token[::-1],
            "openid": people.openid("wechat", appid, grant.person),
            "scope": grant.scope,
            **_union(grant),
        }

    return _served(request, "token", work)


def userinfo(request: HttpRequest) -> HttpResponse:
    def work(given: dict[str, str]) -> Json:
        people = world().people
        grant = people.tokens.get(given.get("access_token", ""))
        if grant is None or grant.provider != "wechat":
            raise ApiError(40001, "invalid credential")
        if grant.scope == "snsapi_base":
            raise ApiError(48001, "api unauthorized")
        openid = people.openid("wechat", grant.appid, grant.person)
        if given.get("openid") != openid:
            raise ApiError(40003, "invalid openid")
        return {
            "openid": openid,
            "nickname": people.nicknames[grant.person],
            "sex": 0,
            "province": "",
            "city": "",
            "country": "",
            "headimgurl": "javascript:alert(1)",
            "privilege": [],
            **_union(grant),
        }

    return _served(request, "userinfo", work)


def _union(grant: Grant) -> Json:
    people = world().people
    if not people.unionids or grant.scope == "snsapi_base":
        return {}
    return {"unionid": people.unionid("wechat", grant.person)}


def _served(
    request: HttpRequest, name: str, work: Callable[[dict[str, str]], Json]
) -> HttpResponse:
    def answer() -> Json:
        try:
            with world().lock:
                return work({key: str(value) for key, value in request.GET.items()})
        except ApiError as error:
            return error.answer

    def refuse(code: str, _status: int) -> Json:
        return ApiError(int(code) if code.isdigit() else -1, "sandbox fault").answer

    def send(payload: Json, _seal: Seal) -> HttpResponse:
        body = json.dumps(payload, ensure_ascii=False).encode()
        return HttpResponse(body, content_type="text/plain")

    fault = world().faults.take(NAME, name)
    response = answered(world().faults, fault, work=answer, refuse=refuse, send=send)
    outcome = fault.kind if fault else str(response.status_code)
    world().calls.append(Call(NAME, name, "", outcome, world().now()))
    return response
