"""What a refund does to its order: money reserved, time taken back, what it is called.

Every function expects the order's lock; the member's is taken here (order → member).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Sum

from goods.keys import held_by
from members import timeline
from members.models import Entitlement, Member
from orders import versions
from orders.models import Fulfil, Kind, Order
from payments.models import Attempt, Refund, RefundState
from payments.refunding.refund_proposal import Delivered, Keys, Time


@dataclass(frozen=True, slots=True)
class Given:
    """What a paid order has handed out; no entitlement where nothing was (F17)."""

    member: Member
    entitlement: Entitlement | None
    delivered: Delivered

    @property
    def left(self) -> int:
        """Seconds that have neither run nor been taken back."""
        return self.delivered.left if isinstance(self.delivered, Time) else 0


def given_by(order: Order, member: Member, *, now: datetime) -> Given:
    """Read what the order's money has bought and how much of it is unused.

    member  locked where something is to be decided by the answer
    """
    if order.kind == Kind.GOODS:
        return Given(member, None, _keys_given(order))
    entitlement = Entitlement.objects.filter(order=order).first()
    if entitlement is None:
        return Given(member, None, None)
    left = timeline.time_left(member, now=now)[entitlement.pk]
    return Given(member, entitlement, Time(entitlement.seconds, left))


def _keys_given(order: Order) -> Keys | None:
    """None while the order waits for its keys, or after they were taken back unseen."""
    held = held_by(order.pk)
    return Keys(order.quantity, held.unseen) if held.keys else None


def given_locked(order: Order, *, now: datetime) -> Given:
    """The same with the member's lock, the second after the order's."""
    return given_by(order, timeline.lock_member(order.member_id), now=now)


def standing_fen(attempt: Attempt) -> int:
    """What of the attempt's own money went back or is on its way."""
    found = attempt.refunds.filter(second_payment__isnull=True)
    total = found.exclude(state=RefundState.FAILED).aggregate(fen=Sum("amount_fen"))
    return total["fen"] or 0


def return_time(refund: Refund, *, now: datetime) -> None:
    """Give back exactly what was taken with a refund that has failed (R20, F9)."""
    if refund.entitlement is not None and refund.revoked_seconds:
        member = timeline.lock_member(refund.entitlement.member_id)
        timeline.restore(member, refund.entitlement, refund.revoked_seconds, now=now)


def take_time_again(refund: Refund, *, now: datetime) -> None:
    """Take back what is left of the seconds of a refund that came through after all."""
    if refund.entitlement is not None and refund.revoked_seconds:
        member = timeline.lock_member(refund.entitlement.member_id)
        refund.revoked_seconds = timeline.revoke(
            member, refund.entitlement, refund.revoked_seconds, now=now
        )
        refund.save(update_fields=["revoked_seconds"])


def recount(
    order: Order, attempt: Attempt, *, told: bool = True, now: datetime
) -> None:
    """Reserve what the attempt's refunds stand for, and say what became of the order.

    Never more than came in (K12); where a gateway returned more, the audit tells.

    told  by a gateway or a person, so that it is booked whatever the sum; what the shop
          is about to send must fit, or the database refuses it
    """
    fen = standing_fen(attempt)
    paid_fen = attempt.paid_fen or 0
    attempt.refund_reserved_fen = min(fen, paid_fen) if told else fen
    attempt.save(update_fields=["refund_reserved_fen"])
    if order.settled_by_id == attempt.pk:
        whole = fen >= paid_fen
        if order.kind == Kind.GOODS:
            order.fulfil = _goods_after(order, returned_fen=fen, whole=whole)
        else:
            order.fulfil = _fulfil_after(order, whole=whole, now=now)
    versions.rise(order, "fulfil")


def _fulfil_after(order: Order, *, whole: bool, now: datetime) -> str:
    """Void once everything is returned and no time is ahead, and back if that fails."""
    if not whole and order.fulfil != Fulfil.VOID:
        return order.fulfil
    given = given_by(order, order.member, now=now)
    if whole:
        return order.fulfil if given.left else Fulfil.VOID.value
    return (Fulfil.HELD if given.entitlement is None else Fulfil.DONE).value


def _goods_after(order: Order, *, returned_fen: int, whole: bool) -> str:
    """Void once everything is returned; an order whose refund failed waits in the line
    again, unless somebody has seen one of its keys: then a person decides.
    """
    if whole:
        return Fulfil.VOID.value
    is_back = order.fulfil == Fulfil.VOID and not returned_fen
    return (
        Fulfil.SHORT.value if is_back and not held_by(order.pk).keys else order.fulfil
    )
