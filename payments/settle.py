"""The one settle path: whatever a gateway says about a payment ends in ``apply_result``.

Notice, return page, page-triggered query, scheduled poll, sweep and operator all call
it (R2). It takes no HTTP and opens one transaction in which the attempt, the order, the
membership, the refund and every message are written together (R3).
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q, prefetch_related_objects

from members import rules
from members.timeline import TimelineFull, activate, lock_member
from notifications import outbox
from orders import coupons, delivery
from orders.closing import lock_order_of
from orders.models import Fulfil, Kind, Order, OrderEvent, Risk, Status
from payments import telling
from payments.gateways.contract import Trade, TradeState
from payments.models import (
    LIVE_STATES,
    Attempt,
    AttemptState,
    EventOutcome,
    GatewayEvent,
    RefundReason,
)
from payments.refunding.refunds import book_whole

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Source:
    """Where a result came from.

    kind    ``notice``, ``query``, ``close`` or ``manual``
    digest  names a message once for ever (K24); "" for answers that are not kept
    doubt   raise ``AskFirst`` where a success should be confirmed before it is booked
    weak    the signature proves little: that is so for every success
    """

    kind: str
    digest: str = ""
    doubt: bool = False
    weak: bool = False


class AskFirst(Exception):
    """A success of a large sum, or of an attempt that was over; nothing was written.

    must_be_asked  never booked on a notice alone: the sum is above the operator's limit,
                   or the notice proves little and names another sum than the attempt's
    """

    def __init__(self, attempt: Attempt, *, must_be_asked: bool) -> None:
        super().__init__(attempt.pk)
        self.attempt, self.must_be_asked = attempt, must_be_asked


CONFIRM_AFTER = timedelta(minutes=5)
"""When to ask whether a notice of success was true (security 40: within ten)."""


MOST_FEN = 10**13
"""No gateway moves more at once, and every column holds it."""


def is_plain(trade: Trade) -> bool:
    """Whether amount and currency are stated so that they can be compared and kept."""
    return (
        trade.amount_fen is not None
        and trade.amount_fen <= MOST_FEN
        and len(trade.currency) <= 3
    )


def digest_of(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def apply_result(
    gateway: str, trade: Trade, *, source: Source, now: datetime
) -> EventOutcome:
    """Book what a gateway says about one of our attempts, exactly once.

    Verified success wins from any state and is final (R1). The first one pays the
    order, every other one is refunded in full (R6); another amount or currency is
    recorded and left to an operator (R7); late money settles or goes back (R10).
    Safe to repeat and to run in parallel: the state decides, not the log.

    trade   from a verified message of this shop's own merchant account
    raises  nothing for any content of ``trade`` but ``AskFirst`` where ``source`` says
            so; database errors pass through
    """
    try:
        return _apply(gateway, trade, source=source, now=now)
    except IntegrityError:
        if not _clashes(gateway, trade):
            raise
        log.error("gateway=%s one transaction id for two attempts", gateway)
        return _record_clash(gateway, trade, source=source, now=now)


@transaction.atomic(durable=True)
def _apply(
    gateway: str, trade: Trade, *, source: Source, now: datetime
) -> EventOutcome:
    return apply_in_transaction(gateway, trade, source=source, now=now)


def apply_in_transaction(
    gateway: str, trade: Trade, *, source: Source, now: datetime
) -> EventOutcome:
    """``apply_result`` for a caller who has more to write in the same transaction."""
    order = lock_order_of(gateway, trade.number)
    if order is None:
        log.error("gateway=%s %s names no attempt of ours", gateway, source.kind)
        return _record(gateway, trade, None, EventOutcome.ORPHAN, source, now=now)
    prefetch_related_objects([order], "attempts")  # only now, under the lock
    attempt = next(
        each
        for each in order.attempts.all()
        if (each.gateway, each.out_trade_no) == (gateway, trade.number)
    )
    if not attempt.is_placed_at(trade.placed_at):
        log.error("gateway=%s %s names another moment", gateway, source.kind)
        return _record(gateway, trade, None, EventOutcome.ORPHAN, source, now=now)
    if trade.state == TradeState.PAID:
        if source.doubt:
            _doubt(attempt, trade, weak=source.weak)
        outcome = _apply_paid(order, attempt, trade, source=source, now=now)
    else:
        outcome = _apply_unpaid(attempt, trade, now=now)
    return _record(gateway, trade, attempt, outcome, source, now=now)


def _apply_unpaid(attempt: Attempt, trade: Trade, *, now: datetime) -> EventOutcome:
    """Anything but success moves live attempts only; paid stays paid (B8)."""
    if attempt.state not in LIVE_STATES:
        return EventOutcome.NOTED
    if trade.state == TradeState.CLOSED:
        attempt.state = AttemptState.FAILED if trade.refused else AttemptState.CLOSED
        attempt.last_error = trade.refused[:200]
        attempt.next_query_at = None
        attempt.save(update_fields=["state", "last_error", "next_query_at"])
        OrderEvent.objects.create(
            order_id=attempt.order_id,
            at=now,
            kind=f"attempt-{attempt.state}",
            detail={"attempt": attempt.pk, "gateway": attempt.gateway},
        )
    elif trade.state == TradeState.WAITING and attempt.state == AttemptState.UNKNOWN:
        attempt.state = AttemptState.OPEN
        attempt.save(update_fields=["state"])
    elif trade.state == TradeState.UNKNOWN:
        log.error(
            "gateway=%s unknown trade state %r", attempt.gateway, trade.raw_state[:40]
        )
    return EventOutcome.NOTED


def _doubt(attempt: Attempt, trade: Trade, *, weak: bool) -> None:
    """Refuse to believe at once what pays a forger most (security 40).

    Another sum or currency than the attempt's delivers nothing: a person sees it (R7).
    But under a weak signature it would make the true payment look like a second one.
    """
    would_pay = (trade.amount_fen, trade.currency) == (
        attempt.amount_fen,
        attempt.currency,
    )
    if attempt.state == AttemptState.PAID or not (weak or (would_pay and trade.txn_id)):
        return
    is_large = attempt.amount_fen > rules.current().confirm_above_fen
    if weak or is_large or attempt.state not in LIVE_STATES:
        raise AskFirst(attempt, must_be_asked=is_large or not would_pay)


def _apply_paid(
    order: Order, attempt: Attempt, trade: Trade, *, source: Source, now: datetime
) -> EventOutcome:
    if attempt.state == AttemptState.PAID:
        return _apply_again(order, attempt, trade)
    if not (is_plain(trade) and trade.txn_id):
        log.error("gateway=%s success without a readable amount", attempt.gateway)
        return EventOutcome.MISMATCH
    attempt.state = AttemptState.PAID
    attempt.txn_id = trade.txn_id
    attempt.paid_fen = trade.amount_fen
    attempt.paid_currency = trade.currency
    attempt.paid_at = trade.paid_at or now
    attempt.next_query_at = None
    attempt.confirm_at = now + CONFIRM_AFTER if source.kind == "notice" else None
    refund = None
    if _differs(attempt):
        log.error("gateway=%s amount or currency differs", attempt.gateway)
        outcome = EventOutcome.MISMATCH
    else:
        refund = _why_refund(order, now=now)
        if refund is None and not coupons.take_again(order):
            refund = RefundReason.LATE
        outcome = {
            None: EventOutcome.SETTLED,
            RefundReason.SURPLUS: EventOutcome.SURPLUS,
            RefundReason.LATE: EventOutcome.LATE,
        }[refund]
    if refund is not None:
        attempt.refund_reserved_fen = attempt.paid_fen or 0
    attempt.save(
        update_fields=[
            "state",
            "txn_id",
            "paid_fen",
            "paid_currency",
            "paid_at",
            "next_query_at",
            "confirm_at",
            "refund_reserved_fen",
        ]
    )
    if refund is not None:
        book_whole(attempt, refund, now=now)
    elif outcome == EventOutcome.SETTLED:
        settle_locked(order, attempt, now=now)
    return outcome


def _apply_again(order: Order, attempt: Attempt, trade: Trade) -> EventOutcome:
    """Success for an attempt that is paid already: a repeat, or a second payment."""
    if trade.txn_id and trade.txn_id != attempt.txn_id:
        log.error("gateway=%s second transaction for a paid attempt", attempt.gateway)
        return EventOutcome.OVERPAID
    if _differs(attempt) and order.settled_by_id != attempt.pk:
        return EventOutcome.MISMATCH
    return EventOutcome.DUPLICATE


def _differs(attempt: Attempt) -> bool:
    return (attempt.paid_fen, attempt.paid_currency) != (
        attempt.amount_fen,
        attempt.currency,
    )


def _why_refund(order: Order, *, now: datetime) -> RefundReason | None:
    """None when this money pays the order; else why it goes back (R6, R10)."""
    if order.status == Status.PAID:
        return RefundReason.SURPLUS
    if order.status == Status.CANCELLED:
        return RefundReason.LATE
    if now <= order.expires_at:
        return None
    if now > order.expires_at + timedelta(seconds=rules.current().late_seconds):
        return RefundReason.LATE
    if order.kind == Kind.GOODS and not delivery.could_deliver(order):
        return RefundReason.LATE
    same = Q(plan_id=order.plan_id or 0)
    if order.kind == Kind.GOODS:
        same = Q(goods_id=order.goods_id or 0)
    replaced = Order.objects.filter(
        same,
        member_id=order.member_id,
        kind=order.kind,
        status=Status.PAID,
        id__gt=order.pk,
    ).exists()
    return RefundReason.LATE if replaced else None


def settle_locked(order: Order, attempt: Attempt, *, now: datetime) -> None:
    """Mark a locked order paid by this attempt and deliver what was bought.

    An order under review keeps the money and delivers nothing yet (A14).
    """
    late = now > order.expires_at
    events = [
        OrderEvent(
            order=order,
            at=now,
            kind="paid",
            detail={"attempt": attempt.pk, "gateway": attempt.gateway, "late": late},
        )
    ]
    order.status = Status.PAID
    order.settled_by = attempt
    order.paid_at = now
    if order.risk == Risk.REVIEW:
        order.fulfil = Fulfil.HELD
    else:
        order.fulfil = fulfil_locked(order, now=now, events=events)
    order.version += 1
    order.save(update_fields=["status", "settled_by", "paid_at", "fulfil", "version"])
    OrderEvent.objects.bulk_create(events)
    close_rivals(order, attempt, now=now)


def fulfil_locked(order: Order, *, now: datetime, events: list[OrderEvent]) -> Fulfil:
    """Give what a locked order bought, and tell the member.

    Goods that are out of stock wait in the line. Time that fits on no timeline is held for an operator; the money stays booked.
    """
    if order.kind == Kind.GOODS:
        return delivery.fulfil_locked(order, now=now, events=events)
    assert order.plan is not None
    member = lock_member(order.member_id)
    try:
        with transaction.atomic():
            activate(
                member,
                order_id=order.pk,
                tier_id=order.plan.tier_id,
                rank=order.rank,
                discount_bp=order.tier_discount_bp,
                seconds=order.seconds,
                now=now,
            )
    except TimelineFull:
        log.error("order %s is paid and its time fits on no timeline", order.pk)
        events.append(OrderEvent(order=order, at=now, kind="held"))
        return Fulfil.HELD
    events.append(
        OrderEvent(
            order=order,
            at=now,
            kind="activated",
            detail={
                "paid_until": member.paid_until and member.paid_until.isoformat(),
                "seconds": order.seconds,
            },
        )
    )
    telling.activated(order, member, now=now)
    return Fulfil.DONE


def close_rivals(order: Order, winner: Attempt, *, now: datetime) -> None:
    """Queue the closing of the order's other live attempts."""
    rivals = [a for a in order.attempts.all() if a.is_live and a.pk != winner.pk]
    if rivals:
        outbox.add_all(
            outbox.Entry(
                f"close:{rival.out_trade_no}",
                "attempt.close",
                {"attempt": rival.pk},
                due_at=now,
            )
            for rival in rivals
        )


def _record(
    gateway: str,
    trade: Trade,
    attempt: Attempt | None,
    outcome: EventOutcome,
    source: Source,
    *,
    now: datetime,
) -> EventOutcome:
    """Keep the message; a repeat of the same bytes adds no row (K24)."""
    digest = source.digest
    if not digest:
        if outcome in (EventOutcome.NOTED, EventOutcome.DUPLICATE):
            return outcome
        digest = digest_of(
            f"{source.kind}:{trade.number}:{trade.txn_id}:{outcome}".encode()
        )
    GatewayEvent.objects.bulk_create(
        [
            GatewayEvent(
                gateway=gateway,
                digest=digest,
                kind=source.kind,
                number=trade.number[:64],
                txn_id=trade.txn_id[:64],
                amount_fen=trade.amount_fen if is_plain(trade) else None,
                currency=trade.currency[:3],
                content={"state": trade.raw_state[:40], "refused": trade.refused[:120]},
                attempt=attempt,
                outcome=outcome,
                created_at=now,
            )
        ],
        ignore_conflicts=True,
    )
    return outcome


def _clashes(gateway: str, trade: Trade) -> bool:
    """Whether the transaction id already belongs to another attempt (B15, K9)."""
    return (
        bool(trade.txn_id)
        and Attempt.objects.filter(gateway=gateway, txn_id=trade.txn_id)
        .exclude(out_trade_no=trade.number)
        .exists()
    )


@transaction.atomic(durable=True)
def _record_clash(
    gateway: str, trade: Trade, *, source: Source, now: datetime
) -> EventOutcome:
    attempt = Attempt.objects.filter(gateway=gateway, out_trade_no=trade.number).first()
    return _record(gateway, trade, attempt, EventOutcome.CLASH, source, now=now)


@transaction.atomic(durable=True)
def record_doubted(
    gateway: str, trade: Trade, attempt: Attempt, *, digest: str, now: datetime
) -> None:
    """Keep a success that was not booked, and let the next poll ask about it."""
    source = Source("notice", digest)
    _record(gateway, trade, attempt, EventOutcome.NOTED, source, now=now)
    Attempt.objects.filter(pk=attempt.pk).exclude(state=AttemptState.PAID).update(
        next_query_at=now
    )


def record_alien(gateway: str, number: str, *, digest: str, now: datetime) -> None:
    """Keep a genuine message that is not for this merchant (B13); nothing else moves."""
    log.error("gateway=%s notice for another merchant", gateway)
    with transaction.atomic(durable=True):
        GatewayEvent.objects.bulk_create(
            [
                GatewayEvent(
                    gateway=gateway,
                    digest=digest,
                    kind="notice",
                    number=number[:64],
                    outcome=EventOutcome.ALIEN,
                    created_at=now,
                )
            ],
            ignore_conflicts=True,
        )
