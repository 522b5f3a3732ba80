"""Notices of the gateways: verify, book, and only then answer (R25, B6).

The signature comes first; nothing is looked up or written before it holds. The reply
says "received" only for what needs no second delivery.
"""

from __future__ import annotations

import logging
from datetime import datetime

from kameng import counters
from payments.confirmation import Verdict, ask_first
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
from payments.refunding.refunds import apply_refund
from payments.renewing import mandates
from payments.settle import (
    AskFirst,
    Source,
    apply_result,
    digest_of,
    is_plain,
    record_alien,
    record_doubted,
)

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
        counters.count(counters.REFUSED_NOTICES, gateway.code)
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
        source = Source("notice", digest, doubt=True, weak=notice.confirm)
        outcome = _take_trade(gateway, notice.trade, source=source, now=now)
        if outcome is None:
            return gateway.not_received("not confirmed")
    if outcome in UNANSWERED:
        return gateway.not_received("needs a person")
    return gateway.received()


def _take_trade(
    gateway: Gateway, trade: Trade, *, source: Source, now: datetime
) -> EventOutcome | None:
    """Book a payment; what the notice does not say plainly is asked for (B21)."""
    try:
        outcome = apply_result(gateway.code, trade, source=source, now=now)
    except AskFirst as doubt:
        return _take_doubted(gateway, trade, doubt, digest=source.digest, now=now)
    vague = trade.state == TradeState.PAID and not is_plain(trade)
    if vague or trade.state == TradeState.UNKNOWN:
        attempt = _attempt(gateway, trade.number)
        if attempt is not None:
            query_attempt(attempt, now=now)
    return outcome


def _take_doubted(
    gateway: Gateway, trade: Trade, doubt: AskFirst, *, digest: str, now: datetime
) -> EventOutcome | None:
    """Book a success that needs the gateway's own word first (security 40).

    Of a gateway that gives no answer a sum within the limit is believed, and asked
    about in a few minutes; a large one waits. None: not booked, so send it again.
    """
    verdict = ask_first(doubt.attempt, trade, now=now)
    if verdict == Verdict.TRUE or (verdict == Verdict.OPEN and not doubt.must_be_asked):
        source = Source("notice", digest)
        return apply_result(gateway.code, trade, source=source, now=now)
    record_doubted(gateway.code, trade, doubt.attempt, digest=digest, now=now)
    return None


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
