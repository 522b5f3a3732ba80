"""Asking the gateway: because a page waits, because the time has come, or at the end.

A lost notice is found here (B19). Every answer goes to ``apply_result``.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from enum import StrEnum

from django.db import transaction
from django.db.models import Q, QuerySet

from kameng import clock
from members import rules
from notifications import outbox
from orders.closing import Closing, close_locked, lock_order
from orders.models import Order, Status
from payments import gateways
from payments.gateways.contract import GatewayError, Trade, TradeState, Window
from payments.models import LIVE_STATES, Attempt, AttemptState
from payments.settle import Source, apply_result

log = logging.getLogger(__name__)

FIRST_QUERY = timedelta(seconds=5)
SECOND_QUERY = timedelta(seconds=30)
EACH_MINUTE = timedelta(minutes=1)
HOURLY = timedelta(hours=1)
AFTERWARDS = timedelta(hours=24)
AT_MOST_EVERY = timedelta(seconds=3)


class Asked(StrEnum):
    """What became of a question."""

    ANSWERED = "answered"
    TOO_SOON = "too soon"  # asked less than three seconds ago (B22)
    UNCLEAR = "unclear"  # no usable answer
    OFF = "off"  # the gateway has no keys


def next_query_at(attempt: Attempt, *, now: datetime) -> datetime | None:
    """When to ask next (R13): 5 s, 30 s, each minute, at the end, hourly for a day."""
    end = attempt.order.expires_at
    if now < attempt.created_at + SECOND_QUERY:
        return attempt.created_at + SECOND_QUERY
    if now < end:
        return min(now + EACH_MINUTE, end)
    return now + HOURLY if now + HOURLY <= end + AFTERWARDS else None


def query_attempt(attempt: Attempt, *, now: datetime) -> Asked:
    """Ask the gateway for one attempt and book what it says."""
    asked, trade = ask_gateway(attempt, now=now)
    if trade is not None:
        apply_result(attempt.gateway, trade, source=Source("query"), now=now)
    return asked


def ask_gateway(
    attempt: Attempt, *, now: datetime, again: bool = False
) -> tuple[Asked, Trade | None]:
    """Ask the gateway for one attempt, at most once every three seconds.

    The claim is a conditional update, so twenty refreshes make one question.

    again  ask all the same: a notice hangs on the answer, not a page
    """
    rested = Q(queried_at__isnull=True) | Q(queried_at__lte=now - AT_MOST_EVERY)
    claimed = (
        Attempt.objects.filter(pk=attempt.pk)
        .filter(Q() if again else rested)
        .update(queried_at=now)
    )
    if not claimed:
        return Asked.TOO_SOON, None
    gateway = gateways.get(attempt.gateway)
    if gateway is None:
        return Asked.OFF, None
    try:
        trade = gateway.query(attempt.out_trade_no, now=now, window=_window(attempt))
    except GatewayError as error:
        log.warning("gateway=%s query: %s", attempt.gateway, error.code)
        return Asked.UNCLEAR, None
    return Asked.ANSWERED, trade


def close_attempt(attempt: Attempt, *, now: datetime) -> Trade | None:
    """Close a live attempt at the gateway and book the answer; None when unclear.

    A number that the gateway never saw is closed here too; its time limit at the
    gateway does the rest, and late money is still honoured or returned.
    """
    gateway = gateways.get(attempt.gateway)
    if gateway is None:
        return None
    number, window = attempt.out_trade_no, _window(attempt)
    try:
        trade = gateway.close(number, now=now, window=window)
        if trade.state in (TradeState.PAID, TradeState.UNKNOWN):
            trade = gateway.query(number, now=now, window=window)
    except GatewayError as error:
        log.warning("gateway=%s close: %s", attempt.gateway, error.code)
        return None
    if trade.state == TradeState.MISSING:
        _close_unseen(attempt, now=now)
    else:
        apply_result(attempt.gateway, trade, source=Source("close"), now=now)
    return trade


def _window(attempt: Attempt) -> Window:
    return Window(attempt.created_at, attempt.order.expires_at)


def _close_unseen(attempt: Attempt, *, now: datetime) -> None:
    """Closed on our side only: keep asking until the gateway's limit has passed."""
    with transaction.atomic(durable=True):
        lock_order(attempt.order_id)
        Attempt.objects.filter(pk=attempt.pk, state__in=LIVE_STATES).update(
            state=AttemptState.CLOSED, next_query_at=next_query_at(attempt, now=now)
        )


def poll_due(*, now: datetime, limit: int = 50) -> int:
    """Ask about every attempt whose time has come; returns how many were asked.

    Each row is claimed by moving its due time on, so several workers share the work.
    """
    due = Attempt.objects.filter(next_query_at__lte=now).select_related("order")
    asked = 0
    for attempt in due.order_by("next_query_at")[:limit]:
        claimed = Attempt.objects.filter(
            pk=attempt.pk, next_query_at=attempt.next_query_at
        ).update(next_query_at=next_query_at(attempt, now=now))
        if claimed:
            query_attempt(attempt, now=now)
            asked += 1
    return asked


def expire_due(*, now: datetime, limit: int = 100) -> int:
    """Expire the pending orders whose hold has ended; returns how many did (A10).

    Each live attempt is closed at the gateway first. While a gateway cannot be reached
    the order waits, at most ten minutes longer (R9).

    raises  clock.TooMuch, having done nothing, when hundreds have waited longer still
    """
    grace = timedelta(seconds=rules.current().grace_seconds)
    due = Order.objects.filter(status=Status.PENDING, expires_at__lte=now)
    _refuse_mass(due.filter(expires_at__lte=now - grace))
    expired = 0
    for order in due.order_by("expires_at")[:limit]:
        if _close_all(order, now=now) or now >= order.expires_at + grace:
            expired += _expire(order, now=now) == Closing.DONE
    return expired


def _refuse_mass(forgotten: QuerySet[Order]) -> None:
    """Raise when a wrong clock is likelier than so many orders that no sweep has seen.

    Nobody waits for it: their pages say already that they are over, and what was paid
    is still found by the polls (FLT-33).
    """
    at_most = rules.current().expired_at_once
    if forgotten.order_by("expires_at")[at_most : at_most + 1].exists():
        raise clock.TooMuch(at_most, "orders past their hold")


def _close_all(order: Order, *, now: datetime) -> bool:
    """Close the live attempts; False when one of them may still be alive."""
    live = order.attempts.filter(state__in=LIVE_STATES).select_related("order")
    answers = [close_attempt(attempt, now=now) for attempt in live]
    return all(
        trade is not None and trade.state != TradeState.WAITING for trade in answers
    )


@transaction.atomic(durable=True)
def _expire(order: Order, *, now: datetime) -> Closing:
    locked = lock_order(order.pk)
    closing = close_locked(locked, Status.EXPIRED, now=now)
    if closing == Closing.DONE:
        Attempt.objects.filter(order=locked, state__in=LIVE_STATES).update(
            state=AttemptState.CLOSED, next_query_at=now + HOURLY
        )
    return closing


@transaction.atomic(durable=True)
def cancel(order_id: int, *, now: datetime) -> Closing:
    """Cancel a pending order at the shopper's wish (A12); a paid one stays paid (A13).

    Its live attempts are closed by the outbox; money that comes all the same goes back.
    Money that has come and differs waits for an operator, who may still accept it.
    """
    order = lock_order(order_id)
    if order.attempts.filter(state=AttemptState.PAID).exists():
        return Closing.PAID
    closing = close_locked(order, Status.CANCELLED, now=now)
    if closing == Closing.DONE:
        live = order.attempts.filter(state__in=LIVE_STATES)
        for number, pk in live.values_list("out_trade_no", "pk"):
            outbox.add(f"close:{number}", "attempt.close", {"attempt": pk}, due_at=now)
    return closing
