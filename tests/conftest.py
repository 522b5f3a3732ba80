"""The cast and the shop that tests share."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import hypothesis
import pytest
from hypothesis.configuration import set_hypothesis_home_dir

from members import catalogue, rules
from members.management.commands.demo import fill
from members.models import Member, Plan

set_hypothesis_home_dir("var/cache/hypothesis")
hypothesis.settings.register_profile(
    "shop",
    database=None,
    deadline=None,  # the machine may be busy with other things
    suppress_health_check=[
        hypothesis.HealthCheck.function_scoped_fixture,  # each example is its own member
        hypothesis.HealthCheck.too_slow,
    ],
)
hypothesis.settings.load_profile("shop")


@pytest.fixture(autouse=True)
def fresh_caches() -> Iterator[None]:
    """What the process keeps for seconds must not leak between tests."""
    catalogue.forget()
    rules.forget()
    yield
    catalogue.forget()
    rules.forget()


@pytest.fixture
def now() -> datetime:
    """10:00 in Shanghai, where the worked examples begin."""
    return datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


@pytest.fixture
def shop(db: None) -> None:
    """The demo shop: two tiers, five plans."""
    fill()


@pytest.fixture
def guest_phone() -> str:
    return "+8613800138000"


@pytest.fixture
def member(db: None) -> Member:
    return Member.objects.create_user("+8613900139000")


@pytest.fixture
def operator(db: None) -> Member:
    """Without a password: hashing one takes longer than most tests."""
    return Member.objects.create(username="operator", is_staff=True)


@pytest.fixture
def week(shop: None) -> Plan:
    return Plan.objects.select_related("tier").get(slug="temporary-7")
