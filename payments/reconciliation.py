"""Holding our books against the gateways: by asking them, and by their bill.

Asking goes through ``query_attempt`` and so through the one settle path: money that we
missed is booked on the way. A bill is only compared; nothing in it decides anything.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from kameng.templatetags.shop import yuan
from payments.gateways.beijing import BEIJING
from payments.models import (
    LIVE_STATES,
    Attempt,
    AttemptState,
    Refund,
    RefundState,
)
from payments.polling import Asked, query_attempt

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


# --- The bill ----------------------------------------------------------------------

COLUMNS = ("gateway", "kind", "out_trade_no", "txn_id", "amount_fen")
OPTIONAL_COLUMNS = ("out_refund_no", "at")
KINDS = ("payment", "refund")
_FEN = re.compile(r"[0-9]{1,12}", re.ASCII)


class BadBill(ValueError):
    """The file is not a bill; the message names the line."""


@dataclass(frozen=True, slots=True)
class BillLine:
    """Money that moved, as a gateway lists it.

    number  of the payment our out_trade_no, of a refund our out_refund_no
    at      when, None where the bill does not say
    """

    gateway: str
    kind: str
    number: str
    txn_id: str
    amount_fen: int
    at: datetime | None


def read_bill(lines: Iterable[str]) -> list[BillLine]:
    """Read a bill from CSV with a header line, ``COLUMNS`` in any order.

    ``kind`` is ``payment`` or ``refund``; a refund also needs ``out_refund_no``; ``at``
    is ISO 8601 with an offset. Other columns are ignored.

    raises  BadBill
    """
    reader = csv.DictReader(lines)
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise BadBill(f"line 1: no column {', '.join(missing)}")
    return [_read_line(row, reader.line_num) for row in reader]


def _read_line(row: Mapping[str, Any], line: int) -> BillLine:
    values = {
        name: (row.get(name) or "").strip() for name in (*COLUMNS, *OPTIONAL_COLUMNS)
    }
    kind = values["kind"]
    number = values["out_refund_no" if kind == "refund" else "out_trade_no"]
    try:
        at = datetime.fromisoformat(values["at"]) if values["at"] else None
    except ValueError:
        raise BadBill(f"line {line}: at is not ISO 8601") from None
    if kind not in KINDS:
        raise BadBill(f"line {line}: kind is neither payment nor refund")
    if not number or not values["gateway"]:
        raise BadBill(f"line {line}: no gateway or no number")
    if not _FEN.fullmatch(values["amount_fen"]):
        raise BadBill(f"line {line}: amount_fen is not a whole number of fen")
    if at is not None and at.tzinfo is None:
        raise BadBill(f"line {line}: at has no offset from UTC")
    return BillLine(
        values["gateway"],
        kind,
        number,
        values["txn_id"],
        int(values["amount_fen"]),
        at,
    )


@dataclass(frozen=True, slots=True)
class Difference:
    gateway: str
    kind: str
    number: str
    words: str


def compare(bill: Sequence[BillLine]) -> Iterator[Difference]:
    """Where the bill and our books differ: what we lack, hold otherwise, or have alone.

    The last can only be told where lines carry times: a bill is taken to cover the
    whole days, Beijing time, from its first line to its last, for each gateway and kind
    in it.
    """
    payments = [line for line in bill if line.kind == "payment"]
    refunds = [line for line in bill if line.kind == "refund"]
    yield from _compare_payments(payments)
    yield from _compare_refunds(refunds)


def _compare_payments(bill: Sequence[BillLine]) -> Iterator[Difference]:
    ours = {
        (attempt.gateway, attempt.out_trade_no): attempt
        for attempt in Attempt.objects.filter(
            out_trade_no__in=[line.number for line in bill]
        )
    }
    for line in bill:
        attempt = ours.get((line.gateway, line.number))
        if attempt is None:
            yield _differs(line, "unknown here")
        elif attempt.state != AttemptState.PAID:
            yield _differs(line, f"paid there, {attempt.state} here")
        elif attempt.txn_id != line.txn_id:
            yield _differs(line, f"transaction {line.txn_id} is not the one here")
        elif attempt.paid_fen != line.amount_fen:
            here = yuan(attempt.paid_fen or 0)
            yield _differs(line, f"{yuan(line.amount_fen)} there, {here} here")
    for gateway, (begin, end) in _covered(bill).items():
        alone = Attempt.objects.filter(
            gateway=gateway,
            state=AttemptState.PAID,
            paid_at__gte=begin,
            paid_at__lt=end,
        ).exclude(out_trade_no__in=[line.number for line in bill])
        for number in alone.values_list("out_trade_no", flat=True):
            yield Difference(gateway, "payment", number, "not in the bill")


def _compare_refunds(bill: Sequence[BillLine]) -> Iterator[Difference]:
    ours = {
        (refund.attempt.gateway, refund.out_refund_no): refund
        for refund in Refund.objects.filter(
            out_refund_no__in=[line.number for line in bill]
        ).select_related("attempt")
    }
    for line in bill:
        refund = ours.get((line.gateway, line.number))
        if refund is None:
            yield _differs(line, "unknown here")
        elif refund.state != RefundState.SUCCESS:
            yield _differs(line, f"returned there, {refund.state} here")
        elif refund.amount_fen != line.amount_fen:
            here = yuan(refund.amount_fen)
            yield _differs(line, f"{yuan(line.amount_fen)} there, {here} here")
    for gateway, (begin, end) in _covered(bill).items():
        alone = Refund.objects.filter(
            attempt__gateway=gateway,
            state=RefundState.SUCCESS,
            by_hand=False,
            finished_at__gte=begin,
            finished_at__lt=end,
        ).exclude(out_refund_no__in=[line.number for line in bill])
        for number in alone.order_by("pk").values_list("out_refund_no", flat=True):
            yield Difference(gateway, "refund", number, "not in the bill")


def _differs(line: BillLine, words: str) -> Difference:
    return Difference(line.gateway, line.kind, line.number, words)


def _covered(bill: Sequence[BillLine]) -> dict[str, tuple[datetime, datetime]]:
    """The whole days [begin, end) that the lines of each gateway span."""
    days: dict[str, list[date]] = {}
    for line in bill:
        if line.at is not None:
            day = line.at.astimezone(BEIJING).date()
            days.setdefault(line.gateway, []).append(day)
    return {
        gateway: (_midnight(min(found)), _midnight(max(found) + timedelta(days=1)))
        for gateway, found in days.items()
    }


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), BEIJING)
