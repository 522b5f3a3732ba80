"""Lighthouse, mobile, on the four pages of a purchase. Brought by npm, once."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from playwright.sync_api import sync_playwright

from benchmarks import visits
from benchmarks.goals import Figure, Skipped
from benchmarks.servers import ROOT, Shop, free_port
from benchmarks.services import Services
from tests.browser import CHROMIUM_ARGUMENTS

VERSION = "12.8.2"
KEPT = ROOT / "var" / "lighthouse"
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
RUNS = 3
"""The median counts: a busy machine makes a page slow once, not three times."""


def measure(services: Services, shop: Shop) -> list[Figure]:
    program = _program()
    figures: list[Figure] = []
    for name, (path, cookie) in visits.main_pages(services, shop).items():
        runs = [_scores(program, shop, path, cookie) for _ in range(RUNS)]
        figures += [
            Figure(
                f"{name}: {category}",
                statistics.median(run[category] for run in runs),
                at_least=98,
                wall_clock=category == "performance",
            )
            for category in CATEGORIES
        ]
    return figures


def _program() -> list[str]:
    """How to call Lighthouse, installed where it is missing."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise Skipped("npm is missing. Type: sudo apt-get install -y npm")
    entry = KEPT / "node_modules" / "lighthouse" / "cli" / "index.js"
    if not entry.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        install = [npm, "install", "--no-fund", "--no-audit", "--no-save", "--silent"]
        done = subprocess.run([*install, f"lighthouse@{VERSION}"], cwd=KEPT)
        if done.returncode:
            raise Skipped("npm could not bring Lighthouse")
    return [node, str(entry)]


def _scores(program: list[str], shop: Shop, path: str, cookie: str) -> dict[str, float]:
    """One visit by a browser that keeps nothing but this cookie."""
    url = shop.url + path
    with _browser(shop, cookie) as port:
        done = subprocess.run(
            [
                *(*program, url, "--quiet", "--output=json", f"--port={port}"),
                f"--only-categories={','.join(CATEGORIES)}",
            ],
            cwd=KEPT,
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise RuntimeError(done.stderr)
    report = json.loads(done.stdout)
    if "runtimeError" in report:
        raise RuntimeError(report["runtimeError"]["message"])
    _complain(report, url)
    return {
        name: round(100 * (report["categories"][name]["score"] or 0))
        for name in CATEGORIES
    }


@contextmanager
def _browser(shop: Shop, cookie: str) -> Iterator[int]:
    """The port by which Lighthouse drives a fresh Chromium."""
    port = free_port()
    with sync_playwright() as playwright, TemporaryDirectory() as profile:
        context = playwright.chromium.launch_persistent_context(
            profile,
            executable_path=visits.browser_path(),
            args=[*CHROMIUM_ARGUMENTS, f"--remote-debugging-port={port}"],
            locale="zh-CN",
        )
        if cookie:
            context.add_cookies([visits.as_browser_cookie(shop, cookie)])
        yield port
        context.close()


def _complain(report: dict[str, Any], url: str) -> None:
    """Say which audit costs points outside the timings."""
    for name in CATEGORIES[1:]:
        for part in report["categories"][name]["auditRefs"]:
            audit = report["audits"][part["id"]]
            if part["weight"] and audit["score"] not in (None, 1):
                shown = json.dumps(audit.get("details", {}).get("items"))
                print(f"{url}: {name}: {audit['title']}: {shown}", flush=True)
