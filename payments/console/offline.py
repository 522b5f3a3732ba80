"""Money that came without a gateway: an operator marks an order as paid (I2)."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction

from members.models import Member
from orders import numbers, versions
from orders.closing import lock_order
from orders.models import Order, OrderEvent, Status
from payments import settle
from payments.channels import OFFLINE
from payments.gateways.contract import Trade, TradeState
from payments.models import Attempt, AttemptState, EventOutcome

GATEWAY = OFFLINE
"""Gateway, channel and product of such an attempt; no adapter has that name."""


class NotPayable(Exception):
    """The order is paid, cancelled, replaced or too old; there is nothing to pay."""


class ReferenceTaken(Exception):
    """Some order was paid under this reference already (K9)."""


def mark_paid(
    order_id: int,
    *,
    reference: str,
    reason: str,
    actor: Member,
    version: int | None = None,
    now: datetime,
) -> Order:
    """Book money that an operator has seen, and settle the order by it as any other.

    reference  the bank's or the till's number of this money, once for ever
    raises     NotPayable, ReferenceTaken, versions.Stale
    """
    try:
        return _mark_paid(
            order_id,
            reference=reference,
            reason=reason,
            actor=actor,
            version=version,
            now=now,
        )
    except IntegrityError:
        if not _is_taken(reference):
            raise
        raise ReferenceTaken from None  # by another order at the same moment


@transaction.atomic(durable=True)
def _mark_paid(
    order_id: int,
    *,
    reference: str,
    reason: str,
    actor: Member,
    version: int | None,
    now: datetime,
) -> Order:
    order = lock_order(order_id)
    versions.check(order, version)
    if _is_taken(reference):
        raise ReferenceTaken
    if order.status not in (Status.PENDING, Status.EXPIRED):
        raise NotPayable
    attempt = Attempt.objects.create(
        order=order,
        gateway=GATEWAY,
        channel=GATEWAY,
        product=GATEWAY,
        out_trade_no=numbers.random_number(),
        amount_fen=order.amount_fen,
        currency=order.currency,
        state=AttemptState.CREATED,
        created_at=now,
    )
    OrderEvent.objects.create(
        order=order,
        at=now,
        kind="marked-paid",
        detail={"attempt": attempt.pk, "reference": reference, "reason": reason},
        actor=actor,
    )
    trade = Trade(
        number=attempt.out_trade_no,
        state=TradeState.PAID,
        txn_id=reference,
        amount_fen=order.amount_fen,
        currency=order.currency,
        raw_state="marked paid",
    )
    outcome = settle.apply_in_transaction(
        GATEWAY, trade, source=settle.Source("manual"), now=now
    )
    if outcome != EventOutcome.SETTLED:
        raise NotPayable  # too late, or replaced: roll all of it back
    order.refresh_from_db()
    return order


def _is_taken(reference: str) -> bool:
    return Attempt.objects.filter(gateway=GATEWAY, txn_id=reference).exists()
