"""WeChat's and QQ's OAuth as the sandbox plays them, by a shop of its own."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.sandbox_process import ControlRefused, Sandbox

BACK = "http://shop.test/back/"


def call(sandbox: Sandbox, path: str, **query: str) -> httpx.Response:
    return httpx.get(f"{sandbox.url}{path}", params=query, trust_env=False)


def setting(sandbox: Sandbox, name: str) -> str:
    return sandbox.environment[name]


def agreed(sandbox: Sandbox, provider: str, appid: str, **more: str) -> str:
    body = {"provider": provider, "appid": appid, "redirect_uri": BACK, **more}
    return str(sandbox.control("consents/", body)["code"])


def exchange(sandbox: Sandbox, kind: str, code: str, /, **change: str) -> Any:
    query = {
        "appid": setting(sandbox, f"WECHAT_{kind}_APP_ID"),
        "secret": setting(sandbox, f"WECHAT_{kind}_SECRET"),
        "code": code,
        "grant_type": "authorization_code",
    } | change
    return json.loads(call(sandbox, "/sns/oauth2/access_token", **query).content)


def of_wechat(sandbox: Sandbox, kind: str = "LOGIN", **more: str) -> Any:
    appid = setting(sandbox, f"WECHAT_{kind}_APP_ID")
    return exchange(sandbox, kind, agreed(sandbox, "wechat", appid, **more))


def test_wechat_tells_who_she_is(sandbox: Sandbox) -> None:
    token = of_wechat(sandbox, scope="snsapi_login")
    answer = call(
        sandbox,
        "/sns/userinfo",
        access_token=token["access_token"],
        openid=token["openid"],
    )
    assert answer.headers["content-type"] == "text/plain"
    user = json.loads(answer.content)
    assert user["nickname"] == "小明🎫"
    assert "小明🎫".encode() in answer.content
    assert (user["openid"], user["unionid"]) == (token["openid"], token["unionid"])


def test_one_person_has_an_openid_for_each_application_and_one_unionid(
    sandbox: Sandbox,
) -> None:
    website = of_wechat(sandbox, "LOGIN", scope="snsapi_login")
    service = of_wechat(sandbox, "MP", scope="snsapi_userinfo")
    other = of_wechat(sandbox, "LOGIN", scope="snsapi_login", person="meili")
    assert website["openid"] != service["openid"]
    assert website["unionid"] == service["unionid"] != other["unionid"]
    sandbox.control("people/", {"unionids": False})
    assert "unionid" not in of_wechat(sandbox)


def test_the_silent_scope_tells_the_openid_alone(sandbox: Sandbox) -> None:
    token = of_wechat(sandbox, "MP", scope="snsapi_base")
    assert "unionid" not in token
    query = {"access_token": token["access_token"], "openid": token["openid"]}
    assert call(sandbox, "/sns/userinfo", **query).json()["errcode"] == 48001


@pytest.mark.parametrize(
    ("change", "errcode"),
    [
        ({"appid": "wx-none"}, 40013),
        ({"secret": "wrong"}, 40125),
        ({"grant_type": "password"}, 40002),
        ({"code": ""}, 41008),
        ({"code": "made-up"}, 40029),
    ],
)
def test_wechat_refuses_as_it_does(
    sandbox: Sandbox, change: dict[str, str], errcode: int
) -> None:
    appid = setting(sandbox, "WECHAT_LOGIN_APP_ID")
    code = agreed(sandbox, "wechat", appid)
    assert exchange(sandbox, "LOGIN", code, **change)["errcode"] == errcode


def test_a_code_of_wechat_is_used_once_and_soon(sandbox: Sandbox) -> None:
    appid = setting(sandbox, "WECHAT_LOGIN_APP_ID")
    code = agreed(sandbox, "wechat", appid)
    assert "openid" in exchange(sandbox, "LOGIN", code)
    assert exchange(sandbox, "LOGIN", code)["errcode"] == 40163
    late = agreed(sandbox, "wechat", appid)
    sandbox.set_clock(offset=601)
    assert exchange(sandbox, "LOGIN", late)["errcode"] == 42003


def qq_token(sandbox: Sandbox, code: str = "", **change: str) -> httpx.Response:
    appid = setting(sandbox, "QQ_LOGIN_APP_ID")
    query = {
        "grant_type": "authorization_code",
        "client_id": appid,
        "client_secret": setting(sandbox, "QQ_LOGIN_SECRET"),
        "code": code or agreed(sandbox, "qq", appid),
        "redirect_uri": BACK,
    } | change
    return call(sandbox, "/oauth2.0/token", **query)


def test_qq_tells_who_she_is_in_all_its_forms(sandbox: Sandbox) -> None:
    token = parse_qs(qq_token(sandbox).text)["access_token"][0]
    wrapped = call(sandbox, "/oauth2.0/me", access_token=token).text
    assert wrapped.startswith("callback( {")
    assert wrapped.endswith("} );\n")
    plain = call(
        sandbox, "/oauth2.0/me", access_token=token, unionid="1", fmt="json"
    ).json()
    assert plain["client_id"] == setting(sandbox, "QQ_LOGIN_APP_ID")
    assert plain["unionid"].startswith("UID_")
    user = call(
        sandbox,
        "/user/get_user_info",
        access_token=token,
        oauth_consumer_key=plain["client_id"],
        openid=plain["openid"],
    ).json()
    assert (user["ret"], user["nickname"]) == (0, "小明🎫")


def test_qq_refuses_as_it_does(sandbox: Sandbox) -> None:
    appid = setting(sandbox, "QQ_LOGIN_APP_ID")
    code = agreed(sandbox, "qq", appid)
    assert qq_token(sandbox, code, fmt="json").json()["access_token"]
    assert '"error": 100019' in qq_token(sandbox, code).text
    assert '"error": 100010' in qq_token(sandbox, redirect_uri="http://x/").text
    assert '"error": 100009' in qq_token(sandbox, client_secret="x").text
    me = call(sandbox, "/oauth2.0/me", access_token="x").text
    assert '"error": 100016' in me
    sandbox.control("people/", {"unionids": False})
    token = qq_token(sandbox, fmt="json").json()["access_token"]
    answer = call(sandbox, "/oauth2.0/me", access_token=token, unionid="1").text
    assert '"error": 100048' in answer


def test_a_wechat_code_is_worth_nothing_at_qq(sandbox: Sandbox) -> None:
    code = agreed(sandbox, "wechat", setting(sandbox, "WECHAT_LOGIN_APP_ID"))
    assert '"error": 100019' in qq_token(sandbox, code).text


def page(sandbox: Sandbox, path: str, **query: str) -> httpx.Response:
    return call(sandbox, path, **query)


def wechat_page(sandbox: Sandbox, **change: str) -> httpx.Response:
    query = {
        "appid": setting(sandbox, "WECHAT_LOGIN_APP_ID"),
        "redirect_uri": BACK,
        "response_type": "code",
        "scope": "snsapi_login",
        "state": "s1",
    } | change
    return page(sandbox, "/connect/qrconnect", **query)


def test_the_page_lets_a_person_agree_or_not(sandbox: Sandbox) -> None:
    shown = wechat_page(sandbox)
    assert shown.status_code == 200
    for words in ("小明🎫", "同意", "拒绝", "shop.test"):
        assert words in shown.text
    assert "<img src=x" not in shown.text
    assert (
        "form-action 'self' http://shop.test"
        in (shown.headers["Content-Security-Policy"])
    )
    fields = {
        "appid": setting(sandbox, "WECHAT_LOGIN_APP_ID"),
        "redirect_uri": BACK,
        "state": "s1",
        "scope": "snsapi_login",
        "person": "meili",
    }
    url = f"{sandbox.url}/consent/wechat/"
    yes = httpx.post(url, data={**fields, "agree": "1"}, trust_env=False)
    assert yes.status_code == 302
    query = parse_qs(urlsplit(yes.headers["Location"]).query)
    assert query["state"] == ["s1"]
    token = exchange(sandbox, "LOGIN", query["code"][0])
    assert (
        token["unionid"]
        == of_wechat(sandbox, person="meili", scope="snsapi_login")["unionid"]
    )
    no = httpx.post(url, data={**fields, "decline": "1"}, trust_env=False)
    assert no.status_code == 200
    assert f"{BACK}?state=s1" in no.text
    qq = fields | {"appid": setting(sandbox, "QQ_LOGIN_APP_ID"), "decline": "1"}
    no = httpx.post(f"{sandbox.url}/consent/qq/", data=qq, trust_env=False)
    assert no.headers["Location"] == f"{BACK}?usercancel=1&state=s1"


@pytest.mark.parametrize(
    "change",
    [
        {"appid": "wx-none"},
        {"scope": "snsapi_userinfo"},
        {"redirect_uri": "javascript:alert(1)"},
        {"response_type": "token"},
    ],
)
def test_a_wrong_request_gets_a_page_and_no_way_on(
    sandbox: Sandbox, change: dict[str, str]
) -> None:
    shown = wechat_page(sandbox, **change)
    assert shown.status_code == 400
    assert "同意" not in shown.text


def test_the_silent_scope_shows_no_page(sandbox: Sandbox) -> None:
    answer = page(
        sandbox,
        "/connect/oauth2/authorize",
        appid=setting(sandbox, "WECHAT_MP_APP_ID"),
        redirect_uri=BACK,
        response_type="code",
        scope="snsapi_base",
        state="s1",
    )
    assert answer.status_code == 302
    assert answer.headers["Location"].startswith(f"{BACK}?code=")


def test_faults_and_calls_cover_the_sign_in(sandbox: Sandbox) -> None:
    sandbox.fault("wechat_login", "token", "500", count=1)
    appid = setting(sandbox, "WECHAT_LOGIN_APP_ID")
    code = agreed(sandbox, "wechat", appid)
    query = {
        "appid": appid,
        "secret": setting(sandbox, "WECHAT_LOGIN_SECRET"),
        "code": code,
        "grant_type": "authorization_code",
    }
    assert call(sandbox, "/sns/oauth2/access_token", **query).status_code == 500
    assert "openid" in exchange(sandbox, "LOGIN", code)
    assert [each["outcome"] for each in sandbox.calls("wechat_login", "token")] == [
        "500",
        "200",
    ]
    sandbox.fault("qq_login", "me", "refuse", code="100016", count=1)
    me = call(sandbox, "/oauth2.0/me", access_token="x").text
    assert '"error": 100016' in me


def test_the_cast_can_be_changed_and_is_forgotten(sandbox: Sandbox) -> None:
    people = sandbox.control("people/", {"key": "lili", "nickname": "莉莉"})["people"]
    assert [each["key"] for each in people] == ["xiaoming", "meili", "mallory", "lili"]
    assert set(people[0]["unionids"]) == {"wechat", "qq"}
    for wrong in ({"key": "a b"}, {"key": "é"}):
        with pytest.raises(ControlRefused):
            sandbox.control("people/", wrong)
    with pytest.raises(ControlRefused):
        sandbox.control("consents/", {"provider": "wechat", "appid": "wx-none"})
    sandbox.reset()
    assert len(sandbox.control("people/")["people"]) == 3
