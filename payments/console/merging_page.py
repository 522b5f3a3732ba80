"""An operator merges another account of the same person into the one she looks at.

A guarded action about two rows instead of one: the other account is typed, shown with
what will happen, and only then confirmed. The page carries the versions of both, so an
old one is refused (I3) and pressing twice acts once (I4). The phone is posted, so it
gets into no address and no log.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from kameng.templatetags.shop import moment, to_the_second
from members import phones, timeline
from members.models import Member
from orders.models import Order, Status
from payments import merging
from payments.console.guarded import Deed, Facts, Guarded, GuardedForm
from payments.renewing import mandates

_NUMBER = re.compile(r"#?([0-9]{1,10})", re.ASCII)
_SEEN = re.compile(r"([0-9]{1,18}):([0-9]{1,9}):([0-9]{1,9})", re.ASCII)


class NotShown(Exception):
    """This account was confirmed without having been looked at."""


class MergeForm(GuardedForm):
    """``version`` names the other account and the versions of both, once they were shown."""

    rests_on = frozenset({"other"})
    version = forms.CharField(widget=forms.HiddenInput, required=False)
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
        other = _account(str(self.cleaned_data["other"]))
        why = merging.obstacle(other, self.row)
        if why is not None:
            raise ValidationError(_words_for(why))
        return other

    def clean(self) -> dict[str, Any]:
        return (
            self.cleaned_data
        )  # a page that showed nobody is told so by its own words

    def shown_version(self) -> str | None:
        try:
            other = _account(str(self.data.get("other", "")))
        except ValidationError:
            return None
        return f"{other.pk}:{other.version}:{self.row.version}"


def _account(typed: str) -> Member:
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


def _facts(target: Member, form: GuardedForm, now: datetime) -> Facts:
    named = [(_("留下的账号"), f"#{target.pk} {target.masked_phone}".strip())]
    source = form.cleaned_data.get("other") if form.is_bound else None
    return [*named, *(_what_happens(source, target, now=now) if source else [])]


def _merge(deed: Deed) -> str:
    """raises  NotShown, NotMergeable, Stale"""
    source = deed.data["other"]
    seen = _SEEN.fullmatch(deed.data["version"])
    if seen is None or int(seen[1]) != source.pk:
        raise NotShown
    merging.merge(
        source.pk,
        into_id=deed.row.pk,
        actor=deed.actor,
        reason=deed.data["reason"],
        now=deed.now,
        seen=merging.Seen(int(seen[2]), int(seen[3])),
    )
    return _("已合并，那个账号不能再登录")


def _what_happens(source: Member, target: Member, *, now: datetime) -> Facts:
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


def _words_for(why: merging.Obstacle) -> str:
    match why:
        case merging.Obstacle.SAME:
            return _("这就是同一个账号")
        case merging.Obstacle.CHARGING:
            return _("那个账号正在自动扣款，有了结果再合并")
        case merging.Obstacle.FULL:
            return _("两个账号的时间加起来太长，不能合并")
    return _("只能合并两个还能登录的买家账号")


def _words(refusal: Exception) -> str:
    if isinstance(refusal, merging.NotMergeable):
        return _words_for(refusal.why)
    return _("先看过会发生什么，再确认")


MERGE = Guarded(
    "merge",
    gettext_lazy("把另一个账号并进来"),
    "members.change_member",
    MergeForm,
    is_offered=lambda target, now: target.is_active and not target.is_staff,
    facts=_facts,
    do=_merge,
    refusals=(merging.NotMergeable, NotShown),
    words=_words,
    has_preview=True,
    stale=gettext_lazy("这两个账号刚有变化，什么也没做。看过新的情况再决定。"),
    is_logged=True,
)
