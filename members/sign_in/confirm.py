"""Showing once more that it is you, before a dangerous act (security 30).

A view that is dangerous stands behind ``required``. A code to the member's own phone or
a passkey counts for five minutes, and so does the one with which she has signed in.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any, cast

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render, resolve_url
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from kameng.http import MemberRequest, SeeOther, next_page
from members.identity import offers
from members.models import Purpose
from members.sign_in import passkeys, phone_step, signin
from members.sign_in.phone_step import Step

FRESH_SECONDS = 300


def is_fresh(request: HttpRequest, *, now: datetime) -> bool:
    """Whether she has shown who she is within the last five minutes."""
    ago = signin.proved_seconds_ago(request, now=now)
    return ago is not None and 0 <= ago <= FRESH_SECONDS


def is_fresh_by_phone(request: HttpRequest, *, now: datetime) -> bool:
    """The same by a code to the account's own phone alone."""
    ago = signin.proved_seconds_ago(request, now=now, by_phone=True)
    return ago is not None and 0 <= ago <= FRESH_SECONDS


def required[View: Callable[..., HttpResponse]](*, back: str) -> Callable[[View], View]:
    """Decorate a view of a signed-in member: first confirm, then come back.

    A page is asked for again afterwards. A form is refused with 403 and the page to
    confirm on, which leads to ``back``: what was posted is not kept.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: MemberRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if is_fresh(request, now=request.now):
                return view(request, *args, **kwargs)
            if request.method in ("GET", "HEAD"):
                wish = urlencode({"next": request.get_full_path()})
                return SeeOther(f"{reverse('account-confirm')}?{wish}")
            step = Step(phone_step.entry(), 403)
            where = resolve_url(back)
            if "next" in request.POST:  # judged where it is used
                where = f"{where}?{urlencode({'next': request.POST['next']})}"
            return _page(request, step, where=where)

        return cast("View", guarded)

    return decorate


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("code", "passkey")
def confirm(request: MemberRequest) -> HttpResponse:
    """The page that asks for a code or a passkey, and its judge."""
    if request.method != "POST":
        return _page(request, Step(phone_step.entry()))
    if answer := request.POST.get("passkey", ""):
        return _by_passkey(request, answer)
    code = request.POST.get("code", "")[:16]
    phone = request.user.phone
    if phone is None:
        return _page(request, Step(phone_step.entry(), 422))
    complaint = phone_step.judge(request, phone, code, Purpose.CONFIRM, now=request.now)
    if complaint is not None:
        return _page(request, complaint, code)
    signin.prove(request, now=request.now, by_phone=True)
    return SeeOther(next_page(request, "account"))


def _by_passkey(request: MemberRequest, answer: str) -> HttpResponse:
    """One of her own passkeys counts like a code to her phone (security 30)."""
    try:
        passkeys.confirm(request, request.user, answer, now=request.now)
    except passkeys.Refused:
        words = _("通行密钥没有通过，请用短信验证码")
        error = phone_step.FieldError("", words)
        return _page(request, Step(phone_step.entry(), 400, (error,)))
    signin.prove(request, now=request.now)
    return SeeOther(next_page(request, "account"))


@login_required
@require_POST
def send_code(request: MemberRequest) -> HttpResponse:
    """Send a code to the member's own phone; no other phone can be named."""
    phone = request.user.phone
    if phone is None:
        return _page(request, Step(phone_step.entry(), 422))
    step = phone_step.send_to(request, phone, Purpose.CONFIRM, now=request.now)
    return _page(request, step)


def _ways(request: MemberRequest) -> list[offers.Offer]:
    """Her own identities that can be asked here."""
    bound = set(request.user.identities.values_list("provider", flat=True))
    return [offer for offer in offers.here(request) if offer.provider in bound]


def _page(
    request: MemberRequest, step: Step, code: str = "", *, where: str = ""
) -> HttpResponse:
    context: dict[str, Any] = {
        **step.context,
        "errors": step.errors,
        "form": {"code": code},
        "masked_phone": request.user.masked_phone,
        "has_passkey": request.user.passkeys.exists(),
        "ways": [] if request.user.phone else _ways(request),
        "next": where or next_page(request, "account"),
        "here": "account",
    }
    fragment = "#phone" if request.htmx and not request.htmx.boosted else ""
    response = render(
        request, f"members/confirm.html{fragment}", context, status=step.status
    )
    if step.retry_after is not None:
        response["Retry-After"] = str(step.retry_after)
    return response
