"""The queue and the guarded actions: I1 to I7, I14, C5 through the console's pages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from members.models import Entitlement, Member
from orders.models import Order
from payments import cases
from payments.gateways.contract import RefundResult, RefundState
from payments.models import Attempt, EventOutcome, GatewayEvent, Refund
from payments.refunding import refunds
from tests.console.conftest import NOON, pay, signed_in, staff
from tests.console.form_of import _Fields
from tests.shopping import fresh

pytestmark = pytest.mark.django_db

Buy = Callable[..., Attempt]


@pytest.fixture(autouse=True)
def _noon(asleep: None) -> Any:
    with time_machine.travel(NOON + timedelta(minutes=1), tick=False):
        yield


def address(row: Any, action: str) -> str:
    stem = f"{row._meta.app_label}_{row._meta.model_name}"
    return reverse(f"admin:{stem}_{action}", args=[row.pk])


class _Form(_Fields):
    """The one form on a guarded page, which has no id."""

    def __init__(self) -> None:
        super().__init__("")
        self.inside = True


def form_at(client: Client, url: str) -> dict[str, str]:
    page = client.get(url)
    assert page.status_code == 200, url
    reader = _Form()
    reader.feed(page.content.decode().split('<form method="post" novalidate>')[1])
    return reader.values


def press(client: Client, row: Any, action: str, **typed: str) -> Any:
    """Open the page, fill in the form, confirm."""
    return confirm(client, row, action, form_at(client, address(row, action)), **typed)


def confirm(
    client: Client, row: Any, action: str, form: dict[str, str], **typed: str
) -> Any:
    filled = {"reason": "客户来电", **form, **typed, "confirm": "1"}
    if not filled.get("reason"):
        filled["reason"] = "客户来电"
    order = row if isinstance(row, Order) else None
    if order is None:
        attempt = getattr(row, "attempt", None) or row
        order = getattr(attempt, "order", None)
    if order is not None:
        filled.setdefault("tail", "")
        filled["tail"] = typed.get("tail", order.no[-4:])
    return client.post(address(row, action), filled)


def logged() -> list[str]:
    return [each.get_change_message() for each in LogEntry.objects.order_by("pk")]


# --- Money of another sum (C5, I14) ------------------------------------------------


@pytest.fixture
def odd(buy: Buy) -> Attempt:
    """¥14 for ¥15."""
    return buy(txn_id="4200001", paid_fen=1_400)


def test_i14_the_queue_lists_what_can_be_done(
    as_operator: Client, as_support: Client, odd: Attempt
) -> None:
    listing = "/console/payments/attempt/?case=open"
    html = as_operator.get(listing).content.decode()
    assert address(odd, "accept") in html
    assert address(odd, "give-back") in html
    assert address(odd, "accept") not in as_support.get(listing).content.decode()
    page = f"/console/payments/attempt/{odd.pk}/change/"
    assert address(odd, "accept") in as_operator.get(page).content.decode()
    assert address(odd, "accept") not in as_support.get(page).content.decode()


def test_c5_accepted_money_settles_the_order(
    as_operator: Client, operator: Member, odd: Attempt
) -> None:
    shown = as_operator.get(address(odd, "accept")).content.decode()
    for words in ("¥14.00", "¥15.00", odd.order.no, "马上开通"):
        assert words in shown
    answer = press(as_operator, odd, "accept", reason="少付一元")
    assert answer.status_code == 302
    order = fresh(odd.order)
    assert (order.status, order.settled_by) == ("paid", odd)
    event = order.events.get(kind="money-accepted")
    assert (event.actor, event.detail["reason"]) == (operator, "少付一元")
    assert logged() == ["收下这笔钱 少付一元"]


def test_c5_returned_money_is_refunded(as_operator: Client, odd: Attempt) -> None:
    assert press(as_operator, odd, "give-back").status_code == 302
    refund = Refund.objects.get()
    assert (refund.amount_fen, refund.note) == (1_400, "客户来电")
    assert not cases.unallocated().exists()


@pytest.mark.parametrize("action", ["accept", "give-back"])
def test_i3_i4_pressed_twice_or_on_an_old_page_it_happens_once(
    as_operator: Client, odd: Attempt, action: str
) -> None:
    form = form_at(as_operator, address(odd, action))
    assert confirm(as_operator, odd, action, form).status_code == 302
    again = confirm(as_operator, odd, action, form)
    assert again.status_code == 409
    assert Refund.objects.count() == (1 if action == "give-back" else 0)
    assert Entitlement.objects.count() == (1 if action == "accept" else 0)
    assert len(logged()) == 1


def test_i3_an_old_page_is_shown_anew_with_what_was_typed(
    as_operator: Client, odd: Attempt
) -> None:
    form = form_at(as_operator, address(odd, "accept"))
    Order.objects.update(version=int(form["version"]) + 1)
    answer = confirm(as_operator, odd, "accept", form, reason="少付一元")
    html = answer.content.decode()
    assert answer.status_code == 409
    assert "这一单刚有变化" in html
    assert "少付一元" in html
    assert fresh(odd.order).status == "pending"
    assert f'value="{int(form["version"]) + 1}"' in html


def test_i3_a_page_without_a_version_decides_nothing(
    as_operator: Client, odd: Attempt
) -> None:
    form = form_at(as_operator, address(odd, "accept")) | {"version": ""}
    assert confirm(as_operator, odd, "accept", form).status_code == 422
    assert fresh(odd.order).status == "pending"


@pytest.mark.parametrize(
    ("missing", "words"),
    [({"reason": " "}, "这个字段是必填项"), ({"tail": "0000"}, "最后四位")],
)
def test_a_reason_and_the_right_order_are_asked_for(
    as_operator: Client, odd: Attempt, missing: dict[str, str], words: str
) -> None:
    form = form_at(as_operator, address(odd, "give-back"))
    filled = {"reason": "x", "tail": odd.order.no[-4:], "confirm": "1"} | form
    answer = as_operator.post(address(odd, "give-back"), filled | missing)
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not Refund.objects.exists()
    assert logged() == []


# --- Refunds from the order's page -------------------------------------------------


@pytest.fixture
def order(buy: Buy) -> Order:
    return buy(txn_id="4200001").order


def test_the_refund_page_shows_the_proposal_and_works_a_part_out_first(
    as_operator: Client, order: Order
) -> None:
    """F5: sums and seconds before anything happens; a preview changes nothing."""
    url = address(order, "refund")
    page = as_operator.get(f"/console/orders/order/{order.pk}/change/")
    assert url in page.content.decode()
    form = form_at(as_operator, url)
    assert form["amount"] == "14.99"  # a minute has run
    preview = as_operator.post(url, form | {"amount": "5", "preview": "1"})
    html = preview.content.decode()
    assert preview.status_code == 200
    assert "201600 s" in html
    assert "原路退回" in html
    assert not Refund.objects.exists()


def test_a_part_is_refunded_with_the_seconds_that_the_operator_chose(
    as_operator: Client, operator: Member, order: Order
) -> None:
    answer = press(as_operator, order, "refund", amount="5", seconds="3600")
    assert answer.status_code == 302
    refund = Refund.objects.get()
    assert (refund.amount_fen, refund.revoked_seconds) == (500, 3_600)
    assert (refund.actor, refund.note) == (operator, "客户来电")
    page = as_operator.get(f"/console/orders/order/{order.pk}/change/")
    assert "登记退款" in page.content.decode()
    assert logged() == ["退款 客户来电"]


def test_i4_a_refund_pressed_twice_is_one(as_operator: Client, order: Order) -> None:
    form = form_at(as_operator, address(order, "refund")) | {"amount": "5"}
    assert confirm(as_operator, order, "refund", form).status_code == 302
    assert confirm(as_operator, order, "refund", form).status_code == 409
    assert Refund.objects.count() == 1


@pytest.mark.parametrize(
    ("typed", "status", "words"),
    [
        ({"amount": "15.01"}, 409, "金额超过"),
        ({"amount": "5", "seconds": "604800"}, 409, "要收回的时间"),
        ({"amount": "0"}, 422, "写成"),
        ({"amount": "-5"}, 422, "写成"),
        ({"amount": "5", "seconds": "-1"}, 422, ""),
        ({"amount": ""}, 422, "必填"),
    ],
)
def test_what_cannot_be_refunded_is_said(
    as_operator: Client, order: Order, typed: dict[str, str], status: int, words: str
) -> None:
    """F6."""
    answer = press(as_operator, order, "refund", **typed)
    assert answer.status_code == status
    assert words in answer.content.decode()
    assert not Refund.objects.exists()


# --- Orders: I2, I5, I6, I7 --------------------------------------------------------


def test_i2_mark_paid_needs_a_reason_and_a_reference(
    as_operator: Client, buy: Buy
) -> None:
    order = buy().order
    assert press(as_operator, order, "mark-paid").status_code == 422
    answer = press(as_operator, order, "mark-paid", reference="BANK-1")
    assert answer.status_code == 302
    assert fresh(order).status == "paid"
    assert logged() == ["登记线下收款 BANK-1 · 客户来电"]
    other = buy("temporary-1").order
    answer = press(as_operator, other, "mark-paid", reference="BANK-1")
    assert answer.status_code == 409
    assert "已经用来入过账" in answer.content.decode()
    assert fresh(other).status == "pending"
    page = as_operator.get(f"/console/orders/order/{order.pk}/change/")
    assert "线下收款" in page.content.decode()


def test_i5_the_window_is_extended(as_operator: Client, buy: Buy) -> None:
    order = buy().order
    assert press(as_operator, order, "extend", hours="25").status_code == 422
    assert press(as_operator, order, "extend", hours="3").status_code == 302
    assert fresh(order).expires_at == NOON + timedelta(hours=3, minutes=1)


def test_i6_the_gateway_is_asked_now(
    as_operator: Client, buy: Buy, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = buy()
    asked: list[tuple[int, datetime]] = []

    def ask(found: Attempt, *, now: datetime) -> str:
        asked.append((found.pk, now))
        pay(found, "4200001", at=now)
        return "answered"

    monkeypatch.setattr("payments.polling.query_attempt", ask)
    answer = as_operator.post(
        address(attempt.order, "query"),
        form_at(as_operator, address(attempt.order, "query")) | {"confirm": "1"},
    )
    assert answer.status_code == 302
    assert asked == [(attempt.pk, NOON + timedelta(minutes=1))]
    assert fresh(attempt.order).status == "paid"


@pytest.mark.parametrize("action", ["approve", "reject"])
def test_i7_a_held_order_is_delivered_or_returned_once(
    as_operator: Client, buy: Buy, action: str
) -> None:
    attempt = buy()
    Order.objects.update(risk="review")
    pay(attempt, "4200001")
    order = fresh(attempt.order)
    other = {"approve": "reject", "reject": "approve"}[action]
    form = form_at(as_operator, address(order, other))
    assert press(as_operator, order, action).status_code == 302
    assert confirm(as_operator, order, other, form).status_code == 409
    assert Entitlement.objects.count() == (action == "approve")
    assert Refund.objects.count() == (action == "reject")


# --- Messages of the gateways ------------------------------------------------------


def test_i14_a_message_that_fits_nothing_is_resolved_with_a_reason(
    as_operator: Client, operator: Member, db: None
) -> None:
    event = GatewayEvent.objects.create(
        gateway="alipay", digest="d", kind="notice", outcome=EventOutcome.ORPHAN
    )
    listing = "/console/payments/gatewayevent/?case=open"
    assert address(event, "resolve") in as_operator.get(listing).content.decode()
    assert press(as_operator, event, "resolve", reason="测试环境的").status_code == 302
    event.refresh_from_db()
    assert (event.resolved_by, event.resolution) == (operator, "测试环境的")
    assert event.resolved_at == NOON + timedelta(minutes=1)
    assert as_operator.get(address(event, "resolve")).status_code == 409
    assert address(event, "resolve") not in as_operator.get(listing).content.decode()
    assert logged() == ["标为处理过 测试环境的"]


def test_i14_a_sum_that_nobody_could_read_is_a_case(
    as_operator: Client, buy: Buy
) -> None:
    """Until its payment is booked otherwise."""
    attempt = buy()
    event = GatewayEvent.objects.create(
        gateway="wechat",
        digest="d",
        kind="notice",
        outcome=EventOutcome.MISMATCH,
        attempt=attempt,
    )
    assert list(cases.open_events()) == [event]
    page = as_operator.get("/console/payments/gatewayevent/?case=open")
    assert address(event, "resolve") in page.content.decode()
    pay(attempt, "4200001")
    assert not cases.open_events().exists()


def test_b14b_a_second_payment_is_returned_from_the_queue(
    as_operator: Client, order: Order
) -> None:
    attempt = Attempt.objects.get(order=order)
    pay(attempt, "4200002")
    event = GatewayEvent.objects.get(outcome="overpaid")
    form = form_at(as_operator, address(event, "give-back"))
    assert confirm(as_operator, event, "give-back", form).status_code == 302
    assert confirm(as_operator, event, "give-back", form).status_code == 409
    refund = Refund.objects.get()
    assert (refund.txn_id, refund.second_payment) == ("4200002", event)
    assert not cases.open_events().exists()


# --- Refunds that need a hand ------------------------------------------------------


@pytest.fixture
def manual(as_operator: Client, buy: Buy) -> Refund:
    """Money that came offline and is to go back."""
    order = buy().order
    press(as_operator, order, "mark-paid", reference="BANK-1")
    answer = press(as_operator, fresh(order), "refund", amount="15")
    assert answer.status_code == 302
    LogEntry.objects.all().delete()
    return Refund.objects.get()


def test_what_no_gateway_can_return_is_a_task_with_sum_and_reason(
    as_operator: Client, as_support: Client, manual: Refund
) -> None:
    front = as_operator.get("/console/").content.decode()
    assert "<b>1</b> 要人处理的退款" in front
    listing = "/console/payments/refund/?case=open"
    html = as_operator.get(listing).content.decode()
    assert address(manual, "outside") in html
    assert "¥15.00" in html
    assert address(manual, "outside") not in as_support.get(listing).content.decode()


def test_it_is_marked_as_done_with_a_reference(
    as_operator: Client, operator: Member, manual: Refund
) -> None:
    form = form_at(as_operator, address(manual, "outside"))
    assert confirm(as_operator, manual, "outside", form).status_code == 422
    done = confirm(as_operator, manual, "outside", form, reference="ICBC-99")
    assert done.status_code == 302
    manual.refresh_from_db()
    assert manual.state == "success"
    assert "ICBC-99" in manual.note
    again = confirm(as_operator, manual, "outside", form, reference="ICBC-100")
    assert again.status_code == 409
    assert logged() == ["登记已在外面退款 ICBC-99"]
    event = manual.attempt.order.events.get(kind="returned-outside")
    assert event.actor == operator
    assert "没有要处理的事" in as_operator.get("/console/").content.decode()


def test_it_is_given_up_and_the_time_comes_back(
    as_operator: Client, buyer: Member, manual: Refund
) -> None:
    assert fresh(buyer).paid_until is None
    assert press(as_operator, manual, "give-up").status_code == 302
    assert fresh(buyer).paid_until is not None
    assert not cases.waiting_refunds().exists()


def test_a_failed_refund_and_a_dispute_are_seen_to(
    as_operator: Client, buyer: Member, order: Order
) -> None:
    """F9, F13."""
    press(as_operator, order, "refund", amount="5")
    refund = Refund.objects.get()
    number = refund.attempt.out_trade_no
    failed = RefundResult(refund.out_refund_no, number, RefundState.FAILED)
    refunds.apply_refund("wechat", failed, now=NOON)
    assert press(as_operator, refund, "see-to").status_code == 302
    assert not cases.waiting_refunds().exists()
    outside = RefundResult(
        "X1", number, RefundState.SUCCESS, refund_fen=500, gateway_refund_id="9"
    )
    refunds.apply_refund("wechat", outside, now=NOON)
    external = Refund.objects.get(reason="external")
    before = fresh(buyer).paid_until
    assert press(as_operator, external, "dispute-won").status_code == 302
    assert fresh(buyer).paid_until > before


# --- Who may -----------------------------------------------------------------------


def rows(buy: Buy) -> list[tuple[Any, str]]:
    order = buy(txn_id="4200009").order
    odd = buy(txn_id="4200010", paid_fen=1_400)
    event = GatewayEvent.objects.create(
        gateway="alipay", digest="d", kind="notice", outcome=EventOutcome.ORPHAN
    )
    return [
        (order, "refund"),
        (order, "query"),
        (buy("temporary-1").order, "mark-paid"),
        (buy("temporary-1").order, "extend"),
        (odd, "accept"),
        (odd, "give-back"),
        (event, "resolve"),
    ]


@pytest.mark.parametrize("who", ["support", "clerk"])
def test_security_68_support_decides_nothing(
    buy: Buy, support: Member, who: str
) -> None:
    """403 for all of it, and nothing moves."""
    client = signed_in(support if who == "support" else staff("xinren"))
    for row, action in rows(buy):
        for send in (client.get, client.post):
            answer = send(
                address(row, action), {"confirm": "1", "reason": "x", "tail": "x"}
            )
            assert answer.status_code == 403, address(row, action)
    assert not Refund.objects.exists()
    assert Entitlement.objects.count() == 1


def test_i1_what_an_operator_may_decide_she_still_cannot_edit(
    as_operator: Client, manual: Refund
) -> None:
    for row in (manual, manual.attempt, manual.attempt.order):
        url = f"/console/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/change/"
        assert as_operator.post(url, {"state": "success"}).status_code == 403
        assert as_operator.get(url.replace("change", "delete")).status_code == 403


def test_a_forged_confirmation_is_refused(operator: Member, odd: Attempt) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(operator)
    filled = {"confirm": "1", "reason": "x", "tail": odd.order.no[-4:]}
    assert strict.post(address(odd, "accept"), filled).status_code == 403
    assert fresh(odd.order).status == "pending"


def test_a_row_that_is_not_there_is_404(as_operator: Client, db: None) -> None:
    url = reverse("admin:payments_attempt_accept", args=[10**9])
    assert as_operator.get(url).status_code == 404
