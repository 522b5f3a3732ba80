"""What WeChat and QQ answer, and what they were asked; one-use codes for people."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.test import Client
from django.urls import reverse

from members.identity.contract import Unavailable

ASKED = {
    "/sns/oauth2/access_token": "token",
    "/sns/userinfo": "userinfo",
    "/oauth2.0/token": "token",
    "/oauth2.0/me": "me",
    "/user/get_user_info": "userinfo",
}


@dataclass
class Far:
    """Somebody at a provider."""

    openid: str = "oAlice"
    unionid: str = "uAlice"
    nickname: str = "小明"


@dataclass
class FarSide:
    """``asked`` lists the steps; ``down`` names those that give no answer; ``says``
    replaces the answer of a step."""

    codes: dict[str, Far] = field(default_factory=dict)
    tokens: dict[str, Far] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)
    down: set[str] = field(default_factory=set)
    says: dict[str, dict[str, Any]] = field(default_factory=dict)

    def agrees(self, who: Far) -> str:
        code = secrets.token_hex(8)
        self.codes[code] = who
        return code

    def get(self, url: str, params: Mapping[str, str]) -> bytes:
        parts = urlsplit(url)
        step = ASKED[parts.path]
        self.asked.append(step)
        self.queries.append(dict(params))
        if step in self.down:
            raise Unavailable("ReadTimeout")
        if step in self.says:
            return json.dumps(self.says[step], ensure_ascii=False).encode()
        is_qq = parts.hostname == "graph.qq.com"
        answer = self._qq(step, params) if is_qq else self._wechat(step, params)
        return json.dumps(answer, ensure_ascii=False).encode()

    def _wechat(self, step: str, params: Mapping[str, str]) -> dict[str, Any]:
        if step == "token":
            who = self.codes.pop(params["code"], None)
            if who is None:
                return {"errcode": 40029, "errmsg": "invalid code"}
            token = self._token(who)
            union = {"unionid": who.unionid} if who.unionid else {}
            return {"access_token": token, "openid": who.openid, **union}
        who = self.tokens[params["access_token"]]
        return {"openid": who.openid, "nickname": who.nickname}

    def _qq(self, step: str, params: Mapping[str, str]) -> dict[str, Any]:
        if step == "token":
            who = self.codes.pop(params["code"], None)
            if who is None:
                return {"error": 100019, "error_description": "code error"}
            return {"access_token": self._token(who)}
        who = self.tokens[params["access_token"]]
        if step == "me":
            union = {"unionid": who.unionid} if who.unionid else {}
            return {"client_id": "10101101", "openid": who.openid, **union}
        return {"ret": 0, "nickname": who.nickname}

    def _token(self, who: Far) -> str:
        token = secrets.token_hex(8)
        self.tokens[token] = who
        return token


def set_out(client: Client, provider: str = "wechat", **form: str) -> str:
    """Tap the button; the state that went along."""
    answer = client.post(reverse("login-identity", args=[provider]), form)
    assert answer.status_code == 303, answer.status_code
    return state_of(answer["Location"])


def state_of(url: str) -> str:
    return parse_qs(urlsplit(url).query)["state"][0]


def come_back(
    client: Client, state: str, code: str = "", provider: str = "wechat"
) -> Any:
    query = {"state": state} | ({"code": code} if code else {})
    return client.get(reverse("login-callback", args=[provider]), query)


def sign_in(
    client: Client, far: FarSide, who: Far, provider: str = "wechat", **form: str
) -> Any:
    state = set_out(client, provider, **form)
    return come_back(client, state, far.agrees(who), provider)


def user_of(client: Client) -> int | None:
    found = client.session.get("_auth_user_id")
    return int(found) if found else None
