from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import override_settings
from django.utils import timezone

from members.models import Member
from payments.models import Attempt
from tests.payments.far_side import FarAlipay
from tests.shopping import ALIPAY, Till


@pytest.fixture(scope="module")
def alipay_on() -> Iterator[None]:
    """Once a module: building the gateway loads its keys, which is slow."""
    with override_settings(**FarAlipay.settings()):
        yield


@pytest.fixture
def attempt(alipay_on: None, shop: None, member: Member) -> Attempt:
    """¥15.00 to be paid with Alipay, now."""
    return Till(timezone.now()).bill(member, way=ALIPAY)
