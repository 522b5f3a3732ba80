"""The browsers of a member that show her reminders."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction

from notifications import push
from notifications.models import PushSubscription
from notifications.push import endpoints

AT_MOST = 10
"""Browsers a member. One more takes the place of the oldest: it is the browser that she
sits at, and nobody keeps a list of her old ones."""

SESSION = "push"
"""Where a session keeps which browser it is, to forget it with the session."""


def digest(endpoint: str) -> str:
    return hashlib.sha256(endpoint.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Offer:
    """known  digests of her browsers, so that the script knows this one again"""

    key: str
    known: list[str]


@transaction.atomic(durable=True)
def save(
    member_id: int, endpoint: str, p256dh: str, auth: str, *, now: datetime
) -> PushSubscription:
    """Keep a browser; a repeat renews its keys, and whoever sits at it now owns it.

    Locks the member, so that two browsers at once cannot exceed the limit.

    raises  endpoints.Refused, seal.BadKey
    """
    from notifications.push import seal

    endpoints.accept(endpoint)
    seal.browser_keys(p256dh, auth)
    plain = {
        "p256dh": seal.to_text(seal.to_bytes(p256dh)),
        "auth": seal.to_text(seal.to_bytes(auth)),
    }
    get_user_model().objects.select_for_update().get(pk=member_id)
    saved, _ = PushSubscription.objects.update_or_create(
        digest=digest(endpoint),
        defaults={
            "member_id": member_id,
            "endpoint": endpoint,
            **plain,
            "created_at": now,
            "failures": 0,
        },
    )
    hers = PushSubscription.objects.filter(member_id=member_id)
    newest = hers.order_by("-created_at", "-pk").values_list("pk", flat=True)
    hers.exclude(pk__in=list(newest[:AT_MOST])).delete()
    return saved


def drop(member_id: int, endpoint: str) -> bool:
    """Forget one browser of hers; False when it was not hers or not known."""
    found = PushSubscription.objects.filter(
        member_id=member_id, digest=digest(endpoint)
    )
    return found.delete()[0] > 0


def drop_with_session(session: Mapping[str, Any]) -> None:
    """Whoever sits at this browser next is not to read her reminders."""
    if known := session.get(SESSION):
        PushSubscription.objects.filter(digest=known).delete()


def offer(member_id: int) -> Offer | None:
    """What the switch on a page needs; None while push is off."""
    if not push.is_on():
        return None
    hers = PushSubscription.objects.filter(member_id=member_id)
    known = list(hers.order_by("pk").values_list("digest", flat=True))
    return Offer(push.public_key(), known)
