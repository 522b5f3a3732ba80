"""WeChat: the website application on a desktop, the service account inside WeChat.

Errors come as HTTP 200 with ``errcode``, answers as UTF-8 under ``text/plain``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlencode, urljoin

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


class Scope(StrEnum):
    LOGIN = "snsapi_login"  # website application: a QR code to scan
    USERINFO = "snsapi_userinfo"  # service account: asks her, tells the nickname
    BASE = "snsapi_base"  # service account: asks nothing, tells the openid alone


@dataclass(frozen=True, slots=True)
class Token:
    access_token: str
    openid: str
    unionid: str


@dataclass(frozen=True, slots=True)
class WechatClient:
    appid: str
    secret: str
    page: str
    api: str
    scope: Scope

    def authorize_url(self, *, redirect_uri: str, state: str) -> str:
        """The parameters stand in the order that WeChat's manual gives them."""
        query = urlencode(
            {
                "appid": self.appid,
                "redirect_uri": redirect_uri,
                "response_type": "code",
                "scope": self.scope.value,
                "state": state,
            }
        )
        return f"{self.page}?{query}#wechat_redirect"

    def recognise(self, code: str, *, redirect_uri: str = "") -> Person:
        token = self.exchange(code)
        nickname, unionid = "", token.unionid
        if self.scope is not Scope.BASE:
            nickname, unionid = self._look_up(token)
        return Person(Provider.WECHAT, self.appid, token.openid, unionid, nickname)

    def exchange(self, code: str) -> Token:
        query = {
            "appid": self.appid,
            "secret": self.secret,
            "code": code,
            "grant_type": "authorization_code",
        }
        return read_token(wire.get(f"{self.api}/sns/oauth2/access_token", query))

    def _look_up(self, token: Token) -> tuple[str, str]:
        """Nickname and unionid. Without an answer she comes in all the same, but not
        when the answer is about somebody else."""
        query = {
            "access_token": token.access_token,
            "openid": token.openid,
            "lang": "zh_CN",
        }
        try:
            return read_user(wire.get(f"{self.api}/sns/userinfo", query), token)
        except Refused as refusal:
            if refusal.code == "somebody-else":
                raise
        except NotRecognised:
            pass
        return "", token.unionid


def read_token(body: bytes) -> Token:
    values = object_of(text_of(body))
    if errcode := an_error(values, "errcode"):
        raise Refused(errcode)
    openid = an_id(values, "openid")
    if not openid:
        raise Refused("no-openid")
    return Token(a_token(values), openid, an_id(values, "unionid"))


def read_user(body: bytes, token: Token) -> tuple[str, str]:
    """Nickname and unionid of the person to whom the token belongs."""
    values = object_of(text_of(body))
    if errcode := an_error(values, "errcode"):
        raise Refused(errcode)
    unionid = an_id(values, "unionid")
    same_union = not (unionid and token.unionid) or unionid == token.unionid
    if values.get("openid") != token.openid or not same_union:
        raise Refused("somebody-else")
    return a_text(values, "nickname"), token.unionid or unionid


def website() -> WechatClient | None:
    """The application whose QR code a desktop shows; None without its keys."""
    if not (settings.WECHAT_LOGIN_APP_ID and settings.WECHAT_LOGIN_SECRET):
        return None
    return WechatClient(
        settings.WECHAT_LOGIN_APP_ID,
        settings.WECHAT_LOGIN_SECRET,
        urljoin(settings.WECHAT_LOGIN_AUTHORIZE_URL, "/connect/qrconnect"),
        settings.WECHAT_LOGIN_API_URL,
        Scope.LOGIN,
    )


def service_account(scope: Scope = Scope.USERINFO) -> WechatClient | None:
    """The account that asks inside WeChat, and for which she pays there."""
    if not (settings.WECHAT_MP_APP_ID and settings.WECHAT_MP_SECRET):
        return None
    return WechatClient(
        settings.WECHAT_MP_APP_ID,
        settings.WECHAT_MP_SECRET,
        urljoin(settings.WECHAT_LOGIN_AUTHORIZE_URL, "/connect/oauth2/authorize"),
        settings.WECHAT_LOGIN_API_URL,
        scope,
    )
