"""Everything the sandbox holds while it runs: one object, one lock."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from sandbox import keys, unionpay_keys
from sandbox.agreements import Agreements
from sandbox.faults import Faults
from sandbox.notices import Postman
from sandbox.people import People
from sandbox.settings import SANDBOX_DIR
from sandbox.trades import KEPT, Ledger


@dataclass(frozen=True, slots=True)
class Message:
    """One text message as the phone shows it."""

    id: str
    to: str
    kind: str
    text: str
    provider: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Pushed:
    """One push message, sealed for a browser that is not here."""

    browser: str
    topic: str
    ttl: str
    size: int
    status: int
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Call:
    """One request of the shop; ``outcome`` is an HTTP status or the fault."""

    gateway: str
    method: str
    number: str
    outcome: str
    at: datetime


@dataclass(slots=True)
class RefundPlan:
    """How the next refunds of a gateway end; ``count`` None means all of them."""

    outcome: str
    count: int | None


class World:
    """Hold ``lock`` while reading or changing anything but faults and notices."""

    def __init__(self, directory: Path) -> None:
        self.keys = keys.load(directory)
        self.unionpay = unionpay_keys.load(directory)
        self.lock = threading.RLock()
        self.trades = Ledger(directory / "trades.sqlite3")
        self.agreements = Agreements(directory / "agreements.sqlite3")
        self.faults = Faults()
        self.notices = Postman(self.now)
        self.messages: deque[Message] = deque(maxlen=KEPT)
        self.pushed: deque[Pushed] = deque(maxlen=KEPT)
        self.calls: deque[Call] = deque(maxlen=KEPT)
        self.refund_plans: dict[str, RefundPlan] = {}
        self.clock_offset = timedelta()
        self.people = People()
        self.wechat_signs_with = "public_key"
        self.epay_notifies_by = "GET"

    def now(self) -> datetime:
        return datetime.now(UTC) + self.clock_offset

    def planned_refund(self, gateway: str) -> str:
        """How this refund shall end: one is used up."""
        plan = self.refund_plans.get(gateway)
        if plan is None:
            return "success"
        if plan.count is not None:
            plan.count -= 1
            if plan.count <= 0:
                del self.refund_plans[gateway]
        return plan.outcome

    def reset(self) -> None:
        """Forget everything but the keys."""
        self.faults.clear()
        self.notices.clear()
        with self.lock:
            self.trades.clear()
            self.agreements.clear()
            self.messages.clear()
            self.pushed.clear()
            self.calls.clear()
            self.refund_plans.clear()
            self.clock_offset = timedelta()
            self.people = People()
            self.wechat_signs_with = "public_key"
            self.epay_notifies_by = "GET"


@cache
def _world(directory: Path) -> World:
    directory.mkdir(parents=True, exist_ok=True)
    return World(directory)


def world() -> World:
    """The one world of this process."""
    return _world(SANDBOX_DIR)
