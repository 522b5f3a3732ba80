"""Two people of the staff, and an order with a whole story."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.test import Client
from pytest_django import Settings

from members import staff_roles
from members.models import Member, Plan
from orders.checkout import place_order
from orders.models import Order
from payments.attempts import Way, create_locked
from payments.gateways.contract import Product, Trade, TradeState
from payments.models import Attempt
from payments.settle import Source, apply_result

NOON = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
PHONE = "+8613800138000"
PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def quick_passwords(settings: Settings) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def staff(name: str, *roles: str, superuser: bool = False) -> Member:
    member = Member.objects.create_staff(name, PASSWORD)
    for role in roles:
        staff_roles.assign(member, role)
    if superuser:
        member.is_superuser = True
        member.save(update_fields=["is_superuser"])
    return member


def signed_in(member: Member) -> Client:
    client = Client()
    client.force_login(member)
    return client


@pytest.fixture
def operator(db: None) -> Member:
    return staff("yunying", staff_roles.OPERATOR)


@pytest.fixture
def support(db: None) -> Member:
    return staff("kefu", staff_roles.SUPPORT)


@pytest.fixture
def as_operator(operator: Member) -> Client:
    return signed_in(operator)


@pytest.fixture
def as_support(support: Member) -> Client:
    return signed_in(support)


@pytest.fixture
def buyer(db: None) -> Member:
    return Member.objects.create_user(PHONE)


@pytest.fixture
def buy(shop: None, buyer: Member) -> Callable[..., Attempt]:
    """Places an order with one attempt; pays it where a gateway number is given."""

    def bought(
        plan: str = "temporary-7",
        *,
        member: Member | None = None,
        txn_id: str = "",
        paid_fen: int | None = None,
        gateway: str = "wechat",
        at: datetime = NOON,
    ) -> Attempt:
        way = Way(gateway, gateway, Product.NATIVE)
        made: list[Attempt] = []

        def attach(order: Order) -> None:
            made.append(create_locked(order, way, now=at))

        place_order(
            member_id=(member or buyer).pk,
            plan_slug=plan,
            quantity=1,
            shown_fen=Plan.objects.get(slug=plan).price_at(at),
            client_token=f"token-of-the-order-{Order.objects.count()}",
            address_digest="",
            now=at,
            attach=attach,
        )
        attempt = made[0]
        if txn_id:
            pay(attempt, txn_id, paid_fen, at=at)
            attempt.refresh_from_db()
        return attempt

    return bought


def pay(
    attempt: Attempt, txn_id: str, paid_fen: int | None = None, *, at: datetime = NOON
) -> None:
    trade = Trade(
        number=attempt.out_trade_no,
        state=TradeState.PAID,
        raw_state="SUCCESS",
        txn_id=txn_id,
        amount_fen=attempt.amount_fen if paid_fen is None else paid_fen,
        currency="CNY",
        paid_at=at,
    )
    source = Source("notice", f"{attempt.out_trade_no}-{txn_id}")
    apply_result(attempt.gateway, trade, source=source, now=at)
