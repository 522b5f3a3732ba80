"""The daily bills: due at T+1, held against our books once, what differs becomes a case.

Most tests here have nothing running but ``manage.py sweep``.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import transaction

from members.models import Entitlement, Member
from orders.models import Order
from payments.models import Attempt, GatewayEvent, Refund
from payments.polling import cancel
from payments.reconciling import bill_days, differences, reconciliation
from payments.reconciling.bill_models import BillDay, BillDifference, DifferenceKind
from payments.reconciling.differences import Difference
from tests.shopping import ALIPAY, WECHAT, Till, broken, counts, fresh, new_member

DAY = date(2026, 11, 22)
MORNING = datetime(2026, 11, 23, 2, 15, tzinfo=UTC)
"""10:15 in Shanghai, when yesterday's bills are due."""
WAYS = pytest.mark.parametrize("way", [ALIPAY, WECHAT], ids=["alipay", "wechat"])


def sweep(till: Till) -> None:
    """Every periodic job once, at the till's time; no beat, worker or broker."""
    with till.stopped_clock():
        call_command("sweep", stdout=StringIO())


def paid_there(till: Till, member: Member, way=WECHAT, **options: object) -> Attempt:
    """Paid in the wallet, and nobody has told the shop."""
    attempt = till.pay(till.place(member), way)
    till.wallet.pay(way.gateway, attempt.out_trade_no, notify="lose", **options)
    return fresh(attempt)


def cases() -> list[tuple[str, str, str]]:
    rows = BillDifference.objects.order_by("kind", "pk")
    return list(rows.values_list("gateway", "kind", "state"))


# --- When -----------------------------------------------------------------------------


def test_each_bill_is_due_at_10_15_of_the_next_day(till: Till, member: Member):
    """R13: T+1, by rows."""
    paid_there(till, member)
    till.set_clock(MORNING - timedelta(seconds=1))
    assert bill_days.fetch_due(now=till.now) == 0
    assert not BillDay.objects.exists()
    till.set_clock(MORNING)
    assert bill_days.fetch_due(now=till.now) == 1
    row = BillDay.objects.get()
    assert (row.gateway, row.day, row.lines, row.due_at) == ("wechat", DAY, 1, None)
    assert bill_days.fetch_due(now=till.now) == 0
    assert len(till.wallet.calls(method="bill")) == 1


def test_several_beats_read_a_bill_once(till: Till, member: Member):
    """Each row is claimed by moving its due time on."""
    paid_there(till, member)
    till.set_clock(MORNING)
    bill_days.note_days(now=till.now)
    row = BillDay.objects.get()
    claims = BillDay.objects.filter(pk=row.pk, due_at=row.due_at)
    assert claims.update(due_at=till.now + bill_days.RETRY) == 1
    assert bill_days.fetch_due(now=till.now) == 0
    assert bill_days.note_days(now=till.now) == 0
    assert till.wallet.calls(method="bill") == []


def test_after_an_outage_the_bills_of_a_week_are_read(till: Till, member: Member):
    """H12"""
    paid_there(till, member)
    till.set_clock(MORNING + timedelta(days=9))
    for _ in range(3):
        bill_days.fetch_due(now=till.now)
    days = list(BillDay.objects.order_by("day").values_list("day", flat=True))
    assert days == [DAY + timedelta(days=n) for n in range(3, 10)]


def test_a_bill_that_cannot_be_had_is_tried_each_hour_and_shown(
    till: Till, member: Member
):
    paid_there(till, member)
    till.wallet.fault("wechat", "bill", "500")
    till.set_clock(MORNING)
    for _ in range(3):
        assert bill_days.fetch_due(now=till.now) == 0
        till.wait(hours=1)
    row = BillDay.objects.get()
    assert (row.tries, row.last_error, row.done_at) == (3, "http-500", None)
    assert not bill_days.overdue(now=till.now).exists()
    assert bill_days.overdue(now=MORNING + timedelta(days=2)).exists()
    till.wallet.clear_faults()
    assert bill_days.fetch_due(now=till.now) == 1
    assert BillDay.objects.get(day=DAY).last_error == ""


def test_no_bill_means_that_nothing_moved_only_after_a_day(till: Till, member: Member):
    till.pay(till.place(member), WECHAT)
    till.set_clock(MORNING)
    assert bill_days.fetch_due(now=till.now) == 0
    assert BillDay.objects.get().last_error == "no bill yet"
    till.wait(days=1, hours=1)
    bill_days.fetch_due(now=till.now)
    row = BillDay.objects.get(day=DAY)
    assert (row.lines, row.due_at) == (0, None)
    assert cases() == []


# --- A lost notice is settled without anyone looking ------------------------------------


@WAYS
def test_a_lost_notice_is_settled_by_sweeps_alone(till: Till, member: Member, way):
    """B18, B19, FLT-26: she closed the browser; within a minute of cron it is there."""
    attempt = paid_there(till, member, way)
    till.wait(seconds=60)
    sweep(till)
    assert fresh(attempt.order).status == "paid"
    assert counts(member)["entitlements"] == 1
    assert broken(till.now) == []


@WAYS
def test_a_lost_notice_and_a_gateway_out_of_reach(till: Till, member: Member, way):
    """R9, H12: nothing is given up while nobody answers; then it settles, late."""
    attempt = paid_there(till, member, way)
    till.wallet.fault(way.gateway, "*", "500")
    for _ in range(4):
        till.wait(minutes=11)
        sweep(till)
    assert fresh(attempt.order).status == "expired"  # at the hold's end and 10 minutes
    assert fresh(attempt).state == "closed"
    till.wallet.clear_faults()
    till.wait(hours=1)
    sweep(till)
    assert fresh(attempt.order).status == "paid"
    assert counts(member)["entitlements"] == 1
    assert broken(till.now) == []


@WAYS
def test_what_every_poll_missed_the_bill_finds(till: Till, member: Member, way):
    """H15: asked at the gateway, settled by apply_result; no case remains."""
    attempt = paid_there(till, member, way)
    Attempt.objects.update(state="closed", next_query_at=None)
    till.set_clock(MORNING)
    sweep(till)
    assert fresh(attempt).state == "paid"
    assert fresh(attempt).billed_on == DAY
    assert fresh(attempt.order).status == "paid"
    assert cases() == []
    assert broken(till.now) == []


def test_what_the_bill_says_alone_settles_nothing(till: Till, member: Member):
    """Nothing in a bill decides anything: while nobody answers it stays a case."""
    attempt = paid_there(till, member)
    Attempt.objects.update(state="closed", next_query_at=None)
    till.wallet.fault("wechat", "query", "500")
    till.set_clock(MORNING)
    sweep(till)
    assert fresh(attempt).state == "closed"
    assert cases() == [("wechat", "unpaid", "open")]
    till.wallet.clear_faults()
    Attempt.objects.update(next_query_at=till.now)
    till.wait(minutes=1)
    sweep(till)
    assert fresh(attempt).state == "paid"
    assert cases() == [("wechat", "unpaid", "healed")]
    assert BillDifference.objects.get().reason


# --- Cases ----------------------------------------------------------------------------


def test_a_success_with_a_number_that_we_never_made(till: Till, member: Member):
    """H15: the gateway confirms it, the unallocated queue and a case show it."""
    attempt = paid_there(till, member)
    Attempt.objects.update(out_trade_no="NEVEROURS000000000000000001")
    till.set_clock(MORNING)
    sweep(till)
    assert cases() == [("wechat", "unknown", "open")]
    row = BillDifference.objects.get()
    assert (row.number, row.theirs_fen, row.ours_fen) == (
        *(attempt.out_trade_no, 1_500),
        None,
    )
    event = GatewayEvent.objects.get(outcome="orphan")
    assert (event.number, event.amount_fen) == (attempt.out_trade_no, 1_500)


def test_a_second_transaction_in_the_bill_is_booked_and_a_case(
    till: Till, member: Member
):
    """B14b, C12: paid twice in the wallet, told once."""
    attempt = paid_there(till, member)
    till.wait(seconds=30)
    till.poll()
    till.wallet.pay("wechat", attempt.out_trade_no, notify="lose")
    till.set_clock(MORNING)
    sweep(till)
    assert cases() == [("wechat", "transaction", "open")]
    assert BillDifference.objects.get().txn_id != fresh(attempt).txn_id
    assert counts(member)["entitlements"] == 1


def test_less_in_the_bill_than_we_hold_is_an_alarm_and_a_case(
    till: Till, member: Member, caplog: pytest.LogCaptureFixture
):
    """H15: a success that the gateway knows nothing of."""
    till.hear(till.pay(till.place(member), WECHAT))
    paid_there(till, new_member())
    till.wait(seconds=30)
    till.poll()
    till.set_clock(MORNING)
    bill_days.fetch_due(now=till.now)
    assert ("wechat", "missing", "open") in cases()
    assert "bill differs: missing" in caplog.text
    assert fresh(member).paid_until is not None  # nothing is taken back by itself


def test_money_around_midnight_is_in_one_of_two_bills(till: Till, member: Member):
    """Our clock and theirs differ by a minute: no alarm, whichever bill lists it."""
    midnight = datetime(2026, 11, 22, 16, 0, tzinfo=UTC)
    till.set_clock(midnight - timedelta(seconds=20))
    attempt = paid_there(till, member)
    till.wait(seconds=40)
    till.poll()
    Attempt.objects.update(paid_at=midnight + timedelta(seconds=5))
    till.set_clock(MORNING)
    bill_days.fetch_due(now=till.now)
    till.wait(days=2)
    bill_days.fetch_due(now=till.now)
    assert fresh(attempt).billed_on == DAY
    assert cases() == []


def test_a_payment_that_the_next_bill_lists_closes_its_case(till: Till, member: Member):
    till.set_clock(datetime(2026, 11, 22, 14, 0, tzinfo=UTC))
    attempt = paid_there(till, member)
    till.wait(seconds=30)
    till.poll()
    found = Difference(
        gateway="wechat",
        kind=DifferenceKind.MISSING,
        number=attempt.out_trade_no,
        txn_id=fresh(attempt).txn_id or "",
        ours_fen=1_500,
        theirs_fen=None,
        day=DAY - timedelta(days=1),
    )
    differences.record([found], now=till.now)
    till.set_clock(MORNING)
    bill_days.fetch_due(now=till.now)
    assert cases() == [("wechat", "missing", "healed")]
    assert "2026-11-22" in BillDifference.objects.get().reason


@WAYS
def test_a_refund_that_only_the_bill_shows_is_asked_about(
    till: Till, member: Member, way
):
    """H8, C12: the answer to the refund was lost; refunds agree with the bill."""
    attempt = paid_there(till, member, way)
    cancel(Order.objects.get().pk, now=till.now)
    till.wait(seconds=30)
    till.poll()
    till.run_outbox()
    till.wait(minutes=2)
    till.continue_refunds()
    assert Refund.objects.get().state == "success"
    Refund.objects.update(state="processing", finished_at=None, next_query_at=None)
    till.set_clock(MORNING)
    sweep(till)
    refund = Refund.objects.get()
    assert (refund.state, refund.billed_on) == ("success", DAY)
    assert cases() == []
    assert fresh(attempt).billed_on == DAY


def test_a_refund_that_arrives_a_day_later_is_no_difference(till: Till, member: Member):
    """WeChat lists it on the day it left the balance."""
    till.wallet.plan_refunds("wechat", "processing")
    paid_there(till, member)
    cancel(Order.objects.get().pk, now=till.now)
    till.wait(seconds=30)
    till.poll()
    till.run_outbox()
    till.set_clock(MORNING)
    bill_days.fetch_due(now=till.now)
    assert cases() == []
    number = Refund.objects.get().out_refund_no
    till.wallet.settle_refund("wechat", number)
    till.continue_refunds()
    assert Refund.objects.get().state == "success"
    till.wait(days=2)
    for _ in range(2):
        bill_days.fetch_due(now=till.now)
    assert BillDay.objects.filter(done_at__isnull=False).count() >= 2
    assert cases() == []


def test_many_unknown_lines_are_asked_in_portions(
    till: Till, member: Member, monkeypatch: pytest.MonkeyPatch
):
    """No run of the job lasts for ever; nothing is judged before all are asked."""
    one, two = paid_there(till, member), paid_there(till, new_member())
    Attempt.objects.update(state="closed", next_query_at=None)
    monkeypatch.setattr(reconciliation, "MOST_ASKED", 1)
    till.set_clock(MORNING)
    assert bill_days.fetch_due(now=till.now) == 0
    assert {fresh(one).state, fresh(two).state} == {"paid", "closed"}
    till.wait(minutes=1)
    assert bill_days.fetch_due(now=till.now) == 1
    assert {fresh(one).state, fresh(two).state} == {"paid"}
    assert cases() == []


def test_a_bill_full_of_strangers_comes_to_an_end(
    till: Till, member: Member, monkeypatch: pytest.MonkeyPatch
):
    """A merchant account that another system shares: each number is asked for once."""
    for _ in range(3):
        attempt = paid_there(till, new_member())
        Attempt.objects.filter(pk=attempt.pk).update(out_trade_no=f"X{attempt.pk}")
    monkeypatch.setattr(reconciliation, "MOST_ASKED", 1)
    till.set_clock(MORNING)
    runs = 0
    while not bill_days.fetch_due(now=till.now):
        till.wait(minutes=1)
        runs += 1
    assert runs == 2
    assert cases() == [("wechat", "unknown", "open")] * 3
    asked = [call["number"] for call in till.wallet.calls(method="query")]
    assert len(asked) == len(set(asked)) == 3


# --- A backup restored ------------------------------------------------------------------


@WAYS
def test_a_backup_from_an_hour_ago_heals_with_the_same_numbers(
    till: Till, member: Member, way
):
    """H16, FLT-41: settled once more, refunded once in all, by sweeps alone."""
    settled = till.pay(till.place(member), way)
    returned = till.pay(till.place(new_member()), way)
    till.run_outbox()
    backup = transaction.savepoint_create()
    for attempt in (settled, returned):
        till.wallet.pay(way.gateway, attempt.out_trade_no, notify="lose")
    cancel(returned.order_id, now=till.now)
    till.wait(minutes=1)
    sweep(till)
    till.wait(minutes=2)
    sweep(till)
    first = Refund.objects.get()
    assert first.state == "success"
    lost = paid_there(till, new_member(), way)  # placed in the hour that is lost
    till.wait(minutes=1)
    sweep(till)
    assert fresh(lost).state == "paid"

    transaction.savepoint_rollback(backup)  # the backup is back
    assert not Refund.objects.exists()
    assert not Attempt.objects.filter(pk=lost.pk).exists()
    cancel(returned.order_id, now=till.now)
    for _ in range(3):
        till.wait(minutes=2)
        sweep(till)
    assert fresh(settled.order).status == "paid"
    assert Entitlement.objects.filter(member=member).count() == 1
    again = Refund.objects.get()
    assert (again.out_refund_no, again.state) == (first.out_refund_no, "success")
    there = till.wallet.trade(way.gateway, returned.out_trade_no)["refunds"]
    assert [refund["number"] for refund in there] == [first.out_refund_no]

    till.set_clock(MORNING)
    sweep(till)
    assert cases() == [(way.gateway, "unknown", "open")]  # flagged, not forgotten
    assert BillDifference.objects.get().number == lost.out_trade_no
    assert GatewayEvent.objects.get(outcome="orphan").number == lost.out_trade_no
    assert broken(till.now, besides=("INV-12",)) == []  # which is that very event
