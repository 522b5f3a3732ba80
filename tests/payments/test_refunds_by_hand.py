"""What a gateway cannot return: an operator's task, and the shopper is told so."""

from __future__ import annotations

from typing import Any

import pytest

from members.models import Entitlement, Member
from notifications.models import Notification, Outbox
from payments import cases, gateways
from payments.attempts import create_locked
from payments.console import decisions
from payments.gateways.contract import RefundCapability
from payments.models import Refund
from payments.refunding import refunds, returning
from tests.shopping import ALIPAY, WECHAT, Shopper, Till, broken, fresh

CAN = {each.value: each for each in RefundCapability}


class Able:
    """A gateway that can so much and is never asked for more."""

    def __init__(self, refunds: RefundCapability) -> None:
        self.refunds = refunds
        self.notice_methods = ("POST",)
        self.origins = ()


@pytest.fixture
def can(monkeypatch: pytest.MonkeyPatch) -> Any:
    def declare(what: str) -> None:
        able = Able(CAN[what])
        monkeypatch.setattr(gateways, "get", lambda code: able)

    return declare


def surplus(book: Till, member: Member) -> Refund:
    order = book.place(member, way=WECHAT)
    second = create_locked(order, ALIPAY, now=book.now)
    book.hear(order.attempts.get(gateway="wechat"))
    book.hear(second)
    return Refund.objects.get()


def sendings() -> int:
    return Outbox.objects.filter(kind="refund.send").count()


@pytest.mark.parametrize("what", ["full", "partial"])
def test_a_whole_payment_goes_back_by_itself_where_the_gateway_can(
    book: Till, member: Member, can: Any, what: str
):
    can(what)
    assert surplus(book, member).state == "requested"
    assert sendings() == 1


def test_surplus_money_that_cannot_go_back_waits_for_a_person(
    book: Till, member: Member, operator: Member, can: Any
):
    """C6, C7: once, however often it is told; the sum and the reason stand in the row."""
    can("none")
    refund = surplus(book, member)
    for _ in range(3):
        book.hear(refund.attempt)
    refund = Refund.objects.get()
    assert (refund.state, refund.reason, refund.amount_fen) == (
        "manual",
        "surplus",
        1_500,
    )
    assert sendings() == 0
    assert list(cases.waiting_refunds()) == [refund]
    assert not cases.unallocated().exists()  # reserved: nobody gives it back twice
    rule = "INV-12 money that no gateway can return was returned by hand"
    assert broken(book.now) == [f"{rule}: {refund.out_refund_no}"]
    done = decisions.returned_outside(
        refund.pk, reference="BANK-778", actor=operator, now=book.now
    )
    assert (done.state, done.note) == ("success", "BANK-778")
    event = refund.attempt.order.events.get(kind="returned-outside")
    assert (event.actor, event.detail["reason"]) == (operator, "BANK-778")
    with pytest.raises(decisions.NotWaiting):
        decisions.returned_outside(
            refund.pk, reference="BANK-779", actor=operator, now=book.now
        )
    assert broken(book.now) == []


def test_late_money_that_cannot_go_back_is_a_task_as_well(
    book: Till, member: Member, can: Any
):
    """C9, C11."""
    can("none")
    attempt = book.bill(member)
    type(attempt.order).objects.filter(pk=attempt.order_id).update(status="cancelled")
    assert book.hear(attempt) == "late"
    assert Refund.objects.get().state == "manual"


def test_she_is_told_in_words_that_support_returns_it(
    book: Till, member: Member, operator: Member, can: Any
):
    """On the order's page, on the pay page, and by a message on the site and SMS."""
    can("none")
    refund = surplus(book, member)
    order = refund.attempt.order
    told = Notification.objects.filter(kind="refund")
    assert {each.channel for each in told} == {"site", "sms"}
    shopper = Shopper(book, member)
    account = shopper.get("/account/").content.decode()
    assert "¥15.00 由客服退给你" in account
    paid = shopper.get(f"/orders/{order.no}/pay/").content.decode()
    assert "由客服退给你" in paid
    assert "原路退回" not in paid
    page = shopper.get(f"/orders/{order.no}/").content.decode()
    assert "¥15.00 由客服退给你" in page
    decisions.returned_outside(
        refund.pk, reference="BANK-778", actor=operator, now=book.now
    )
    page = shopper.get(f"/orders/{order.no}/").content.decode()
    assert "由客服退给你：" not in page
    assert "已退款" in page
    assert "¥15.00 已由客服退给你" in shopper.get("/account/").content.decode()


def test_a_part_of_a_payment_that_goes_back_whole_or_not_at_all(
    book: Till, member: Member, operator: Member, can: Any
):
    """F5 where the gateway returns whole payments alone."""
    can("full")
    attempt = book.bill(member)
    book.hear(attempt)
    part = refunds.request(
        attempt.order_id, amount_fen=500, actor=operator, reason="", now=book.now
    )
    assert (part.state, part.revoked_seconds) == ("manual", 201_600)
    decisions.give_up(part.pk, actor=operator, reason="不退了", now=book.now)
    assert Entitlement.objects.get().revoked_seconds == 0
    assert fresh(attempt).refund_reserved_fen == 0
    assert not cases.waiting_refunds().exists()
    assert broken(book.now) == []
    whole = refunds.request(
        attempt.order_id, amount_fen=1_500, actor=operator, reason="", now=book.now
    )
    assert whole.state == "requested"


@pytest.mark.parametrize(
    ("what", "hours", "why"),
    [
        ("none", 0, "channel"),
        ("full", 0, None),
        ("full", 24, "channel"),
        ("partial", 24, None),
    ],
)
def test_she_is_offered_what_her_channel_can_return(
    book: Till, member: Member, can: Any, what: str, hours: int, why: str | None
):
    can(what)
    attempt = book.bill(member)
    book.hear(attempt)
    book.wait(hours=hours)
    order = fresh(attempt.order)
    assert returning.offer_for(order, now=book.now).why == why
