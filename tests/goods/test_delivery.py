"""Keys in the settling transaction, the line of those who wait, and the way back."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from goods import keys
from goods.models import CardKey, Goods
from members import rules
from members.models import Member, ShopRules
from notifications.models import Notification, Outbox
from orders import delivery, queue
from orders.closing import lock_order
from orders.models import Fulfil, Order
from payments.models import Attempt, Refund
from payments.refunding import refunds, shortage
from payments.refunding.refund_proposal import Keys, Proposal, worth_fen
from payments.settle import Source, apply_result
from tests.goods.shelves import holders, make_goods, make_member, restock, short
from tests.shopping import (
    ALIPAY,
    Shopper,
    Till,
    broken,
    events_of,
    fresh,
    new_member,
    said,
    statements,
)

pytestmark = pytest.mark.django_db(transaction=True)


def told(order: Order) -> list[str]:
    keys = Notification.objects.filter(member=order.member_id).order_by("id")
    return list(keys.values_list("kind", flat=True))


# --- In stock ----------------------------------------------------------------------


def test_keys_come_with_the_money(book: Till, member: Member, card: Goods):
    """D22: three distinct keys in the settling transaction, the stock moves along; she
    finds all three in her orders."""
    order = book.buy_goods(member, card, quantity=3)
    assert (order.status, order.fulfil) == ("paid", "done")
    assert holders(card) == [order.pk] * 3
    assert fresh(card).stock == 0
    assert events_of(order) == ["placed", "paid", "delivered"]
    assert told(order) == ["delivered"]
    assert broken(book.now) == []
    shopper = Shopper(book, member)
    assert f"/orders/{order.no}/" in shopper.get("/account/orders/").text
    shown = [
        shopper.post(f"/delivery/{order.no}/keys/", n=str(n)).text for n in (1, 2, 3)
    ]
    secrets = [set(re.findall(r"KEY-\d{8}-CANARY", page)) for page in shown]
    assert [len(each) for each in secrets] == [1, 1, 1]
    assert len(set.union(*secrets)) == 3


def test_a_repeated_notice_gives_no_second_key(book: Till, member: Member, card: Goods):
    """B7 for goods."""
    attempt = book.bill_goods(member, card)
    ends = [str(book.hear(attempt)) for _ in range(8)]
    assert ends == ["settled", *["duplicate"] * 7]
    assert holders(card) == [attempt.order_id, None, None]


def test_too_few_keys_hand_out_none(book: Till, member: Member, card: Goods):
    """D23: all or nothing; paid and short."""
    attempt = book.bill_goods(member, card, quantity=3)
    book.buy_goods(new_member(), card)
    book.hear(attempt)
    order = fresh(attempt.order)
    assert (order.status, order.fulfil) == ("paid", "short")
    assert not order.keys.exists()
    assert fresh(card).stock == 2
    assert told(order) == ["short"]
    assert broken(book.now) == []


def test_a_wrong_count_gives_nothing(book: Till, member: Member, card: Goods):
    """K21: the row count of the conditional update decides, not what was read."""
    sold = book.buy_goods(member, card).keys.get()
    other = book.bill_goods(new_member(), card).order
    free = CardKey.objects.filter(goods=card, state="free").values_list("pk", flat=True)
    with pytest.raises(keys.Taken), transaction.atomic():
        keys._give([*free, sold.pk], other.pk, 3)
    assert not other.keys.exists()


def test_settling_goods_takes_at_most_eighteen_statements(book: Till, card: Goods):
    """For a member, with a rival attempt to close and the stock falling low."""
    Goods.objects.filter(pk=card.pk).update(low_stock=3)
    member = make_member(book, new_member())
    attempt = book.bill_goods(member, card)
    Attempt.objects.create(
        order=attempt.order,
        gateway=ALIPAY.gateway,
        channel="alipay",
        product="qr",
        out_trade_no="R1",
        amount_fen=attempt.amount_fen,
        next_query_at=book.now,
    )
    source = Source("notice", "digest")
    with CaptureQueriesContext(connection) as queries:
        outcome = apply_result("wechat", said(attempt), source=source, now=book.now)
    assert outcome == "settled"
    assert len(statements(queries)) <= 18, "\n".join(statements(queries))


# --- The line ----------------------------------------------------------------------


def test_a_member_at_the_time_of_payment_is_served_first(book: Till):
    """D23, D25: by the tier that ran at payment, not now and not at placement."""
    goods = make_goods()
    was_member = make_member(book, new_member(), days=1)
    first = short(book, new_member(), goods)
    book.wait(minutes=1)
    second = short(book, was_member, goods)
    book.wait(minutes=1)
    becomes = new_member()
    third = short(book, becomes, goods)
    make_member(book, becomes)
    assert [fresh(o).priority for o in (first, second, third)] == [0, 1, 0]
    assert [queue.ahead_of(o, now=book.now) for o in (first, second, third)] == [
        1,
        0,
        2,
    ]
    for expected in (second, first, third):
        restock(goods, 1)
        assert delivery.serve(goods.pk, now=book.now) == 1
        assert fresh(expected).fulfil == Fulfil.DONE
    assert events_of(second)[-2:] == ["short", "delivered"]
    assert broken(book.now) == []


def test_those_who_paid_at_one_moment_are_served_by_their_number(book: Till):
    """D23: (priority desc, paid_at, id), whoever was noted first in the line."""
    goods = make_goods()
    first, second = (short(book, new_member(), goods) for _ in range(2))
    assert first.paid_at == second.paid_at
    Order.objects.filter(pk=first.pk).update(version=F("version") + 1)
    assert [queue.ahead_of(o, now=book.now) for o in (first, second)] == [0, 1]
    restock(goods, 1)
    delivery.serve(goods.pk, now=book.now)
    assert [fresh(o).fulfil for o in (first, second)] == ["done", "short"]


def test_nobody_starves(book: Till):
    """The bound: after two hours no later payment passes her, whoever pays."""
    goods = make_goods()
    patient = short(book, new_member(), goods)
    members = []
    for _ in range(5):
        members.append(short(book, make_member(book, new_member()), goods))
        book.wait(minutes=30)
    # Paid at 0, 30, 60, 90 and 120 minutes; her two hours are over by then.
    assert queue.ahead_of(patient, now=book.now - timedelta(minutes=31)) == 5
    assert queue.ahead_of(patient, now=book.now) == 0
    restock(goods, 1)
    assert delivery.serve(goods.pk, now=book.now) == 1
    assert fresh(patient).fulfil == Fulfil.DONE
    assert {fresh(o).fulfil for o in members} == {"short"}


def test_control_without_ageing_members_pass_for_ever(book: Till):
    """With the bound at a day, the same shopper waits behind the newest member."""
    ShopRules.objects.update(ageing_seconds=86_400)
    rules.forget()
    goods = make_goods()
    patient = short(book, new_member(), goods)
    book.wait(hours=5)
    short(book, make_member(book, new_member()), goods)
    assert queue.ahead_of(patient, now=book.now) == 1


def test_the_line_is_strict(book: Till):
    """An order for more than there is holds up a later one, or it would starve."""
    goods = make_goods()
    three = short(book, new_member(), goods, quantity=3)
    restock(goods, 4)
    # Two keys are nobody's yet, but the line comes first: three are promised.
    attempt = book.bill_goods(new_member(), goods)
    CardKey.objects.filter(
        pk__in=list(goods.keys.values_list("pk", flat=True)[:2])
    ).delete()
    Goods.objects.filter(pk=goods.pk).update(stock=2)
    book.hear(attempt)
    one = fresh(attempt.order)
    assert one.fulfil == Fulfil.SHORT
    assert delivery.serve(goods.pk, now=book.now) == 0
    restock(goods, 1)
    assert delivery.serve(goods.pk, now=book.now) == 1
    assert (fresh(three).fulfil, fresh(one).fulfil) == ("done", "short")


def test_a_paying_member_passes_the_line_of_others(book: Till):
    """D23: priority counts in the settling transaction too."""
    goods = make_goods()
    short(book, new_member(), goods, quantity=3)
    restock(goods, 4)
    attempt = book.bill_goods(make_member(book, new_member()), goods)
    book.hear(attempt)
    assert fresh(attempt.order).fulfil == Fulfil.DONE


def test_the_sweep_serves_every_line(book: Till):
    """What a lost wake-up left: both lines are served by the minute's job."""
    lines = [make_goods(), make_goods()]
    waiting = [short(book, new_member(), goods) for goods in lines]
    assert delivery.serve_all(now=book.now) == 0
    for goods in lines:
        restock(goods, 1)
    assert delivery.serve_all(now=book.now) == 2
    assert [fresh(order).fulfil for order in waiting] == ["done", "done"]
    sms = Notification.objects.filter(kind="delivered", channel="sms")
    assert sms.count() == 2


# --- Too long short ----------------------------------------------------------------


def test_after_a_day_the_money_goes_back(book: Till, member: Member):
    """D24: a full refund with its reason and an apology, at 24 hours and not before."""
    order = short(book, member, make_goods())
    book.wait(hours=24, seconds=-1)
    assert shortage.refund_short(now=book.now) == 0
    book.wait(seconds=1)
    assert shortage.refund_short(now=book.now) == 1
    assert shortage.refund_short(now=book.now) == 0
    refund = Refund.objects.get()
    assert (refund.reason, refund.amount_fen) == ("short", 10_000)
    assert fresh(order).fulfil == Fulfil.VOID
    apology = Notification.objects.filter(kind="refund", channel="site").get()
    assert apology.params["reason"] == "short"
    assert Outbox.objects.filter(kind="refund.send").count() == 1
    assert broken(book.now, besides=("INV-10", "INV-6")) == []


def test_a_refund_that_failed_is_not_repeated_by_itself(book: Till, member: Member):
    """K14: once; the next in the line is refunded all the same, the audit names this."""
    goods = make_goods()
    order = short(book, member, goods)
    book.wait(minutes=1)
    other = short(book, new_member(), goods)
    book.wait(hours=24, seconds=-60)
    assert shortage.refund_short(now=book.now) == 1
    Refund.objects.update(state="failed")
    Attempt.objects.update(refund_reserved_fen=0)
    Order.objects.filter(pk=order.pk).update(fulfil="short")
    book.wait(minutes=10)
    assert shortage.refund_short(now=book.now) == 1
    assert [fresh(o).fulfil for o in (order, other)] == ["short", "void"]
    assert any("waits for goods" in line for line in broken(book.now))


def test_the_operator_sets_how_long(book: Till, member: Member):
    ShopRules.objects.update(short_seconds=3_600)
    rules.forget()
    short(book, member, make_goods())
    book.wait(hours=1)
    assert shortage.refund_short(now=book.now) == 1


def test_who_can_be_served_is_not_refunded(book: Till, member: Member):
    goods = make_goods()
    order = short(book, member, goods)
    book.wait(hours=25)
    restock(goods, 1)
    assert shortage.refund_short(now=book.now) == 0
    assert fresh(order).fulfil == Fulfil.DONE
    assert not Refund.objects.exists()


def test_late_money_buys_only_what_is_there(book: Till, member: Member, card: Goods):
    """R10: it settles while keys are free, and goes back when they are not."""
    first, second = (book.bill_goods(m, card) for m in (member, new_member()))
    book.wait(minutes=31)
    assert book.hear(first) == "settled"
    book.buy_goods(new_member(), card, quantity=2)
    assert book.hear(second) == "late"
    assert Refund.objects.get().reason == "late"


def test_late_money_does_not_pay_what_was_bought_again(
    book: Till, member: Member, card: Goods
):
    """C10 for goods: the same thing, placed later and paid."""
    late = book.bill_goods(member, card)
    book.wait(minutes=31)
    book.buy_goods(member, card)
    assert book.hear(late) == "late"


# --- The way back ------------------------------------------------------------------


def take_back(order: Order, now: datetime) -> int:
    with transaction.atomic():
        return delivery.take_back_locked(lock_order(order.pk), now=now)


def test_an_unseen_key_returns_and_a_seen_one_never(
    book: Till, member: Member, card: Goods
):
    """F14."""
    order = book.buy_goods(member, card, quantity=2)
    delivery.reveal(order.pk, 1, now=book.now)
    held = keys.held_by(order.pk)
    assert (held.keys, held.seen, held.unseen) == (2, 1, 1)
    assert refunds.proposal_for(order, now=book.now) == Proposal(10_000, 0)
    assert take_back(order, book.now) == 1
    assert take_back(order, book.now) == 0
    assert holders(card) == [order.pk, None, None]
    assert fresh(card).stock == 2
    assert fresh(order).fulfil == Fulfil.VOID
    with pytest.raises(delivery.NoKey):
        delivery.reveal(order.pk, 2, now=book.now)


def refunded(book: Till, order: Order, operator: Member, fen: int | None) -> Refund:
    """An operator returns so much, or what is proposed."""
    order = fresh(order)
    if fen is None:
        fen = refunds.proposal_for(order, now=book.now).amount_fen
    return refunds.request(
        order.pk, amount_fen=fen, actor=operator, reason="用不了", now=book.now
    )


def test_f14_keys_that_nobody_saw_go_back_with_all_of_the_money(
    book: Till, member: Member, operator: Member, card: Goods
):
    """F14, F16: free again, the order void; the next one buys them."""
    order = book.buy_goods(member, card, quantity=3)
    refund = refunded(book, order, operator, None)
    assert (refund.amount_fen, refund.reason) == (30_000, "operator")
    assert fresh(order.settled_by).refund_reserved_fen == 30_000
    assert holders(card) == [None] * 3
    assert fresh(card).stock == 3
    assert (fresh(order).status, fresh(order).fulfil) == ("paid", "void")
    assert broken(book.now) == []
    assert book.buy_goods(new_member(), card, quantity=3).fulfil == "done"


def test_f14_a_key_that_was_seen_is_worth_nothing_and_never_returns(
    book: Till, member: Member, operator: Member, card: Goods
):
    """F14: proposal 0; an operator may return the money all the same, with a reason."""
    order = book.buy_goods(member, card)
    delivery.reveal(order.pk, 1, now=book.now)
    with pytest.raises(refunds.NotRefundable):
        refunded(book, order, operator, None)
    refund = refunded(book, order, operator, 10_000)
    assert (refund.amount_fen, refund.actor, refund.note) == (
        10_000,
        operator,
        "用不了",
    )
    assert holders(card) == [order.pk, None, None]
    assert order.keys.get().state == "sold"
    assert fresh(card).stock == 2
    assert fresh(order).fulfil == "void"
    assert broken(book.now) == []


def test_f14_part_of_the_money_takes_no_key_back(
    book: Till, member: Member, operator: Member, card: Goods
):
    """F14: less than the unseen ones are worth; the rest is worth them."""
    order = book.buy_goods(member, card, quantity=2)
    delivery.reveal(order.pk, 1, now=book.now)
    refunded(book, order, operator, 9_999)
    assert holders(card) == [order.pk, order.pk, None]
    assert fresh(order).fulfil == "done"
    with pytest.raises(refunds.NotRefundable):
        refunded(book, order, operator, 10_002)
    assert broken(book.now) == []


@pytest.mark.parametrize(("seen", "proposed"), [(0, 9_999), (1, 6_666), (3, 0)])
def test_the_proposal_counts_what_nobody_has_seen(seen: int, proposed: int):
    """F14, R19: rounded down in the shop's favour only where it must be."""
    assert worth_fen(9_999, Keys(3, 3 - seen)) == proposed


def test_a_returned_key_is_sold_to_the_next(book: Till, member: Member):
    goods = make_goods(keys=1)
    order = book.buy_goods(member, goods)
    waiting = short_of_the_last(book, goods)
    take_back(order, book.now)
    assert delivery.serve(goods.pk, now=book.now) == 1
    assert fresh(waiting).fulfil == Fulfil.DONE


def short_of_the_last(book: Till, goods: Goods) -> Order:
    """Somebody who pays for the last key a moment too late."""
    Goods.objects.filter(pk=goods.pk).update(stock=1)
    attempt = book.bill_goods(new_member(), goods)
    Goods.objects.filter(pk=goods.pk).update(stock=0)
    book.hear(attempt)
    return fresh(attempt.order)


# --- Low stock ---------------------------------------------------------------------


def test_the_alert_comes_once_a_crossing(book: Till, caplog: pytest.LogCaptureFixture):
    """Falling below the line says so once; filling up makes it ready again."""
    goods = make_goods(keys=4, low_stock=3)

    def alerts() -> int:
        return sum("stock is low" in record.message for record in caplog.records)

    seen = []
    for _ in range(3):
        book.buy_goods(new_member(), goods)
        seen.append(alerts())
    assert seen == [0, 1, 1]
    assert fresh(goods).low_since is not None
    restock(goods, 5)
    assert fresh(goods).low_since is None
    for _ in range(4):
        book.buy_goods(new_member(), goods)
    assert alerts() == 2


def test_reveal_is_written_down(book: Till, member: Member, card: Goods, operator):
    """security 53: each look leaves a line; the first one stamps the key."""
    order = book.buy_goods(member, card)
    secret = delivery.reveal(order.pk, 1, now=book.now)
    first = order.keys.get().revealed_at
    assert first == book.now
    book.wait(minutes=1)
    assert (
        delivery.reveal(order.pk, 1, now=book.now, actor=operator, reason="电话里问")
        == secret
    )
    assert order.keys.get().revealed_at == first
    looks = order.events.filter(kind=delivery.REVEALED).order_by("id")
    assert [(e.actor_id, e.detail) for e in looks] == [
        (None, {"key": 1}),
        (operator.pk, {"key": 1, "reason": "电话里问"}),
    ]
    assert secret not in str([e.detail for e in looks])
    assert timezone.is_aware(first)
