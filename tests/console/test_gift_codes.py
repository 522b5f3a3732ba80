"""The console's gift codes: a file once, masked ever after, revoked with a line in the log."""

from __future__ import annotations

import csv
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from members import gift_codes
from members.addresses import Client as Caller
from members.models import GiftBatch, GiftCode, Member, Tier
from tests.shopping import new_member

LIST = "/console/members/giftbatch/"
NEW = f"{LIST}new/"

pytestmark = pytest.mark.usefixtures("shop", "asleep")


def fields(**change: Any) -> dict[str, Any]:
    end = timezone.localtime(timezone.now() + timedelta(days=30))
    return {
        "name": "双十一",
        "tier": str(Tier.objects.get(code="temporary").pk),
        "days": "7",
        "count": "20",
        "valid_until": f"{end:%Y-%m-%d %H:%M}",
    } | change


def make(client: Client, **change: Any) -> list[str]:
    answer = client.post(NEW, fields(**change))
    assert answer.status_code == 200, answer.text
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer["Content-Disposition"]
    assert "no-store" in answer["Cache-Control"]
    rows = list(csv.reader(answer.text.splitlines()))
    assert rows[0] == ["code"]
    return [row[0] for row in rows[1:]]


def test_codes_come_as_a_file_once(as_operator: Client, operator: Member):
    codes = make(as_operator)
    batch = GiftBatch.objects.get()
    assert (len(codes), batch.count, batch.actor) == (20, 20, operator)
    pages = [
        LIST,
        f"{LIST}{batch.pk}/change/",
        f"/console/members/giftcode/?batch={batch.pk}",
        f"/console/members/giftcode/{GiftCode.objects.latest('pk').pk}/change/",
    ]
    for page in pages:
        text = as_operator.get(page).text
        assert "双十一" in text
        assert not any(code in text for code in codes)
    assert f"••••-{codes[0][-4:]}" in as_operator.get(pages[2]).text
    (entry,) = LogEntry.objects.all()
    assert entry.get_change_message() == "生成 20 个兑换码"


@pytest.mark.parametrize(
    "change",
    [
        {"days": "0"},
        {"days": "3661"},
        {"count": "0"},
        {"count": "10001"},
        {"tier": ""},
        {"name": ""},
        {"valid_until": "soon"},
    ],
    ids=str,
)
def test_bounds(as_operator: Client, change: dict[str, str]):
    assert as_operator.post(NEW, fields(**change)).status_code == 422
    assert not GiftCode.objects.exists()


def test_one_code_and_then_the_rest_are_revoked(as_operator: Client):
    codes = make(as_operator)
    batch = GiftBatch.objects.get()
    member = new_member()
    here = Caller("203.0.113.9", "203.0.113.9", "203.0.113.0/24")
    gift_codes.redeem(member.pk, codes[0], client=here, now=timezone.now())
    page, action = f"{LIST}{batch.pk}/change/", f"{LIST}{batch.pk}/revoke/"
    assert as_operator.get(action).status_code == 405
    as_operator.post(action, {"gift": codes[1].lower()})
    as_operator.post(action, {"gift": codes[1]})
    as_operator.post(action, {"gift": codes[0]})
    as_operator.post(action)
    assert GiftCode.objects.filter(state="revoked").count() == 1
    assert "撤销全部没用过的 18 个" in as_operator.get(page).text
    as_operator.post(action, {"all": "yes"})
    assert GiftCode.objects.filter(state="revoked").count() == 19
    assert "撤销全部" not in as_operator.get(page).text
    words = [each.get_change_message() for each in LogEntry.objects.order_by("id")]
    assert words[1:] == ["撤销 1 个没用过的兑换码", "撤销 18 个没用过的兑换码"]


def test_the_members_page_shows_what_she_redeemed(
    as_operator: Client, as_support: Client
):
    codes = make(as_operator)
    member = new_member()
    here = Caller("203.0.113.9", "203.0.113.9", "203.0.113.0/24")
    given = gift_codes.redeem(member.pk, codes[0], client=here, now=timezone.now())
    for client in (as_operator, as_support):
        page = client.get(f"/console/members/member/{member.pk}/change/").text
        assert f"••••-{codes[0][-4:]}" in page
        page = client.get(f"/console/members/entitlement/{given.pk}/change/").text
        assert f"••••-{codes[0][-4:]}" in page
        assert codes[0] not in page


def test_who_may(as_operator: Client, as_support: Client):
    """security 68: support looks, and makes and revokes nothing."""
    make(as_operator)
    batch = GiftBatch.objects.get()
    assert as_support.get(f"{LIST}{batch.pk}/change/").status_code == 200
    assert as_support.get(NEW).status_code == 403
    answer = as_support.post(f"{LIST}{batch.pk}/revoke/", {"all": "yes"})
    assert answer.status_code == 403
    assert GiftCode.objects.filter(state="unused").count() == 20
    for client in (as_operator, as_support):
        assert client.get(f"{LIST}{batch.pk}/delete/").status_code == 403
