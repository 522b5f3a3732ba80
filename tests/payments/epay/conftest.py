from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import override_settings

from members.models import Member
from orders.models import Order
from payments.attempts import Way
from payments.models import Attempt
from tests.payments.epay.far_epay import FarEpay
from tests.sandbox_process import Sandbox
from tests.shopping import Till

PHONE_CREDIT = Way("epay", "phone_credit", "huafei", "203.0.113.9")


@pytest.fixture(scope="module")
def epay_on(gateways_on: None, sandbox_process: Sandbox) -> Iterator[None]:
    """epay is the sandbox's, beside the other gateways."""
    names = {
        name: value
        for name, value in sandbox_process.environment.items()
        if name.startswith("EPAY_")
    }
    with override_settings(**names):
        yield


@pytest.fixture(scope="module")
def silent_epay() -> Iterator[None]:
    """epay is on, at an address where nobody answers a query."""
    with override_settings(**FarEpay.settings()):
        yield


@pytest.fixture
def order(epay_on: None, till: Till, member: Member) -> Order:
    return till.place(member)


@pytest.fixture
def attempt(till: Till, order: Order) -> Attempt:
    """¥15.00 to be paid by phone credit, open at the sandbox."""
    return till.pay(order, PHONE_CREDIT)
