"""The operator's queue: money that belongs to nothing, messages that fit nothing (I14).

Empty is the normal state.
"""

from __future__ import annotations

from django.db.models import F, QuerySet

from payments.models import Attempt, AttemptState, EventOutcome, GatewayEvent

OUTCOMES = (
    EventOutcome.ORPHAN,
    EventOutcome.OVERPAID,
    EventOutcome.CLASH,
    EventOutcome.ALIEN,
    EventOutcome.EXTERNAL,
    EventOutcome.DOUBTED,
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
    """Genuine messages that match no payment of ours and nobody has seen to yet."""
    waiting = GatewayEvent.objects.filter(
        resolved_at__isnull=True, outcome__in=OUTCOMES
    )
    # The query was only behind its own notice: the money has come after all.
    return waiting.exclude(
        outcome=EventOutcome.DOUBTED, kind="notice", attempt__state=AttemptState.PAID
    )
