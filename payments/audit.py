"""What must hold whatever happened: invariants as queries that find nothing.

The numbers are those of the security page, written ``INV-1`` to ``INV-16``. Each check
is a query over rows that break one rule; the database's own constraints stand below
them, so most of these can only be broken by hand or by a mistake in a migration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from django.db import connection
from django.db.models import (
    BigIntegerField,
    Case,
    CharField,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
    Window,
)
from django.db.models.functions import Cast, Coalesce, Concat, Greatest, Lag, Lead

from members import reminders, rules
from members.audit import misfolded
from members.models import (
    Entitlement,
    EntitlementSource,
    GiftCode,
    GiftState,
    Segment,
)
from notifications.models import Notification, Outbox
from notifications.outbox import CLAIM_SECONDS
from orders import audit as goods_audit
from orders.models import Fulfil, Kind, Order, OrderEvent, Status
from payments import cases
from payments.console import decisions
from payments.models import (
    LIVE_STATES,
    Attempt,
    AttemptState,
    Refund,
    RefundReason,
    RefundState,
)

EXAMPLES = 5
SETTLING = timedelta(seconds=60)
"""A paid order may be so young before its time must be there."""
OVERDUE = timedelta(minutes=5)
"""What should have been done so long ago is stuck."""
UNREMINDED = timedelta(minutes=10)

NOT_CHECKED = {
    "INV-14": "personal data in logs: only the logs can tell",
}

type Broken = QuerySet[Any, Any] | Iterable[object]
"""The numbers of the rows that break a rule."""


@dataclass(frozen=True, slots=True)
class Finding:
    """How many rows break one rule, none when it holds; ``examples`` to look up."""

    invariant: str
    rule: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Check:
    invariant: str
    rule: str
    broken: Callable[[datetime], Broken]

    def __call__(self, now: datetime) -> Finding:
        broken = self.broken(now)
        if isinstance(broken, QuerySet):
            some = list(broken[:EXAMPLES])  # nearly always none, and no count needed
            count = broken.count() if len(some) == EXAMPLES else len(some)
        else:
            found = iter(broken)
            some = list(islice(found, EXAMPLES))
            count = len(some) + sum(1 for _ in found)
        return Finding(self.invariant, self.rule, count, tuple(map(str, some)))


CHECKS: list[Check] = []


def check[F: Callable[[datetime], Broken]](
    invariant: str, rule: str
) -> Callable[[F], F]:
    def register(broken: F) -> F:
        CHECKS.append(Check(f"INV-{invariant}", rule, broken))
        return broken

    return register


CHECKS += [
    Check(f"INV-{invariant}", rule, broken)
    for invariant, rule, broken in goods_audit.CHECKS
]


def run(*, now: datetime) -> list[Finding]:
    """Check every invariant as of one moment."""
    return list(findings(now=now))


def findings(*, now: datetime) -> Iterator[Finding]:
    """The same, one by one as they are found."""
    with one_moment():
        for each in sorted(CHECKS, key=lambda each: int(each.invariant[4:])):
            yield each(now)


@contextmanager
def one_moment() -> Iterator[None]:
    """Let all reads see the database as it is now, without holding up a writer.

    Else a purchase between two queries would look like damage. Inside a transaction of
    the caller's that one decides.
    """
    if connection.in_atomic_block:
        yield
        return
    begin = ["BEGIN"]  # on SQLite deferred: unlike our atomic(), it locks nothing
    if connection.vendor == "postgresql":
        begin = [
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            "SET LOCAL statement_timeout = 0",
        ]
    with connection.cursor() as cursor:
        for statement in begin:
            cursor.execute(statement)
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")


@dataclass(frozen=True, slots=True)
class Balance:
    """What one gateway should hold for us: the sums to compare with its bill (C12)."""

    gateway: str
    currency: str
    paid_fen: int
    refunded_fen: int

    @property
    def kept_fen(self) -> int:
        return self.paid_fen - self.refunded_fen


def balances() -> list[Balance]:
    paid = Attempt.objects.filter(state=AttemptState.PAID).values_list(
        "gateway", "paid_currency"
    )
    refunded = Refund.objects.filter(
        state=RefundState.SUCCESS, by_hand=False, second_payment__isnull=True
    ).values_list("attempt__gateway", "attempt__paid_currency")
    back = {(g, c): fen for g, c, fen in refunded.annotate(fen=Sum("amount_fen"))}
    return [
        Balance(gateway, currency or "", fen, back.get((gateway, currency), 0))
        for gateway, currency, fen in paid.annotate(fen=Sum("paid_fen")).order_by(
            "gateway", "paid_currency"
        )
    ]


# --- What was paid for is there, once ----------------------------------------------


@check("1", "a paid order has given its time")
def _paid_for_nothing(now: datetime) -> Broken:
    return Order.objects.filter(
        status=Status.PAID,
        kind=Kind.TIER,
        fulfil__in=(Fulfil.NONE, Fulfil.DONE),
        paid_at__lt=now - SETTLING,
        entitlement__isnull=True,
    ).values_list("no", flat=True)


@check(
    "2", "an entitlement comes from a paid, fulfilled order, an operator or a gift code"
)
def _given_for_nothing(now: datetime) -> Broken:
    unpaid = Q(order__isnull=True) | ~Q(order__status=Status.PAID)
    undelivered = Q(order__fulfil__in=(Fulfil.NONE, Fulfil.SHORT, Fulfil.HELD))
    return (
        Entitlement.objects.filter(
            Q(source=EntitlementSource.ORDER) & (unpaid | undelivered)
            | Q(source=EntitlementSource.GRANT, actor__isnull=True)
            | Q(source=EntitlementSource.GIFT)
            & ~Q(gift_code__state=GiftState.REDEEMED, tier=F("gift_code__batch__tier"))
        )
        .order_by("pk")
        .values_list("pk", flat=True)
    )


@check("3", "a gift code that was redeemed has given its days, and once")
def _redeemed_for_nothing(now: datetime) -> Broken:
    days = F("gift_code__batch__days") * 86_400
    gave = Entitlement.objects.filter(gift_code=OuterRef("pk"), seconds=days)
    return (
        GiftCode.objects.filter(~Exists(gave), state=GiftState.REDEEMED)
        .order_by("pk")
        .values_list("pk", flat=True)
    )


@check("3", "an order has given its time once")
def _given_twice(now: datetime) -> Broken:
    return (
        Entitlement.objects.filter(order__isnull=False)
        .values("order__no")
        .annotate(times=Count("pk"))
        .filter(times__gt=1)
        .values_list("order__no", flat=True)
        .order_by("order__no")
    )


# --- Money -------------------------------------------------------------------------


@check("4", "an order is settled by a paid attempt of its own")
def _settled_by_another(now: datetime) -> Broken:
    settled = Order.objects.filter(settled_by__isnull=False)
    return settled.filter(
        ~Q(settled_by__order=F("pk")) | ~Q(settled_by__state=AttemptState.PAID)
    ).values_list("no", flat=True)


@check("4", "money is reserved for exactly the refunds that were not refused")
def _reserved_for_nothing(now: datetime) -> Broken:
    return (
        _with_refunds()
        .exclude(refund_reserved_fen=F("refunds_fen"))
        .values_list("out_trade_no", flat=True)
    )


@check("4", "money that settled an order was not also returned as unneeded")
def _settled_and_returned(now: datetime) -> Broken:
    return (
        Refund.objects.filter(
            reason__in=(RefundReason.SURPLUS, RefundReason.LATE),
            attempt__settled_order__isnull=False,
        )
        .exclude(state=RefundState.FAILED)
        .order_by("pk")
        .values_list("out_refund_no", flat=True)
    )


@check("7", "an order's amount is its price times its quantity, less its coupon")
def _miscalculated(now: datetime) -> Broken:
    exact = Cast("unit_fen", BigIntegerField()) * F("quantity") * F("discount_bp")
    rounded = ExpressionWrapper((exact + 5_000) / 10_000, BigIntegerField())
    return (
        Order.objects.annotate(due_fen=Greatest(rounded, Value(1)))
        .exclude(due_fen=F("amount_fen") + F("coupon_off_fen"))
        .values_list("no", flat=True)
    )


@check("7", "an attempt asks for its order's amount")
def _asked_for_another_sum(now: datetime) -> Broken:
    return Attempt.objects.exclude(
        amount_fen=F("order__amount_fen"), currency=F("order__currency")
    ).values_list("out_trade_no", flat=True)


@check("7", "an order was settled by exactly its amount")
def _settled_by_another_sum(now: datetime) -> Broken:
    accepted = OrderEvent.objects.filter(order=OuterRef("pk"), kind=decisions.ACCEPTED)
    return (
        Order.objects.filter(~Exists(accepted), settled_by__state=AttemptState.PAID)
        .exclude(
            settled_by__paid_fen=F("amount_fen"),
            settled_by__paid_currency=F("currency"),
        )
        .values_list("no", flat=True)
    )


@check("7", "an entitlement is what its order froze")
def _gave_something_else(now: datetime) -> Broken:
    return (
        Entitlement.objects.filter(order__kind=Kind.TIER)
        .exclude(
            member=F("order__member"),
            tier=F("order__plan__tier"),
            seconds=F("order__seconds"),
            rank=F("order__rank"),
            discount_bp=F("order__tier_discount_bp"),
        )
        .order_by("pk")
        .values_list("order__no", flat=True)
    )


@check("9", "refunds of an attempt do not exceed what it paid")
def _refunded_too_much(now: datetime) -> Broken:
    return (
        _with_refunds()
        .filter(refunds_fen__gt=Coalesce("paid_fen", 0))
        .values_list("out_trade_no", flat=True)
    )


@check("9", "an order that was taken back has no time ahead")
def _void_but_running(now: datetime) -> Broken:
    ahead = Segment.objects.filter(entitlement__order=OuterRef("pk"), ends_at__gt=now)
    return Order.objects.filter(Exists(ahead), fulfil=Fulfil.VOID).values_list(
        "no", flat=True
    )


@check("9", "bought time was taken back with the refunds that stand, to the second")
def _taken_back_for_nothing(now: datetime) -> Broken:
    standing = ~Q(refunds__state=RefundState.FAILED)
    taken = Coalesce(Sum("refunds__revoked_seconds", filter=standing), 0)
    return (
        Entitlement.objects.filter(source=EntitlementSource.ORDER)
        .filter(Q(revoked_seconds__gt=0) | Q(refunds__isnull=False))
        .annotate(taken=taken)
        .exclude(revoked_seconds=F("taken"))
        .order_by("pk")
        .values_list("order__no", flat=True)
    )


@check("12", "money that came in pays an order or goes back; else a person must look")
def _unallocated(now: datetime) -> Broken:
    return Attempt.objects.filter(
        state=AttemptState.PAID,
        settled_order__isnull=True,
        refund_reserved_fen__lt=F("paid_fen"),
    ).values_list("out_trade_no", flat=True)


@check("12", "money that fits no attempt was seen to by a person")
def _open_cases(now: datetime) -> Broken:
    return cases.open_events().order_by("pk").values_list("pk", flat=True)


@check("12", "money that no gateway can return was returned by hand")
def _waiting_for_a_hand(now: datetime) -> Broken:
    waiting = cases.refunds_by_hand().order_by("pk")
    return waiting.values_list("out_refund_no", flat=True)


@check("12", "a refund that failed was looked at by a person")
def _failed_unseen(now: datetime) -> Broken:
    failed = cases.failed_refunds().order_by("pk")
    return failed.values_list("out_refund_no", flat=True)


def _with_refunds() -> QuerySet[Any, Any]:
    """Attempts with anything to do with refunds, and the sum of those not refused."""
    standing = ~Q(refunds__state=RefundState.FAILED) & Q(
        refunds__second_payment__isnull=True
    )
    return (
        Attempt.objects.filter(Q(refund_reserved_fen__gt=0) | Q(refunds__isnull=False))
        .annotate(refunds_fen=Coalesce(Sum("refunds__amount_fen", filter=standing), 0))
        .order_by("pk")
    )


# --- Time --------------------------------------------------------------------------


@check("8", "a timeline and its end are the fold of what was bought")
def _misfolded(now: datetime) -> Broken:
    return (f"member {pk}" for pk in misfolded())


@check("8", "the segments of a member do not overlap")
def _overlapping(now: datetime) -> Broken:
    following = Window(
        Lead("starts_at"), partition_by="member", order_by=["starts_at", "pk"]
    )
    return (
        Segment.objects.annotate(following=following)
        .filter(following__lt=F("ends_at"))
        .order_by("pk")
        .values_list("pk", flat=True)
    )


@check("8", "a segment runs time of its own member")
def _of_another_member(now: datetime) -> Broken:
    return (
        Segment.objects.filter(member__merged_into__isnull=True)
        .exclude(member=F("entitlement__member"))
        .order_by("pk")
        .values_list("pk", flat=True)
    )


# --- Nothing is stuck --------------------------------------------------------------


@check("10", "no order waits for money after its hold")
def _stuck_orders(now: datetime) -> Broken:
    grace = timedelta(seconds=rules.current().grace_seconds)
    return Order.objects.filter(
        status=Status.PENDING, expires_at__lt=now - grace - OVERDUE
    ).values_list("no", flat=True)


@check("10", "every live attempt is asked about")
def _stuck_attempts(now: datetime) -> Broken:
    return Attempt.objects.filter(
        Q(next_query_at__isnull=True) | Q(next_query_at__lt=now - OVERDUE),
        state__in=LIVE_STATES,
    ).values_list("out_trade_no", flat=True)


@check("10", "every refund under way is sent or asked about")
def _stuck_refunds(now: datetime) -> Broken:
    key = Concat(Value("refund:"), OuterRef("out_refund_no"), output_field=CharField())
    unasked = Q(next_query_at__isnull=True) | Q(next_query_at__lt=now - OVERDUE)
    unsent = ~Exists(_outbox_will(key)) & Q(created_at__lt=now - OVERDUE)
    return (
        Refund.objects.filter(
            Q(state=RefundState.PROCESSING) & unasked
            | Q(state=RefundState.REQUESTED) & unsent
        )
        .order_by("pk")
        .values_list("out_refund_no", flat=True)
    )


@check("10", "what is due in the outbox gets done")
def _stuck_outbox(now: datetime) -> Broken:
    abandoned = now - OVERDUE - timedelta(seconds=CLAIM_SECONDS)
    return (
        Outbox.objects.filter(
            Q(state=Outbox.State.NEW, due_at__lt=now - OVERDUE)
            | Q(state=Outbox.State.CLAIMED, claimed_at__lt=abandoned)
        )
        .order_by("pk")
        .values_list("key", flat=True)
    )


@check("10", "nothing in the outbox was given up")
def _dead_outbox(now: datetime) -> Broken:
    return (
        Outbox.objects.filter(state=Outbox.State.DEAD)
        .order_by("pk")
        .values_list("key", flat=True)
    )


@check("6", "a message that waits has somebody to send it")
def _forgotten_messages(now: datetime) -> Broken:
    key = Concat(Value("notification:"), OuterRef("key"), output_field=CharField())
    return (
        Notification.objects.filter(
            ~Exists(_outbox_will(key)),
            state__in=(Notification.State.QUEUED, Notification.State.SENDING),
            due_at__lt=now - OVERDUE,
        )
        .order_by("pk")
        .values_list("key", flat=True)
    )


def _outbox_will(key: Concat) -> QuerySet[Outbox]:
    return Outbox.objects.filter(
        key=key, state__in=(Outbox.State.NEW, Outbox.State.CLAIMED)
    )


# --- The story ---------------------------------------------------------------------

PLACED = "placed"
MOVES = (
    ("", PLACED),
    (PLACED, Status.PAID.value),
    (PLACED, Status.EXPIRED.value),
    (PLACED, Status.CANCELLED.value),
    (Status.EXPIRED.value, Status.PAID.value),  # late money (R10)
)
"""From one line of an order's story about its status to the next."""


def _moves() -> QuerySet[OrderEvent]:
    return OrderEvent.objects.filter(kind__in={after for _, after in MOVES})


@check("11", "an order's story has legal moves only")
def _illegal_moves(now: datetime) -> Broken:
    before = Window(Lag("kind"), partition_by="order", order_by="id")
    move = Concat(Coalesce(before, Value("")), Value(" → "), F("kind"))
    legal = [f"{before} → {after}" for before, after in MOVES]
    return (
        _moves()
        .annotate(move=move)
        .exclude(move__in=legal)
        .order_by("pk")
        .values_list("order__no", flat=True)
    )


@check("11", "an order stands where its story ended")
def _another_ending(now: datetime) -> Broken:
    last = _moves().filter(order=OuterRef("pk")).order_by("-id").values("kind")[:1]
    told = Case(When(status=Status.PENDING, then=Value(PLACED)), default=F("status"))
    return (
        Order.objects.annotate(last=Coalesce(Subquery(last), Value("")), told=told)
        .exclude(last=F("told"))
        .values_list("no", flat=True)
    )


# --- Reminders ---------------------------------------------------------------------


def _reminders() -> QuerySet[Notification]:
    return Notification.objects.filter(reminders.IS_ONE).order_by("pk")


@check("16", "an end is reminded of once through each channel")
def _reminded_twice(now: datetime) -> Broken:
    return (
        _reminders()
        .order_by("member", "expires_at", "channel")
        .values("member", "expires_at", "channel")
        .annotate(
            times=Count("pk"),
            number=Concat(Value("member "), Cast("member", CharField())),
        )
        .filter(times__gt=1)
        .values_list("number", flat=True)
    )


@check("16", "nobody is reminded of an end that has passed")
def _reminded_too_late(now: datetime) -> Broken:
    return (
        _reminders().filter(sent_at__gte=F("expires_at")).values_list("key", flat=True)
    )


@check("16", "everybody is reminded in time")
def _unreminded(now: datetime) -> Broken:
    return (f"member {pk}" for pk in reminders.missed(now=now, by=UNREMINDED))
