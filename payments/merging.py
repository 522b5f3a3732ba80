"""Two accounts of one person become one, at an operator's word (I12).

Everything that the source holds goes to the target in one transaction: orders with
their payments and refunds, the time, messages and consents. Money that arrives later
for one of these orders finds the target as its member.

What stays: the stretches that have run and the pauses, where they happened; reminders
of an end that is no end any more; the row that says that the source renews nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from members import merging, reminders
from members.models import Member
from members.timeline import TimelineFull, lock_members
from notifications.models import Notification
from orders.closing import close_locked
from orders.models import Order, OrderEvent, Status
from orders.versions import Stale
from payments.gateways.contract import Product
from payments.models import LIVE_STATES, Attempt, Consent
from payments.renewing import mandates, renewal_telling
from payments.renewing.renewal_models import EndedBy

MERGED = "merged"
"""In the story of each order that went along."""


class Obstacle(StrEnum):
    SAME = "same"  # one account is not two
    CLOSED = "closed"  # staff, closed, or merged already
    CHARGING = "charging"  # a renewal of the source is being charged
    FULL = "full"  # more time than a line takes


class NotMergeable(Exception):
    def __init__(self, why: Obstacle) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class Seen:
    """The versions of both accounts on the page that the operator has confirmed."""

    source: int
    target: int


def obstacle(source: Member, target: Member) -> Obstacle | None:
    """Why these two cannot be merged; final only under their locks."""
    if source.pk == target.pk:
        return Obstacle.SAME
    if not all(each.is_active and not each.is_staff for each in (source, target)):
        return Obstacle.CLOSED
    charging = Attempt.objects.filter(
        order__member=source, product=Product.MANDATE, state__in=LIVE_STATES
    )
    return Obstacle.CHARGING if charging.exists() else None


@transaction.atomic(durable=True)
def merge(
    source_id: int,
    *,
    into_id: int,
    actor: Member,
    reason: str,
    now: datetime,
    seen: Seen | None = None,
) -> Member:
    """Move all that one account holds to another one and close it for good.

    Locks the orders of the source by id, then both members by id (R5), so that it can
    neither deadlock with money that arrives for either nor with its own opposite (G12).
    A renewal of the source is stopped: its consent was given for that account. The
    target's goes on.

    raises  NotMergeable; Stale when either account has changed since it was seen, or
            the source placed an order between the locks
    """
    if source_id == into_id:
        raise NotMergeable(Obstacle.SAME)
    orders = list(
        Order.objects.select_for_update(of=("self",))
        .filter(member=source_id)
        .order_by("pk")
    )
    source, target = lock_members(source_id, into_id)
    if seen not in (None, Seen(source.version, target.version)):
        raise Stale
    why = obstacle(source, target)
    if why is not None:
        raise NotMergeable(why)
    if Order.objects.filter(member=source).count() != len(orders):
        raise Stale
    stopped = _stop_renewal(source, orders, now=now)
    _move_orders(source, target, orders, actor=actor, reason=reason, now=now)
    Consent.objects.filter(member=source).update(member=target)
    told = Notification.objects.filter(member=source).exclude(kind=reminders.KIND)
    told.update(member=target)
    tail = source.phone[-4:] if source.phone else f"#{source.pk}"
    try:
        merging.merge_locked(source, target, now=now)
    except TimelineFull as error:
        raise NotMergeable(Obstacle.FULL) from error
    if stopped is not None:
        renewal_telling.ended_with_account(stopped, target, now=now)
    _log(source, target, tail, actor=actor, reason=reason)
    return target


def _stop_renewal(
    source: Member, orders: list[Order], *, now: datetime
) -> Consent | None:
    """End all consents; a renewal that nobody is paying is not offered any more."""
    stopped = mandates.end_all_locked(source.pk, EndedBy.MERGED, now=now)
    for order in orders:
        is_renewal = order.renewal_key is not None and order.status == Status.PENDING
        if is_renewal and not order.attempts.filter(state__in=LIVE_STATES).exists():
            close_locked(order, Status.CANCELLED, now=now)
    return stopped


def _move_orders(
    source: Member,
    target: Member,
    orders: list[Order],
    *,
    actor: Member,
    reason: str,
    now: datetime,
) -> None:
    Order.objects.filter(member=source).update(member=target, version=F("version") + 1)
    OrderEvent.objects.bulk_create(
        OrderEvent(
            order=order,
            at=now,
            kind=MERGED,
            detail={"account": source.pk, "reason": reason},
            actor=actor,
        )
        for order in orders
    )


def _log(
    source: Member, target: Member, tail: str, *, actor: Member, reason: str
) -> None:
    """A line on either account; the phone that was given free stands there by its tail."""
    words = _("账号 {source}（尾号 {tail}）并入 {target}：{reason}").format(
        source=f"#{source.pk}", tail=tail, target=f"#{target.pk}", reason=reason
    )
    kind = ContentType.objects.get_for_model(Member)
    LogEntry.objects.bulk_create(
        LogEntry(
            user=actor,
            content_type=kind,
            object_id=str(each.pk),
            object_repr=str(each),
            action_flag=CHANGE,
            change_message=words,
        )
        for each in (source, target)
    )
