"""C12 over random histories of the shop and the sandbox: no fen, no second is lost.

A history is one member's: orders of time and of keys, with coupons and without, attempts
on every channel there is, wrong, repeated, late and reordered notices, refunds by
operators and by herself, some of which fail and some of which come through after that,
operators' decisions, consents to be charged again and the charges by them, pauses,
faults of the gateways, and a clock that moves. Payments happen at the sandbox's process,
notices are its own, signed by it and handed to the shop's address. After each step the
audit finds nothing, the sandbox's money is the shop's, coupons count their orders, and
the timeline keeps its promises.

The seed is printed. ``HISTORIES=500`` plays more of them, ``HISTORY_SEED=…`` the same;
``HISTORY_SHRINK=1`` looks for the shortest that fails, which takes long.
"""

from __future__ import annotations

import os
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from django.db import transaction
from django.db.models import QuerySet, Sum
from django.test import override_settings
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from goods.models import Goods
from members import reminders, rules, timeline
from members.models import Entitlement, Member, Pause, Plan, Segment, Tier
from orders import delivery
from orders.checkout import NotPlaced
from orders.models import Coupon, Order, Status
from payments import attempts, cases, channels, confirmation, gateways, polling
from payments.attempts import NotPayable, Way
from payments.console import decisions
from payments.gateways.contract import (
    HandoverKind,
    NoticeRequest,
    Product,
    RefundCapability,
)
from payments.models import LIVE_STATES, Attempt, GatewayEvent, Refund
from payments.refunding import refunds, returning, shortage
from payments.renewing import mandates, renewal, renewal_steps
from tests.goods.shelves import make_goods, restock
from tests.orders.codes import make_coupon
from tests.payments.renewing import Renewals
from tests.sandbox.merchant import Received
from tests.sandbox_process import ControlRefused
from tests.shopping import PRICES, Shopper, Till, broken, fresh, new_member

HISTORIES = int(os.environ.get("HISTORIES", "4"))
SHRINK = bool(os.environ.get("HISTORY_SHRINK"))
STEPS = 20
SPANS = (0, 5, 60, 4 * 60, 20 * 60, 31 * 60, 45 * 60, 25 * 3_600)
SLICE = timedelta(hours=5)
"""The periodic jobs run at least so often while the clock moves."""
NEVER_STALE = timedelta(minutes=4)
"""A notice so young is believed by itself."""
FORGERIES = ("wrong_signature", "unsigned", "wrong_merchant", "tampered")
FAULTS = ("500", "malformed", "wrong_signature", "unsigned")
RENEWED = ("temporary-7", "temporary-7", "temporary-30", "long-term-90")
DEBITS = ("pay", "under_way", "ACQ.BUYER_BALANCE_NOT_ENOUGH")
AHEAD = timedelta(days=200)
"""So far on a history goes to see a charge."""

picks = st.integers(0, 11)
sources = st.sampled_from(("fresh", "old"))
codes = st.sampled_from((None, 0, 1))
"""Which of the coupons is typed, if one is."""


def ways() -> list[Way]:
    """Every product of every channel whose gateway is on: a new gateway joins here."""
    here = {gateway.code for gateway in gateways.available()}
    products = [
        Way(channel.gateway, channel.code, product, "203.0.113.9")
        for channel in channels.known().values()
        for product in dict.fromkeys(sum(channel.products.values(), ()))
        if channel.gateway in here
    ]
    assert {way.gateway for way in products} == here
    return products


def is_nameless(gateway: str) -> bool:
    """It returns a payment once and whole, and no number of ours is kept there."""
    found = gateways.get(gateway)
    return found is not None and found.refunds == RefundCapability.FULL


class Histories(RuleBasedStateMachine):
    """The shop's rows are taken back after each history; the sandbox is emptied before.

    letters  notices in the order in which the sandbox wrote them, delivered or not
    untold   transactions that only the sandbox knows of so far
    """

    till: Till
    operator: Member
    goods: Goods
    took_part: Counter[str]
    """How often what has happened: what has not been there is not proven."""

    def __init__(self) -> None:
        super().__init__()
        self.block = transaction.atomic()
        self.block._from_testcase = True  # type: ignore[attr-defined]
        self.block.__enter__()
        self.sandbox = self.till.wallet
        self.sandbox.reset()
        self.sandbox.set_notice_gaps()
        self.sandbox.control("epay/", {"notifies_by": "POST"})
        self.till.set_clock(datetime.fromisoformat("2026-11-22T02:00:00Z"))
        self.member = new_member()
        self.browser = Shopper(self.till, self.member)
        self.renewals = Renewals(self.till)
        self.coupons = [
            make_coupon(self.till, max_uses=2, max_per_member=3),
            make_coupon(self.till, off_bp=2_000, max_uses=9, max_per_member=2),
        ]
        self.ways = ways()
        self.letters: list[tuple[str, Received, datetime]] = []
        self.untold: set[tuple[str, str]] = set()
        self.past: list[tuple[int, datetime, datetime]] = []

    def teardown(self) -> None:
        try:
            self.finish()
            self.took_part.update(self.what_happened())
        finally:
            transaction.set_rollback(True)
            self.block.__exit__(None, None, None)

    @property
    def now(self) -> datetime:
        return self.till.now

    # --- The shopper ---------------------------------------------------------------

    @initialize(way=picks, other=picks)
    def begin(self, way: int, other: int) -> None:
        """With something to pay, in two ways."""
        self.place(1, way, 1, None)
        self.pay_again(0, other)

    @rule(plan=picks, way=picks, off_by=st.sampled_from((0, 0, 0, 1, -100)), code=codes)
    def buy(self, plan: int, way: int, off_by: int, code: int | None) -> None:
        """Place, pay and tell."""
        self.place(plan, way, 1, code)
        self.pay(self.attempts().count() - 1, off_by, 0, "fresh")

    @rule(plan=picks, way=picks, quantity=st.integers(1, 2), code=codes)
    def place(self, plan: int, way: int, quantity: int, code: int | None) -> None:
        slug = list(PRICES)[plan % len(PRICES)]
        coupon = self.coupon(code)
        with suppress(NotPlaced):
            order = self.till.place(self.member, slug, quantity=quantity, coupon=coupon)
            self.till.pay(order, self.ways[way % len(self.ways)])

    @rule(way=picks, quantity=st.integers(1, 2), pay=st.booleans(), code=codes)
    def order_keys(self, way: int, quantity: int, pay: bool, code: int | None) -> None:
        coupon = self.coupon(code)
        with suppress(NotPlaced):
            bill = self.till.bill_goods(
                self.member, self.goods, quantity=quantity, coupon=coupon
            )
            self.till.pay(bill.order, self.ways[way % len(self.ways)])
            if pay:
                self.pay(self.attempts().count() - 1, 0, 0, "fresh")

    @rule(keys=st.integers(1, 3))
    def restock_keys(self, keys: int) -> None:
        restock(self.goods, keys)

    @rule(order=picks, way=picks)
    def pay_again(self, order: int, way: int) -> None:
        if found := self.one(self.orders(), order):
            with suppress(NotPayable):
                self.till.pay(found, self.ways[way % len(self.ways)])

    @rule(order=picks)
    def look(self, order: int) -> None:
        """The page asks the gateway when it has not for a while."""
        if found := self.one(self.orders(), order):
            assert self.browser.get(f"/orders/{found.no}/pay/").status_code == 200

    @rule(order=picks)
    def cancel(self, order: int) -> None:
        if found := self.one(self.orders(), order):
            polling.cancel(found.pk, now=self.now)

    # --- Renewing by itself --------------------------------------------------------

    @rule(plan=st.sampled_from(RENEWED), source=sources)
    def consent(self, plan: str, source: str) -> None:
        """She agrees to be charged again; the answer is told, or only found later."""
        if not self.is_running:
            self.buy(list(PRICES).index("temporary-7"), 0, 0, None)
        offered = Plan.objects.select_related("tier").get(slug=plan)
        try:
            consent = mandates.begin(
                self.member.pk,
                plan=offered,
                gateway="alipay",
                shown_fen=offered.price_at(self.now),
                now=self.now,
            )
        except mandates.NotOffered:
            return
        handover = mandates.handover(consent, now=self.now)
        page = self.sandbox.client.get(handover.url, follow_redirects=True)
        if page.is_success:  # else a fault was to come
            lost = {} if source == "fresh" else {"notify": "lose"}
            self.renewals.agree(consent, **lost)

    @rule(outcome=st.sampled_from(DEBITS), tell=st.booleans(), lose=st.booleans())
    def be_charged(self, outcome: str, tell: bool, lose: bool) -> None:
        """On to her next charge, however it ends; ``lose`` its answer."""
        if mandates.holder_of(self.member) is None:
            self.consent("temporary-7", "fresh")
        if on := mandates.holder_of(self.member):
            told = "send" if tell else "lose"
            self.renewals.next_debit(on, outcome, count=1, notify=told)
        if lose:
            self.sandbox.fault("alipay", "debit", "500", count=1, done=True)
        for moment_of in (renewal_steps.notice_at, renewal_steps.charge_at):
            end = fresh(self.member).paid_until
            moment = moment_of(end, rules.current()) if end else self.now
            if self.now < moment < self.now + AHEAD:
                self.wait_until(moment, looks=8)
                self.wait(60)

    @rule(wallet=st.booleans())
    def opt_out(self, wallet: bool) -> None:
        """In the shop, or where the shop hears nothing of it."""
        if not wallet:
            mandates.stop_all(self.member.pk, now=self.now)
        elif on := mandates.holder_of(self.member):
            self.renewals.wallet(on.consent, "stop", notify="lose")

    # --- The wallet and the gateway ------------------------------------------------

    @rule(
        attempt=picks,
        off_by=st.sampled_from((0, 0, 0, 0, 1, -1, 700)),
        discount=st.sampled_from((0, 0, 100)),
        source=sources,
    )
    def pay(self, attempt: int, off_by: int, discount: int, source: str) -> None:
        """Whatever the state; ``old``: the notice is kept for later."""
        found = self.at_the_gateway(attempt)
        if found is None:
            return
        amount_fen = max(1, found.amount_fen + off_by)
        self.sandbox.pay(
            found.gateway,
            found.out_trade_no,
            amount_fen=amount_fen,
            discount_fen=min(discount, amount_fen - 1),
            notify="lose",
        )
        bought = self.sandbox.trade(found.gateway, found.out_trade_no)["payments"][-1]
        self.untold.add((found.gateway, bought["txn_id"]))
        self.write(found, txn_id=bought["txn_id"])
        if source == "fresh":
            self.deliver(len(self.letters) - 1)

    @rule(attempt=picks, source=sources)
    def pay_exactly(self, attempt: int, source: str) -> None:
        self.pay(attempt, 0, 0, source)

    @rule(attempt=picks)
    def close_there(self, attempt: int) -> None:
        if found := self.at_the_gateway(attempt):
            with suppress(ControlRefused):  # it is paid
                self.sandbox.close(found.gateway, found.out_trade_no, notify="lose")

    @rule(attempt=picks)
    def refuse(self, attempt: int) -> None:
        if found := self.at_the_gateway(attempt):
            self.sandbox.refuse(found.gateway, found.out_trade_no)

    @precondition(lambda self: self.letters)
    @rule(letter=picks, times=st.integers(1, 2))
    def hear(self, letter: int, times: int) -> None:
        """Any notice that was ever written, in any order, as often as it likes."""
        for _ in range(times):
            self.deliver(letter % len(self.letters))

    @rule(attempt=picks, variant=st.sampled_from(FORGERIES))
    def forge(self, attempt: int, variant: str) -> None:
        """Not one row of money or time moves."""
        found = self.at_the_gateway(attempt)
        if found is None:
            return
        before = self.rows()
        try:
            self.write(found, variant=variant)
        except ControlRefused:
            return  # this gateway's notices cannot be forged in that way
        gateway, letter, _ = self.letters.pop()
        assert self.till.deliver(letter, gateway=gateway).status_code < 500
        assert self.rows() == before

    @rule(gateway=picks, fault=st.sampled_from(FAULTS), done=st.booleans())
    def break_next_call(self, gateway: int, fault: str, done: bool) -> None:
        code = self.ways[gateway % len(self.ways)].gateway
        self.sandbox.fault(code, "*", fault, count=1, done=done)

    # --- Money going back ----------------------------------------------------------

    @rule(
        gateway=picks,
        outcome=st.sampled_from(("processing", "fail", "closed", "abnormal")),
    )
    def plan_refund(self, gateway: int, outcome: str) -> None:
        code = self.ways[gateway % len(self.ways)].gateway
        self.sandbox.plan_refunds(code, outcome, count=1)

    @rule(refund=picks, status=st.sampled_from(("success", "success", "closed")))
    def end_refund(self, refund: int, status: str) -> None:
        waiting = [
            (trade["gateway"], each["number"])
            for trade in self.sandbox.trades()
            for each in trade["refunds"]
            if each["status"] == "processing"
        ]
        if waiting:
            gateway, number = sorted(waiting)[refund % len(waiting)]
            self.sandbox.settle_refund(gateway, number, status)

    @rule(order=picks, share=st.sampled_from((1, 2, 2, 3)))
    def refund(self, order: int, share: int) -> None:
        """An operator returns all that is left of the money, or a part of it."""
        if found := self.one(self.orders().filter(status=Status.PAID), order):
            attempt = refunds.settling_attempt(found)
            rest = (attempt.paid_fen or 0) - attempt.refund_reserved_fen
            with suppress(refunds.NotRefundable):
                refunds.request(
                    found.pk,
                    amount_fen=rest // share,
                    actor=self.operator,
                    reason="goodwill",
                    now=self.now,
                )

    @rule(order=picks)
    def return_unused(self, order: int) -> None:
        """灵活退订: exactly what is offered, to nobody who is offered nothing."""
        found = self.one(self.orders().filter(status=Status.PAID), order)
        if found is None:
            return
        offer = returning.offer_for(found, now=self.now)
        with suppress(returning.NotReturnable):
            refund = returning.return_unused(
                found.pk,
                member_id=self.member.pk,
                shown_fen=offer.amount_fen,
                now=self.now,
            )
            assert (refund.amount_fen, refund.revoked_seconds) == (
                offer.amount_fen,
                offer.left,
            )

    @rule(refund=picks)
    def come_through_after_all(self, refund: int) -> None:
        """F11: the gateway had told that it failed."""
        failed = self.refunds().filter(
            state="failed", by_hand=False, second_payment=None
        )
        found = self.one(failed, refund)
        if found is None or not self.has_room(found):
            return
        gateway, number = found.attempt.gateway, found.out_refund_no
        with suppress(ControlRefused):  # it has refused at once and keeps nothing
            self.sandbox.settle_refund(gateway, number)
            refunds.query_refund(fresh(found), now=self.now)

    @staticmethod
    def has_room(refund: Refund) -> bool:
        """Else more goes out than came in, which the audit rightly tells."""
        attempt = refund.attempt
        return (
            attempt.refund_reserved_fen + refund.amount_fen <= (attempt.paid_fen or 0)
            and attempt.order.settled_by_id == attempt.pk
        )

    @rule(refund=picks, outside=st.booleans())
    def refund_by_hand(self, refund: int, outside: bool) -> None:
        """What its gateway cannot return: done outside, or given up."""
        if found := self.one(self.refunds().filter(state="manual"), refund):
            if outside:
                decisions.returned_outside(
                    found.pk, reference="cash", actor=self.operator, now=self.now
                )
            else:
                decisions.give_up(
                    found.pk, actor=self.operator, reason="", now=self.now
                )

    @rule(refund=picks)
    def write_of_refund(self, refund: int) -> None:
        if found := self.one(self.refunds().filter(state="processing"), refund):
            with suppress(ControlRefused):  # the gateway has not heard of it
                self.write(found.attempt, refund_number=found.out_refund_no)

    @rule(attempt=picks, accept=st.booleans())
    def decide(self, attempt: int, accept: bool) -> None:
        waiting = cases.unallocated().filter(order__member=self.member)
        decision = decisions.accept if accept else decisions.give_back
        if found := self.one(waiting, attempt):
            with suppress(decisions.NotWaiting):
                decision(found.pk, actor=self.operator, reason="", now=self.now)

    # --- Time ----------------------------------------------------------------------

    @rule(span=st.sampled_from(SPANS))
    def wait(self, span: int) -> None:
        self.wait_until(self.now + timedelta(seconds=span))

    def wait_until(self, end: datetime, *, looks: int | None = None) -> None:
        """``looks``: at so many moments, where it is far; the jobs stood still between."""
        longest = max(SLICE, (end - self.now) / looks) if looks else SLICE
        while self.now < end:
            self.till.set_clock(min(self.now + longest, end))
            self.work()

    @rule(pause=st.booleans())
    def pause_or_resume(self, pause: bool) -> None:
        (timeline.pause if pause else timeline.resume)(self.member.pk, now=self.now)

    @rule(days=st.integers(1, 3), long=st.booleans())
    def grant(self, days: int, long: bool) -> None:
        timeline.grant(
            self.member.pk,
            tier=Tier.objects.get(code="long-term" if long else "temporary"),
            seconds=days * 86_400,
            actor=self.operator,
            reason="goodwill",
            now=self.now,
        )

    # --- What holds after every step -----------------------------------------------

    @invariant()
    def the_audit_finds_nothing(self) -> None:
        """Money that waits for a person is no fault; ``each_payment`` counts it."""
        assert broken(self.now, besides=("INV-12",)) == []

    @invariant()
    def money_there_is_money_here(self) -> None:
        there, here = self.paid_there(), self.paid_here()
        assert here <= there
        told_later = self.untold | self.charges_in_doubt()
        assert {line[:2] for line in there - here} <= told_later
        back_there, back_here = self.refunded_there(), self.refunded_here()
        assert back_here <= back_there
        under_way = self.refunds().filter(state__in=("requested", "processing"))
        names = {self.name_here(refund) for refund in under_way}
        assert {name for name, _ in back_there - back_here} <= names

    @invariant()
    def each_payment_is_in_one_place(self) -> None:
        """C12: it settles an order, or goes back, or waits for a person."""
        waiting = set(cases.unallocated().values_list("pk", flat=True))
        for attempt in self.attempts().filter(state="paid").select_related("order"):
            places = [
                attempt.order.settled_by_id == attempt.pk
                and attempt.refund_reserved_fen != attempt.paid_fen,
                attempt.refund_reserved_fen == attempt.paid_fen,
                attempt.pk in waiting,
            ]
            assert places.count(True) == 1, (attempt.out_trade_no, places)

    @invariant()
    def a_coupon_counts_its_orders(self) -> None:
        """INV-13 once more, and in words of its own: what was over gave its use back."""
        for coupon in self.coupons:
            holds = (
                self.orders()
                .filter(coupon=coupon)
                .exclude(status__in=("expired", "cancelled"))
            )
            assert fresh(coupon).used == holds.count() <= coupon.max_uses
            assert holds.count() <= coupon.max_per_member

    @invariant()
    def the_timeline_keeps_its_promises(self) -> None:
        """History stays, nothing overlaps, no second is lost, no rank rises."""
        rows = list(
            Segment.objects.filter(member=self.member)
            .order_by("starts_at")
            .select_related("entitlement")
        )
        assert all(a.ends_at <= b.starts_at for a, b in pairwise(rows))
        mark = fresh(self.member).timeline_at or self.now
        past = [
            (row.entitlement_id, row.starts_at, min(row.ends_at, mark))
            for row in rows
            if row.starts_at < mark
        ]
        before = [row for row in past if row[1] < (self.past_until or mark)]
        clipped = [(e, s, min(t, self.past_until or mark)) for e, s, t in before]
        assert clipped == self.past
        self.past, self.past_until = past, mark
        ahead = [row for row in rows if row.ends_at > mark]
        assert all(
            a.ends_at == b.starts_at and a.entitlement.rank >= b.entitlement.rank
            for a, b in pairwise(ahead)
        )
        if not Pause.objects.filter(member=self.member, ends_at=None).exists():
            bought = Entitlement.objects.filter(member=self.member).aggregate(
                all=Sum("seconds"), back=Sum("revoked_seconds")
            )
            run = sum((row.ends_at - row.starts_at).total_seconds() for row in rows)
            assert run == (bought["all"] or 0) - (bought["back"] or 0)

    past_until: datetime | None = None

    # --- The end -------------------------------------------------------------------

    def finish(self) -> None:
        """Everything is told and done: then both sides hold exactly the same."""
        self.sandbox.clear_faults()
        mandates.stop_all(self.member.pk, now=self.now)
        for order in self.orders().filter(status=Status.PENDING):
            self.wait_until(order.expires_at)  # of a charge: the end of her membership
        self.wait(31 * 60)
        self.wait(25 * 3_600)
        for trade in self.sandbox.trades():
            for payment in trade["payments"]:
                attempt = Attempt.objects.get(out_trade_no=trade["number"])
                self.write(attempt, txn_id=payment["txn_id"])
                self.deliver(len(self.letters) - 1)
            for refund in trade["refunds"]:
                if refund["status"] == "processing":
                    self.sandbox.settle_refund(trade["gateway"], refund["number"])
        self.wait(5 * 3_600)  # what was to go back is sent …
        self.wait(5 * 3_600)  # … and asked for
        self.money_there_is_money_here()
        assert self.paid_there() == self.paid_here()
        assert self.refunded_there() == self.refunded_here()
        assert not self.orders().filter(status=Status.PENDING).exists()
        assert not self.attempts().filter(state__in=LIVE_STATES).exists()
        self.the_audit_finds_nothing()
        self.each_payment_is_in_one_place()

    def what_happened(self) -> dict[str, int]:
        orders, refunded = self.orders(), self.refunds().filter(state="success")
        debits = self.attempts().filter(product=Product.MANDATE)
        return {
            "orders": orders.count(),
            "paid": orders.filter(status=Status.PAID).count(),
            "paid with a coupon": orders.filter(
                status=Status.PAID, coupon__isnull=False
            ).count(),
            "coupons given back": orders.filter(
                status__in=(Status.EXPIRED, Status.CANCELLED), coupon__isnull=False
            ).count(),
            "keys delivered": sum(order.keys.count() for order in orders),
            "charges": debits.count(),
            "charges paid": debits.filter(state="paid").count(),
            "refunds": refunded.count(),
        }

    # --- Both sides' books ---------------------------------------------------------

    def paid_there(self) -> set[tuple[str, str, int]]:
        return {
            (trade["gateway"], payment["txn_id"], payment["amount_fen"])
            for trade in self.sandbox.trades()
            for payment in trade["payments"]
        }

    def paid_here(self) -> set[tuple[str, str, int]]:
        paid = self.attempts().filter(state="paid")
        second = GatewayEvent.objects.filter(
            attempt__in=self.attempts(), outcome="overpaid"
        )
        return {
            *paid.values_list("gateway", "txn_id", "paid_fen"),
            *second.values_list("gateway", "txn_id", "amount_fen"),
        }

    def charges_in_doubt(self) -> set[tuple[str, str]]:
        """Paid by mandate there, and the answer was lost: the next poll books it."""
        doubtful = self.attempts().filter(
            product=Product.MANDATE, state__in=LIVE_STATES
        )
        numbers = set(doubtful.values_list("out_trade_no", flat=True))
        return {
            (trade["gateway"], payment["txn_id"])
            for trade in self.sandbox.trades()
            if trade["number"] in numbers
            for payment in trade["payments"]
        }

    def refunded_there(self) -> set[tuple[str, int]]:
        return {
            (
                refund["txn_id" if is_nameless(trade["gateway"]) else "number"],
                refund["amount_fen"],
            )
            for trade in self.sandbox.trades()
            for refund in trade["refunds"]
            if refund["status"] == "success"
        }

    def refunded_here(self) -> set[tuple[str, int]]:
        done = self.refunds().filter(state="success", by_hand=False)
        return {(self.name_here(refund), refund.amount_fen) for refund in done}

    @staticmethod
    def name_here(refund: Refund) -> str:
        attempt = refund.attempt
        return refund.txn_id if is_nameless(attempt.gateway) else refund.out_refund_no

    def rows(self) -> list[Any]:
        """Money and time of this member, as numbers that change with any of it."""
        return [
            list(self.attempts().order_by("pk").values_list("pk", "state", "paid_fen")),
            list(self.orders().order_by("pk").values_list("pk", "status", "version")),
            list(self.refunds().order_by("pk").values_list("pk", "state")),
            fresh(self.member).version,
        ]

    @property
    def is_running(self) -> bool:
        end = fresh(self.member).paid_until
        return end is not None and end > self.now

    def coupon(self, code: int | None) -> Coupon | None:
        return None if code is None else fresh(self.coupons[code])

    def orders(self) -> QuerySet[Order]:
        return Order.objects.filter(member=self.member)

    def attempts(self) -> QuerySet[Attempt]:
        return Attempt.objects.filter(order__member=self.member)

    def refunds(self) -> QuerySet[Refund]:
        return Refund.objects.filter(attempt__order__member=self.member).select_related(
            "attempt__order"
        )

    @staticmethod
    def one(rows: QuerySet, pick: int) -> Any:
        found = list(rows.order_by("pk"))
        return found[pick % len(found)] if found else None

    # --- How they speak ------------------------------------------------------------

    def at_the_gateway(self, pick: int) -> Attempt | None:
        """An attempt that the gateway knows; a signed address is opened for that."""
        attempt: Attempt | None = self.one(self.attempts(), pick)
        if attempt is None:
            return None
        handover = attempts.handover_of(attempt)
        try:
            self.sandbox.trade(attempt.gateway, attempt.out_trade_no)
        except ControlRefused:
            if handover is None or not handover.url:
                return None
            if handover.kind == HandoverKind.FORM:
                self.sandbox.client.post(handover.url, data=dict(handover.params))
            else:
                self.sandbox.client.get(handover.url)
            with suppress(ControlRefused):
                self.sandbox.trade(attempt.gateway, attempt.out_trade_no)
                return attempt
            return None
        return attempt

    def write(self, attempt: Attempt, **options: Any) -> None:
        """Let the sandbox write a notice now; it is kept in ``letters``."""
        box = self.till.notices
        assert box is not None
        box.received.clear()
        self.sandbox.notify(
            attempt.gateway,
            attempt.out_trade_no,
            options.pop("variant", "resend"),
            **options,
        )
        ours = [each for each in box.received if self.is_about(attempt, each, options)]
        letter = (ours or box.received)[-1]
        self.letters.append((attempt.gateway, letter, self.now))

    def is_about(
        self, attempt: Attempt, letter: Received, options: dict[str, Any]
    ) -> bool:
        """Not a notice that the sandbox has sent by itself in the same moment."""
        gateway = gateways.get(attempt.gateway)
        assert gateway is not None
        request = NoticeRequest("POST", letter.headers, "", letter.body)
        try:
            notice = gateway.parse_notice(request, now=self.now)
        except Exception:
            return True  # forged
        if notice.refund is not None:
            return notice.refund.number == options.get("refund_number")
        said = notice.trade.txn_id if notice.trade else ""
        return said == options.get("txn_id", said)

    def deliver(self, index: int) -> None:
        gateway, letter, written_at = self.letters[index]
        assert self.till.deliver(letter, gateway=gateway).status_code < 503
        if self.now - written_at < NEVER_STALE:
            told = {line[:2] for line in self.paid_here()}
            self.untold -= told

    def work(self) -> None:
        """What worker and beat do: everything that is due, until nothing is."""
        reminders.schedule(now=self.now)
        for _ in range(8):
            mandates.poll_signatures(now=self.now)
            done = renewal.run_due(now=self.now)
            done += self.till.poll() + self.till.run_outbox() + self.till.expire()
            done += confirmation.confirm_due(now=self.now)
            done += delivery.serve_all(now=self.now)
            done += shortage.refund_short(now=self.now)
            if not done + self.till.continue_refunds():
                return


@pytest.fixture
def with_epay(till: Till) -> Iterator[None]:
    names = till.wallet.environment.items()
    with override_settings(**{k: v for k, v in names if k.startswith("EPAY_")}):
        yield


def test_no_fen_is_unaccounted_for_whatever_happens(
    till: Till, operator: Member, with_epay: None
):
    """C12, INV-4, INV-8 and the rest of the audit."""
    assert {way.gateway for way in ways()} == set(gateways.GATEWAYS)
    number = int(os.environ.get("HISTORY_SEED") or secrets.randbits(32))
    print(f"HISTORY_SEED={number} HISTORIES={HISTORIES}")  # noqa: T201
    took_part = Counter[str]()
    facts = {
        "till": till,
        "operator": operator,
        "goods": make_goods(keys=2),
        "took_part": took_part,
    }
    machine = type("History", (Histories,), facts)
    play = settings(
        max_examples=HISTORIES,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=(Phase.generate, *([Phase.shrink] if SHRINK else [])),
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(seed(number)(machine), settings=play)
    print(dict(took_part))  # noqa: T201
