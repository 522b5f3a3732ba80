"""What Alipay remembers of cycle pay (周期扣款): who may charge whom, when, how much."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from sandbox.times import BEIJING
from sandbox.trades import KEPT, json_text

EARLY = timedelta(days=5)
"""A charge may come so long before its day."""


class Status(StrEnum):
    ASKED = "asked"  # the page is open; no agreement exists yet
    REFUSED = "refused"
    NORMAL = "NORMAL"
    UNSIGN = "UNSIGN"


class Outcome(StrEnum):
    """How a debit ends; the ways to fail are Alipay's own error codes."""

    PAY = "pay"
    BALANCE = "ACQ.BUYER_BALANCE_NOT_ENOUGH"
    BANK = "ACQ.BUYER_BANKCARD_BALANCE_NOT_ENOUGH"
    LIMIT = "ACQ.BUYER_PAYMENT_AMOUNT_DAY_LIMIT_ERROR"
    UNDER_WAY = "under_way"  # 10003: no money yet, the trade waits


@dataclass(slots=True)
class DebitPlan:
    """How coming debits end. ``notify`` is ``send`` or ``lose``; ``count`` None: all."""

    outcome: Outcome = Outcome.PAY
    notify: str = "send"
    count: int | None = None


@dataclass(slots=True)
class Agreement:
    """One ``external_agreement_no``; ``plan`` is what the switches are set to."""

    number: str
    scene: str
    channel: str
    period_days: int
    single_fen: int
    next_on: date
    notify_url: str
    return_url: str
    asked_at: datetime
    token: str = field(default_factory=lambda: secrets.token_urlsafe(18))
    status: Status = Status.ASKED
    agreement_no: str = ""
    signed_at: datetime | None = None
    ended_at: datetime | None = None
    debits: list[str] = field(default_factory=list)
    plan: DebitPlan = field(default_factory=DebitPlan)

    def is_day(self, now: datetime) -> bool:
        """Whether a charge is allowed today, in Beijing."""
        today = now.astimezone(BEIJING).date()
        return self.next_on - EARLY <= today <= self.next_on

    def planned(self) -> DebitPlan:
        """How this debit shall end: one is used up."""
        plan = self.plan
        if plan.count is not None:
            plan.count -= 1
            if plan.count <= 0:
                self.plan = DebitPlan()
        return plan

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Agreement:
        moments = {
            name: datetime.fromisoformat(values[name]) if values[name] else None
            for name in ("asked_at", "signed_at", "ended_at")
        }
        plan = values["plan"] | {"outcome": Outcome(values["plan"]["outcome"])}
        return cls(
            **values
            | moments
            | {
                "next_on": date.fromisoformat(values["next_on"]),
                "status": Status(values["status"]),
                "plan": DebitPlan(**plan),
            }
        )


class Agreements:
    """All agreements, newest last, kept in SQLite. Callers hold ``World.lock``."""

    def __init__(self, path: Path) -> None:
        self._file = sqlite3.connect(
            path, check_same_thread=False, isolation_level=None
        )
        self._file.execute("PRAGMA journal_mode=WAL")
        self._file.execute("PRAGMA synchronous=OFF")
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS agreement (number TEXT PRIMARY KEY, body TEXT)"
        )
        self._kept: OrderedDict[str, Agreement] = OrderedDict()
        for (body,) in self._file.execute("SELECT body FROM agreement ORDER BY rowid"):
            agreement = Agreement.from_json(json.loads(body))
            self._kept[agreement.number] = agreement

    def __iter__(self) -> Iterator[Agreement]:
        """Newest first."""
        return reversed(list(self._kept.values()))

    def get(self, number: str) -> Agreement | None:
        return self._kept.get(number)

    def by_no(self, agreement_no: str) -> Agreement | None:
        return self._by("agreement_no", agreement_no)

    def by_token(self, token: str) -> Agreement | None:
        return self._by("token", token)

    def save(self, agreement: Agreement) -> None:
        self._kept[agreement.number] = agreement
        self._file.execute(
            "INSERT INTO agreement VALUES (?, ?)"
            " ON CONFLICT (number) DO UPDATE SET body = excluded.body",
            (agreement.number, _text(agreement)),
        )
        if len(self._kept) > KEPT:
            oldest, _ = self._kept.popitem(last=False)
            self._file.execute("DELETE FROM agreement WHERE number = ?", (oldest,))

    def clear(self) -> None:
        self._kept.clear()
        self._file.execute("DELETE FROM agreement")

    def _by(self, name: str, value: str) -> Agreement | None:
        found = (each for each in self if value and getattr(each, name) == value)
        return next(found, None)


def _text(agreement: Agreement) -> str:
    return json_text(asdict(agreement) | {"next_on": agreement.next_on.isoformat()})
