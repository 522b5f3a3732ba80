"""Coupons for tests."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

from orders.models import Coupon
from tests.shopping import Till

_numbers = itertools.count(1)


def make_coupon(book: Till, code: str = "", **more: Any) -> Coupon:
    """¥5 off anything, once, for a week; unless told otherwise."""
    value = {} if "off_bp" in more else {"off_fen": 500}
    facts: dict[str, Any] = {
        "code": code or f"SAVE{next(_numbers):04}",
        "starts_at": book.now - timedelta(days=1),
        "ends_at": book.now + timedelta(days=7),
    }
    return Coupon.objects.create(**facts | value | more)


def used(coupon: Coupon) -> int:
    return Coupon.objects.values_list("used", flat=True).get(pk=coupon.pk)
