"""QQ Connect (QQ 互联). Answers come as JSON, as ``callback( {…} );`` or as a query
string, whatever was asked for; all three are read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.conf import settings

from members.identity import wire
from members.identity.contract import (
    NotRecognised,
    Person,
    Refused,
    a_text,
    a_token,
    an_error,
    an_id,
    object_of,
    text_of,
)
from members.models import Provider

_CALLBACK = re.compile(r"callback\(\s*(\{.*\})\s*\)\s*;?", re.DOTALL)
NO_UNIONID = 100048
"""The application has not been granted the right to unionids."""


@dataclass(frozen=True, slots=True)
class QQClient:
    appid: str
    secret: str
    page: str
    api: str
    on_phone: bool = False

    def authorize_url(self, *, redirect_uri: str, state: str) -> str:
        query = {
            "response_type": "code",
            "client_id": self.appid,
            "redirect_uri": redirect_uri,
            "state": state,
            "scope": "get_user_info",
        }
        if self.on_phone:
            query["display"] = "mobile"
        return f"{self.page}?{urlencode(query)}"

    def recognise(self, code: str, *, redirect_uri: str) -> Person:
        query = {
            "grant_type": "authorization_code",
            "client_id": self.appid,
            "client_secret": self.secret,
            "code": code,
            "redirect_uri": redirect_uri,
            "fmt": "json",
        }
        token = read_token(wire.get(f"{self.api}/oauth2.0/token", query))
        openid, unionid = self._who(token)
        nickname = self._nickname(token, openid)
        return Person(Provider.QQ, self.appid, openid, unionid, nickname)

    def _who(self, token: str) -> tuple[str, str]:
        query = {"access_token": token, "fmt": "json"}
        address = f"{self.api}/oauth2.0/me"
        try:
            answer = wire.get(address, {**query, "unionid": "1"})
            return read_me(answer, self.appid)
        except Refused as refusal:
            if refusal.code != NO_UNIONID:
                raise
        return read_me(wire.get(address, query), self.appid)

    def _nickname(self, token: str, openid: str) -> str:
        """Only for display: without an answer she comes in all the same."""
        query = {
            "access_token": token,
            "oauth_consumer_key": self.appid,
            "openid": openid,
        }
        try:
            return read_user(wire.get(f"{self.api}/user/get_user_info", query))
        except NotRecognised:
            return ""


def read_token(body: bytes) -> str:
    return a_token(_values(body))


def read_me(body: bytes, appid: str) -> tuple[str, str]:
    """openid and unionid.

    raises  Refused also for a token that was given to another application: taking it
            would let that application's owner in as any of its users
    """
    values = _values(body)
    if values.get("client_id") != appid:
        raise Refused("other-application")
    openid = an_id(values, "openid")
    if not openid:
        raise Refused("no-openid")
    return openid, an_id(values, "unionid")


def read_user(body: bytes) -> str:
    """The nickname."""
    values = _values(body)
    if error := an_error(values, "ret"):
        raise Refused(error)
    return a_text(values, "nickname")


def _values(body: bytes) -> dict[str, Any]:
    text = text_of(body)
    wrapped = _CALLBACK.fullmatch(text)
    if wrapped is not None:
        values = object_of(wrapped[1])
    elif text.startswith("{"):
        values = object_of(text)
    else:
        values = dict(parse_qsl(text))
    if error := an_error(values, "error"):
        raise Refused(error)
    return values


def application(*, on_phone: bool = False) -> QQClient | None:
    """The shop's application at QQ; None without its keys."""
    if not (settings.QQ_LOGIN_APP_ID and settings.QQ_LOGIN_SECRET):
        return None
    return QQClient(
        settings.QQ_LOGIN_APP_ID,
        settings.QQ_LOGIN_SECRET,
        settings.QQ_LOGIN_AUTHORIZE_URL,
        settings.QQ_LOGIN_API_URL,
        on_phone,
    )
