"""Gift codes: unguessable, good once, days without money, told like an activation."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError
from pytest_django import Settings

from members import gift_codes, limits, rules, timeline
from members.addresses import Client
from members.digests import digest
from members.models import (
    Entitlement,
    GiftBatch,
    GiftCode,
    GiftState,
    HitLog,
    Member,
    ShopRules,
    Tier,
)
from notifications.models import Notification
from payments.refunding import returning
from tests.constraints import allows, refuses
from tests.members.gifts import HERE, make, redeem, row_of, state_of
from tests.shopping import Till, broken, fresh, new_member


def test_codes_are_long_plain_to_read_and_kept_by_nobody(book: Till, operator: Member):
    """At least 80 bits each; the database holds a keyed digest and four signs."""
    made = make(operator, book.now, count=300)
    assert len(set(made.codes)) == 300
    for code in made.codes:
        assert re.fullmatch(r"([0-9A-HJKMNP-TV-Z]{4}-){3}[0-9A-HJKMNP-TV-Z]{4}", code)
    assert len(gift_codes.ALPHABET) ** gift_codes.LENGTH >= 2**80
    stored = str(list(GiftCode.objects.values())) + str(
        list(GiftBatch.objects.values())
    )
    assert not any(code in stored for code in made.codes)
    assert not any(gift_codes.plain(code) in stored for code in made.codes)
    shown = str(row_of(made.codes[0]))
    assert shown == f"••••-••••-••••-{made.codes[0][-4:]}"


def test_ten_thousand_codes_at_once(book: Till, operator: Member):
    assert len(make(operator, book.now, count=10_000).codes) == 10_000
    assert GiftCode.objects.count() == 10_000


def test_a_batch_that_dies_half_way_leaves_nothing(
    book: Till, operator: Member, monkeypatch: pytest.MonkeyPatch
):
    """FLT-43: all or none, so it is simply made again; nobody holds a code that is not
    there, and nothing is there that nobody holds."""
    made: list[Any] = []

    def dies(*args: Any) -> str:
        made.append(args)
        if len(made) > 5:
            raise OperationalError("terminating connection")
        return digest(*args)

    monkeypatch.setattr(gift_codes, "AT_A_TIME", 2)
    monkeypatch.setattr(gift_codes, "digest", dies)
    with pytest.raises(OperationalError):
        make(operator, book.now, count=9)
    monkeypatch.setattr(gift_codes, "digest", digest)
    assert not GiftBatch.objects.exists()
    assert not GiftCode.objects.exists()
    assert len(make(operator, book.now, count=9).codes) == GiftCode.objects.count() == 9


@pytest.mark.parametrize(
    "spoil",
    [
        str.lower,
        lambda code: code.replace("-", ""),
        lambda code: code.replace("-", " "),
        lambda code: f"  {code}\t",
        lambda code: code.replace("0", "O").replace("1", "l"),
        lambda code: code.replace("1", "I").replace("0", "o"),
        lambda code: "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in code),
        lambda code: code.replace("-", "—"),
    ],
)
def test_a_code_may_be_typed_as_people_type(
    book: Till, operator: Member, member: Member, spoil: Any
):
    (code,) = make(operator, book.now).codes
    assert redeem(member, spoil(code), book.now).seconds == 7 * 86_400


def test_it_gives_the_days_once_and_tells_her(
    book: Till, operator: Member, member: Member
):
    """D18's sibling: a source of its own, without an order; popup and SMS (S15, S16)."""
    made = make(operator, book.now)
    given = redeem(member, made.codes[0], book.now)
    assert (given.source, given.order, given.actor) == ("gift", None, None)
    assert (given.seconds, given.rank, given.discount_bp) == (604_800, 10, 9_500)
    assert fresh(member).paid_until == book.now + timedelta(days=7)
    code = GiftCode.objects.get()
    assert (code.state, code.redeemed_at) == (GiftState.REDEEMED, book.now)
    told = Notification.objects.filter(member=member, kind="activated")
    assert set(told.values_list("channel", flat=True)) == {"site", "sms"}
    assert broken(book.now) == []


def test_a_repeat_gives_the_same_and_costs_nothing(
    book: Till, operator: Member, member: Member
):
    """A double click, or a second look at the letter."""
    made = make(operator, book.now)
    first = redeem(member, made.codes[0], book.now)
    book.wait(days=3)
    assert redeem(member, made.codes[0], book.now) == first
    assert Entitlement.objects.count() == 1
    assert Notification.objects.filter(kind="activated").count() == 2
    assert not HitLog.objects.exclude(hits={}).exists()


def test_codes_outlive_a_new_data_key(
    book: Till, operator: Member, member: Member, settings: Settings
):
    """The new key comes first; what the old one made is known while it is listed."""
    made = make(operator, book.now, count=3)
    old = settings.DATA_KEYS
    settings.DATA_KEYS = ["another-key-of-thirty-two-signs-x", *old]
    redeem(member, made.codes[0], book.now)
    assert gift_codes.revoke(made.batch.pk, made.codes[1])
    settings.DATA_KEYS = settings.DATA_KEYS[:1]
    gone(book, member, made.codes[2])


def test_it_stacks_like_any_other_time(book: Till, operator: Member, member: Member):
    """W2: seven days of the higher tier run first, nothing of the lower is lost."""
    book.hear(book.bill(member, "temporary-30"))
    book.wait(days=10)
    made = make(operator, book.now, tier="long-term")
    redeem(member, made.codes[0], book.now)
    line = list(fresh(member).segments.order_by("starts_at"))
    assert [each.entitlement.source for each in line] == ["order", "gift", "order"]
    assert line[-1].ends_at == book.now + timedelta(days=27)
    assert broken(book.now, besides=("INV-10",)) == []


def gone(book: Till, member: Member, typed: str) -> None:
    before = Entitlement.objects.count()
    with pytest.raises(gift_codes.CodeGone):
        redeem(member, typed, book.now)
    assert Entitlement.objects.count() == before


def test_one_answer_for_all_that_give_nothing(
    book: Till, operator: Member, member: Member
):
    """Unknown, too late, revoked, used by somebody else; each counts against guessing."""
    late = make(operator, book.now, valid_days=0).codes[0]
    used_up = make(operator, book.now).codes[0]
    redeem(new_member(), used_up, book.now)
    batch = make(operator, book.now, count=2)
    assert gift_codes.revoke(batch.batch.pk, batch.codes[0].lower())
    assert not gift_codes.revoke(batch.batch.pk, batch.codes[0])
    for typed in (late, used_up, batch.codes[0], "7K3M-9QXA-2VTR-5W8Y"):
        gone(book, member, typed)
    assert state_of(late) == GiftState.UNUSED
    key = limits.key("gift-member", str(member.pk))
    assert sum(n for _, n in HitLog.objects.get(key=key).hits["3600"]) == 4
    redeem(member, batch.codes[1], book.now)


def test_the_last_moment_of_a_code(book: Till, operator: Member, member: Member):
    made = make(operator, book.now, count=2)
    end = made.batch.valid_until
    redeem(member, made.codes[0], end - timedelta(microseconds=1))
    book.now = end
    gone(book, member, made.codes[1])


def test_revoking_the_rest_leaves_what_was_redeemed(
    book: Till, operator: Member, member: Member
):
    made = make(operator, book.now, count=5)
    redeem(member, made.codes[0], book.now)
    assert gift_codes.revoke_unused(made.batch.pk) == 4
    assert gift_codes.revoke_unused(made.batch.pk) == 0
    assert state_of(made.codes[0]) == GiftState.REDEEMED
    assert fresh(member).paid_until is not None
    gone(book, new_member(), made.codes[1])


@pytest.mark.parametrize(
    "typed",
    ["", "-", "A", "A" * 300, "7K3M9QXA2VTR5W8\0", "🎫" * 16, "%", "' OR 1=1 --"],
)
def test_odd_codes_are_simply_wrong(book: Till, member: Member, typed: str):
    gone(book, member, typed)


def test_guessing_ends_soon(book: Till, operator: Member, member: Member):
    """Five wrong codes an hour for one member; a right one is not judged then."""
    (code,) = make(operator, book.now).codes
    for n in range(5):
        gone(book, member, f"7K3M-9QXA-2VTR-5W8{n}")
    for typed in ("7K3M-9QXA-2VTR-5W9Z", code):
        with pytest.raises(gift_codes.TooManyTries) as refusal:
            redeem(member, typed, book.now)
        assert 0 < refusal.value.retry_after <= 3_600
    assert state_of(code) == GiftState.UNUSED
    redeem(member, code, book.now + timedelta(hours=1))


def test_an_address_is_limited_over_all_its_members(book: Till):
    people = [new_member() for _ in range(3)]
    for n in range(10):
        gone(book, people[n % 3], f"7K3M-9QXA-2VTR-5W8{n}")
    with pytest.raises(gift_codes.TooManyTries):
        redeem(new_member(), "7K3M-9QXA-2VTR-5W8A", book.now)


@pytest.mark.parametrize("field", ["per_network_hour", "per_hour"])
def test_a_network_and_the_shop_are_limited(book: Till, field: str):
    """As the operator says, from the next code on."""
    ShopRules.objects.update_or_create(pk=1, defaults={f"wrong_gifts_{field}": 2})
    rules.forget()
    for n in range(3):
        client = Client(f"203.0.113.{n}", f"203.0.113.{n}", HERE.network)
        wanted = gift_codes.TooManyTries if n == 2 else gift_codes.CodeGone
        with pytest.raises(wanted):
            gift_codes.redeem(new_member().pk, "X", client=client, now=book.now)


def test_a_line_that_is_full_keeps_the_code(
    book: Till, operator: Member, member: Member
):
    """security 49."""
    timeline.grant(
        member.pk,
        tier=Tier.objects.get(code="temporary"),
        seconds=int(timeline.LONGEST.total_seconds()) - 60,
        actor=operator,
        reason="test",
        now=book.now,
    )
    (code,) = make(operator, book.now).codes
    with pytest.raises(timeline.TimelineFull):
        redeem(member, code, book.now)
    assert state_of(code) == GiftState.UNUSED
    assert broken(book.now) == []


def test_while_paused_the_days_wait(book: Till, operator: Member, member: Member):
    """D20."""
    book.hear(book.bill(member))
    timeline.pause(member.pk, now=book.now)
    redeem(member, make(operator, book.now).codes[0], book.now)
    assert fresh(member).paid_until is None
    book.wait(days=1)
    timeline.resume(member.pk, now=book.now)
    assert fresh(member).paid_until == book.now + timedelta(days=14)


def test_no_money_is_paid_out_for_given_days(
    book: Till, operator: Member, member: Member
):
    """R19: half of the bought week is left, and the given one adds nothing to it."""
    attempt = book.bill(member)
    book.hear(attempt)
    redeem(member, make(operator, book.now).codes[0], book.now)
    book.wait(days=3, hours=12)
    order = fresh(attempt.order)
    offer = returning.offer_for(order, now=book.now)
    assert (offer.amount_fen, offer.seconds, offer.left) == (750, 604_800, 302_400)
    returning.return_unused(order.pk, member_id=member.pk, shown_fen=750, now=book.now)
    assert fresh(member).paid_until == book.now + timedelta(days=7)
    assert returning.offer_for(order, now=book.now).why is not None
    assert broken(book.now, besides=("INV-6", "INV-10")) == []


# --- Below the application ---------------------------------------------------------


def change(row: Any, **values: Any) -> Any:
    return lambda: type(row).objects.filter(pk=row.pk).update(**values)


def test_the_database_refuses_a_second_gift(
    book: Till, operator: Member, member: Member
):
    """K16's sibling: one entitlement a code, and none without its source."""
    made = make(operator, book.now, count=2)
    first = redeem(member, made.codes[0], book.now)
    second = redeem(member, made.codes[1], book.now)
    refuses(change(second, gift_code=first.gift_code))
    refuses(change(second, gift_code=None))
    refuses(change(second, source="grant"))
    refuses(change(second, source="grant", actor=operator))
    refuses(change(second, source="order"))
    allows(change(second, source="grant", actor=operator, gift_code=None))


def test_the_database_knows_the_states_of_a_code(book: Till, operator: Member):
    made = make(operator, book.now, count=2)
    code, other = GiftCode.objects.order_by("pk")
    refuses(change(code, state="redeemed"))
    refuses(change(code, redeemed_at=book.now))
    refuses(change(code, state="given"))
    refuses(change(code, digest=other.digest))
    refuses(change(made.batch, days=0))
    allows(change(code, state="redeemed", redeemed_at=book.now))


@pytest.mark.parametrize("damage", ["days", "state", "gone"])
def test_the_audit_sees_a_gift_that_went_wrong(
    book: Till, operator: Member, member: Member, damage: str
):
    """INV-2, INV-3."""
    given = redeem(member, make(operator, book.now).codes[0], book.now)
    code = GiftCode.objects.get()
    assert broken(book.now) == []
    rule = (
        f"INV-3 a gift code that was redeemed has given its days, and once: {code.pk}"
    )
    if damage == "days":
        GiftBatch.objects.update(days=8)
    elif damage == "state":
        GiftCode.objects.update(state="revoked", redeemed_at=None)
        rule = (
            "INV-2 an entitlement comes from a paid, fulfilled order, an operator or a"
            f" gift code: {given.pk}"
        )
    else:
        Entitlement.objects.update(gift_code=None, source="grant", actor=operator)
    assert rule in broken(book.now)


def test_now_is_an_argument(
    book: Till, operator: Member, member: Member, now: datetime
):
    """The clock of the caller decides, not that of the process."""
    long_ago = now - timedelta(days=1_000)
    made = make(operator, long_ago)
    assert redeem(member, made.codes[0], long_ago).created_at == long_ago
