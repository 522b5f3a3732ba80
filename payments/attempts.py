"""Attempts to pay: opened under the order's lock, started at the gateway outside it.

The row with its number is committed before the gateway is called (R4). A repeat on the
same channel reuses the live attempt and its number; another gateway gets a new attempt
and the old one is closed in the background; another product of the same gateway closes
the old one first (R11).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from members import links, rules
from notifications import outbox
from orders.closing import lock_order
from orders.models import Order, OrderEvent
from orders.numbers import random_number
from payments import gateways
from payments.gateways.contract import (
    BY_ADDRESS,
    Gateway,
    Handover,
    Product,
    Refused,
    StartRequest,
    Unclear,
)
from payments.models import LIVE_STATES, Attempt, AttemptState
from payments.polling import FIRST_QUERY, SECOND_QUERY, close_attempt

log = logging.getLogger(__name__)


class NotPayable(Exception):
    """No attempt may be opened; ``order`` tells why (paid, closed, or too late)."""

    def __init__(self, order: Order) -> None:
        super().__init__(order.no)
        self.order = order


class ChannelOff(Exception):
    """The channel is not offered here, or its gateway has no keys."""


@dataclass(frozen=True, slots=True)
class Way:
    """A resolved way to pay: which gateway, which product, for which shopper."""

    gateway: str
    channel: str
    product: str
    payer_ip: str | None = None


def open_locked(order: Order, way: Way, *, now: datetime) -> Attempt:
    """The live attempt of a locked order at this gateway, made if there is none.

    raises  NotPayable after the hold, in its last 90 seconds (A9), or when closed
    """
    live = list(order.attempts.filter(state__in=LIVE_STATES))
    same = next((a for a in live if a.gateway == way.gateway), None)
    if not order.is_open(at=now):
        raise NotPayable(order)
    if same is not None:
        # Also the other product, when the gateway could not be asked to close it:
        # one live attempt a gateway (K10), better the old way to pay than none.
        return same
    if not _takes_new_attempts(order, now=now):
        raise NotPayable(order)
    for other in live:
        outbox.add(
            f"close:{other.out_trade_no}",
            "attempt.close",
            {"attempt": other.pk},
            due_at=now,
        )
    return create_locked(order, way, now=now)


def _takes_new_attempts(order: Order, *, now: datetime) -> bool:
    """False in the last 90 seconds of the hold: a wallet needs some time (A9)."""
    last = timedelta(seconds=rules.current().last_attempt_seconds)
    return order.is_open(at=now) and now < order.expires_at - last


def create_locked(order: Order, way: Way, *, now: datetime) -> Attempt:
    """A new attempt row under a number of its own.

    Where nobody has to be asked it is open from the start: the wallet's address is
    signed right here.
    """
    attempt = Attempt(
        order=order,
        gateway=way.gateway,
        channel=way.channel,
        product=way.product,
        out_trade_no=random_number(),
        amount_fen=order.amount_fen,
        currency=order.currency,
        payer_ip=way.payer_ip,
        created_at=now,
        next_query_at=now + FIRST_QUERY,
    )
    gateway = gateways.get(way.gateway)
    if gateway is not None and way.product in BY_ADDRESS:
        handover = gateway.start(_request(attempt, gateway), now=now)
        attempt.handover = _stored(handover)
        attempt.state = AttemptState.OPEN
    attempt.save(force_insert=True)
    return attempt


def pay(order_id: int, way: Way, *, now: datetime) -> Attempt:
    """Pay, or pay again: find or make the attempt, then start it at the gateway.

    raises  NotPayable, ChannelOff
    """
    if gateways.get(way.gateway) is None:
        raise ChannelOff(way.channel)
    _close_other_product(order_id, way, now=now)
    with transaction.atomic(durable=True):
        attempt = open_locked(lock_order(order_id), way, now=now)
    return start(attempt, now=now)


def _close_other_product(order_id: int, way: Way, *, now: datetime) -> None:
    """Close a live attempt of the same gateway for another product, synchronously.

    What the gateway answers is applied by the one settle path; when it was paid
    meanwhile, opening the next attempt is refused because the order is paid. Nothing is
    closed when no other could be opened any more.
    """
    other = (
        Attempt.objects.filter(
            order_id=order_id, gateway=way.gateway, state__in=LIVE_STATES
        )
        .exclude(product=way.product)
        .select_related("order")
        .first()
    )
    if other is not None and _takes_new_attempts(other.order, now=now):
        close_attempt(other, now=now)


def start(attempt: Attempt, *, now: datetime, openid: str = "") -> Attempt:
    """Open the attempt at the gateway, or repeat the identical request.

    A still usable hand-over is kept. A definite refusal makes the attempt ``failed``;
    anything unclear makes it ``unknown``, to be polled and re-sent under the same
    number (R12). The refusal of a repeat proves nothing about the first request, which
    may even be paid: then closing it at the gateway brings out the truth. Inside WeChat
    the attempt waits, as it was made, until the page has brought her ``openid``.
    """
    if attempt.state == AttemptState.OPEN and _usable(attempt, now=now):
        return attempt
    if attempt.product == Product.JSAPI and not openid:
        return attempt
    gateway = gateways.get(attempt.gateway)
    if gateway is None:
        raise ChannelOff(attempt.channel)
    is_first = attempt.state == AttemptState.CREATED and attempt.created_at == now
    request = replace(_request(attempt, gateway), openid=openid)
    try:
        handover = gateway.start(request, now=now)
    except Refused as refusal:
        if is_first:
            moved(attempt, AttemptState.FAILED, now=now, error=refusal)
        else:
            close_attempt(attempt, now=now)
            attempt.refresh_from_db(fields=["state"])
    except Unclear as doubt:
        moved(attempt, AttemptState.UNKNOWN, now=now, error=doubt)
    else:
        _opened(attempt, handover)
    return attempt


def _request(attempt: Attempt, gateway: Gateway) -> StartRequest:
    order = attempt.order
    back = links.token(links.ORDER, order.pk)
    return StartRequest(
        number=attempt.out_trade_no,
        amount_fen=attempt.amount_fen,
        subject=f"{rules.current().shop_name} {order.title}",
        product=attempt.product,
        expires_at=order.expires_at,
        notify_url=settings.PUBLIC_URL + reverse("notify", args=[gateway.code]),
        return_url=f"{settings.PUBLIC_URL}{reverse('return', args=[gateway.code])}?token={back}",
        payer_ip=attempt.payer_ip or "",
        placed_at=attempt.created_at,
    )


def _usable(attempt: Attempt, *, now: datetime) -> bool:
    handover = handover_of(attempt)
    return handover is not None and (
        handover.valid_until is None or now < handover.valid_until
    )


def handover_of(attempt: Attempt) -> Handover | None:
    """The stored hand-over of an attempt, None before the gateway answered."""
    stored = attempt.handover
    if not stored:
        return None
    until = stored.get("valid_until")
    return Handover(
        kind=stored["kind"],
        url=stored.get("url", ""),
        params=stored.get("params", {}),
        valid_until=datetime.fromisoformat(until) if until else None,
    )


def _stored(handover: Handover) -> dict[str, Any]:
    """What ``handover_of`` reads."""
    return {
        "kind": handover.kind,
        "url": handover.url,
        "params": dict(handover.params),
        "valid_until": handover.valid_until and handover.valid_until.isoformat(),
    }


def _opened(attempt: Attempt, handover: Handover) -> None:
    stored = _stored(handover)
    # Not from paid, failed or closed: a notice may have overtaken the answer.
    if Attempt.objects.filter(pk=attempt.pk, state__in=LIVE_STATES).update(
        state=AttemptState.OPEN, handover=stored, last_error=""
    ):
        attempt.state, attempt.handover = AttemptState.OPEN, stored


def moved(
    attempt: Attempt, state: AttemptState, *, now: datetime, error: Refused | Unclear
) -> None:
    """Record a refusal or a doubt in one transaction with its line in the story.

    Only of an attempt that is still as it was made: what another request has opened
    meanwhile stays open.
    """
    log.warning("gateway=%s start %s: %s", attempt.gateway, state.value, error.code)
    with transaction.atomic(durable=True):
        lock_order(attempt.order_id)
        moved = Attempt.objects.filter(
            pk=attempt.pk, state=AttemptState.CREATED
        ).update(
            state=state,
            last_error=(error.words or error.code)[:200],
            **({"next_query_at": None} if state == AttemptState.FAILED else {}),
        )
        if moved:
            OrderEvent.objects.create(
                order_id=attempt.order_id,
                at=now,
                kind=f"attempt-{state.value}",
                detail={
                    "attempt": attempt.pk,
                    "gateway": attempt.gateway,
                    "code": error.code,
                },
            )
            attempt.state = state


def is_locked_for_check(attempt: Attempt, *, now: datetime) -> bool:
    """True while an unclear attempt should not be repeated by the page (30 s)."""
    return (
        attempt.state == AttemptState.UNKNOWN
        and now < attempt.created_at + SECOND_QUERY
    )
