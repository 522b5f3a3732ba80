"""One box finds an order: its number, an attempt's, a gateway's, a phone (I11).

Every look goes through an index, but for the last four digits of a phone, which are
read through the members and cut off.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Q

from members import phones
from members.models import Member
from orders.models import Order
from orders.numbers import tidy
from payments import cases
from payments.gateways import GATEWAYS
from payments.models import Attempt, Refund

LIMIT = 50
"""So many members share four digits at most before the rest is left out."""

_NUMBER = re.compile(r"[\x21-\x7e]{6,64}")
"""What an order or a gateway number may look like: visible ASCII without blanks."""


@dataclass(frozen=True, slots=True)
class Found:
    """Primary keys, newest first; ``tail`` when four digits were typed."""

    orders: tuple[int, ...] = ()
    members: tuple[int, ...] = ()
    events: tuple[int, ...] = ()
    tail: str = ""


def find(typed: str) -> Found:
    """What a number leads to; nothing found is an empty answer.

    typed  as a person copies it: grouped, lower case, with blanks or +86
    """
    text = typed.strip()
    if phones.TAIL.fullmatch(text):
        return _by_tail(text)
    try:
        phone = phones.parse(text)
    except phones.BadPhone:
        return _by_number(text)
    return _by_phone(phone)


def _by_phone(phone: str) -> Found:
    members = tuple(Member.objects.filter(phone=phone).values_list("pk", flat=True))
    return Found(orders=_orders_of(members), members=members)


def _by_tail(tail: str) -> Found:
    members = tuple(
        Member.objects.filter(phone__endswith=tail)
        .order_by("-pk")
        .values_list("pk", flat=True)[:LIMIT]
    )
    return Found(orders=_orders_of(members), members=members, tail=tail)


def _orders_of(members: Iterable[int]) -> tuple[int, ...]:
    orders = Order.objects.filter(member__in=list(members)).order_by("-pk")
    return tuple(orders.values_list("pk", flat=True)[:LIMIT])


def _by_number(text: str) -> Found:
    compact = "".join(text.split())
    if not _NUMBER.fullmatch(compact):
        return Found()
    numbers = {compact, tidy(text)}
    orders = {
        *Order.objects.filter(no__in=numbers).values_list("pk", flat=True),
        *_orders_by_attempt(numbers, compact),
        *_orders_by_refund(numbers, compact),
    }
    events = cases.open_events().filter(Q(txn_id=compact) | Q(number__in=numbers))
    rows = list(events.values_list("pk", "attempt__order_id")[:LIMIT])
    orders.update(order for _pk, order in rows if order is not None)
    return Found(
        orders=tuple(sorted(orders, reverse=True)[:LIMIT]),
        events=tuple(pk for pk, order in rows if order is None),
    )


def _orders_by_attempt(numbers: Iterable[str], txn_id: str) -> Iterable[int]:
    """By our number or the gateway's; each gateway is named for the index's sake."""
    attempts = Attempt.objects.filter(gateway__in=[*GATEWAYS, "manual"])
    yield from attempts.filter(out_trade_no__in=numbers).values_list(
        "order_id", flat=True
    )
    yield from attempts.filter(txn_id=txn_id).values_list("order_id", flat=True)


def _orders_by_refund(numbers: Iterable[str], gateway_id: str) -> Iterable[int]:
    refunds = Refund.objects.values_list("attempt__order_id", flat=True)
    yield from refunds.filter(out_refund_no__in=numbers)
    yield from refunds.filter(gateway_refund_id=gateway_id)
