"""Messages from the row that commits with their cause to what the phone got."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from members.models import Member
from notifications import messages, outbox, sms, texts
from notifications.messages import Channel, Message
from notifications.models import Notification, Outbox

from .conftest import PHONE, FrontDoor

pytestmark = pytest.mark.django_db

MINUTES = timedelta(minutes=1)
YES = (200, '{"id": "box-1"}')
DOWN = (503, '{"error": "DOWN"}')
SILENCE = None


def tell(member: Member, now: datetime, **changes: Any) -> None:
    message: dict[str, Any] = {
        "key": "activated:1:sms",
        "member_id": member.pk,
        "kind": "activated",
        "channel": Channel.SMS,
        "params": {"plan": "临时会员", "end": now + 7 * 1440 * MINUTES, "link": "abc"},
        "due_at": now,
    }
    messages.queue(Message(**(message | changes)), now=now)


def told() -> Notification:
    return Notification.objects.get()


def entry() -> Outbox:
    return Outbox.objects.get()


def run_until_idle(now: datetime, hours: int = 24) -> list[int]:
    """Let the scheduler pass; the minutes at which it had something to do."""
    minutes = []
    end = now + hours * 60 * MINUTES
    at = now
    while (row := Outbox.objects.filter(state="new").first()) and row.due_at <= end:
        at = max(at, row.due_at)
        minutes.append(round((at - now) / MINUTES))
        outbox.run_due(now=at)
    return minutes


def test_an_sms_goes_out_once_and_is_recorded(
    member: Member, inbox: FrontDoor, now: datetime
):
    """H3: found by the tick alone; nobody was woken."""
    tell(member, now)
    assert run_until_idle(now) == [0]
    [call] = inbox.received
    assert call.json["to"] == PHONE
    assert call.json["kind"] == "activated"
    assert "到 11 月 29 日 10:00" in call.json["text"]
    assert call.json["id"] == f"notification-{told().pk}"
    assert (told().state, told().tries, told().sends) == ("sent", 1, 1)
    assert (told().provider, told().provider_id) == ("sandbox", "box-1")
    assert told().sent_at is not None
    assert entry().state == "done"


def test_a_repeated_cause_tells_once(member: Member, inbox: FrontDoor, now: datetime):
    """K23, E5, B7"""
    tell(member, now)
    run_until_idle(now)
    tell(member, now + MINUTES)
    run_until_idle(now + MINUTES)
    assert len(inbox.received) == 1


def test_the_database_refuses_a_second_message_of_a_key(member: Member, now: datetime):
    """K23"""
    tell(member, now)
    row = told()
    row.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save(force_insert=True)


@pytest.mark.parametrize(
    "wrong", [{"sends": 3, "tries": 3}, {"sends": 1}, {"state": "lost"}]
)
def test_the_database_refuses_a_third_send_and_an_unknown_state(
    member: Member, now: datetime, wrong: dict[str, Any]
):
    """R22"""
    tell(member, now)
    with pytest.raises(IntegrityError), transaction.atomic():
        Notification.objects.update(**wrong)


def test_popup_and_sms_cost_two_statements(
    member: Member, now: datetime, django_assert_num_queries: Any
):
    params: dict[str, Any] = {"plan": "临时会员", "end": now}
    with transaction.atomic(), django_assert_num_queries(2):
        messages.queue(
            *(
                Message(f"a:{channel}", member.pk, "activated", channel, now, params)
                for channel in (Channel.SITE, Channel.SMS)
            ),
            now=now,
        )


def test_an_unknown_kind_is_refused_when_it_is_queued(member: Member, now: datetime):
    with pytest.raises(ValueError, match="birthday"):
        tell(member, now, kind="birthday")
    with pytest.raises(ValueError, match="code"):
        tell(member, now, kind="code")


def test_a_provider_that_is_down_is_tried_after_1_5_and_30_minutes(
    member: Member, inbox: FrontDoor, now: datetime
):
    """H9, FLT-29: delivered after its return."""
    inbox.answers = [DOWN, DOWN, DOWN, YES]
    tell(member, now)
    assert run_until_idle(now) == [0, 1, 6, 36]
    assert len(inbox.received) == 4
    assert (told().state, told().tries, told().sends) == ("sent", 4, 1)


def test_nobody_listening_counts_as_down(
    member: Member, settings: Any, nowhere: str, now: datetime
):
    """H9"""
    settings.SMS_SANDBOX_URL = nowhere
    tell(member, now)
    outbox.run_due(now=now)
    assert (told().state, told().tries, told().sends) == ("queued", 1, 0)
    assert entry().state == "new"


def test_a_provider_that_stays_down_ends_as_failed_and_can_be_replayed(
    member: Member, inbox: FrontDoor, now: datetime
):
    """H9, H14"""
    inbox.answers = [DOWN]
    tell(member, now)
    assert run_until_idle(now) == [0, 1, 6, 36, 66, 96, 126, 156]
    assert (told().state, told().tries, told().sends) == ("failed", 8, 0)
    assert entry().state == "dead"
    inbox.answers = [YES]
    assert outbox.replay([entry().pk], now=now) == 1
    run_until_idle(now)
    assert (told().state, told().sends) == ("sent", 1)


def test_an_unclear_answer_is_repeated_once_and_not_at_once(
    member: Member, inbox: FrontDoor, now: datetime
):
    """R22, FLT-30: at most two that may have been accepted, under one id."""
    inbox.answers = [SILENCE]
    tell(member, now)
    assert run_until_idle(now) == [0, 30]
    first, second = inbox.received
    assert first.json["id"] == second.json["id"]
    assert (told().state, told().tries, told().sends) == ("unknown", 2, 2)
    assert entry().state == "done"


def test_an_unclear_answer_may_be_followed_by_a_clear_one(
    member: Member, inbox: FrontDoor, now: datetime
):
    inbox.answers = [SILENCE, DOWN, YES]
    tell(member, now)
    run_until_idle(now)
    assert (told().state, told().tries, told().sends) == ("sent", 3, 2)


def test_two_unclear_answers_are_the_end_whatever_lies_between(
    member: Member, inbox: FrontDoor, now: datetime
):
    """R22"""
    inbox.answers = [DOWN, SILENCE, DOWN, SILENCE]
    tell(member, now)
    run_until_idle(now)
    assert len(inbox.received) == 4
    assert (told().state, told().sends) == ("unknown", 2)
    run_until_idle(now + 2 * 1440 * MINUTES)
    assert len(inbox.received) == 4


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it runs, nothing catches it."""


@pytest.fixture
def kill_on_send(monkeypatch: Any) -> list[bool]:
    """While the list is not empty, the worker dies in ``sms.send``: before the call
    when the next element is False, after it when it is True."""
    plan: list[bool] = []
    send = sms.send

    def send_or_die(message: Any, *, now: datetime) -> Any:
        if not plan:
            return send(message, now=now)
        if plan.pop(0):
            send(message, now=now)
        raise Killed

    monkeypatch.setattr(sms, "send", send_or_die)
    return plan


@pytest.mark.parametrize("after_the_call", [False, True])
def test_a_worker_killed_while_sending_is_replaced_after_five_minutes(
    member: Member,
    inbox: FrontDoor,
    now: datetime,
    kill_on_send: list[bool],
    after_the_call: bool,
):
    """H4, FLT-6: at least one send, at most two, under one id."""
    kill_on_send.append(after_the_call)
    tell(member, now)
    with pytest.raises(Killed):
        outbox.run_due(now=now)
    assert (told().state, told().sends, entry().state) == ("sending", 1, "claimed")
    assert outbox.run_due(now=now + 4 * MINUTES) == 0
    assert outbox.run_due(now=now + 6 * MINUTES) == 1
    assert (told().state, told().sends, entry().state) == ("sent", 2, "done")
    assert len(inbox.received) == (2 if after_the_call else 1)
    assert len({call.json["id"] for call in inbox.received}) == 1


def test_a_worker_killed_twice_sends_no_third_time(
    member: Member, inbox: FrontDoor, now: datetime, kill_on_send: list[bool]
):
    """H4, R22"""
    kill_on_send.extend([True, True])
    tell(member, now)
    for minute in (0, 6):
        with pytest.raises(Killed):
            outbox.run_due(now=now + minute * MINUTES)
    outbox.run_due(now=now + 12 * MINUTES)
    assert len(inbox.received) == 2
    assert (told().state, told().sends, entry().state) == ("unknown", 2, "done")


def test_a_message_claimed_by_somebody_else_is_left_alone(
    member: Member, inbox: FrontDoor, now: datetime
):
    tell(member, now)
    mine = told()
    assert messages._claim(told())
    assert not messages._claim(mine)


def test_a_bad_number_fails_at_once(
    member: Member, inbox: FrontDoor, now: datetime, caplog: Any
):
    """FLT-31: permanent, so no retry and no alarm."""
    inbox.answers = [(422, "{}")]
    tell(member, now)
    assert run_until_idle(now) == [0]
    assert (told().state, told().sends, entry().state) == ("failed", 0, "done")
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


def test_what_a_person_must_repair_alarms_and_waits_half_an_hour(
    member: Member, inbox: FrontDoor, now: datetime, caplog: Any
):
    """FLT-31: balance, template, keys: alarm, no hot retry."""
    inbox.answers = [(403, '{"error": "NO_MONEY"}'), YES]
    tell(member, now)
    assert run_until_idle(now) == [0, 30]
    assert [r.name for r in caplog.records if r.levelname == "ERROR"] == [
        "notifications.sms"
    ]
    assert told().state == "sent"


def test_an_expired_message_is_dropped(member: Member, inbox: FrontDoor, now: datetime):
    """E4, FLT-29: not expired ones."""
    inbox.answers = [DOWN]
    tell(member, now, expires_at=now + 10 * MINUTES)
    run_until_idle(now)
    assert len(inbox.received) == 3
    assert (told().state, entry().state) == ("skipped", "done")


def test_a_member_without_a_phone_is_skipped(
    member: Member, inbox: FrontDoor, now: datetime
):
    """Her data may have been erased since."""
    tell(member, now)
    Member.objects.update(phone=None)
    run_until_idle(now)
    assert (told().state, inbox.received) == ("skipped", [])


def test_it_sends_to_the_phone_she_has_when_it_is_sent(
    member: Member, inbox: FrontDoor, now: datetime
):
    tell(member, now)
    Member.objects.update(phone="+8613900139000")
    run_until_idle(now)
    assert inbox.received[0].json["to"] == "+8613900139000"


@pytest.fixture
def end_still_stands(monkeypatch: Any) -> None:
    monkeypatch.setattr(messages, "_still_true", {})
    monkeypatch.setattr(messages, "_timely", {})

    @messages.still_true("expiring")
    def same_end(member_id: int, params: texts.Params, *, now: datetime) -> bool:
        end = datetime.fromisoformat(str(params["end"]))
        return Member.objects.filter(pk=member_id, paid_until=end).exists()


@pytest.mark.usefixtures("end_still_stands")
@pytest.mark.parametrize("channel", [Channel.SMS, Channel.SITE])
def test_a_reminder_is_dropped_when_the_end_has_moved(
    member: Member, inbox: FrontDoor, now: datetime, channel: Channel
):
    """E6"""
    end = now + 3 * 1440 * MINUTES
    Member.objects.update(paid_until=end)
    reminder = {"kind": "expiring", "params": {"end": end}, "channel": channel}
    tell(member, now, **reminder, key="old", due_at=now + MINUTES)
    Member.objects.update(paid_until=end + 7 * 1440 * MINUTES)
    run_until_idle(now)
    assert told().state == "skipped"
    Member.objects.update(paid_until=end)
    tell(member, now, **reminder, key="new", due_at=now + MINUTES)
    run_until_idle(now)
    assert Notification.objects.get(key="new").state == "sent"


def test_a_check_may_let_quiet_hours_pass(
    member: Member, inbox: FrontDoor, now: datetime, monkeypatch: Any
):
    """E7: a retry that would fall into the night waits for the morning."""
    morning = now + 600 * MINUTES
    monkeypatch.setattr(messages, "_still_true", {})
    monkeypatch.setattr(messages, "_timely", {})

    @messages.timely("expiring")
    def by_day(params: texts.Params, *, now: datetime) -> bool:
        if now < morning:
            raise outbox.TryLater((morning - now).seconds + 1, "quiet hours")
        return True

    tell(member, now, kind="expiring")
    assert run_until_idle(now) == [0, 600]
    assert (told().state, told().tries) == ("sent", 1)


def test_a_site_message_is_there_at_once_without_a_worker(
    member: Member, now: datetime
):
    """S15"""
    tell(member, now, channel=Channel.SITE)
    [notice] = messages.unread_for(member.pk, now=now)
    assert notice.title == "恭喜您成为临时会员，专属折扣已开启"
    assert notice.body == "11 月 29 日 10:00 到期"
    assert not notice.read
    assert not Outbox.objects.exists()


def test_a_site_message_waits_for_its_time(member: Member, now: datetime):
    tell(member, now, channel=Channel.SITE, due_at=now + MINUTES)
    assert messages.unread_for(member.pk, now=now) == []
    outbox.run_due(now=now + MINUTES)
    assert len(messages.unread_for(member.pk, now=now + MINUTES)) == 1


def test_a_site_message_goes_when_it_is_out_of_date(member: Member, now: datetime):
    tell(member, now, channel=Channel.SITE, expires_at=now + MINUTES)
    assert messages.unread_for(member.pk, now=now)
    assert messages.unread_for(member.pk, now=now + MINUTES) == []


@pytest.mark.usefixtures("end_still_stands")
def test_a_reminder_on_the_site_goes_when_the_end_has_moved(
    member: Member, now: datetime
):
    """E6: what was shown before the renewal would name the old end."""
    end = now + 3 * 1440 * MINUTES
    Member.objects.update(paid_until=end)
    tell(member, now, kind="expiring", params={"end": end}, channel=Channel.SITE)
    assert len(messages.unread_for(member.pk, now=now)) == 1
    Member.objects.update(paid_until=end + 7 * 1440 * MINUTES)
    assert messages.unread_for(member.pk, now=now) == []
    assert messages.history_for(member.pk, now=now) == []


def test_a_heap_of_reminders_lets_an_activation_go_first(
    member: Member, inbox: FrontDoor, now: datetime
):
    """S16: she has just paid and looks at her telephone; they were due before her."""
    Member.objects.update(paid_until=now + 1440 * MINUTES)
    for number in range(3):
        tell(
            member,
            now,
            kind="expiring",
            key=f"reminder-{number}",
            params={"end": now + 1440 * MINUTES},
            due_at=now - 5 * MINUTES,
        )
    tell(member, now, key="activated", due_at=now)
    outbox.run_due(now=now, limit=1)
    assert Notification.objects.get(state="sent").key == "activated"
    outbox.run_due(now=now)
    assert Notification.objects.filter(state="sent").count() == 4


def test_dismissing_closes_her_own_message_once(member: Member, now: datetime):
    tell(member, now, channel=Channel.SITE)
    other = Member.objects.create_user("+8613900139000")
    assert not messages.dismiss(told().pk, other.pk, now=now)
    assert len(messages.unread_for(member.pk, now=now)) == 1
    assert messages.unread_for(other.pk, now=now) == []
    assert messages.dismiss(told().pk, member.pk, now=now)
    assert not messages.dismiss(told().pk, member.pk, now=now + MINUTES)
    assert messages.unread_for(member.pk, now=now) == []
    assert (told().read_at, told().dismissed_at) == (now, now)


def test_reading_keeps_the_message_in_the_history(member: Member, now: datetime):
    tell(member, now, channel=Channel.SITE)
    assert messages.mark_read(member.pk, now=now) == 1
    assert messages.unread_for(member.pk, now=now) == []
    assert [notice.read for notice in messages.history_for(member.pk, now=now)] == [
        True
    ]


def test_neither_log_nor_table_has_the_phone(
    member: Member, inbox: FrontDoor, now: datetime, caplog: Any
):
    """security 74, INV-14"""
    caplog.set_level(logging.DEBUG)
    inbox.answers = [DOWN, SILENCE, (403, "{}"), YES]
    tell(member, now)
    run_until_idle(now)
    assert len(inbox.received) == 4
    rows = [*Notification.objects.values(), *Outbox.objects.values()]
    for place in (caplog.text, str(rows)):
        assert "13800138000" not in place
