from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from django.utils import translation

from notifications import texts

END = "2026-11-29T06:05:00+00:00"


def sms(kind: str, now: datetime, **params: str | int) -> str:
    return texts.sms(kind, texts.sms_words(params, now=now))


@pytest.fixture(autouse=True)
def _public_url(settings: Any):
    settings.PUBLIC_URL = "https://kameng.example"
    settings.SMS_WEBOTP_DOMAIN = ""


@pytest.mark.parametrize(
    ("kind", "params", "text"),
    [
        (
            "code",
            {"code": "824613", "minutes": 5},
            "【卡盟】824613 是你的验证码，5 分钟内有效，别告诉别人。",
        ),
        (
            "activated",
            {"end": END, "link": "abc"},
            "【卡盟】会员已开通，到 11 月 29 日 14:05。查看：https://kameng.example/s/abc/",
        ),
        (
            "expiring",
            {"end": END, "link": "abc"},
            "【卡盟】会员 11 月 29 日 14:05 到期。续费：https://kameng.example/s/abc/",
        ),
        (
            "renewal",
            {"end": END, "price": 1500, "link": "abc"},
            "【卡盟】11 月 29 日 14:05 将自动续费 ¥15.00。关闭：https://kameng.example/s/abc/",
        ),
        ("refund", {"price": 1500}, "【卡盟】¥15.00 正在退回。"),
    ],
)
def test_the_sms_says_what_the_copy_deck_says(
    now: datetime, kind: str, params: dict[str, str | int], text: str
):
    assert sms(kind, now, **params) == text


def test_the_activation_sms_carries_the_benefits(now: datetime):
    text = sms("activated", now, end=END, link="abc", benefits="商品 95 折、优先发货")
    assert text.endswith("/s/abc/ 权益：商品 95 折、优先发货")


@pytest.mark.parametrize(
    ("purpose", "words"),
    [
        ("login", "登录"),
        ("checkout", "下单"),
        ("lookup", "查订单"),
        ("confirm", "确认"),
    ],
)
def test_the_code_sms_names_its_purpose(now: datetime, purpose: str, words: str):
    """security 8: who is phished for a code sees what it would have been good for."""
    assert f"用于{words}" in sms("code", now, code="824613", minutes=5, purpose=purpose)


def test_the_code_stands_in_the_first_twenty_characters(now: datetime, settings: Any):
    settings.SMS_WEBOTP_DOMAIN = "kameng.example"
    text = sms("code", now, code="824613", minutes=5, purpose="confirm")
    assert "824613" in text[:20]
    assert text.splitlines()[-1] == "@kameng.example #824613"
    assert len(text) <= 140


def test_an_sms_is_chinese_whatever_language_is_active(now: datetime):
    with translation.override("en"):
        assert sms("expiring", now, end=END) == "【卡盟】会员 11 月 29 日 14:05 到期。"


@pytest.mark.parametrize(
    ("kind", "params", "title"),
    [
        (
            "activated",
            {"plan": "临时会员", "end": END},
            "恭喜您成为临时会员，专属折扣已开启",
        ),
        ("refund", {"price": 1500}, "¥15.00 正在原路退回"),
        (
            "refund",
            {"price": 1500, "reason": "surplus"},
            "这单付了两次，多付的 ¥15.00 正在退回",
        ),
        ("renewal", {"price": 1500, "end": END}, "11 月 29 日 14:05 将自动续费 ¥15.00"),
    ],
)
def test_the_site_says_what_the_copy_deck_says(
    now: datetime, kind: str, params: dict[str, str | int], title: str
):
    assert texts.site(kind, params, now=now)[0] == title


def test_the_expiry_notice_counts_the_days_when_it_is_read():
    params: dict[str, str | int] = {"end": END}
    title, _ = texts.site(
        "expiring", params, now=datetime.fromisoformat("2026-11-26T06:04:00+00:00")
    )
    assert title == "会员 11 月 29 日 14:05 到期，还有 3 天"
    title, _ = texts.site(
        "expiring", params, now=datetime.fromisoformat("2026-11-29T06:00:00+00:00")
    )
    assert title == "会员 11 月 29 日 14:05 到期"


@pytest.mark.parametrize("unknown", ["code", "birthday"])
def test_an_unknown_kind_has_no_site_text(now: datetime, unknown: str):
    with pytest.raises(ValueError, match=unknown):
        texts.site(unknown, {}, now=now)
