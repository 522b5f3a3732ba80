"""Another phone for an account: both numbers are proved by a code (I13)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from kameng.http import MemberRequest, SeeOther
from members import phones, security_notices
from members.models import Member, Purpose
from members.sign_in import confirm, phone_step, recycled
from members.sign_in.phone_step import FieldError, Step
from members.timeline import lock_members


class Taken(Exception):
    """The number opens another account."""


def change(member_id: int, phone: str, *, now: datetime) -> Member:
    """Give the member a number that she has proved, and end all her sessions.

    The old number is told: whoever holds it learns that it opens nothing any more
    (security 30).

    The old number is free afterwards: who gets it next starts with an empty account. A
    number that another account has not used for half a year leaves that account as it
    would at a sign-in (security 21).

    raises  Taken
    """
    others = Member.objects.filter(phone=phone).exclude(pk=member_id)
    try:
        with transaction.atomic(durable=True):
            ids = others.values_list("pk", flat=True)
            member, *holders = lock_members(member_id, *ids)
            for holder in holders:
                if not recycled.let_go_locked(holder, phone, now=now):
                    raise Taken
            former, member.phone = member.phone, phone
            member.password = make_password(None)
            member.phone_proved_at = now
            member.save(update_fields=["phone", "password", "phone_proved_at"])
            if former != phone:
                security_notices.phone_changed(member, former, now=now)
    except IntegrityError as error:  # somebody signed up with it in this moment
        raise Taken from error
    return member


def _first_the_old_one(request: MemberRequest, *, now: datetime) -> HttpResponse | None:
    """To the confirmation by code; a passkey says nothing about the number."""
    if request.user.phone is None or confirm.is_fresh_by_phone(request, now=now):
        return None
    messages.info(request, _("换手机号要先用旧号码的验证码确认"))
    wish = urlencode({"next": reverse("account-phone")})
    return SeeOther(f"{reverse('account-confirm')}?{wish}")


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@confirm.required(back="account-phone")
@sensitive_post_parameters("phone", "code")
def phone(request: MemberRequest) -> HttpResponse:
    """The page for the new number, and its judge."""
    if (first := _first_the_old_one(request, now=request.now)) is not None:
        return first
    if request.method != "POST":
        return _page(request, Step(phone_step.entry()))
    typed, code = request.POST.get("phone", ""), request.POST.get("code", "")[:16]
    complaint = phone_step.prove(request, typed, code, Purpose.PHONE, now=request.now)
    if complaint is not None:
        return _page(request, complaint, code)
    new = phones.parse(typed)
    holders = Member.objects.filter(phone=new).exclude(pk=request.user.pk)
    was_of_another = holders.exists()
    try:
        changed = change(request.user.pk, new, now=request.now)
    except Taken:
        words = _("这个号码已经有自己的账号了。想合在一起，请联系客服")
        error = FieldError("phone", words)
        return _page(request, Step(phone_step.entry(), 409, (error,)))
    update_session_auth_hash(request, changed)
    messages.success(request, _("手机号换好了，其他设备要重新登录"))
    if was_of_another:
        messages.info(request, recycled.left_behind())
    return SeeOther(reverse("account-identities"))


@login_required
@require_POST
@confirm.required(back="account-phone")
@sensitive_post_parameters("phone")
def send_code(request: MemberRequest) -> HttpResponse:
    if (first := _first_the_old_one(request, now=request.now)) is not None:
        return first
    typed = request.POST.get("phone", "")
    step = phone_step.send(request, typed, Purpose.PHONE, now=request.now)
    return _page(request, step)


def _page(request: MemberRequest, step: Step, code: str = "") -> HttpResponse:
    context: dict[str, Any] = {
        **step.context,
        "errors": step.errors,
        "form": {"code": code},
        "masked_phone": request.user.masked_phone,
        "here": "account",
    }
    fragment = "#phone" if request.htmx and not request.htmx.boosted else ""
    response = render(
        request, f"members/phone.html{fragment}", context, status=step.status
    )
    if step.retry_after is not None:
        response["Retry-After"] = str(step.retry_after)
    return response
