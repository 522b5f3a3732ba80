"""What must be true once a town has come to rest: its books against the sandbox's.

Needs the shop's settings, see ``town.running_town``.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.db.models import Q, QuerySet

from goods.models import CardKey
from members import reminders
from notifications.models import Notification, Outbox
from orders.models import Status
from payments import audit, cases
from payments.gateways import GATEWAYS
from payments.models import (
    LIVE_STATES,
    Attempt,
    AttemptState,
    EventOutcome,
    GatewayEvent,
    Refund,
    RefundState,
)
from tests.faults.town import Stuck, Town, wait_until

OVER = ("sent", "skipped")
"""How a message by SMS ends while the provider is in good health; see ``_messages``."""


def come_to_rest(town: Town, *, seconds: float = 40) -> list[str]:
    """Wait until nothing is left to do; what is left after that time."""
    try:
        wait_until(lambda: not _busy(town), "", seconds=seconds, every=0.1)
    except Stuck:
        return [f"still to do: {words}" for words in _busy(town)]
    return []


def _busy(town: Town) -> list[str]:
    """Work that is due now and not done."""
    now = town.now()
    rows = Outbox.objects.filter(
        Q(state="claimed") | Q(state="new", due_at__lte=now)
    ).values_list("key", flat=True)
    attempts = Attempt.objects.exclude(state=AttemptState.PAID).filter(
        out_trade_no__in=_paid_at_the_sandbox(town)
    )
    polls = Attempt.objects.filter(next_query_at__lte=now)
    overdue = Attempt.objects.filter(
        order__status=Status.PENDING, order__expires_at__lte=now
    )
    refunds = Refund.objects.filter(state__in=("requested", "processing"))
    unreminded = list(reminders.missed(now=now, by=audit.UNREMINDED))
    return [
        *(f"outbox {key}" for key in rows[:3]),
        *(f"paid and not booked: {each.out_trade_no}" for each in attempts[:3]),
        *(f"to be asked about: {each.out_trade_no}" for each in polls[:3]),
        *(f"to be expired: {each.order_id}" for each in overdue[:3]),
        *(f"refund {each.out_refund_no} {each.state}" for each in refunds[:3]),
        *(f"to be reminded: {member}" for member in unreminded[:3]),
    ]


def _bill(town: Town) -> list[tuple[str, dict[str, Any]]]:
    """Gateway and line of all money that has moved at the sandbox."""
    return [
        (gateway, line) for gateway in GATEWAYS for line in town.sandbox.bill(gateway)
    ]


def _paid_at_the_sandbox(town: Town) -> set[str]:
    return {line["number"] for _, line in _bill(town) if line["kind"] == "payment"}


def faults(town: Town) -> list[str]:
    """Everything that is wrong; empty when the books are in order."""
    return [*_audit(town), *_money(town), *_places(), *_messages(town)]


def what_happened() -> str:
    """How much of everything took part: what has not been there is not proven."""
    paid = Attempt.objects.filter(state=AttemptState.PAID)
    back = Refund.objects.filter(state=RefundState.SUCCESS)
    return (
        f"paid: {_counted(paid, 'gateway')}; refunded: {_counted(back, 'reason')}; "
        f"keys sold: {CardKey.objects.filter(state='sold').count()}"
    )


def _counted(rows: QuerySet, by: str) -> str:
    found = Counter(rows.values_list(by, flat=True))
    return ", ".join(f"{name} {found[name]}" for name in sorted(found)) or "nothing"


def _audit(town: Town) -> list[str]:
    return [
        f"{finding.invariant} {finding.rule}: {', '.join(finding.examples)}"
        for finding in audit.run(now=town.now())
        if finding.count
    ]


def _money(town: Town) -> list[str]:
    """INV-4 and C12: what came in and went out there is what is booked here.

    Money of an order that was lost with its database is booked as a case.
    """
    bill = [
        (gateway, line["kind"], line["txn_id"], line["amount_fen"])
        for gateway, line in _bill(town)
    ]
    paid = Attempt.objects.filter(state=AttemptState.PAID)
    second = GatewayEvent.objects.filter(outcome=EventOutcome.OVERPAID)
    unknown = GatewayEvent.objects.filter(outcome=EventOutcome.ORPHAN).exclude(
        number__in=Attempt.objects.values("out_trade_no")
    )
    refunded = Refund.objects.filter(state=RefundState.SUCCESS)
    booked = {
        *_lines("payment", paid, "gateway", "txn_id", "paid_fen"),
        *_lines("payment", second, "gateway", "txn_id", "amount_fen"),
        *_lines("payment", unknown, "gateway", "txn_id", "amount_fen"),
        *_lines(
            "refund", refunded, "attempt__gateway", "attempt__txn_id", "amount_fen"
        ),
    }
    return [f"booked and not moved: {each}" for each in booked - set(bill)] + [
        f"moved and not booked: {each}" for each in set(bill) - booked
    ]


def _lines(
    kind: str, rows: QuerySet, gateway: str, txn: str, fen: str
) -> list[tuple[str, str, str, int]]:
    return [(g, kind, t, f) for g, t, f in rows.values_list(gateway, txn, fen)]


def _places() -> list[str]:
    """C12: each paid attempt settles an order, or goes back, or waits for a person."""
    waiting = set(cases.unallocated().values_list("pk", flat=True))
    wrong = []
    for attempt in Attempt.objects.filter(state="paid").select_related("order"):
        places = [
            attempt.order.settled_by_id == attempt.pk
            and attempt.refund_reserved_fen != attempt.paid_fen,
            attempt.refund_reserved_fen == attempt.paid_fen,
            attempt.pk in waiting,
        ]
        if places.count(True) != 1:
            wrong.append(f"{attempt.out_trade_no} is in {places.count(True)} places")
    live = Attempt.objects.filter(state__in=LIVE_STATES)
    for attempt in live.exclude(order__status=Status.PENDING)[:3]:
        wrong.append(f"{attempt.out_trade_no} is live and its order is over")
    return wrong


def _messages(town: Town) -> list[str]:
    """INV-6: each message that is told as sent is in the inbox, at most three times.

    One that may have been sent twice and whose last answer was lost stays ``unknown``:
    it is there as well, since the provider took it (H4).
    """
    inbox = Counter(message["id"] for message in town.sandbox.sms())
    wrong = []
    for message in Notification.objects.filter(channel="sms", due_at__lte=town.now()):
        times = inbox[f"notification-{message.pk}"]
        least = 1 if message.state in ("sent", "unknown") else 0
        if not least <= times <= 3 or message.state not in (*OVER, "unknown"):
            wrong.append(f"SMS {message.key}: {message.state}, {times} in the inbox")
    return wrong
