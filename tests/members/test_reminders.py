"""Reminders before the end: the pure decision, then cases E1 to E7 on the database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st

from kameng import clock
from members import links, reminders, rules, timeline
from members.models import Entitlement, Member, ShopRules, Tier
from members.reminders import Reminder, due_reminder, quiet_hours
from members.standing import standing
from members.tasks import schedule_reminders_task
from notifications import outbox
from notifications.models import Notification, Outbox
from notifications.sms import wire

PHONE = "+8613800138000"
SHANGHAI = ZoneInfo("Asia/Shanghai")
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def beijing(text: str) -> datetime:
    """``11-22 10:00`` of 2026, Asia/Shanghai."""
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=SHANGHAI)


def first_due(paid_until: datetime, bought_at: datetime | None) -> datetime | None:
    """The first whole second at which the reminder is due, by bisection."""
    low, high = paid_until - 30 * DAY, paid_until - SECOND
    if due_reminder(paid_until, bought_at, high, ShopRules()) is None:
        return None
    while high - low > SECOND:
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if due_reminder(paid_until, bought_at, middle, ShopRules()):
            high = middle
        else:
            low = middle
    return high


@pytest.mark.parametrize(
    ("bought", "ends", "due", "sms"),
    [
        # E2: at least seven days left after the purchase, so 72 hours before the end
        ("11-01 10:00", "12-01 10:00", "11-28 10:00", "11-28 10:00"),
        ("11-22 10:00", "11-29 10:00", "11-26 10:00", "11-26 10:00"),
        ("11-22 10:00:00.700", "11-29 10:00", "11-26 10:00", "11-26 10:00"),
        (None, "11-29 10:00", "11-26 10:00", "11-26 10:00"),
        # E3: less than seven days left, so six hours before the end
        ("11-22 10:00:01", "11-29 10:00", "11-28 20:00", "11-28 20:00"),
        ("11-22 15:00", "11-23 15:00", "11-23 09:00", "11-23 09:00"),
        # E3: but not within an hour of the purchase
        ("11-22 13:30", "11-22 19:00", "11-22 14:30", "11-22 14:30"),
        ("11-22 13:30", "11-22 14:10", None, None),
        # E7: in the quiet hours the SMS goes at 20:00 the evening before
        ("11-22 10:00", "11-23 10:00", "11-22 20:00", "11-22 20:00"),
        ("11-01 22:00", "12-01 22:00", "11-28 20:00", "11-28 20:00"),
        ("11-01 07:59", "12-01 07:59", "11-27 20:00", "11-27 20:00"),
        ("11-01 03:00", "12-01 03:00", "11-27 20:00", "11-27 20:00"),
        # E7: the quiet hours begin at 22:00 and end before 08:00
        ("11-01 21:59", "12-01 21:59", "11-28 21:59", "11-28 21:59"),
        ("11-01 08:00", "12-01 08:00", "11-28 08:00", "11-28 08:00"),
        # E7: else 08:00 if before the end
        ("11-22 20:30", "11-23 08:30", "11-23 02:30", "11-23 08:00"),
        # E3 and E7: twenty o'clock is within an hour of the purchase
        ("11-22 19:30", "11-23 08:30", "11-23 02:30", "11-23 08:00"),
        ("11-22 19:00", "11-23 08:30", "11-22 20:00", "11-22 20:00"),
        # E7: else on the site only
        ("11-22 20:30", "11-23 08:00", "11-23 02:00", None),
        ("11-22 20:30", "11-23 05:00", "11-22 23:00", None),
    ],
)
def test_the_reminder_is_due_at_this_instant(
    bought: str | None, ends: str, due: str | None, sms: str | None
):
    paid_until = beijing(ends)
    bought_at = beijing(bought) if bought else None
    at = first_due(paid_until, bought_at)
    assert at == (beijing(due) if due else None)
    if at is not None:
        reminder = due_reminder(paid_until, bought_at, at, ShopRules())
        assert reminder == Reminder(beijing(sms) if sms else None)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("11-28 20:00", Reminder(beijing("11-28 20:00"))),  # ten hours late, E4
        ("11-28 23:00", Reminder(beijing("11-29 08:00"))),  # and not at night, E7
        ("11-30 22:30", Reminder(beijing("12-01 08:00"))),
        ("12-01 08:30", Reminder(beijing("12-01 08:30"))),
        ("12-01 09:00", None),  # it has ended
        ("12-02 09:00", None),
    ],
)
def test_a_late_run_still_reminds_but_never_after_the_end(
    now: str, expected: Reminder | None
):
    """E4"""
    paid_until, bought_at = beijing("12-01 09:00"), beijing("11-01 09:00")
    assert due_reminder(paid_until, bought_at, beijing(now), ShopRules()) == expected


@pytest.mark.parametrize(
    ("first", "last", "at", "expected"),
    [
        (22, 8, "11-22 21:59", None),
        (22, 8, "11-22 22:00", ("11-22 22:00", "11-23 08:00")),
        (22, 8, "11-23 07:59", ("11-22 22:00", "11-23 08:00")),
        (22, 8, "11-23 08:00", None),
        (0, 7, "11-23 00:00", ("11-23 00:00", "11-23 07:00")),
        (24, 7, "11-23 06:00", ("11-23 00:00", "11-23 07:00")),
        (12, 14, "11-23 13:00", ("11-23 12:00", "11-23 14:00")),
        (22, 22, "11-23 22:00", None),
    ],
)
def test_quiet_hours_are_hours_of_the_clock_in_beijing(
    first: int, last: int, at: str, expected: tuple[str, str] | None
):
    shop_rules = ShopRules(quiet_from_hour=first, quiet_until_hour=last)
    found = quiet_hours(beijing(at).astimezone(UTC), shop_rules)
    assert found == (expected and (beijing(expected[0]), beijing(expected[1])))


EPOCH = datetime(2026, 11, 1, tzinfo=UTC)


@given(
    bought=st.integers(0, 40 * 86_400),
    seconds=st.integers(1, 40 * 86_400),
    ticks=st.lists(st.integers(0, 80 * 86_400), min_size=1, max_size=12),
)
@settings(max_examples=300)
def test_whenever_the_job_runs_it_reminds_once_by_day_and_before_the_end(
    bought: int, seconds: int, ticks: list[int]
):
    """E3, E4, E5, E7 for any purchase and any runs of the job."""
    bought_at = EPOCH + bought * SECOND
    paid_until = bought_at + seconds * SECOND
    told: list[tuple[datetime, Reminder]] = []
    for tick in sorted(ticks):
        now = EPOCH + tick * SECOND
        if not told and (
            reminder := due_reminder(paid_until, bought_at, now, ShopRules())
        ):
            told.append((now, reminder))
    for now, reminder in told:
        assert bought_at + HOUR <= now < paid_until
        lead = 3 if seconds >= 7 * 86_400 else 0.25
        assert paid_until - now <= lead * DAY + 12 * HOUR
        if reminder.sms_at is not None:
            assert now <= reminder.sms_at < paid_until
            assert 8 <= reminder.sms_at.astimezone(SHANGHAI).hour < 22
    last_chance = [
        EPOCH + tick * SECOND
        for tick in ticks
        if max(paid_until - 6 * HOUR, bought_at + HOUR)
        <= EPOCH + tick * SECOND
        < paid_until
    ]
    assert bool(told) or not last_chance


# --- On the database ---------------------------------------------------------------

NOW = beijing("11-22 10:00").astimezone(UTC)


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that reached the provider; everything up to the HTTP call is real."""
    texts: list[str] = []

    def post(url: str, *, headers: Mapping[str, str], body: bytes = b"") -> wire.Answer:
        message = json.loads(body)
        assert message["to"] == PHONE
        texts.append(message["text"])
        return wire.answer(200, b'{"id": "box-1"}')

    monkeypatch.setattr(wire, "post", post)
    return texts


@pytest.fixture
def holder(shop: None) -> Member:
    return Member.objects.create_user(PHONE)


def give(member: Member, span: timedelta, *, now: datetime = NOW) -> Member:
    """So much time, bought now."""
    operator, _ = Member.objects.get_or_create(username="operator", is_staff=True)
    timeline.grant(
        member.pk,
        tier=Tier.objects.get(code="temporary"),
        seconds=int(span.total_seconds()),
        actor=operator,
        reason="test",
        now=now,
    )
    member.refresh_from_db()
    return member


def told() -> dict[str, str]:
    """The reminders by channel and state."""
    return dict(
        Notification.objects.filter(kind="expiring").values_list("channel", "state")
    )


@pytest.mark.django_db
def test_at_the_end_nothing_runs_without_any_job(holder: Member):
    """E1"""
    give(holder, 7 * DAY)
    assert standing(holder, at=NOW + 7 * DAY - SECOND).tier is not None
    assert standing(holder, at=NOW + 7 * DAY).tier is None


@pytest.mark.django_db
def test_it_reminds_three_days_before_the_end_on_the_site_and_by_sms(
    holder: Member, inbox: list[str], settings: Any
):
    """E2, S28: the link opens her way to renew, and holds nothing of hers."""
    settings.PUBLIC_URL = "https://shop.example"
    give(holder, 7 * DAY)
    assert reminders.schedule(now=NOW + 4 * DAY - SECOND) == 0
    assert reminders.schedule(now=NOW + 4 * DAY) == 1
    outbox.run_due(now=NOW + 4 * DAY)
    assert told() == {"site": "sent", "sms": "sent"}
    token = links.token(links.RENEW, holder.pk)
    assert inbox == [
        f"【卡盟】会员 11 月 29 日 10:00 到期。续费：https://shop.example/s/{token}/"
    ]
    assert links.read(token, links.RENEW) == holder.pk
    assert set(Notification.objects.values_list("key", flat=True)) == {
        f"expire:{holder.pk}:2026-11-29T02:00:00+00:00:{channel}"
        for channel in ("site", "sms")
    }


@pytest.mark.django_db
def test_a_short_plan_is_not_reminded_right_after_buying(holder: Member):
    """E3"""
    give(holder, DAY, now=NOW + 5 * HOUR)
    for hours in (5, 6, 12, 20):
        assert reminders.schedule(now=NOW + hours * HOUR) == 0
    assert reminders.schedule(now=NOW + 23 * HOUR) == 1


@pytest.mark.django_db
def test_it_makes_up_for_a_run_of_ten_hours_that_was_lost(holder: Member):
    """E4"""
    give(holder, 7 * DAY)
    assert reminders.schedule(now=NOW + 4 * DAY + 10 * HOUR) == 1


@pytest.mark.django_db
def test_it_does_not_remind_of_an_end_that_has_passed(holder: Member):
    """E4"""
    give(holder, 7 * DAY)
    assert reminders.schedule(now=NOW + 7 * DAY) == 0
    assert not Notification.objects.exists()


@pytest.mark.django_db
def test_it_never_reminds_twice_of_one_end(holder: Member, inbox: list[str]):
    """E5, K23"""
    give(holder, 7 * DAY)
    for minutes in range(0, 3 * 1440, 60):
        at = NOW + 4 * DAY + timedelta(minutes=minutes)
        reminders.schedule(now=at)
        outbox.run_due(now=at)
    assert len(inbox) == 1
    assert Notification.objects.filter(kind="expiring").count() == 2


@pytest.mark.django_db
def test_buying_more_drops_the_old_reminder_and_brings_a_new_one(
    holder: Member, inbox: list[str]
):
    """E6"""
    give(holder, 7 * DAY)
    assert reminders.schedule(now=NOW + 4 * DAY) == 1
    give(holder, 7 * DAY, now=NOW + 4 * DAY)
    outbox.run_due(now=NOW + 4 * DAY)
    assert told()["sms"] == "skipped"
    assert inbox == []
    assert reminders.schedule(now=NOW + 10 * DAY) == 0
    assert reminders.schedule(now=NOW + 11 * DAY) == 1
    outbox.run_due(now=NOW + 11 * DAY)
    assert "12 月 6 日 10:00" in inbox[0]


@pytest.mark.django_db
def test_a_night_reminder_goes_the_evening_before(holder: Member, inbox: list[str]):
    """E7"""
    give(holder, DAY)  # due at 04:00
    assert reminders.schedule(now=beijing("11-22 19:59")) == 0
    assert reminders.schedule(now=beijing("11-22 20:00")) == 1
    outbox.run_due(now=beijing("11-22 20:00"))
    assert len(inbox) == 1


@pytest.mark.django_db
def test_a_run_in_the_night_shows_it_on_the_site_and_texts_at_eight(
    holder: Member, inbox: list[str]
):
    """E4, E7"""
    give(holder, DAY)
    assert reminders.schedule(now=beijing("11-23 01:00")) == 1
    outbox.run_due(now=beijing("11-23 07:59"))
    assert told() == {"site": "sent", "sms": "queued"}
    outbox.run_due(now=beijing("11-23 08:00"))
    assert len(inbox) == 1


@pytest.mark.django_db
def test_an_sms_held_up_into_the_night_waits_for_the_morning(
    holder: Member, inbox: list[str]
):
    """E7: the worker stood still from the evening on."""
    give(holder, DAY)
    reminders.schedule(now=beijing("11-22 20:00"))
    for at in ("11-22 22:00", "11-23 03:00", "11-23 07:59"):
        outbox.run_due(now=beijing(at))
        assert inbox == []
    outbox.run_due(now=beijing("11-23 08:01"))
    assert len(inbox) == 1


@pytest.mark.django_db
def test_an_sms_held_up_over_the_end_is_dropped(holder: Member, inbox: list[str]):
    give(holder, 18 * HOUR, now=beijing("11-22 13:00"))  # ends at 07:00
    reminders.schedule(now=beijing("11-22 20:00"))
    outbox.run_due(now=beijing("11-22 23:00"))
    assert inbox == []
    assert told()["sms"] == "skipped"


@pytest.mark.django_db
def test_where_no_sms_may_go_the_site_alone_tells(holder: Member):
    """E7: bought at half past eight in the evening, over at five."""
    give(holder, 8.5 * HOUR, now=beijing("11-22 20:30"))
    assert reminders.schedule(now=beijing("11-22 23:00")) == 1
    assert told() == {"site": "sent"}
    assert reminders.schedule(now=beijing("11-22 23:01")) == 0


@pytest.mark.django_db
def test_a_paused_member_is_left_alone_until_the_clock_runs_again(holder: Member):
    """D19"""
    give(holder, 7 * DAY)
    timeline.pause(holder.pk, now=NOW + DAY)
    assert reminders.schedule(now=NOW + 5 * DAY) == 0
    timeline.resume(holder.pk, now=NOW + 6 * DAY)
    assert reminders.schedule(now=NOW + 9 * DAY - SECOND) == 0
    assert reminders.schedule(now=NOW + 9 * DAY) == 1


@pytest.mark.django_db
def test_a_pause_after_the_decision_drops_the_sms(holder: Member, inbox: list[str]):
    give(holder, 7 * DAY)
    reminders.schedule(now=NOW + 4 * DAY)
    timeline.pause(holder.pk, now=NOW + 4 * DAY)
    outbox.run_due(now=NOW + 4 * DAY)
    assert inbox == []


@pytest.mark.django_db
def test_someone_without_a_phone_is_told_on_the_site(holder: Member):
    Member.objects.filter(pk=holder.pk).update(phone=None)
    give(holder, 7 * DAY)
    reminders.schedule(now=NOW + 4 * DAY)
    assert told() == {"site": "sent"}


@pytest.mark.django_db
def test_the_operators_hours_count(holder: Member):
    ShopRules.objects.update(reminder_seconds=5 * 86_400)
    rules.forget()
    give(holder, 8 * DAY)
    assert reminders.schedule(now=NOW + 3 * DAY - SECOND) == 0
    assert reminders.schedule(now=NOW + 3 * DAY) == 1


@pytest.mark.django_db
def test_the_task_is_the_scan(holder: Member, monkeypatch: pytest.MonkeyPatch):
    give(holder, 7 * DAY)
    monkeypatch.setattr("django.utils.timezone.now", lambda: NOW + 4 * DAY)
    assert schedule_reminders_task() == 1


def crowd(count: int, paid_until: datetime, *, bought: timedelta) -> None:
    """Members with one entitlement each, made without the timeline's own work."""
    first = Member.objects.count()
    members = Member.objects.bulk_create(
        Member(phone=f"+86137{first + number:08}", password="!", paid_until=paid_until)
        for number in range(count)
    )
    tier, operator = Tier.objects.get(code="temporary"), Member.objects.first()
    Entitlement.objects.bulk_create(
        Entitlement(
            member=member,
            tier=tier,
            rank=tier.rank,
            discount_bp=tier.discount_bp,
            seconds=int(bought.total_seconds()),
            source="grant",
            actor=operator,
            created_at=paid_until - bought,
        )
        for member in members
    )


@pytest.mark.django_db
def test_many_who_are_not_due_hide_nobody_and_cost_nothing(
    holder: Member, monkeypatch: pytest.MonkeyPatch
):
    """Neither those told before nor the short plans of the day fill up the pages."""
    monkeypatch.setattr(reminders, "PAGE", 4)
    crowd(30, NOW + 2 * DAY, bought=6 * DAY)  # due tomorrow
    crowd(30, NOW + 30 * DAY, bought=30 * DAY)
    crowd(9, NOW + 2 * DAY, bought=30 * DAY)
    assert reminders.schedule(now=NOW, at_most=5) == 5
    assert reminders.schedule(now=NOW) == 4
    give(holder, 7 * DAY, now=NOW - 4 * DAY)
    with CaptureQueriesContext(
        connection,
    ) as statements:
        assert reminders.schedule(now=NOW) == 1
    assert len([s for s in statements if "SAVEPOINT" not in s["sql"]]) <= 4
    assert Notification.objects.filter(channel="site").count() == 10


@pytest.mark.django_db
def test_a_clock_gone_wrong_reminds_nobody(
    holder: Member, monkeypatch: pytest.MonkeyPatch
):
    """FLT-33: more than the operator expects at once, so nobody is told; those whose
    time has not come do not count."""
    monkeypatch.setattr(reminders, "PAGE", 4)
    ShopRules.objects.update(reminded_at_once=8)
    rules.forget()
    crowd(30, NOW + 2 * DAY - SECOND, bought=6 * DAY)  # due tomorrow, and nearer
    crowd(8, NOW + 2 * DAY, bought=30 * DAY)
    assert reminders.schedule(now=NOW) == 8
    crowd(9, NOW + 2 * DAY, bought=30 * DAY)
    with pytest.raises(clock.TooMuch, match="more than 8 reminders"):
        reminders.schedule(now=NOW)
    assert Notification.objects.filter(channel="site").count() == 8
    ShopRules.objects.update(reminded_at_once=9)
    rules.forget()
    assert reminders.schedule(now=NOW) == 9


@pytest.mark.django_db
def test_pages_are_walked_to_the_end_past_members_that_are_not_due(
    shop: None, monkeypatch: pytest.MonkeyPatch
):
    """In the evening some of the nearest ends are due later than others behind them."""
    monkeypatch.setattr(reminders, "PAGE", 3)
    evening = beijing("11-22 20:30")
    crowd(10, evening + 3 * DAY + HOUR, bought=30 * DAY)  # due at 21:30
    crowd(10, evening + 3 * DAY + 6 * HOUR, bought=30 * DAY)  # due at 02:30, so now
    assert reminders.schedule(now=evening) == 10
    assert reminders.schedule(now=evening + HOUR) == 10


@pytest.mark.django_db
def test_a_reminder_that_was_never_queued_is_known(holder: Member):
    """INV-16"""
    missed_after = timedelta(minutes=10)

    def missed(at: datetime) -> list[int]:
        return list(reminders.missed(now=at, by=missed_after))

    give(holder, 7 * DAY)
    due = NOW + 4 * DAY
    assert missed(due + missed_after - SECOND) == []
    assert missed(due + missed_after) == [holder.pk]
    reminders.schedule(now=due + missed_after)
    assert missed(due + missed_after) == []
    assert missed(NOW + 8 * DAY) == []


@pytest.mark.django_db(transaction=True)
def test_two_runs_at_once_remind_once(holder: Member):
    """FLT-9: several beats."""
    give(holder, 7 * DAY)
    crowd(20, NOW + 7 * DAY, bought=7 * DAY)

    def run(_: int) -> int:
        try:
            return reminders.schedule(now=NOW + 4 * DAY)
        finally:
            connection.close()

    with ThreadPoolExecutor(3) as threads:
        assert sum(threads.map(run, range(3))) >= 1
    reminders.schedule(now=NOW + 4 * DAY)  # what a busy moment left over
    assert Notification.objects.filter(channel="site").count() == 21
    assert Notification.objects.filter(channel="sms").count() == 21
    assert Outbox.objects.filter(kind="sms").count() == 21
