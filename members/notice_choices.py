"""``/account/notifications/``: what she wants to be told, and what nobody can switch off."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from kameng.http import MemberRequest, SeeOther
from notifications import choices, kinds
from notifications.models import Notification
from notifications.push import subscriptions


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def notifications(request: MemberRequest) -> HttpResponse:
    """A ticked box is wanted; what the form does not name is switched off."""
    if request.method == "POST":
        wanted = set(request.POST.getlist("want"))
        choices.choose(
            request.user.pk,
            (one for one in choices.all_choices() if ":".join(one) in wanted),
            now=request.now,
        )
        messages.success(request, _("记下了"))
        return SeeOther(reverse("account-notifications"))
    context = {
        "here": "account",
        "kinds": _rows(request.user.pk),
        "has_phone": request.user.phone is not None,
        "push": subscriptions.offer(request.user.pk),
    }
    return render(request, "members/notifications.html", context)


def _rows(member_id: int) -> list[dict[str, Any]]:
    off = choices.switched_off(member_id)
    return [
        {
            "code": kind,
            "name": kinds.label(kind),
            "channels": [
                {
                    "value": f"{kind}:{channel.value}",
                    "name": Notification.Channel(channel).label,
                    "on": (kind, channel.value) not in off,
                }
                for channel in channels
            ],
        }
        for kind, channels in choices.OPTIONAL.items()
    ]
