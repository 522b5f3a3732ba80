"""Two redeem one code at the same moment: one is given the days. With a control."""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime

import pytest

from members import gift_codes, limits
from members.models import Entitlement, GiftCode, Member
from tests.members.gifts import make, redeem
from tests.races import at_once, errors, hesitate, take_locks_away
from tests.shopping import Till, broken, new_member

pytestmark = pytest.mark.django_db(transaction=True)

RIVALS = 8


def rush(book: Till, code: str, members: list[Member]) -> Counter[str]:
    def one(member: Member) -> str:
        try:
            return "given" if redeem(member, code, book.now) else ""
        except (gift_codes.CodeGone, gift_codes.TooManyTries) as refusal:
            return type(refusal).__name__

    ends = at_once(*[lambda each=each: one(each) for each in members])
    assert errors(ends) == []
    return Counter(ends)


def test_one_code_and_eight_members(
    book: Till, operator: Member, monkeypatch: pytest.MonkeyPatch
):
    hesitate(monkeypatch, gift_codes, "_is_good")
    (code,) = make(operator, book.now).codes
    ends = rush(book, code, [new_member() for _ in range(RIVALS)])
    assert ends == {"given": 1, "CodeGone": RIVALS - 1}
    assert Entitlement.objects.count() == 1
    assert broken(book.now) == []


def test_one_member_in_eight_windows(
    book: Till, operator: Member, monkeypatch: pytest.MonkeyPatch
):
    """All of them show what was given, which was given once."""
    hesitate(monkeypatch, gift_codes, "_is_good")
    (code,) = make(operator, book.now).codes
    assert rush(book, code, [new_member()] * RIVALS) == {"given": RIVALS}
    assert Entitlement.objects.count() == 1
    assert broken(book.now) == []


def test_redeeming_and_revoking_at_once(book: Till, operator: Member):
    """Either she has the days or the code is worthless, never both."""
    made, member = make(operator, book.now), new_member()
    ends = at_once(
        lambda: redeem(member, made.codes[0], book.now),
        lambda: gift_codes.revoke_unused(made.batch.pk),
    )
    given = isinstance(ends[0], Entitlement)
    assert given or isinstance(ends[0], gift_codes.CodeGone)
    assert ends[1] == int(not given)
    assert broken(book.now) == []


def test_parallel_guesses_are_all_counted(book: Till):
    """Five an hour, however they arrive."""
    member = new_member()

    def guess(n: int) -> str:
        try:
            redeem(member, f"7K3M-9QXA-2VTR-5W8{n}", book.now)
        except (gift_codes.CodeGone, gift_codes.TooManyTries) as refusal:
            return type(refusal).__name__
        return ""

    ends = at_once(*[lambda n=n: guess(n) for n in range(RIVALS)])
    assert Counter(ends) == {"CodeGone": 5, "TooManyTries": RIVALS - 5}


def test_control_a_naive_shop_gives_twice(
    book: Till, operator: Member, monkeypatch: pytest.MonkeyPatch
):
    """Without locks and conditions only the unique entitlement is left, as an error."""

    def naive_take(code: GiftCode, *, now: datetime) -> bool:
        time.sleep(0.05)
        GiftCode.objects.filter(pk=code.pk).update(state="redeemed", redeemed_at=now)
        return True

    take_locks_away(monkeypatch)
    monkeypatch.setattr(limits, "hold", lambda keys, *, now: limits.peek(keys))
    monkeypatch.setattr(gift_codes, "take", naive_take)
    (code,) = make(operator, book.now).codes
    members = [new_member() for _ in range(RIVALS)]
    ends = at_once(
        *[lambda each=each: redeem(each, code, book.now) for each in members]
    )
    assert [e for e in errors(ends) if not isinstance(e, gift_codes.CodeGone)], (
        "the harness sees no race"
    )
    assert Entitlement.objects.count() <= 1
