"""I2, I5, I7: what operators do to orders, through the domain."""

from __future__ import annotations

from datetime import timedelta

import pytest

from members.models import Entitlement, Member
from orders import extending, versions
from orders.models import Order
from payments import polling
from payments.attempts import create_locked
from payments.console import held, offline
from payments.models import Attempt, Refund
from payments.refunding import refunds
from tests.shopping import ALIPAY, Till, broken, events_of, fresh


def mark(book: Till, order: Order, operator: Member, reference: str = "B-1") -> Order:
    return offline.mark_paid(
        order.pk, reference=reference, reason="到账", actor=operator, now=book.now
    )


# --- I2 ----------------------------------------------------------------------------


def test_i2_money_seen_by_an_operator_settles_like_any_other(
    book: Till, member: Member, operator: Member
):
    """R2, R6: one attempt of its own, the rival closed, the reference kept."""
    pending = book.place(member, way=ALIPAY)
    order = mark(book, pending, operator)
    assert (order.status, order.fulfil) == ("paid", "done")
    attempt: Attempt = order.settled_by
    assert (attempt.gateway, attempt.state, attempt.txn_id) == ("manual", "paid", "B-1")
    assert fresh(member).paid_until == book.now + timedelta(days=7)
    event = order.events.get(kind="marked-paid")
    assert (event.actor, event.detail["reason"]) == (operator, "到账")
    assert broken(book.now) == []
    rival = order.attempts.get(gateway="alipay")
    assert book.hear(rival) == "surplus"
    assert Refund.objects.get().attempt == rival


def test_i2_a_reference_is_used_once(book: Till, member: Member, operator: Member):
    """K9."""
    mark(book, book.place(member), operator)
    second = book.place(member)
    with pytest.raises(offline.ReferenceTaken):
        mark(book, second, operator)
    assert fresh(second).status == "pending"
    assert second.attempts.count() == 0
    mark(book, second, operator, "B-2")


@pytest.mark.parametrize("case", ["paid", "cancelled", "too late", "replaced"])
def test_i2_an_order_that_is_over_takes_no_money(
    book: Till, member: Member, operator: Member, case: str
):
    order = book.place(member)
    if case == "paid":
        mark(book, order, operator, "B-0")
    elif case == "cancelled":
        polling.cancel(order.pk, now=book.now)
    else:
        book.wait(minutes=31)
        book.expire()
        if case == "too late":
            book.wait(hours=25)
        else:
            book.hear(book.bill(member))
    before = order.attempts.count(), fresh(order).status
    with pytest.raises(offline.NotPayable):
        mark(book, order, operator, "B-9")
    assert (order.attempts.count(), fresh(order).status) == before
    assert not Refund.objects.exists()
    assert not order.events.filter(kind="marked-paid", detail__reference="B-9").exists()


def test_i2_an_expired_order_within_a_day_is_honoured(
    book: Till, member: Member, operator: Member
):
    """R10."""
    order = book.place(member)
    book.wait(minutes=31)
    book.expire()
    assert mark(book, order, operator).status == "paid"


def test_i3_an_old_page_marks_nothing_as_paid(
    book: Till, member: Member, operator: Member
):
    order = book.place(member)
    seen = order.version
    extending.extend(
        order.pk, span=timedelta(hours=2), actor=operator, reason="", now=book.now
    )
    with pytest.raises(versions.Stale):
        offline.mark_paid(
            order.pk,
            reference="B-1",
            reason="",
            actor=operator,
            version=seen,
            now=book.now,
        )
    assert not Attempt.objects.exists()


def test_money_that_came_offline_goes_back_by_hand(
    book: Till, member: Member, operator: Member
):
    order = mark(book, book.place(member), operator)
    refund = refunds.request(
        order.pk, amount_fen=1_500, actor=operator, reason="", now=book.now
    )
    assert refund.state == "manual"
    assert fresh(member).paid_until is None


# --- I5 ----------------------------------------------------------------------------


def test_i5_a_pending_order_is_kept_longer(
    book: Till, member: Member, operator: Member
):
    order = book.place(member)
    extended = extending.extend(
        order.pk, span=timedelta(hours=24), actor=operator, reason="在等", now=book.now
    )
    assert extended.expires_at == book.now + timedelta(hours=24)
    book.wait(hours=2)
    assert book.expire() == 0
    create_locked(fresh(order), ALIPAY, now=book.now)
    assert book.hear(order.attempts.get()) == "settled"
    assert "extended" in events_of(order)


@pytest.mark.parametrize("case", ["expired", "paid", "cancelled", "shorter"])
def test_i5_nothing_else_is(book: Till, member: Member, operator: Member, case: str):
    order = book.place(member)
    span = timedelta(minutes=20 if case == "shorter" else 60)
    if case == "expired":
        book.wait(minutes=30)  # by the clock, whether swept or not
    elif case == "paid":
        mark(book, order, operator)
    elif case == "cancelled":
        polling.cancel(order.pk, now=book.now)
    with pytest.raises(extending.NotOpen):
        extending.extend(order.pk, span=span, actor=operator, reason="", now=book.now)


@pytest.mark.parametrize("hours", [0, -1, 25])
def test_i5_no_longer_than_a_day(
    book: Till, member: Member, operator: Member, hours: int
):
    order = book.place(member)
    with pytest.raises(ValueError, match="bounds"):
        extending.extend(
            order.pk,
            span=timedelta(hours=hours),
            actor=operator,
            reason="",
            now=book.now,
        )


# --- I7 ----------------------------------------------------------------------------


def test_i7_approving_delivers_what_was_held(
    book: Till, member: Member, operator: Member
):
    attempt = book.bill(member)
    Order.objects.filter(pk=attempt.order_id).update(risk="review")
    book.hear(attempt)
    assert not Entitlement.objects.exists()
    book.wait(hours=1)
    order = held.approve(
        attempt.order_id, actor=operator, reason="核对过", now=book.now
    )
    assert order.fulfil == "done"
    assert fresh(member).paid_until == book.now + timedelta(days=7)
    assert events_of(order)[-2:] == ["approved", "activated"]
    with pytest.raises(held.NotHeld):
        held.reject(order.pk, actor=operator, reason="", now=book.now)
    assert broken(book.now, besides=("INV-6", "INV-10")) == []
