"""``/_control/``: the sandbox's JSON side for tests. All of it in docs/sandbox.md."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, re_path

from sandbox import buying
from sandbox.buying import NotPayable, Purchase
from sandbox.faults import Fault, Kind
from sandbox.gateways import GATEWAYS
from sandbox.trades import Payment, RefundStatus, Trade, json_text
from sandbox.world import RefundPlan, world

Json = dict[str, Any]
View = Callable[..., HttpResponse]
Work = Callable[..., object]


class Mistaken(Exception):
    """The caller's mistake, answered with ``status`` and its words."""

    def __init__(self, words: str, status: int = 400) -> None:
        super().__init__(words)
        self.words, self.status = words, status


def urls() -> list[URLPattern]:
    trade = r"^_control/trades/(?P<gateway>\w+)/(?P<number>[^/]+)"
    refund = r"^_control/refunds/(?P<gateway>\w+)/(?P<number>[^/]+)"
    return [
        re_path(r"^_control/trades/?$", trades),
        re_path(trade + r"/?$", one_trade),
        re_path(trade + r"/pay/?$", pay),
        re_path(trade + r"/refuse/?$", refuse),
        re_path(trade + r"/close/?$", close),
        re_path(r"^_control/notify/(?P<gateway>\w+)/(?P<number>[^/]+)/?$", notify),
        re_path(r"^_control/notices/?$", notices),
        re_path(r"^_control/refunds/?$", refund_plans),
        re_path(refund + r"/?$", settle_refund),
        re_path(r"^_control/bill/(?P<gateway>\w+)/?$", bill),
        re_path(r"^_control/sms/?$", messages),
        re_path(r"^_control/calls/?$", calls),
        re_path(r"^_control/faults/?$", faults),
        re_path(r"^_control/clock/?$", clock),
        re_path(r"^_control/wechat/?$", wechat),
        re_path(r"^_control/epay/?$", epay),
        re_path(r"^_control/people/?$", people),
        re_path(r"^_control/consents/?$", consents),
        re_path(r"^_control/reset/?$", reset),
        re_path(r"^_control/health/?$", health),
    ]


def spoken(*methods: str) -> Callable[[Work], View]:
    """JSON in, JSON out: the view gets the parsed body and returns a value."""

    def decorate(view: Work) -> View:
        @wraps(view)
        def wrapper(request: HttpRequest, **captured: str) -> HttpResponse:
            try:
                if request.method not in methods:
                    raise Mistaken(f"use {' or '.join(methods)}", 405)
                result = view(request, _body(request), **captured)
            except Mistaken as error:
                return _answer({"error": error.words}, error.status)
            except (TypeError, ValueError) as error:
                return _answer({"error": str(error)}, 400)
            return _answer(result, 200)

        return wrapper

    return decorate


def _body(request: HttpRequest) -> Json:
    value = json.loads(request.body) if request.body else {}
    if not isinstance(value, dict):
        raise Mistaken("the body is not a JSON object")
    return value


def _answer(value: object, status: int) -> HttpResponse:
    return HttpResponse(json_text(value), "application/json", status)


def _known(gateway: str) -> str:
    if gateway not in GATEWAYS:
        raise Mistaken(f"no gateway {gateway}", 404)
    return gateway


def _trade(gateway: str, number: str) -> Trade:
    trade = world().trades.get(_known(gateway), number)
    if trade is None:
        raise Mistaken(f"{gateway} has no trade {number}", 404)
    return trade


def _view(trade: Trade, now: datetime) -> Json:
    path = f"/{trade.gateway}/cashier/{trade.links[-1].token}/" if trade.links else ""
    return trade.as_json() | {"state": trade.state(now), "cashier": path}


@spoken("GET")
def trades(request: HttpRequest, body: Json) -> object:
    """All trades, newest first; ``?gateway=`` for one gateway's."""
    gateway = request.GET.get("gateway")
    with world().lock:
        now = world().now()
        return {
            "trades": [
                _view(trade, now)
                for trade in world().trades
                if gateway in (None, trade.gateway)
            ]
        }


@spoken("GET")
def one_trade(request: HttpRequest, body: Json, gateway: str, number: str) -> object:
    with world().lock:
        return _view(_trade(gateway, number), world().now())


@spoken("POST")
def pay(request: HttpRequest, body: Json, gateway: str, number: str) -> object:
    """Pay whatever the state; the fields are those of ``Purchase``."""
    with world().lock:
        trade = _trade(gateway, number)
    purchase = Purchase(**body)
    try:
        buying.pay(trade, purchase)
    except NotPayable as error:
        raise Mistaken(f"not payable: {error}", 409) from error
    with world().lock:
        return _view(trade, world().now())


@spoken("POST")
def refuse(request: HttpRequest, body: Json, gateway: str, number: str) -> object:
    with world().lock:
        trade, now = _trade(gateway, number), world().now()
        buying.refuse(trade, str(body.get("reason", "余额不足")), now=now)
        return _view(trade, now)


@spoken("POST")
def close(request: HttpRequest, body: Json, gateway: str, number: str) -> object:
    """Close unpaid, as the gateway; Alipay tells the shop unless ``notify`` is lose."""
    with world().lock:
        trade, now = _trade(gateway, number), world().now()
        try:
            buying.close(trade, now=now, notify=body.get("notify") != "lose")
        except NotPayable as error:
            raise Mistaken(f"not closable: {error}", 409) from error
        return _view(trade, now)


@spoken("POST")
def notify(request: HttpRequest, body: Json, gateway: str, number: str) -> object:
    """Send one notice now, once, and report the shop's answers.

    Without a payment to tell of, one is invented and nothing is booked.
    """
    variant = str(body.get("variant", "resend"))
    with world().lock:
        trade, now = _trade(gateway, number), world().now()
        player = GATEWAYS[gateway]
        if variant not in ("resend", *player.FORGERIES):
            raise Mistaken(f"variant is resend or one of {', '.join(player.FORGERIES)}")
        known = trade.payment(str(body.get("txn_id", "")))
        payment = Payment(
            txn_id=str(
                body.get("txn_id")
                or (known.txn_id if known else player.new_txn_id(now))
            ),
            amount_fen=int(
                body.get("amount_fen")
                or (known.amount_fen if known else trade.amount_fen)
            ),
            currency=known.currency if known else trade.currency,
            paid_at=known.paid_at if known else now,
        )
        refund = None
        if "refund_number" in body:
            refund = trade.refund(str(body["refund_number"]))
            if refund is None:
                raise Mistaken("no such refund", 404)
        forgery = "" if variant == "resend" else variant
        letter = player.letter(trade, payment, refund=refund, forgery=forgery)
    times = min(int(body.get("times", 1)), 50)
    return {
        "deliveries": [asdict(world().notices.deliver(letter)) for _ in range(times)]
    }


@spoken("GET", "POST")
def notices(request: HttpRequest, body: Json) -> object:
    """Every try so far (``?gateway=&number=``); POST ``gaps``: seconds between tries."""
    if "gaps" in body:
        world().notices.gaps = tuple(float(gap) for gap in body["gaps"])
    wanted = {name: request.GET.get(name) for name in ("gateway", "number")}
    return {
        "gaps": world().notices.gaps,
        "waiting": world().notices.waiting(),
        "deliveries": [
            asdict(delivery)
            for delivery in list(world().notices.deliveries)
            if wanted["gateway"] in (None, delivery.gateway)
            and wanted["number"] in (None, delivery.number)
        ],
    }


@spoken("GET", "POST")
def refund_plans(request: HttpRequest, body: Json) -> object:
    """How coming refunds end: ``success processing fail closed abnormal``."""
    with world().lock:
        if request.method == "POST":
            gateway = _known(str(body.get("gateway")))
            outcome = str(body.get("outcome"))
            if outcome not in ("fail", *RefundStatus):
                raise Mistaken("outcome is fail or one of " + ", ".join(RefundStatus))
            count = int(body["count"]) if "count" in body else None
            world().refund_plans[gateway] = RefundPlan(outcome, count)
        return {name: asdict(plan) for name, plan in world().refund_plans.items()}


@spoken("POST")
def settle_refund(
    request: HttpRequest, body: Json, gateway: str, number: str
) -> object:
    """End one refund that was left processing, or overrule how it ended."""
    with world().lock:
        trade = world().trades.by_refund(_known(gateway), number)
        refund = trade.refund(number) if trade else None
        if trade is None or refund is None:
            raise Mistaken(f"{gateway} has no refund {number}", 404)
        status = RefundStatus(str(body.get("status", "success")))
        now = world().now()
        GATEWAYS[gateway].settle_refund(trade, refund, status, now=now)
        return asdict(refund)


@spoken("GET")
def bill(request: HttpRequest, body: Json, gateway: str) -> object:
    """Money that moved, oldest first, as a day's statement would list it."""
    _known(gateway)
    lines: list[Json] = []
    with world().lock:
        for trade in world().trades:
            if trade.gateway != gateway:
                continue
            lines += [
                {"kind": "payment", "number": trade.number} | asdict(payment)
                for payment in trade.payments
            ]
            lines += [
                {
                    "kind": "refund",
                    "number": trade.number,
                    "refund_number": refund.number,
                }
                | {"txn_id": refund.txn_id, "amount_fen": refund.amount_fen}
                | {"refunded_at": refund.settled_at, "gateway_id": refund.gateway_id}
                for refund in trade.refunds
                if refund.status == RefundStatus.SUCCESS
            ]
    lines.sort(key=lambda line: line.get("paid_at") or line["refunded_at"])
    return {"lines": lines}


@spoken("GET")
def messages(request: HttpRequest, body: Json) -> object:
    """Messages, oldest first; ``?to=`` a number, ``?since=`` an ISO moment."""
    to, since = request.GET.get("to"), request.GET.get("since")
    if to and not to.startswith("+"):
        to = "+" + to.strip()  # a bare plus sign in a query means a space
    after = datetime.fromisoformat(since.replace(" ", "+")) if since else None
    with world().lock:
        return {
            "messages": [
                asdict(message)
                for message in world().messages
                if (not to or message.to == to)
                and (after is None or message.received_at > after)
            ]
        }


@spoken("GET")
def calls(request: HttpRequest, body: Json) -> object:
    """What the shop has asked for, oldest first (``?gateway=&method=&number=``)."""
    wanted = {name: request.GET.get(name) for name in ("gateway", "method", "number")}
    found = [asdict(call) for call in list(world().calls)]
    return {
        "calls": [
            call
            for call in found
            if all(value in (None, call[name]) for name, value in wanted.items())
        ]
    }


@spoken("GET", "POST", "DELETE")
def faults(request: HttpRequest, body: Json) -> object:
    """POST sets one, DELETE clears all or those of a ``gateway`` and ``method``."""
    if request.method == "DELETE" or body.get("clear"):
        world().faults.clear(
            str(body.get("gateway", "*")), str(body.get("method", "*"))
        )
    elif request.method == "POST":
        world().faults.add(
            Fault(
                gateway=str(body.get("gateway", "*")),
                method=str(body.get("method", "*")),
                kind=Kind(str(body.get("fault"))),
                seconds=float(body.get("seconds", 30)),
                count=int(body["count"]) if body.get("count") else None,
                done=bool(body.get("done", False)),
                code=str(body.get("code", "SYSTEM_ERROR")),
                status=int(body.get("status", 400)),
            )
        )
    return {"faults": [asdict(fault) for fault in world().faults.all()]}


@spoken("GET", "POST")
def clock(request: HttpRequest, body: Json) -> object:
    """Move the sandbox's clock: ``offset`` in seconds, or ``now`` in ISO 8601."""
    with world().lock:
        if "now" in body:
            wanted = datetime.fromisoformat(str(body["now"]))
            world().clock_offset += wanted - world().now()
        elif "offset" in body:
            world().clock_offset = timedelta(seconds=float(body["offset"]))
        return {
            "offset": world().clock_offset.total_seconds(),
            "now": world().now(),
        }


@spoken("GET", "POST")
def wechat(request: HttpRequest, body: Json) -> object:
    """Which key signs answers and notices: ``public_key`` or ``certificate``."""
    with world().lock:
        if "signs_with" in body:
            if body["signs_with"] not in ("public_key", "certificate"):
                raise Mistaken("signs_with is public_key or certificate")
            world().wechat_signs_with = str(body["signs_with"])
        return {"signs_with": world().wechat_signs_with}


@spoken("GET", "POST")
def epay(request: HttpRequest, body: Json) -> object:
    """How notices travel: by ``GET``, as most aggregators send them, or by ``POST``."""
    with world().lock:
        if "notifies_by" in body:
            if body["notifies_by"] not in ("GET", "POST"):
                raise Mistaken("notifies_by is GET or POST")
            world().epay_notifies_by = str(body["notifies_by"])
        return {"notifies_by": world().epay_notifies_by}


@spoken("GET", "POST")
def people(request: HttpRequest, body: Json) -> object:
    """Who can agree on the consent pages: POST ``key`` and ``nickname`` adds or renames
    one, ``unionids`` false takes that right from the shop."""
    with world().lock:
        book = world().people
        if "key" in body:
            book.name(str(body["key"]), str(body.get("nickname", "")))
        if "unionids" in body:
            book.unionids = bool(body["unionids"])
        return {"people": book.listed(), "unionids": book.unionids}


@spoken("POST")
def consents(request: HttpRequest, body: Json) -> object:
    """Agree without a browser: ``provider``, ``appid``, ``person``, ``scope``,
    ``redirect_uri``; answers the ``code``."""
    with world().lock:
        code = world().people.agree(
            provider=str(body.get("provider", "")),
            appid=str(body.get("appid", "")),
            person=str(body.get("person", "")),
            scope=str(body.get("scope", "")),
            redirect_uri=str(body.get("redirect_uri", "")),
            now=world().now(),
        )
    return {"code": code}


@spoken("POST")
def reset(request: HttpRequest, body: Json) -> object:
    world().reset()
    return {"reset": True}


@spoken("GET")
def health(request: HttpRequest, body: Json) -> object:
    return {"status": "ok"}
