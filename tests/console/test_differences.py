"""The console's cases of reconciliation: listed, counted, closed with a reason."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from members.models import Member
from payments.reconciling import differences
from payments.reconciling.bill_models import BillDay, BillDifference, DifferenceKind
from payments.reconciling.differences import Difference

pytestmark = pytest.mark.django_db

FRONT = "/console/"
LISTING = "/console/payments/billdifference/?case=open"


@pytest.fixture
def case(db: None) -> BillDifference:
    found = Difference(
        gateway="wechat",
        kind=DifferenceKind.UNKNOWN,
        number="KMORDER1<b>",
        txn_id="4200001",
        ours_fen=None,
        theirs_fen=1_500,
        day=date(2026, 11, 22),
    )
    differences.record([found], now=timezone.now())
    return BillDifference.objects.get()


def page_of(case: BillDifference) -> str:
    return reverse("admin:payments_billdifference_change", args=[case.pk])


def action_of(case: BillDifference) -> str:
    return reverse("admin:payments_billdifference_resolve", args=[case.pk])


def close(client: Client, case: BillDifference, **other: object):
    fields = {"version": case.version, "reason": "已退给买家", "confirm": "1"} | other
    return client.post(action_of(case), fields, follow=True)


def test_the_front_page_counts_open_cases_and_leads_to_them(
    as_operator: Client, case: BillDifference
):
    assert LISTING in as_operator.get(FRONT).content.decode()
    listed = as_operator.get(LISTING)
    assert listed.context["cl"].result_count == 1
    html = listed.content.decode()
    assert "账单有，本店无此单" in html
    assert "¥15.00 / –" in html
    assert "KMORDER1&lt;b&gt;" in html


def test_an_operator_closes_a_case_with_a_reason(
    as_operator: Client, operator: Member, case: BillDifference
):
    """R24"""
    assert action_of(case) in as_operator.get(page_of(case)).content.decode()
    assert action_of(case) in as_operator.get(LISTING).content.decode()
    shown = as_operator.get(action_of(case)).content.decode()
    assert 'name="reason"' in shown
    assert "¥15.00" in shown
    answer = close(as_operator, case)
    assert "已处理。" in answer.content.decode()
    case.refresh_from_db()
    assert (case.state, case.actor, case.reason) == ("resolved", operator, "已退给买家")
    assert LogEntry.objects.get().user == operator
    after = as_operator.get(page_of(case)).content.decode()
    assert action_of(case) not in after
    assert "已退给买家" in after


def test_a_reason_is_required(as_operator: Client, case: BillDifference):
    for reason in ("", "   ", "x" * 201):
        assert close(as_operator, case, reason=reason).status_code == 422
    case.refresh_from_db()
    assert case.state == "open"


def test_pressed_twice_it_is_closed_once(as_operator: Client, case: BillDifference):
    """I4"""
    close(as_operator, case)
    again = close(as_operator, case, reason="另一个说法")
    assert again.status_code == 409
    assert "已经处理过" in again.content.decode()
    case.refresh_from_db()
    assert case.reason == "已退给买家"
    assert LogEntry.objects.count() == 1


def test_an_old_page_closes_nothing(as_operator: Client, case: BillDifference):
    """I3"""
    answer = close(as_operator, case, version=case.version + 1)
    assert answer.status_code == 409
    assert "没有处理" in answer.content.decode()
    case.refresh_from_db()
    assert case.state == "open"
    assert close(as_operator, case, version="").status_code == 422


def test_support_reads_and_closes_nothing(as_support: Client, case: BillDifference):
    """security 68"""
    shown = as_support.get(page_of(case))
    assert shown.status_code == 200
    assert action_of(case) not in shown.content.decode()
    assert as_support.get(action_of(case)).status_code == 403
    assert close(as_support, case).status_code == 403
    case.refresh_from_db()
    assert case.state == "open"


def test_a_forged_post_is_refused(operator: Member, case: BillDifference):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(operator)
    assert close(strict, case).status_code == 403


def test_bills_that_could_not_be_fetched_are_counted(as_operator: Client, db: None):
    now = timezone.now()
    for days in (1, 9):
        BillDay.objects.create(
            gateway="wechat",
            day=(now - timedelta(days=days)).date(),
            due_at=now,
            last_error="http-500",
        )
    shown = as_operator.get("/console/payments/billday/?case=open")
    assert shown.context["cl"].result_count == 1
    assert "http-500" in shown.content.decode()
    assert "<b>1</b> 没取到的账单" in as_operator.get(FRONT).content.decode()
