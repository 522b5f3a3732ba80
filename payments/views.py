"""Paying an order, the wallets coming back, and the gateways' notices."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from django.contrib import messages
from django.http import (
    Http404,
    HttpResponse,
    HttpResponseNotAllowed,
    JsonResponse,
)
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from kameng.http import SeeOther, ShopRequest, member_of
from members import links
from members.identity.contract import NotRecognised
from members.merging import successor
from members.models import Member
from members.standing import standing
from members.tiers import catalogue
from orders import numbers
from orders.closing import Closing
from orders.models import Order
from orders.views import way_for
from payments import attempts, channels, gateways, notices, pay_page, polling
from payments import openid as payer
from payments.finding import order_by_token, orders, own_order
from payments.gateways.contract import NoticeRequest, Product
from payments.models import LIVE_STATES, Attempt
from payments.renewing.renewal_page import renewal_page

log = logging.getLogger(__name__)

FRAGMENT_STATES = {"ready", "slow", "returned"}


def seen_order(request: ShopRequest, no: str) -> tuple[Order, str]:
    """The order and "" for its owner, or the order and the token of a signed link."""
    token = request.GET.get("token", "")[:64]
    if token:
        order = order_by_token(token)
        if order.no != numbers.tidy(no):
            raise Http404
        member = member_of(request)
        return order, "" if member and member.pk == order.member_id else token
    return own_order(request, no), ""


@require_GET
def order(request: ShopRequest, no: str) -> HttpResponse:
    """The order's story and receipt; a signed link shows the status alone."""
    found, token = seen_order(request, no)
    context = pay_page.order_context(request, found, token=token)
    return render(request, "orders/order.html", context)


@require_http_methods(["GET", "POST"])
def short_link(request: ShopRequest, token: str) -> HttpResponse:
    """Where the links of our SMS land: the remaining time, nothing personal."""
    if links.read(token, links.STOP_RENEWAL) is not None:
        return renewal_page(request, token)
    if request.method == "POST":
        return HttpResponseNotAllowed(["GET"])
    by_order = links.read(token, links.ORDER)
    if by_order is not None:
        found = order_by_token(token)
        whose, url = found.member, reverse("order", args=[found.no]) + f"?token={token}"
        renew = pay_page.again_url(found)
    else:
        member_id = links.read(token, links.RENEW)
        holder = Member.objects.filter(pk=member_id).first() if member_id else None
        if holder is None:
            raise Http404
        holder = successor(holder)
        whose, url = holder, None
        renew = renewal_url(holder)
    held = standing(whose, at=request.now)
    context = {
        "membership": {
            "tier_name": catalogue.tier_name(held.tier) if held.tier else "",
            "ends_at": held.paid_until,
            "paused": held.paused,
        }
        if held.tier or held.paused
        else None,
        "order_url": url,
        "renew_url": renew,
    }
    return render(request, "members/short_link.html", context)


def renewal_url(member: Member) -> str:
    """The choice page with the plan that the member bought last."""
    last = orders().filter(member=member, kind="tier", status="paid").order_by("-id")
    found = last.first()
    return pay_page.again_url(found) if found else reverse("membership")


@require_GET
def pay(request: ShopRequest, no: str) -> HttpResponse:
    """The way into the wallet while the order waits; afterwards what became of it."""
    order, token = seen_order(request, no)
    _ask(order, request)
    returned = "returned" in request.GET
    context = pay_page.context(request, order, token=token, returned=returned)
    return render(request, "orders/pay.html", context)


def _ask(order: Order, request: ShopRequest, *, patience: int = 3) -> None:
    """Ask about attempts older than ``patience`` seconds that may still be paid; reread."""
    asked = False
    open_ones = order.attempts.filter(next_query_at__isnull=False)
    for attempt in open_ones.select_related("order"):
        age = (request.now - attempt.created_at).total_seconds()
        since = attempt.queried_at or attempt.created_at
        if age >= patience and (request.now - since).total_seconds() >= patience:
            asked |= polling.query_attempt(attempt, now=request.now) == "answered"
    if asked:
        order.refresh_from_db()
        order.member = Member.objects.get(pk=order.member_id)


@require_POST
def pay_again(request: ShopRequest, no: str) -> HttpResponse:
    """One tap: the live attempt again, or a new one on another channel."""
    order = own_order(request, no)
    channel = request.POST.get("channel", "")[:16]
    way = way_for(request, channel, request.POST.get("product", "")[:16])
    cap_fen = channels.cap_of(channel)
    if way is None or (cap_fen is not None and order.amount_fen > cap_fen):
        return _refused(request, order)
    try:
        attempts.pay(order.pk, way, now=request.now)
    except (attempts.NotPayable, attempts.ChannelOff):
        order.refresh_from_db()
        return _refused(request, order)
    return SeeOther(reverse("order-pay", args=[order.no]))


def _refused(
    request: ShopRequest, order: Order, *, not_cancelled: bool = False
) -> HttpResponse:
    """409 with the order as it is; what was to be cancelled and is paid says how money
    goes back (A13)."""
    context = pay_page.context(request, order) | {"not_cancelled": not_cancelled}
    return render(request, "orders/pay.html", context, status=409)


@require_GET
@sensitive_variables("code")
def openid(request: ShopRequest, no: str) -> HttpResponse:
    """Back from WeChat with who pays: open the attempt that has waited for it.

    Without an answer the page offers the way once more; the order is not touched.
    """
    order = own_order(request, no)
    state, code = request.GET.get("state", "")[:80], request.GET.get("code", "")[:512]
    if not payer.is_ours(request, order, state, now=request.now):
        return render(request, "400.html", status=400)
    try:
        hers = payer.exchange(code) if code else ""
    except NotRecognised as doubt:
        log.warning("no openid to pay with: %s", doubt)
        hers = ""
    waiting = order.attempts.filter(
        product=Product.JSAPI, state__in=LIVE_STATES
    ).select_related("order")
    attempt = waiting.first()
    if not hers:
        messages.error(request, _("微信没有回应，请再点一次"))
    elif attempt is not None and order.is_open(at=request.now):
        attempts.start(attempt, now=request.now, openid=hers)
    return SeeOther(reverse("order-pay", args=[order.no]))


@require_GET
def status(request: ShopRequest, no: str) -> HttpResponse:
    """JSON for programs; for the page 204, a line of words, or the whole of main."""
    order, token = seen_order(request, no)
    _ask(order, request, patience=10)
    if not request.htmx and "application/json" in request.headers.get("Accept", ""):
        return JsonResponse(_status_json(order, request))
    context = pay_page.context(
        request, order, token=token, returned=request.GET.get("seen") == "returned"
    )
    state = context["pay_state"]
    seen = request.GET.get("seen", "")
    if state == seen:
        return HttpResponse(status=204)
    if state in FRAGMENT_STATES and seen in FRAGMENT_STATES:
        return render(request, "orders/pay.html#pay-status", context)
    response = render(request, "orders/pay.html#main", {**context, "swapped": True})
    response["HX-Retarget"] = "#main"
    response["HX-Reswap"] = "outerHTML"
    return response


def _status_json(order: Order, request: ShopRequest) -> dict[str, str | None]:
    paid_until = order.member.paid_until
    return {
        "status": order.status_at(request.now),
        "fulfil": order.fulfil,
        "expires_at": _iso(order.expires_at),
        "ends_at": _iso(paid_until) if paid_until else None,
    }


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


@require_POST
def cancel(request: ShopRequest, no: str) -> HttpResponse:
    order = own_order(request, no)
    outcome = polling.cancel(order.pk, now=request.now)
    if outcome == Closing.PAID:
        order.refresh_from_db()
        return _refused(request, order, not_cancelled=True)
    return SeeOther(reverse("order-pay", args=[order.no]))


@csrf_exempt
@require_http_methods(["GET", "POST"])
def notify(request: ShopRequest, gateway: str) -> HttpResponse:
    """A gateway's notice; a gateway that is off answers 404 (security 34)."""
    adapter = gateways.get(gateway)
    if adapter is None or request.method not in adapter.notice_methods:
        raise Http404
    reply = notices.receive(
        adapter,
        NoticeRequest(
            method=request.method or "",
            headers=request.headers,
            query=request.META.get("QUERY_STRING", ""),
            body=request.body,
        ),
        now=request.now,
    )
    return HttpResponse(
        reply.body, status=reply.status, content_type=reply.content_type or None
    )


@csrf_exempt
@require_http_methods(["GET", "POST"])
def come_back(request: ShopRequest, gateway: str) -> HttpResponse:
    """The wallet sends the browser back: ask the gateway, believe nothing else (B17).

    The browser may be another one without our session; the signed token opens a
    redacted status and nothing more.
    """
    if request.method == "POST":
        return SeeOther(request.get_full_path())
    # Some epay gateways append their fields by a second "?", whatever stands before it.
    token = request.GET.get("token", "")[:64].partition("?")[0]
    order = order_by_token(token)
    open_ones = Attempt.objects.filter(
        order=order, gateway=gateway, next_query_at__isnull=False
    )
    for attempt in open_ones.select_related("order"):
        polling.query_attempt(attempt, now=request.now)
    page = reverse("order-pay", args=[order.no])
    member = member_of(request)
    if member is not None and member.pk == order.member_id:
        return SeeOther(f"{page}?returned=1")
    return SeeOther(f"{page}?returned=1&token={token}")
