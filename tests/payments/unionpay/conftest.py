from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import override_settings
from django.utils import timezone

from members.models import Member
from payments.models import Attempt
from tests.payments.far_unionpay import FarUnionPay
from tests.shopping import UNIONPAY, Till


@pytest.fixture(scope="module")
def unionpay_on() -> Iterator[None]:
    """Once a module: building the gateway loads its keys, which is slow."""
    with override_settings(**FarUnionPay.settings()):
        yield


@pytest.fixture
def attempt(unionpay_on: None, shop: None, member: Member) -> Attempt:
    """¥15.00 to be paid with UnionPay, now."""
    return Till(timezone.now()).bill(member, way=UNIONPAY)
