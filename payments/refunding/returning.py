"""灵活退订: a member takes back, herself, what she has paid for and not used.

The rule in one place: the membership is paid, some of its time has neither run nor been
returned, no goods were bought at a member's price while it ran, and the channel she
paid with can return the sum. Otherwise she is told why, and whom to ask.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.db import transaction
from django.db.models import Exists, OuterRef

from members.models import Member, Segment
from members.timeline import lock_member
from orders.closing import lock_order
from orders.models import Fulfil, Kind, Order, OrderEvent, Status
from payments.models import UNDER_WAY, Attempt, Refund, RefundReason
from payments.refunding import refund_effects, refunds
from payments.refunding.refund_effects import Given
from payments.refunding.refund_proposal import Time, worth_fen

FULL_DISCOUNT_BP = 10_000
READING = timedelta(minutes=5)
"""How long the sum that she was shown is hers, though its time goes on running."""


class Why(StrEnum):
    """Why she cannot return it herself."""

    NOT_PAID = "not-paid"
    NO_TIME = "no-time"  # all of it has run or gone back
    HELD = "held"  # a person looks at the order first
    UNDER_WAY = "under-way"  # a refund of this order has not ended
    DISCOUNT_USED = "discount-used"  # F15: an operator may still refund
    CHANNEL = "channel"  # the gateway cannot return this sum
    NOTHING = "nothing"  # what is left is worth less than one fen


@dataclass(frozen=True, slots=True)
class Offer:
    """What she gets back for what; ``why`` says why not, None when she may.

    paid_fen  what came in for the order
    seconds   bought; ``left`` of them end with the return
    shown_fen what it came to at most while she was READING
    """

    amount_fen: int = 0
    shown_fen: int = 0
    paid_fen: int = 0
    seconds: int = 0
    left: int = 0
    why: Why | None = None

    @property
    def is_open(self) -> bool:
        return self.why is None

    def honours(self, shown_fen: int) -> bool:
        """Whether she may confirm this sum now: that of this moment or a little before."""
        return self.is_open and self.amount_fen <= shown_fen <= self.shown_fen


class NotReturnable(Exception):
    """The offer is not, or no longer, the one that she agreed to."""

    def __init__(self, offer: Offer) -> None:
        super().__init__(offer.why or "changed")
        self.offer = offer


def offer_for(order: Order, *, now: datetime) -> Offer:
    """What the member may return of this order now; decides nothing."""
    return _offer(order, order.member, now=now)[0]


@transaction.atomic(durable=True)
def return_unused(
    order_id: int, *, member_id: int, shown_fen: int, now: datetime
) -> Refund:
    """Return all unused time of her order for exactly the sum that she was shown.

    A fen runs out every few minutes, often while she reads: she gets what the page
    said, READING long.

    raises  NotReturnable with the offer of this moment; Order.DoesNotExist for an
            order of somebody else
    """
    order = lock_order(order_id)
    if order.member_id != member_id:
        raise Order.DoesNotExist
    member = lock_member(order.member_id)
    offer, given = _offer(order, member, now=now)
    if not offer.honours(shown_fen):
        raise NotReturnable(offer)
    assert given is not None
    OrderEvent.objects.create(order=order, at=now, kind="returned-by-member")
    return refunds.request_locked(
        order,
        RefundReason.MEMBER,
        amount_fen=shown_fen,
        seconds=given.left,
        actor=member,
        now=now,
    )


def _offer(
    order: Order, member: Member, *, now: datetime
) -> tuple[Offer, Given | None]:
    if order.status != Status.PAID or order.kind != Kind.TIER:
        return Offer(why=Why.NOT_PAID), None
    attempt = refunds.settling_attempt(order)
    if order.fulfil == Fulfil.HELD:
        return Offer(why=Why.HELD), None
    given = refund_effects.given_by(order, member, now=now)
    if not isinstance(given.delivered, Time):
        return Offer(why=Why.NO_TIME), given
    paid_fen = attempt.paid_fen or 0
    time, still_here = given.delivered, paid_fen - attempt.refund_reserved_fen
    amount = min(worth_fen(paid_fen, time), still_here)
    offer = Offer(
        amount_fen=amount,
        shown_fen=min(worth_fen(paid_fen, _as_read(time)), still_here),
        paid_fen=paid_fen,
        seconds=time.seconds,
        left=given.left,
        why=_obstacle(order, attempt, given, amount),
    )
    return offer, given


def _as_read(time: Time) -> Time:
    """The same time when she may have opened the page."""
    left = time.left + int(READING.total_seconds())
    return Time(time.seconds, min(time.seconds, left))


def _obstacle(
    order: Order, attempt: Attempt, given: Given, amount_fen: int
) -> Why | None:
    if attempt.refunds.filter(state__in=UNDER_WAY).exists():
        return Why.UNDER_WAY
    if not given.left:
        return Why.NO_TIME
    if amount_fen < 1:
        return Why.NOTHING
    if used_discount(order):
        return Why.DISCOUNT_USED
    if not refunds.is_returnable(attempt, amount_fen, of_fen=attempt.paid_fen or 0):
        return Why.CHANNEL
    return None


def used_discount(order: Order) -> bool:
    """Whether goods were bought at a member's price while this order's time ran (F15)."""
    running = Segment.objects.filter(
        entitlement__order=order,
        starts_at__lte=OuterRef("placed_at"),
        ends_at__gt=OuterRef("placed_at"),
    )
    bought = Order.objects.filter(
        Exists(running),
        member_id=order.member_id,
        kind=Kind.GOODS,
        status=Status.PAID,
        discount_bp__lt=FULL_DISCOUNT_BP,
    )
    return bought.exists()
