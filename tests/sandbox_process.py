"""The sandbox as a child process, for any test that needs the outside world.

with running_sandbox(directory) as sandbox:
    settings.ALIPAY_APP_ID = sandbox.environment["ALIPAY_APP_ID"]
    sandbox.pay("alipay", number, notify="lose")
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parent.parent


class ControlRefused(Exception):
    """``/_control/`` said no: ``status`` and its words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"{status}: {words}")
        self.status = status


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox. ``environment`` points a shop at it."""

    url: str
    environment: dict[str, str]
    process: subprocess.Popen[str]
    client: httpx.Client

    def control(self, path: str, body: Json | None = None, method: str = "") -> Json:
        """One call of ``/_control/<path>``; with a body it is a POST."""
        method = method or ("GET" if body is None else "POST")
        response = self.client.request(method, f"/_control/{path}", json=body)
        answer: Json = response.json()
        if response.is_error:
            raise ControlRefused(response.status_code, answer["error"])
        return answer

    def trade(self, gateway: str, number: str) -> Json:
        return self.control(_trade_path(gateway, number))

    def trades(self, gateway: str = "") -> list[Json]:
        """Newest first."""
        query = _query(gateway=gateway)
        return list(self.control(f"trades/{query}")["trades"])

    def pay(self, gateway: str, number: str, **options: object) -> Json:
        """Pay a trade, opened or not; options as ``docs/sandbox.md`` lists them."""
        return self.control(f"{_trade_path(gateway, number)}pay/", options)

    def refuse(self, gateway: str, number: str, reason: str = "余额不足") -> Json:
        return self.control(
            f"{_trade_path(gateway, number)}refuse/", {"reason": reason}
        )

    def close(self, gateway: str, number: str, **options: object) -> Json:
        return self.control(f"{_trade_path(gateway, number)}close/", options)

    def notify(
        self, gateway: str, number: str, variant: str = "resend", **options: object
    ) -> list[Json]:
        """Send one notice now and return what the shop answered."""
        body = {"variant": variant, **options}
        path = f"notify/{gateway}/{quote(number, safe='')}/"
        return list(self.control(path, body)["deliveries"])

    def deliveries(self, gateway: str = "", number: str = "") -> list[Json]:
        """Every try to deliver a notice, oldest first."""
        query = _query(gateway=gateway, number=number)
        return list(self.control(f"notices/{query}")["deliveries"])

    def set_notice_gaps(self, *seconds: float) -> None:
        """Pauses between tries; none given: a single try."""
        self.control("notices/", {"gaps": seconds})

    def sms(self, to: str = "", since: str = "") -> list[Json]:
        """Messages, oldest first."""
        return list(self.control(f"sms/{_query(to=to, since=since)}")["messages"])

    def calls(
        self, gateway: str = "", method: str = "", number: str = ""
    ) -> list[Json]:
        """What the shop has asked for, oldest first."""
        query = _query(gateway=gateway, method=method, number=number)
        return list(self.control(f"calls/{query}")["calls"])

    def bill(self, gateway: str) -> list[Json]:
        return list(self.control(f"bill/{gateway}/")["lines"])

    def fault(self, gateway: str, method: str, fault: str, **options: object) -> None:
        """Switch a fault on: ``timeout 500 malformed wrong_signature unsigned slow
        refuse``, with ``seconds``, ``count``, ``done``, ``code``, ``status``."""
        self.control(
            "faults/",
            {"gateway": gateway, "method": method, "fault": fault, **options},
        )

    def clear_faults(self) -> None:
        self.control("faults/", method="DELETE")

    def plan_refunds(self, gateway: str, outcome: str, **options: object) -> None:
        """How coming refunds end: ``success processing fail closed abnormal``."""
        self.control("refunds/", {"gateway": gateway, "outcome": outcome, **options})

    def settle_refund(self, gateway: str, number: str, status: str = "success") -> Json:
        path = f"refunds/{gateway}/{quote(number, safe='')}/"
        return self.control(path, {"status": status})

    def set_clock(self, **clock: object) -> None:
        """``offset`` in seconds, or ``now`` in ISO 8601."""
        self.control("clock/", clock)

    def reset(self) -> None:
        """Forget everything but the keys; call it before each test."""
        self.control("reset/", {})


def wait_for[Found](
    look: Callable[[], Found], *, seconds: float = 30.0, every: float = 0.02
) -> Found:
    """The first true result of ``look``; AssertionError when none came in time."""
    end = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > end:
            raise AssertionError(f"still {found!r} after {seconds} s")
        time.sleep(every)
    return found


@contextmanager
def running_sandbox(directory: Path, *, port: int = 0) -> Iterator[Sandbox]:
    """Start ``python -m sandbox`` (port 0: any free one) and stop it at the end.

    Keys are made in ``directory`` when it has none: a second or so, once.
    """
    command = [sys.executable, "-m", "sandbox", "--dir", str(directory)]
    command += ["--port", str(port)]
    clean = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=clean, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        greeting = process.stdout.readline()
        if not greeting.startswith("sandbox: http"):
            raise RuntimeError(f"the sandbox did not start: {greeting!r}")
        url = greeting.split()[1].rstrip("/")
        with httpx.Client(base_url=url, timeout=20, trust_env=False) as client:
            yield Sandbox(url, _environment(directory, url), process, client)
    finally:
        process.terminate()
        process.wait(10)


def _environment(directory: Path, url: str) -> dict[str, str]:
    printed = subprocess.run(
        [
            *(sys.executable, "-m", "sandbox", "env"),
            *("--dir", str(directory), "--base-url", url),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return dict(json.loads(printed.stdout))


def _trade_path(gateway: str, number: str) -> str:
    return f"trades/{gateway}/{quote(number, safe='')}/"


def _query(**values: str) -> str:
    query = urlencode({name: value for name, value in values.items() if value})
    return f"?{query}" if query else ""
