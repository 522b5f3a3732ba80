"""The gateways' daily bills: which are due, fetched and compared at T+1 (R13, C12).

Due times are rows, so that several beats, none, or ``manage.py sweep`` from cron all
end the same: each bill is read until it has been held against our books once.
"""

from __future__ import annotations

import logging
from datetime import date, datetime, time, timedelta

from django.db.models import F, QuerySet

from payments import gateways
from payments.gateways.beijing import BEIJING
from payments.gateways.bills import BadBill, BillLine, BillSource, NoBill, whole_day
from payments.gateways.contract import GatewayError
from payments.models import Attempt
from payments.reconciling.bill_models import BillDay
from payments.reconciling.reconciliation import Bill, ask_about, heal_settled, take_bill

log = logging.getLogger(__name__)

READY = time(10, 15)
"""Of the next day in Beijing; WeChat makes its bills by 10, Alipay by 9."""
BACK = 7
"""Days to look back for bills that were never noted down, after an outage."""
RETRY = timedelta(hours=1)
SOON = timedelta(minutes=1)
PATIENCE = timedelta(days=1)
"""After it "no bill" means that nothing moved."""
GIVE_UP = timedelta(days=60)
"""WeChat keeps bills for three months."""


def ready_at(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), READY, BEIJING)


def overdue(*, now: datetime) -> QuerySet[BillDay]:
    """Bills that should have been read a day ago: a person should look why."""
    before = (now - PATIENCE).astimezone(BEIJING).date() - timedelta(days=1)
    return BillDay.objects.filter(done_at__isnull=True, day__lt=before)


def note_days(*, now: datetime) -> int:
    """Write down each bill to be read, once; returns how many came to it."""
    local = now.astimezone(BEIJING)
    last = local.date() - timedelta(days=1 if local.time() >= READY else 2)
    noted = 0
    for gateway in gateways.available():
        code = gateway.code
        known = BillDay.objects.filter(gateway=code, day=last).exists()
        if known or not isinstance(gateway, BillSource):
            continue
        first = Attempt.objects.filter(gateway=code).order_by("pk").first()
        if first is None:
            continue
        begin = max(
            first.created_at.astimezone(BEIJING).date(), last - timedelta(days=BACK - 1)
        )
        days = [begin + timedelta(days=n) for n in range((last - begin).days + 1)]
        BillDay.objects.bulk_create(
            [BillDay(gateway=code, day=day, due_at=ready_at(day)) for day in days],
            ignore_conflicts=True,
        )
        noted += len(days)
    return noted


def fetch_due(*, now: datetime, limit: int = 1) -> int:
    """Read the bills whose time has come; returns how many were held against our books.

    Each row is claimed by moving its due time on, so several workers share the work
    and a bill that fails is tried again in an hour. One at a time: a slow gateway must
    not outlast the limit of a task.
    """
    note_days(now=now)
    done = 0
    for row in BillDay.objects.filter(due_at__lte=now).order_by("due_at", "pk")[:limit]:
        claimed = BillDay.objects.filter(pk=row.pk, due_at=row.due_at).update(
            due_at=now + RETRY, tries=F("tries") + 1
        )
        if claimed:
            done += _read(row, now=now)
    heal_settled(now=now)
    return done


def _read(row: BillDay, *, now: datetime) -> bool:
    """Fetch and compare one bill, and note down what became of it."""
    try:
        lines = fetch(row.gateway, row.day, now=now)
    except NoBill:
        if now < ready_at(row.day) + PATIENCE:
            _fail(row, "no bill yet", now=now)
            return False
        lines = []
    except (GatewayError, BadBill) as error:
        log.error("gateway=%s bill of %s: %s", row.gateway, row.day, error)
        _fail(row, str(error), now=now)
        return False
    bill = Bill(lines, gateway=row.gateway, day=row.day)
    asked = ask_about(bill, start=row.asked, now=now)
    if asked < len(lines):
        BillDay.objects.filter(pk=row.pk).update(asked=asked, due_at=now + SOON)
        return False
    take_bill(bill, now=now)
    BillDay.objects.filter(pk=row.pk).update(
        due_at=None, done_at=now, lines=len(lines), last_error=""
    )
    return True


def _fail(row: BillDay, words: str, *, now: datetime) -> None:
    """Tried again when due; after two months there is nothing to fetch any more."""
    BillDay.objects.filter(pk=row.pk).update(last_error=words[:200])
    if now > whole_day(row.day)[1] + GIVE_UP:
        log.error("gateway=%s bill of %s is given up", row.gateway, row.day)
        BillDay.objects.filter(pk=row.pk).update(due_at=None, done_at=now)


def fetch(code: str, day: date, *, now: datetime) -> list[BillLine]:
    """The bill of one gateway and day.

    raises  NoBill, BadBill, GatewayError; GatewayError also when it is off
    """
    gateway = gateways.get(code)
    if gateway is None:
        raise GatewayError("off", "the gateway has no keys")
    if not isinstance(gateway, BillSource):
        raise GatewayError("no-bills", "the gateway hands out no bills")
    return gateway.fetch_bill(day, now=now)
