"""Coupons: what a code takes off an order, and counting its uses exactly.

One coupon an order. The price with a coupon is worked out from the full price, so that
it never adds to a member's discount: the better of the two applies, and a coupon that
is not better is left alone. At least 1 fen is paid.

A use is taken in the transaction that places the order and given back in the one that
cancels or expires it; a refund gives none back. Money that comes after the expiry takes
the use again, and goes back where none is left. So ``used`` is always the number of
pending and paid orders with the coupon (INV-13).

Locks: order → member → coupon → card keys.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import F
from django.views.decorators.debug import sensitive_variables

from goods.models import Goods
from members import limits, rules
from members.addresses import Client
from members.limits import Limit
from members.models import Member, Plan, Window
from members.timeline import lock_member
from orders.coupon_models import FULL_BP, Coupon, Scope
from orders.models import Order, Status
from orders.pricing import line_fen

log = logging.getLogger(__name__)

LONGEST = 64
"""Of what somebody types; longer is cut before it is read."""
CODE = re.compile(r"[A-Z0-9]{4,24}", re.ASCII)

HOUR, DAY = 3_600, 86_400


class CouponRefused(Exception):
    """The coupon does not apply; the subclass says why."""


class CouponGone(CouponRefused):
    """Unknown, switched off, not begun, over or used up: one answer for all of them, so
    that a stranger learns nothing from it."""


class CouponBelowMinimum(CouponRefused):
    def __init__(self, min_fen: int) -> None:
        super().__init__(min_fen)
        self.min_fen = min_fen


class CouponElsewhere(CouponRefused):
    """It was made for other plans or goods."""


class CouponSpent(CouponRefused):
    """She has used it as often as one member may."""


class CouponNoBetter(CouponRefused):
    """The price without it is as low already."""


class TooManyTries(Exception):
    """Too many codes that do not work; ``retry_after`` in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Cut:
    """A price with a coupon: ``off_fen`` off the full price leaves ``amount_fen``."""

    amount_fen: int
    off_fen: int


def plain(typed: str) -> str:
    """A code as it is kept: without spaces and dashes, in capitals; "" for nothing."""
    return re.sub(r"[\s-]", "", typed[:LONGEST]).upper()


def cut(coupon: Coupon, full_fen: int) -> Cut:
    """What the coupon makes of a full price; never less than 1 fen remains."""
    if coupon.off_bp is not None:
        amount_fen = line_fen(full_fen, 1, FULL_BP - coupon.off_bp)
    else:
        amount_fen = max(1, full_fen - (coupon.off_fen or 0))
    return Cut(amount_fen, full_fen - amount_fen)


def _limits(member: Member | None, client: Client) -> list[Limit]:
    """Codes that do not work, typed by one member, one address, its neighbourhood."""
    shop = rules.current()
    address = (
        Window(HOUR, shop.wrong_coupons_per_address_hour),
        Window(DAY, shop.wrong_coupons_per_address_day),
    )
    network = (Window(HOUR, shop.wrong_coupons_per_network_hour),)
    found = [
        Limit("address", limits.key("coupon-address", client.address), address),
        Limit("network", limits.key("coupon-network", client.network), network),
    ]
    if member is not None:
        hers = (
            Window(HOUR, shop.wrong_coupons_per_member_hour),
            Window(DAY, shop.wrong_coupons_per_member_day),
        )
        key = limits.key("coupon-member", str(member.pk))
        found.append(Limit("member", key, hers))
    return found


@sensitive_variables("typed", "code")
@transaction.atomic(durable=True)
def find(
    typed: str, *, member: Member | None, client: Client, now: datetime
) -> Coupon | None:
    """The coupon of a typed code, or None for one that does not work.

    Codes that do not work are counted, and past the limit none is judged any more. The
    look happens under the counters' locks, so that parallel guesses count as well; a
    code that works costs nothing.

    raises  TooManyTries
    """
    tried = _limits(member, client)
    logs = limits.hold([each.key for each in tried], now=now)
    refusal = limits.refused(tried, logs, now=now)
    if refusal is not None:
        raise TooManyTries(refusal.retry_after)
    code = plain(typed)
    coupon = None
    if CODE.fullmatch(code):
        coupon = Coupon.objects.filter(code=code).first()
    if coupon is None or not _works(coupon, now=now):
        limits.count(tried, logs, now=now)
        return None
    return coupon


def _works(coupon: Coupon, *, now: datetime) -> bool:
    return (
        coupon.enabled
        and coupon.starts_at <= now < coupon.ends_at
        and coupon.used < coupon.max_uses
    )


def check(
    coupon: Coupon,
    thing: Plan | Goods,
    *,
    full_fen: int,
    otherwise_fen: int,
    member: Member | None,
    now: datetime,
) -> Cut:
    """The price with this coupon, if it applies; ``take`` asks again under its lock.

    full_fen       the price without any discount
    otherwise_fen  what she would pay without the coupon
    raises         a subclass of CouponRefused
    """
    if not _works(coupon, now=now):
        raise CouponGone
    if not _is_for(coupon, thing):
        raise CouponElsewhere
    if full_fen < coupon.min_fen:
        raise CouponBelowMinimum(coupon.min_fen)
    if member is not None and _uses_of(coupon, member.pk) >= coupon.max_per_member:
        raise CouponSpent
    found = cut(coupon, full_fen)
    if found.amount_fen >= otherwise_fen:
        raise CouponNoBetter
    return found


def _is_for(coupon: Coupon, thing: Plan | Goods) -> bool:
    if coupon.scope == Scope.ALL:
        return True
    if isinstance(thing, Goods):
        chosen = coupon.scope == Scope.CHOSEN
        return coupon.scope == Scope.GOODS or (
            chosen and coupon.goods.filter(pk=thing.pk).exists()
        )
    if coupon.scope == Scope.CHOSEN:
        return (
            coupon.plans.filter(pk=thing.pk).exists()
            or coupon.tiers.filter(pk=thing.tier_id).exists()
        )
    return coupon.scope == Scope.MEMBERSHIPS


def _uses_of(coupon: Coupon, member_id: int) -> int:
    """Orders of hers that hold it; counted under her lock (placing, late money)."""
    return Order.objects.filter(
        coupon=coupon, member_id=member_id, status__in=HOLDING
    ).count()


HOLDING = (Status.PENDING, Status.PAID)
"""The states of an order that has a use of its coupon."""


def lock(coupon_id: int) -> Coupon:
    """Take the coupon's row lock; not that of a deletion, since orders refer to it."""
    rows = Coupon.objects.select_for_update(no_key=True, of=("self",))
    found = rows.filter(pk=coupon_id).first()
    if found is None:
        raise CouponGone
    return found


def put_on(order: Order, coupon_id: int, thing: Plan | Goods, *, now: datetime) -> None:
    """Price an order that is being placed with a coupon, and take one use of it.

    The member is locked and the order not saved yet: the unique client token may still
    refuse it, which takes the use back with everything else.

    raises  a subclass of CouponRefused
    """
    coupon = lock(coupon_id)
    full_fen = line_fen(order.unit_fen, order.quantity, FULL_BP)
    found = check(
        coupon,
        thing,
        full_fen=full_fen,
        otherwise_fen=order.amount_fen,
        member=order.member,
        now=now,
    )
    take(coupon)
    order.coupon = coupon
    order.discount_bp = FULL_BP
    order.coupon_off_fen = found.off_fen
    order.amount_fen = found.amount_fen


def take(coupon: Coupon) -> None:
    """Count one use of a locked coupon; the condition decides, whatever was read.

    raises  CouponGone when none is left
    """
    taken = Coupon.objects.filter(pk=coupon.pk, used__lt=F("max_uses")).update(
        used=F("used") + 1
    )
    if not taken:
        raise CouponGone


def give_back(order: Order) -> None:
    """Return the use of an order that has just been cancelled or expired.

    Call it once, where the state has moved under the order's lock: that move happens
    once, and so does this.
    """
    if order.coupon_id is None:
        return
    returned = Coupon.objects.filter(pk=order.coupon_id, used__gt=0).update(
        used=F("used") - 1
    )
    if not returned:
        log.error("order %s gave back a use that its coupon never counted", order.pk)


def take_again(order: Order) -> bool:
    """Let late money have the use that the expiry gave back (R10).

    Her price was frozen, so the coupon's dates are not asked for; its numbers are.
    False where no use is left for her. The order is locked; one that has not expired
    still holds its use.
    """
    if order.coupon_id is None or order.status != Status.EXPIRED:
        return True
    lock_member(order.member_id)
    coupon = lock(order.coupon_id)
    if _uses_of(coupon, order.member_id) >= coupon.max_per_member:
        return False
    try:
        take(coupon)
    except CouponGone:
        return False
    return True
