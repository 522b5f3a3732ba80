"""Notices of the gateways: verify, book, and only then answer (R25, B6).

The signature comes first; nothing is looked up or written before it holds. The reply
says "received" only for what needs no second delivery.
"""

from __future__ import annotations

import logging
from datetime import datetime

from payments import mandates
from payments.gateways.contract import (
    Gateway,
    Notice,
    NoticeRefused,
    NoticeRequest,
    RefundResult,
    Reply,
    Trade,
    TradeState,
)
from payments.models import Attempt, AttemptState, EventOutcome
from payments.polling import Asked, query_attempt
from payments.refunds import apply_refund
from payments.settle import Source, apply_result, digest_of, is_plain, record_alien

log = logging.getLogger(__name__)

UNANSWERED = {EventOutcome.ORPHAN, EventOutcome.MISMATCH, EventOutcome.CLASH}
"""Recorded and left to a person: the failure words, as the protocols' vectors say."""


def receive(gateway: Gateway, request: NoticeRequest, *, now: datetime) -> Reply:
    """Handle one notice from the first byte to the reply.

    raises  database errors, which answer 503 so that the gateway repeats (H1)
    """
    try:
        notice = gateway.parse_notice(request, now=now)
    except NoticeRefused as refusal:
        log.warning("gateway=%s notice refused: %s", gateway.code, refusal.reason)
        return gateway.not_received(refusal.reason)
    digest = digest_of(request.query.encode() + b"\n" + request.body)
    if not notice.ours:
        record_alien(gateway.code, notice.number, digest=digest, now=now)
        return gateway.not_received("not ours")
    if not notice.fresh:
        return _ask_instead(gateway, notice, now=now)
    if notice.mandate is not None:
        known = mandates.take_notice(
            gateway.code, notice.mandate, digest=digest, now=now
        )
        return gateway.received() if known else gateway.not_received("unknown")
    outcome = None
    if notice.refund is not None:
        if not _is_payment_known(gateway, notice.refund, now=now):
            return gateway.not_received("payment unknown")
        outcome = apply_refund(gateway.code, notice.refund, digest=digest, now=now)
    elif notice.trade is not None:
        outcome = _take_trade(gateway, notice.trade, digest=digest, now=now)
    if outcome in UNANSWERED:
        return gateway.not_received("needs a person")
    return gateway.received()


def _take_trade(
    gateway: Gateway, trade: Trade, *, digest: str, now: datetime
) -> EventOutcome:
    """Book a payment; what the notice does not say plainly is asked for (B21)."""
    source = Source("notice", digest)
    outcome = apply_result(gateway.code, trade, source=source, now=now)
    vague = trade.state == TradeState.PAID and not is_plain(trade)
    if vague or trade.state == TradeState.UNKNOWN:
        attempt = _attempt(gateway, trade.number)
        if attempt is not None:
            query_attempt(attempt, now=now)
    return outcome


def _is_payment_known(gateway: Gateway, refund: RefundResult, *, now: datetime) -> bool:
    """Whether the refunded attempt is booked as paid, after asking if need be (B20).

    True also for a number that is none of ours: there is nothing to wait for.
    """
    attempt = _attempt(gateway, refund.trade_number)
    if attempt is None or attempt.state == AttemptState.PAID:
        return True
    query_attempt(attempt, now=now)
    attempt.refresh_from_db(fields=["state"])
    return attempt.state == AttemptState.PAID


def _ask_instead(gateway: Gateway, notice: Notice, *, now: datetime) -> Reply:
    """A true signature with an old time stamp: only the gateway's answer counts (B11)."""
    attempt = _attempt(gateway, notice.number)
    if attempt is not None and query_attempt(attempt, now=now) == Asked.ANSWERED:
        return gateway.received()
    return gateway.not_received("stale")


def _attempt(gateway: Gateway, number: str) -> Attempt | None:
    return Attempt.objects.filter(gateway=gateway.code, out_trade_no=number).first()
