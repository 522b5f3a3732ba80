"""Automatic renewal from the ticked box to the next week, with the real protocol.

Each case of ``correctness.md`` E8 to E17; the time is Asia/Shanghai. Membership of seven
days bought on 11-22 at 10:00 ends on 11-29 at 10:00.
"""

from __future__ import annotations

import pytest

from tests.payments.renewing import (
    Renewals,
    beijing,
    bought,
    charges_of,
    renewals_of,
    texts_to,
    told,
)
from tests.shopping import Till, broken, fresh

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shop_of(till: Till) -> Renewals:
    return Renewals(till)


def test_notice_reminder_charge_and_the_next_week(shop_of: Renewals):
    """E8, E17 and W12: told five days and three days before, charged a day before."""
    member = bought(shop_of.till)
    shop_of.signed(member)
    shop_of.until("11-23 09:59")
    assert told(member, "renewal") == []
    shop_of.until("11-23 10:05")
    first = texts_to(shop_of.till, member)[-1]
    assert "11 月 28 日 10:00 将自动续费 ¥15" in first
    assert "/s/s" in first
    shop_of.until("11-26 09:59")
    assert len(told(member, "renewal", "sms")) == 1
    shop_of.until("11-26 10:05")
    assert texts_to(shop_of.till, member)[-1] == first
    assert told(member, "expiring") == []
    shop_of.until("11-28 09:59")
    assert charges_of(member) == []
    shop_of.until("11-28 10:05", every=beijing("11-28 10:00") - beijing("11-28 09:59"))
    assert charges_of(member) == [("11-28 10:00", 1_500, "paid")]
    assert fresh(member).paid_until == beijing("12-06 10:00")
    [order] = renewals_of(member)
    assert (order.status, order.fulfil, order.amount_fen) == ("paid", "done", 1_500)
    assert broken(shop_of.now) == []
