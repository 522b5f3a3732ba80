"""Notices of the gateways: verify, book, and only then answer (R25, B6).

The signature comes first; nothing is looked up or written before it holds. The reply
says "received" only for what needs no second delivery.
"""

from __future__ import annotations

import logging
from datetime import datetime

from payments.gateways.contract import (
    Gateway,
    Notice,
    NoticeRefused,
    NoticeRequest,
    RefundResult,
    Reply,
    Trade,
)
from payments.models import Attempt, AttemptState, EventOutcome
from payments.polling import Asked, query_attempt
from payments.refunds import apply_refund, record_refund_event
from payments.settle import Source, apply_result, digest_of, record_alien

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
    outcomes = []
    if notice.refund is not None:
        outcomes.append(
            _take_refund(gateway, notice, notice.refund, digest=digest, now=now)
        )
    elif notice.trade is not None:
        outcomes.append(_take_trade(gateway, notice.trade, digest=digest, now=now))
    if any(outcome in UNANSWERED for outcome in outcomes):
        return gateway.not_received("needs a person")
    return gateway.received()


def _take_trade(
    gateway: Gateway, trade: Trade, *, digest: str, now: datetime
) -> EventOutcome:
    return apply_result(gateway.code, trade, source=Source("notice", digest), now=now)


def _take_refund(
    gateway: Gateway,
    notice: Notice,
    refund: RefundResult,
    *,
    digest: str,
    now: datetime,
) -> EventOutcome:
    """Book a refund; if its payment is not known yet, ask for that first (B20)."""
    attempt = Attempt.objects.filter(
        gateway=gateway.code, out_trade_no=refund.trade_number
    ).first()
    if attempt is not None and attempt.state != AttemptState.PAID:
        query_attempt(attempt, now=now)
    outcome = apply_refund(gateway.code, refund, now=now)
    record_refund_event(gateway.code, refund, outcome, digest=digest, now=now)
    return outcome


def _ask_instead(gateway: Gateway, notice: Notice, *, now: datetime) -> Reply:
    """A true signature with an old time stamp: only the gateway's answer counts (B11)."""
    attempt = Attempt.objects.filter(
        gateway=gateway.code, out_trade_no=notice.number
    ).first()
    if attempt is not None and query_attempt(attempt, now=now) == Asked.ANSWERED:
        return gateway.received()
    return gateway.not_received("stale")
