"""Cases of reconciliation: one each, closed once, by a person or by the truth."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.db.models import QuerySet

from members.models import Member
from payments.reconciling import differences
from payments.reconciling.bill_models import BillDay, BillDifference, DifferenceKind
from payments.reconciling.differences import Difference, NotOpen
from tests.constraints import allows, refuses
from tests.races import at_once

FOUND = Difference(
    gateway="wechat",
    kind=DifferenceKind.UNPAID,
    number="KMORDER1",
    txn_id="4200001",
    ours_fen=None,
    theirs_fen=1_500,
    day=date(2026, 11, 22),
)


def opened(now: datetime, found: Difference = FOUND) -> BillDifference:
    differences.record([found], now=now)
    return BillDifference.objects.get()


def resolve(row: BillDifference, actor: Member, now: datetime, **other: object) -> None:
    fields = {"version": row.version, "reason": "已电话核实"} | other
    differences.resolve(row.pk, actor=actor, now=now, **fields)  # type: ignore[arg-type]


def state() -> str:
    return BillDifference.objects.get().state


@pytest.mark.django_db
def test_a_difference_is_one_case_however_often_it_is_found(now: datetime):
    assert differences.record([FOUND, FOUND], now=now) == 1
    assert differences.record([FOUND], now=now) == 0
    assert BillDifference.objects.count() == 1


@pytest.mark.django_db
def test_an_operator_closes_a_case_with_a_reason_and_it_is_logged(
    now: datetime, operator: Member
):
    """R24"""
    resolve(opened(now), operator, now)
    row = BillDifference.objects.get()
    assert (row.state, row.actor, row.reason) == ("resolved", operator, "已电话核实")
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (operator, str(row.pk))
    assert "已电话核实" in entry.change_message


@pytest.mark.django_db
def test_a_case_is_closed_once(now: datetime, operator: Member):
    """I4"""
    row = opened(now)
    resolve(row, operator, now)
    with pytest.raises(NotOpen):
        resolve(row, operator, now)
    assert LogEntry.objects.count() == 1


@pytest.mark.django_db
def test_a_page_that_is_no_longer_true_closes_nothing(now: datetime, operator: Member):
    """I3: the sum has changed since."""
    row = opened(now)
    differences.record([replace(FOUND, theirs_fen=1_600)], now=now)
    with pytest.raises(NotOpen):
        resolve(row, operator, now)
    assert (state(), BillDifference.objects.get().theirs_fen) == ("open", 1_600)


@pytest.mark.django_db
def test_no_case_is_closed_without_a_reason(now: datetime, operator: Member):
    row = opened(now)
    with pytest.raises(ValueError, match="reason"):
        resolve(row, operator, now, reason="  ")
    assert state() == "open"


@pytest.mark.django_db
def test_what_a_person_closed_stays_closed_until_the_sums_change(
    now: datetime, operator: Member
):
    resolve(opened(now), operator, now)
    assert differences.record([FOUND], now=now) == 0
    assert state() == "resolved"
    assert differences.record([replace(FOUND, theirs_fen=1_600)], now=now) == 1
    row = BillDifference.objects.get()
    assert (row.state, row.actor, row.reason) == ("open", None, "")


@pytest.mark.django_db
def test_what_healed_comes_back_when_it_is_found_again(now: datetime):
    opened(now)
    later = now + timedelta(hours=1)
    assert differences.heal(BillDifference.objects.all(), "已一致", now=later) == 1
    assert differences.heal(BillDifference.objects.all(), "已一致", now=later) == 0
    assert state() == "healed"
    assert differences.record([FOUND], now=later) == 1
    assert state() == "open"


@pytest.mark.django_db(transaction=True)
def test_two_operators_at_once_close_it_once(now: datetime, operator: Member):
    """I4, I7 with real threads."""
    row = opened(now)
    ends = at_once(*[lambda: resolve(row, operator, now)] * 6)
    assert sum(end is None for end in ends) == 1
    assert sum(isinstance(end, NotOpen) for end in ends) == 5
    assert LogEntry.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_without_the_conditional_update_it_would_be_closed_more_than_once(
    now: datetime, operator: Member, monkeypatch: pytest.MonkeyPatch
):
    """The control: the harness sees what the guard prevents."""
    row = opened(now)
    conditional = QuerySet.update

    def blind(rows: QuerySet, **values: object) -> int:
        everything = BillDifference.objects.all()
        return conditional(
            everything if rows.model is BillDifference else rows, **values
        )

    monkeypatch.setattr(QuerySet, "update", blind)
    ends = at_once(*[lambda: resolve(row, operator, now)] * 6)
    assert sum(end is None for end in ends) > 1


@pytest.mark.django_db(transaction=True)
def test_two_reconciliations_at_once_open_one_case(now: datetime):
    ends = at_once(*[lambda: differences.record([FOUND], now=now)] * 6)
    assert sum(end for end in ends if isinstance(end, int)) == 1
    assert all(isinstance(end, int) for end in ends)
    assert BillDifference.objects.count() == 1


# --- What the database refuses ------------------------------------------------------


def adding(**change: object):
    fields = {
        "gateway": "wechat",
        "kind": "unpaid",
        "number": "KMORDER1",
        "txn_id": "4200001",
        "day": date(2026, 11, 22),
    }
    return lambda: BillDifference.objects.bulk_create(
        [BillDifference(**fields | change)]
    )


@pytest.mark.django_db
def test_the_database_keeps_one_case_a_difference(now: datetime):
    opened(now)
    refuses(adding())
    allows(adding(gateway="alipay"))
    allows(adding(kind="amount"))
    allows(adding(number="KMORDER2"))


@pytest.mark.django_db
def test_the_database_knows_how_a_case_ends(now: datetime, operator: Member):
    done = {"state": "resolved", "closed_at": now, "reason": "x", "actor": operator}
    refuses(adding(kind="guess"))
    refuses(adding(state="gone"))
    refuses(adding(**done | {"reason": ""}))
    refuses(adding(**done | {"closed_at": None}))
    refuses(adding(**done | {"actor": None}))
    refuses(adding(closed_at=now))
    allows(adding(**done))
    allows(adding(**done | {"state": "healed", "actor": None, "number": "KMORDER2"}))


@pytest.mark.django_db
def test_the_database_keeps_one_bill_a_day(now: datetime):
    def day(**change: object):
        fields = {"gateway": "wechat", "day": date(2026, 11, 22), "due_at": now}
        return lambda: BillDay.objects.bulk_create([BillDay(**fields | change)])

    day()()
    refuses(day())
    refuses(day(gateway="alipay", due_at=None))
    allows(day(gateway="alipay", due_at=None, done_at=now))
