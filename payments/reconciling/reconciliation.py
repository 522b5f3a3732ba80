"""Holding our books against the gateways: by asking them, and by their bill.

Asking goes through ``query_attempt`` and so through the one settle path: money that we
missed is booked on the way. A bill is only compared; nothing in it decides anything.
What still differs after asking becomes a case for an operator (H15).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import batched
from time import monotonic

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from payments import gateways
from payments.gateways.beijing import BEIJING
from payments.gateways.bills import PAYMENT, REFUND, BillLine, whole_day
from payments.gateways.contract import GatewayError
from payments.models import (
    LIVE_STATES,
    Attempt,
    AttemptState,
    Refund,
    RefundState,
)
from payments.polling import Asked, query_attempt
from payments.reconciling import differences
from payments.reconciling.bill_models import BillDifference, DifferenceKind
from payments.reconciling.differences import Difference
from payments.refunding.refunds import query_refund
from payments.settle import Source, apply_result

log = logging.getLogger(__name__)

# --- Asking ------------------------------------------------------------------------


def doubtful(
    *, gateway: str = "", since: datetime, numbers: Iterable[str] = ()
) -> QuerySet[Attempt]:
    """The attempts whose end is not certain, oldest first.

    Every live one, however old; of those that failed or were closed the ones made
    since then, for the gateway may have taken money all the same; and unpaid ones
    among ``numbers``.
    """
    found = (
        Attempt.objects.exclude(state=AttemptState.PAID)
        .filter(
            Q(state__in=LIVE_STATES)
            | Q(created_at__gte=since)
            | Q(out_trade_no__in=list(numbers))
        )
        .select_related("order")
        .order_by("pk")
    )
    return found.filter(gateway=gateway) if gateway else found


@dataclass(frozen=True, slots=True)
class Answer:
    """What asking about one attempt changed; ``before`` and ``after`` are its states."""

    gateway: str
    number: str
    order_no: str
    asked: Asked
    before: str
    after: str

    @property
    def is_clean(self) -> bool:
        return self.before == self.after and self.asked in (
            Asked.ANSWERED,
            Asked.TOO_SOON,  # a poll has asked within the last three seconds
        )


def ask(attempt: Attempt, *, now: datetime) -> Answer:
    """Ask the gateway about one attempt and book what it says."""
    before = attempt.state
    asked = query_attempt(attempt, now=now)
    attempt.refresh_from_db(fields=["state"])
    return Answer(
        attempt.gateway,
        attempt.out_trade_no,
        attempt.order.no,
        asked,
        before,
        attempt.state,
    )


# --- A bill, from the first look to the cases ----------------------------------------

MOST_ASKED = 100
ASKING_SECONDS = 15.0
"""Questions in one go, and how long they may take; the rest waits for the next run."""
_BATCH = 500
_MARGIN = timedelta(hours=1)
"""What was paid so shortly before midnight may stand in the next day's bill."""


@dataclass(frozen=True, slots=True)
class Bill:
    """The lines of a file or of a gateway's day.

    day  the one day it covers whole; None for a file that covers the days of its lines
    """

    lines: Sequence[BillLine]
    gateway: str = ""
    day: date | None = None


def ask_about(bill: Bill, *, now: datetime, start: int = 0, whole: bool = False) -> int:
    """Ask about what we lack of a bill, so that only the truth is left to compare.

    start    line to begin with, where an earlier run stopped
    whole    ask about everything, however long it takes
    returns  the line to go on with; the number of lines when all were asked about
    """
    attempts, refunds = _ours(bill.lines)
    begun, asked = monotonic(), 0
    for place, line in enumerate(bill.lines):
        key = line.gateway, line.number
        if place < start or _is_known(line, attempts.get(key), refunds.get(key)):
            continue
        late = asked >= MOST_ASKED or monotonic() - begun > ASKING_SECONDS
        if late and not whole:
            return place
        asked += 1
        _ask_of(line, attempts.get(key), refunds.get(key), now=now)
    return len(bill.lines)


def take_bill(bill: Bill, *, now: datetime) -> Sequence[Difference]:
    """Compare a bill that was asked about, and open a case for each difference.

    A case of this bill that is no difference any more closes by itself.
    """
    _note_listed(bill, now=now)
    found = list(compare(bill, today=now.astimezone(BEIJING).date()))
    differences.record(found, now=now)
    keys = {each.key for each in found}
    gone = [
        row.pk
        for row in _covered_cases(bill)
        if (row.gateway, row.kind, row.number, row.txn_id) not in keys
    ]
    note = _("再次对账，已一致")
    differences.heal(BillDifference.objects.filter(pk__in=gone), note, now=now)
    return found


def _is_known(line: BillLine, attempt: Attempt | None, refund: Refund | None) -> bool:
    """Whether asking could tell nothing new."""
    if line.kind == REFUND:
        is_done = refund is None or refund.state == RefundState.SUCCESS
        return is_done or not line.is_final
    return attempt is not None and (attempt.state, attempt.txn_id) == (
        AttemptState.PAID,
        line.txn_id,
    )


def _ask_of(
    line: BillLine,
    attempt: Attempt | None,
    refund: Refund | None,
    *,
    now: datetime,
) -> None:
    if line.kind == REFUND and refund is not None:
        query_refund(refund, now=now)
    elif attempt is not None and attempt.state != AttemptState.PAID:
        query_attempt(attempt, now=now)
    else:
        _ask_by_number(line, now=now)


def _ask_by_number(line: BillLine, *, now: datetime) -> None:
    """A number or a transaction that we do not have: book the gateway's own word.

    Money of a true one ends in the queue of the unallocated (I14).
    """
    gateway = gateways.get(line.gateway)
    if gateway is None:
        return
    try:
        trade = gateway.query(line.number, now=now)
    except GatewayError as error:
        log.warning("gateway=%s query: %s", line.gateway, error.code)
        return
    if trade.number == line.number and trade.txn_id:
        apply_result(line.gateway, trade, source=Source("query"), now=now)


def _ours(
    lines: Sequence[BillLine],
) -> tuple[dict[tuple[str, str], Attempt], dict[tuple[str, str], Refund]]:
    """Our rows with the numbers of a bill, by gateway and number."""
    attempts: dict[tuple[str, str], Attempt] = {}
    refunds: dict[tuple[str, str], Refund] = {}
    for some in batched(lines, _BATCH):
        numbers = [line.number for line in some]
        for attempt in Attempt.objects.filter(out_trade_no__in=numbers).select_related(
            "order"
        ):
            attempts[attempt.gateway, attempt.out_trade_no] = attempt
        for refund in Refund.objects.filter(out_refund_no__in=numbers).select_related(
            "attempt"
        ):
            refunds[refund.attempt.gateway, refund.out_refund_no] = refund
    return attempts, refunds


def _note_listed(bill: Bill, *, now: datetime) -> None:
    """Keep which bill lists a row: a neighbouring day's must not miss it."""
    for some in batched(bill.lines, _BATCH):
        days: dict[tuple[str, str, date], list[str]] = {}
        for line in some:
            day = _day_of(line, bill)
            if day is not None:
                key = line.gateway, line.kind, day
                days.setdefault(key, []).append(line.number)
        for (gateway, kind, day), numbers in days.items():
            _note_on(gateway, kind, day, numbers, now=now)


def _note_on(
    gateway: str, kind: str, day: date, numbers: list[str], *, now: datetime
) -> None:
    if kind == PAYMENT:
        Attempt.objects.filter(gateway=gateway, out_trade_no__in=numbers).update(
            billed_on=day
        )
    else:
        Refund.objects.filter(
            attempt__gateway=gateway, out_refund_no__in=numbers
        ).update(billed_on=day)
    missed = BillDifference.objects.filter(
        gateway=gateway,
        number__in=numbers,
        kind=DifferenceKind.MISSING
        if kind == PAYMENT
        else DifferenceKind.REFUND_MISSING,
    )
    note = _("在 {day} 的账单里").format(day=day.isoformat())
    differences.heal(missed, note, now=now)


def _day_of(line: BillLine, bill: Bill) -> date | None:
    if bill.day is not None:
        return bill.day
    return line.at.astimezone(BEIJING).date() if line.at is not None else None


# --- Comparing -----------------------------------------------------------------------


def compare(bill: Bill, *, today: date) -> Iterator[Difference]:
    """Where the bill and our books differ: what we lack, hold otherwise, or have alone.

    today  the day of a difference in a line that does not say when
    """
    attempts, refunds = _ours(bill.lines)
    for line in bill.lines:
        key = line.gateway, line.number
        day = _day_of(line, bill) or today
        if line.kind == PAYMENT:
            difference = _of_payment(line, attempts.get(key), day)
        else:
            difference = _of_refund(line, refunds.get(key), day)
        if difference is not None:
            yield difference
    yield from _held_alone(bill)


def _of_payment(
    line: BillLine, attempt: Attempt | None, day: date
) -> Difference | None:
    ours = attempt.paid_fen if attempt is not None else None
    if attempt is None:
        kind = DifferenceKind.UNKNOWN
    elif attempt.state != AttemptState.PAID:
        kind = DifferenceKind.UNPAID
    elif attempt.txn_id != line.txn_id:
        kind = DifferenceKind.TRANSACTION
    elif ours != line.amount_fen:
        kind = DifferenceKind.AMOUNT
    else:
        return None
    return _differs(line, kind, ours, day)


def _of_refund(line: BillLine, refund: Refund | None, day: date) -> Difference | None:
    """A refund that WeChat has taken from the balance may still be under way."""
    if refund is None:
        return _differs(line, DifferenceKind.REFUND_UNKNOWN, None, day)
    known = {RefundState.SUCCESS}
    if not line.is_final:
        known |= {RefundState.PROCESSING}
    if refund.state not in known:
        return _differs(line, DifferenceKind.REFUND_OPEN, refund.amount_fen, day)
    if refund.amount_fen != line.amount_fen:
        return _differs(line, DifferenceKind.REFUND_AMOUNT, refund.amount_fen, day)
    return None


def _differs(
    line: BillLine, kind: DifferenceKind, ours_fen: int | None, day: date
) -> Difference:
    return Difference(
        line.gateway, kind, line.number, line.txn_id, ours_fen, line.amount_fen, day
    )


def _held_alone(bill: Bill) -> Iterator[Difference]:
    """What we hold as paid or returned in the bill's days and no bill lists."""
    listed = {(line.gateway, line.kind, line.number) for line in bill.lines}
    for gateway, kind, first, last in _covered(bill):
        begin, end = whole_day(first)[0], whole_day(last)[1]
        if bill.day is not None:
            begin, end = begin - _MARGIN, end - _MARGIN
        rows = _paid if kind == PAYMENT else _returned
        missing = (
            DifferenceKind.MISSING if kind == PAYMENT else DifferenceKind.REFUND_MISSING
        )
        here = Q(billed_on__isnull=True) | Q(billed_on__range=(first, last))
        for number, txn_id, fen, at in rows(gateway, begin, end, here):
            if (gateway, kind, number) not in listed:
                day = bill.day or at.astimezone(BEIJING).date()
                yield Difference(gateway, missing, number, txn_id, fen, None, day)


type Held = Iterator[tuple[str, str, int, datetime]]


def _paid(gateway: str, begin: datetime, end: datetime, here: Q) -> Held:
    """Number, transaction, sum and time of each payment."""
    rows = Attempt.objects.filter(
        here,
        gateway=gateway,
        state=AttemptState.PAID,
        paid_at__gte=begin,
        paid_at__lt=end,
    )
    for row in rows.order_by("pk").iterator():
        assert row.paid_fen is not None
        assert row.paid_at is not None
        yield row.out_trade_no, row.txn_id or "", row.paid_fen, row.paid_at


def _returned(gateway: str, begin: datetime, end: datetime, here: Q) -> Held:
    """The same of each refund that has arrived."""
    rows = Refund.objects.filter(
        here,
        attempt__gateway=gateway,
        state=RefundState.SUCCESS,
        by_hand=False,
        finished_at__gte=begin,
        finished_at__lt=end,
    )
    for row in rows.order_by("pk").iterator():
        assert row.finished_at is not None
        yield row.out_refund_no, row.txn_id, row.amount_fen, row.finished_at


def _covered(bill: Bill) -> Iterator[tuple[str, str, date, date]]:
    """Gateway, kind, first and last day of what a bill lists whole."""
    if bill.day is not None:
        for kind in (PAYMENT, REFUND):
            yield bill.gateway, kind, bill.day, bill.day
        return
    days: dict[tuple[str, str], list[date]] = {}
    for line in bill.lines:
        day = _day_of(line, bill)
        if day is not None:
            days.setdefault((line.gateway, line.kind), []).append(day)
    for (gateway, kind), found in days.items():
        yield gateway, kind, min(found), max(found)


def _covered_cases(bill: Bill) -> Iterator[BillDifference]:
    """The open cases about which this bill has the last word."""
    about_bills = differences.waiting().exclude(kind=DifferenceKind.UNCONFIRMED)
    for gateway, kind, first, last in _covered(bill):
        is_refund = Q(kind__startswith="refund-")
        yield from about_bills.filter(
            is_refund if kind == REFUND else ~is_refund,
            gateway=gateway,
            day__range=(first, last),
        )


# --- Cases that are gone -------------------------------------------------------------


def heal_settled(*, now: datetime) -> int:
    """Close the cases whose money our books show by now, whoever booked it."""
    gone = []
    about_bills = differences.waiting().exclude(kind=DifferenceKind.UNCONFIRMED)
    for row in about_bills.filter(theirs_fen__isnull=False):
        assert row.theirs_fen is not None
        kind = REFUND if row.kind.startswith("refund-") else PAYMENT
        line = BillLine(
            row.gateway, kind, row.number, row.txn_id, row.theirs_fen, at=None
        )
        attempts, refunds = _ours([line])
        key = row.gateway, row.number
        if kind == PAYMENT and _of_payment(line, attempts.get(key), row.day) is None:
            gone.append(row.pk)
        if kind == REFUND and _of_refund(line, refunds.get(key), row.day) is None:
            gone.append(row.pk)
    note = _("本店后来入账，已一致")
    return differences.heal(BillDifference.objects.filter(pk__in=gone), note, now=now)
