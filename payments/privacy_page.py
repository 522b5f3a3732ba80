"""``/account/privacy/``: her data as a file, and leaving for good."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from kameng.http import MemberRequest, SeeOther
from members.context import standing_of
from members.sign_in import confirm
from payments import privacy


@login_required
@require_GET
def privacy_page(request: MemberRequest) -> HttpResponse:
    context = {
        "here": "account",
        "erase_at": request.user.erase_at,
        "paid_until": standing_of(request).paid_until,
        "has_keys": request.user.orders.filter(keys__isnull=False).exists(),
        "staff": request.user.is_staff,
    }
    return render(request, "members/privacy.html", context)


@login_required
@require_POST
@confirm.required(back="account-privacy")
def export(request: MemberRequest) -> HttpResponse:
    response = JsonResponse(
        privacy.export(request.user),
        json_dumps_params={"ensure_ascii": False, "indent": 2},
    )
    response["Content-Disposition"] = 'attachment; filename="kameng.json"'
    return response


@login_required
@require_POST
@confirm.required(back="account-privacy")
def delete(request: MemberRequest) -> HttpResponse:
    """Seven days from now; until then one tap undoes it."""
    if not request.user.is_staff:
        privacy.ask_to_erase(request.user.pk, now=request.now)
    return SeeOther(reverse("account-privacy"))


@login_required
@require_POST
def keep(request: MemberRequest) -> HttpResponse:
    privacy.keep(request.user.pk)
    messages.success(request, _("账号保留下来了"))
    return SeeOther(reverse("account-privacy"))
