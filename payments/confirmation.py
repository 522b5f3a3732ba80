"""Asking the gateway before a weakly signed notice grants anything (security 40).

epay's notices prove only that their sender holds the key, which stands in the URLs of
its own interface. So each success is asked about first, and the answer is what gets
booked. While nobody answers, sums up to the channel's limit are granted, to be asked
about again; larger ones wait for the next notice or poll. What is booked is booked by
``apply_result`` alone.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import transaction

from notifications import outbox
from payments import epay_channels, gateways
from payments.gateways.contract import Gateway, GatewayError, Trade, TradeState
from payments.models import Attempt, AttemptState
from payments.settle import Source, apply_result, is_plain, record_doubt

log = logging.getLogger(__name__)

ASK_AGAIN = timedelta(minutes=2)
"""Until a grant that nobody confirmed is asked about again; ten minutes at the latest."""


def confirm(gateway: Gateway, said: Trade, *, now: datetime) -> bool:
    """Whether a notice may be booked; the query's own answer has been booked by then.

    Where there is nothing to grant (no success, no such attempt, or paid already) nobody
    is asked. The query is not throttled like others: its answer decides about this very
    notice, and two notices within seconds must not open a gap.
    """
    if said.state != TradeState.PAID:
        return True
    attempt = Attempt.objects.filter(
        gateway=gateway.code, out_trade_no=said.number
    ).first()
    if attempt is None or attempt.state == AttemptState.PAID:
        return True
    try:
        found = gateway.query(said.number, now=now)
    except GatewayError as error:
        log.warning("gateway=%s confirming: %s", gateway.code, error.code)
        return _may_go_unconfirmed(attempt, said, now=now)
    if found.state != TradeState.PAID:
        record_doubt(gateway.code, said, found, source=Source("notice"), now=now)
        return False
    if not (found.txn_id and is_plain(found)):
        return _may_go_unconfirmed(attempt, said, now=now)
    apply_result(gateway.code, found, source=Source("query"), now=now)
    return True


def _may_go_unconfirmed(attempt: Attempt, said: Trade, *, now: datetime) -> bool:
    """Only the right sum, up to the channel's limit, and to be asked about again."""
    limit_fen = epay_channels.confirm_above_fen(attempt.channel)
    if said.amount_fen != attempt.amount_fen or attempt.amount_fen > limit_fen:
        return False
    with transaction.atomic(durable=True):
        outbox.add(
            f"confirm:{attempt.out_trade_no}",
            "attempt.confirm",
            {"attempt": attempt.pk},
            due_at=now + ASK_AGAIN,
        )
    return True


def check_grant(attempt: Attempt, *, now: datetime) -> bool:
    """Ask about what was granted unconfirmed; False when there is no answer yet."""
    gateway = gateways.get(attempt.gateway)
    if gateway is None:
        return False
    try:
        found = gateway.query(attempt.out_trade_no, now=now)
    except GatewayError as error:
        log.warning("gateway=%s confirming: %s", attempt.gateway, error.code)
        return False
    if found.state != TradeState.PAID:
        said = Trade(
            number=attempt.out_trade_no,
            state=TradeState.PAID,
            txn_id=attempt.txn_id or "",
            amount_fen=attempt.paid_fen,
        )
        record_doubt(attempt.gateway, said, found, source=Source("query"), now=now)
    return True
