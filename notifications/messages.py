"""Messages to members: queued with their cause, delivered through the outbox.

A domain function calls ``queue`` in its own transaction. The row it writes is the log
of what the member was told; the outbox delivers it, re-checking first that it is still
true. An SMS is accepted by a provider at most twice (R22). One-time codes never pass
here: they are sent once, by ``sms.send_code``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce

from notifications import choices, outbox, sms, texts
from notifications.models import Notification, OptOut, PushSubscription
from notifications.sms import Result, SendResult

Channel = Notification.Channel
State = Notification.State

UNKNOWN_PAUSE = 1800
"""Seconds before an SMS that may have gone out is sent a second and last time: long
enough to outlive most outages of a provider."""
ALARM_PAUSE = 1800
"""Seconds before trying again what a person has to repair first."""
PUSH_DEVICE = "push-device"
"""Outbox kind of one push message on its way to one browser."""
PUSH_TRIES_FOR = timedelta(hours=2)


@dataclass(frozen=True, slots=True)
class Message:
    """One message to be told.

    key         makes a repeat harmless, e.g. ``activated:{order}:sms``
    params      raw values as ``notifications.texts`` describes them; never a phone
    due_at      not before; the caller has minded the quiet hours
    expires_at  not after; an SMS that could not go out until then is dropped
    optional    the member may have switched it off; asked when it is sent or shown
    """

    key: str
    member_id: int
    kind: str
    channel: Notification.Channel
    due_at: datetime
    params: Mapping[str, str | int | datetime] = field(default_factory=dict)
    expires_at: datetime | None = None
    optional: bool = False


class Timely(Protocol):
    def __call__(self, params: texts.Params, *, now: datetime) -> bool: ...


class StillTrue(Protocol):
    def __call__(
        self, member_id: int, params: texts.Params, *, now: datetime
    ) -> bool: ...


class PhoneOf(Protocol):
    def __call__(self, member_id: int, params: texts.Params) -> str | None: ...


_still_true: dict[str, StillTrue] = {}
_timely: dict[str, Timely] = {}
_phone_of: dict[str, PhoneOf] = {}

CAN_WAIT = ("expiring",)
"""Kinds that fall due in heaps; nobody waits for them with the telephone in her hand."""


def still_true[F: StillTrue](kind: str) -> Callable[[F], F]:
    """Register the check that messages of ``kind`` must pass when they are sent, and
    each time they are shown on the site.

    It says whether the message is still true, e.g. that the end it names is still the
    end (E6).
    """

    def register(check: F) -> F:
        _still_true[kind] = check
        return check

    return register


def timely[F: Timely](kind: str) -> Callable[[F], F]:
    """Register what an SMS of ``kind`` minds besides: the hour at which it goes out.

    False drops it; ``outbox.TryLater`` lets quiet hours pass. A push message waits like
    an SMS but is not dropped: at night it is all that is left (E7).
    """

    def register(check: F) -> F:
        _timely[kind] = check
        return check

    return register


def phone_of[F: PhoneOf](kind: str) -> Callable[[F], F]:
    """Register whom an SMS of ``kind`` goes to, where that is not the member's phone of
    today: the phone itself is kept by its owner and never in a message."""

    def register(find: F) -> F:
        _phone_of[kind] = find
        return find

    return register


def queue(*messages: Message, now: datetime) -> None:
    """Write messages and their outbox rows in the caller's transaction.

    At most two statements, however many messages; a repeated key is ignored (K23). A
    message on the site that is due is there at once and needs no worker.
    """
    for message in messages:
        if message.kind not in texts.KINDS + texts.SITE_KINDS:
            raise ValueError(f"no text for {message.kind!r}")
    rows = [_row(message, now) for message in messages]
    to_deliver = [
        outbox.Entry(
            key=f"notification:{message.key}",
            kind=message.channel,
            payload={"notification": message.key},
            due_at=message.due_at,
            can_wait=message.kind in CAN_WAIT,
        )
        for message in messages
        if not _is_there_at_once(message, now)
    ]
    with transaction.atomic(
        savepoint=False
    ):  # both or neither, also without a caller's
        Notification.objects.bulk_create(rows, ignore_conflicts=True)
        if to_deliver:
            outbox.add_all(to_deliver)


@dataclass(frozen=True, slots=True)
class Notice:
    """A message on the site, in the reader's language."""

    id: int
    kind: str
    title: str
    body: str
    created_at: datetime
    read: bool


def unread_for(member_id: int, *, now: datetime, limit: int = 10) -> list[Notice]:
    """What the popup and the bell show: unread and not out of date, newest first."""
    rows = _on_site(member_id, now).filter(read_at=None)
    return _shown(rows[:limit], now)


def history_for(member_id: int, *, now: datetime, limit: int = 50) -> list[Notice]:
    """Read and unread messages on the site, newest first."""
    return _shown(_on_site(member_id, now)[:limit], now)


def mark_read(member_id: int, *, now: datetime) -> int:
    return _on_site(member_id, now).filter(read_at=None).update(read_at=now)


def dismiss(notification_id: int, member_id: int, *, now: datetime) -> bool:
    """Close one message on the site; False when there is none of hers to close."""
    closed = Notification.objects.filter(
        pk=notification_id,
        member_id=member_id,
        channel=Channel.SITE,
        dismissed_at=None,
    ).update(dismissed_at=now, read_at=Coalesce("read_at", now))
    return closed == 1


def withdraw(member_id: int, kind: str, *, now: datetime) -> None:
    """Take messages of a kind off the site, because what they say is over."""
    Notification.objects.filter(
        member_id=member_id, kind=kind, channel=Channel.SITE, dismissed_at=None
    ).update(dismissed_at=now)


@outbox.handler(Channel.SITE)
def deliver_on_site(payload: outbox.Payload, *, now: datetime) -> None:
    """Show a message whose time has come, if it is still true."""
    message = Notification.objects.get(key=payload["notification"])
    if message.state == State.QUEUED:
        worth_it = is_worth_telling(message, now)
        Notification.objects.filter(pk=message.pk, state=State.QUEUED).update(
            state=State.SENT if worth_it else State.SKIPPED,
            sent_at=now if worth_it else None,
        )


def _fail(payload: outbox.Payload, reason: str) -> None:
    """Record that the outbox gave up; what may have gone out stays ``unknown``."""
    Notification.objects.filter(
        key=payload["notification"], state__in=(State.QUEUED, State.SENDING)
    ).update(state=State.FAILED, code=reason[:80])


@outbox.handler(Channel.SMS, on_dead=_fail)
def deliver_by_sms(payload: outbox.Payload, *, now: datetime) -> None:
    """Claim, send, record: a crash between any two steps leaves at most two sends.

    A message found in ``sending`` belonged to a worker that died (the outbox hands a
    row out twice only then), so it may have gone out and counts as sent once.
    """
    message = Notification.objects.select_related("member").get(
        key=payload["notification"]
    )
    if message.state in (State.SENT, State.SKIPPED):
        return
    if message.sends >= Notification.MAX_SENDS:
        Notification.objects.filter(pk=message.pk, state=State.SENDING).update(
            state=State.UNKNOWN
        )
        return
    phone = _phone(message)
    if not phone or not is_worth_telling(message, now):
        Notification.objects.filter(pk=message.pk, state=message.state).update(
            state=State.SKIPPED
        )
        return
    text = sms.compose(
        phone,
        message.kind,
        message.params,
        message_id=f"notification-{message.pk}",
        now=now,
    )
    if _claim(message):
        _record(message, sms.send(text, now=now), now)


@outbox.handler(Channel.PUSH, on_dead=_fail)
def deliver_by_push(payload: outbox.Payload, *, now: datetime) -> None:
    """Hand a message to each browser of hers, all in rows of their own."""
    message = Notification.objects.get(key=payload["notification"])
    if message.state != State.QUEUED:
        return
    worth_it = is_worth_telling(message, now)
    devices = PushSubscription.objects.filter(member_id=message.member_id)
    rows = [
        outbox.Entry(
            key=f"{PUSH_DEVICE}:{message.pk}:{device}",
            kind=PUSH_DEVICE,
            payload={
                "notification": message.key,
                "subscription": device,
                "until": (now + PUSH_TRIES_FOR).isoformat(),
            },
            due_at=message.due_at,
            can_wait=True,  # behind the SMS of the same hour
        )
        for device in devices.order_by("pk").values_list("pk", flat=True)
        if worth_it
    ]
    with transaction.atomic(durable=True):
        moved = Notification.objects.filter(pk=message.pk, state=State.QUEUED).update(
            state=State.SENDING if rows else State.SKIPPED, tries=F("tries") + 1
        )
        if moved and rows:
            outbox.add_all(rows)


def _claim(message: Notification) -> bool:
    """Count the send before it happens; 0 rows mean that somebody else is at it."""
    claimed = Notification.objects.filter(
        pk=message.pk,
        state=message.state,
        tries=message.tries,
        sends__lt=Notification.MAX_SENDS,
    ).update(state=State.SENDING, tries=F("tries") + 1, sends=F("sends") + 1)
    message.tries += claimed
    message.sends += claimed
    return claimed == 1


def _record(message: Notification, outcome: SendResult, now: datetime) -> None:
    """Write what became of a claimed message; raises ``TryLater`` where that helps."""
    if outcome.result is Result.SENT:
        _write(message, State.SENT, outcome, sent_at=now)
        return
    if outcome.result is Result.UNKNOWN:
        _write(message, State.UNKNOWN, outcome)
        if message.sends < Notification.MAX_SENDS:
            raise outbox.TryLater(UNKNOWN_PAUSE, outcome.code)
        return
    # The provider took nothing, so this call does not count as a send.
    message.sends -= 1
    if outcome.result is Result.BAD_NUMBER:
        _write(message, State.FAILED, outcome)
        return
    _write(message, State.UNKNOWN if message.sends else State.QUEUED, outcome)
    alarm = outcome.result is Result.OPERATOR_ALARM
    raise outbox.TryLater(ALARM_PAUSE if alarm else None, outcome.code)


def _write(
    message: Notification,
    state: Notification.State,
    outcome: SendResult,
    sent_at: datetime | None = None,
) -> None:
    Notification.objects.filter(
        pk=message.pk, state=State.SENDING, tries=message.tries
    ).update(
        state=state,
        sends=message.sends,
        provider=outcome.provider,
        provider_id=outcome.provider_id,
        code=outcome.code,
        sent_at=sent_at,
    )


def _phone(message: Notification) -> str | None:
    find = _phone_of.get(message.kind)
    if find is None:
        return message.member.phone
    return find(message.member_id, message.params)


def is_worth_telling(message: Notification, now: datetime) -> bool:
    """Whether it is wanted, still true and its hour has come. raises outbox.NotYet"""
    if message.optional and choices.is_off(
        message.member_id, message.kind, message.channel
    ):
        return False
    if message.expires_at and message.expires_at <= now:
        return False
    if not _is_still_true(message, now):
        return False
    push = message.channel == Channel.PUSH
    disturbs = push or message.channel == Channel.SMS
    fits = _timely.get(message.kind) if disturbs else None
    try:
        return fits is None or fits(message.params, now=now) or push
    except outbox.TryLater as wait:  # quiet hours: no trouble of the provider's
        raise outbox.NotYet(wait.after_seconds, wait.reason) from None


def _is_still_true(message: Notification, now: datetime) -> bool:
    check = _still_true.get(message.kind)
    return check is None or check(message.member_id, message.params, now=now)


def _is_there_at_once(message: Message, now: datetime) -> bool:
    return message.channel == Channel.SITE and message.due_at <= now


def _row(message: Message, now: datetime) -> Notification:
    at_once = _is_there_at_once(message, now)
    return Notification(
        key=message.key,
        member_id=message.member_id,
        kind=message.kind,
        channel=message.channel,
        params=_storable(message.params),
        state=State.SENT if at_once else State.QUEUED,
        optional=message.optional,
        due_at=message.due_at,
        expires_at=message.expires_at,
        created_at=now,
        sent_at=now if at_once else None,
    )


def _storable(params: Mapping[str, str | int | datetime]) -> dict[str, str | int]:
    return {
        name: value.astimezone(UTC).isoformat()
        if isinstance(value, datetime)
        else value
        for name, value in params.items()
    }


def _on_site(member_id: int, now: datetime) -> QuerySet[Notification]:
    """Without what she has switched off: on the site, showing it is sending it."""
    unwanted = OptOut.objects.filter(
        member=OuterRef("member"), kind=OuterRef("kind"), channel=Channel.SITE
    )
    return Notification.objects.filter(
        Q(expires_at=None) | Q(expires_at__gt=now),
        Q(optional=False) | ~Exists(unwanted),
        member_id=member_id,
        channel=Channel.SITE,
        state=State.SENT,
        dismissed_at=None,
    ).order_by("-due_at", "-id")


def _shown(rows: Iterable[Notification], now: datetime) -> list[Notice]:
    """Without those that time has overtaken: after a renewal the old end is wrong."""
    return [_notice(row, now) for row in rows if _is_still_true(row, now)]


def _notice(row: Notification, now: datetime) -> Notice:
    title, body = texts.site(row.kind, row.params, now=now)
    return Notice(
        row.pk, row.kind, title, body, row.created_at, read=row.read_at is not None
    )
