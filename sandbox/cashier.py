"""The cashier: the page a wallet would show, with a folded panel for accidents."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from sandbox import buying
from sandbox.buying import NotPayable, Purchase
from sandbox.formats import yuan_text
from sandbox.gateways import GATEWAYS
from sandbox.trades import Trade, TradeState
from sandbox.world import world

REFUSALS = {
    "balance": ("余额不足", "money"),
    "limit": ("超出限额", "limit"),
    "bank": ("银行拒绝", "bank"),
}
ORDERS = {
    "notice_first": ("先通知，后返回", "notice first"),
    "return_first": ("先返回，5 秒后通知", "return first"),
}
RETURNS_FOR = timedelta(seconds=10)
NOTICE_WAIT_SECONDS = 5.0
LATE_NOTICE_SECONDS = 5.0
LONGEST_SECONDS = 86_400.0
MOST_COPIES = 20


class Accident(ValueError):
    """The panel holds something that cannot be done; the text is for the page."""


@require_safe
def show(request: HttpRequest, gateway: str, token: str) -> HttpResponse:
    """The cashier of one trade. Seeing it counts as having scanned it."""
    with world().lock:
        trade, now = _trade(gateway, token), world().now()
        if not _has_lapsed(trade, token, now):
            GATEWAYS[gateway].opened(trade, now=now)
        return _page(request, trade, token, now)


@require_POST
def pay(request: HttpRequest, gateway: str, token: str) -> HttpResponse:
    """Pay as the panel says; an untouched panel is the ordinary case."""
    with world().lock:
        trade, now = _trade(gateway, token), world().now()
    if _has_lapsed(trade, token, now):
        return redirect("cashier", gateway, token)
    try:
        purchase, is_twice = _purchase(request, trade, now)
        letters = buying.pay(trade, purchase)
        if is_twice:
            letters += buying.pay(trade, replace(purchase, as_buyer=False))
    except Accident as error:
        return _page(request, trade, token, now, error=str(error))
    except NotPayable:
        return redirect("cashier", gateway, token)
    if purchase.after > 0:
        return _page(request, trade, token, now, scheduled=int(purchase.after))
    if request.POST.get("order") == "notice_first" and letters:
        letters[0].arrived.wait(NOTICE_WAIT_SECONDS)
    if request.POST.get("order") == "return_first":
        return HttpResponseRedirect(_back(trade) or request.path)
    return redirect("cashier", gateway, token)


@require_POST
def refuse(request: HttpRequest, gateway: str, token: str) -> HttpResponse:
    """The wallet declines; the buyer may try again or go back."""
    with world().lock:
        trade, now = _trade(gateway, token), world().now()
    reason = REFUSALS.get(request.POST.get("reason", ""), REFUSALS["balance"])
    if trade.state(now) in (TradeState.OPEN, TradeState.UNOPENED):
        buying.refuse(trade, reason[0], now=now)
    return redirect("cashier", gateway, token)


@require_POST
def close(request: HttpRequest, gateway: str, token: str) -> HttpResponse:
    """The gateway closes the trade unpaid."""
    with world().lock:
        trade, now = _trade(gateway, token), world().now()
    if trade.state(now) in (TradeState.OPEN, TradeState.UNOPENED):
        buying.close(trade, now=now)
    return redirect("cashier", gateway, token)


def _trade(gateway: str, token: str) -> Trade:
    if gateway in GATEWAYS:
        trade = world().trades.by_link(gateway, token)
        if trade is not None:
            return trade
    raise Http404


def _has_lapsed(trade: Trade, token: str, now: datetime) -> bool:
    """Whether this address of the cashier is too old to open an unpaid trade."""
    link = next((link for link in trade.links if link.token == token), None)
    return (
        not trade.payments
        and link is not None
        and link.valid_until is not None
        and now >= link.valid_until
    )


def _purchase(
    request: HttpRequest, trade: Trade, now: datetime
) -> tuple[Purchase, bool]:
    """What the panel asks for, and whether to pay a second time."""
    form = request.POST
    what = form.get("what", "")
    amount_fen, after = None, 0.0
    if what == "amount":
        amount_fen = _fen(form.get("yuan", ""))
    if what == "late":
        after = _number(form.get("seconds", ""), LONGEST_SECONDS)
    if what == "expired":
        left = (trade.expires_at - now).total_seconds() if trade.expires_at else 0.0
        after = max(0.0, left) + 1.0
    notify, times, delay = form.get("notice", "send"), 1, 0.0
    if notify == "repeat":
        times = int(_number(form.get("times", ""), MOST_COPIES))
    if notify == "delay":
        delay = _number(form.get("delay", ""), LONGEST_SECONDS)
        notify = "send"
    if form.get("order") == "return_first":
        delay = max(delay, LATE_NOTICE_SECONDS)
    purchase = Purchase(
        amount_fen=amount_fen,
        notify=notify if notify in ("send", "lose", "repeat") else "send",
        times=times,
        delay=delay,
        after=after,
        as_buyer=what == "",  # the big button; the panel overrules the gateway
    )
    return purchase, what == "twice" and not trade.payments


def _fen(text: str) -> int:
    found = re.fullmatch(r"\s*(\d{1,7})(?:\.(\d{1,2}))?\s*", text)
    fen = int(found[1]) * 100 + int((found[2] or "").ljust(2, "0")) if found else 0
    if fen < 1:
        raise Accident("请写一个金额，例如 14.99 Write an amount")
    return fen


def _number(text: str, most: float) -> float:
    found = re.fullmatch(r"\s*(\d{1,6})(?:\.\d+)?\s*", text)
    if found is None or not 1 <= float(text) <= most:
        raise Accident(f"请写 1 到 {most:.0f} 之间的数 Write a number in that range")
    return float(text)


def _back(trade: Trade) -> str:
    gateway, now = GATEWAYS[trade.gateway], world().now()
    return gateway.back_url(trade, trade.payment(), now=now)


def _page(
    request: HttpRequest,
    trade: Trade,
    token: str,
    now: datetime,
    error: str = "",
    scheduled: int = 0,
) -> HttpResponse:
    gateway = GATEWAYS[trade.gateway]
    state = "lapsed" if _has_lapsed(trade, token, now) else str(trade.state(now))
    payment = trade.payments[-1] if trade.payments else None
    back = _back(trade)
    deliveries = [
        delivery
        for delivery in list(world().notices.deliveries)
        if (delivery.gateway, delivery.number) == (trade.gateway, trade.number)
    ]
    return render(
        request,
        "sandbox/cashier.html",
        {
            "gateway": gateway,
            "name": trade.gateway,
            "trade": trade,
            "token": token,
            "state": state,
            "payment": payment,
            "refusal": trade.refusals[-1] if trade.refusals else "",
            "back": back,
            "refusals": REFUSALS,
            "orders": ORDERS,
            "typed": request.POST,
            "error": error,
            "scheduled": scheduled,
            "less": yuan_text(max(1, trade.amount_fen - 1)),
            "returns": bool(back)
            and payment is not None
            and now - payment.paid_at < RETURNS_FOR,
            "deliveries": deliveries[-5:],
            "lacks_referer": trade.product == "h5" and not trade.details.get("referer"),
        },
        status=422 if error else 410 if state == "lapsed" else 200,
    )
