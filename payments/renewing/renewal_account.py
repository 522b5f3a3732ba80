"""/account/renewal/: where automatic renewal stands, how it begins, one tap to stop it.

Stopping asks nobody: neither who she is once more, nor the gateway, which is told by
the outbox. No page asks her to stay.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from kameng.devices import Device, device_of
from kameng.http import MemberRequest, SeeOther
from members import rules
from members.models import Member
from members.sign_in.phone_step import FieldError
from members.tiers import catalogue
from orders.choice import plan_name
from payments import channels, pay_page
from payments.models import Consent
from payments.renewing import mandates, renewal_state
from payments.renewing.renewal_box import DAY
from payments.renewing.renewal_state import Position, State

DEFAULT_DAYS = 7


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def renewal(request: MemberRequest) -> HttpResponse:
    """The page; a POST is the ticked box of a member who has time already."""
    if request.method == "POST":
        return _begin(request)
    if "returned" in request.GET:
        waiting = renewal_state.to_be_signed(request.user, now=request.now)
        if waiting is not None:
            mandates.ask_again(waiting, now=request.now)
    return _page(request)


def _begin(request: MemberRequest) -> HttpResponse:
    wish, shown = request.POST.get("plan", "")[:40], request.POST.getlist("shown")
    chosen = next(
        (
            each
            for each in renewal_state.offers(now=request.now)
            if each[0].slug == wish
        ),
        None,
    )
    if request.POST.get("renew") != "on":
        words = _("勾上「到期自动续费」才会开通")
        return _page(request, FieldError("renew", words), wish)
    if chosen is None or f"{wish}:{chosen[2]}" not in shown:
        return _moved(request, wish)
    plan, gateway, price_fen = chosen
    try:
        mandates.begin(
            request.user.pk,
            plan=plan,
            gateway=gateway,
            shown_fen=price_fen,
            now=request.now,
        )
    except mandates.OtherPrice:
        return _moved(request, wish)
    except mandates.NotOffered:
        words = _("现在不能开通：会员要在有效期内")
        return _page(request, FieldError("plan", words), wish)
    return SeeOther(reverse("account-renewal"))


def _moved(request: MemberRequest, wish: str) -> HttpResponse:
    catalogue.forget()
    words = _("套餐或价格刚变了，请看清金额再开通")
    return _page(request, FieldError("plan", words), wish)


@login_required
@require_POST
def sign(request: MemberRequest) -> HttpResponse:
    """On to the gateway's page for the consent that waits; a link there opens it."""
    waiting = renewal_state.to_be_signed(request.user, now=request.now)
    if waiting is not None:
        with suppress(mandates.NotOffered):  # the page says how it stands
            mandates.open_signing(waiting.pk, now=request.now)
    return SeeOther(reverse("account-renewal"))


@login_required
@require_POST
def stop(request: MemberRequest) -> HttpResponse:
    mandates.stop_all(request.user.pk, now=request.now)
    return SeeOther(reverse("account-renewal"))


def _page(
    request: MemberRequest, complaint: FieldError | None = None, wish: str = ""
) -> HttpResponse:
    member, now = request.user, request.now
    at = renewal_state.position(member, now=now)
    context = {
        "here": "account",
        "renewal": facts(at),
        "signing": _signing(request, at),
        "offers": [] if at.is_on else _offers(request, at, wish),
        "debits": _debits(member, request),
        "has_phone": member.phone is not None,
        "notice_days": rules.current().renewal_notice_seconds // DAY,
        "renew_url": _renew_url(at),
        "errors": [complaint] if complaint else [],
    }
    return render(
        request,
        "members/renewal_account.html",
        context,
        status=422 if complaint else 200,
    )


def facts(at: Position) -> dict[str, Any]:
    """What the templates need of where it stands."""
    consent = at.consent
    return {
        "state": str(at.state),
        "why": at.why,
        "plan": plan_name(consent.plan) if consent else "",
        "channel": channels.label_of(consent.gateway) if consent else "",
        "days": consent.days if consent else 0,
        "agreed_fen": consent.price_fen if consent else 0,
        "amount_fen": at.amount_fen,
        "charge_at": at.charge_at,
        "told_at": at.told_at,
        "ends_at": at.ends_at,
    }


def _signing(request: MemberRequest, at: Position) -> dict[str, Any] | None:
    """The gateway's page, once she has asked for it and until she has signed."""
    consent = at.consent
    if at.state != State.WAITING or consent is None:
        return None
    here = device_of(request.headers.get("User-Agent", ""))
    if here == Device.WECHAT:
        return {"in_wechat": True}
    if consent.first_on is None:
        return {}
    try:
        way = mandates.handover(consent, now=request.now)
    except mandates.NotOffered:
        return {"off": True}
    on_phone = here != Device.DESKTOP
    return {
        "number": consent.number,
        "page_url": way.url,
        "wallet_url": way.params.get("wallet_url", "") if on_phone else "",
    }


def _offers(request: MemberRequest, at: Position, wish: str) -> list[dict[str, Any]]:
    """What she may begin now; nothing while no time of hers runs."""
    if at.ends_at is None or at.state == State.WAITING:
        return []
    found = renewal_state.offers(now=request.now)
    wishes = (wish, _last_plan(at.consent))
    plans = [plan for plan, _gateway, _price in found]
    chosen = next((p for slug in wishes for p in plans if p.slug == slug), None)
    if chosen is None:
        chosen = next((p for p in plans if p.days == DEFAULT_DAYS), None)
    if chosen is None and plans:
        chosen = plans[0]
    return [
        {
            "slug": plan.slug,
            "name": plan_name(plan),
            "days": plan.days,
            "price_fen": price_fen,
            "selected": chosen is not None and plan.pk == chosen.pk,
        }
        for plan, _gateway, price_fen in found
    ]


def _last_plan(consent: Consent | None) -> str:
    return consent.plan.slug if consent else ""


def _renew_url(at: Position) -> str:
    """Renewing by hand: the plan that did not renew itself, else the whole choice."""
    if at.consent is None:
        return reverse("membership")
    page = reverse("membership-kind", args=[at.consent.plan.tier.kind])
    return f"{page}?plan={at.consent.plan.slug}"


def _debits(member: Member, request: MemberRequest) -> list[dict[str, Any]]:
    return [
        {
            "at": each.attempt.created_at,
            "amount_fen": each.attempt.amount_fen,
            "outcome": each.outcome,
            "reason": each.attempt.last_error if each.outcome == "failed" else "",
            "no": each.order.no,
            "title": pay_page.title(each.order),
            "may_go_back": each.may_go_back,
        }
        for each in renewal_state.debits(member, now=request.now)
    ]
