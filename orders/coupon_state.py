"""What a page of the checkout knows of its coupon; ``coupon_step`` fills it in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core import signing

from members.sign_in.phone_step import FieldError
from orders.coupon_models import Coupon
from orders.coupons import Cut

REFERENCE = "orders.coupon"


@dataclass(slots=True)
class CouponState:
    """A coupon that was found; ``cut`` is the price with it, ``fault`` why there is none."""

    coupon: Coupon | None = None
    cut: Cut | None = None
    fault: FieldError | None = None

    def facts(self) -> dict[str, Any]:
        """What the fragment ``#summary`` tells of it."""
        if self.coupon is None:
            return {}
        return {
            "applied": signing.dumps(self.coupon.pk, salt=REFERENCE),
            "off_fen": self.cut.off_fen if self.cut else None,
            "coupon_words": self.fault.message if self.fault else "",
        }
