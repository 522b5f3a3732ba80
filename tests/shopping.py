"""A shopper, a till and a clock: what tests of orders and payments have in common.

The till calls the domain as the views do; the gateways behind it are the real adapters,
talking to the sandbox's process. Nobody waits: the clock is moved, also the sandbox's.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import time_machine
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext

from goods.models import Goods
from members.models import Entitlement, Member
from members.standing import standing
from notifications import outbox
from notifications.models import Notification, Outbox
from orders import coupons, goods_sale
from orders.checkout import Placed, place_order
from orders.coupon_models import FULL_BP
from orders.models import Coupon, Order
from orders.pricing import line_fen
from payments import attempts, audit, polling
from payments.attempts import Way
from payments.gateways.contract import Product, Trade, TradeState
from payments.models import Attempt, EventOutcome, GatewayEvent, Refund
from payments.refunding import refunds
from payments.settle import Source, apply_result
from tests.sandbox.merchant import NoticeServer, Received
from tests.sandbox_process import Sandbox, wait_for

WECHAT = Way("wechat", "wechat", Product.NATIVE, "203.0.113.9")
WECHAT_H5 = Way("wechat", "wechat", Product.H5, "203.0.113.9")
ALIPAY = Way("alipay", "alipay", Product.QR, "203.0.113.9")
ALIPAY_PAGE = Way("alipay", "alipay", Product.PAGE, "203.0.113.9")
UNIONPAY = Way("unionpay", "unionpay", Product.FRONT, "203.0.113.9")
NOTICE = Source("notice")

PRICES = {
    "temporary-1": 300,
    "temporary-7": 1_500,
    "temporary-30": 5_000,
    "long-term-90": 7_500,
    "long-term-365": 23_800,
}

_tokens = itertools.count(1)
_phones = itertools.count(13_300_000_000)


def new_member() -> Member:
    return Member.objects.create_user(f"+86{next(_phones)}")


def client_token() -> str:
    return f"client-token-{next(_tokens):08}"


@contextmanager
def gateways_of(sandbox: Sandbox, shop_url: str) -> Iterator[None]:
    """The shop's gateways and SMS point at the sandbox, notices at ``shop_url``."""
    names = {
        name: value
        for name, value in sandbox.environment.items()
        if name.startswith(("ALIPAY_", "WECHAT_PAY_", "UNIONPAY_", "SMS_"))
    }
    with override_settings(**names, PUBLIC_URL=shop_url):
        yield


@dataclass
class Till:
    """``now`` is the shop's clock; ``sandbox`` None where no gateway is asked."""

    now: datetime
    sandbox: Sandbox | None = None
    notices: NoticeServer | None = None

    @property
    def wallet(self) -> Sandbox:
        assert self.sandbox is not None
        return self.sandbox

    def wait(self, **span: float) -> datetime:
        """Move every clock on."""
        self.now += timedelta(**span)
        return self.set_clock(self.now)

    def set_clock(self, now: datetime) -> datetime:
        self.now = now
        if self.sandbox:
            self.sandbox.set_clock(now=now.isoformat())
        return now

    # --- What shoppers do ----------------------------------------------------------

    def place(
        self,
        member: Member,
        plan: str = "temporary-7",
        *,
        way: Way | None = None,
        quantity: int = 1,
        shown_fen: int | None = None,
        token: str = "",
        address: str = "",
        coupon: Coupon | None = None,
        attach: Callable[[Order], object] | None = None,
    ) -> Order:
        """A placed order; with a ``way`` its first attempt is made, not yet started."""

        def first(order: Order) -> None:
            if way is not None:
                attempts.create_locked(order, way, now=self.now)

        fen = PRICES.get(plan, 0) * quantity if shown_fen is None else shown_fen
        if coupon is not None and shown_fen is None:
            fen = coupons.cut(coupon, fen).amount_fen
        placed: Placed = place_order(
            member_id=member.pk,
            plan_slug=plan,
            quantity=quantity,
            shown_fen=fen,
            client_token=token or client_token(),
            address_digest=address,
            coupon_id=coupon.pk if coupon else None,
            now=self.now,
            attach=attach or first,
        )
        return placed.order

    def bill(
        self,
        member: Member,
        plan: str = "temporary-7",
        *,
        way: Way = WECHAT,
        coupon: Coupon | None = None,
    ) -> Attempt:
        """An order with one attempt that no gateway knows of."""
        return self.place(member, plan, way=way, coupon=coupon).attempts.get()

    def bill_goods(
        self,
        member: Member,
        goods: Goods,
        *,
        quantity: int = 1,
        shown_fen: int | None = None,
        way: Way = WECHAT,
        token: str = "",
        address: str = "",
        coupon: Coupon | None = None,
    ) -> Attempt:
        """An order of goods at the member's price, with one attempt to pay it."""
        if shown_fen is None:
            bp = goods_sale.discount_of(goods, standing(fresh(member), at=self.now))
            shown_fen = line_fen(goods.price_fen, quantity, bp)
            if coupon is not None:
                full_fen = line_fen(goods.price_fen, quantity, FULL_BP)
                shown_fen = coupons.cut(coupon, full_fen).amount_fen
        placed = place_order(
            member_id=member.pk,
            goods_slug=goods.slug,
            quantity=quantity,
            shown_fen=shown_fen,
            client_token=token or client_token(),
            address_digest=address,
            coupon_id=coupon.pk if coupon else None,
            now=self.now,
            attach=lambda order: attempts.create_locked(order, way, now=self.now),
        )
        return placed.order.attempts.get()

    def buy_goods(self, member: Member, goods: Goods, *, quantity: int = 1) -> Order:
        """Ordered and paid for, delivered or waiting."""
        attempt = self.bill_goods(member, goods, quantity=quantity)
        self.hear(attempt)
        return fresh(attempt.order)

    def pay(self, order: Order, way: Way) -> Attempt:
        """Press "pay" or "pay again"; the attempt as the database has it then."""
        return fresh(attempts.pay(order.pk, way, now=self.now))

    # --- What gateways say ---------------------------------------------------------

    def hear(self, attempt: Attempt, **says: Any) -> EventOutcome:
        """A verified message about an attempt: success unless told otherwise."""
        return apply_result(
            attempt.gateway, said(attempt, **says), source=NOTICE, now=self.now
        )

    def caught(self, count: int = 1) -> list[Received]:
        """Notices that the sandbox sent and nobody has handled yet; see ``deliver``."""
        assert self.notices is not None
        server = self.notices
        wait_for(lambda: len(server.received) >= count)
        taken, server.received[:] = list(server.received), []
        return taken

    def deliver(self, notice: Received, *, gateway: str) -> Any:
        """Hand a caught notice to the shop's own address, byte for byte."""
        with self.stopped_clock():
            return self.post_notice(notice, gateway=gateway)

    def post_notice(self, notice: Received, *, gateway: str) -> Any:
        """The same for a caller who has stopped the clock."""
        headers = {
            f"HTTP_{name.upper().replace('-', '_')}": value
            for name, value in notice.headers.items()
            if name.lower() not in ("content-type", "content-length", "host")
        }
        return Client().generic(
            notice.method,
            f"/payments/{gateway}/notify/",
            notice.body,
            content_type=notice.headers.get("Content-Type", ""),
            QUERY_STRING=notice.query,
            **headers,  # type: ignore[arg-type]
        )

    def stopped_clock(self) -> time_machine.travel:
        """For requests, which take their ``now`` from the process."""
        return time_machine.travel(self.now, tick=False)

    # --- What the clock does -------------------------------------------------------

    def poll(self) -> int:
        return polling.poll_due(now=self.now)

    def expire(self) -> int:
        return polling.expire_due(now=self.now)

    def run_outbox(self) -> int:
        return outbox.run_due(now=self.now)

    def continue_refunds(self) -> int:
        return refunds.continue_refunds(now=self.now)


def counts(member: Member) -> dict[str, int]:
    """How many rows of each kind the database holds about one member."""
    mine = {"attempt__order__member": member}
    return {
        "entitlements": Entitlement.objects.filter(member=member).count(),
        "paid orders": Order.objects.filter(member=member, status="paid").count(),
        "refunds": Refund.objects.filter(**mine).count(),
        "events": GatewayEvent.objects.filter(**mine).count(),
        "messages": Notification.objects.filter(member=member).count(),
        "outbox": Outbox.objects.count(),
    }


class Shopper:
    """A browser whose requests happen at the till's time."""

    def __init__(self, till: Till, member: Member | None = None) -> None:
        self.till = till
        self.client = Client()
        if member is not None:
            with till.stopped_clock():
                self.client.force_login(member)

    def get(self, path: str, **headers: Any) -> Any:
        with self.till.stopped_clock():
            return self.client.get(path, **headers)

    def post(self, path: str, **fields: Any) -> Any:
        with self.till.stopped_clock():
            return self.client.post(path, fields)

    @property
    def is_signed_in(self) -> bool:
        return "_auth_user_id" in self.client.session


def checkout_form(**change: Any) -> dict[str, Any]:
    """What the page posts for the 7-day plan, with a token of its own."""
    return {
        "plan": "temporary-7",
        "quantity": "1",
        "channel": "wechat",
        "client_token": client_token(),
        "shown_fen": "1500",
    } | change


def said(attempt: Attempt, **says: Any) -> Trade:
    """What a gateway tells of this attempt: paid in full, unless told otherwise."""
    told: dict[str, Any] = {
        "number": attempt.out_trade_no,
        "state": TradeState.PAID,
        "txn_id": f"T-{attempt.out_trade_no}",
        "amount_fen": attempt.amount_fen,
        "currency": attempt.currency,
    }
    return Trade(**told | says)


def fresh[Row: (Order, Attempt, Member, Refund, Goods, Coupon)](row: Row) -> Row:
    """The row as the database has it now."""
    found: Row = type(row).objects.get(pk=row.pk)
    return found


def events_of(order: Order) -> list[str]:
    return list(order.events.order_by("id").values_list("kind", flat=True))


BARE = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK")


def statements(queries: CaptureQueriesContext) -> list[str]:
    """What was asked of the database, transaction control left out."""
    asked = [query["sql"] for query in queries.captured_queries]
    return [sql for sql in asked if not sql.startswith(BARE)]


def broken(now: datetime, *, besides: tuple[str, ...] = ()) -> list[str]:
    """The invariants that do not hold; empty on sound books."""
    return [
        f"{finding.invariant} {finding.rule}: {', '.join(finding.examples)}"
        for finding in audit.run(now=now)
        if finding.count and finding.invariant not in besides
    ]
