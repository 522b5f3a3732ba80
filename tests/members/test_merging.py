"""I12 and G12: two accounts of one person become one, with nothing lost or doubled."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import AnonymousUser
from django.db import OperationalError, connection, transaction
from django.test import RequestFactory

from goods.models import Goods
from members import links, timeline
from members.identity import binding
from members.identity.contract import Person
from members.models import (
    Entitlement,
    Member,
    Passkey,
    Pause,
    Plan,
    Provider,
    Segment,
    Tier,
)
from members.sign_in.signin import sign_in
from members.timeline import LONGEST, Merged
from notifications.messages import Channel, Message, queue
from notifications.models import Notification, Outbox
from orders.checkout import PlanGone
from orders.models import Order
from orders.versions import Stale
from payments import merging, settle
from payments.gateways.contract import Product
from payments.merging import NotMergeable, Obstacle, Seen
from payments.models import Attempt, AutoRenew, Consent, Refund
from payments.refunding import refunds
from payments.renewing import mandates
from tests.goods.shelves import make_goods
from tests.races import at_once, errors, hesitate, take_locks_away
from tests.shopping import Shopper, Till, events_of, fresh, new_member
from tests.shopping import broken as broken_of

pytestmark = pytest.mark.django_db(transaction=True)

DAY = timedelta(days=1)
ROUNDS = 3


def broken(now: datetime, *besides: str) -> list[str]:
    """Nobody sends the messages here, so they may wait (INV-10)."""
    return broken_of(now, besides=("INV-10", *besides))


@pytest.fixture
def a(shop: None) -> Member:
    return new_member()


@pytest.fixture
def b(shop: None) -> Member:
    return new_member()


@pytest.fixture
def merge(book: Till, a: Member, b: Member, operator: Member) -> Callable[..., Member]:
    """B into A at the till's time, unless told otherwise."""

    def merged(
        source: Member = b, into: Member = a, seen: Seen | None = None
    ) -> Member:
        return merging.merge(
            source.pk,
            into_id=into.pk,
            actor=operator,
            reason="同一个人",
            now=book.now,
            seen=seen,
        )

    return merged


def buy(book: Till, member: Member, plan: str = "temporary-7") -> Order:
    attempt = book.bill(member, plan)
    book.hear(attempt)
    return attempt.order


def line_of(member: Member, start: datetime) -> list[tuple[str, float, float]]:
    """(order's title, begins, ends) in days since ``start``, also where it ran."""
    return [
        (
            segment.entitlement.order.title if segment.entitlement.order else "grant",
            (segment.starts_at - start) / DAY,
            (segment.ends_at - start) / DAY,
        )
        for segment in member.segments.select_related("entitlement__order")
    ]


# --- I12, with numbers -------------------------------------------------------------


def test_time_moves_history_stays_and_the_end_is_the_sum(
    book: Till, a: Member, b: Member, merge: Callable[..., Member]
):
    """I12. After two days A has 5 of 7 days left, B 88 of 90 and all of 30: 123."""
    start = book.now
    buy(book, a)
    buy(book, b, "temporary-30")
    buy(book, b, "long-term-90")
    ran = line_of(b, start)[0][0]
    book.wait(days=2)
    merge()
    assert fresh(a).paid_until == start + 125 * DAY
    assert line_of(b, start) == [(ran, 0, 2)]
    assert line_of(a, start)[0][1] == 0
    assert line_of(a, start)[-1][2] == 125
    assert sum(end - begin for _, begin, end in line_of(a, start)) == 2 + 123
    left = timeline.time_left(fresh(a), now=book.now)
    assert sorted(seconds // 86_400 for seconds in left.values()) == [5, 30, 88]
    assert not Entitlement.objects.filter(member=b).exists()
    assert not Order.objects.filter(member=b).exists()
    gone = fresh(b)
    assert (gone.merged_into, gone.is_active, gone.phone) == (a, False, None)
    assert gone.paid_until is None
    assert broken(book.now) == []
    book.wait(days=123)
    assert not fresh(a).is_member(at=book.now)
    assert broken(book.now, "INV-16") == []  # no beat ran in between


def test_a_clock_that_went_back_moves_no_second(
    book: Till, a: Member, b: Member, merge: Callable[..., Member]
):
    """I12 and H11: both lines are cut where the later one already stands."""
    start = book.now
    buy(book, a)
    book.wait(hours=3)
    buy(book, b)
    book.set_clock(start + timedelta(hours=1))
    merge()
    # 3 hours of A's have run by then, none of B's
    assert fresh(a).paid_until == start + 14 * DAY
    assert line_of(b, start) == []
    assert broken(start + timedelta(hours=3)) == []


def test_an_account_without_time_takes_it_all(
    book: Till, a: Member, b: Member, merge: Callable[..., Member]
):
    start = book.now
    buy(book, b)
    book.wait(days=1, seconds=0.7)
    merge()
    assert fresh(a).paid_until == start + 7 * DAY
    assert broken(book.now) == []


def test_two_empty_accounts(
    book: Till, a: Member, b: Member, merge: Callable[..., Member]
):
    merge()
    assert fresh(a).paid_until is None
    assert fresh(b).merged_into == a
    assert broken(book.now) == []


def test_a_paused_line_takes_the_time_and_waits(
    book: Till, a: Member, b: Member, merge: Callable[..., Member]
):
    buy(book, a)
    buy(book, b)
    timeline.pause(a.pk, now=book.now)
    book.wait(days=1)
    merge()
    assert fresh(a).paid_until is None
    assert broken(book.now) == []
    book.wait(days=5)
    timeline.resume(a.pk, now=book.now)
    assert fresh(a).paid_until == book.now + 13 * DAY
    assert broken(book.now) == []


def test_a_pause_of_the_other_account_ends(
    book: Till, a: Member, b: Member, merge: Callable[..., Member]
):
    buy(book, b)
    book.wait(days=1)
    timeline.pause(b.pk, now=book.now)
    book.wait(days=3)
    merge()
    assert fresh(a).paid_until == book.now + 6 * DAY
    assert Pause.objects.get(member=b).ends_at == book.now
    assert broken(book.now) == []


def test_one_account_after_another(
    book: Till, a: Member, b: Member, merge: Callable[..., Member]
):
    """B into A, then A into C: what ran in B counts as used in C's line too."""
    start = book.now
    c = new_member()
    for each in (a, b, c):
        buy(book, each)
    book.wait(days=1)
    merge()
    book.wait(days=1)
    merge(a, c)
    assert [line_of(b, start)[-1][2], line_of(a, start)[-1][2]] == [1, 2]
    # 21 bought; A and B ran a day side by side, A's line another one, C's two
    assert fresh(c).paid_until == start + 2 * DAY + (6 + 6 - 1 + 5) * DAY
    assert broken(book.now) == []


# --- Money -------------------------------------------------------------------------


def test_money_that_comes_later_activates_for_the_account_that_is_left(
    book: Till, a: Member, b: Member, merge: Callable[..., Member]
):
    attempt = book.bill(b)
    merge()
    assert book.hear(attempt) == "settled"
    assert fresh(a).paid_until == book.now + 7 * DAY
    order = fresh(attempt.order)
    assert (order.member, order.entitlement.member) == (a, a)
    assert events_of(order) == ["placed", "merged", "paid", "activated"]
    assert Notification.objects.filter(kind="activated", member=a).exists()
    assert broken(book.now) == []


def test_a_refund_knows_what_ran_before(
    book: Till, a: Member, b: Member, operator: Member, merge: Callable[..., Member]
):
    """F1 to F5 on an order that came along: 5 of 7 days are left to take back."""
    order = buy(book, b)
    book.wait(days=2)
    merge()

    def ask(seconds: int) -> Refund:
        return refunds.request(
            order.pk,
            amount_fen=1_000,
            seconds=seconds,
            actor=operator,
            reason="",
            now=book.now,
        )

    with pytest.raises(refunds.NotRefundable):
        ask(5 * 86_400 + 1)
    assert ask(5 * 86_400).revoked_seconds == 5 * 86_400
    assert fresh(a).paid_until is None
    assert broken(book.now) == []


def test_keys_go_along(book: Till, a: Member, b: Member, merge: Callable[..., Member]):
    goods: Goods = make_goods(keys=1)
    order = book.buy_goods(b, goods)
    merge()
    page = Shopper(book, a).get(f"/orders/{order.no}/")
    assert page.status_code == 200
    assert fresh(order).keys.count() == 1
    assert broken(book.now) == []


# --- The other account is over -----------------------------------------------------


def test_nobody_is_signed_in_to_it_any_more(
    book: Till, b: Member, merge: Callable[..., Member]
):
    """I12: a session that was open ends with the merge."""
    shopper = Shopper(book, b)
    assert shopper.get("/account/").status_code == 200
    merge()
    answer = shopper.get("/account/")
    assert answer.status_code == 302
    assert "/login/" in answer["Location"]


def test_wechat_leads_to_the_account_that_is_left_and_passkeys_end(
    a: Member, b: Member, merge: Callable[..., Member], book: Till
):
    """I12: a passkey names the account that it was made for."""
    person = Person(Provider.WECHAT, "wx-web", "oWeb", "uAlice", "小明")
    binding.bind(b.pk, person, now=book.now)
    b.passkeys.create(
        credential_id="x", user_handle="y", public_key=b"z", name="iPhone"
    )
    merge()
    assert binding.recognise(person, now=book.now) == a
    assert Passkey.objects.count() == 0


def test_its_phone_is_free_and_opens_nothing_of_it(
    book: Till, a: Member, b: Member, merge: Callable[..., Member]
):
    order = buy(book, b)
    phone = str(b.phone)
    merge()
    request = RequestFactory().get("/")
    request.session = Shopper(book).client.session
    request.user = AnonymousUser()
    someone = sign_in(request, phone, now=book.now)
    assert someone not in (a, b)
    assert not someone.orders.exists()
    assert Shopper(book, someone).get(f"/orders/{order.no}/").status_code == 404


def test_a_page_that_was_open_places_nothing(
    book: Till, b: Member, merge: Callable[..., Member]
):
    merge()
    with pytest.raises(PlanGone):
        book.place(b)
    goods = make_goods(keys=1)
    with pytest.raises(PlanGone):
        book.bill_goods(b, goods)
    assert not Order.objects.exists()


def test_nobody_gives_time_to_it(
    book: Till, b: Member, operator: Member, merge: Callable[..., Member]
):
    merge()
    with pytest.raises(Merged):
        timeline.grant(
            b.pk,
            tier=Tier.objects.all()[0],
            seconds=60,
            actor=operator,
            reason="补偿",
            now=book.now,
        )
    with pytest.raises(Merged):
        timeline.pause(b.pk, now=book.now)
    assert not Entitlement.objects.exists()
    assert not Pause.objects.exists()


def test_a_link_that_it_was_sent_tells_of_the_account_that_is_left(
    book: Till, a: Member, b: Member, merge: Callable[..., Member]
):
    buy(book, b)
    merge()
    page = Shopper(book).get(f"/s/{links.token(links.RENEW, b.pk)}/")
    assert page.context["membership"]["ends_at"] == fresh(a).paid_until


def test_messages_go_along_but_for_reminders_of_an_end_that_is_none(
    book: Till, a: Member, b: Member, merge: Callable[..., Member]
):
    order = buy(book, b)
    end = fresh(b).paid_until
    assert end is not None
    queue(
        Message(
            key=f"expire:{b.pk}",
            member_id=b.pk,
            kind="expiring",
            channel=Channel.SMS,
            params={"end": end, "link": "x"},
            due_at=book.now,
            expires_at=end,
        ),
        now=book.now,
    )
    merge()
    mine = Notification.objects.filter(key__startswith=f"activated:{order.pk}:")
    assert set(mine.values_list("member", flat=True)) == {a.pk}
    assert Notification.objects.get(kind="expiring").member == b
    book.run_outbox()
    assert Notification.objects.get(kind="expiring").state == "skipped"


def test_a_flag_of_risk_is_not_shaken_off(
    book: Till, a: Member, b: Member, merge: Callable[..., Member]
):
    until = book.now + 90 * DAY
    Member.objects.filter(pk=b.pk).update(risk_flag_until=until)
    merge()
    assert fresh(a).risk_flag_until == until


def test_the_log_names_both_and_no_phone(
    a: Member, b: Member, operator: Member, merge: Callable[..., Member]
):
    phone = str(b.phone)
    merge()
    entries = LogEntry.objects.order_by("pk")
    assert [(e.object_id, e.user) for e in entries] == [
        (str(b.pk), operator),
        (str(a.pk), operator),
    ]
    for entry in entries:
        assert "同一个人" in entry.change_message
        assert phone[-4:] in entry.change_message
        assert phone[3:] not in entry.change_message + entry.object_repr


# --- Renewals (K26) ----------------------------------------------------------------


def renewing(book: Till, member: Member, number: str) -> AutoRenew:
    """A consent in force, as the gateway's signature leaves it."""
    consent = Consent.objects.create(
        member=member,
        plan=Plan.objects.get(slug="temporary-7"),
        price_fen=1_500,
        days=7,
        terms="1.0",
        gateway="alipay",
        number=number,
        contract_no=f"X{number}",
        state="signed",
        agreed_at=book.now,
        signed_at=book.now,
    )
    return AutoRenew.objects.create(
        member=member, consent=consent, changed_at=book.now, due_at=book.now
    )


def test_its_renewal_is_stopped_and_the_other_one_goes_on(
    book: Till, a: Member, b: Member, merge: Callable[..., Member]
):
    """K26: one renewal a member; the wallet is told, and so is she."""
    for each in (a, b):
        buy(book, each)
    kept, stopped = renewing(book, a, "N1"), renewing(book, b, "N2")
    Consent.objects.create(
        member=b,
        plan=stopped.consent.plan,
        price_fen=1_500,
        days=7,
        terms="1.0",
        gateway="alipay",
        number="N3",
        agreed_at=book.now,
        next_query_at=book.now,
    )
    merge()
    assert mandates.holder_of(a) == kept
    assert mandates.holder_of(b) is None
    ended = Consent.objects.filter(number__in=("N2", "N3"))
    assert {(c.state, c.ended_by, c.member) for c in ended} == {("ended", "merged", a)}
    assert [row.key for row in Outbox.objects.filter(kind="mandate.stop")] == [
        "mandate.stop:alipay:N2"
    ]
    told = Notification.objects.get(kind="renewal_off")
    assert (told.member, told.params["end"][:10]) == (a, "2026-12-06")
    assert broken(book.now) == []


def test_nothing_is_merged_while_a_charge_is_under_way(
    book: Till, b: Member, merge: Callable[..., Member]
):
    attempt = book.bill(b)
    Attempt.objects.filter(pk=attempt.pk).update(product=Product.MANDATE)
    with pytest.raises(NotMergeable) as refusal:
        merge()
    assert refusal.value.why == Obstacle.CHARGING
    assert fresh(b).is_active
    Attempt.objects.filter(pk=attempt.pk).update(state="closed", next_query_at=None)
    Order.objects.filter(pk=attempt.order_id).update(renewal_key="k")
    merge()
    assert fresh(attempt.order).status == "cancelled"


# --- Refusals ----------------------------------------------------------------------


def test_what_cannot_be_merged_is_left_as_it_was(
    book: Till, a: Member, b: Member, operator: Member, merge: Callable[..., Member]
):
    buy(book, b)
    closed = new_member()
    Member.objects.filter(pk=closed.pk).update(is_active=False)
    for source, into in (
        (a, a),
        (operator, a),
        (b, operator),
        (closed, a),
        (b, closed),
    ):
        with pytest.raises(NotMergeable):
            merge(source, into)
    assert fresh(b).paid_until == book.now + 7 * DAY
    merge()
    for source, into in ((b, a), (a, b)):
        with pytest.raises(NotMergeable):
            merge(source, into)
    assert fresh(a).paid_until == book.now + 7 * DAY


def test_more_than_a_line_takes_is_refused_whole(
    book: Till, a: Member, b: Member, operator: Member, merge: Callable[..., Member]
):
    tier = Tier.objects.all()[0]
    for member, seconds in ((a, LONGEST.total_seconds()), (b, 1)):
        timeline.grant(
            member.pk,
            tier=tier,
            seconds=int(seconds),
            actor=operator,
            reason="补偿",
            now=book.now,
        )
    before = list(Segment.objects.values_list("pk", "member", "ends_at"))
    with pytest.raises(NotMergeable) as refusal:
        merge()
    assert refusal.value.why == Obstacle.FULL
    assert list(Segment.objects.values_list("pk", "member", "ends_at")) == before
    assert fresh(b).is_active
    assert broken(book.now) == []


def test_i3_i4_an_old_page_merges_nothing(
    book: Till, a: Member, b: Member, merge: Callable[..., Member]
):
    seen = Seen(b.version, a.version)
    buy(book, b)
    with pytest.raises(Stale):
        merge(seen=seen)
    seen = Seen(fresh(b).version, fresh(a).version)
    merge(seen=seen)
    with pytest.raises(Stale):
        merge(seen=seen)


def test_the_audit_sees_time_that_was_left_behind(
    book: Till, a: Member, b: Member, merge: Callable[..., Member]
):
    """INV-8 is not blind to accounts that were merged."""
    buy(book, b)
    book.wait(days=2)
    merge()
    Segment.objects.filter(member=b).update(ends_at=book.now + DAY)
    assert any("INV-8" in each for each in broken(book.now))
    Segment.objects.filter(member=b).update(ends_at=book.now - DAY)
    assert any(f"member {a.pk}" in each for each in broken(book.now))


# --- G12 ---------------------------------------------------------------------------


def merging_while_both_settle(book: Till, operator: Member) -> tuple[Any, list[Any]]:
    a, b = new_member(), new_member()
    for each in (a, b):
        buy(book, each)
    mine, hers = book.bill(a), book.bill(b, "temporary-30")
    ends = at_once(
        lambda: (
            merging.merge(
                b.pk, into_id=a.pk, actor=operator, reason="", now=book.now
            ).pk
        ),
        lambda: book.hear(mine),
        lambda: book.hear(hers),
    )
    end = fresh(a).paid_until
    return end and (end - book.now) / DAY, ends


def test_a_merge_while_both_settle_keeps_the_sum(
    book: Till, operator: Member, monkeypatch: pytest.MonkeyPatch
):
    """G12: 7 + 7 that ran before, 7 + 30 that arrive meanwhile."""
    hesitate(monkeypatch, settle, "_why_refund")
    hesitate(monkeypatch, timeline, "lock_member", seconds=0.1)
    for _ in range(ROUNDS):
        days, ends = merging_while_both_settle(book, operator)
        assert (days, errors(ends)) == (51, [])
        assert ends[1:] == ["settled", "settled"]
    assert broken(book.now) == []


def test_control_without_locks_a_merge_loses_time(
    book: Till, operator: Member, monkeypatch: pytest.MonkeyPatch
):
    hesitate(monkeypatch, settle, "_why_refund")
    hesitate(monkeypatch, timeline, "_write", seconds=0.2)
    take_locks_away(monkeypatch)
    seen = [merging_while_both_settle(book, operator) for _ in range(ROUNDS)]
    assert any(days != 51 or errors(ends) for days, ends in seen)


def both_ways(book: Till, operator: Member) -> tuple[list[float], list[Any]]:
    """A into B and B into A; the days of both, and how it ended."""
    pair = [new_member(), new_member()]
    for each in pair:
        buy(book, each)

    def into(source: Member, target: Member) -> int:
        return merging.merge(
            source.pk, into_id=target.pk, actor=operator, reason="", now=book.now
        ).pk

    ends = at_once(lambda: into(*pair), lambda: into(*reversed(pair)))
    untils = [fresh(each).paid_until for each in pair]
    return sorted((end - book.now) / DAY for end in untils if end), ends


def test_two_opposite_merges_at_once_make_one(
    book: Till, operator: Member, monkeypatch: pytest.MonkeyPatch
):
    """G12: the second finds that its source has become its target."""
    hesitate(monkeypatch, timeline, "lock_member", seconds=0.1)
    for _ in range(ROUNDS):
        days, ends = both_ways(book, operator)
        assert days == [14]
        assert [type(each) for each in errors(ends)] == [NotMergeable]
    assert broken(book.now) == []


on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite has one lock for all writers"
)


@on_postgresql
def test_control_members_locked_as_named_deadlock(
    book: Till, operator: Member, monkeypatch: pytest.MonkeyPatch
):
    """Without the order by id each merge holds what the other one waits for."""

    def as_named(*ids: int) -> list[Member]:
        return [timeline.lock_member(each) for each in ids]

    hesitate(monkeypatch, timeline, "lock_member", seconds=0.1)
    monkeypatch.setattr(merging, "lock_members", as_named)
    seen = [both_ways(book, operator)[1] for _ in range(ROUNDS)]
    assert any(isinstance(each, OperationalError) for ends in seen for each in ends)


@on_postgresql
def test_control_members_before_orders_deadlock(
    book: Till, operator: Member, monkeypatch: pytest.MonkeyPatch
):
    """R5: money that holds its order waits for the member, and the merge for the order."""
    in_one: Any = merging.merge
    locks = timeline.lock_members

    def members_first(source_id: int, **rest: Any) -> Member:
        with transaction.atomic():
            locks(source_id, rest["into_id"])
            time.sleep(0.3)
            moved: Member = in_one.__wrapped__(source_id, **rest)
            return moved

    hesitate(monkeypatch, settle, "_why_refund", seconds=0.1)
    monkeypatch.setattr(merging, "merge", members_first)
    seen = [merging_while_both_settle(book, operator)[1] for _ in range(ROUNDS)]
    assert any(isinstance(each, OperationalError) for ends in seen for each in ends)


def test_placing_while_it_is_merged_leaves_nothing_behind(
    book: Till, operator: Member, monkeypatch: pytest.MonkeyPatch
):
    """A2 and I12: the order went along, or was refused, or nothing was merged."""
    hesitate(monkeypatch, timeline, "lock_member", seconds=0.05)
    for _ in range(ROUNDS):
        a, b = new_member(), new_member()
        buy(book, b)
        ends = at_once(
            lambda a=a, b=b: merging.merge(  # type: ignore[misc]
                b.pk, into_id=a.pk, actor=operator, reason="", now=book.now
            ),
            lambda b=b: book.place(b),  # type: ignore[misc]
        )
        assert {type(each) for each in errors(ends)} <= {Stale, PlanGone}
        if fresh(b).merged_into_id:
            assert not Order.objects.filter(member=b).exists()
    assert broken(book.now) == []
