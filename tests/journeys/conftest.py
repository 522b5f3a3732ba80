"""A real shop, the sandbox's wallets and a real browser."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, sync_playwright
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from members.demo import fill
from tests.browser import CHROMIUM_ARGUMENTS, find_chromium
from tests.sandbox_process import Sandbox, running_sandbox

PHONE_UA = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0 Mobile Safari/537.36"
)
WECHAT_UA = PHONE_UA + " MicroMessenger/8.0.50"
GUEST = "13800138000"


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture(scope="module")  # two Playwrights cannot run at once
def chromium() -> Iterator[Browser]:
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(
            executable_path=find_chromium(), args=list(CHROMIUM_ARGUMENTS)
        )


@pytest.fixture
def open_shop(
    transactional_db: None,
    live_server: LiveServer,
    settings: Settings,
    sandbox: Sandbox,
) -> str:
    """The demo shop on a port, pointed at the sandbox; returns its address."""
    sandbox.reset()
    for name, value in sandbox.environment.items():
        setattr(settings, name, value)
    settings.PUBLIC_URL = live_server.url
    # Made from the settings at the start, when the sandbox had no address yet.
    allowed = [*settings.SECURE_CSP["form-action"], sandbox.url]
    settings.SECURE_CSP = {**settings.SECURE_CSP, "form-action": allowed}
    fill()
    return str(live_server.url)


@dataclass
class Shopper:
    """A person with a browser; counts what she does on our own pages."""

    page: Page
    shop: str
    taps: int = 0
    typed: int = 0
    screens: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("framenavigated", lambda frame: self._arrive(frame.url))

    def _hear(self, message: object) -> None:
        kind, text = message.type, message.text  # type: ignore[attr-defined]
        if kind in ("error", "warning") and "status of 4" not in text:
            self.complaints.append(f"{kind}: {text}")

    def _arrive(self, url: str) -> None:
        if url.startswith(self.shop):
            path = re.sub(r"[?#].*", "", url.removeprefix(self.shop))
            if not self.screens or self.screens[-1] != path:
                self.screens.append(path)

    def visit(self, path: str) -> None:
        self.page.goto(self.shop + path)

    def tap(self, what: str | Locator) -> None:
        target = (
            self.page.get_by_role("button", name=what)
            if isinstance(what, str)
            else what
        )
        self.taps += 1
        target.click()

    def type(self, label: str, text: str) -> None:
        """Type by hand into a field that has the focus or is tapped first."""
        self.typed += len(text)
        self.page.get_by_label(label).press_sequentially(text)


@pytest.fixture
def shopper(chromium: Browser, open_shop: str) -> Iterator[Callable[..., Shopper]]:
    """Makes shoppers: ``shopper(phone=True, script=False)``."""
    contexts: list[BrowserContext] = []
    made: list[Shopper] = []

    def make(
        *, phone: bool = True, script: bool = True, user_agent: str | None = None
    ) -> Shopper:
        context = chromium.new_context(
            viewport={"width": 390, "height": 844}
            if phone
            else {"width": 1280, "height": 800},
            user_agent=user_agent or (PHONE_UA if phone else None),
            locale="zh-CN",
            timezone_id="Asia/Shanghai",
            java_script_enabled=script,
            has_touch=phone,
        )
        context.set_default_timeout(30_000)
        contexts.append(context)
        made.append(Shopper(context.new_page(), open_shop))
        return made[-1]

    yield make
    for context in contexts:
        context.close()
    for one in made:
        assert one.complaints == [], one.complaints


@pytest.fixture
def shots() -> Callable[[Page, str], None]:
    """Keeps pictures where KAMENG_SHOTS names a folder."""
    folder = os.environ.get("KAMENG_SHOTS")

    def keep(page: Page, name: str) -> None:
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=f"{folder}/{name}.png", full_page=True)

    return keep
