"""Finding a Chromium for the browser tests."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

expect.set_options(timeout=20_000)  # a busy machine is slow, and not wrong

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MACOS_APPLICATIONS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
CHROMIUM_ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium_path() -> str | None:
    """Where a browser is, on this machine."""
    for name in (os.environ.get("KAMENG_CHROMIUM", ""), *NAMES):
        if name and (found := shutil.which(name)):
            return found
    for application in MACOS_APPLICATIONS:
        if Path(application).exists():
            return application
    return None


def find_chromium() -> str:
    """The path of a browser; the test is skipped without one, in CI it fails."""
    if (found := chromium_path()) is not None:
        return found
    reason = "No Chromium on this machine: install it, or name it in KAMENG_CHROMIUM."
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
