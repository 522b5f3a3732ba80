"""A page of the console shows an order as of one version; an old page decides nothing.

The version rises with every change that a decision rests on (I3), so pressing twice
acts once: the second press names a version that is gone (I4).
"""

from __future__ import annotations

from orders.models import Order


class Stale(Exception):
    """The order has changed since the page was shown."""


def check(order: Order, version: int | None) -> None:
    """Refuse what was decided on another version of a locked order; None asks nothing.

    raises  Stale
    """
    if version is not None and order.version != version:
        raise Stale


def rise(order: Order, *fields: str) -> None:
    """Save these fields of a locked order as its next version."""
    order.version += 1
    order.save(update_fields=[*fields, "version"])
