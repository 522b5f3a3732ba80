"""C12 over random histories: whatever happens in which order, no fen is unaccounted for.

Each history is one member's: orders, attempts, what gateways say about them, refunds,
expiry, cancelling, operators' decisions, and a clock that moves. The bill is kept beside
the shop, as a gateway would write it.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from members.models import Member
from orders.checkout import NotPlaced
from orders.closing import lock_order
from orders.models import Order
from payments import attempts, cases, decisions, polling, refunds
from payments.attempts import NotPayable
from payments.gateways.contract import RefundResult, RefundState, Trade, TradeState
from payments.models import Attempt, AttemptState, GatewayEvent, Refund
from payments.settle import Source, apply_result
from tests.shopping import ALIPAY, PRICES, WECHAT, Till, broken, new_member

WAYS = (WECHAT, ALIPAY)
SPANS = (0, 5, 60, 20 * 60, 31 * 60, 45 * 60, 25 * 3_600)
MOVES = (
    *("place", "attempt", "attempt"),
    *("pay", "pay", "pay", "pay", "pay", "pay again", "second transaction"),
    *("pay another sum", "pay another sum", "pay in dollars"),
    *("close", "refuse", "cancel", "expire", "wait", "wait"),
    *("refund ends", "refund fails", "accept", "give back"),
)
STEPS = st.lists(
    st.tuples(st.sampled_from(MOVES), st.integers(0, 30)), min_size=6, max_size=16
)


@dataclass
class History:
    """One member, her gateways' bills, and the clock."""

    operator: Member
    now: datetime
    member: Member = field(default_factory=new_member)
    bill: Counter[str] = field(default_factory=Counter)
    messages: int = 0

    def __post_init__(self) -> None:
        """It begins with an order that may be paid in two ways."""
        self.till = Till(self.now)
        self.place(0)
        self.attempt(1)

    def take(self, what: str, pick: int) -> None:
        move = getattr(self, what.replace(" ", "_"))
        with suppress(NotPlaced, NotPayable, decisions.NotWaiting):
            move(pick)

    # --- The shopper ---------------------------------------------------------------

    def place(self, pick: int) -> None:
        plan = list(PRICES)[pick % len(PRICES)]
        self.till.place(self.member, plan, way=WAYS[pick % 2])

    def attempt(self, pick: int) -> None:
        if order := self._one(Order.objects.filter(member=self.member), pick):
            with transaction.atomic(durable=True):
                attempts.open_locked(
                    lock_order(order.pk), WAYS[pick % 2], now=self.till.now
                )

    def cancel(self, pick: int) -> None:
        if order := self._one(Order.objects.filter(member=self.member), pick):
            polling.cancel(order.pk, now=self.till.now)

    def wait(self, pick: int) -> None:
        self.till.wait(seconds=SPANS[pick % len(SPANS)])

    def expire(self, pick: int) -> None:
        self.till.expire()

    # --- The gateways --------------------------------------------------------------

    def pay(self, pick: int) -> None:
        self._paid(pick)

    def pay_again(self, pick: int) -> None:
        for _ in range(2):
            self._paid(pick)

    def pay_another_sum(self, pick: int) -> None:
        self._paid(pick, off_by=1 + pick)

    def pay_in_dollars(self, pick: int) -> None:
        self._paid(pick, currency="USD")

    def second_transaction(self, pick: int) -> None:
        self._paid(pick, txn="second")

    def close(self, pick: int) -> None:
        self._says(pick, TradeState.CLOSED)

    def refuse(self, pick: int) -> None:
        self._says(pick, TradeState.CLOSED, refused="余额不足")

    def _paid(
        self, pick: int, *, off_by: int = 0, currency: str = "CNY", txn: str = "first"
    ) -> None:
        attempt = self._attempt(pick)
        if attempt is None:
            return
        txn_id = f"{txn}-{attempt.out_trade_no}"
        known = GatewayEvent.objects.filter(txn_id=txn_id).first()
        if known is None:
            amount_fen = attempt.amount_fen + off_by
            self.bill[attempt.gateway] += amount_fen
        else:  # one transaction has one sum, however often it is told
            amount_fen, currency = known.amount_fen or 0, known.currency
        self._says(
            pick,
            TradeState.PAID,
            txn_id=txn_id,
            amount_fen=amount_fen,
            currency=currency,
        )

    def _says(self, pick: int, state: TradeState, **says: object) -> None:
        attempt = self._attempt(pick)
        if attempt is None:
            return
        self.messages += 1
        source = Source("notice", f"{attempt.out_trade_no}-{self.messages}")
        trade = Trade(attempt.out_trade_no, state, **says)  # type: ignore[arg-type]
        apply_result(attempt.gateway, trade, source=source, now=self.till.now)

    def refund_ends(self, pick: int) -> None:
        self._refund(pick, RefundState.SUCCESS)

    def refund_fails(self, pick: int) -> None:
        self._refund(pick, RefundState.FAILED)

    def _refund(self, pick: int, state: RefundState) -> None:
        refund = self._one(
            Refund.objects.filter(attempt__order__member=self.member), pick
        )
        if refund is None:
            return
        gateway = refund.attempt.gateway
        if state == RefundState.SUCCESS and refund.state != "success":
            self.bill[gateway] -= refund.amount_fen
        result = RefundResult(
            refund.out_refund_no, refund.attempt.out_trade_no, state, raw_state="told"
        )
        refunds.apply_refund(gateway, result, now=self.till.now)

    # --- The operator --------------------------------------------------------------

    def accept(self, pick: int) -> None:
        self._decide(decisions.accept, pick)

    def give_back(self, pick: int) -> None:
        self._decide(decisions.give_back, pick)

    def _decide(self, decision: object, pick: int) -> None:
        mine = cases.unallocated().filter(order__member=self.member)
        if attempt := self._one(mine, pick):
            decision(  # type: ignore[operator]
                attempt.pk, actor=self.operator, reason="", now=self.till.now
            )

    # --- The books -----------------------------------------------------------------

    def check(self) -> None:
        """Every paid attempt settles an order, or goes back, or waits for a person."""
        mine = Attempt.objects.filter(order__member=self.member)
        paid = mine.filter(state=AttemptState.PAID).select_related("order")
        waiting = set(cases.unallocated().values_list("pk", flat=True))
        for attempt in paid:
            places = [
                attempt.order.settled_by_id == attempt.pk,
                attempt.refund_reserved_fen == attempt.paid_fen,
                attempt.pk in waiting,
            ]
            assert places.count(True) == 1, (attempt, places)
        overpaid = GatewayEvent.objects.filter(attempt__in=mine, outcome="overpaid")
        books = Counter[str]()
        for gateway, fen in paid.values_list("gateway", "paid_fen"):
            books[gateway] += fen
        once = set(overpaid.values_list("txn_id", "gateway", "amount_fen"))
        for _, gateway, fen in once:
            books[gateway] += fen
        returned = Refund.objects.filter(attempt__in=mine, state="success")
        for gateway, fen in returned.values_list("attempt__gateway", "amount_fen"):
            books[gateway] -= fen
        assert books == self.bill

    def _attempt(self, pick: int) -> Attempt | None:
        return self._one(Attempt.objects.filter(order__member=self.member), pick)

    def _one(self, rows, pick: int):
        found = list(rows.order_by("pk"))
        return found[pick % len(found)] if found else None


@settings(max_examples=25)
@given(steps=STEPS)
def test_no_fen_is_unaccounted_for_whatever_happens(book, operator, now, steps):
    """C12; at the end of each history the shop's own audit finds nothing either."""
    history = History(operator, now)
    for what, pick in steps:
        history.take(what, pick)
        history.check()
    sweep(history)
    assert broken(history.till.now, besides=("INV-10", "INV-12")) == []


def sweep(history: History) -> None:
    """Let what is overdue expire, as the periodic job does."""
    history.till.now += timedelta(minutes=50)
    history.till.expire()
    history.check()
