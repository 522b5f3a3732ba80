"""What a member is told when the ways into her account change (security 30).

Nobody can switch these off. Each is written in the transaction of the change itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from members.models import FormerPhone, Identity, Member, Passkey
from notifications import messages, texts
from notifications.messages import Channel, Message

PHONE_CHANGED = "phone_changed"
PHONE_LEFT = "phone_left"
PASSKEY_COPIED = "passkey_copied"
ADDED, REMOVED = "way_added", "way_removed"
LATE = timedelta(days=1)
"""An SMS that could not go out until then says nothing new."""
KEPT = timedelta(days=7)
"""A former number is forgotten after this long."""


def way_added(member: Member, way: Identity | Passkey, *, now: datetime) -> None:
    _tell_of(ADDED, member, way, now=now)


def way_removed(member: Member, way: Identity | Passkey, *, now: datetime) -> None:
    """Before the row goes, which gives the notice its number."""
    _tell_of(REMOVED, member, way, now=now)


def phone_changed(member: Member, former: str | None, *, now: datetime) -> None:
    """To the old number, which opens nothing any more; a first number is a way more."""
    if former is None:
        key = f"{ADDED}:phone:{member.pk}:{int(now.timestamp())}"
        _tell(ADDED, member, key, {"way": "phone"}, now=now)
        return
    left = FormerPhone.objects.create(member=member, phone=former, left_at=now)
    key = f"{PHONE_CHANGED}:{left.pk}"
    _tell(PHONE_CHANGED, member, key, {"former": left.pk}, now=now)


def phone_left(member: Member, *, now: datetime) -> None:
    """For her own eyes alone: the number is in another hand (security 21)."""
    key = f"{PHONE_LEFT}:{member.pk}:{int(now.timestamp())}"
    _tell(PHONE_LEFT, member, key, {}, channels=(Channel.SITE,), now=now)


def passkey_copied(member: Member, passkey: Passkey, *, now: datetime) -> None:
    """For her own eyes, once a day at most: its counter went back (security 29)."""
    key = f"{PASSKEY_COPIED}:{passkey.pk}:{now.date()}"
    _tell(PASSKEY_COPIED, member, key, {}, channels=(Channel.SITE,), now=now)


@messages.phone_of(PHONE_CHANGED)
def former_phone(member_id: int, params: texts.Params) -> str | None:
    """The number that the member has left."""
    left = FormerPhone.objects.filter(pk=params["former"], member=member_id)
    return left.values_list("phone", flat=True).first()


def forget_former_phones(*, now: datetime) -> int:
    return FormerPhone.objects.filter(left_at__lt=now - KEPT).delete()[0]


def _tell_of(
    kind: str, member: Member, way: Identity | Passkey, *, now: datetime
) -> None:
    code = way.provider if isinstance(way, Identity) else "passkey"
    _tell(kind, member, f"{kind}:{code}:{way.pk}", {"way": code}, now=now)


def _tell(
    kind: str,
    member: Member,
    key: str,
    params: Mapping[str, str | int | datetime],
    *,
    channels: tuple[Channel, ...] = (Channel.SITE, Channel.SMS),
    now: datetime,
) -> None:
    if member.is_staff:  # the console has a log of its own
        return
    if member.phone is None:
        channels = (Channel.SITE,)
    messages.queue(
        *(
            Message(
                key=f"{key}:{channel.value}",
                member_id=member.pk,
                kind=kind,
                channel=channel,
                params=params,
                due_at=now,
                expires_at=now + LATE if channel == Channel.SMS else None,
            )
            for channel in channels
        ),
        now=now,
    )
