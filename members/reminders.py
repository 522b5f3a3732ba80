"""Reminding members before their time ends: when, through what, and once.

The decision is ``due_reminder``, without database or clock. ``schedule`` asks it for
the members whose end is near and not told yet; ``notifications`` delivers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import chain, islice
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery, Value

from kameng import clock
from members import links, rules
from members.models import Entitlement, Member, ShopRules
from members.stacking import whole_second
from notifications import messages, outbox, push, texts
from notifications.messages import Channel, Message
from notifications.models import Notification, PushSubscription

SHANGHAI = ZoneInfo("Asia/Shanghai")
KIND = "expiring"
RENEWAL = "renewal"
"""Whose time renews itself is reminded of the charge instead, in these words (E8)."""
PREFIX = "expire:"
IS_ONE = Q(key__startswith=PREFIX) | Q(kind=KIND) & ~Q(key__startswith="renewal-")
"""Which messages are reminders, in either words; the second kind of keys belongs to an
``expiring`` that says how a renewal ended."""

LONG = timedelta(days=7)
"""With at least so much left after the last purchase the reminder comes days before
the end (E2), with less only hours before it (E3)."""
SETTLED = timedelta(hours=1)
"""Never sooner after the purchase."""
EVENING = timedelta(hours=2)
"""What falls into the quiet hours goes out so long before they begin (E7)."""

PAGE = 200
AT_MOST = 2_000
"""Members told in one run; the next run goes on. Bounds a run after a long outage."""


class Candidate(NamedTuple):
    """A member whose end is near and who was not told."""

    pk: int
    phone: str | None
    paid_until: datetime
    last_bought_at: datetime | None
    renewal: Mapping[str, str | int] | None
    """What the notice of her automatic renewal said, None while that is off."""
    has_push: bool
    """Whether a browser of hers shows push messages."""


@dataclass(frozen=True, slots=True)
class Reminder:
    """Show it on the site now; send the SMS at ``sms_at``, None for not at all."""

    sms_at: datetime | None


def due_reminder(
    paid_until: datetime,
    last_bought_at: datetime | None,
    now: datetime,
    shop_rules: ShopRules,
) -> Reminder | None:
    """The reminder of a member who was not told yet, None while it is not due.

    Without a limit to how late it is (E4), but never at or after the end.

    last_bought_at  None when nothing is known: then the last purchase was long ago
    """
    if not _planned(paid_until, last_bought_at, shop_rules) <= now < paid_until:
        return None
    quiet = quiet_hours(now, shop_rules)
    sms_at = quiet[1] if quiet else now
    return Reminder(sms_at if sms_at < paid_until else None)


def _planned(
    paid_until: datetime, last_bought_at: datetime | None, shop_rules: ShopRules
) -> datetime:
    """When the reminder goes out if nothing holds it up."""
    ahead, earliest = timedelta(seconds=shop_rules.reminder_seconds), None
    if last_bought_at is not None:
        bought_at = whole_second(last_bought_at)
        earliest = bought_at + SETTLED
        if paid_until - bought_at < LONG:
            ahead = timedelta(seconds=shop_rules.short_reminder_seconds)
    at = paid_until - ahead
    if earliest is not None:
        at = max(at, earliest)
    quiet = quiet_hours(at, shop_rules)
    if quiet is None:
        return at
    evening = quiet[0] - EVENING
    return evening if earliest is None or evening >= earliest else at


def quiet_hours(
    at: datetime, shop_rules: ShopRules
) -> tuple[datetime, datetime] | None:
    """The quiet stretch [begin, end) that ``at`` lies in, None outside of any."""
    first, last = shop_rules.quiet_from_hour % 24, shop_rules.quiet_until_hour % 24
    local = at.astimezone(SHANGHAI)
    begin_day = local.date()
    if first > last and local.hour < last:
        begin_day -= timedelta(days=1)
    begin = datetime.combine(begin_day, time(first), SHANGHAI)
    end = begin + timedelta(hours=(last - first) % 24)
    return (begin.astimezone(UTC), end.astimezone(UTC)) if begin <= at < end else None


def schedule(*, now: datetime, at_most: int = AT_MOST) -> int:
    """Queue every reminder that is due and not queued yet; return for how many members.

    A range scan, so a run that was missed is made up for by the next one. Each page is
    one transaction under the members' locks: an end cannot move while its reminder is
    being written, and several runs at once share the work. A repeated key is ignored
    (K23), so nobody is told twice.

    raises  clock.TooMuch, having told nobody, when thousands are due at once
    """
    told, after = 0, None
    while told < at_most:
        with transaction.atomic(durable=True):
            page = [
                Candidate(*row)
                for row in _from(_near(now), after).select_for_update(skip_locked=True)[
                    :PAGE
                ]
            ]
            if len(page) == PAGE and after is None:
                _refuse_mass(now)
            due = list(islice(_due(page, now), at_most - told))
            if due:
                messages.queue(*chain.from_iterable(due), now=now)
        told += len(due)
        if len(page) < PAGE:
            break
        after = page[-1]
    return told


def _refuse_mass(now: datetime) -> None:
    """Raise when a wrong clock is likelier than so many ends in one moment (FLT-33)."""
    at_most = rules.current().reminded_at_once
    near = _near(now)
    if near[at_most : at_most + 1].exists():
        due = _due(map(Candidate._make, near), now)
        if next(islice(due, at_most, None), None) is not None:
            raise clock.TooMuch(at_most, "reminders")


def missed(*, now: datetime, by: timedelta) -> Iterator[int]:
    """The members whose reminder has been due for so long and was not queued (INV-16)."""
    then = now - by
    near = _near(then).filter(paid_until__gt=now).exclude(timeline_at__gt=then)
    for row in near:
        member = Candidate(*row)
        if due_reminder(
            member.paid_until, member.last_bought_at, then, rules.current()
        ):
            yield member.pk


@messages.still_true(KIND)
def is_still_the_end(member_id: int, params: texts.Params, *, now: datetime) -> bool:
    """Whether the end is still the one that the reminder names (E6)."""
    end = datetime.fromisoformat(str(params["end"]))
    return Member.objects.filter(pk=member_id, paid_until=end).exists()


@messages.timely(KIND)
def fits_the_hour(params: texts.Params, *, now: datetime) -> bool:
    """A reminder that was held up waits for the end of the quiet hours, as long as that
    comes before the end of the membership.
    """
    end = datetime.fromisoformat(str(params["end"]))
    return may_go_out(end, now=now)


def may_go_out(end: datetime, *, now: datetime) -> bool:
    """False when a message about an end has no hour left; waits for the morning.

    raises  outbox.TryLater in the quiet hours
    """
    quiet = quiet_hours(now, rules.current())
    if quiet is None:
        return True
    if quiet[1] >= end:
        return False
    wait = quiet[1] - now
    raise outbox.TryLater(int(wait.total_seconds()) + 1, "quiet hours")


def told_of_renewal(member: Member, end: datetime) -> texts.Params | None:
    """What the notice of a charge before this end said; None while no charge comes."""
    said = Notification.objects.filter(
        member=member,
        kind=RENEWAL,
        expires_at=end,
        member__auto_renew__enabled=True,
    )
    found: texts.Params | None = said.values_list("params", flat=True).first()
    return found


def _near(now: datetime) -> QuerySet[Member, Any]:
    """Members whose reminder may be due and was not queued, the nearest end first;
    rows as ``Candidate`` has them.

    Leaves out in SQL all whose time surely has not come, by the index on
    ``paid_until``; ``due_reminder`` decides on the rest.
    """
    shop_rules = rules.current()
    night = quiet_hours(now, shop_rules) or quiet_hours(now + EVENING, shop_rules)
    horizon = night[1] if night else now
    long = timedelta(seconds=shop_rules.reminder_seconds)
    short = timedelta(seconds=shop_rules.short_reminder_seconds)
    bought = Entitlement.objects.filter(member=OuterRef("pk"))
    second = timedelta(seconds=1)  # a purchase counts from its whole second
    lately = bought.filter(created_at__gte=OuterRef("paid_until") - LONG + second)
    about_it = Notification.objects.filter(
        member=OuterRef("pk"), expires_at=OuterRef("paid_until")
    )
    told = about_it.filter(IS_ONE)
    browsers = PushSubscription.objects.filter(member=OuterRef("pk"))
    renewal = about_it.filter(kind=RENEWAL, member__auto_renew__enabled=True)
    return (
        Member.objects.filter(
            ~Exists(told),
            Q(paid_until__lte=horizon + short) | ~Exists(lately),
            paid_until__gt=now,
            paid_until__lte=horizon + max(long, short),
        )
        .annotate(
            last_bought_at=Subquery(
                bought.order_by("-created_at").values("created_at")[:1]
            ),
            renewal=Subquery(renewal.values("params")[:1]),
            has_push=Exists(browsers) if push.is_on() else Value(False),
        )
        .order_by("paid_until", "pk")
        .values_list(*Candidate._fields)
    )


def _from(
    members: QuerySet[Member, Any], after: Candidate | None
) -> QuerySet[Member, Any]:
    """The rest of the list after one of it."""
    if after is None:
        return members
    return members.filter(
        Q(paid_until__gt=after.paid_until)
        | Q(paid_until=after.paid_until, pk__gt=after.pk)
    )


def _due(page: Iterable[Candidate], now: datetime) -> Iterator[list[Message]]:
    """The messages of each member on the page whose reminder is due."""
    for member in page:
        reminder = due_reminder(
            member.paid_until, member.last_bought_at, now, rules.current()
        )
        if reminder is not None:
            yield _messages(member, reminder, now)


def _messages(member: Candidate, reminder: Reminder, now: datetime) -> list[Message]:
    due = {Channel.SITE: now}
    if reminder.sms_at is not None and member.phone:
        due[Channel.SMS] = reminder.sms_at
    if member.has_push:  # after the SMS; alone where that has no hour left (E7)
        due[Channel.PUSH] = reminder.sms_at or now
    end = member.paid_until
    kind = KIND
    params: Mapping[str, str | int | datetime] = {
        "end": end,
        "link": links.token(links.RENEW, member.pk),
    }
    if member.renewal is not None:  # else she would pay for the same time twice
        kind, params = RENEWAL, member.renewal
    return [
        Message(
            key=f"{PREFIX}{member.pk}:{end.astimezone(UTC).isoformat()}:{channel.value}",
            member_id=member.pk,
            kind=kind,
            channel=channel,
            params=params,
            due_at=at,
            expires_at=end,
            optional=kind == KIND,  # never the notice of a charge
        )
        for channel, at in due.items()
    ]
