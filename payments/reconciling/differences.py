"""Cases of reconciliation: opened once, closed by a person or by the truth itself.

Nothing here moves money. A case that an operator has closed stays closed while the
sums are the same.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import F, QuerySet
from django.utils.translation import gettext as _

from kameng.templatetags.shop import yuan
from members.models import Member
from payments.reconciling.bill_models import (
    BillDifference,
    DifferenceKind,
    DifferenceState,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Difference:
    """What did not agree; a sum is None on the side that has nothing."""

    gateway: str
    kind: DifferenceKind
    number: str
    txn_id: str
    ours_fen: int | None
    theirs_fen: int | None
    day: date

    @property
    def key(self) -> tuple[str, str, str, str]:
        return self.gateway, self.kind, self.number, self.txn_id

    @property
    def words(self) -> str:
        """For the command line, in English."""
        theirs, ours = (
            "–" if fen is None else yuan(fen)
            for fen in (self.theirs_fen, self.ours_fen)
        )
        return f"{self.kind}: {theirs} there, {ours} here"


class NotOpen(Exception):
    """The case is closed already, or is not as the page showed it."""


def waiting() -> QuerySet[BillDifference]:
    return BillDifference.objects.filter(state=DifferenceState.OPEN)


@transaction.atomic(durable=True)
def record(found: Iterable[Difference], *, now: datetime) -> int:
    """Open a case for each difference that has none; returns how many it opened.

    A case that closed comes back when its sums are others than then, or when it had
    healed.
    """
    opened = 0
    for each in found:
        gateway, kind, number, txn_id = each.key
        row, is_new = BillDifference.objects.get_or_create(
            gateway=gateway,
            kind=kind,
            number=number,
            txn_id=txn_id,
            defaults={
                "day": each.day,
                "ours_fen": each.ours_fen,
                "theirs_fen": each.theirs_fen,
                "created_at": now,
            },
        )
        if is_new or _reopen(row, each):
            opened += 1
            log.error("gateway=%s bill differs: %s", gateway, kind)
    return opened


def _reopen(row: BillDifference, found: Difference) -> bool:
    """Bring a known case up to date; True when it had been closed and is open again."""
    sums = (found.ours_fen, found.theirs_fen)
    is_same = (row.ours_fen, row.theirs_fen) == sums
    if is_same and row.state != DifferenceState.HEALED:
        return False
    changed = BillDifference.objects.filter(pk=row.pk, version=row.version).update(
        state=DifferenceState.OPEN,
        ours_fen=found.ours_fen,
        theirs_fen=found.theirs_fen,
        day=found.day,
        closed_at=None,
        actor=None,
        reason="",
        version=F("version") + 1,
    )
    return bool(changed) and row.state != DifferenceState.OPEN


def heal(rows: QuerySet[BillDifference], note: str, *, now: datetime) -> int:
    """Close the open ones among these rows, for the difference is gone."""
    return rows.filter(state=DifferenceState.OPEN).update(
        state=DifferenceState.HEALED,
        closed_at=now,
        reason=note[:200],
        version=F("version") + 1,
    )


@transaction.atomic(durable=True)
def resolve(
    difference_id: int, *, version: int, actor: Member, reason: str, now: datetime
) -> None:
    """An operator has seen to a case, and says how.

    version  of the case as the page showed it
    raises   NotOpen when it was closed or has changed meanwhile; nothing happens then
    """
    reason = reason.strip()[:200]
    if not reason:
        raise ValueError("a case is closed with a reason")
    closed = (
        waiting()
        .filter(pk=difference_id, version=version)
        .update(
            state=DifferenceState.RESOLVED,
            closed_at=now,
            actor=actor,
            reason=reason,
            version=F("version") + 1,
        )
    )
    if not closed:
        raise NotOpen
    row = BillDifference.objects.get(pk=difference_id)
    LogEntry.objects.create(
        user=actor,
        content_type=ContentType.objects.get_for_model(BillDifference),
        object_id=str(row.pk),
        object_repr=str(row)[:200],
        action_flag=CHANGE,
        change_message=_("处理完毕：{reason}").format(reason=reason),
        action_time=now,
    )
