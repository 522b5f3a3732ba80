"""K16 to K19, K25 and K27: what the database refuses, whatever the code does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import ProtectedError

from members.models import Entitlement, Member, Pause, Plan, Segment, Tier
from tests.constraints import allows, refuses
from tests.members.database_line import DatabaseLine, unpaid_order
from tests.members.worked_examples import DAY, moment

START = moment("2026-11-22 10:00")
LATER = START + timedelta(days=1)


@pytest.fixture
def bought(line: DatabaseLine, plans: dict[str, Plan]) -> Entitlement:
    return line.buy("S7", plans["S7"], at=START)


def another(entitlement: Entitlement, **change: Any) -> Entitlement:
    """The same row once more, under a new id."""
    fields = {
        field.attname: getattr(entitlement, field.attname)
        for field in Entitlement._meta.concrete_fields
        if not field.primary_key
    }
    return Entitlement(**fields | change)


def test_k16_an_order_gives_one_entitlement(
    bought: Entitlement, plans: dict[str, Plan]
):
    """D17."""
    refuses(lambda: Entitlement.objects.bulk_create([another(bought)]))
    order = unpaid_order(bought.member, plans["S7"], at=START)
    allows(
        lambda: Entitlement.objects.bulk_create([another(bought, order_id=order.pk)])
    )


@pytest.mark.parametrize(
    "change",
    [{"revoked_seconds": 7 * DAY + 1}, {"seconds": 0}, {"revoked_seconds": -1}],
    ids=str,
)
def test_k17_no_more_is_taken_back_than_was_given(
    bought: Entitlement, change: dict[str, int]
):
    mine = Entitlement.objects.filter(pk=bought.pk)
    refuses(lambda: mine.update(**change))
    allows(lambda: mine.update(revoked_seconds=7 * DAY))


@pytest.mark.parametrize(
    "change",
    [
        {"source": "grant"},  # from an order and from an operator at once
        {"source": "order", "order_id": None},
        {"source": "grant", "order_id": None, "actor_id": None},
        {"source": "gift"},
    ],
    ids=str,
)
def test_an_entitlement_names_where_it_comes_from(
    bought: Entitlement, operator: Member, change: dict[str, Any]
):
    mine = Entitlement.objects.filter(pk=bought.pk)
    refuses(lambda: mine.update(**change))
    allows(lambda: mine.update(source="grant", order_id=None, actor=operator))


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (START, LATER),  # the same start
        (START - timedelta(days=1), START + timedelta(days=7)),  # the same end
        (LATER, LATER),  # no length
        (LATER, START - timedelta(seconds=1)),  # backwards
    ],
    ids=["same-start", "same-end", "empty", "backwards"],
)
def test_k18_two_segments_share_neither_start_nor_end(
    bought: Entitlement, start: Any, end: Any
):
    """D16: no overlap that begins or ends with another."""
    refuses(lambda: Segment.objects.bulk_create([segment(bought, start, end)]))
    begin = START + timedelta(days=7)
    allows(
        lambda: Segment.objects.bulk_create(
            [segment(bought, begin, begin + timedelta(seconds=1))]
        )
    )


def segment(entitlement: Entitlement, start: Any, end: Any) -> Segment:
    return Segment(
        member=entitlement.member, entitlement=entitlement, starts_at=start, ends_at=end
    )


def test_k19_one_pause_is_open(member: Member):
    Pause.objects.create(member=member, starts_at=START)
    twice = [Pause(member=member, starts_at=LATER)]
    refuses(lambda: Pause.objects.bulk_create(twice))
    Pause.objects.update(ends_at=LATER)
    allows(lambda: Pause.objects.bulk_create(twice))
    refuses(lambda: Pause.objects.update(ends_at=START - timedelta(seconds=1)))


def test_k25_a_phone_is_one_member(member: Member):
    refuses(lambda: Member.objects.bulk_create([Member(phone=member.phone)]))
    allows(lambda: Member.objects.bulk_create([Member(phone="+8613900139001")]))
    allows(lambda: Member.objects.bulk_create([Member(), Member()]))


@pytest.mark.parametrize(
    "phone", ["", "13900139000", "+85291234567", "+86139001390001"]
)
def test_a_phone_is_a_chinese_mobile_number(member: Member, phone: str):
    refuses(lambda: Member.objects.filter(pk=member.pk).update(phone=phone))


@pytest.mark.parametrize(
    "change",
    [{"is_active": True}, {"phone": "+8613900139000"}, {"paid_until": START}, None],
    ids=str,
)
def test_i12_a_merged_account_is_over(member: Member, change: dict[str, Any] | None):
    """Nobody signs in, no time is ahead, and it went into another one."""
    gone = Member.objects.create_user("+8613700137007")
    over: dict[str, Any] = {"merged_into": member, "is_active": False, "phone": None}
    mine = Member.objects.filter(pk=gone.pk)
    allows(lambda: mine.update(**over))
    Member.objects.filter(pk=member.pk).update(phone=None)
    wrong = {"merged_into": gone} if change is None else change
    refuses(lambda: mine.update(**over | wrong))


def test_k27_a_rank_belongs_to_one_tier(tiers: dict[str, Tier]):
    refuses(lambda: Tier.objects.filter(pk=tiers["S"].pk).update(rank=20))
    allows(lambda: Tier.objects.filter(pk=tiers["S"].pk).update(rank=30))


def test_k27_what_was_sold_cannot_be_deleted(bought: Entitlement):
    """I8: a tier with sales, its plans and its buyer stay."""
    for row in (bought.tier, bought.order.plan, bought.member, bought):
        with pytest.raises(ProtectedError):
            row.delete()
