"""``/account/real-name/``: her name verified once, on a page of its own (S22)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from kameng.http import MemberRequest, SeeOther, next_page
from members import addresses
from members.models import CheckOutcome, Verifier
from members.real_name import holding, id_numbers, providers, verifying
from members.real_name.contract import RealNameProvider
from members.real_name.holding import State
from members.real_name.id_numbers import Fault, Unreadable
from members.real_name.verifying import Question
from members.sign_in import confirm
from members.sign_in.phone_step import FieldError


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@confirm.required(back="account-real-name")
@sensitive_post_parameters("name", "id_number")
def page(request: MemberRequest) -> HttpResponse:
    """Why, what is kept and for how long; the form, and its judge.

    Whatever comes of it, neither name nor number is ever shown again.
    """
    held = holding.of(request.user)
    provider = providers.chosen()
    if request.method != "POST":
        return _page(request)
    if held is not None or provider is None:
        return _on(request)
    errors = _shape(request)
    if errors:
        return _page(request, errors=errors)
    return _verified(request, provider)


@login_required
@require_POST
@confirm.required(back="account-real-name")
def withdraw(request: MemberRequest) -> HttpResponse:
    """Her consent taken back; what she bought stays hers."""
    holding.withdraw(request.user.pk)
    messages.success(request, _("已撤回，认证的结果删掉了。买过的照常使用"))
    return SeeOther(reverse("account-real-name"))


def _verified(request: MemberRequest, provider: RealNameProvider) -> HttpResponse:
    """Ask the verifier; on success back to where she came from."""
    question = _question(request)
    try:
        outcome = verifying.verify(
            request.user.pk,
            question,
            provider=provider,
            verifier=Verifier(settings.REAL_NAME_PROVIDER),
            client=addresses.client_of(request),
            now=request.now,
        )
    except verifying.Child:
        return _page(request, refusal="child")
    except verifying.TooMany as limit:
        return _page(request, refusal="too_many", retry_after=limit.retry_after)
    if outcome is not CheckOutcome.MATCH:
        return _page(request, refusal=outcome.value)
    return _on(request)


def _on(request: MemberRequest) -> HttpResponse:
    """An adult goes back to what she chose; everybody else reads how things stand."""
    held = holding.of(request.user)
    if holding.state_of(held, now=request.now) is State.ADULT:
        messages.success(request, _("实名认证通过了"))
        return SeeOther(next_page(request, "account"))
    wish = urlencode({"next": next_page(request, "account")})
    return SeeOther(f"{reverse('account-real-name')}?{wish}")


def _shape(request: MemberRequest) -> list[FieldError]:
    """What is wrong with the form itself, before anybody is asked."""
    errors = []
    try:
        id_numbers.clean_name(request.POST.get("name", ""))
    except Unreadable as bad:
        errors.append(FieldError("name", _fault_words(bad.fault)))
    try:
        _number(request)
    except Unreadable as bad:
        errors.append(FieldError("id_number", _fault_words(bad.fault)))
    if request.POST.get("consent") != "on":
        errors.append(FieldError("consent", _("要先勾选同意，才能认证")))
    return errors


def _number(request: MemberRequest) -> id_numbers.IdNumber:
    typed = request.POST.get("id_number", "")
    return id_numbers.parse(typed, today=holding.today(request.now))


def _question(request: MemberRequest) -> Question:
    return Question(
        id_numbers.clean_name(request.POST.get("name", "")), _number(request)
    )


def _fault_words(fault: Fault) -> str:
    match fault:
        case Fault.NAME:
            return _("写身份证上的中文姓名，两到三十个字")
        case Fault.SHAPE:
            return _("身份证号是 18 位，最后一位可以是 X")
        case Fault.CHECKSUM:
            return _("身份证号有一位不对，请对照证件再看一遍")
    return _("身份证号里的出生日期不对，请对照证件再看一遍")


def _page(
    request: MemberRequest,
    *,
    errors: list[FieldError] | None = None,
    refusal: str = "",
    retry_after: int | None = None,
) -> HttpResponse:
    held = holding.of(request.user)
    state = holding.state_of(held, now=request.now).value
    chosen = settings.REAL_NAME_PROVIDER
    way_back = next_page(request, "account")
    context: dict[str, Any] = {
        "here": "account",
        "state": state if held or chosen else "closed",
        "verified_at": held.verified_at if held else None,
        "verified_by": held.get_provider_display() if held else "",
        "adult_on": held.adult_on if held else None,
        "verifier": Verifier(chosen).label if chosen else "",
        "consented": request.POST.get("consent") == "on",
        "errors": errors or [],
        "refusal": refusal,
        "retry_at": request.now + timedelta(seconds=retry_after)
        if retry_after
        else None,
        "next": way_back,
        "came_from_account": way_back == reverse("account"),
    }
    status = 429 if retry_after else 422 if errors or refusal else 200
    response = render(request, "members/real_name.html", context, status=status)
    if retry_after is not None:
        response["Retry-After"] = str(retry_after)
    return response
