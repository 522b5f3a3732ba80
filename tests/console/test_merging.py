"""I12 through the console: another account typed, seen, confirmed with a reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.test import Client

from kameng.templatetags.shop import moment
from members import timeline
from members.models import Member
from payments.models import Attempt
from tests.console.conftest import NOON, PHONE
from tests.console.test_money_actions import _Form
from tests.shopping import fresh

pytestmark = pytest.mark.django_db

OTHER = "+8613900139009"
LABEL = "把另一个账号并进来"


@pytest.fixture(autouse=True)
def _later(asleep: None) -> Any:
    with time_machine.travel(NOON + timedelta(days=2), tick=False):
        yield


@pytest.fixture
def other(buy: Callable[..., Attempt], buyer: Member) -> Member:
    """She has 7 days in either account, bought two days ago, and an unpaid order."""
    member = Member.objects.create_user(OTHER)
    buy(txn_id="4200001")
    buy(member=member, txn_id="4200002")
    buy(member=member, at=NOON + timedelta(days=2))
    return member


def page_of(member: Member) -> str:
    return f"/console/members/member/{member.pk}/change/"


def merge_page(member: Member) -> str:
    return f"/console/members/member/{member.pk}/merge/"


def form_in(html: str) -> dict[str, str]:
    reader = _Form()
    reader.feed(html.split('<form method="post" novalidate>')[1])
    return reader.values


def preview(client: Client, buyer: Member, typed: str = "139 0013 9009") -> Any:
    form = {"other": typed, "reason": "报出了两边的订单", "preview": "1"}
    return client.post(merge_page(buyer), form)


def confirm(client: Client, buyer: Member, form: dict[str, str]) -> Any:
    return client.post(merge_page(buyer), form | {"confirm": "1"})


def test_i12_seen_confirmed_and_told(
    as_operator: Client, operator: Member, buyer: Member, other: Member
) -> None:
    assert LABEL in as_operator.get(page_of(buyer)).text
    assert "会发生什么" in as_operator.get(merge_page(buyer)).text
    shown = preview(as_operator, buyer).text
    end = moment(NOON + timedelta(days=12))
    for words in ("139••••9009", "5 天", "2 单，其中待付款 1 单", end, "撤销"):
        assert words in shown
    assert fresh(other).is_active
    answer = confirm(as_operator, buyer, form_in(shown))
    assert (answer.status_code, answer["Location"]) == (302, page_of(buyer))
    assert fresh(buyer).paid_until == NOON + timedelta(days=12)
    assert fresh(other).merged_into == buyer
    entries = LogEntry.objects.all()
    assert {(e.user, e.object_id) for e in entries} == {
        (operator, str(buyer.pk)),
        (operator, str(other.pk)),
    }
    assert all("报出了两边的订单" in each.change_message for each in entries)
    assert f"#{other.pk}" in as_operator.get(page_of(buyer)).text
    gone = as_operator.get(page_of(other)).text
    assert "已并入" in gone
    assert LABEL not in gone


def test_i4_pressed_twice_it_happens_once(
    as_operator: Client, buyer: Member, other: Member
) -> None:
    form = form_in(preview(as_operator, buyer).text)
    assert confirm(as_operator, buyer, form).status_code == 302
    again = confirm(as_operator, buyer, form)
    assert again.status_code == 422
    assert "没有这个账号" in again.text
    by_number = confirm(as_operator, buyer, form | {"other": f"#{other.pk}"})
    assert by_number.status_code == 422
    assert "只能合并两个还能登录的买家账号" in by_number.text
    assert fresh(buyer).paid_until == NOON + timedelta(days=12)
    assert LogEntry.objects.count() == 2


def test_i3_an_old_page_is_refused_and_shown_anew(
    as_operator: Client, buyer: Member, other: Member
) -> None:
    form = form_in(preview(as_operator, buyer).text)
    timeline.pause(other.pk, now=NOON + timedelta(days=2))
    stale = confirm(as_operator, buyer, form)
    assert stale.status_code == 409
    assert "刚有变化，什么也没做" in stale.text
    assert fresh(other).is_active
    assert confirm(as_operator, buyer, form_in(stale.text)).status_code == 302


def test_nothing_is_confirmed_that_was_not_shown(
    as_operator: Client, buyer: Member, other: Member
) -> None:
    """The other account was typed and confirmed at once, or changed after the look."""
    form = {"other": OTHER, "reason": "客户来电"}
    unseen = confirm(as_operator, buyer, form)
    assert unseen.status_code == 409
    assert "先看过会发生什么" in unseen.text
    third = Member.objects.create_user("+8613700137007")
    seen = form_in(preview(as_operator, buyer).text) | {"other": str(third.phone)}
    assert confirm(as_operator, buyer, seen).status_code == 409
    made_up = form | {"version": "x"}
    assert confirm(as_operator, buyer, made_up).status_code == 409
    assert Member.objects.filter(merged_into__isnull=False).count() == 0


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "这个字段是必填项"),
        ("12a", "手机号要 11 位，以 1 开头"),
        ("13611136111", "没有这个账号"),
        ("#999999999", "没有这个账号"),
        (PHONE, "这就是同一个账号"),
    ],
)
def test_a_wrong_account_gets_words(
    as_operator: Client, buyer: Member, other: Member, typed: str, words: str
) -> None:
    answer = preview(as_operator, buyer, typed)
    assert answer.status_code == 422
    assert words in answer.text


def test_staff_cannot_be_merged(
    as_operator: Client, operator: Member, support: Member, buyer: Member
) -> None:
    answer = preview(as_operator, buyer, f"#{support.pk}")
    assert "没有这个账号" in answer.text
    assert as_operator.get(merge_page(support)).status_code == 404


def test_support_looks_and_cannot_merge(
    as_support: Client, buyer: Member, other: Member
) -> None:
    """Security 68"""
    assert LABEL not in as_support.get(page_of(buyer)).text
    form = {"other": OTHER, "reason": "x", "confirm": "1"}
    assert as_support.post(merge_page(buyer), form).status_code == 403
    assert fresh(other).is_active


def test_a_merged_account_takes_none_in(
    as_operator: Client, buyer: Member, other: Member
) -> None:
    form = form_in(preview(as_operator, buyer).text)
    confirm(as_operator, buyer, form)
    assert as_operator.get(merge_page(other)).status_code == 409
