"""What both providers tell about a person, and how they say no."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from members.models import Provider

_ID = re.compile(r"[!-~]{1,64}", re.ASCII)
_TOKEN = re.compile(r"[!-~]{1,512}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody whom a provider has recognised.

    unionid   the same in all applications of one owner; "" where none is given
    nickname  as the provider has it: hostile until ``nicknames.clean``
    """

    provider: Provider
    appid: str
    openid: str
    unionid: str = ""
    nickname: str = ""


class NotRecognised(Exception):
    """The way there and back has brought no person."""


class Refused(NotRecognised):
    """The provider said no, or told of somebody who is not meant; ``code`` is its own
    error number, or our word."""

    def __init__(self, code: int | str) -> None:
        super().__init__(str(code))
        self.code = code


class Unavailable(NotRecognised):
    """No usable answer within the time; nothing is wrong with her."""


class Client(Protocol):
    """One application at one provider."""

    def authorize_url(self, *, redirect_uri: str, state: str) -> str:
        """Where the browser is sent to agree."""
        ...

    def recognise(self, code: str, *, redirect_uri: str) -> Person:
        """Exchange the code, server to server; raises Refused, Unavailable."""
        ...


def an_id(values: Mapping[str, Any], name: str) -> str:
    """An openid or unionid; "" when it is missing or cannot be one."""
    value = values.get(name)
    return value if isinstance(value, str) and _ID.fullmatch(value) else ""


def a_token(values: Mapping[str, Any]) -> str:
    value = values.get("access_token")
    if not (isinstance(value, str) and _TOKEN.fullmatch(value)):
        raise Unavailable("no token")
    return value


def a_text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name)
    return value if isinstance(value, str) else ""


def text_of(body: bytes) -> str:
    """UTF-8, whatever the content type says or leaves out."""
    try:
        return body.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise Unavailable("not UTF-8") from None


def object_of(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Unavailable("malformed")
    return found


def an_error(values: Mapping[str, Any], name: str) -> int:
    """The provider's error number, 0 for none; it may come as text."""
    value = values.get(name, 0)
    try:
        return int(value)
    except (TypeError, ValueError):
        raise Unavailable("malformed") from None
