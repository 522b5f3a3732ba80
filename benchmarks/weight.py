"""What a first visit costs over the wire, counted by a real browser with nothing kept."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser

from benchmarks import visits
from benchmarks.goals import Figure
from benchmarks.servers import Shop
from benchmarks.services import Services

KILOBYTE = 1000
BUDGETS = {"HTML": 12, "CSS": 12, "htmx": 17, "own script": 6}
"""Of the bodies; the total counts the headers too."""
TOTAL, REQUESTS = 60, 6
ICON = "favicon"
"""A browser without a window does not ask for the icon; it is asked for by hand."""


def measure(services: Services, shop: Shop) -> list[Figure]:
    pages = visits.main_pages(services, shop)
    figures: list[Figure] = []
    with visits.chromium() as browser:
        for name, (path, cookie) in pages.items():
            figures += _first_visit(browser, shop, name, path, cookie)
    return figures


def _first_visit(
    browser: Browser, shop: Shop, name: str, path: str, cookie: str
) -> list[Figure]:
    context = browser.new_context(
        locale="zh-CN", viewport={"width": 390, "height": 844}
    )
    if cookie:
        context.add_cookies([visits.as_browser_cookie(shop, cookie)])
    page = context.new_page()
    urls: dict[str, str] = {}
    headers: dict[str, float] = {}
    answers: dict[str, float] = {}

    def sent(event: Any) -> None:
        urls[event["requestId"]] = event["request"]["url"]

    def began(event: Any) -> None:
        headers[event["requestId"]] = event["response"]["encodedDataLength"]

    def finished(event: Any) -> None:
        answers[event["requestId"]] = event["encodedDataLength"]

    session = context.new_cdp_session(page)
    session.on("Network.requestWillBeSent", sent)
    session.on("Network.responseReceived", began)
    session.on("Network.loadingFinished", finished)
    session.send("Network.enable")
    page.goto(shop.url + path, wait_until="networkidle")
    if not any(ICON in url for url in urls.values()):
        page.evaluate("fetch(document.querySelector('link[rel=icon]').href)")
        page.wait_for_load_state("networkidle")
    # The pay page asks the server again and again; that is no part of the visit.
    visit = {
        number: _kind(url, path)
        for number, url in urls.items()
        if not url.startswith("data:") and not urlsplit(url).path.endswith("/status/")
    }
    bodies: Counter[str] = Counter()
    for number, kind in visit.items():
        bodies[kind] += round(answers[number] - headers[number])
    context.close()
    total = sum(answers[number] for number in visit) / KILOBYTE
    return [
        Figure(f"{name}: first visit", total, "kB", at_most=TOTAL),
        Figure(f"{name}: requests", len(visit), at_most=REQUESTS),
        *(
            Figure(f"{name}: {kind}", bodies[kind] / KILOBYTE, "kB", at_most=budget)
            for kind, budget in BUDGETS.items()
        ),
    ]


def _kind(url: str, path: str) -> str:
    asked = urlsplit(url).path
    if asked == path:
        return "HTML"
    if asked.endswith(".css"):
        return "CSS"
    if asked.endswith(".js"):
        return "htmx" if "htmx" in asked else "own script"
    return "other"
