"""Success lies: whoever holds a gateway's key can sign a success that never was.

So the gateway itself is asked, over a connection that we opened: before anything is
booked where the sum is large or the attempt was over (security 40), and once within ten
minutes for every other success that only a notice has told. Where the two disagree a
person decides; nothing is taken back by itself.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from enum import StrEnum

from django.utils.translation import gettext as _

from payments.gateways.beijing import BEIJING
from payments.gateways.contract import Trade, TradeState
from payments.models import Attempt
from payments.polling import Asked, ask_gateway
from payments.reconciling import differences
from payments.reconciling.bill_models import BillDifference, DifferenceKind
from payments.reconciling.differences import Difference
from payments.settle import Source, apply_result

log = logging.getLogger(__name__)

AGAIN = timedelta(minutes=2)
OFTEN = timedelta(hours=1)
HOURLY = timedelta(hours=1)
PATIENCE = timedelta(hours=24)


class Verdict(StrEnum):
    TRUE = "true"
    FALSE = "false"  # the gateway does not say that it was paid
    OPEN = "open"  # it gave no answer


def ask_first(attempt: Attempt, trade: Trade, *, now: datetime) -> Verdict:
    """Ask whether a success is true before it is booked; the answer is booked.

    Anything but the same words opens a case. Each notice asks anew: were a second one
    within seconds not asked about, it would be believed where the first was not.
    """
    asked, answer = ask_gateway(attempt, now=now, again=True)
    if asked != Asked.ANSWERED or answer is None:
        return Verdict.OPEN
    apply_result(attempt.gateway, answer, source=Source("query"), now=now)
    if _says_the_same(answer, trade.txn_id, trade.amount_fen, trade.currency):
        _close_case(attempt, now=now)
    else:
        _open_case(attempt, trade.txn_id, trade.amount_fen, answer, now=now)
    return Verdict.TRUE if answer.state == TradeState.PAID else Verdict.FALSE


def confirm_due(*, now: datetime, limit: int = 50) -> int:
    """Ask about each success whose time has come; returns how many were asked about.

    Each row is claimed by moving its due time on, so several workers share the work.
    """
    due = Attempt.objects.filter(confirm_at__lte=now).order_by("confirm_at")
    asked = 0
    for attempt in due[:limit]:
        following = _next(attempt, now=now)
        claimed = Attempt.objects.filter(
            pk=attempt.pk, confirm_at=attempt.confirm_at
        ).update(confirm_at=following)
        if claimed:
            _confirm(attempt, is_last=following is None, now=now)
            asked += 1
    return asked


def _confirm(attempt: Attempt, *, is_last: bool, now: datetime) -> None:
    asked, answer = ask_gateway(attempt, now=now)
    txn_id, fen = attempt.txn_id or "", attempt.paid_fen
    if asked == Asked.ANSWERED and answer is not None:
        if _says_the_same(answer, txn_id, fen, attempt.paid_currency or ""):
            Attempt.objects.filter(pk=attempt.pk).update(confirm_at=None)
            _close_case(attempt, now=now)
            return
        apply_result(attempt.gateway, answer, source=Source("query"), now=now)
        _open_case(attempt, txn_id, fen, answer, now=now)
    elif is_last:
        _open_case(attempt, txn_id, fen, None, now=now)


def _next(attempt: Attempt, *, now: datetime) -> datetime | None:
    """When to ask again if this answer is no "yes": often at first, for a day."""
    age = now - (attempt.paid_at or attempt.created_at)
    if age < OFTEN:
        return now + AGAIN
    return now + HOURLY if age < PATIENCE else None


def _says_the_same(
    answer: Trade, txn_id: str, amount_fen: int | None, currency: str
) -> bool:
    """Whether the gateway's own answer tells of the same money, as far as it tells."""
    return (
        answer.state == TradeState.PAID
        and answer.txn_id in ("", txn_id)
        and answer.amount_fen in (None, amount_fen)
        and answer.currency in ("", currency)
    )


def _open_case(
    attempt: Attempt,
    txn_id: str,
    ours_fen: int | None,
    answer: Trade | None,
    *,
    now: datetime,
) -> None:
    is_paid = answer is not None and answer.state == TradeState.PAID
    theirs_fen = answer.amount_fen if is_paid and answer is not None else None
    log.error(
        "gateway=%s does not confirm a success that was notified", attempt.gateway
    )
    found = Difference(
        gateway=attempt.gateway,
        kind=DifferenceKind.UNCONFIRMED,
        number=attempt.out_trade_no,
        txn_id=txn_id[:64],
        ours_fen=ours_fen,
        theirs_fen=theirs_fen,
        day=now.astimezone(BEIJING).date(),
    )
    differences.record([found], now=now)


def _close_case(attempt: Attempt, *, now: datetime) -> None:
    rows = BillDifference.objects.filter(
        gateway=attempt.gateway,
        kind=DifferenceKind.UNCONFIRMED,
        number=attempt.out_trade_no,
    )
    differences.heal(rows, _("网关后来承认"), now=now)
