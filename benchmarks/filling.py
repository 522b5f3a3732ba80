"""Fills the shop's empty database for a measurement; runs with the shop's settings.

members FILE COUNT  the demo shop and members with a past; writes a Cookie line each,
                    prints what the domain functions cost
orders COUNT        orders that wait for their money; prints [[number, fen], ...]
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "kameng.settings")
import django

django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.db import connection  # noqa: E402
from django.utils import timezone  # noqa: E402

from members import rules  # noqa: E402
from members.demo import fill  # noqa: E402
from members.models import Member, Plan, ShopRules  # noqa: E402
from members.sign_in import signin  # noqa: E402
from orders.checkout import place_order  # noqa: E402
from orders.models import Order, Status  # noqa: E402
from orders.numbers import random_number  # noqa: E402
from payments import attempts  # noqa: E402
from payments.attempts import Way  # noqa: E402
from payments.gateways.contract import Product, Trade, TradeState  # noqa: E402
from payments.models import Attempt  # noqa: E402
from payments.settle import Source, apply_result  # noqa: E402

ALIPAY = Way("alipay", "alipay", Product.WAP, "203.0.113.9")
OLD_ORDERS = 8
VETERANS = 4
"""The first members in the file have bought on each of so many days:"""
DAYS = 30
MANY = 30_000
"""As operator's data: no limit may end a run."""


def fill_members(file: Path, count: int) -> dict[str, int]:
    """The member page of the baseline has about as much to tell."""
    fill()
    ShopRules.objects.update(open_orders_max=MANY, open_orders_per_address=MANY)
    rules.forget()
    now = timezone.now()
    phones = [f"+86139{number:08}" for number in range(count)]
    Member.objects.bulk_create(Member(phone=phone) for phone in phones)
    members = list(Member.objects.filter(phone__in=phones).order_by("phone"))
    _old_orders(members, now=now)
    for veteran in members[:VETERANS]:
        for days in range(DAYS, 3, -1):
            _buy(veteran, "temporary-1", now=now - timedelta(days=days))
    costs = [
        _buy(member, "temporary-30", now=now - timedelta(days=3)) for member in members
    ]
    file.write_text("".join(f"{_session(member)}\n" for member in members))
    return {"place_order": max(c[0] for c in costs), "apply_result": costs[0][1]}


def _old_orders(members: list[Member], *, now: datetime) -> None:
    """Orders that nobody paid; an order list is never short."""
    plan = Plan.objects.select_related("tier").get(slug="temporary-7")
    Order.objects.bulk_create(
        Order(
            no=random_number(),
            client_token=secrets.token_urlsafe(18),
            member=member,
            plan=plan,
            title=str(plan),
            unit_fen=plan.price_fen,
            amount_fen=plan.price_fen,
            seconds=plan.seconds,
            rank=plan.tier.rank,
            status=Status.EXPIRED,
            placed_at=now - timedelta(days=9),
            expires_at=now - timedelta(days=9) + timedelta(minutes=30),
        )
        for position, member in enumerate(members)
        for _ in range(OLD_ORDERS * (40 if position < VETERANS else 1))
    )


def _place(member: Member, slug: str, *, now: datetime) -> Attempt:
    made: list[Attempt] = []
    place_order(
        member_id=member.pk,
        plan_slug=slug,
        quantity=1,
        shown_fen=Plan.objects.get(slug=slug).price_fen,
        client_token=secrets.token_urlsafe(18),
        address_digest=secrets.token_hex(8),
        now=now,
        attach=lambda order: made.append(
            attempts.create_locked(order, ALIPAY, now=now)
        ),
    )
    return made[0]


def _buy(member: Member, slug: str, *, now: datetime) -> tuple[int, int]:
    """Place and settle; how many statements each of the two has cost."""
    with counted() as placing:
        attempt = _place(member, slug, now=now)
    trade = Trade(
        attempt.out_trade_no,
        TradeState.PAID,
        txn_id=secrets.token_hex(14),
        amount_fen=attempt.amount_fen,
        paid_at=now,
    )
    source = Source("notice", secrets.token_hex(32))
    with counted() as settling:
        apply_result("alipay", trade, source=source, now=now)
    return len(placing) - 1, len(settling)  # one reads the price in _place


@contextmanager
def counted() -> Iterator[list[str]]:
    """The SQL that runs inside, without BEGIN and COMMIT."""
    seen: list[str] = []

    def note(execute, sql, params, many, context):  # type: ignore[no-untyped-def]
        seen.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield seen


def _session(member: Member) -> str:
    session = SessionStore()
    session[SESSION_KEY] = str(member.pk)
    session[BACKEND_SESSION_KEY] = signin.BACKEND
    session[HASH_SESSION_KEY] = member.get_session_auth_hash()
    session.create()
    return f"{settings.SESSION_COOKIE_NAME}={session.session_key}"


def fill_orders(count: int) -> list[tuple[str, int]]:
    """One order for each of so many members, placed now."""
    members = Member.objects.filter(phone__isnull=False).order_by("-phone")[:count]
    placed = [_place(member, "temporary-7", now=timezone.now()) for member in members]
    return [(attempt.out_trade_no, attempt.amount_fen) for attempt in placed]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["members", file, count]:
            print(json.dumps(fill_members(Path(file), int(count))))
        case ["orders", count]:
            print(json.dumps(fill_orders(int(count))))
        case _:
            sys.exit(__doc__)
