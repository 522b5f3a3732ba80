"""How an order of goods stands, in finished values for the pages that show it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.urls import reverse

from members import rules
from orders import delivery, queue
from orders.models import Fulfil, Kind, Order, Status

LATE = timedelta(minutes=5)
"""Waiting longer than this is no longer "just a moment": the page apologises."""


def facts(order: Order, *, now: datetime, token: str = "") -> dict[str, Any] | None:
    """What an order of goods brought; None for anything else and before the money.

    ``state`` is delivered, short, held or void. The place counts those who are served
    before her; when new keys come nobody knows, so no minutes are promised, only the
    time of the refund.
    """
    if order.kind != Kind.GOODS or order.status != Status.PAID or not order.paid_at:
        return None
    state = {
        Fulfil.DONE: "delivered",
        Fulfil.SHORT: "short",
        Fulfil.VOID: "void",
    }.get(Fulfil(order.fulfil), "held")
    limit = timedelta(seconds=rules.current().short_seconds)
    return {
        "state": state,
        "url": reverse("delivery", args=[order.no]),
        "keys": delivery.keys_of(order) if state == "delivered" and not token else [],
        "ahead": queue.ahead_of(order, now=now) if state == "short" else 0,
        "until": order.paid_at + limit,
        "late": now - order.paid_at > LATE,
        "first": bool(order.priority),
        "instructions": "" if token else order.instructions,
    }
