"""A shop in full use: an owner with orders in every state, a stranger, a guest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client, override_settings
from django.utils import timezone

from members import links
from members.models import Member, ShopRules
from orders.models import Order
from tests.goods.shelves import make_goods
from tests.payments.far_side import FarAlipay, FarWechat
from tests.security.hostile import PRODUCT
from tests.shopping import ALIPAY, WECHAT, Till, fresh, new_member

PHONE = "+8613712345678"


@pytest.fixture(scope="module")
def wallets_on() -> Iterator[None]:
    """Both gateways have keys; nobody answers at their addresses."""
    with override_settings(**FarAlipay.settings(), **FarWechat.settings()):
        yield


@dataclass
class World:
    """``token`` opens the redacted status of ``pending``, ``paid_token`` of ``paid``."""

    owner: Member
    stranger: Member
    pending: Order
    paid: Order
    cancelled: Order
    expired: Order
    goods_order: Order

    @property
    def orders(self) -> tuple[Order, ...]:
        return (
            self.pending,
            self.paid,
            self.cancelled,
            self.expired,
            self.goods_order,
        )

    @property
    def token(self) -> str:
        return links.token(links.ORDER, self.pending.pk)

    @property
    def paid_token(self) -> str:
        return links.token(links.ORDER, self.paid.pk)

    @property
    def renew_token(self) -> str:
        return links.token(links.RENEW, self.owner.pk)

    def as_owner(self) -> Client:
        return signed_in(self.owner)

    def as_stranger(self) -> Client:
        return signed_in(self.stranger)


def signed_in(member: Member) -> Client:
    client = Client()
    client.force_login(member)
    return client


@pytest.fixture
def world(shop: None, asleep: None, wallets_on: None) -> Iterator[World]:
    """The clock stands: a page asks no gateway about an attempt of this very moment.

    Guesses have room: what a limit does is tested where its numbers are the shop's.
    """
    rules = ShopRules.objects.get()
    rules.misses_per_address = rules.misses_per_network = 10_000
    rules.save()
    with time_machine.travel(timezone.now(), tick=False):
        till = Till(timezone.now())
        owner = Member.objects.create_user(PHONE)
        paid = till.bill(owner, way=WECHAT)
        till.hear(paid)
        yield World(
            owner=owner,
            stranger=new_member(),
            pending=till.bill(owner, way=ALIPAY).order,
            paid=fresh(paid.order),
            cancelled=_ended(till, owner, "cancelled"),
            expired=_ended(till, owner, "expired"),
            goods_order=till.buy_goods(owner, make_goods("card", keys=3), quantity=2),
        )


def _ended(till: Till, owner: Member, status: str) -> Order:
    order = till.bill(owner, "temporary-1").order
    order.attempts.update(state="closed", next_query_at=None)
    earlier = till.now - timedelta(hours=1)
    Order.objects.filter(pk=order.pk).update(
        status=status, placed_at=earlier, expires_at=earlier + timedelta(minutes=30)
    )
    return fresh(order)


def calm(client: Client) -> Client:
    """Failures come as answers, as a browser would see them."""
    client.raise_request_exception = False
    return client


def is_calm(answer: Any) -> bool:
    """No failure, no trace, and nothing of the probe but escaped."""
    text = answer.content.decode("utf-8", "replace")
    return (
        answer.status_code < 500
        and "Traceback" not in text
        and "<svg/onload" not in text
        and PRODUCT not in text
        and not re.search(r"""(?:href|src|action)=["']?\s*javascript:""", text)
        and "Set-Cookie: x=1" not in str(answer.headers)
    )
