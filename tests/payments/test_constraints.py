"""K8 to K15 and K22 to K24, K26: what the database refuses, whatever the code does."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from django.db.models import ProtectedError
from django.utils import timezone

from members.models import Member, Plan
from notifications.models import Notification, Outbox
from payments.models import Attempt, AutoRenew, Consent, GatewayEvent, Refund
from tests.constraints import allows, refuses
from tests.shopping import WECHAT, Till, fresh


@pytest.fixture
def attempt(book: Till, member: Member) -> Attempt:
    return book.bill(member, way=WECHAT)


@pytest.fixture
def paid(book: Till, attempt: Attempt) -> Attempt:
    book.hear(attempt)
    return fresh(attempt)


def row(attempt: Attempt, **change: Any) -> Attempt:
    fields = {
        "order_id": attempt.order_id,
        "gateway": "wechat",
        "channel": "wechat",
        "product": "h5",
        "out_trade_no": "ANOTHER00000000000000001",
        "amount_fen": 1_500,
        "state": "failed",
    }
    return Attempt(**fields | change)


def adding(*rows: Any) -> Any:
    return lambda: type(rows[0]).objects.bulk_create(rows)


def change(attempt: Attempt, **values: Any) -> Any:
    return lambda: Attempt.objects.filter(pk=attempt.pk).update(**values)


def test_k8_a_number_is_used_once_at_a_gateway(attempt: Attempt):
    same = {"out_trade_no": attempt.out_trade_no}
    refuses(adding(row(attempt, **same)))
    allows(adding(row(attempt, **same, gateway="alipay")))


def test_k9_a_transaction_pays_one_attempt(book: Till, paid: Attempt):
    money = {"state": "paid", "paid_fen": 1_500, "txn_id": paid.txn_id}
    refuses(adding(row(paid, **money)))
    allows(adding(row(paid, **money, gateway="alipay")))
    allows(adding(row(paid), row(paid, out_trade_no="ANOTHER00000000000000002")))


@pytest.mark.parametrize("first", ["created", "open", "unknown"])
@pytest.mark.parametrize("second", ["created", "open", "unknown"])
def test_k10_one_attempt_a_gateway_is_live(attempt: Attempt, first: str, second: str):
    """B2 and E12."""
    change(attempt, state=first)()
    refuses(adding(row(attempt, state=second)))
    allows(adding(row(attempt, state=second, gateway="alipay")))
    change(attempt, state="closed")()
    allows(adding(row(attempt, state=second)))


@pytest.mark.parametrize(
    "values",
    [
        {"state": "paid"},
        {"state": "paid", "txn_id": "42000"},
        {"state": "paid", "paid_fen": 1_500},
        {"state": "lost"},
    ],
    ids=str,
)
def test_k11_no_attempt_is_paid_without_money(attempt: Attempt, values: dict[str, Any]):
    refuses(change(attempt, **values))
    allows(change(attempt, state="paid", txn_id="42000", paid_fen=1_500))


def test_k12_no_more_is_returned_than_came(attempt: Attempt, paid: Attempt):
    """F6, F7 and G8."""
    refuses(change(paid, refund_reserved_fen=1_501))
    refuses(change(paid, refund_reserved_fen=-1))
    allows(change(paid, refund_reserved_fen=1_500))
    unpaid = row(attempt, refund_reserved_fen=1)
    refuses(adding(unpaid))


def refund(attempt: Attempt, **change: Any) -> Refund:
    fields = {
        "attempt": attempt,
        "out_refund_no": "R1",
        "amount_fen": 100,
        "reason": "operator",
    }
    return Refund(**fields | change)


def test_k13_a_refund_number_is_used_once(paid: Attempt):
    """F8 and H8."""
    refuses(adding(refund(paid), refund(paid)))
    allows(adding(refund(paid), refund(paid, out_refund_no="R2")))


@pytest.mark.parametrize("first", ["surplus", "late", "short"])
@pytest.mark.parametrize("second", ["surplus", "late", "short"])
def test_k14_money_goes_back_by_itself_once(paid: Attempt, first: str, second: str):
    """C6, C7 and D24; an operator may return it in parts."""
    refund(paid, reason=first).save()
    refuses(adding(refund(paid, reason=second, out_refund_no="R2")))
    allows(
        adding(
            refund(paid, out_refund_no="R2"),
            refund(paid, out_refund_no="R3"),
        )
    )


def test_k15_a_refund_of_the_gateway_is_booked_once(paid: Attempt):
    """F12."""
    first = refund(paid, gateway_refund_id="50000")
    second = refund(paid, gateway_refund_id="50000", out_refund_no="R2")
    refuses(adding(first, second))
    allows(adding(refund(paid), refund(paid, out_refund_no="R2")))


@pytest.mark.parametrize(
    "values", [{"state": "lost"}, {"reason": "whim"}, {"amount_fen": 0}], ids=str
)
def test_a_refund_is_of_something_for_a_reason(paid: Attempt, values: dict[str, Any]):
    refuses(adding(refund(paid, **values)))


def test_a_second_payment_goes_back_once(paid: Attempt):
    """B14b: again only after it has failed."""
    event = GatewayEvent.objects.create(
        gateway="wechat", digest="d", kind="notice", outcome="overpaid", attempt=paid
    )
    first = refund(paid, second_payment=event)
    second = refund(paid, second_payment=event, out_refund_no="R2")
    refuses(adding(first, second))
    failed = refund(paid, second_payment=event, state="failed")
    allows(adding(failed, second))


def test_no_seconds_are_taken_back_of_nothing(paid: Attempt):
    """R20: what is to return must have come from somewhere."""
    refuses(adding(refund(paid, revoked_seconds=1)))
    allows(adding(refund(paid, revoked_seconds=0, state="manual")))


def test_k22_an_effect_is_written_once(db: None, now: datetime):
    """B7 and H3."""

    def effect(key: str) -> Outbox:
        return Outbox(key=key, kind="sms", due_at=now)

    refuses(adding(effect("activated:1"), effect("activated:1")))
    allows(adding(effect("activated:1"), effect("activated:2")))


def test_k23_a_message_is_written_once(member: Member, now: datetime):
    """E5 and E6."""

    def message(key: str) -> Notification:
        return Notification(
            key=key,
            member=member,
            kind="expiring",
            channel="sms",
            due_at=now,
            created_at=now,
        )

    refuses(adding(message("expire:1"), message("expire:1")))
    allows(adding(message("expire:1"), message("expire:2")))


def test_k24_a_message_of_a_gateway_is_kept_once(db: None):
    """B12: the same bytes to the other gateway's address are another message."""

    def event(gateway: str, outcome: str = "noted") -> GatewayEvent:
        return GatewayEvent(gateway=gateway, digest="d", kind="notice", outcome=outcome)

    refuses(adding(event("wechat"), event("wechat")))
    allows(adding(event("wechat"), event("alipay")))
    refuses(adding(event("wechat", outcome="ignored")))


def test_what_was_paid_cannot_be_deleted(paid: Attempt):
    for each in (paid, paid.order, paid.order.member):
        with pytest.raises(ProtectedError):
            each.delete()


# --- Renewals ------------------------------------------------------------------------


def consent(member: Member, **change: Any) -> Consent:
    fields = {
        "member": member,
        "plan": Plan.objects.get(slug="temporary-7"),
        "price_fen": 1_500,
        "days": 7,
        "terms": "1.0",
        "gateway": "alipay",
        "number": "A1",
        "agreed_at": timezone.now(),
    }
    return Consent(**fields | change)


SIGNED = {"state": "signed", "contract_no": "C1", "signed_at": timezone.now()}


def test_k26_one_renewal_a_member(week: Plan, member: Member, operator: Member):
    one, two, hers = Consent.objects.bulk_create(
        [
            consent(member, **SIGNED),
            consent(member, number="A2"),
            consent(operator, number="A3"),
        ]
    )
    now = timezone.now()

    def on(whose: Member, by: Consent, **change: Any) -> AutoRenew:
        fields = {"member": whose, "consent": by, "changed_at": now, "due_at": now}
        return AutoRenew(**fields | change)

    AutoRenew.objects.bulk_create([on(member, one)])
    refuses(adding(on(member, two)))
    refuses(adding(on(operator, one)))
    allows(adding(on(operator, hers)))
    refuses(adding(on(operator, hers, due_at=None)))
    refuses(adding(on(operator, hers, enabled=False)))
    allows(adding(on(operator, hers, enabled=False, due_at=None)))
    with pytest.raises(ProtectedError):
        one.delete()


def test_a_consent_is_what_its_state_says(week: Plan, member: Member, operator: Member):
    now = timezone.now()
    ended = {"state": "ended", "ended_at": now, "ended_by": "member"}
    allows(adding(consent(member)))
    allows(adding(consent(member, **SIGNED)))
    allows(adding(consent(member, **ended)))
    for wrong in (
        {"state": "signed"},
        {"state": "signed", "signed_at": now},
        {"signed_at": now},
        {"ended_at": now},
        {"state": "ended", "ended_at": now},
        {"state": "odd"},
        {"price_fen": 0},
    ):
        refuses(adding(consent(member, **wrong)))


def test_numbers_contracts_and_members_sign_once(
    week: Plan, member: Member, operator: Member
):
    Consent.objects.bulk_create([consent(member, **SIGNED)])
    refuses(adding(consent(operator)))
    allows(adding(consent(operator, gateway="other")))
    refuses(adding(consent(operator, **SIGNED | {"number": "A2"})))
    refuses(adding(consent(member, **SIGNED | {"number": "A2", "contract_no": "C2"})))
    allows(adding(consent(operator, **SIGNED | {"number": "A2", "contract_no": "C2"})))
