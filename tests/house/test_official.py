"""``/official/``: whether the address is ours, by the host that the browser asked for."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import Settings

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def public(settings: Settings) -> None:
    settings.PUBLIC_HOST = "shop.example"
    settings.ALLOWED_HOSTS = ["shop.example", "192.168.1.5"]


@pytest.mark.parametrize("host", ["shop.example", "shop.example:8443", "SHOP.example"])
def test_our_own_address_is_confirmed(host: str):
    """S31"""
    page = Client().get("/official/", HTTP_HOST=host).text
    assert "你正在访问官方网站" in page
    assert "不一样就不要输入" not in page


def test_another_address_is_named_and_warned_of():
    """S31"""
    page = Client().get("/official/", HTTP_HOST="192.168.1.5").text
    assert "地址栏里是 192.168.1.5，官方网址是 shop.example" in page
    assert "你正在访问官方网站" not in page
