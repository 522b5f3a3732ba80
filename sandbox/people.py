"""Who can sign in with WeChat and QQ here, and what they have agreed to."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sandbox.keys import QQ_LOGIN_APP_ID, WECHAT_LOGIN_APP_ID, WECHAT_MP_APP_ID

CODE_LIFE = timedelta(minutes=10)
APPLICATIONS = {
    "wechat": (WECHAT_LOGIN_APP_ID, WECHAT_MP_APP_ID),
    "qq": (QQ_LOGIN_APP_ID,),
}
CAST = {
    "xiaoming": "小明🎫",
    "meili": "美丽的 QQ 昵称",
    "mallory": "<img src=x onerror=alert(1)>\u202e",
}


@dataclass(slots=True)
class Grant:
    """One consent: a code that is exchanged once for a token."""

    provider: str
    appid: str
    person: str
    scope: str
    redirect_uri: str
    made_at: datetime
    used: bool = False


class People:
    """Ids are made from the names, so they stay the same after a restart.

    unionids  whether the providers tell them
    """

    def __init__(self) -> None:
        self.nicknames = dict(CAST)
        self.codes: dict[str, Grant] = {}
        self.tokens: dict[str, Grant] = {}
        self.unionids = True

    def name(self, key: str, nickname: str) -> None:
        if not (key.isascii() and key.isalnum()):
            raise ValueError("key is ASCII letters and digits")
        self.nicknames[key] = nickname

    def listed(self) -> list[dict[str, Any]]:
        return [
            {
                "key": key,
                "nickname": nickname,
                "unionids": {each: self.unionid(each, key) for each in APPLICATIONS},
                "openids": {
                    appid: self.openid(provider, appid, key)
                    for provider, appids in APPLICATIONS.items()
                    for appid in appids
                },
            }
            for key, nickname in self.nicknames.items()
        ]

    def openid(self, provider: str, appid: str, key: str) -> str:
        made = hashlib.sha256(f"{provider}/{appid}/{key}".encode()).hexdigest()
        return f"o{made[:27]}" if provider == "wechat" else made[:32].upper()

    def unionid(self, provider: str, key: str) -> str:
        made = hashlib.sha256(f"{provider}//{key}".encode()).hexdigest()
        return f"o6{made[:26]}" if provider == "wechat" else f"UID_{made[:32].upper()}"

    def is_known(self, provider: str, appid: str, openid: str) -> bool:
        return any(self.openid(provider, appid, k) == openid for k in self.nicknames)

    def agree(
        self,
        *,
        provider: str,
        appid: str,
        person: str,
        scope: str,
        redirect_uri: str,
        now: datetime,
    ) -> str:
        """The code of a new consent; the first of the cast where nobody is named."""
        person = person or next(iter(self.nicknames))
        if person not in self.nicknames or appid not in APPLICATIONS.get(provider, ()):
            raise ValueError("no such person or application")
        code = secrets.token_hex(16)
        self.codes[code] = Grant(provider, appid, person, scope, redirect_uri, now)
        return code

    def exchange(self, grant: Grant) -> str:
        """Use a code up; the token."""
        grant.used = True
        token = secrets.token_hex(24)
        self.tokens[token] = grant
        return token
