"""What an operator decides about money in the queue: accept it, or give it back (C5).

It is another sum than its attempt's, or its refund has failed; it was recorded and
delivers nothing until a person has decided (R7).
"""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from members.models import Member
from orders.closing import lock_order
from orders.models import Order, OrderEvent, Status
from payments.cases import unallocated
from payments.models import Attempt, Refund, RefundReason
from payments.refunds import book_whole
from payments.settle import settle_locked

ACCEPTED = "money-accepted"
RETURNED = "money-returned"


class NotWaiting(Exception):
    """The money waits for no decision, or its order can no longer be paid."""


@transaction.atomic(durable=True)
def accept(attempt_id: int, *, actor: Member, reason: str, now: datetime) -> Order:
    """Let the order settle by this money all the same, whatever the sum.

    raises  NotWaiting, also when the order is cancelled or paid by another attempt
    """
    attempt = _locked(attempt_id)
    order = attempt.order
    if order.status not in (Status.PENDING, Status.EXPIRED):
        raise NotWaiting
    _tell_of(attempt, ACCEPTED, actor=actor, reason=reason, now=now)
    settle_locked(order, attempt, now=now)
    return order


@transaction.atomic(durable=True)
def give_back(attempt_id: int, *, actor: Member, reason: str, now: datetime) -> Refund:
    """Send the whole sum back; the order goes on as if it had not come.

    raises  NotWaiting
    """
    attempt = _locked(attempt_id)
    _tell_of(attempt, RETURNED, actor=actor, reason=reason, now=now)
    attempt.refund_reserved_fen = attempt.paid_fen or 0
    attempt.save(update_fields=["refund_reserved_fen"])
    nth = attempt.refunds.count() + 1
    return book_whole(attempt, RefundReason.OPERATOR, nth=nth, now=now)


def _locked(attempt_id: int) -> Attempt:
    """The attempt, read under its order's lock; each decision is made once."""
    order_id = Attempt.objects.values_list("order_id", flat=True).get(pk=attempt_id)
    order = lock_order(order_id)
    attempt = unallocated().filter(pk=attempt_id, refund_reserved_fen=0).first()
    if attempt is None:
        raise NotWaiting
    attempt.order = order
    return attempt


def _tell_of(
    attempt: Attempt, kind: str, *, actor: Member, reason: str, now: datetime
) -> None:
    OrderEvent.objects.create(
        order_id=attempt.order_id,
        at=now,
        kind=kind,
        detail={"attempt": attempt.pk, "paid_fen": attempt.paid_fen, "reason": reason},
        actor=actor,
    )
