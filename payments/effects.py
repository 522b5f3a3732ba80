"""What the outbox does for payments: HTTP that a transaction asked for."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from notifications import outbox
from payments.models import LIVE_STATES, Attempt
from payments.polling import close_attempt
from payments.refunding.refunds import send_refund
from payments.renewing import mandates


@outbox.handler("attempt.close")
def close_rival(payload: dict[str, Any], *, now: datetime) -> None:
    attempt = Attempt.objects.select_related("order").get(pk=payload["attempt"])
    if attempt.state in LIVE_STATES and close_attempt(attempt, now=now) is None:
        raise outbox.TryLater(reason="no clear answer")


@outbox.handler("refund.send")
def send_due_refund(payload: dict[str, Any], *, now: datetime) -> None:
    send_refund(payload["refund"], now=now)


@outbox.handler("mandate.stop")
def stop_mandate(payload: dict[str, Any], *, now: datetime) -> None:
    mandates.stop_at_gateway(payload["consent"], now=now)
