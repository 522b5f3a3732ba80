"""/redeem/: a gift code becomes membership, for a guest with the same ways in as the
checkout. A code that was typed before a tap waits in her session, never in an address."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from kameng.http import MemberRequest, SeeOther, ShopRequest, member_of
from kameng.templatetags.shop import time_to_wait
from members import gift_codes, guide, sealed
from members.addresses import client_of
from members.identity import offers
from members.identity import views as identity
from members.models import Entitlement, Purpose
from members.sign_in import passkey_views, phone_step
from members.sign_in.phone_step import FieldError, Step
from members.tiers import catalogue
from members.timeline import Merged, TimelineFull

_SESSION_KEY = "typed_gift"


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("gift", "phone", "code")
def redeem(request: ShopRequest) -> HttpResponse:
    """The form, and its end: 303 to what the code gave.

    A guest proves her phone before the code is looked at: guessing costs a message, and
    a wrong code leaves her signed in, so that she types no second one.
    """
    member = member_of(request)
    if request.method != "POST":
        return _page(request, Step(phone_step.entry(member)))
    gift = _gift(request)
    if not gift_codes.plain(gift):
        error = FieldError("gift", _("填写兑换码"))
        return _page(request, _as_typed(request, error))
    if member is None:
        step = phone_step.check(
            request,
            request.POST.get("phone", ""),
            request.POST.get("code", "")[:16],
            Purpose.LOGIN,
            now=request.now,
        )
        if step.member is None:
            return _page(request, step)
        member = step.member
    try:
        gift_codes.redeem(member.pk, gift, client=client_of(request), now=request.now)
    except gift_codes.TooManyTries as refusal:
        until = request.now + timedelta(seconds=refusal.retry_after)
        words = _("试得太多了，{t}后再来").format(t=time_to_wait(until, request.now))
        error = FieldError("gift", words)
        shown = phone_step.entry(member)
        return _page(request, Step(shown, 429, (error,), refusal.retry_after))
    except (gift_codes.CodeGone, Merged):
        error = FieldError("gift", _("这个兑换码无效、过期或已经用过"))
    except TimelineFull:
        error = FieldError("gift", _("会员时间已经够长了，这个码没有用掉"))
    else:
        sealed.forget(request, _SESSION_KEY)
        return SeeOther(reverse("redeemed"))
    return _page(request, Step(phone_step.entry(member), 422, (error,)))


@require_POST
@sensitive_post_parameters("gift", "phone", "code")
def send_code(request: ShopRequest) -> HttpResponse:
    """Send a code for the phone of the form; nothing typed is lost."""
    member = member_of(request)
    if member is not None:
        return _page(request, Step(phone_step.entry(member)))
    phone = request.POST.get("phone", "")
    return _page(
        request, phone_step.send(request, phone, Purpose.LOGIN, now=request.now)
    )


@require_POST
@sensitive_post_parameters("gift", "phone", "code")
def with_identity(request: ShopRequest, provider: str) -> HttpResponse:
    """One tap with WeChat or QQ; the typed code waits until she is back."""
    _keep_gift(request)
    return identity.login(request, provider)


@require_POST
@sensitive_post_parameters("gift", "passkey")
def with_passkey(request: ShopRequest) -> HttpResponse:
    """Likewise with a passkey of the phone field's suggestions."""
    _keep_gift(request)
    return passkey_views.login(request)


@login_required
@require_GET
def redeemed(request: MemberRequest) -> HttpResponse:
    """What her last gift code gave, with the popup of an activation (S15)."""
    given = (
        Entitlement.objects.filter(member=request.user, gift_code__isnull=False)
        .select_related("tier", "gift_code")
        .order_by("-pk")
        .first()
    )
    if given is None:
        return SeeOther(reverse("redeem"))
    ahead = list(given.segments.filter(ends_at__gt=request.now).order_by("starts_at"))
    context = {
        "here": "account",
        "gift": {
            "days": given.seconds // 86_400,
            "starts_at": ahead[0].starts_at if ahead else None,
            "ends_at": ahead[-1].ends_at if ahead else None,
            "waits": bool(ahead) and ahead[0].starts_at > request.now,
        },
        "membership": {
            "tier_name": catalogue.tier_name(given.tier),
            "discount_bp": min(given.discount_bp, given.tier.discount_bp),
            "benefits": catalogue.current().labels(given.tier),
        },
        "order": {"no": f"gift-{given.pk}"},
        "welcome": guide.is_fresh(given.created_at, now=request.now),
        "guide": guide.of(request.user),
    }
    return render(request, "members/redeemed.html", context)


def _gift(request: ShopRequest) -> str:
    return request.POST.get("gift", "")[: gift_codes.LONGEST]


def _keep_gift(request: ShopRequest) -> None:
    if gift := _gift(request):
        sealed.keep(request, _SESSION_KEY, gift, now=request.now)


def _gift_to_show(request: ShopRequest) -> str:
    if request.method == "POST":
        return _gift(request)
    return sealed.kept(request, _SESSION_KEY, now=request.now) or ""


def _as_typed(request: ShopRequest, error: FieldError) -> Step:
    member = member_of(request)
    if member is not None:
        return Step(phone_step.entry(member), 422, (error,))
    phone = request.POST.get("phone", "")
    shown = phone_step.kept(request, phone, Purpose.LOGIN, now=request.now)
    return Step(shown, 422, (error,))


def _page(request: ShopRequest, step: Step) -> HttpResponse:
    """The form once more with everything typed; the fragment for htmx."""
    context: dict[str, Any] = {
        **step.context,
        "errors": step.errors,
        "form": {
            "gift": _gift_to_show(request),
            "code": request.POST.get("code", "")[:16],
        },
        "here": "account",
        **offers.beside_phone(request, step.context["phone_state"]),
    }
    fragment = request.htmx and not request.htmx.boosted
    name = "members/redeem.html#phone" if fragment else "members/redeem.html"
    response = render(request, name, context, status=step.status)
    if step.retry_after is not None:
        response["Retry-After"] = str(step.retry_after)
    return response
