"""The console's side of a verified name: seen, taken back, confirmed by hand (S22)."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from goods.models import Goods
from members.models import Member, RealName, RealNameCheck, Tier
from tests.console.conftest import NOON
from tests.console.form_of import form_of
from tests.goods.shelves import make_goods

pytestmark = pytest.mark.django_db

REASON = {"reason": "来店里看过证件", "confirm": "1"}


def page_of(member: Member) -> str:
    return f"/console/members/member/{member.pk}/change/"


def act(member: Member, name: str) -> str:
    return f"/console/members/member/{member.pk}/real-name/{name}/"


@pytest.fixture
def verified(buyer: Member) -> Member:
    RealName.objects.create(
        member=buyer,
        verified_at=NOON,
        provider="tencent",
        digest="0" * 64,
        slot=1,
    )
    return buyer


def test_support_sees_yes_or_no_and_when(
    as_support: Client, buyer: Member, verified: Member
):
    text = as_support.get(page_of(verified)).text
    assert "11 月 22 日 12:00，腾讯云" in text
    assert "0" * 64 not in text
    RealName.objects.all().delete()
    RealNameCheck.objects.create(
        member=buyer,
        asked_at=NOON,
        consent_version="1.0",
        provider="tencent",
        outcome="not_found",
    )
    assert (
        "没有；上次 11 月 22 日 12:00：库里查不到"
        in as_support.get(page_of(buyer)).text
    )


@pytest.mark.parametrize("role", ["support", "operator"])
def test_staff_takes_it_back_with_a_reason(
    role: str, as_support: Client, as_operator: Client, verified: Member
):
    client = as_support if role == "support" else as_operator
    assert act(verified, "take-back") in client.get(page_of(verified)).text
    shown = client.get(act(verified, "take-back"))
    assert shown.status_code == 200
    assert "买过的照常发货和使用" in shown.text
    assert client.post(act(verified, "take-back"), {"confirm": "1"}).status_code == 422
    assert RealName.objects.exists()
    done = client.post(act(verified, "take-back"), REASON)
    assert done.status_code == 303
    assert not RealName.objects.exists()
    entry = LogEntry.objects.get()
    assert "来店里看过证件" in entry.change_message
    assert client.post(act(verified, "take-back"), REASON).status_code == 409


def test_an_appeal_ends_with_a_person_who_confirms(
    as_operator: Client, as_support: Client, buyer: Member
):
    """个保法 24: support looks and asks an operator, whose word counts."""
    assert act(buyer, "confirm") not in as_support.get(page_of(buyer)).text
    assert as_support.post(act(buyer, "confirm"), REASON).status_code == 403
    assert act(buyer, "confirm") in as_operator.get(page_of(buyer)).text
    assert as_operator.post(act(buyer, "confirm"), REASON).status_code == 303
    held = RealName.objects.get()
    assert (held.member, held.provider, held.digest) == (buyer, "hand", "")
    assert "人工" in as_operator.get(page_of(buyer)).text
    assert as_operator.post(act(buyer, "confirm"), REASON).status_code == 409


def test_staff_has_no_verified_name(as_operator: Client, support: Member):
    assert as_operator.post(act(support, "confirm"), REASON).status_code == 404
    assert not RealName.objects.exists()


def change(client: Client, url: str, **fields: str) -> Any:
    form = {**form_of(client, url), **fields}
    return client.post(url, form, follow=True)


def test_an_operator_says_from_which_sum_goods_ask(as_operator: Client):
    """In the goods' own form, with a line in their history."""
    goods = make_goods("card")
    url = f"/console/goods/goods/{goods.pk}/change/"
    assert form_of(as_operator, url)["real_name_from_fen"] == ""
    assert "0" in change(as_operator, url, real_name_from_fen="0").text
    assert Goods.objects.get().real_name_from_fen is None
    change(as_operator, url, real_name_from_fen="20000")
    assert Goods.objects.get().real_name_from_fen == 20_000
    change(as_operator, url, real_name_from_fen="")
    assert Goods.objects.get().real_name_from_fen is None
    lines = goods.changes.filter(field="real_name_from_fen").order_by("id")
    assert list(lines.values_list("old", "new")) == [("", "20000"), ("20000", "")]
    assert "¥200.00" in as_operator.get(url).text


def test_an_operator_says_from_which_sum_a_tier_asks(shop: None, as_operator: Client):
    tier = Tier.objects.get(code="long-term")
    url = f"/console/members/tier/{tier.pk}/change/"
    assert form_of(as_operator, url)["real_name_from"] == ""
    change(as_operator, url, real_name_from="200")
    tier.refresh_from_db()
    assert tier.real_name_from_fen == 20_000
    assert form_of(as_operator, url)["real_name_from"] == "200.00"
    line = tier.price_changes.get(field="real_name_from_fen")
    assert (line.old, line.new) == ("", "20000")
    assert "多少起要实名" in as_operator.get(url).text
