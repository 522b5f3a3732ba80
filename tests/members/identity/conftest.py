from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import Settings

from members.identity import wire
from tests.members.identity.far_side import FarSide

WECHAT_UA = "Mozilla/5.0 (iPhone) Mobile/15E148 MicroMessenger/8.0.50"
PHONE_UA = "Mozilla/5.0 (Linux; Android 14) Chrome/140.0 Mobile Safari/537.36"
DESKTOP_UA = "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0 Safari/537.36"


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> FarSide:
    """WeChat and QQ, at the network's edge: everything up to the HTTP call is real."""
    settings.PUBLIC_URL = "https://shop.test"
    settings.WECHAT_LOGIN_APP_ID, settings.WECHAT_LOGIN_SECRET = "wx-web", "web-secret"
    settings.WECHAT_MP_APP_ID, settings.WECHAT_MP_SECRET = "wx-mp", "mp-secret"
    settings.QQ_LOGIN_APP_ID, settings.QQ_LOGIN_SECRET = "10101101", "qq-secret"
    side = FarSide()
    monkeypatch.setattr(wire, "get", side.get)
    return side


@pytest.fixture
def desktop() -> Client:
    return Client(headers={"User-Agent": DESKTOP_UA})


@pytest.fixture
def in_wechat() -> Client:
    return Client(headers={"User-Agent": WECHAT_UA})


@pytest.fixture
def phone() -> Client:
    return Client(headers={"User-Agent": PHONE_UA})
