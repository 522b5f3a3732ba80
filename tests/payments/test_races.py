"""G1 to G5, G7 and G8 with real threads on the configured database.

Each race has a control: with the guard taken away the harness must see it go wrong.
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.models import F

from members import timeline
from members.models import Entitlement, Member
from orders import checkout, closing
from orders.models import Order, OrderEvent, Status
from payments import attempts, polling, settle
from payments.console import decisions
from payments.gateways.contract import Unclear
from payments.models import Attempt, Refund
from payments.refunding import refunds
from tests.races import at_once, errors, hesitate, take_locks_away
from tests.shopping import (
    ALIPAY,
    WECHAT,
    Till,
    broken,
    client_token,
    fresh,
    new_member,
)

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 3


@pytest.fixture(autouse=True)
def _overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settling takes a moment between its first reading and its first writing."""
    hesitate(monkeypatch, settle, "_why_refund")


# --- G1: the same callback eight times ---------------------------------------------


def eight_callbacks(book: Till) -> Counter[str]:
    attempt = book.bill(new_member())
    return Counter(map(str, at_once(*[lambda: book.hear(attempt)] * 8)))


def test_eight_equal_callbacks_settle_once(book: Till):
    """G1 and security 38."""
    for _ in range(ROUNDS):
        assert eight_callbacks(book) == {"settled": 1, "duplicate": 7}
    assert Entitlement.objects.count() == ROUNDS
    assert broken(book.now) == []


def test_control_without_locks_eight_callbacks_collide(
    book: Till, monkeypatch: pytest.MonkeyPatch
):
    """The unique entitlement (K16) still stops a second activation, as an error."""
    take_locks_away(monkeypatch)
    seen = [eight_callbacks(book) for _ in range(ROUNDS)]
    assert any(ends != {"settled": 1, "duplicate": 7} for ends in seen)
    assert Entitlement.objects.count() <= ROUNDS


# --- G2: two channels --------------------------------------------------------------


def two_channels(book: Till) -> list[str]:
    first = book.bill(new_member(), way=WECHAT)
    second = attempts.create_locked(first.order, ALIPAY, now=book.now)
    ends = at_once(lambda: book.hear(first), lambda: book.hear(second))
    return sorted(map(str, ends))


def test_two_channels_settle_once_and_return_the_other(book: Till):
    """G2."""
    for _ in range(ROUNDS):
        assert two_channels(book) == ["settled", "surplus"]
    assert Refund.objects.filter(reason="surplus").count() == ROUNDS
    assert Entitlement.objects.count() == ROUNDS
    assert broken(book.now) == []


def test_control_without_locks_two_channels_both_settle(
    book: Till, monkeypatch: pytest.MonkeyPatch
):
    take_locks_away(monkeypatch)
    seen = [two_channels(book) for _ in range(ROUNDS)]
    assert any(ends != ["settled", "surplus"] for ends in seen)


# --- G3 and G4: against the end of an order ----------------------------------------


def two_sweeps_and_a_callback(book: Till) -> tuple[str, list[Any]]:
    attempt = book.bill(new_member())
    now = attempt.order.expires_at + timedelta(minutes=11)
    hearing = Till(now)
    ends = at_once(
        lambda: polling.expire_due(now=now),
        lambda: hearing.hear(attempt),
        lambda: polling.expire_due(now=now),
    )
    return fresh(attempt.order).status, ends


def test_two_sweeps_never_expire_what_is_being_paid(book: Till):
    """G3 [K4, R9]."""
    for _ in range(ROUNDS):
        status, ends = two_sweeps_and_a_callback(book)
        assert (status, errors(ends)) == ("paid", [])
    assert Entitlement.objects.count() == ROUNDS


def naive_close(order: Order, status: Status, *, now: datetime) -> closing.Closing:
    """Read, decide, write the whole row, without a lock or a condition."""
    seen = Order.objects.get(pk=order.pk)
    if seen.status != Status.PENDING:
        return closing.Closing.CLOSED
    time.sleep(0.2)
    seen.status = status
    seen.save()
    OrderEvent.objects.create(order=seen, at=now, kind=status.value)
    return closing.Closing.DONE


@pytest.fixture
def naive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing an order as if nobody paid at that moment: outside any transaction."""

    def cancel(order_id: int, *, now: datetime) -> closing.Closing:
        return naive_close(Order(pk=order_id), Status.CANCELLED, now=now)

    def expire(order: Order, *, now: datetime) -> closing.Closing:
        return naive_close(order, Status.EXPIRED, now=now)

    monkeypatch.setattr(polling, "cancel", cancel)
    monkeypatch.setattr(polling, "_expire", expire)


def test_control_a_naive_sweep_expires_paid_orders(book: Till, naive: None):
    seen = [two_sweeps_and_a_callback(book)[0] for _ in range(ROUNDS)]
    assert "expired" in seen


def cancel_and_callback(book: Till) -> tuple[str, int, int]:
    attempt = book.bill(new_member())
    ends = at_once(
        lambda: polling.cancel(attempt.order_id, now=book.now),
        lambda: book.hear(attempt),
    )
    assert errors(ends) == []
    return (
        fresh(attempt.order).status,
        Entitlement.objects.filter(order=attempt.order).count(),
        Refund.objects.filter(attempt=attempt, reason="late").count(),
    )


def test_cancelling_while_money_comes_ends_paid_or_returned(book: Till):
    """G4: never cancelled with an entitlement."""
    for _ in range(2 * ROUNDS):
        assert cancel_and_callback(book) in [("paid", 1, 0), ("cancelled", 0, 1)]
    assert broken(book.now) == []


def test_control_a_naive_cancel_takes_paid_orders_back(book: Till, naive: None):
    seen = [cancel_and_callback(book) for _ in range(ROUNDS)]
    assert ("cancelled", 1, 0) in seen


# --- G5 and G7: one member's line --------------------------------------------------


def three_orders(book: Till) -> tuple[timedelta | None, list[Any]]:
    member = new_member()
    bought = [
        book.bill(member, plan)
        for plan in ("temporary-1", "temporary-7", "temporary-30")
    ]
    ends = at_once(*[lambda each=each: book.hear(each) for each in bought])
    paid_until = fresh(member).paid_until
    return paid_until and paid_until - book.now, ends  # type: ignore[return-value]


def test_three_orders_of_one_member_add_up(book: Till):
    """G5 and D12."""
    for _ in range(ROUNDS):
        assert three_orders(book) == (timedelta(days=38), ["settled"] * 3)
    assert broken(book.now) == []


def test_control_without_locks_three_orders_lose_time(
    book: Till, monkeypatch: pytest.MonkeyPatch
):
    take_locks_away(monkeypatch)
    seen = [three_orders(book) for _ in range(ROUNDS)]
    assert any(ends != (timedelta(days=38), ["settled"] * 3) for ends in seen)


def pause_and_settle(book: Till) -> tuple[Member, list[Any]]:
    member = new_member()
    book.hear(book.bill(member, "temporary-30"))
    attempt = book.bill(member, "temporary-7")
    ends = at_once(
        lambda: timeline.pause(member.pk, now=book.now), lambda: book.hear(attempt)
    )
    return fresh(member), ends


def test_pausing_while_an_order_settles_equals_one_after_the_other(book: Till):
    """G7: either way the clock stands, and all 37 days are there at the end."""
    for _ in range(ROUNDS):
        member, ends = pause_and_settle(book)
        assert ends == [True, "settled"]
        assert member.paid_until is None
        timeline.resume(member.pk, now=book.now)
        assert fresh(member).paid_until == book.now + timedelta(days=37)
    assert broken(book.now) == []


def test_control_without_locks_a_pause_is_lost(
    book: Till, monkeypatch: pytest.MonkeyPatch
):
    hesitate(monkeypatch, timeline, "_write", seconds=0.2)
    take_locks_away(monkeypatch)
    seen = [pause_and_settle(book) for _ in range(ROUNDS)]
    assert any(ends != [True, "settled"] or m.paid_until for m, ends in seen)


# --- G8: refunds -------------------------------------------------------------------


def two_operators(book: Till, operator: Member) -> list[Any]:
    attempt = book.bill(new_member())
    book.hear(attempt, amount_fen=1_400)

    def decide() -> object:
        return decisions.give_back(
            attempt.pk, actor=operator, reason="", now=book.now
        ).amount_fen

    return at_once(decide, decide, lambda: book.hear(attempt, amount_fen=1_400))


def test_money_is_returned_once_however_many_ask(book: Till, operator: Member):
    """G8 and F7 [K12]; security 46."""
    for _ in range(ROUNDS):
        ends = two_operators(book, operator)
        assert sorted(map(str, ends)) == ["", "1400", "mismatch"]
        assert [type(e) for e in errors(ends)] == [decisions.NotWaiting]
    assert Refund.objects.count() == ROUNDS
    reserved = Attempt.objects.filter(refund_reserved_fen=F("paid_fen"))
    assert reserved.count() == ROUNDS
    assert broken(book.now) == []


def test_control_without_locks_two_operators_collide(
    book: Till, operator: Member, monkeypatch: pytest.MonkeyPatch
):
    hesitate(monkeypatch, refunds, "book")
    take_locks_away(monkeypatch)
    seen = [two_operators(book, operator) for _ in range(ROUNDS)]
    assert any(
        [type(e) for e in errors(ends)] != [decisions.NotWaiting] for ends in seen
    )


# --- Placing -----------------------------------------------------------------------


def double_click(book: Till) -> list[Any]:
    member, token = new_member(), client_token()
    return at_once(*[lambda: book.place(member, token=token).pk] * 4)


def test_four_equal_forms_at_once_place_one_order(book: Till):
    """A2 [K2]."""
    for _ in range(ROUNDS):
        ends = double_click(book)
        assert errors(ends) == []
        assert len(set(ends)) == 1
    assert Order.objects.count() == ROUNDS


def many_forms(book: Till) -> int:
    member = new_member()
    at_once(*[lambda: book.place(member)] * 8)
    return Order.objects.filter(member=member).count()


def test_eight_forms_at_once_hold_five_orders(book: Till):
    """A15: the limit is counted under the member's lock."""
    assert many_forms(book) == 5


def test_control_without_locks_the_limit_leaks(
    book: Till, monkeypatch: pytest.MonkeyPatch
):
    hesitate(monkeypatch, checkout, "random_number")
    take_locks_away(monkeypatch)
    assert any(many_forms(book) != 5 for _ in range(ROUNDS))


# --- Lock order, and what is committed ---------------------------------------------


def test_a_doubtful_create_and_its_notice_do_not_deadlock(
    book: Till, monkeypatch: pytest.MonkeyPatch
):
    """R5: the order first, then the attempt, whoever writes."""

    class Silent:
        code = "wechat"

        def start(self, request: object, *, now: datetime) -> None:
            raise Unclear("timeout")

    monkeypatch.setattr(attempts.gateways, "get", lambda code: Silent())  # type: ignore[attr-defined]
    for _ in range(10):
        attempt = book.bill(new_member())
        stale = fresh(attempt)
        ends = at_once(
            lambda stale=stale: attempts.start(stale, now=book.now),  # type: ignore[misc]
            lambda attempt=attempt: book.hear(attempt),  # type: ignore[misc]
        )
        assert errors(ends) == []
        assert fresh(attempt).state == "paid"


def test_an_attempt_is_committed_before_its_gateway_is_called(
    book: Till, member: Member, monkeypatch: pytest.MonkeyPatch
):
    """B1 and R4: another connection sees the row while the call is under way."""
    seen: list[Any] = []

    class Curious:
        code = "wechat"

        def start(self, request: Any, *, now: datetime) -> None:
            number = request.number

            def look() -> tuple[str, int]:
                row = Attempt.objects.get(out_trade_no=number)
                return row.state, row.amount_fen

            seen.extend(at_once(look))
            raise Unclear("timeout")

    monkeypatch.setattr(attempts.gateways, "get", lambda code: Curious())  # type: ignore[attr-defined]
    book.pay(book.place(member), WECHAT)
    assert seen == [("created", 1_500)]


def test_a_settlement_that_fails_leaves_nothing_behind(
    book: Till, member: Member, monkeypatch: pytest.MonkeyPatch
):
    """H1 and R3: the database goes away at the last statement."""
    attempt = book.bill(member)

    def away(*args: object, **named: object) -> None:
        raise OperationalError("the connection was lost")

    with monkeypatch.context() as patch:
        patch.setattr(settle, "_record", away)
        with pytest.raises(OperationalError):
            book.hear(attempt)
    assert (fresh(attempt).state, fresh(attempt.order).status) == ("created", "pending")
    assert fresh(member).paid_until is None
    assert not Entitlement.objects.exists()
    assert book.hear(attempt) == "settled"


def test_no_transaction_is_open_while_a_gateway_is_asked(
    book: Till, member: Member, monkeypatch: pytest.MonkeyPatch
):
    """R3: no HTTP inside a transaction, from whatever side the call comes."""
    inside: list[bool] = []

    class Watchful:
        code = "wechat"

        def __getattr__(self, name: str) -> Any:
            def call(*args: object, **named: object) -> None:
                inside.append(connection.in_atomic_block)
                raise Unclear("timeout")

            return call

    attempt = book.bill(member)
    second = attempts.create_locked(book.place(member), WECHAT, now=book.now)
    book.hear(second)
    polling.cancel(book.bill(member).order_id, now=book.now)
    monkeypatch.setattr(attempts.gateways, "get", lambda code: Watchful())  # type: ignore[attr-defined]
    book.pay(book.place(member), WECHAT)
    book.wait(seconds=10)
    book.poll()
    book.run_outbox()
    book.set_clock(attempt.order.expires_at)
    book.expire()
    assert len(inside) >= 5
    assert not any(inside)
