"""The console's pages for the second factor; mounted by ``kameng.admin_site``."""

from __future__ import annotations

from django.contrib.auth import login
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_http_methods

from kameng.http import SeeOther, ShopRequest
from members import staff_key
from members.sign_in import challenges, passkeys, signin


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("passkey")
def second(request: ShopRequest) -> HttpResponse:
    """After the right password: the key, or how to get one."""
    member = staff_key.waiting(request, now=request.now)
    if member is None:
        return SeeOther(reverse("admin:login"))
    failed = False
    if request.method == "POST":
        try:
            passkeys.answer_of(
                request,
                member,
                request.POST.get("passkey", ""),
                aim=staff_key.SIGN_IN,
                now=request.now,
            )
        except passkeys.Refused:
            failed = True
        else:
            del request.session[staff_key.PENDING]
            login(request, member, backend=signin.BACKEND)
            return SeeOther(reverse("admin:index"))
    context = {"failed": failed, "has_key": member.passkeys.exists()}
    return render(
        request, "console/second.html", context, status=400 if failed else 200
    )


@never_cache
@require_GET
def second_options(request: ShopRequest) -> HttpResponse:
    challenge = challenges.issue(request, staff_key.SIGN_IN, now=request.now)
    return HttpResponse(
        passkeys.request_options(challenge), content_type="application/json"
    )


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("passkey")
def enrol(request: ShopRequest, token: str) -> HttpResponse:
    """Where the link of ``manage.py staff`` leads; it signs nobody in."""
    member = staff_key.whose_link(token)
    if member is None:
        raise Http404
    failed = False
    if request.method == "POST":
        try:
            passkeys.add(
                request,
                member,
                request.POST.get("passkey", ""),
                name=request.now.date().isoformat(),
                now=request.now,
                aim=staff_key.ENROL,
            )
        except (passkeys.Refused, passkeys.TooMany):
            failed = True
        else:
            return SeeOther(reverse("admin:login"))
    challenge = challenges.issue(request, staff_key.ENROL, now=request.now)
    context = {
        "failed": failed,
        "name": member.username,
        "options": passkeys.registration_options(member, challenge),
    }
    return render(request, "console/enrol.html", context, status=400 if failed else 200)
