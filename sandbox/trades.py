"""What the gateways remember: trades with their payments and refunds."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

KEPT = 10_000
"""The oldest trade is forgotten when one more than this would be kept."""


class TradeState(StrEnum):
    UNOPENED = "unopened"  # ordered by the shop, not yet seen by a buyer
    OPEN = "open"
    PAID = "paid"
    CLOSED = "closed"
    EXPIRED = "expired"


class RefundStatus(StrEnum):
    PROCESSING = "processing"
    SUCCESS = "success"
    CLOSED = "closed"
    ABNORMAL = "abnormal"


@dataclass(slots=True)
class Payment:
    """Money that moved. ``discount_fen`` is a coupon of the wallet's own."""

    txn_id: str
    amount_fen: int
    currency: str
    paid_at: datetime
    discount_fen: int = 0


@dataclass(slots=True)
class Refund:
    number: str
    txn_id: str
    amount_fen: int
    status: RefundStatus
    created_at: datetime
    gateway_id: str
    reason: str = ""
    notify_url: str = ""
    settled_at: datetime | None = None


@dataclass(slots=True)
class Link:
    """A secret address of the cashier; None: as good as the trade."""

    token: str
    valid_until: datetime | None = None


@dataclass(slots=True)
class Trade:
    """One merchant number at one gateway.

    details  what only this gateway knows (its own trade number, pass-back text ...)
    refusals what the wallet told the buyer, oldest first
    """

    gateway: str
    number: str
    product: str
    amount_fen: int
    currency: str
    subject: str
    notify_url: str
    return_url: str
    started_at: datetime
    expires_at: datetime | None = None
    opened_at: datetime | None = None
    closed_at: datetime | None = None
    links: list[Link] = field(default_factory=list)
    payments: list[Payment] = field(default_factory=list)
    refunds: list[Refund] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    details: dict[str, str] = field(default_factory=dict)

    def state(self, now: datetime) -> TradeState:
        if self.payments:
            return TradeState.PAID
        if self.closed_at:
            return TradeState.CLOSED
        if self.expires_at and now >= self.expires_at:
            return TradeState.EXPIRED
        return TradeState.OPEN if self.opened_at else TradeState.UNOPENED

    def add_link(self, valid_until: datetime | None = None) -> Link:
        """A fresh address; only the last eight are kept."""
        link = Link(secrets.token_urlsafe(18), valid_until)
        self.links = [*self.links[-7:], link]
        return link

    def payment(self, txn_id: str = "") -> Payment | None:
        """The payment of that id; without one, the first."""
        for payment in self.payments:
            if txn_id in ("", payment.txn_id):
                return payment
        return None

    def refund(self, number: str) -> Refund | None:
        return next(
            (refund for refund in self.refunds if refund.number == number), None
        )

    def refunded_fen(self, txn_id: str) -> int:
        """What went back of one payment, or is on its way."""
        return sum(
            refund.amount_fen
            for refund in self.refunds
            if refund.txn_id == txn_id
            and refund.status in (RefundStatus.SUCCESS, RefundStatus.PROCESSING)
        )

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Trade:
        """The trade that ``json_text`` wrote down."""
        return cls(
            **_moments(values, "started_at", "expires_at", "opened_at", "closed_at")
            | {
                "links": [Link(**_moments(v, "valid_until")) for v in values["links"]],
                "payments": [
                    Payment(**_moments(v, "paid_at")) for v in values["payments"]
                ],
                "refunds": [
                    Refund(
                        **_moments(v, "created_at", "settled_at")
                        | {"status": RefundStatus(v["status"])}
                    )
                    for v in values["refunds"]
                ],
            }
        )


class Ledger:
    """All trades, newest last, and the same in SQLite so that a restart loses none.

    Not safe between threads by itself: callers hold ``World.lock``.
    """

    def __init__(self, path: Path) -> None:
        self._file = sqlite3.connect(
            path, check_same_thread=False, isolation_level=None
        )
        self._file.execute("PRAGMA journal_mode=WAL")
        self._file.execute("PRAGMA synchronous=OFF")
        self._file.execute(
            "CREATE TABLE IF NOT EXISTS trade (gateway TEXT, number TEXT, body TEXT,"
            " PRIMARY KEY (gateway, number))"
        )
        self._trades: OrderedDict[tuple[str, str], Trade] = OrderedDict()
        self._by_mark: dict[tuple[str, str, str], tuple[str, str]] = {}
        for (body,) in self._file.execute("SELECT body FROM trade ORDER BY rowid"):
            self._remember(Trade.from_json(json.loads(body)))

    def __iter__(self) -> Iterator[Trade]:
        """Newest first."""
        return reversed(list(self._trades.values()))

    def get(self, gateway: str, number: str) -> Trade | None:
        return self._trades.get((gateway, number))

    def by_link(self, gateway: str, token: str) -> Trade | None:
        return self._by(gateway, "link", token)

    def by_txn(self, gateway: str, txn_id: str) -> Trade | None:
        return self._by(gateway, "txn", txn_id)

    def by_refund(self, gateway: str, number: str) -> Trade | None:
        return self._by(gateway, "refund", number)

    def save(self, trade: Trade) -> None:
        """Keep a new trade, or what changed in one."""
        self._remember(trade)
        self._file.execute(
            "INSERT INTO trade VALUES (?, ?, ?)"
            " ON CONFLICT (gateway, number) DO UPDATE SET body = excluded.body",
            (trade.gateway, trade.number, json_text(trade.as_json())),
        )
        if len(self._trades) > KEPT:
            self._forget(next(iter(self._trades.values())))

    def clear(self) -> None:
        self._trades.clear()
        self._by_mark.clear()
        self._file.execute("DELETE FROM trade")

    def _by(self, gateway: str, kind: str, mark: str) -> Trade | None:
        key = self._by_mark.get((gateway, kind, mark))
        return self._trades.get(key) if key else None

    def _remember(self, trade: Trade) -> None:
        key = (trade.gateway, trade.number)
        self._trades[key] = trade
        for mark in _marks(trade):
            self._by_mark[(trade.gateway, *mark)] = key

    def _forget(self, trade: Trade) -> None:
        del self._trades[(trade.gateway, trade.number)]
        for mark in _marks(trade):
            self._by_mark.pop((trade.gateway, *mark), None)
        self._file.execute(
            "DELETE FROM trade WHERE gateway = ? AND number = ?",
            (trade.gateway, trade.number),
        )


def json_text(value: object) -> str:
    """JSON with moments in ISO 8601, Chinese readable."""
    return json.dumps(
        value,
        ensure_ascii=False,
        default=lambda item: (
            item.isoformat() if isinstance(item, datetime) else str(item)
        ),
    )


def _marks(trade: Trade) -> Iterator[tuple[str, str]]:
    """Everything besides its number that a trade can be found by."""
    yield from (("link", link.token) for link in trade.links)
    yield from (("txn", payment.txn_id) for payment in trade.payments)
    yield from (("refund", refund.number) for refund in trade.refunds)
    if "trade_no" in trade.details:
        yield "txn", trade.details["trade_no"]


def _moments(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return values | {
        name: datetime.fromisoformat(values[name]) for name in names if values[name]
    }
