"""The recorded answers of WeChat and QQ, read as the clients read them."""

from __future__ import annotations

from typing import Any

import pytest

from members.identity import qq, wechat
from members.identity.contract import Refused
from tests.payments.protocol_vectors import load

VECTORS = load("oauth")

pytestmark = [
    pytest.mark.vectors,
    pytest.mark.skipif(
        "weixin" not in VECTORS, reason="this set of vectors has no oauth.json"
    ),
]


def cases(provider: str) -> list[Any]:
    return [
        pytest.param(case, id=f"oauth-{provider}-{case['id']}")
        for case in VECTORS.get(provider, [])
    ]


def read_wechat(case: dict[str, Any]) -> dict[str, Any]:
    body = case["body"].encode()
    if case["step"] == "token":
        token = wechat.read_token(body)
        return {"openid": token.openid, "unionid": token.unionid or None}
    whose = wechat.Token("ATP", openid_of_the_set(), "")
    nickname, unionid = wechat.read_user(body, whose)
    return {"nickname": nickname, "unionid": unionid or None}


def openid_of_the_set() -> str:
    """The person of the token answers; the answers about a user must be about her."""
    found = (
        each["expect"]["openid"]
        for each in VECTORS["weixin"]
        if each["step"] == "token" and "openid" in each["expect"]
    )
    return str(next(found))


def read_qq(case: dict[str, Any]) -> dict[str, Any]:
    body = case["body"].encode()
    match case["step"]:
        case "token":
            return {"access_token": qq.read_token(body)}
        case "me":
            openid, unionid = qq.read_me(body, VECTORS["config"]["qq_client_id"])
            return {"openid": openid, "unionid": unionid or None}
    return {"nickname": qq.read_user(body)}


@pytest.mark.parametrize("case", cases("weixin"))
def test_an_answer_of_wechat(case: dict[str, Any]) -> None:
    judge(case, read_wechat)


@pytest.mark.parametrize("case", cases("qq"))
def test_an_answer_of_qq(case: dict[str, Any]) -> None:
    judge(case, read_qq)


def judge(case: dict[str, Any], read: Any) -> None:
    expected = case["expect"]
    if "error" in expected:
        with pytest.raises(Refused) as refusal:
            read(case)
        assert refusal.value.code == expected["error"]
    elif expected.get("reject"):
        with pytest.raises(Refused) as refusal:
            read(case)
        assert refusal.value.code in ("somebody-else", "other-application")
    else:
        found = read(case)
        assert {name: found[name] for name in expected} == expected
