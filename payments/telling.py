"""What a member is told about her money: rows written with the effect itself."""

from __future__ import annotations

from datetime import datetime

from members import catalogue, links
from members.models import Member
from notifications import messages
from notifications.messages import Channel, Message
from orders.models import Order
from payments.models import Refund


def activated(order: Order, member: Member, *, now: datetime) -> None:
    """The popup and the SMS of an activation (S15, S16); one of each an order (K22)."""
    assert order.plan is not None
    tier = order.plan.tier
    params: dict[str, str | int | datetime] = {
        "order": order.pk,
        "plan": tier.name,
        "benefits": "、".join(catalogue.current().labels(tier)),
        "link": links.token(links.ORDER, order.pk),
    }
    if member.paid_until is not None:
        params["end"] = member.paid_until
    _tell(f"activated:{order.pk}", "activated", order, params, now=now)


def refund_started(order: Order, refund: Refund, *, now: datetime) -> None:
    """Money that is not needed goes back; say so at once, on the site and by SMS."""
    params: dict[str, str | int | datetime] = {
        "order": order.pk,
        "reason": str(refund.reason),
        "price": refund.amount_fen,
        "link": links.token(links.ORDER, order.pk),
    }
    _tell(f"refund:{refund.pk}", "refund", order, params, now=now)


def _tell(
    key: str,
    kind: str,
    order: Order,
    params: dict[str, str | int | datetime],
    *,
    now: datetime,
) -> None:
    messages.queue(
        *(
            Message(
                key=f"{key}:{channel.value}",
                member_id=order.member_id,
                kind=kind,
                channel=channel,
                params=params,
                due_at=now,
            )
            for channel in (Channel.SITE, Channel.SMS)
        ),
        now=now,
    )
