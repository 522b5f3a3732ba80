"""The console's side of a verified name: yes or no and when, taken back, or by hand.

Confirming by hand is where an appeal ends: a machine alone refuses nobody for good
(个保法 24).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from kameng.http import SeeOther
from kameng.lookups import now_of
from kameng.templatetags.shop import moment
from members.models import Member
from members.real_name import holding
from members.real_name.holding import State

TAKE_BACK, CONFIRM = "take-back", "confirm"
ACTS = {
    TAKE_BACK: ("members.delete_realname", gettext_lazy("收回实名认证")),
    CONFIRM: ("members.add_realname", gettext_lazy("人工确认实名")),
}


class ReasonForm(forms.Form):
    required_css_class = "required"
    reason = forms.CharField(
        label=gettext_lazy("原因"),
        max_length=100,
        help_text=gettext_lazy("怎么核对的，写进操作日志。别写姓名和身份证号。"),
    )


def facts(member: Member, *, now: datetime) -> dict[str, Any] | None:
    """What her page in the console says; None for staff."""
    if member.is_staff:
        return None
    held = holding.of(member)
    state = holding.state_of(held, now=now)
    return {
        "words": _words(member, now=now),
        "may_take_back": held is not None,
        "may_confirm": member.is_active and state is not State.ADULT,
    }


def page(
    request: HttpRequest, member: Member | None, act: str, context: Any
) -> HttpResponse:
    """What will happen, then done with a reason."""
    permission, label = ACTS[act]
    actor = request.user
    if not (isinstance(actor, Member) and actor.has_perm(permission)):
        raise PermissionDenied
    now = now_of(request)
    shown = facts(member, now=now) if member is not None else None
    if member is None or shown is None:
        raise Http404
    back = reverse("admin:members_member_change", args=[member.pk])
    fits = shown["may_take_back" if act == TAKE_BACK else "may_confirm"]
    form = ReasonForm(request.POST if "confirm" in request.POST else None)
    if fits and form.is_valid():
        try:
            _do(member, act, actor, form.cleaned_data["reason"], now=now)
        except holding.NothingToDo:
            fits = False
        else:
            messages.success(request, _("已经办好，写进了操作日志"))
            return SeeOther(back)
    named = {
        **context,
        "title": str(label),
        "row": member,
        "action": {"label": label, "has_preview": False},
        "form": form if fits else None,
        "facts": _what_happens(member, act, now=now),
        "back": back,
    }
    status = 409 if not fits else 422 if form.is_bound else 200
    return TemplateResponse(request, "console/guarded.html", named, status=status)


def _do(member: Member, act: str, actor: Member, reason: str, *, now: datetime) -> None:
    if act == TAKE_BACK:
        holding.take_back(member.pk, actor=actor, reason=reason)
    else:
        holding.confirm_by_hand(member.pk, actor=actor, reason=reason, now=now)


def _what_happens(member: Member, act: str, *, now: datetime) -> list[tuple[str, str]]:
    then = (
        _("再买要实名的权益时重新认证；买过的照常发货和使用")
        if act == TAKE_BACK
        else _("算作已认证的成年人。先核对证件和本人，不留复印件和号码")
    )
    return [
        (_("会员"), f"#{member.pk} {member.masked_phone}".strip()),
        (_("现在"), _words(member, now=now)),
        (_("之后"), then),
    ]


def _words(member: Member, *, now: datetime) -> str:
    held = holding.of(member)
    if held is None:
        last = member.real_name_checks.order_by("-pk").first()
        if last is None:
            return _("没有")
        return _("没有；上次 {time}：{outcome}").format(
            time=moment(last.asked_at), outcome=last.get_outcome_display()
        )
    words = _("{time}，{who}").format(
        time=moment(held.verified_at), who=held.get_provider_display()
    )
    if holding.state_of(held, now=now) is State.MINOR:
        words += _("，未成年，{date} 成年").format(date=held.adult_on)
    return words
