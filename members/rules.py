"""The operator's rules, one row, cached in the process for a few seconds."""

from __future__ import annotations

import time

from django.db.models.signals import post_save

from members.models import ShopRules

_SECONDS = 5.0
_kept: tuple[float, ShopRules] | None = None


def current() -> ShopRules:
    """The rules in force; the defaults of the model when no row was saved yet.

    A change made by another process is seen within five seconds.
    """
    global _kept
    at = time.monotonic()
    if _kept is None or at - _kept[0] > _SECONDS:
        _kept = (at, ShopRules.objects.first() or ShopRules())
    return _kept[1]


def forget(**_: object) -> None:
    global _kept
    _kept = None


post_save.connect(forget, sender=ShopRules, dispatch_uid="members.rules.forget")
