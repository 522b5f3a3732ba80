"""From a notice that the shop has accepted to the success on the shopper's screen.

The shopper waits on the pay page of a real browser; neither worker nor beat runs, so
nothing but the notice and the page's own questions can bring the news.
"""

from __future__ import annotations

import random
import statistics
import time

from playwright.sync_api import Browser

from benchmarks import visits
from benchmarks.goals import Figure
from benchmarks.servers import Shop
from benchmarks.services import Services

ROUNDS = 20
QUESTION_GAP = 1.5
"""Notices come at any moment between two questions of the page, in seconds."""
CHANNELS = ("wechat", "alipay")


def measure(services: Services, shop: Shop) -> list[Figure]:
    moments = random.Random(7)  # the same in every run
    with visits.chromium() as browser:
        _round(services, shop, browser, 0, pause=0)  # warm
        seconds = sorted(
            _round(
                services, shop, browser, number, pause=moments.uniform(0, QUESTION_GAP)
            )
            for number in range(1, ROUNDS + 1)
        )
    p95 = seconds[int(len(seconds) * 0.95) - 1]
    return [
        Figure(
            "notice accepted → success on the screen: p95",
            p95,
            "s",
            at_most=2,
            wall_clock=True,
        ),
        Figure(
            "notice accepted → success on the screen: median",
            statistics.median(seconds),
            "s",
        ),
    ]


def _round(
    services: Services, shop: Shop, browser: Browser, number: int, *, pause: float
) -> float:
    """One purchase; the seconds between the two."""
    cookie = visits.cookie(shop, -10 - number)
    channel = CHANNELS[number % 2]
    path = visits.order(shop, cookie, channel)
    trade = visits.newest_trade(services, channel)
    context = browser.new_context(locale="zh-CN")
    context.add_cookies([visits.as_browser_cookie(shop, cookie)])
    page = context.new_page()
    page.goto(shop.url + path)
    page.wait_for_selector('#main[data-state="ready"]')
    page.wait_for_timeout(500 + pause * 1000)
    services.sandbox.pay(channel, trade, notify="lose")
    delivered = services.sandbox.notify(channel, trade)
    accepted_at = time.monotonic()
    if delivered[0]["status"] not in (200, 204):
        raise RuntimeError(f"a notice was answered with {delivered[0]}")
    page.wait_for_selector('#main[data-state="paid"]', timeout=20_000)
    seconds = time.monotonic() - accepted_at
    context.close()
    return seconds
