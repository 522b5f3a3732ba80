"""The operator's queue: money that belongs to nothing, messages that fit nothing (I14),
refunds that need a hand.

Empty is the normal state.
"""

from __future__ import annotations

from django.db.models import F, Q, QuerySet

from payments.models import (
    Attempt,
    AttemptState,
    EventOutcome,
    GatewayEvent,
    Refund,
    RefundReason,
    RefundState,
)

OUTCOMES = (
    EventOutcome.ORPHAN,
    EventOutcome.OVERPAID,
    EventOutcome.CLASH,
    EventOutcome.ALIEN,
    EventOutcome.EXTERNAL,
)
"""Outcomes that wait for a person."""


def unallocated() -> QuerySet[Attempt]:
    """Paid attempts that settle no order and are not refunded whole."""
    return Attempt.objects.filter(
        state=AttemptState.PAID,
        settled_order__isnull=True,
        refund_reserved_fen__lt=F("paid_fen"),
    )


def open_events() -> QuerySet[GatewayEvent]:
    """Genuine messages that match no payment of ours and nobody has seen to yet.

    Also success without a readable amount, until the attempt is booked all the same:
    from then on its money is in sight itself.
    """
    unreadable = Q(outcome=EventOutcome.MISMATCH) & ~Q(attempt__state=AttemptState.PAID)
    return GatewayEvent.objects.filter(
        Q(outcome__in=OUTCOMES) | unreadable, resolved_at__isnull=True
    )


def is_open(event: GatewayEvent) -> bool:
    """The same of one message whose attempt is at hand."""
    booked = event.attempt is not None and event.attempt.state == AttemptState.PAID
    is_case = event.outcome in OUTCOMES or (
        event.outcome == EventOutcome.MISMATCH and not booked
    )
    return is_case and event.resolved_at is None


def refunds_by_hand() -> QuerySet[Refund]:
    """Money to be returned outside, because its gateway cannot."""
    return Refund.objects.filter(state=RefundState.MANUAL)


def failed_refunds() -> QuerySet[Refund]:
    """Refunds of paid orders that did not go through and nobody has looked at (F9).

    Other money whose refund failed is back among the unallocated.
    """
    return Refund.objects.filter(
        Q(attempt__settled_order__isnull=False) | Q(second_payment__isnull=False),
        state=RefundState.FAILED,
        seen_at__isnull=True,
    ).exclude(reason=RefundReason.EXTERNAL)


def waiting_refunds() -> QuerySet[Refund]:
    """Both of them."""
    return refunds_by_hand() | failed_refunds()
