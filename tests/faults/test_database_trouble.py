"""FLT-17 to FLT-19, FLT-21, FLT-22, H13: locks that are held, and transactions that collide.

The notices are signed by hand and come to the shop's own address, each over a
connection of its own. A 503 is what the gateways repeat.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
import time_machine
from django.db import OperationalError, connection, connections, transaction
from django.test import Client, override_settings

from members import timeline
from members.models import Entitlement, Member
from orders.closing import lock_order
from orders.models import Order
from payments import polling
from payments.console import decisions
from payments.gateways.contract import RefundResult, RefundState
from payments.models import Attempt, Refund
from payments.refunding import refunds
from tests.payments.far_side import FarAlipay
from tests.races import at_once, errors
from tests.shopping import ALIPAY, WECHAT, Shopper, Till, broken, fresh, new_member

pytestmark = pytest.mark.django_db(transaction=True)

on_postgresql = pytest.mark.skipif(
    "connection.vendor != 'postgresql'", reason="PostgreSQL only"
)
on_sqlite = pytest.mark.skipif("connection.vendor != 'sqlite'", reason="SQLite only")


@pytest.fixture(autouse=True)
def _alipay(now: datetime) -> Iterator[None]:
    """Switched on, with keys of our own; the clock stands."""
    with (
        override_settings(**FarAlipay.settings()),
        time_machine.travel(now, tick=False),
    ):
        yield


def notice(attempt: Attempt) -> Callable[[], int]:
    """Post a success notice; the status of the answer."""
    body = FarAlipay.notice(FarAlipay.paid(attempt.out_trade_no))

    def post() -> int:
        answer = Client(raise_request_exception=False).post(
            "/payments/alipay/notify/",
            body,
            content_type="application/x-www-form-urlencoded",
        )
        assert answer.status_code == 503 or answer.content == b"success"
        return int(answer.status_code)

    return post


def settled_once(attempt: Attempt) -> bool:
    order = fresh(attempt.order)
    return (
        order.status == "paid" and Entitlement.objects.filter(order=order).count() == 1
    )


# --- A lock that somebody holds ----------------------------------------------------


@on_postgresql
def test_a_lock_that_is_held_answers_503_and_does_not_hang(book: Till):
    """FLT-19: after ``lock_timeout``; the repeat settles."""
    attempt = book.bill(new_member(), way=ALIPAY)
    post = notice(attempt)
    with transaction.atomic():
        lock_order(attempt.order_id)
        began = time.monotonic()
        [status] = at_once(post)
        seconds = time.monotonic() - began
    assert status == 503
    assert 4 < seconds < 30
    assert fresh(attempt).state == "created"
    assert post() == 200
    assert settled_once(attempt)


@on_postgresql
@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("lock_timeout", 5),
        ("statement_timeout", 20),
        ("idle_in_transaction_session_timeout", 30),
    ],
)
def test_no_statement_and_no_transaction_lasts_for_ever(name: str, seconds: int):
    """FLT-19."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting(%s)", [name])
        assert cursor.fetchone() == (f"{seconds}s",)


@on_sqlite
def test_a_busy_sqlite_answers_503_and_settles_afterwards(
    book: Till, monkeypatch: pytest.MonkeyPatch
):
    """H13 and FLT-22, with a second's patience instead of twenty."""
    attempt = book.bill(new_member(), way=ALIPAY)
    post = notice(attempt)
    options = connections.settings["default"]["OPTIONS"]
    assert options["timeout"] >= 20
    monkeypatch.setitem(options, "timeout", 1)
    with transaction.atomic():  # IMMEDIATE: the one writer
        Order.objects.filter(pk=attempt.order_id).update(title="being written")
        assert at_once(post) == [503]
    assert fresh(attempt).state == "created"
    assert post() == 200
    assert settled_once(attempt)


@contextmanager
def full_disk() -> Iterator[None]:
    """PostgreSQL's own error for it, where the last row of a settlement is written."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full';
            END $$;
            CREATE TRIGGER full_disk BEFORE INSERT ON notifications_outbox
                EXECUTE FUNCTION refuse()
            """
        )
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION refuse CASCADE")


@on_postgresql
def test_a_full_disk_answers_503_and_needs_no_repair(book: Till):
    """FLT-21: nothing is told as received that was not written; reading goes on."""
    member = new_member()
    attempt = book.bill(member, way=ALIPAY)
    post = notice(attempt)
    with full_disk():
        assert [post(), post()] == [503, 503]
        assert (fresh(attempt).state, fresh(attempt.order).status) == (
            "created",
            "pending",
        )
        page = Shopper(book, member).get(f"/orders/{attempt.order.no}/")
        assert page.status_code == 200
    assert post() == 200
    assert settled_once(attempt)
    assert broken(book.now) == []


# --- Transactions that collide -----------------------------------------------------


@on_postgresql
def test_serialization_failures_answer_503_and_are_harmless(
    book: Till, monkeypatch: pytest.MonkeyPatch
):
    """FLT-18: with isolation at its strictest the losers are told to come again."""
    attempt = book.bill(new_member(), way=ALIPAY)
    post = notice(attempt)

    def strictly() -> int:
        with connection.cursor() as cursor:
            cursor.execute(
                "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE"
            )
        return post()

    seen = Counter(at_once(*[strictly] * 8))
    assert set(seen) <= {200, 503}
    assert seen[200] >= 1
    assert seen[503] >= 1, "nobody has collided"
    assert post() == 200
    assert settled_once(attempt)
    assert broken(book.now) == []


def everything_at_once(book: Till, operator: Member) -> list[Any]:
    """Whatever may touch one member's orders and her line, at the same moment."""
    member = new_member()
    book.hear(book.bill(member, "temporary-30"))
    first, second = (book.bill(member, way=way) for way in (WECHAT, ALIPAY))
    odd = book.bill(member, way=WECHAT)
    book.hear(odd, amount_fen=1_400)
    surplus = book.bill(member, way=ALIPAY)
    Order.objects.filter(pk=surplus.order_id).update(status="cancelled")
    book.hear(surplus)
    refund = Refund.objects.get(attempt=surplus)
    done = RefundResult(refund.out_refund_no, surplus.out_trade_no, RefundState.SUCCESS)

    def decide() -> object:
        return decisions.accept(odd.pk, actor=operator, reason="", now=book.now)

    def grant() -> object:
        tier = Entitlement.objects.filter(member=member)[0].tier
        return timeline.grant(
            member.pk, tier=tier, seconds=60, actor=operator, reason="x", now=book.now
        )

    return at_once(
        lambda: book.hear(first),
        lambda: book.hear(second),
        lambda: book.hear(first),
        lambda: polling.cancel(second.order_id, now=book.now),
        lambda: timeline.pause(member.pk, now=book.now),
        decide,
        grant,
        lambda: refunds.apply_refund("alipay", done, now=book.now),
        lambda: polling.expire_due(now=book.now),
        lambda: book.place(member, way=WECHAT),
    )


def test_no_two_operations_deadlock(book: Till, operator: Member):
    """FLT-17 and R5: order, then member, whatever is done; nobody ends with an error."""
    for _ in range(4):
        assert errors(everything_at_once(book, operator)) == []
    # Cancelled by hand above, without a line in its story.
    assert broken(book.now, besides=("INV-11",)) == []


@on_postgresql
def test_control_the_other_way_round_deadlocks(book: Till):
    """Member, then order: the database ends one of the two, and the 503 is repeated."""
    attempt = book.bill(new_member(), way=ALIPAY)
    post = notice(attempt)
    both = threading.Barrier(2)

    def backwards() -> None:
        with transaction.atomic():
            timeline.lock_member(attempt.order.member_id)
            both.wait(10)
            time.sleep(0.5)
            lock_order(attempt.order_id)

    def forwards() -> int:
        both.wait(10)
        return post()

    ends = at_once(backwards, forwards)
    assert isinstance(ends[0], OperationalError) or ends[1] == 503
    assert post() == 200
    assert settled_once(attempt)
