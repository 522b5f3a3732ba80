"""What a buyer of goods is told: rows written with the delivery itself."""

from __future__ import annotations

from datetime import datetime, timedelta

from members import links, rules
from notifications import messages
from notifications.messages import Channel, Message
from orders.models import Order


def delivered(order: Order, *, now: datetime, waited: bool) -> None:
    """The keys are there. Who had to wait is no longer on the page: an SMS as well."""
    channels = (Channel.SITE, Channel.SMS) if waited else (Channel.SITE,)
    _tell("delivered", order, channels, {}, now=now)


def short(order: Order, *, now: datetime) -> None:
    """An apology with the time until which she waits at most."""
    until = now + timedelta(seconds=rules.current().short_seconds)
    _tell("short", order, (Channel.SITE,), {"end": until}, now=now)


def _tell(
    kind: str,
    order: Order,
    channels: tuple[Channel, ...],
    facts: dict[str, str | int | datetime],
    *,
    now: datetime,
) -> None:
    params = {
        "order": order.pk,
        "goods": order.title,
        "link": links.token(links.ORDER, order.pk),
        **facts,
    }
    messages.queue(
        *(
            Message(
                key=f"{kind}:{order.pk}:{channel.value}",
                member_id=order.member_id,
                kind=kind,
                channel=channel,
                params=params,
                due_at=now,
                optional=kind == "delivered" and channel == Channel.SMS,
            )
            for channel in channels
        ),
        now=now,
    )
