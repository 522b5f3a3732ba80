"""The epay channels that operators keep, cached in the process for a few seconds."""

from __future__ import annotations

import time
from collections.abc import Sequence

from django.conf import settings
from django.db.models.signals import post_delete, post_save

from payments import gateways
from payments.models import EpayChannel

_SECONDS = 5.0
_kept: tuple[float, Sequence[EpayChannel]] | None = None


def rows() -> Sequence[EpayChannel]:
    """All rows, also those that are switched off; none while epay itself is off.

    A change made by another process is seen within five seconds.
    """
    global _kept
    if gateways.get("epay") is None:
        return ()
    at = time.monotonic()
    if _kept is None or at - _kept[0] > _SECONDS:
        _kept = (at, tuple(EpayChannel.objects.all()))
    return _kept[1]


def offered() -> list[tuple[EpayChannel, str]]:
    """What shoppers may pick, each with its ``type``: phone credit, then the others."""
    if gateways.get("epay") is None:
        return []
    phone_credit = find(EpayChannel.PHONE_CREDIT) or EpayChannel(
        code=EpayChannel.PHONE_CREDIT
    )
    first = [(phone_credit, settings.EPAY_PHONE_CREDIT_TYPE)]
    others = [(row, row.epay_type) for row in rows() if row.epay_type]
    return [(row, kind) for row, kind in first + others if row.enabled and kind]


def find(code: str) -> EpayChannel | None:
    return next((row for row in rows() if row.code == code), None)


def forget(**_: object) -> None:
    global _kept
    _kept = None


post_save.connect(forget, sender=EpayChannel, dispatch_uid="payments.epay.saved")
post_delete.connect(forget, sender=EpayChannel, dispatch_uid="payments.epay.deleted")
