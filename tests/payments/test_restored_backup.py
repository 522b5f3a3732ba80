"""H16, FLT-41: the database is an hour older than the world; asking brings everything back."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction

from members.models import Entitlement, Member
from payments.models import Attempt, Refund
from tests.shopping import ALIPAY, WECHAT, Till, broken, fresh


def work(till: Till) -> None:
    """What worker and beat do until nothing is due."""
    for _ in range(6):
        till.poll()
        till.run_outbox()
        till.continue_refunds()


def booked() -> list[object]:
    """All that the books say about money, without the rows' own ids."""
    return [
        sorted(
            Attempt.objects.values_list("out_trade_no", "state", "txn_id", "paid_fen")
        ),
        sorted(Refund.objects.values_list("out_refund_no", "state", "amount_fen")),
        Entitlement.objects.count(),
    ]


def test_a_backup_of_an_hour_ago_is_caught_up_by_asking(till: Till, member: Member):
    """One order was paid since, another one twice, and its surplus has gone back."""
    once = till.pay(till.place(member), WECHAT)
    twice = till.pay(till.place(member, "temporary-30"), WECHAT)
    rival = till.pay(twice.order, ALIPAY)
    backup = transaction.savepoint_create()
    till.wait(seconds=10)
    for attempt in (once, twice, rival):
        till.wallet.pay(attempt.gateway, attempt.out_trade_no, notify="lose")
    work(till)
    till.wait(minutes=2)
    work(till)
    before = booked()
    assert fresh(once.order).status == fresh(twice.order).status == "paid"
    assert Refund.objects.get().state == "success"
    end = fresh(member).paid_until

    transaction.savepoint_rollback(backup)
    assert booked() != before
    till.wait(hours=1)
    work(till)
    till.wait(minutes=2)
    work(till)
    assert booked() == before
    assert fresh(member).paid_until == end + timedelta(hours=1, minutes=2)
    [line] = [
        each for each in till.wallet.bill("alipay") if each["kind"] == "refund"
    ] + [each for each in till.wallet.bill("wechat") if each["kind"] == "refund"]
    assert line["amount_fen"] == 5_000
    assert broken(till.now) == []
