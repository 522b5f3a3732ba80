"""The operator's queue: money that belongs to nothing, messages that fit nothing (I14).

Empty is the normal state.
"""

from __future__ import annotations

from django.db.models import F, Q, QuerySet

from payments.models import Attempt, AttemptState, EventOutcome, GatewayEvent

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
