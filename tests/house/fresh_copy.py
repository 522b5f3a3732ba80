"""``bin/run`` as a newcomer meets it: a fresh copy, an empty home, nothing prepared.

Takes a minute and the network, so it runs only where it is named: ``bin/ci`` does.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from kameng.settings import BASE_DIR
from tests.browser import CHROMIUM_ARGUMENTS, find_chromium
from tests.sandbox_process import wait_for

READY_SECONDS = 300
STOP_SECONDS = 10
PHONE_BROWSER = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0 Mobile Safari/537.36"
)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a clone would hold, with the changes that are not committed yet."""
    folder = tmp_path_factory.mktemp("fresh")
    listed = subprocess.check_output(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=BASE_DIR,
        text=True,
    )
    for name in filter(None, listed.split("\0")):
        source = BASE_DIR / name
        if source.is_file():
            target = folder / "copy" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return folder / "copy"


@pytest.fixture(scope="module")
def running(copy: Path) -> Iterator[subprocess.Popen[bytes]]:
    home = copy.parent / "home"
    home.mkdir()
    with (copy.parent / "output").open("wb") as output:
        process = subprocess.Popen(
            ["bin/run"],
            cwd=copy,
            env={"HOME": str(home), "PATH": os.environ["PATH"]},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    yield process
    if process.poll() is None:
        process.terminate()
        process.wait(timeout=30)


@dataclass(frozen=True)
class Addresses:
    """What ``bin/run`` has printed."""

    shop: str
    inbox: str


@pytest.fixture(scope="module")
def addresses(running: subprocess.Popen[bytes], copy: Path) -> Addresses:
    output = copy.parent / "output"
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end and running.poll() is None:
        said = output.read_text()
        if "Ctrl-C stops" in said:
            shop = re.search(r"ready at (\S+)", said)
            inbox = re.search(r"SMS inbox +(\S+)", said)
            assert shop is not None
            assert inbox is not None
            return Addresses(shop[1], inbox[1])
        time.sleep(0.2)
    raise AssertionError(output.read_text())


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = find_chromium()
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(
            executable_path=executable, args=list(CHROMIUM_ARGUMENTS)
        )


def processes_in(folder: Path) -> list[str]:
    """Command lines of the processes that work in a folder (Linux)."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").resolve().is_relative_to(folder):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def status_of(url: str) -> int:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - our own
        return int(answer.status)


def inbox_text(context: BrowserContext, addresses: Addresses, phone: str) -> str:
    """What the sandbox's inbox shows for one phone."""
    page = context.new_page()
    page.goto(f"{addresses.inbox}?to={phone}")
    text = page.locator("main").inner_text()
    page.close()
    return text


def test_a_fresh_copy_serves_the_shop(addresses: Addresses, copy: Path) -> None:
    assert status_of(f"{addresses.shop}/healthz") == 200
    assert status_of(f"{addresses.shop}/") == 200
    assert status_of(f"{addresses.shop}/membership/temporary/") == 200


@pytest.mark.browser
@pytest.mark.parametrize(
    ("channel", "phone"), [("支付宝", "13800138000"), ("微信支付", "13900139000")]
)
def test_a_guest_becomes_a_member_of_the_running_shop(
    channel: str, phone: str, addresses: Addresses, browser: Browser
) -> None:
    """The product's sentence, with every program that ``bin/run`` starts: popup, badge,
    end date, and the SMS that the worker sends."""
    context = browser.new_context(
        viewport={"width": 390, "height": 844},
        user_agent=PHONE_BROWSER,
        locale="zh-CN",
        timezone_id="Asia/Shanghai",
    )
    context.set_default_timeout(30_000)
    page = context.new_page()
    page.goto(f"{addresses.shop}/membership/temporary/")
    page.get_by_role("radio", name=re.compile(channel)).check()
    page.get_by_label("中国大陆手机号").fill(phone)
    page.get_by_role("button", name="获取验证码").click()
    code = page.get_by_label("短信验证码")
    expect(code).to_be_visible()
    sent = re.search(r"\b(\d{6}) 是你的验证码", inbox_text(context, addresses, phone))
    assert sent is not None
    code.fill(sent[1])
    page.get_by_role("button", name="同意并支付 ¥15.00").last.click()
    page.get_by_role("button", name=re.compile("确认付款")).click()
    page.get_by_role("link", name=re.compile("返回商家")).click()

    welcome = page.get_by_role("dialog")
    expect(welcome).to_contain_text("恭喜您成为临时会员，专属折扣已开启")
    welcome.get_by_role("button", name="知道了").click()
    expect(page.get_by_role("heading", name="会员已开通")).to_be_visible()
    end = datetime.now(ZoneInfo("Asia/Shanghai")) + timedelta(days=7)
    day = f"{end.month} 月 {end.day} 日"
    expect(page.locator(".ticket")).to_contain_text(day)
    expect(page.locator("#badge")).to_contain_text("临时会员 · 剩 6 天")
    wait_for(
        lambda: f"会员已开通，到 {day}" in inbox_text(context, addresses, phone),
        seconds=60,
        every=1,
    )
    context.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ctrl_c_leaves_nothing_running(
    running: subprocess.Popen[bytes], addresses: Addresses, copy: Path
) -> None:
    assert len(processes_in(copy)) >= 5
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=STOP_SECONDS) == 0, (copy.parent / "output").read_text()
    assert processes_in(copy) == []
