"""What a buyer does at a cashier, by hand or by ``/_control/``."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime

from sandbox.gateways import GATEWAYS
from sandbox.notices import Letter
from sandbox.trades import Payment, Trade, TradeState
from sandbox.world import world


class NotPayable(Exception):
    """The gateway lets nobody pay this trade; the text is its state."""


@dataclass(frozen=True, slots=True)
class Purchase:
    """One payment and what happens around it.

    amount_fen  None: what the shop asked for
    txn_id      the gateway's own number; empty: a fresh one
    notify      ``send``, ``lose`` or ``repeat`` (``times`` copies, ``gap`` seconds apart)
    delay       seconds from the payment to its notice
    after       seconds until the payment itself
    as_buyer    refuse what a gateway would refuse: closed, expired or paid trades
    """

    amount_fen: int | None = None
    currency: str = "CNY"
    discount_fen: int = 0
    txn_id: str = ""
    notify: str = "send"
    times: int = 1
    gap: float = 1.0
    delay: float = 0.0
    after: float = 0.0
    as_buyer: bool = False

    def __post_init__(self) -> None:
        if self.notify not in ("send", "lose", "repeat"):
            raise ValueError("notify is send, lose or repeat")
        if type(self.amount_fen or 1) is not int or (self.amount_fen or 1) < 1:
            raise ValueError("amount_fen is a positive integer")
        if type(self.discount_fen) is not int or type(self.times) is not int:
            raise ValueError("discount_fen and times are integers")
        if min(self.gap, self.delay, self.after, self.times - 1) < 0:
            raise ValueError("gap, delay, after and times are not negative")


def pay(trade: Trade, purchase: Purchase) -> list[Letter]:
    """Move the money and post the notices; an ``after`` does both later, alone."""
    if purchase.after > 0:
        timer = threading.Timer(purchase.after, _pay_now, (trade, purchase))
        timer.daemon = True
        timer.start()
        return []
    return _pay_now(trade, purchase)


def _pay_now(trade: Trade, purchase: Purchase) -> list[Letter]:
    gateway = GATEWAYS[trade.gateway]
    with world().lock:
        if world().trades.get(trade.gateway, trade.number) is not trade:
            return []  # forgotten while an ``after`` ran
        now = world().now()
        state = trade.state(now)
        if purchase.as_buyer and state not in (TradeState.OPEN, TradeState.UNOPENED):
            raise NotPayable(state)
        gateway.opened(trade, now=now)
        payment = Payment(
            txn_id=purchase.txn_id or gateway.next_txn_id(trade, now),
            amount_fen=purchase.amount_fen or trade.amount_fen,
            currency=purchase.currency,
            paid_at=now,
            discount_fen=purchase.discount_fen,
        )
        trade.payments.append(payment)
        world().trades.save(trade)
        if purchase.notify == "lose" or not trade.notify_url:
            return []
        letter = gateway.letter(trade, payment)
    copies = purchase.times if purchase.notify == "repeat" else 1
    letters = [letter, *(letter.copy() for _ in range(copies - 1))]
    for index, each in enumerate(letters):
        world().notices.post(each, delay=purchase.delay + index * purchase.gap)
    return letters


def refuse(trade: Trade, reason: str, *, now: datetime) -> None:
    """The wallet says no; the trade stays payable."""
    with world().lock:
        GATEWAYS[trade.gateway].opened(trade, now=now)
        trade.refusals.append(reason)
        world().trades.save(trade)


def close(trade: Trade, *, now: datetime, notify: bool = True) -> None:
    """The gateway ends an unpaid trade by itself."""
    gateway = GATEWAYS[trade.gateway]
    with world().lock:
        if trade.payments:
            raise NotPayable(TradeState.PAID)
        gateway.opened(trade, now=now)
        trade.closed_at = trade.closed_at or now
        world().trades.save(trade)
        letter = gateway.closed_letter(trade)
    if letter and notify and trade.notify_url:
        world().notices.post(letter)
