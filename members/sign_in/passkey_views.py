"""Pages and forms of passkeys. A script fills the field ``passkey`` and sends the form;
what it posts is an ordinary form with an ordinary answer."""

from __future__ import annotations

import re
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from kameng.http import MemberRequest, SeeOther, ShopRequest, member_of, next_page
from kameng.templatetags.shop import moment
from members.identity import binding
from members.models import Passkey
from members.sign_in import challenges, confirm, passkeys

_DEVICES = (
    (re.compile("iPhone"), "iPhone"),
    (re.compile("iPad"), "iPad"),
    (re.compile("Android|HarmonyOS"), "Android"),
    (re.compile("Macintosh"), "Mac"),
    (re.compile("Windows"), "Windows"),
    (re.compile("Linux"), "Linux"),
)


def _options(request: ShopRequest, aim: str) -> HttpResponse:
    challenge = challenges.issue(request, aim, now=request.now)
    return HttpResponse(
        passkeys.request_options(challenge), content_type="application/json"
    )


@require_http_methods(["GET", "POST"])
@sensitive_post_parameters("passkey")
def login(request: ShopRequest) -> HttpResponse:
    """GET: what the browser needs to offer her passkeys. POST: in with one of them."""
    if request.method != "POST":
        return _options(request, passkeys.LOGIN)
    where = next_page(request, "account")
    if member_of(request) is not None:
        return SeeOther(where)
    try:
        passkeys.sign_in(request, request.POST.get("passkey", ""), now=request.now)
    except passkeys.Refused:
        context = {"next": request.POST.get("next", ""), "here": "login"}
        return render(request, "members/passkey_failed.html", context, status=400)
    return SeeOther(where)


@login_required
@require_GET
def confirm_options(request: MemberRequest) -> HttpResponse:
    return _options(request, passkeys.CONFIRM)


# --- In the account --------------------------------------------------------------------


@login_required
@require_GET
def passkeys_list(request: MemberRequest) -> HttpResponse:
    return render(request, "members/passkeys.html", _list(request))


def _list(request: MemberRequest) -> dict[str, Any]:
    mine = list(request.user.passkeys.order_by("pk"))
    return {
        "here": "account",
        "passkeys": [_facts(one) for one in mine],
        "removable": binding.ways_in(request.user) > 1,
        "full": len(mine) >= passkeys.AT_MOST,
    }


def _facts(one: Passkey) -> dict[str, Any]:
    return {
        "pk": one.pk,
        "name": one.name,
        "created_at": one.created_at,
        "used_at": one.used_at,
        "backed_up": one.backed_up,
    }


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@confirm.required(back="account-passkey-new")
@sensitive_post_parameters("passkey")
def add(request: MemberRequest) -> HttpResponse:
    """Explain, then let the browser make one; a new way in asks who it is first."""
    status, failed = 200, False
    if request.method == "POST":
        answer = request.POST.get("passkey", "")
        name = _name_of(request)
        try:
            passkeys.add(request, request.user, answer, name=name, now=request.now)
        except (passkeys.Refused, passkeys.TooMany):
            status, failed = 400, True
        else:
            messages.success(request, _("添加好了，下次点一下就能登录"))
            return SeeOther(reverse("account-passkeys"))
    challenge = challenges.issue(request, passkeys.ADD, now=request.now)
    context = {
        "here": "account",
        "failed": failed,
        "options": passkeys.registration_options(request.user, challenge),
    }
    return render(request, "members/passkey_new.html", context, status=status)


def _name_of(request: MemberRequest) -> str:
    """The device and the day, by which she will know it again."""
    agent = request.headers.get("User-Agent", "")
    device = next((name for form, name in _DEVICES if form.search(agent)), _("设备"))
    return f"{device} {moment(request.now, request.now)}"


@login_required
@require_POST
def rename(request: MemberRequest, pk: int) -> HttpResponse:
    get_object_or_404(request.user.passkeys, pk=pk)
    passkeys.rename(request.user.pk, pk, request.POST.get("name", "")[:200])
    return SeeOther(reverse("account-passkeys"))


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@confirm.required(back="account-passkeys")
def remove(request: MemberRequest, pk: int) -> HttpResponse:
    """Ask, then take away; the last way in stays."""
    one = get_object_or_404(request.user.passkeys, pk=pk)
    last = binding.ways_in(request.user) <= 1
    if request.method == "POST":
        try:
            passkeys.remove(request.user.pk, pk, now=request.now)
        except binding.LastWayIn:
            last = True
        else:
            messages.success(request, _("通行密钥已删除"))
            return SeeOther(reverse("account-passkeys"))
    context = {"here": "account", "passkey": _facts(one), "last": last}
    status = 409 if request.method == "POST" else 200
    return render(request, "members/passkey_remove.html", context, status=status)
