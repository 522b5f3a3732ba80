"""An operator merges another account of the same person into the one she looks at.

A guarded action like those of ``payments.guarded``, about two rows instead of one: the
other account is typed, shown with what will happen, and only then confirmed. The page
carries the versions of both, so an old one is refused (I3) and pressing twice acts once
(I4). The phone is posted, so it gets into no address and no log.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from kameng.http import SeeOther
from kameng.lookups import now_of
from kameng.templatetags.shop import moment, to_the_second
from members import phones, timeline
from members.models import Member
from orders.models import Order, Status
from orders.versions import Stale
from payments import merging
from payments.guarded import Facts, staff_of
from payments.renewing import mandates

PERMISSION = "members.change_member"
LABEL = gettext_lazy("把另一个账号并进来")
_NUMBER = re.compile(r"#?([0-9]{1,10})", re.ASCII)
_SEEN = re.compile(r"([0-9]{1,18}):([0-9]{1,9}):([0-9]{1,9})", re.ASCII)


class MergeForm(forms.Form):
    """``seen`` names the other account and the versions of both, once they were shown."""

    required_css_class = "required"
    seen = forms.CharField(widget=forms.HiddenInput, required=False)
    other = forms.CharField(
        label=gettext_lazy("要并进来的账号"),
        max_length=phones.LONGEST,
        strip=False,
        help_text=gettext_lazy("它的手机号；没有手机号的写编号，例如 #12。"),
        widget=forms.TextInput({"autocomplete": "off"}),
    )
    reason = forms.CharField(
        label=gettext_lazy("原因"),
        max_length=100,
        help_text=gettext_lazy(
            "怎么确认两个账号是同一个人，写进操作日志。别写手机号。"
        ),
    )

    def clean_other(self) -> Member:
        typed = str(self.cleaned_data["other"])
        number = _NUMBER.fullmatch(typed.strip())
        if number:
            found = Member.objects.filter(pk=int(number[1]))
        else:
            try:
                found = Member.objects.filter(phone=phones.parse(typed))
            except phones.BadPhone:
                raise ValidationError(_("手机号要 11 位，以 1 开头")) from None
        other = found.filter(is_staff=False).first()
        if other is None:
            raise ValidationError(_("没有这个账号"))
        return other


def page(request: HttpRequest, target: Member | None, context: Any) -> HttpResponse:
    """What will happen, for the account that was typed; done when it is confirmed."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    if target is None:
        raise Http404
    if not target.is_active:
        return _shown(request, target, None, context, status=409)
    if not {"preview", "confirm"} & request.POST.keys():
        return _shown(request, target, MergeForm(), context)
    form = MergeForm(request.POST)
    if not form.is_valid():
        return _shown(request, target, form, context, status=422)
    source = form.cleaned_data["other"]
    why = merging.obstacle(source, target)
    if why is not None:
        form.add_error("other", _words(why))
        return _shown(request, target, form, context, status=422)
    if "confirm" not in request.POST:
        return _previewed(request, source, target, context)
    seen = _SEEN.fullmatch(form.cleaned_data["seen"])
    if seen is None or int(seen[1]) != source.pk:
        words = _("先看过会发生什么，再确认")
        return _previewed(request, source, target, context, words)
    try:
        merging.merge(
            source.pk,
            into_id=target.pk,
            actor=staff_of(request),
            reason=form.cleaned_data["reason"],
            now=now_of(request),
            seen=merging.Seen(int(seen[2]), int(seen[3])),
        )
    except Stale:
        words = _("这两个账号刚有变化，什么也没做。看过新的情况再决定。")
        return _previewed(request, source, target, context, words)
    except merging.NotMergeable as refusal:
        form.add_error("other", _words(refusal.why))
        return _shown(request, target, form, context, status=409)
    messages.success(request, _("已合并，那个账号不能再登录"))
    return SeeOther(reverse("admin:members_member_change", args=[target.pk]))


def _previewed(
    request: HttpRequest,
    source: Member,
    target: Member,
    context: Any,
    error: str = "",
) -> HttpResponse:
    """The two accounts as of now; the form names what is shown."""
    target = Member.objects.get(pk=target.pk)
    typed = request.POST.copy()
    typed["seen"] = f"{source.pk}:{source.version}:{target.version}"
    return _shown(
        request,
        target,
        MergeForm(typed),
        context,
        facts=_what_happens(request, source, target),
        error=error,
        status=409 if error else 200,
    )


def _what_happens(request: HttpRequest, source: Member, target: Member) -> Facts:
    now = now_of(request)
    brought, held = (
        sum(timeline.time_left(each, now=now).values()) for each in (source, target)
    )
    orders = Order.objects.filter(member=source)
    waiting = orders.filter(status=Status.PENDING).count()
    facts = [
        (_("并进来的账号"), f"#{source.pk} {source.masked_phone}".strip()),
        (_("它没用完的时间"), to_the_second(brought)),
        (_("这个账号没用完的时间"), to_the_second(held)),
        (_("合并以后的到期"), _end(target, brought + held, now=now)),
        (
            _("转过来的订单"),
            _("{n} 单，其中待付款 {waiting} 单").format(
                n=orders.count(), waiting=waiting
            ),
        ),
        (_("登录"), _("并进来的账号不能再登录，手机号空出来")),
        (_("撤销"), _("合并后不能撤销")),
    ]
    if mandates.holder_of(source) is not None:
        facts.append((_("自动续费"), _("并进来的账号的自动续费会关闭，会告诉她")))
    return facts


def _end(target: Member, seconds: int, *, now: datetime) -> str:
    if target.pauses.filter(ends_at__isnull=True).exists():
        return _("已暂停，时间都留着")
    return moment(now + timedelta(seconds=seconds)) if seconds else "–"


def _words(why: merging.Obstacle) -> str:
    match why:
        case merging.Obstacle.SAME:
            return _("这就是同一个账号")
        case merging.Obstacle.CHARGING:
            return _("那个账号正在自动扣款，有了结果再合并")
        case merging.Obstacle.FULL:
            return _("两个账号的时间加起来太长，不能合并")
    return _("只能合并两个还能登录的买家账号")


def _shown(
    request: HttpRequest,
    target: Member,
    form: MergeForm | None,
    context: Any,
    *,
    facts: Facts | None = None,
    error: str = "",
    status: int = 200,
) -> HttpResponse:
    named = [(_("留下的账号"), f"#{target.pk} {target.masked_phone}".strip())]
    shown = {
        **context,
        "title": str(LABEL),
        "row": target,
        "action": {"label": LABEL, "has_preview": True},
        "form": form,
        "facts": [*named, *(facts or [])],
        "error": error,
        "back": reverse("admin:members_member_change", args=[target.pk]),
    }
    return TemplateResponse(request, "console/guarded.html", shown, status=status)
