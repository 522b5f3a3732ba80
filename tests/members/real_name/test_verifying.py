"""A name verified: consent first, one question, only the result kept (security 76)."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import IntegrityError, connection

from members import limits, merging, rules
from members.digests import digest
from members.models import CheckOutcome, Member, RealName, RealNameCheck, ShopRules
from members.real_name import holding, verifying
from members.real_name.contract import Result
from members.real_name.holding import State
from members.real_name.id_numbers import IdNumber
from members.real_name.verifying import CONSENT_VERSION, Child, TooMany
from members.timeline import lock_members
from tests import races
from tests.constraints import allows, refuses
from tests.members.edge import client_at
from tests.members.real_name.people import (
    ADULT,
    NAME,
    Library,
    everything,
    id_number,
    verify,
)
from tests.shopping import new_member

pytestmark = pytest.mark.django_db

MARK = "0" * 63


def state(member: Member, now: datetime) -> State:
    return holding.state_of(holding.of(member), now=now)


def accounts_allowed(number: int) -> None:
    ShopRules.objects.update_or_create(pk=1, defaults={"real_name_accounts": number})
    rules.forget()


@pytest.fixture
def library() -> Library:
    return Library()


@pytest.mark.django_db(transaction=True)
def test_consent_is_on_record_before_the_question_and_no_lock_is_held(
    member: Member, library: Library, now: datetime
):
    """security 76: a crash of the verifier leaves the consent and nothing else."""
    seen: list[Any] = []

    def look() -> None:
        seen.extend((connection.in_atomic_block, RealNameCheck.objects.get()))

    library.before_answer = look
    assert verify(member, library, now=now) is CheckOutcome.MATCH
    in_transaction, check = seen
    assert not in_transaction
    assert (check.member, check.outcome) == (member, CheckOutcome.ASKED)
    assert (check.consent_version, check.asked_at) == (CONSENT_VERSION, now)
    check.refresh_from_db()
    assert check.outcome == CheckOutcome.MATCH


def test_only_the_result_is_kept(
    member: Member, library: Library, now: datetime, caplog: pytest.LogCaptureFixture
):
    """security 74, 76: neither name nor number in any row or log line."""
    caplog.set_level(logging.DEBUG)
    assert verify(member, library, now=now) is CheckOutcome.MATCH
    assert library.asked == [(NAME, ADULT)]
    held = RealName.objects.get()
    assert (held.member, held.verified_at, held.provider) == (member, now, "tencent")
    assert (held.adult_on, held.slot) == (None, 1)
    assert held.digest == digest("id-number", ADULT)
    kept = everything() + caplog.text
    for secret in (NAME, ADULT, ADULT[6:14], "1949"):
        assert secret not in kept
    assert "real name by tencent: match" in caplog.text


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (Result.MISMATCH, CheckOutcome.MISMATCH),
        (Result.NOT_FOUND, CheckOutcome.NOT_FOUND),
        (Result.BUSY, CheckOutcome.UNAVAILABLE),
        (Result.ALARM, CheckOutcome.UNAVAILABLE),
    ],
)
def test_any_other_answer_verifies_nobody(
    member: Member,
    library: Library,
    now: datetime,
    caplog: pytest.LogCaptureFixture,
    result: Result,
    outcome: CheckOutcome,
):
    library.result = result
    assert verify(member, library, now=now) is outcome
    assert state(member, now) is State.NONE
    assert RealNameCheck.objects.get().outcome == outcome
    alarms = [line for line in caplog.records if line.levelno >= logging.ERROR]
    assert len(alarms) == (result is Result.ALARM)


def test_five_tries_a_day_then_the_verifier_is_not_asked(
    member: Member, library: Library, now: datetime
):
    """security 84: each question costs money, so the sixth is none."""
    library.result = Result.MISMATCH
    for _ in range(5):
        verify(member, library, now=now)
    with pytest.raises(TooMany) as refused:
        verify(member, library, now=now)
    assert refused.value.retry_after == 86_400
    assert len(library.asked) == RealNameCheck.objects.count() == 5
    library.result = Result.MATCH
    later = now + timedelta(days=1)
    assert verify(member, library, now=later) is CheckOutcome.MATCH


def test_an_address_has_its_own_limit(library: Library, now: datetime):
    library.result = Result.MISMATCH
    for _ in range(20):
        verify(new_member(), library, now=now)
    with pytest.raises(TooMany):
        verify(new_member(), library, now=now)
    elsewhere = client_at("198.51.100.1")
    assert verify(new_member(), library, now=now, client=elsewhere)


def test_an_outage_takes_no_try_away(member: Member, library: Library, now: datetime):
    library.result = Result.BUSY
    for _ in range(8):
        assert verify(member, library, now=now) is CheckOutcome.UNAVAILABLE
    library.result = Result.MATCH
    assert verify(member, library, now=now) is CheckOutcome.MATCH


def test_a_child_is_not_asked_about(member: Member, library: Library, now: datetime):
    """Under 14 a guardian has to consent first (个保法 31)."""
    today = holding.today(now)
    young = id_number(today.replace(year=today.year - 14) + timedelta(days=1))
    with pytest.raises(Child):
        verify(member, library, now=now, number=young)
    assert library.asked == []
    assert not RealNameCheck.objects.exists()
    of_age = id_number(today.replace(year=today.year - 14))
    assert verify(member, library, now=now, number=of_age) is CheckOutcome.MATCH


def test_a_minor_is_known_as_one_until_her_birthday_in_shanghai(
    member: Member, library: Library, now: datetime
):
    """The date decides later, without anybody asking again."""
    number = id_number(date(2008, 12, 1))
    assert verify(member, library, now=now, number=number) is CheckOutcome.MATCH
    assert RealName.objects.get().adult_on == date(2026, 12, 1)
    eve = datetime(2026, 11, 30, 15, 59, 59, tzinfo=UTC)
    assert state(member, now) is state(member, eve) is State.MINOR
    assert state(member, eve + timedelta(seconds=1)) is State.ADULT


def test_one_number_verifies_as_many_accounts_as_the_operator_allows(
    library: Library, now: datetime
):
    people = [new_member() for _ in range(5)]
    outcomes = [verify(each, library, now=now) for each in people[:4]]
    assert outcomes == [CheckOutcome.MATCH] * 3 + [CheckOutcome.TAKEN]
    assert state(people[3], now) is State.NONE
    accounts_allowed(4)
    assert verify(people[3], library, now=now) is CheckOutcome.MATCH
    accounts_allowed(1)
    assert verify(people[4], library, now=now) is CheckOutcome.TAKEN
    assert all(state(each, now) is State.ADULT for each in people[:4])
    other = id_number(date(1990, 1, 1))
    assert verify(people[4], library, now=now, number=other) is CheckOutcome.MATCH


def test_a_number_is_known_again_after_a_change_of_keys(
    library: Library, now: datetime, settings: Any
):
    accounts_allowed(1)
    settings.DATA_KEYS = ["the key of yesterday, which is long enough"]
    assert verify(new_member(), library, now=now) is CheckOutcome.MATCH
    settings.DATA_KEYS = ["the key of today, long enough", *settings.DATA_KEYS]
    assert verify(new_member(), library, now=now) is CheckOutcome.TAKEN


def test_who_is_verified_stays_as_she_is(
    member: Member, library: Library, now: datetime
):
    verify(member, library, now=now)
    later = now + timedelta(hours=1)
    number = id_number(date(2010, 1, 1))
    assert verify(member, library, now=later, number=number) is CheckOutcome.MATCH
    assert RealName.objects.get().verified_at == now


def test_a_closed_account_is_not_verified_by_a_late_answer(
    member: Member, library: Library, now: datetime
):
    library.before_answer = lambda: Member.objects.update(is_active=False)
    verify(member, library, now=now)
    assert not RealName.objects.exists()


# --- At once -------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_at_once_one_number_gets_no_account_too_many(library: Library, now: datetime):
    people = [new_member() for _ in range(8)]
    ends = races.at_once(
        *(lambda each=each: verify(each, library, now=now) for each in people)
    )
    assert races.errors(ends) == []
    assert ends.count(CheckOutcome.MATCH) == 3
    assert ends.count(CheckOutcome.TAKEN) == 5
    slots = RealName.objects.order_by("slot").values_list("slot", flat=True)
    assert list(slots) == [1, 2, 3]


@pytest.mark.django_db(transaction=True)
def test_control_without_the_lock_two_reach_for_one_slot(
    library: Library, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    """The unique slot says no where the lock is away."""
    people = [new_member() for _ in range(6)]
    races.take_locks_away(monkeypatch)
    monkeypatch.setattr(limits, "hold", lambda keys, *, now: limits.peek(keys))
    races.hesitate(monkeypatch, rules, "current")
    ends = races.at_once(
        *(lambda each=each: verify(each, library, now=now) for each in people)
    )
    assert races.errors(ends)
    assert RealName.objects.count() <= 3


@pytest.mark.django_db(transaction=True)
def test_a_double_click_verifies_once(member: Member, library: Library, now: datetime):
    ends = races.at_once(*[lambda: verify(member, library, now=now)] * 3)
    assert ends == [CheckOutcome.MATCH] * 3
    assert RealName.objects.get().slot == 1


# --- Losing it -----------------------------------------------------------------------


def test_she_withdraws_and_her_slot_is_free(
    member: Member, library: Library, now: datetime
):
    """The way back that the consent promises; the record of the consent stays."""
    accounts_allowed(1)
    verify(member, library, now=now)
    holding.withdraw(member.pk)
    assert state(member, now) is State.NONE
    assert RealNameCheck.objects.count() == 1
    assert verify(new_member(), library, now=now) is CheckOutcome.MATCH


def test_the_shop_takes_it_back_with_a_reason(
    member: Member, operator: Member, library: Library, now: datetime
):
    verify(member, library, now=now)
    holding.take_back(member.pk, actor=operator, reason="不是本人")
    assert state(member, now) is State.NONE
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (operator, str(member.pk))
    assert "不是本人" in entry.change_message
    with pytest.raises(holding.NothingToDo):
        holding.take_back(member.pk, actor=operator, reason="again")


def test_a_person_confirms_whom_the_library_does_not_know(
    member: Member, operator: Member, library: Library, now: datetime
):
    """No machine alone refuses for good (个保法 24); nothing of the document is kept."""
    library.result = Result.NOT_FOUND
    verify(member, library, now=now)
    holding.confirm_by_hand(member.pk, actor=operator, reason="当面看过", now=now)
    held = RealName.objects.get()
    assert (held.provider, held.digest, held.slot) == ("hand", "", None)
    assert state(member, now) is State.ADULT
    assert "当面看过" in LogEntry.objects.get().change_message
    with pytest.raises(holding.NothingToDo):
        holding.confirm_by_hand(member.pk, actor=operator, reason="x", now=now)


# --- Merging -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source_born", "target_born", "adult_on"),
    [
        (date(1990, 1, 1), None, None),
        (None, date(1990, 1, 1), None),
        (date(1990, 1, 1), date(2010, 5, 5), None),
        (date(2010, 5, 5), date(1990, 1, 1), None),
        (date(2009, 5, 5), date(2010, 5, 5), date(2027, 5, 5)),
        (date(2010, 5, 5), None, date(2028, 5, 5)),
    ],
)
def test_the_better_standing_survives_a_merger(
    library: Library,
    now: datetime,
    source_born: date | None,
    target_born: date | None,
    adult_on: date | None,
):
    """I12"""
    source, target = new_member(), new_member()
    for each, born in ((source, source_born), (target, target_born)):
        if born is not None:
            verify(each, library, now=now, number=id_number(born))
    checks = RealNameCheck.objects.count()
    merging.merge_locked(*lock_members(source.pk, target.pk), now=now)
    held = RealName.objects.get()
    assert (held.member, held.adult_on) == (target, adult_on)
    assert target.real_name_checks.count() == checks


def test_of_two_equal_ones_the_target_keeps_her_own(library: Library, now: datetime):
    """I12: and a slot is free again."""
    source, target = new_member(), new_member()
    verify(source, library, now=now)
    verify(target, library, now=now + timedelta(hours=1))
    merging.merge_locked(*lock_members(source.pk, target.pk), now=now)
    held = RealName.objects.get()
    assert (held.member, held.slot) == (target, 2)
    assert verify(new_member(), library, now=now) is CheckOutcome.MATCH
    assert set(RealName.objects.values_list("slot", flat=True)) == {1, 2}


# --- Below the application -----------------------------------------------------------


def row(member: Member, **change: Any) -> RealName:
    facts = {"provider": "tencent", "digest": f"{MARK}1", "slot": 1}
    return RealName(member=member, **facts | change)


@pytest.mark.parametrize(
    "change",
    [
        {"digest": ADULT},  # the number itself
        {"digest": ""},
        {"digest": f"{MARK}G"},
        {"slot": 0},
        {"slot": 21},
        {"slot": None},
        {"provider": "somebody"},
        {"provider": "hand"},
        {"provider": "hand", "digest": ""},
    ],
    ids=str,
)
def test_the_database_refuses_what_is_no_result(member: Member, change: dict[str, Any]):
    refuses(lambda: RealName.objects.bulk_create([row(member, **change)]))
    allows(lambda: RealName.objects.bulk_create([row(member)]))
    by_hand = row(member, provider="hand", digest="", slot=None)
    allows(lambda: RealName.objects.bulk_create([by_hand]))


def test_the_database_refuses_a_slot_twice_and_a_member_twice(member: Member):
    row(member).save()
    other = new_member()
    refuses(lambda: RealName.objects.bulk_create([row(other)]))
    allows(lambda: RealName.objects.bulk_create([row(other, slot=2)]))
    refuses(lambda: RealName.objects.bulk_create([row(member, slot=2)]))


@pytest.mark.parametrize("change", [{"consent_version": ""}, {"outcome": "yes"}])
def test_the_database_refuses_a_check_without_consent(
    member: Member, change: dict[str, str]
):
    """security 76"""
    facts = {"consent_version": "1.0", "provider": "tencent"} | change
    check = RealNameCheck(member=member, **facts)
    with pytest.raises(IntegrityError):
        check.save()


def test_what_is_asked_never_shows_in_a_traceback() -> None:
    question = verifying.Question(NAME, _parsed())
    assert NAME not in repr(question)
    assert ADULT not in repr(question)


def _parsed() -> Any:
    return IdNumber(ADULT, date(1949, 12, 31))
