"""Numbers that carriers hand out again (security 21).

A phone that nobody has proved for half a year may be in another hand. Then a code alone
does not open its account: something that only its holder has must come with it, a
passkey, WeChat or QQ. Where there is no such thing, or she does not have it, the number
begins a fresh account. The old one keeps its rights without a phone, and support can join
the two.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.utils.translation import gettext as _

from members import security_notices
from members.digests import digest
from members.models import Member
from members.timeline import lock_member

UNUSED = timedelta(days=180)


def is_unused(member: Member, *, now: datetime) -> bool:
    """Whether so much time has passed that the number may have changed hands.

    Closed accounts and staff are refused anyway; their number stays where it is.
    """
    if not member.is_active or member.is_staff:
        return False
    known = (member.phone_proved_at, member.created_at)
    if member.phone_proved_at is None:  # from before this was written down
        known = (member.last_login, member.created_at)
    return now - max(at for at in known if at is not None) >= UNUSED


def has_another_way(member: Member) -> bool:
    """Whether she can show that she is the holder of old."""
    return member.identities.exists() or member.passkeys.exists()


@transaction.atomic(durable=True)
def start_afresh(member_id: int, phone: str, *, now: datetime) -> Member:
    """Give the number to a new account; the old one keeps everything but the number.

    Of two who do it at once the second gets the account of the first. Whoever has used
    the old account meanwhile keeps it.
    """
    let_go_locked(lock_member(member_id), phone, now=now)
    new = Member(
        phone=phone,
        password=make_password(None),
        created_at=now,
        phone_proved_at=now,
    )
    Member.objects.bulk_create([new], ignore_conflicts=True)
    return Member.objects.get(phone=phone)


def let_go_locked(old: Member, phone: str, *, now: datetime) -> bool:
    """Take a long unused number from a locked account, which is told so; False when the
    account has another number by now or was used meanwhile."""
    if old.phone != phone or not is_unused(old, now=now):
        return False
    old.phone = old.phone_proved_at = None
    old.save(update_fields=["phone", "phone_proved_at"])
    security_notices.phone_left(old, now=now)
    return True


def proof(member: Member, *, now: datetime) -> dict[str, Any]:
    """What a browser keeps when a code has proved an unused number; signs nobody in."""
    assert member.phone is not None
    number = digest("unused-phone", member.phone)
    return {"member": member.pk, "number": number, "at": now.timestamp()}


def proves(kept: Any, member: Member) -> bool:
    """Whether what the browser keeps is about this account and its number of today."""
    if not isinstance(kept, dict) or kept["member"] != member.pk or not member.phone:
        return False
    return bool(kept["number"] == digest("unused-phone", member.phone))


def use_again(member: Member, kept: Any) -> None:
    """The holder of old has come in by another way, in the browser that has proved the
    number: both together make it hers again."""
    if proves(kept, member):
        at = datetime.fromtimestamp(kept["at"], UTC)
        Member.objects.filter(pk=member.pk).update(phone_proved_at=at)


def afresh() -> str:
    return _("这个号码很久没用，已经开了新账号。要找回以前的会员和订单，请联系客服")


def left_behind() -> str:
    return _("这个号码以前有过一个很久没用的账号。那也是你的话，请联系客服合在一起")
