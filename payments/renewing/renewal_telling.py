"""What a member is told about her automatic renewal."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db.models import QuerySet

from members import links, reminders, rules
from members.models import Member
from notifications import messages, texts
from notifications.messages import Channel, Message
from notifications.models import Notification
from orders.models import Order
from payments.models import AutoRenew, Consent
from payments.renewing.renewal_models import EndedBy

KIND = "renewal"
PREFIX = "renewal:"
ENDINGS = {
    EndedBy.WALLET: "renewal_off",
    EndedBy.PLAN: "renewal_off",
    EndedBy.LAPSED: "renewal_off",
    EndedBy.PRICE: "renewal_price",
    EndedBy.FAILED: "renewal_failed",
}
"""Nothing is said of what the member has done herself on our own pages."""
LOUD = {EndedBy.PLAN, EndedBy.PRICE, EndedBy.FAILED}
"""These also by SMS, in the words of the reminder: her time ends, here is how to renew."""


def announce(
    renewal: AutoRenew,
    member: Member,
    *,
    amount_fen: int,
    charge_at: datetime,
    now: datetime,
) -> None:
    """The notice before a charge: date, amount and a link that stops it (E8)."""
    assert member.paid_until is not None
    quiet = reminders.quiet_hours(now, rules.current())
    due = {Channel.SITE: now}
    if member.phone:
        due[Channel.SMS] = quiet[1] if quiet else now
    messages.queue(
        *(
            Message(
                key=f"{PREFIX}{_end_key(member)}:{channel.value}",
                member_id=member.pk,
                kind=KIND,
                channel=channel,
                params={
                    "end": charge_at,
                    "until": member.paid_until,
                    "price": amount_fen,
                    "link": links.token(links.STOP_RENEWAL, renewal.pk),
                },
                due_at=at,
                expires_at=member.paid_until,
            )
            for channel, at in due.items()
        ),
        now=now,
    )


def notices(member: Member) -> QuerySet[Notification]:
    """The notices for the end that the member's time has now."""
    return Notification.objects.filter(
        member=member,
        kind=KIND,
        key__startswith=PREFIX,
        expires_at=member.paid_until,
    )


@messages.still_true(KIND)
def is_still_on(member_id: int, params: texts.Params, *, now: datetime) -> bool:
    """Whether the charge that the notice names is still to come."""
    end = datetime.fromisoformat(str(params["until"]))
    return AutoRenew.objects.filter(
        member=member_id, member__paid_until=end, enabled=True
    ).exists()


@messages.timely(KIND)
def fits_the_hour(params: texts.Params, *, now: datetime) -> bool:
    end = datetime.fromisoformat(str(params["until"]))
    return reminders.may_go_out(end, now=now)


def failed_once(consent: Consent, order: Order, *, now: datetime) -> None:
    """The first charge of an order did not go through; it will be tried again (E11)."""
    messages.queue(
        Message(
            key=f"renewal-retry:{order.pk}:{Channel.SITE.value}",
            member_id=consent.member_id,
            kind="renewal_retry",
            channel=Channel.SITE,
            params={"price": order.amount_fen, "end": order.expires_at},
            due_at=now,
            expires_at=order.expires_at,
        ),
        now=now,
    )


@messages.still_true("renewal_retry")
def is_still_unpaid(member_id: int, params: texts.Params, *, now: datetime) -> bool:
    """Whether the end that the message names is still to be renewed."""
    end = datetime.fromisoformat(str(params["end"]))
    return AutoRenew.objects.filter(
        member=member_id, member__paid_until=end, enabled=True
    ).exists()


def ended(consent: Consent, by: EndedBy, *, now: datetime) -> None:
    """Take back the notice of a charge that will not come, and say why it will not."""
    messages.withdraw(consent.member_id, KIND, now=now)
    kind = ENDINGS.get(by)
    if kind is None:
        return
    member = consent.member
    end = member.paid_until
    is_running = end is not None and end > now
    params: dict[str, str | int | datetime] = {
        "plan": consent.plan.tier.name,
        "price": consent.plan.price_at(now),
        "link": links.token(links.RENEW, member.pk),
    }
    if end is not None and is_running:
        params["end"] = end
    told = [(Channel.SITE, kind)]
    if is_running and by in LOUD and member.phone:
        told.append((Channel.SMS, reminders.KIND))
    messages.queue(
        *(
            Message(
                key=f"renewal-{by.value}:{consent.pk}:{channel.value}",
                member_id=member.pk,
                kind=of_kind,
                channel=channel,
                params=params,
                due_at=now,
                expires_at=end if channel == Channel.SMS else None,
            )
            for channel, of_kind in told
        ),
        now=now,
    )


def ended_with_account(consent: Consent, member: Member, *, now: datetime) -> None:
    """Tell the member whose account the other one was merged into (I12)."""
    params: dict[str, str | int | datetime] = {
        "plan": consent.plan.tier.name,
        "link": links.token(links.RENEW, member.pk),
    }
    if member.paid_until is not None:
        params["end"] = member.paid_until
    messages.queue(
        Message(
            key=f"renewal-{EndedBy.MERGED.value}:{consent.pk}:{Channel.SITE.value}",
            member_id=member.pk,
            kind=ENDINGS[EndedBy.WALLET],
            channel=Channel.SITE,
            params=params,
            due_at=now,
        ),
        now=now,
    )


def _end_key(member: Member) -> str:
    assert member.paid_until is not None
    return f"{member.pk}:{member.paid_until.astimezone(UTC).isoformat()}"
