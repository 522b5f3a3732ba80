"""``apply_result``, the one settle path: what becomes of every thing a gateway may say."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from members import rules
from members.models import Entitlement, Member, Plan, Tier
from members.standing import standing
from members.tiers import catalogue
from members.timeline import LONGEST, grant, pause
from notifications import texts
from notifications.models import Notification, Outbox
from orders.models import Order, Risk, Status
from payments import cases, polling
from payments.attempts import create_locked
from payments.gateways.contract import TradeState
from payments.models import Attempt, EventOutcome, GatewayEvent, Refund
from payments.settle import Source, apply_result
from tests.shopping import (
    ALIPAY,
    Till,
    broken,
    counts,
    events_of,
    fresh,
    new_member,
    said,
    statements,
)

SETTLED = EventOutcome.SETTLED


@pytest.fixture
def attempt(book: Till, member: Member) -> Attempt:
    """¥15 by WeChat, waiting for money."""
    return book.bill(member)


def rival_of(attempt: Attempt, book: Till) -> Attempt:
    """A second attempt of the same order, by Alipay."""
    return create_locked(attempt.order, ALIPAY, now=book.now)


def returned() -> list[tuple[int, str, int]]:
    """Attempt, reason and sum of all money on its way back."""
    return list(Refund.objects.values_list("attempt", "reason", "amount_fen"))


# --- Success -----------------------------------------------------------------------


def test_success_moves_everything_at_once(book: Till, member: Member, attempt: Attempt):
    """B6 and D1: attempt, order, entitlement, timeline, popup and SMS."""
    at = book.wait(seconds=40)
    assert book.hear(attempt, txn_id="42000") == SETTLED
    paid, order = fresh(attempt), fresh(attempt.order)
    assert (paid.state, paid.txn_id, paid.paid_fen, paid.paid_currency) == (
        "paid",
        "42000",
        1_500,
        "CNY",
    )
    assert paid.next_query_at is None
    assert (order.status, order.fulfil, order.paid_at) == ("paid", "done", at)
    assert order.settled_by == paid
    held = standing(fresh(member), at=at)
    assert held.tier is not None
    assert held.tier.code == "temporary"
    assert held.paid_until == at + timedelta(days=7)
    entitlement = Entitlement.objects.get()
    assert (entitlement.order, entitlement.source, entitlement.discount_bp) == (
        order,
        "order",
        9_500,
    )
    told = {n.channel: n.state for n in Notification.objects.filter(kind="activated")}
    assert told == {"site": "sent", "sms": "queued"}
    assert Outbox.objects.filter(
        key=f"notification:activated:{order.pk}:sms", state="new"
    ).exists()
    assert events_of(order) == ["placed", "paid", "activated"]
    assert broken(book.now) == []


def test_the_same_message_eight_times_does_one_of_everything(
    book: Till, member: Member, attempt: Attempt
):
    """B7 [K11 K16 K22], security 38; also an hour later."""
    assert book.hear(attempt) == SETTLED
    after_the_first = counts(member)
    outcomes = {book.hear(attempt) for _ in range(6)}
    book.wait(hours=1)
    outcomes.add(book.hear(attempt))
    assert outcomes == {EventOutcome.DUPLICATE}
    assert counts(member) == after_the_first
    assert after_the_first["entitlements"] == after_the_first["paid orders"] == 1
    assert after_the_first["refunds"] == 0


def test_a_repeated_notice_is_kept_once(book: Till, attempt: Attempt):
    """K24: the bytes of a message name it for ever."""
    source = Source("notice", "digest-of-the-bytes")
    for expected in (SETTLED, EventOutcome.DUPLICATE):
        outcome = apply_result("wechat", said(attempt), source=source, now=book.now)
        assert outcome == expected
    kept = GatewayEvent.objects.get()
    assert (kept.outcome, kept.attempt, kept.amount_fen) == ("settled", attempt, 1_500)


def test_a_known_message_is_processed_all_the_same(book: Till, attempt: Attempt):
    """The state decides, not the log: a crash between the two cannot lose money."""
    source = Source("notice", "digest-of-the-bytes")
    GatewayEvent.objects.create(
        gateway="wechat", digest=source.digest, kind="notice", outcome="noted"
    )
    outcome = apply_result("wechat", said(attempt), source=source, now=book.now)
    assert outcome == SETTLED
    assert fresh(attempt.order).status == "paid"


@pytest.mark.parametrize("state", ["created", "open", "unknown", "failed", "closed"])
def test_success_wins_from_any_state(book: Till, attempt: Attempt, state: str):
    """B9 and R1."""
    Attempt.objects.filter(pk=attempt.pk).update(state=state)
    assert book.hear(attempt) == SETTLED
    assert fresh(attempt).state == "paid"
    assert fresh(attempt.order).status == "paid"


@pytest.mark.parametrize(
    "says",
    [
        {"state": TradeState.CLOSED},
        {"state": TradeState.CLOSED, "refused": "余额不足"},
        {"state": TradeState.WAITING},
        {"state": TradeState.MISSING},
        {"state": TradeState.UNKNOWN, "raw_state": "TRADE_ODD"},
    ],
    ids=lambda says: "-".join(map(str, says.values())),
)
def test_nothing_undoes_a_payment(
    book: Till, member: Member, attempt: Attempt, says: dict[str, object]
):
    """B8: paid is absorbing."""
    book.hear(attempt)
    before = (fresh(attempt.order), counts(member))
    assert book.hear(attempt, **says) == EventOutcome.NOTED
    assert fresh(attempt).state == "paid"
    order = fresh(attempt.order)
    assert (order, order.status, order.version) == (
        before[0],
        "paid",
        before[0].version,
    )
    assert counts(member)["entitlements"] == 1


# --- No success --------------------------------------------------------------------


def test_a_closed_trade_closes_the_attempt_and_leaves_the_order(
    book: Till, attempt: Attempt
):
    """A8: the hold goes on."""
    assert book.hear(attempt, state=TradeState.CLOSED) == EventOutcome.NOTED
    assert (fresh(attempt).state, fresh(attempt).next_query_at) == ("closed", None)
    assert fresh(attempt.order).status == "pending"
    assert events_of(attempt.order) == ["placed", "attempt-closed"]


def test_a_refused_payment_keeps_its_reason(book: Till, attempt: Attempt):
    """A8: failed, to be paid again with one click."""
    book.hear(attempt, state=TradeState.CLOSED, refused="银行卡余额不足")
    assert (fresh(attempt).state, fresh(attempt).last_error) == (
        "failed",
        "银行卡余额不足",
    )
    assert fresh(attempt.order).is_open(at=book.now)


def test_a_waiting_trade_makes_an_unknown_attempt_open(book: Till, attempt: Attempt):
    """B5."""
    Attempt.objects.filter(pk=attempt.pk).update(state="unknown")
    book.hear(attempt, state=TradeState.WAITING)
    assert fresh(attempt).state == "open"


@pytest.mark.parametrize("state", [TradeState.MISSING, TradeState.UNKNOWN])
def test_what_proves_nothing_changes_nothing(
    book: Till, attempt: Attempt, state: TradeState
):
    """R12: unknown is not failed."""
    Attempt.objects.filter(pk=attempt.pk).update(state="unknown")
    before = fresh(attempt)
    assert book.hear(attempt, state=state) == EventOutcome.NOTED
    after = fresh(attempt)
    assert (after.state, after.next_query_at) == (before.state, before.next_query_at)


@pytest.mark.parametrize("state", ["failed", "closed"])
def test_an_ended_attempt_does_not_come_alive(book: Till, attempt: Attempt, state: str):
    Attempt.objects.filter(pk=attempt.pk).update(state=state)
    book.hear(attempt, state=TradeState.WAITING)
    assert fresh(attempt).state == state


# --- Another sum -------------------------------------------------------------------


@pytest.mark.parametrize(
    "says",
    [
        {"amount_fen": 1_400},  # C1
        {"amount_fen": 1_600},  # C2
        {"amount_fen": 1_499},  # security 36
        {"amount_fen": 0},
        {"currency": "USD"},  # C3
        {"currency": ""},
    ],
    ids=lambda says: "-".join(map(str, says.values())) or "none",
)
def test_another_sum_is_recorded_and_delivers_nothing(
    book: Till, member: Member, attempt: Attempt, says: dict[str, object]
):
    """C1 to C3 and R7: paid, order pending, in the operator's queue, also repeated."""
    assert book.hear(attempt, **says) == EventOutcome.MISMATCH
    assert book.hear(attempt, **says) == EventOutcome.MISMATCH
    paid, order = fresh(attempt), fresh(attempt.order)
    assert paid.state == "paid"
    assert (paid.paid_fen, paid.paid_currency) == (
        says.get("amount_fen", 1_500),
        says.get("currency", "CNY"),
    )
    assert (order.status, order.settled_by) == ("pending", None)
    assert counts(member) == {
        "entitlements": 0,
        "paid orders": 0,
        "refunds": 0,
        "events": 1,
        "messages": 0,
        "outbox": 0,
    }
    if paid.paid_fen:
        assert list(cases.unallocated()) == [paid]


def test_a_right_payment_settles_beside_a_wrong_one(book: Till, attempt: Attempt):
    book.hear(attempt, amount_fen=1_400)
    again = rival_of(attempt, book)
    assert book.hear(again) == SETTLED
    assert list(cases.unallocated()) == [fresh(attempt)]


@pytest.mark.parametrize(
    "says",
    [
        {"amount_fen": None},
        {"amount_fen": 10**30},
        {"txn_id": ""},
        {"currency": "CNYX"},
    ],
    ids=["no-amount", "absurd-amount", "no-transaction", "long-currency"],
)
def test_success_without_a_readable_sum_settles_nothing(
    book: Till, member: Member, attempt: Attempt, says: dict[str, object]
):
    """Never an error, whatever a message holds; in a person's sight until it settles."""
    assert book.hear(attempt, **says) == EventOutcome.MISMATCH
    assert fresh(attempt).state == "created"
    assert fresh(attempt.order).status == "pending"
    assert [event.outcome for event in cases.open_events()] == ["mismatch"]
    assert book.hear(attempt) == SETTLED
    assert not cases.open_events().exists()


def test_a_coupon_of_the_gateway_changes_nothing(book: Till, attempt: Attempt):
    """C4: adapters tell the order's total; see the WeChat vectors for the rest."""
    assert book.hear(attempt, amount_fen=1_500) == SETTLED


# --- Money that is not needed ------------------------------------------------------


def test_a_second_success_goes_back_in_full(
    book: Till, member: Member, attempt: Attempt
):
    """C6 and R6 [K5 K14], security 47: one refund, no second entitlement, she is told."""
    second = rival_of(attempt, book)
    assert book.hear(attempt) == SETTLED
    assert book.hear(second) == EventOutcome.SURPLUS
    refund = Refund.objects.get()
    assert (refund.attempt, refund.amount_fen, refund.reason, refund.state) == (
        second,
        1_500,
        "surplus",
        "requested",
    )
    assert (fresh(second).state, fresh(second).refund_reserved_fen) == ("paid", 1_500)
    assert fresh(attempt).refund_reserved_fen == 0
    assert fresh(attempt.order).settled_by == attempt
    assert counts(member)["entitlements"] == 1
    assert Outbox.objects.filter(kind="refund.send", state="new").count() == 1
    told = Notification.objects.filter(kind="refund", params__reason="surplus")
    assert set(told.values_list("channel", flat=True)) == {"site", "sms"}
    assert events_of(attempt.order)[-1] == "refund-requested"
    assert broken(book.now) == []


def test_three_notices_of_a_surplus_make_one_refund(book: Till, attempt: Attempt):
    """C7 [K14]."""
    second = rival_of(attempt, book)
    book.hear(attempt)
    outcomes = [book.hear(second) for _ in range(3)]
    assert outcomes == [EventOutcome.SURPLUS, *[EventOutcome.DUPLICATE] * 2]
    assert Refund.objects.get().amount_fen == 1_500
    assert fresh(second).refund_reserved_fen == 1_500
    assert Outbox.objects.filter(kind="refund.send").count() == 1


def test_money_a_minute_after_the_hold_still_activates(
    book: Till, member: Member, attempt: Attempt
):
    """C8 and R10: from the settle instant, and the SMS is queued."""
    Order.objects.filter(pk=attempt.order_id).update(status=Status.EXPIRED)
    at = book.wait(minutes=31)
    assert book.hear(attempt, paid_at=at - timedelta(seconds=59)) == SETTLED
    assert fresh(attempt.order).status == "paid"
    assert fresh(member).paid_until == at + timedelta(days=7)
    sms = Notification.objects.get(kind="activated", channel="sms")
    words = texts.sms(sms.kind, texts.sms_words(sms.params, now=at))
    assert "11 月 29 日 10:31" in words
    assert not Refund.objects.exists()
    assert attempt.order.events.get(kind="paid").detail["late"] is True


@pytest.mark.parametrize(
    ("hours", "seconds", "outcome"),
    [(24, 0, SETTLED), (24, 1, EventOutcome.LATE)],
    ids=["at-24-h", "a-second-later"],
)
def test_money_is_honoured_for_a_day_and_not_a_second_longer(
    book: Till, member: Member, attempt: Attempt, hours, seconds, outcome
):
    """C9."""
    Order.objects.filter(pk=attempt.order_id).update(status=Status.EXPIRED)
    book.set_clock(attempt.order.expires_at + timedelta(hours=hours, seconds=seconds))
    assert book.hear(attempt) == outcome
    is_late = outcome == EventOutcome.LATE
    assert fresh(attempt.order).status == ("expired" if is_late else "paid")
    assert returned() == ([(attempt.pk, "late", 1_500)] if is_late else [])
    assert fresh(attempt).state == "paid"
    assert counts(member)["entitlements"] == (not is_late)


def test_late_money_goes_back_when_she_has_bought_the_same_again(
    book: Till, member: Member, attempt: Attempt
):
    """C10."""
    Order.objects.filter(pk=attempt.order_id).update(status=Status.EXPIRED)
    book.wait(minutes=31)
    assert book.hear(book.bill(member)) == SETTLED
    assert book.hear(attempt) == EventOutcome.LATE
    assert fresh(attempt.order).status == "expired"
    assert returned() == [(attempt.pk, "late", 1_500)]
    assert counts(member)["entitlements"] == 1
    assert fresh(member).paid_until == book.now + timedelta(days=7)


@pytest.mark.parametrize("instead", ["another plan", "another member", "not paid"])
def test_late_money_settles_when_nothing_replaced_it(
    book: Till, member: Member, attempt: Attempt, instead: str
):
    """C10, the other half."""
    Order.objects.filter(pk=attempt.order_id).update(status=Status.EXPIRED)
    book.wait(minutes=31)
    if instead == "another plan":
        book.hear(book.bill(member, "temporary-1"))
    elif instead == "another member":
        book.hear(book.bill(new_member()))
    else:
        book.bill(member)
    assert book.hear(attempt) == SETTLED
    assert returned() == []


def test_an_order_paid_before_is_no_replacement(
    book: Till, member: Member, attempt: Attempt
):
    """C10: only what was placed later replaces."""
    later = book.bill(member)
    Order.objects.filter(pk=later.order_id).update(status=Status.EXPIRED)
    book.wait(minutes=31)
    Order.objects.filter(pk=attempt.order_id).update(status=Status.EXPIRED)
    assert book.hear(attempt) == SETTLED
    assert book.hear(later) == SETTLED


@pytest.mark.parametrize("minutes", [1, 31, 60 * 25])
def test_money_for_a_cancelled_order_always_goes_back(
    book: Till, member: Member, attempt: Attempt, minutes: int
):
    """C11."""
    polling.cancel(attempt.order_id, now=book.now)
    book.wait(minutes=minutes)
    assert book.hear(attempt) == EventOutcome.LATE
    assert fresh(attempt.order).status == "cancelled"
    assert returned() == [(attempt.pk, "late", 1_500)]
    assert counts(member)["entitlements"] == 0
    assert fresh(member).paid_until is None


def test_money_for_an_order_that_the_sweep_has_not_seen_yet_settles(
    book: Till, attempt: Attempt
):
    """C8 before A10: still pending, although its hold is over."""
    book.wait(minutes=31)
    assert book.hear(attempt) == SETTLED


# --- Messages that fit nothing -----------------------------------------------------


def test_an_unknown_number_is_kept_for_a_person(book: Till, attempt: Attempt):
    """B12: stored as orphan once, in the operator's queue."""
    source = Source("notice", "digest-of-an-orphan")
    trade = said(attempt, number="NOTOURS0000000000000000001")
    for _ in range(2):
        assert (
            apply_result("wechat", trade, source=source, now=book.now)
            == EventOutcome.ORPHAN
        )
    kept = GatewayEvent.objects.get()
    assert (kept.number, kept.attempt) == ("NOTOURS0000000000000000001", None)
    assert list(cases.open_events()) == [kept]
    assert fresh(attempt).state == "created"


def test_a_number_of_another_gateway_is_unknown(book: Till, attempt: Attempt):
    """B14 [K8], security 35 and 37: the row decides the gateway, never the address."""
    outcome = apply_result(
        "alipay", said(attempt), source=Source("notice", "x"), now=book.now
    )
    assert outcome == EventOutcome.ORPHAN
    assert fresh(attempt).state == "created"
    assert fresh(attempt.order).status == "pending"
    [kept] = cases.open_events()  # as B12
    assert (kept.outcome, kept.gateway, kept.number) == (
        "orphan",
        "alipay",
        attempt.out_trade_no,
    )


def test_a_second_transaction_of_one_attempt_is_kept_as_overpaid(
    book: Till, member: Member, attempt: Attempt
):
    """B14b: the order is untouched, a person decides."""
    book.hear(attempt, txn_id="first")
    before = fresh(attempt.order).version
    outcome = apply_result(
        "wechat",
        said(attempt, txn_id="second"),
        source=Source("notice", "second"),
        now=book.now,
    )
    assert outcome == EventOutcome.OVERPAID
    assert fresh(attempt).txn_id == "first"
    assert fresh(attempt.order).version == before
    assert [event.txn_id for event in cases.open_events()] == ["second"]
    assert counts(member)["refunds"] == 0


def test_one_transaction_for_two_attempts_is_refused(
    book: Till, member: Member, attempt: Attempt, caplog: pytest.LogCaptureFixture
):
    """B15 [K9]: stored as an event, the second order gets nothing, an alert."""
    book.hear(attempt, txn_id="42000")
    other = book.bill(member)
    outcome = apply_result(
        "wechat",
        said(other, txn_id="42000"),
        source=Source("notice", "clash"),
        now=book.now,
    )
    assert outcome == EventOutcome.CLASH
    [alert] = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert "one transaction id for two attempts" in alert
    assert fresh(other).txn_id is None
    assert (fresh(other).state, fresh(other.order).status) == ("created", "pending")
    assert [event.attempt for event in cases.open_events()] == [other]
    assert counts(member)["entitlements"] == 1


def test_equal_transaction_numbers_of_two_gateways_are_no_clash(
    book: Till, member: Member, attempt: Attempt
):
    book.hear(attempt, txn_id="42000")
    assert book.hear(book.bill(member, way=ALIPAY), txn_id="42000") == SETTLED


# --- Delivery ----------------------------------------------------------------------


def test_an_order_under_review_keeps_the_money_and_delivers_nothing(
    book: Till, member: Member, attempt: Attempt
):
    """A14: paid and held."""
    Order.objects.filter(pk=attempt.order_id).update(risk=Risk.REVIEW)
    assert book.hear(attempt) == SETTLED
    order = fresh(attempt.order)
    assert (order.status, order.fulfil) == ("paid", "held")
    assert counts(member)["entitlements"] == counts(member)["messages"] == 0


def test_time_that_fits_nowhere_is_held_and_the_money_stays_booked(
    book: Till, member: Member, operator: Member, week: Plan, attempt: Attempt
):
    """Security 49: an error here would lose the payment."""
    grant(
        member.pk,
        tier=week.tier,
        seconds=int(LONGEST.total_seconds()),
        actor=operator,
        reason="",
        now=book.now,
    )
    assert book.hear(attempt) == SETTLED
    order = fresh(attempt.order)
    assert (order.status, order.fulfil, fresh(attempt).state) == (
        "paid",
        "held",
        "paid",
    )
    assert Entitlement.objects.filter(source="order").count() == 0
    assert events_of(order) == ["placed", "paid", "held"]


def test_while_paused_a_purchase_is_booked_and_no_end_is_told(
    book: Till, member: Member, attempt: Attempt
):
    """D20."""
    book.hear(book.bill(member, "long-term-90"))
    pause(member.pk, now=book.now)
    assert book.hear(attempt) == SETTLED
    assert fresh(member).paid_until is None
    told = Notification.objects.get(key=f"activated:{attempt.order_id}:sms")
    assert "end" not in told.params


def test_settling_one_attempt_queues_the_closing_of_the_others(
    book: Till, attempt: Attempt
):
    """B3 and R11: in the background, not waited for."""
    second = rival_of(attempt, book)
    book.hear(attempt)
    queued = Outbox.objects.get(kind="attempt.close")
    assert queued.payload == {"attempt": second.pk}
    assert fresh(second).state == "created"


def test_orders_of_one_member_stack(book: Till, member: Member):
    """D3, D5 and D12 through the till: long-term runs first, no second is lost."""
    bought = [
        book.bill(member, plan)
        for plan in ("temporary-7", "long-term-90", "temporary-1")
    ]
    for each in bought:
        assert book.hear(each) == SETTLED
    held = standing(fresh(member), at=book.now)
    assert held.tier == Tier.objects.get(code="long-term")
    assert held.paid_until == book.now + timedelta(days=98)
    assert held.discount_bp == 9_000
    assert broken(book.now) == []


# --- Statements --------------------------------------------------------------------


@pytest.mark.parametrize("plan", ["temporary-7", "long-term-90"])
def test_settling_takes_at_most_eighteen_statements(
    book: Till, member: Member, plan: str
):
    """For a member with a history, whether the new time waits or runs at once.

    The worst case: a segment is clipped, others move, and a rival has to be closed.
    """
    for earlier in ("temporary-1", "temporary-30", "temporary-7"):
        book.hear(book.bill(member, earlier))
        book.wait(hours=5)
    attempt = book.bill(member, plan)
    rival_of(attempt, book)
    source = Source("notice", "digest")
    with CaptureQueriesContext(connection) as queries:
        outcome = apply_result("wechat", said(attempt), source=source, now=book.now)
    assert outcome == SETTLED
    asked = statements(queries)
    assert len(asked) <= 18, "\n".join(asked)


def test_a_first_purchase_with_nothing_cached_takes_no_more(
    book: Till, attempt: Attempt
):
    rules.forget()
    catalogue.forget()
    with CaptureQueriesContext(connection) as queries:
        assert book.hear(attempt) == SETTLED
    assert len(statements(queries)) <= 18


def test_what_comes_from_a_query_is_kept_only_when_it_moves_something(
    book: Till, attempt: Attempt
):
    source = Source("query")
    waiting = said(attempt, state=TradeState.WAITING)
    for _ in range(3):
        apply_result("wechat", waiting, source=source, now=book.now)
    assert not GatewayEvent.objects.exists()
    for _ in range(3):
        apply_result("wechat", said(attempt), source=source, now=book.now)
    assert [e.outcome for e in GatewayEvent.objects.all()] == ["settled"]
