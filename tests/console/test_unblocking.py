"""A phone that wrong codes have blocked, opened by an operator (security 2)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from members import limits
from members.models import Member, ShopRules
from members.sign_in import codes
from tests.console.conftest import PHONE

pytestmark = pytest.mark.django_db
PAGE = "/console/members/member/unblock/"
FORM = {"phone": "138 0013 8000", "reason": "报出了最近三笔订单"}


@pytest.fixture
def blocked(buyer: Member) -> Member:
    """The shopper after as many wrong codes in a row as the shop allows."""
    now = timezone.now() - timedelta(days=1)
    run = codes._run(PHONE, ShopRules())
    for _ in range(ShopRules().failures_in_a_row):
        assert limits.take_all([run], now=now) is None
    assert codes.is_blocked(PHONE, now=timezone.now())
    return buyer


def test_an_operator_lifts_the_block_and_the_log_keeps_who_and_why(
    blocked: Member, as_operator: Client, operator: Member
):
    answer = as_operator.post(PAGE, FORM, follow=True)
    assert "已解除" in answer.text
    assert not codes.is_blocked(PHONE, now=timezone.now())
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (operator, str(blocked.pk))
    assert "报出了最近三笔订单" in entry.change_message
    assert "13800138000" not in entry.object_repr + entry.change_message


def test_a_phone_without_an_account_can_be_opened_too(as_operator: Client):
    answer = as_operator.post(PAGE, FORM)
    assert answer.status_code == 303
    assert LogEntry.objects.get().object_repr == "尾号 8000"


@pytest.mark.parametrize(
    ("field", "text", "words"),
    [
        ("phone", "123", "手机号要 11 位，以 1 开头"),
        ("phone", "", "这个字段是必填项"),
        ("reason", "", "这个字段是必填项"),
    ],
)
def test_bad_input_gets_words_and_changes_nothing(
    blocked: Member, as_operator: Client, field: str, text: str, words: str
):
    answer = as_operator.post(PAGE, FORM | {field: text})
    assert answer.status_code == 422
    assert words in answer.text
    assert codes.is_blocked(PHONE, now=timezone.now())
    assert not LogEntry.objects.exists()


def test_support_sees_the_block_and_cannot_lift_it(blocked: Member, as_support: Client):
    """Security 68"""
    assert as_support.post(PAGE, FORM).status_code == 403
    page = as_support.get(f"/console/members/member/{blocked.pk}/change/").text
    assert "输错太多次，已锁定" in page
    assert PAGE not in page
    assert codes.is_blocked(PHONE, now=timezone.now())


def test_the_members_page_leads_the_operator_there(
    blocked: Member, as_operator: Client
):
    page = as_operator.get(f"/console/members/member/{blocked.pk}/change/").text
    assert f'href="{PAGE}"' in page
    codes.unblock(PHONE)
    page = as_operator.get(f"/console/members/member/{blocked.pk}/change/").text
    assert "已锁定" not in page
