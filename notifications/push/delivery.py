"""A push message on its way: one outbox row a browser, so that none waits for another.

A browser that its push service no longer knows is forgotten (404, 410). Where the
service cannot be reached the row tries again for two hours and then ends quietly: in
many places it never can, and the SMS goes by itself (security F32).
"""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta
from enum import StrEnum

from django.conf import settings
from django.db.models import F
from django.db.models.functions import Coalesce

from notifications import messages, outbox, texts
from notifications.models import Notification, PushSubscription
from notifications.push import endpoints, wire

logger = logging.getLogger(__name__)

State = Notification.State

TTL_SECONDS = 86_400
"""A browser that was off for longer learns nothing new from it."""
LONGEST_WAIT = 3600
"""Seconds that we let a push service keep us waiting."""
NAME = "web-push"


class Result(StrEnum):
    DELIVERED = "delivered"  # to the push service; nobody knows whether it was seen
    GONE = "gone"  # the browser has taken its agreement back
    LATER = "later"
    OPERATOR_ALARM = "operator-alarm"  # our key or subject is not accepted
    REFUSED = "refused"  # this message will never be taken


def meaning(status: int) -> Result:
    match status:
        case 200 | 201 | 202:
            return Result.DELIVERED
        case 404 | 410:
            return Result.GONE
        case 401 | 403:
            return Result.OPERATOR_ALARM
        case status if status == 429 or status >= 500:
            return Result.LATER
    return Result.REFUSED  # 400, 413, and 3xx, for we follow nobody


@outbox.handler(messages.PUSH_DEVICE)
def deliver_to_browser(payload: outbox.Payload, *, now: datetime) -> None:
    """Send one message to one browser; a repeat replaces the first one on its screen."""
    message = Notification.objects.get(key=payload["notification"])
    device = PushSubscription.objects.filter(
        pk=payload["subscription"], member_id=message.member_id
    ).first()
    if device is None:
        _did_not_arrive(message, "gone")
        return
    if now >= datetime.fromisoformat(payload["until"]):
        _did_not_arrive(message, "no answer")
        return
    if not messages.is_worth_telling(message, now):
        _did_not_arrive(message, "overtaken")
        return
    try:
        answer = _send(message, device, now)
    except (wire.NoAnswer, endpoints.Refused) as error:
        _count_failure(device)
        raise outbox.TryLater(None, f"push: {error}") from None
    _record(message, device, answer, now)


def _record(
    message: Notification, device: PushSubscription, answer: wire.Answer, now: datetime
) -> None:
    code = f"HTTP {answer.status}"
    result = meaning(answer.status)
    mine = PushSubscription.objects.filter(pk=device.pk)
    if result is Result.DELIVERED:
        mine.update(last_success_at=now, failures=0)
        Notification.objects.filter(pk=message.pk).update(
            state=State.SENT,
            sends=1,
            sent_at=Coalesce("sent_at", now),
            provider=NAME,
            code=code,
        )
        return
    if result is Result.GONE:
        mine.delete()
        _did_not_arrive(message, code)
        return
    _count_failure(device)
    if result is Result.REFUSED:
        _did_not_arrive(message, code)
        raise outbox.GiveUp(f"push: {code}")
    if result is Result.OPERATOR_ALARM:
        logger.error("the push service does not accept VAPID_PRIVATE_KEY: %s", code)
        raise outbox.TryLater(messages.ALARM_PAUSE, f"push: {code}")
    wait = answer.retry_after
    raise outbox.TryLater(
        None if wait is None else min(max(wait, 1), LONGEST_WAIT), f"push: {code}"
    )


def _send(
    message: Notification, device: PushSubscription, now: datetime
) -> wire.Answer:
    from notifications.push import seal

    told = texts.push(message.kind, message.params, now=now)
    text = json.dumps({**told, "tag": message.kind}, ensure_ascii=False)
    key = seal.vapid_key(settings.VAPID_PRIVATE_KEY)
    headers = {
        "Authorization": seal.authorization(
            device.endpoint, key=key, subject=settings.VAPID_SUBJECT, now=now
        ),
        "Content-Encoding": "aes128gcm",
        "Content-Type": "application/octet-stream",
        "TTL": str(_seconds_left(message, now)),
        "Topic": message.kind,  # a newer one replaces what has not been delivered
        "Urgency": "normal",
    }
    body = seal.sealed(text.encode(), device.p256dh, device.auth)
    return wire.post(device.endpoint, headers=headers, body=body)


def _seconds_left(message: Notification, now: datetime) -> int:
    """Never longer than what it says is true."""
    if message.expires_at is None:
        return TTL_SECONDS
    left = message.expires_at - now
    return max(0, min(TTL_SECONDS, left // timedelta(seconds=1)))


def _count_failure(device: PushSubscription) -> None:
    few = PushSubscription.objects.filter(pk=device.pk, failures__lt=30_000)
    few.update(failures=F("failures") + 1)


def _did_not_arrive(message: Notification, code: str) -> None:
    """Unless another browser of hers has shown it."""
    Notification.objects.filter(pk=message.pk, state=State.SENDING).update(
        state=State.FAILED, provider=NAME, code=code[:80]
    )
