"""Renewals in several workers at once: E9, E10, each with a control (G).

The gateway is the sandbox; what each worker does is the real step of a tick.
"""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from members.models import Member
from notifications.models import Notification
from orders import renewing as renewing_orders
from orders.models import Order
from orders.numbers import random_number
from payments.models import Attempt, AutoRenew, Consent
from payments.renewing import mandates, renewal
from tests.payments.renewing import Renewals, beijing, bought, renewals_of
from tests.races import at_once, errors, hesitate, take_locks_away
from tests.shopping import Till, broken, fresh

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 3
SECOND = timedelta(seconds=1)


@pytest.fixture
def shop_of(till: Till) -> Renewals:
    return Renewals(till)


def due(shop_of: Renewals) -> tuple[Member, AutoRenew]:
    """A member told in time whose charge is due now."""
    shop_of.at("11-22 10:00")
    member = bought(shop_of.till)
    renewing = shop_of.signed(member)
    shop_of.at("11-23 10:00")
    renewal.advance(renewing.pk, now=shop_of.now)
    Notification.objects.filter(kind="renewal", member=member, channel="sms").update(
        state="sent", sent_at=shop_of.now, tries=1, sends=1
    )
    shop_of.at("11-28 10:00")
    return member, renewing


def workers(shop_of: Renewals, renewing: AutoRenew, count: int = 4) -> list[Any]:
    return at_once(*[partial(renewal.advance, renewing.pk, now=shop_of.now)] * count)


def test_workers_at_once_make_one_order_and_one_charge(
    shop_of: Renewals, monkeypatch: pytest.MonkeyPatch
):
    """E9 [K6]"""
    hesitate(monkeypatch, renewal, "place_renewal")
    for _ in range(ROUNDS):
        member, renewing = due(shop_of)
        ends = workers(shop_of, renewing)
        assert errors(ends) == []
        [order] = renewals_of(member)
        assert order.attempts.count() == 1
        assert fresh(member).paid_until == beijing("12-06 10:00")
    assert len(shop_of.debits()) == ROUNDS
    assert broken(shop_of.now, besides=("INV-6", "INV-10", "INV-16")) == []


def test_ticks_at_once_take_each_row_once(shop_of: Renewals):
    """E9: due rows are shared, not repeated."""
    member, _ = due(shop_of)
    ticks = [lambda: renewal.run_due(now=shop_of.now)] * 4
    AutoRenew.objects.update(due_at=shop_of.now)
    ends = at_once(*ticks)
    assert (errors(ends), sum(ends)) == ([], 1)
    assert len(shop_of.debits()) == 1
    assert Attempt.objects.filter(order__member=member, state="paid").count() == 2


def test_control_without_locks_and_key_one_end_is_charged_twice(
    shop_of: Renewals, monkeypatch: pytest.MonkeyPatch
):
    take_locks_away(monkeypatch)
    hesitate(monkeypatch, renewal, "place_renewal", seconds=0.2)

    def key(member_id: int, paid_until: object) -> str:
        return f"{member_id}:{random_number()}"

    monkeypatch.setattr(renewing_orders, "renewal_key", key)
    wrong = []
    for _ in range(ROUNDS):
        member, renewing = due(shop_of)
        ends = workers(shop_of, renewing)
        # SQLite without IMMEDIATE lets nobody through: an error in place of an order.
        wrong.append(len(renewals_of(member)) > 1 or bool(errors(ends)))
    assert any(wrong)


def test_control_without_locks_the_key_alone_still_stops_the_second(
    shop_of: Renewals, monkeypatch: pytest.MonkeyPatch
):
    """K6 below everything else."""
    take_locks_away(monkeypatch)
    hesitate(monkeypatch, renewal, "place_renewal", seconds=0.2)
    for _ in range(ROUNDS):
        member, renewing = due(shop_of)
        workers(shop_of, renewing)
        assert len(renewals_of(member)) <= 1


def test_opting_out_and_claiming_at_once_end_in_one_of_two_ways(
    shop_of: Renewals, monkeypatch: pytest.MonkeyPatch
):
    """E10: no charge at all, or one that stands and may be taken back or was settled."""
    hesitate(monkeypatch, renewal, "place_renewal")
    for _ in range(ROUNDS):
        member, renewing = due(shop_of)
        ends = at_once(
            partial(renewal.advance, renewing.pk, now=shop_of.now),
            partial(mandates.stop, renewing.consent_id, now=shop_of.now + SECOND),
        )
        assert errors(ends) == []
        assert Consent.objects.get(pk=renewing.consent_id).ended_by == "member"
        charged = Attempt.objects.filter(order__member=member, product="mandate")
        order = Order.objects.filter(renewal_key__isnull=False, member=member).first()
        assert charged.count() == (0 if order is None else 1)
        if order is not None:
            assert order.status == "paid"
    assert broken(shop_of.now, besides=("INV-6", "INV-10", "INV-16")) == []


def tap_during_the_claim(
    shop_of: Renewals, monkeypatch: pytest.MonkeyPatch
) -> tuple[Member, bool, list[Any]]:
    """She taps while a worker has found the renewal on and not yet written its order.

    Returns the member, whether there was no order when her tap was answered, and errors.
    """
    member, renewing = due(shop_of)
    found_on, quick = threading.Event(), renewing_orders.place_renewal

    def slow(*args: Any, **named: Any) -> Order:
        found_on.set()
        time.sleep(0.3)
        return quick(*args, **named)

    def tap() -> bool:
        assert found_on.wait(10)
        mandates.stop_all(member.pk, now=shop_of.now + SECOND)
        return not renewals_of(member)

    with monkeypatch.context() as patch:
        patch.setattr(renewal, "place_renewal", slow)
        ends = at_once(partial(renewal.advance, renewing.pk, now=shop_of.now), tap)
    return member, ends[1] is True, errors(ends)


def test_a_tap_that_was_answered_is_followed_by_no_charge(
    shop_of: Renewals, monkeypatch: pytest.MonkeyPatch
):
    """E10: the tap waits for the claim, sees its order, and leaves the way back open."""
    for _ in range(ROUNDS):
        member, saw_none, wrong = tap_during_the_claim(shop_of, monkeypatch)
        assert wrong == []
        assert not (saw_none and renewals_of(member))
        assert not AutoRenew.objects.get(member=member).enabled
    assert broken(shop_of.now, besides=("INV-6", "INV-10", "INV-16")) == []


def test_control_without_locks_a_charge_follows_the_tap(
    shop_of: Renewals, monkeypatch: pytest.MonkeyPatch
):
    take_locks_away(monkeypatch)
    wrong = []
    for _ in range(ROUNDS):
        member, saw_none, failed = tap_during_the_claim(shop_of, monkeypatch)
        wrong.append((saw_none and bool(renewals_of(member))) or bool(failed))
    assert any(wrong)


def test_two_signatures_at_once_leave_one_renewal(shop_of: Renewals):
    """K26: whichever was last counts, the other contract is stopped."""
    for _ in range(ROUNDS):
        member = bought(shop_of.till)
        consents = [shop_of.ask(member), shop_of.ask(member, "temporary-7")]
        for consent in consents:
            shop_of.wallet(consent, "agree", notify="lose")
        ends = at_once(
            *(partial(mandates.ask, consent, now=shop_of.now) for consent in consents)
        )
        assert errors(ends) == []
        [signed] = Consent.objects.filter(member=member, state="signed")
        assert AutoRenew.objects.get(member=member).consent_id == signed.pk
        shop_of.till.run_outbox()
        live = [shop_of.agreement(consent)["status"] for consent in consents]
        assert sorted(live) == ["NORMAL", "UNSIGN"]
