"""Browsers that agree at the same moment: at most ten a member, one owner each."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.db.models.signals import post_save

from members.models import Member
from notifications.models import PushSubscription
from notifications.push import subscriptions
from tests.notifications.receiving import Browser
from tests.races import at_once, errors, take_locks_away

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 3


@pytest.fixture
def slow_saving() -> Iterator[None]:
    """A moment between a new browser and the look at how many there are."""

    def hesitate(**_: object) -> None:
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.3)

    post_save.connect(hesitate, sender=PushSubscription)
    yield
    post_save.disconnect(hesitate, sender=PushSubscription)


def endpoint(number: int) -> str:
    return f"https://fcm.googleapis.com/fcm/send/{number}"


def agree(member: Member, first: int, many: int, now: datetime) -> list[object]:
    """So many new browsers of hers, all at once."""
    keys = Browser().keys

    def one(number: int) -> PushSubscription:
        at = now + timedelta(seconds=number)
        return subscriptions.save(member.pk, endpoint(number), **keys, now=at)

    numbers = range(first, first + many)
    return at_once(*[lambda number=number: one(number) for number in numbers])


def nine_and_eight_more(member: Member, now: datetime) -> tuple[list[object], int]:
    PushSubscription.objects.all().delete()
    keys = Browser().keys
    for number in range(9):
        subscriptions.save(member.pk, endpoint(number), **keys, now=now)
    ends = agree(member, 100, 8, now)
    return ends, PushSubscription.objects.filter(member=member).count()


def test_eight_browsers_at_once_stay_within_ten(
    member: Member, now: datetime, slow_saving: None
) -> None:
    """security 78: the oldest make room, and none of the new ones is lost."""
    for _ in range(ROUNDS):
        ends, count = nine_and_eight_more(member, now)
        assert errors(ends) == []
        assert count == subscriptions.AT_MOST
        kept = set(PushSubscription.objects.values_list("endpoint", flat=True))
        assert {endpoint(100 + number) for number in range(8)} <= kept


def test_control_without_the_lock_there_are_too_many(
    member: Member, now: datetime, slow_saving: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each counts before the others have committed; SQLite refuses most instead."""
    take_locks_away(monkeypatch)
    rounds = (nine_and_eight_more(member, now) for _ in range(10))  # until one shows it
    assert any(errors(ends) or count > 10 for ends, count in rounds)


def test_two_members_at_one_browser_leave_one_owner(
    member: Member, now: datetime
) -> None:
    """The digest is unique: whoever came last owns it, and nobody gets an error."""
    other = Member.objects.create_user("+8613700137000")
    keys = Browser().keys
    for number in range(ROUNDS):
        ends = at_once(
            *[
                lambda who=who, number=number: subscriptions.save(
                    who.pk, endpoint(number), **keys, now=now
                )
                for who in (member, other)
            ]
        )
        assert errors(ends) == []
        assert PushSubscription.objects.filter(endpoint=endpoint(number)).count() == 1
