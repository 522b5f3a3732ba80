"""What a member is told about her money: rows written with the effect itself."""

from __future__ import annotations

from datetime import datetime

from members import links
from members.models import Member
from members.tiers import catalogue
from notifications import messages
from notifications.messages import Channel, Message
from orders.models import Order
from payments.models import Refund, RefundReason, RefundState


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
    """Money goes back; say so at once, on the site and by SMS.

    Where the gateway cannot return it the words say that a person will.
    """
    by_hand = refund.state == RefundState.MANUAL
    params = _about(order, refund, "by-hand" if by_hand else str(refund.reason))
    _tell(f"refund:{refund.pk}", "refund", order, params, now=now)


def refund_failed(order: Order, refund: Refund, *, now: datetime) -> None:
    """The money has not gone; a person sees to it. On the site alone: no SMS fits."""
    params = _about(order, refund, "failed")
    _tell(
        f"refund-failed:{refund.pk}",
        "refund",
        order,
        params,
        channels=(Channel.SITE,),
        now=now,
    )


def refunded_outside(order: Order, refund: Refund, *, now: datetime) -> None:
    """Money that the gateway or an operator has returned by another way."""
    by_gateway = refund.reason == RefundReason.EXTERNAL
    params = _about(order, refund, "external" if by_gateway else "done")
    _tell(
        f"refund-outside:{refund.pk}",
        "refund",
        order,
        params,
        channels=(Channel.SITE,),
        now=now,
    )


def _about(
    order: Order, refund: Refund, reason: str
) -> dict[str, str | int | datetime]:
    return {
        "order": order.pk,
        "reason": reason,
        "price": refund.amount_fen,
        "link": links.token(links.ORDER, order.pk),
    }


def _tell(
    key: str,
    kind: str,
    order: Order,
    params: dict[str, str | int | datetime],
    *,
    channels: tuple[Channel, ...] = (Channel.SITE, Channel.SMS),
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
            for channel in channels
        ),
        now=now,
    )
