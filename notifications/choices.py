"""What a member does not want to be told: one row for each kind and channel.

Only messages that were queued as ``optional`` ask here, at the moment they are sent or
shown. Everything else is owed to her, by contract or by law, and always goes out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db import transaction

from notifications.models import Notification, OptOut

Channel = Notification.Channel

OPTIONAL: Mapping[str, tuple[Notification.Channel, ...]] = {
    "expiring": (Channel.SMS, Channel.SITE),
    "delivered": (Channel.SMS,),
}
"""What can be switched off, and where."""

type Choice = tuple[str, str]
"""Kind and channel."""


def all_choices() -> list[Choice]:
    return [
        (kind, channel.value)
        for kind, channels in OPTIONAL.items()
        for channel in channels
    ]


def is_off(member_id: int, kind: str, channel: str) -> bool:
    return OptOut.objects.filter(
        member_id=member_id, kind=kind, channel=channel
    ).exists()


def switched_off(member_id: int) -> set[Choice]:
    rows = OptOut.objects.filter(member_id=member_id)
    return set(rows.values_list("kind", "channel"))


@transaction.atomic(durable=True)
def choose(member_id: int, wanted: Iterable[Choice], *, now: datetime) -> None:
    """Keep what she wants from now on; of the rest one row each says that she does not."""
    wanted = set(wanted)
    for kind, channel in all_choices():
        if (kind, channel) in wanted:
            OptOut.objects.filter(
                member_id=member_id, kind=kind, channel=channel
            ).delete()
    OptOut.objects.bulk_create(
        [
            OptOut(member_id=member_id, kind=kind, channel=channel, created_at=now)
            for kind, channel in all_choices()
            if (kind, channel) not in wanted
        ],
        ignore_conflicts=True,
    )


def move(source_id: int, target_id: int) -> None:
    """Two accounts become one: what either has switched off stays off. In the
    transaction of the caller."""
    theirs = OptOut.objects.filter(member_id=source_id)
    OptOut.objects.bulk_create(
        [
            OptOut(
                member_id=target_id,
                kind=one.kind,
                channel=one.channel,
                created_at=one.created_at,
            )
            for one in theirs
        ],
        ignore_conflicts=True,
    )
    theirs.delete()
