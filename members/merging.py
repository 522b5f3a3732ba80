"""Two accounts of one person become one, as far as members go (I12).

The time of the source is laid into the line of the target; what has run stays where it
ran and counts as used. ``payments.merging`` holds the whole operation, with the orders,
the money and the renewals that this app knows nothing of.
"""

from __future__ import annotations

from datetime import datetime

from django.db.models import Value
from django.db.models.functions import Greatest

from members import visits
from members.models import Member
from members.real_name import holding
from members.stacking import whole_second
from members.timeline import rebuild
from notifications import choices


def merge_locked(source: Member, target: Member, *, now: datetime) -> None:
    """Move all time of one locked member to another one and close the source for good.

    Both lines are cut at the same second, so that none is lost or doubled. The clock of
    the target decides: what comes to a paused line waits with it, and a pause of the
    source ends. The phone is given free: no account may block a number that its owner
    may want to use again or that the carrier gives to somebody else. Whoever proves it
    next opens an account of her own and sees nothing of this one. A session of the
    source is worth nothing from now on, because the account is closed. WeChat and QQ
    lead to the target; passkeys name the account that they were made for and end, and so
    do the browsers that show reminders, which are signed out with it. The better of two
    verified names stays. The days that were noted move along.

    raises  TimelineFull
    """
    begun = [each.timeline_at for each in (source, target) if each.timeline_at]
    at = max([whole_second(now), *begun])
    source.pauses.filter(ends_at__isnull=True).update(
        ends_at=Greatest("starts_at", Value(at))
    )
    source.entitlements.update(member=target)
    source.identities.update(member=target)
    source.passkeys.all().delete()
    source.real_name_checks.update(member=target)
    holding.merge_locked(source, target)
    source.former_phones.update(member=target)
    choices.move(source.pk, target.pk)
    source.push_subscriptions.all().delete()
    visits.move_locked(source, target)
    rebuild(source, now=at)
    rebuild(target, now=at)
    flags = [each.risk_flag_until for each in (source, target) if each.risk_flag_until]
    target.risk_flag_until = max(flags, default=None)
    target.save(update_fields=["risk_flag_until"])
    source.merged_into, source.is_active, source.phone = target, False, None
    source.save(update_fields=["merged_into", "is_active", "phone"])


def successor(member: Member) -> Member:
    """The account that hers has become; her own where it was never merged."""
    while member.merged_into is not None:
        member = member.merged_into
    return member
