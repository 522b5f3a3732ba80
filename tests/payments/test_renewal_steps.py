"""When a renewal is announced, charged and tried again: the rules without a database.

E8, E11 to E16 of ``correctness.md``; times are Asia/Shanghai.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from members.models import ShopRules
from payments.renewing.renewal_models import EndedBy
from payments.renewing.renewal_steps import (
    UNHURRIED,
    Charge,
    Do,
    Facts,
    Step,
    charge_at,
    is_inside,
    next_step,
    notice_at,
    retries,
)
from tests.payments.renewing import DAY, HOUR, SHANGHAI, beijing

RULES = ShopRules()
END = beijing("11-29 18:00")
MINUTE = timedelta(minutes=1)


def facts(**other: object) -> Facts:
    """Told in time of ¥15 for the end at 18:00, nothing charged yet."""
    plain = Facts(
        paid_until=END,
        paused=False,
        on_sale=True,
        price_fen=1_500,
        consent_fen=1_500,
        told_fen=1_500,
        heard_at=END - 6 * DAY,
    )
    return replace(plain, **other)  # type: ignore[arg-type]


def step(at: str | datetime, **other: object) -> Step:
    now = beijing(at) if isinstance(at, str) else at
    return next_step(facts(**other), RULES, now=now)


def failed(at: str) -> dict[str, object]:
    return {"order": "pending", "charge": Charge(beijing(at), live=False)}


@pytest.mark.parametrize(
    ("end", "charge"),
    [
        ("11-29 10:00", "11-28 10:00"),
        ("11-29 09:00", "11-28 09:00"),
        ("11-29 20:59", "11-28 20:59"),
        ("11-29 21:00", "11-28 20:00"),
        ("11-29 23:30", "11-28 20:00"),
        ("11-29 00:00", "11-27 20:00"),
        ("11-29 08:59", "11-27 20:00"),
    ],
)
def test_a_charge_outside_the_hours_moves_earlier_into_them(end: str, charge: str):
    """E8"""
    assert charge_at(beijing(end), RULES) == beijing(charge)


def test_the_notice_comes_five_days_before_the_charge():
    """E8: six before the end; the reminder that follows is at three."""
    assert notice_at(END, RULES) == beijing("11-23 18:00")
    told = {"told_fen": None, "heard_at": None}
    assert step("11-23 17:59", **told) == Step(Do.WAIT, beijing("11-23 18:00"))
    assert step("11-23 18:00", **told).do is Do.TELL
    assert step("11-26 10:00", **told).do is Do.TELL


def test_without_a_notice_in_time_nothing_is_charged():
    """INV-15: three days from the notice that reached her to the charge."""
    late = {"told_fen": None, "heard_at": None}
    assert step("11-27 10:00", **late).do is Do.WAIT
    unheard = {"heard_at": None}
    for at in ("11-28 18:00", "11-29 12:00", "11-29 17:00"):
        assert step(at, **unheard).do is Do.WAIT
    heard = {"heard_at": beijing("11-26 12:30")}
    assert step("11-29 12:29", **heard) == Step(Do.WAIT, beijing("11-29 12:30"))
    assert step("11-29 12:30", **heard).do is Do.CHARGE


def test_the_charge_is_a_day_before_the_end_and_late_rather_than_never():
    assert step("11-28 17:59") == Step(Do.WAIT, beijing("11-28 18:00"))
    assert step("11-28 18:00").do is Do.CHARGE
    assert step("11-28 21:00") == Step(Do.WAIT, beijing("11-28 22:00"))
    assert step("11-29 08:59").at == beijing("11-29 09:00")
    assert step("11-29 17:59").do is Do.CHARGE


def test_a_failed_charge_is_tried_again_twice_then_it_is_over():
    """E11"""
    assert step("11-28 18:01", **failed("11-28 18:00")).do is Do.WAIT
    assert step("11-29 11:59", **failed("11-28 18:00")).at == beijing("11-29 12:00")
    assert step("11-29 12:00", **failed("11-28 18:00")).do is Do.CHARGE
    assert step("11-29 12:01", **failed("11-29 12:00")).do is Do.WAIT
    assert step("11-29 17:00", **failed("11-29 12:00")).do is Do.CHARGE
    over = step("11-29 17:01", **failed("11-29 17:00"))
    assert (over.do, over.why) == (Do.END, EndedBy.FAILED)


def test_a_retry_outside_the_hours_is_dropped():
    """E11: six hours before ten in the morning is four."""
    assert retries(beijing("11-29 10:00"), RULES) == [beijing("11-29 09:00")]
    assert retries(beijing("11-29 09:30"), RULES) == []
    over = step(
        "11-28 09:31", paid_until=beijing("11-29 09:30"), **failed("11-28 09:30")
    )
    assert (over.do, over.why) == (Do.END, EndedBy.FAILED)


def test_a_retry_that_was_missed_in_the_evening_is_not_made_up_for_after_the_end():
    """E11: due at 20:50, seen at 21:05, over at 02:50: told at once, not at the end."""
    night = {"paid_until": beijing("11-29 02:50"), **failed("11-27 20:00")}
    assert step("11-28 20:50", **night).do is Do.CHARGE
    assert step("11-28 21:05", **night).why is EndedBy.FAILED


def test_nothing_is_charged_at_the_end_or_after_it():
    """E11"""
    assert step(END, **failed("11-29 17:00")).why is EndedBy.FAILED
    assert step(END).why is EndedBy.LAPSED
    assert step(END + DAY).do is Do.END


def test_a_charge_without_a_result_is_waited_for():
    """E12: neither another number nor an end, even past the membership's."""
    live = {"order": "pending", "charge": Charge(beijing("11-28 18:00"), live=True)}
    for at in ("11-28 18:06", "11-29 11:59", "11-29 12:20", "11-29 18:00"):
        assert step(at, **live).do is Do.WAIT
    assert step("11-29 12:01", **live).do is Do.RESEND
    assert step("11-29 17:01", **live).do is Do.RESEND


def test_a_charge_that_was_never_answered_is_sent_again():
    """A worker died between the claim and the call (H7)."""
    lost = Charge(beijing("11-28 18:00"), live=True, unanswered=True)
    assert step("11-28 18:04", order="pending", charge=lost).do is Do.WAIT
    assert step("11-28 18:05", order="pending", charge=lost).do is Do.RESEND
    assert step("11-28 21:30", order="pending", charge=lost).do is Do.WAIT
    old = replace(lost, by_mandate=False)  # for another end, or by her own hand
    assert step("11-28 18:05", order="pending", charge=old).do is Do.WAIT


def test_never_more_than_agreed_told_or_asked():
    """E13"""
    risen = step("11-28 18:00", price_fen=1_800)
    assert (risen.do, risen.why) == (Do.END, EndedBy.PRICE)
    assert facts(price_fen=1_200).amount_fen == 1_200
    assert facts(told_fen=1_200).amount_fen == 1_200
    assert facts(price_fen=1_500, consent_fen=1_800).amount_fen == 1_500


def test_a_plan_off_sale_ends_it_and_a_pause_waits():
    """E14, E15"""
    assert step("11-24 10:00", on_sale=False).why is EndedBy.PLAN
    assert step("11-28 18:00", paid_until=None, paused=True).do is Do.WAIT
    assert step("11-28 18:00", paid_until=None).why is EndedBy.LAPSED


@pytest.mark.parametrize("status", ["paid", "cancelled", "expired"])
def test_an_order_that_is_over_is_charged_no_more(status: str):
    assert step("11-29 12:00", order=status).do is Do.WAIT


moments = st.integers(0, 14 * 24 * 60).map(
    lambda minutes: beijing("11-20 00:00") + minutes * MINUTE
)


@given(
    end=moments,
    now=moments,
    heard=st.none() | moments,
    tried=st.none() | moments,
    price=st.sampled_from([1_200, 1_500, 1_800]),
    told=st.sampled_from([None, 1_200, 1_500]),
)
def test_no_charge_ever_breaks_a_promise(
    end: datetime,
    now: datetime,
    heard: datetime | None,
    tried: datetime | None,
    price: int,
    told: int | None,
):
    """R23 and INV-15 for any history: in the hours, in time, told of, never dearer."""
    known = facts(
        paid_until=end,
        heard_at=heard,
        price_fen=price,
        told_fen=told,
        order="pending" if tried else "",
        charge=Charge(tried, live=False) if tried else None,
    )
    found = next_step(known, RULES, now=now)
    assert found.at >= now
    assert charge_at(end, RULES) <= end - 24 * HOUR
    assert is_inside(charge_at(end, RULES), RULES)
    if found.do is not Do.CHARGE:
        return
    assert 9 <= now.astimezone(SHANGHAI).hour < 21
    assert charge_at(end, RULES) <= now < end
    assert heard is not None
    assert tried is not None or now >= heard + UNHURRIED
    assert told is not None
    assert known.amount_fen <= min(told, 1_500, price)
    if tried is not None:
        assert tried < now
