"""Signing in and out."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import logout as end_session
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from kameng.http import MemberRequest, SeeOther, ShopRequest, member_of, next_page
from members.identity import offers
from members.models import Purpose
from members.sign_in import phone_step, signin, unused_phone
from members.sign_in.phone_step import Step
from notifications.push import subscriptions


def _page(request: ShopRequest, step: Step, code: str = "") -> HttpResponse:
    context: dict[str, Any] = {
        **step.context,
        "errors": step.errors,
        "form": {"code": code},
        "next": request.POST.get("next") or request.GET.get("next", ""),
        "here": "login",
        "offers": offers.here(request),
    }
    fragment = "#phone" if request.htmx and not request.htmx.boosted else ""
    response = render(
        request, f"members/login.html{fragment}", context, status=step.status
    )
    if step.retry_after is not None:
        response["Retry-After"] = str(step.retry_after)
    return response


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("phone", "code")
def login(request: ShopRequest) -> HttpResponse:
    if member_of(request) is not None:
        return SeeOther(next_page(request, "account"))
    if request.method != "POST":
        return _page(request, Step(phone_step.entry()))
    code = request.POST.get("code", "")[:16]
    step = phone_step.check(
        request, request.POST.get("phone", ""), code, Purpose.LOGIN, now=request.now
    )
    if step.is_unused:
        return SeeOther(unused_phone.address(next_page(request, "account")))
    if step.member is None:
        return _page(request, step, code)
    return SeeOther(next_page(request, "account"))


@require_POST
@sensitive_post_parameters("phone", "code")
def login_code(request: ShopRequest) -> HttpResponse:
    phone = request.POST.get("phone", "")
    return _page(
        request, phone_step.send(request, phone, Purpose.LOGIN, now=request.now)
    )


@require_POST
def logout(request: ShopRequest) -> HttpResponse:
    """End the session here and on the server; the language cookie stays."""
    where = next_page(request, "home")
    subscriptions.drop_with_session(request.session)
    end_session(request)
    response = SeeOther(where)
    response["Clear-Site-Data"] = '"cache", "storage"'
    return response


@login_required
@require_POST
def logout_everywhere(request: MemberRequest) -> HttpResponse:
    """End every session of hers, this one too."""
    if not request.user.is_staff:
        signin.end_all_sessions(request.user)
    return logout(request)
