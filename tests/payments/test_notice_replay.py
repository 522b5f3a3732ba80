"""The recorded notices over HTTP: our reply, and what the database holds afterwards.

The files are tests/vectors or the folder that PROTOCOL_VECTORS names; each set brings
its own keys, numbers, prices and clock.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import time_machine
from django.conf import settings
from django.db.models import Model
from django.http import HttpResponse
from django.test import Client, override_settings

from members.models import Entitlement, Member, Plan, Segment
from notifications.models import Notification, Outbox
from orders.models import Order, Status
from payments import gateways
from payments.gateways import beijing
from payments.gateways.alipay.gateway import AlipayGateway
from payments.gateways.epay.gateway import EpayGateway
from payments.gateways.unionpay.gateway import UnionPayGateway
from payments.gateways.wechat.gateway import WechatGateway
from payments.gateways.wire import Wire
from payments.models import Attempt, GatewayEvent, Refund
from payments.refunding.refunds import book_whole
from payments.settle import apply_result
from tests.payments import protocol_vectors
from tests.payments.protocol_vectors import Case, Vectors
from tests.shopping import NOTICE, client_token, fresh, new_member, said

FILES = {
    "alipay": "alipay",
    "wechatpay": "wechat",
    "unionpay": "unionpay",
    "epay": "epay",
}
"""File name, which is also the id in ``-k``, and our gateway."""
VECTORS = {name: protocol_vectors.load(name) for name in FILES}
CASES = [
    pytest.param(name, case.values[0], id=case.id)
    for name, vectors in VECTORS.items()
    for case in protocol_vectors.cases(vectors, "notify", name)
]

pytestmark = pytest.mark.vectors


@pytest.fixture(scope="module")
def asked() -> list[httpx.Request]:
    """What the shop asked the gateways for; nobody answers."""
    return []


@pytest.fixture(scope="module")
def configured(asked: list[httpx.Request]) -> Iterator[dict[str, Any]]:
    """Each file's gateway, built once: loading its keys is slow."""

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        raise httpx.ConnectError("there is no network in this test")

    built: dict[str, Any] = {}
    for name, kind, values in (
        ("alipay", AlipayGateway, protocol_vectors.alipay_settings),
        ("wechatpay", WechatGateway, protocol_vectors.wechat_settings),
        ("unionpay", UnionPayGateway, protocol_vectors.unionpay_settings),
        ("epay", EpayGateway, protocol_vectors.epay_settings),
    ):
        if VECTORS[name]["config"]:
            with override_settings(**values(VECTORS[name]["config"])):
                wire = Wire(httpx.MockTransport(refuse))
                built[name] = kind.from_settings(settings, wire)
    return built  # type: ignore[return-value]


@pytest.fixture(autouse=True)
def _only_these_gateways(
    configured: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_code = {FILES[name]: gateway for name, gateway in configured.items()}
    monkeypatch.setattr(gateways, "get", by_code.get)


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def plan_for(sku: str) -> Plan:
    """The demo shop's plan of so many days; a set may sell others."""
    days = int(sku.removesuffix("d"))
    found = Plan.objects.filter(days=days).first()
    return found or Plan.objects.get(slug="temporary-7")


def create_orders(vectors: Vectors) -> None:
    """The attempts that a file expects, as they came to be."""
    for given in vectors["orders"]:
        plan = plan_for(given["sku"])
        created, expires = moment(given["created"]), moment(given["expires"])
        named_at = beijing.parse_compact(given.get("txnTime")) or created
        is_expired = given["status"] == "expired"
        order = Order.objects.create(
            no=given["out_trade_no"],
            client_token=client_token(),
            member=new_member(),
            plan=plan,
            title=str(plan),
            unit_fen=given["amount_fen"],
            amount_fen=given["amount_fen"],
            seconds=plan.seconds,
            rank=plan.tier.rank,
            tier_discount_bp=plan.tier.discount_bp,
            status=Status.EXPIRED if is_expired else Status.PENDING,
            placed_at=created,
            expires_at=expires,
        )
        attempt = Attempt.objects.create(
            order=order,
            gateway=given["channel"],
            channel=given["channel"],
            product="native",
            out_trade_no=given["out_trade_no"],
            amount_fen=given["amount_fen"],
            state="closed" if is_expired else "open",
            created_at=named_at,
        )
        if given["status"] == "paid":
            trade = said(attempt, txn_id=given["trade_no"])
            apply_result(attempt.gateway, trade, source=NOTICE, now=created)


def replay(name: str, case: Case) -> HttpResponse:
    """Send the recorded request byte for byte at the recorded time."""
    vectors, request = VECTORS[name], case["request"]
    with time_machine.travel(protocol_vectors.clock(vectors, case), tick=False):
        response: HttpResponse = Client().generic(  # type: ignore[assignment]
            request["method"],
            f"/payments/{FILES[name]}/notify/",
            request.get("body", "").encode(),
            content_type=protocol_vectors.content_type(request),
            QUERY_STRING=request.get("query", ""),
            **protocol_vectors.as_environ(request),  # type: ignore[arg-type]
        )
    return response


def replay_before(name: str, case: Case) -> None:
    """Whatever must have been handled first."""
    if "after_case" in case["expect"]:
        by_id = {each["id"]: each for each in VECTORS[name]["notify"]}
        earlier = by_id[case["expect"]["after_case"]]
        replay_before(name, earlier)
        replay(name, earlier)


def rows(*models: type[Model]) -> dict[str, list[dict[str, Any]]]:
    return {
        model.__name__: list(model._default_manager.order_by("pk").values())
        for model in models
    }


def state_of_the_shop() -> dict[str, list[dict[str, Any]]]:
    """All that people and their money depend on; the attempts' own rows apart."""
    return rows(Order, Entitlement, Segment, Refund, Notification, Outbox, Member)


def assert_reply(response: HttpResponse, expect: dict[str, Any]) -> None:
    status, body = response.status_code, response.content.decode()
    assert status == expect.get("http_status", status)
    assert status in expect.get("http_status_in", [status])
    assert status not in _as_list(expect.get("http_status_not", []))
    assert status // 100 in _as_list(expect.get("http_status_class", status // 100))
    assert body == expect.get("body", body)
    if "body_not" in expect:
        assert body not in _as_list(expect["body_not"])
    for key, value in expect.get("body_json", {}).items():
        assert json.loads(body)[key] == value


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def assert_effect(effect: str, attempt: Attempt | None, before: dict[str, Any]) -> None:
    """``before``: the state of the shop before the notice."""
    if effect in ("none", "query_later"):
        if Refund.objects.filter(reason="external").exists():
            assert_only_less(before)
        else:
            assert state_of_the_shop() == before
        return
    assert attempt is not None
    order = attempt.order
    match effect:
        case "mark_paid":
            assert order.status == "paid"
            assert Entitlement.objects.filter(order=order).count() == 1
            told = Notification.objects.filter(
                member=order.member, kind="activated", channel="sms"
            )
            assert told.count() == 1
        case "late_paid":
            refunded = Refund.objects.filter(attempt=attempt, reason="late")
            assert order.status == "paid" or refunded.exists()
        case "flag_overpaid":
            flagged = GatewayEvent.objects.filter(attempt=attempt, outcome="overpaid")
            surplus = Refund.objects.filter(attempt=attempt, reason="surplus")
            assert flagged.exists() or surplus.exists()
            assert Entitlement.objects.filter(order=order).count() == 1
        case "mark_closed":
            assert attempt.state == "closed"
            assert order.status == "pending"
        case "refund_done":
            assert Refund.objects.get(attempt=attempt).state == "success"
        case _:
            raise AssertionError(f"unknown effect {effect}")


def assert_only_less(before: dict[str, Any]) -> None:
    """A genuine refund that we did not ask for grants nothing: her time shrinks (F12)."""
    after = state_of_the_shop()
    for name in ("Entitlement", "Order"):
        assert len(after[name]) == len(before[name])
    was, now = before["Entitlement"], after["Entitlement"]
    for one, other in zip(was, now, strict=True):
        assert one["seconds"] == other["seconds"]
        assert one["revoked_seconds"] < other["revoked_seconds"] <= other["seconds"]
    statuses = [[row["status"] for row in each["Order"]] for each in (before, after)]
    assert statuses[0] == statuses[1]


def attempt_in(name: str, case: Case) -> Attempt | None:
    """The attempt that the notice is about, whatever its signature."""
    request = case["request"]
    form = request.get("body") or request.get("query", "")
    plain = case.get("plaintext") or dict(httpx.QueryParams(form))
    number = plain.get("out_trade_no") or plain.get("orderId", "")
    found = Attempt.objects.filter(gateway=FILES[name], out_trade_no=number)
    return found.select_related("order__member").first()


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "case"), CASES)
def test_a_recorded_notice_has_the_effect_and_the_reply_that_it_should(
    shop: None, name: str, case: Case, asked: list[httpx.Request]
):
    vectors, expect = VECTORS[name], case["expect"]
    create_orders(vectors)
    replay_before(name, case)
    if "needs_refund" in expect:
        _prepare_refund(name, case, expect["needs_refund"])
    before, attempts_before = state_of_the_shop(), rows(Attempt)
    asked.clear()

    response = replay(name, case)

    assert_reply(response, expect)
    attempt = attempt_in(name, case)
    if "effect" in expect:
        assert_effect(expect["effect"], attempt, before)
    if expect.get("effect") == "query_later":
        assert asked
    if expect.get("effect_not") == "mark_paid":
        assert not any(
            order["status"] == "paid"
            for order in state_of_the_shop()["Order"]
            if order not in before["Order"]
        )
    if expect.get("signature_valid") is False:
        assert rows(Attempt) == attempts_before
        assert asked == []


def _prepare_refund(name: str, case: Case, number: str) -> None:
    attempt = attempt_in(name, case)
    assert attempt is not None
    Attempt.objects.filter(pk=attempt.pk).update(refund_reserved_fen=attempt.paid_fen)
    now = protocol_vectors.clock(VECTORS[name], case)
    refund = book_whole(fresh(attempt), "surplus", now=now)  # type: ignore[arg-type]
    Refund.objects.filter(pk=refund.pk).update(out_refund_no=number)
