"""The console in a real browser: nothing in its console (the policy forbids what Django's
admin would need), nothing for axe but target sizes, no sideways scrolling of the page."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from goods import importing
from goods.models import KeyBatch
from members.models import Member, Plan, Tier
from payments.models import Attempt
from tests.browser import CHROMIUM_ARGUMENTS, find_chromium
from tests.console.conftest import PASSWORD, PHONE
from tests.goods.shelves import make_goods

pytestmark = pytest.mark.browser

RULES = {
    "runOnly": [
        "wcag2a",
        "wcag2aa",
        "wcag21a",
        "wcag21aa",
        "wcag22aa",
        "best-practice",
    ],
    "rules": {"target-size": {"enabled": False}},
    "resultTypes": ["violations"],
    "preload": False,  # it would put a style into the preview's shadow tree itself
}
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
PATIENCE = 30_000
"""Milliseconds; the page asks each second, a busy machine answers when it can."""
SIZES = ((390, 844), (1280, 800))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = find_chromium()
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=list(CHROMIUM_ARGUMENTS)
        )
        yield browser
        browser.close()
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@dataclass
class Desk:
    """A member of the staff at a browser."""

    page: Page
    address: str

    def open(self, path: str) -> None:
        self.page.goto(f"{self.address}/console/{path}")

    def log_in(self, name: str) -> None:
        self.open("")
        self.page.get_by_label("员工账号").fill(name)
        self.page.get_by_label("密码").fill(PASSWORD)
        self.page.get_by_role("button", name="登录").click()

    def findings(self) -> list[str]:
        found = Axe().run(self.page, options=RULES).response["violations"]
        return [
            f"{each['id']}: {node['target']} {node['failureSummary']}"
            for each in found
            for node in each["nodes"]
        ]


@pytest.fixture
def desk(
    transactional_db: None, live_server: LiveServer, browser: Browser
) -> Iterator[Desk]:
    page = browser.new_page(
        viewport={"width": 1280, "height": 800},
        locale="zh-CN",
        color_scheme="light",
        reduced_motion="reduce",
    )
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    yield Desk(page, str(live_server.url))
    page.close()
    assert said == []


def test_every_kind_of_page_is_clean(
    desk: Desk, operator: Member, buy: Callable[..., Attempt]
) -> None:
    attempt = buy(txn_id="4200001234202611220001", paid_fen=1400)
    settled = buy("temporary-30", txn_id="4200001234202611220002")
    desk.open("")
    assert desk.findings() == []
    desk.log_in("yunying")
    for path in (
        "",
        "orders/order/",
        f"orders/order/{settled.order_id}/change/",
        f"orders/order/{settled.order_id}/refund/",
        f"members/member/{settled.order.member_id}/change/",
        "members/plan/",
        f"members/plan/{Plan.objects.get(slug='temporary-7').pk}/change/",
        f"members/tier/{Tier.objects.get(code='temporary').pk}/change/",
        "members/plan/add/",
        "members/shoprules/",
        "payments/attempt/?case=open",
        f"payments/attempt/{attempt.pk}/change/",
        "admin/logentry/",
    ):
        desk.open(path)
        for width, height in SIZES:
            desk.page.set_viewport_size({"width": width, "height": height})
            assert desk.page.evaluate(OVERFLOW) <= 0, f"{path} {width} px wide"
            for scheme in ("light", "dark"):
                desk.page.emulate_media(color_scheme=scheme)
                assert desk.findings() == [], f"{path} {width} {scheme}"


def test_the_preview_follows_the_typing(
    desk: Desk, operator: Member, shop: None
) -> None:
    desk.log_in("yunying")
    week = Plan.objects.get(slug="temporary-7")
    desk.open(f"members/plan/{week.pk}/change/")
    stub = desk.page.locator(".preview__shop .stub")
    expect(stub).to_contain_text("每天约 ¥2.14")
    expect(stub).to_contain_text("比按天买省 ¥6")
    desk.page.get_by_label("价格（元）", exact=False).first.fill("14")
    expect(stub).to_contain_text("每天 ¥2")
    expect(stub).to_contain_text("比按天买省 ¥7")
    desk.page.get_by_label("价格（元）", exact=False).first.fill("30")
    expect(desk.page.locator(".preview__words")).to_contain_text(
        "时间越长，每天应该越便宜"
    )
    week.refresh_from_db()
    assert week.price_fen == 1500


def test_support_finds_an_order_from_a_phone_in_three_clicks(
    desk: Desk, support: Member, buy: Callable[..., Attempt]
) -> None:
    attempt = buy(txn_id="4200001234202611220001")
    desk.log_in("kefu")
    desk.page.get_by_label("查订单").fill("138 0013 8000")
    desk.page.get_by_role("button", name="查", exact=True).click()
    expect(desk.page).to_have_url(
        f"{desk.address}/console/orders/order/{attempt.order_id}/change/"
    )
    expect(desk.page.locator(".story")).to_contain_text("会员开通")
    assert PHONE[3:] not in desk.page.content()


def test_the_bar_of_an_import_moves_by_itself(
    desk: Desk, operator: Member, shop: None, asleep: None
) -> None:
    """I10: nobody reloads; the worker's pieces show, and then the way to undo."""
    goods = make_goods("card")
    desk.log_in("yunying")
    desk.open(f"goods/goods/{goods.pk}/import/")
    keys = "\n".join(f"BAR-{n:05}" for n in range(1_200))
    desk.page.get_by_label("粘贴卡密，一行一张").fill(keys)
    desk.page.get_by_role("button", name="检查").click()
    assert desk.findings() == []
    desk.page.get_by_role("button", name="导入 1200 张").click()
    bar = desk.page.get_by_role("progressbar")
    expect(bar).to_have_attribute("value", "0")
    batch = KeyBatch.objects.get(state="running")
    for piece in importing.pieces(batch.pk, now=timezone.now()):
        if piece.state == "running":
            at = str(piece.position)
            expect(bar).to_have_attribute("value", at, timeout=PATIENCE)
    undo = desk.page.get_by_role("button", name="撤销：拿出 1200 张未售的")
    expect(undo).to_be_visible(timeout=PATIENCE)
