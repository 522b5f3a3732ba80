"""Requests a second, ours against the baseline, in alternating rounds of one run.

What else the machine does meanwhile hits both alike, so the ratio of each round is
worth more than any rate. ``wrk`` makes the load.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import machine
from benchmarks.goals import Figure, Skipped
from benchmarks.servers import Server, Shop
from benchmarks.services import Services

LUA = Path(__file__).resolve().parent / "lua"
CONNECTIONS = 4
WARM_SECONDS = 2
ALONE = 40
PHONE = "Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/140.0 Mobile Safari/537.36"
DESKTOP = "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0 Safari/537.36"


@dataclass(frozen=True, slots=True)
class Page:
    """A page to GET; ``expect`` stands in a good answer."""

    path: str
    expect: str
    signed_in: bool = True


@dataclass(frozen=True, slots=True)
class Form:
    """A form to POST; ``{n}`` in its body never repeats."""

    path: str
    body: str
    status: int
    agent: str = PHONE


@dataclass(frozen=True, slots=True)
class Scenario:
    """``ratio`` is the goal: our rate over the baseline's, at least."""

    name: str
    ours: Page | Form
    base: Page | Form
    ratio: float | None = None
    statements: float | None = None
    first_cookies: int | None = None


def _order(channel: str, agent: str) -> Form:
    body = "plan=temporary-7&quantity=1&shown_fen=1500&client_token=bench{n}&channel="
    return Form("/checkout/", body + channel, 303, agent)


BASE_MEMBER_PAGE = Page("/page/", "最近订单")
BASE_ORDER = Form("/order/", "phone=13800138000&plan=2", 302)
CHOICE = Page("/membership/temporary/", "并入，新到期")
SCENARIOS = (
    Scenario("choice page", CHOICE, BASE_MEMBER_PAGE, 0.8, 4),
    Scenario("choice page, long history", CHOICE, BASE_MEMBER_PAGE, 0.8, 4, 4),
    Scenario(
        "landing",
        Page("/", "按天买会员", signed_in=False),
        Page("/const/", "ok", signed_in=False),
        0.6,
        0,
    ),
    Scenario(
        "place order, Alipay on a phone", _order("alipay", PHONE), BASE_ORDER, 0.45
    ),
    Scenario("place order, WeChat QR", _order("wechat", DESKTOP), BASE_ORDER),
)


@dataclass(frozen=True, slots=True)
class Run:
    rate: float
    cpu_ms: float
    p50_ms: float
    p99_ms: float
    bad: int


def measure(
    services: Services,
    ours: Shop,
    base: Server,
    *,
    rounds: int,
    seconds: int,
    only: str = "",
) -> list[Figure]:
    if not shutil.which("wrk"):
        raise Skipped("wrk is missing. Type: sudo apt-get install -y wrk")
    figures = [
        Figure("place_order: statements", ours.facts["place_order"], at_most=8),
        Figure("apply_result: statements", ours.facts["apply_result"], at_most=18),
    ]
    for scenario in SCENARIOS:
        if only in scenario.name:
            figures += _compare(scenario, services, ours, base, rounds, seconds)
    return figures


def _compare(
    scenario: Scenario,
    services: Services,
    ours: Shop,
    base: Server,
    rounds: int,
    seconds: int,
) -> list[Figure]:
    cookies = _first(ours.cookies, scenario.first_cookies)
    sides = ((ours, scenario.ours, cookies), (base, scenario.base, base.cookies))
    for side in sides:
        _load(*side, seconds=WARM_SECONDS)
    runs: dict[str, list[Run]] = {server.name: [] for server, *_ in sides}
    for number in range(rounds):
        for side in sides if number % 2 == 0 else sides[::-1]:
            runs[side[0].name].append(_load(*side, seconds=seconds))
    mine, theirs = runs[ours.name], runs[base.name]
    name = scenario.name
    ratios = [a.rate / b.rate for a, b in zip(mine, theirs, strict=True)]
    figures = [
        Figure(
            f"{name}: rate ÷ baseline",
            statistics.median(ratios),
            at_least=scenario.ratio,
        ),
        Figure(f"{name}: rate", _median(mine, "rate"), "/s"),
        Figure(f"{name}: baseline's rate", _median(theirs, "rate"), "/s"),
        Figure(f"{name}: CPU", _median(mine, "cpu_ms"), "ms"),
        Figure(f"{name}: baseline's CPU", _median(theirs, "cpu_ms"), "ms"),
        Figure(
            f"{name}: p99 of {CONNECTIONS} at a time", _median(mine, "p99_ms"), "ms"
        ),
        Figure(f"{name}: bad answers", sum(r.bad for r in mine + theirs), at_most=0),
    ]
    if scenario.statements is not None:
        count = _statements(services, ours, scenario.ours, cookies)
        figures.append(
            Figure(f"{name}: statements", count, at_most=scenario.statements)
        )
    return figures


def _median(runs: list[Run], name: str) -> float:
    return statistics.median(getattr(run, name) for run in runs)


def _first(cookies: Path, count: int | None) -> Path:
    """The file with its first lines only, which belong to members with a long past."""
    if count is None:
        return cookies
    short = cookies.with_name(f"first-{count}-{cookies.name}")
    short.write_text("".join(cookies.read_text().splitlines(keepends=True)[:count]))
    return short


def _load(server: Server, what: Page | Form, cookies: Path, *, seconds: int) -> Run:
    environ = {"PATH": os.environ["PATH"], "RESULT_LUA": str(LUA / "result.lua")}
    if isinstance(what, Form) or what.signed_in:
        environ["COOKIES"] = str(cookies)
    if isinstance(what, Form):
        script = "form.lua"
        environ |= {
            "BODY": what.body,
            "STATUS": str(what.status),
            "AGENT": what.agent,
            "RUN": f"{time.monotonic_ns():016x}",
        }
    else:
        script = "page.lua"
        environ["EXPECT"] = what.expect
    before = machine.cpu_seconds(server.pid)
    done = subprocess.run(
        [
            *("wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "20s"),
            *("-s", str(LUA / script), server.url + what.path),
        ],
        env=environ,
        check=True,
        capture_output=True,
        text=True,
    )
    used = machine.cpu_seconds(server.pid) - before
    found = re.search(r"^RESULT (.*)$", done.stdout, re.MULTILINE)
    if found is None:
        raise RuntimeError(done.stdout + done.stderr)
    result = json.loads(found[1])
    requests = max(1, result["requests"])
    return Run(
        rate=result["requests"] / result["seconds"],
        cpu_ms=used * 1000 / requests,
        p50_ms=result["p50_ms"],
        p99_ms=result["p99_ms"],
        bad=result["bad"],
    )


def _statements(
    services: Services, server: Server, what: Page | Form, cookies: Path
) -> float:
    """SQL statements of one request, from the database's own count over some."""
    assert isinstance(what, Page)
    lines = cookies.read_text().splitlines() if what.signed_in else [""]
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=20)
    before = services.statements(server.name)
    for number in range(ALONE):
        headers = {"Cookie": lines[number % len(lines)]} if lines[0] else {}
        connection.request("GET", what.path, headers=headers)
        connection.getresponse().read()
    connection.close()
    return (services.statements(server.name) - before) / ALONE
