"""A visitor over plain HTTP and in a browser: what the parts about pages share."""

from __future__ import annotations

import http.client
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode, urlsplit

from playwright.sync_api import Browser, sync_playwright

from benchmarks.goals import Skipped
from benchmarks.servers import Shop
from benchmarks.services import Services
from tests.browser import CHROMIUM_ARGUMENTS, chromium_path
from tests.sandbox_process import wait_for

DESKTOP = "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0 Safari/537.36"
CHOICE = "/membership/temporary/"


def cookie(shop: Shop, number: int) -> str:
    """``name=value`` of one of the signed-in members."""
    return shop.cookies.read_text().splitlines()[number]


def order(shop: Shop, cookie: str, channel: str = "wechat") -> str:
    """Place an order at a desk, paid by a QR code; the path of its pay page."""
    csrf = secrets.token_hex(16)
    form = {
        "plan": "temporary-7",
        "quantity": "1",
        "shown_fen": "1500",
        "client_token": secrets.token_urlsafe(18),
        "channel": channel,
        "csrfmiddlewaretoken": csrf,
    }
    headers = {
        "Cookie": f"{cookie}; csrftoken={csrf}",
        "Content-Type": "application/x-www-form-urlencoded",
        "User-Agent": DESKTOP,
    }
    connection = http.client.HTTPConnection(urlsplit(shop.url).netloc, timeout=30)
    connection.request("POST", "/checkout/", urlencode(form), headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    if answer.status != 303:
        raise RuntimeError(f"the order was answered with {answer.status}")
    return str(answer.headers["Location"])


def newest_trade(services: Services, channel: str = "wechat") -> str:
    """The merchant number of the order that was placed last."""
    trades = wait_for(lambda: services.sandbox.trades(channel))
    return str(trades[0]["number"])


def main_pages(services: Services, shop: Shop) -> dict[str, tuple[str, str]]:
    """Path and cookie of home, choice, pay and success, as a first visit meets them."""
    buyer, member = cookie(shop, -1), cookie(shop, -2)
    pay, success = order(shop, buyer), order(shop, member)
    services.sandbox.pay("wechat", newest_trade(services))
    return {
        "home": ("/", ""),
        "choice": (CHOICE, ""),
        "pay": (pay, buyer),
        "success": (success, member),
    }


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browser_path(), args=list(CHROMIUM_ARGUMENTS)
        )
        yield browser
        browser.close()


def browser_path() -> str:
    if (path := chromium_path()) is None:
        raise Skipped("no Chromium: install it, or name it in KAMENG_CHROMIUM")
    return path


def as_browser_cookie(shop: Shop, cookie: str) -> Any:
    name, _, value = cookie.partition("=")
    return {"name": name, "value": value, "url": shop.url}
