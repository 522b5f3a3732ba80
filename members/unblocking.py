"""An operator ends the block of a phone whose owner has proved herself otherwise."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from kameng.http import SeeOther
from members import phones
from members.models import Member
from members.sign_in import codes

PERMISSION = "members.change_shoprules"
"""Who sets the limits of codes may also lift one."""


class UnblockForm(forms.Form):
    phone = forms.CharField(
        label=gettext_lazy("手机号"),
        max_length=phones.LONGEST,
        strip=False,
        widget=forms.TextInput({"class": "vTextField", "autocomplete": "off"}),
    )
    reason = forms.CharField(
        label=gettext_lazy("原因"),
        max_length=100,
        widget=forms.TextInput({"class": "vTextField"}),
        help_text=gettext_lazy("怎么确认是本人，写进操作日志。"),
    )

    def clean_phone(self) -> str:
        try:
            return phones.parse(self.cleaned_data["phone"])
        except phones.BadPhone:
            raise ValidationError(_("手机号要 11 位，以 1 开头")) from None


@transaction.atomic(durable=True)
def unblock(phone: str, *, actor: Member, reason: str) -> None:
    """Lift the block and leave a line in the log; the phone stands there by its tail."""
    codes.unblock(phone)
    owner = Member.objects.filter(phone=phone).first()
    LogEntry.objects.create(
        user=actor,
        content_type=ContentType.objects.get_for_model(Member),
        object_id=str(owner.pk) if owner else None,
        object_repr=_("尾号 {tail}").format(tail=phones.tail(phone)),
        action_flag=CHANGE,
        change_message=_("解除验证码锁定：{reason}").format(reason=reason),
    )


def page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """The form; the phone is posted, so it gets into no address and no log."""
    actor = request.user
    if not (isinstance(actor, Member) and actor.has_perm(PERMISSION)):
        raise PermissionDenied
    form = UnblockForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        unblock(
            form.cleaned_data["phone"],
            actor=actor,
            reason=form.cleaned_data["reason"],
        )
        messages.success(request, _("已解除，可以重新获取验证码。"))
        return SeeOther(request.path)
    return TemplateResponse(
        request,
        "console/unblock.html",
        {**context, "title": _("解除验证码锁定"), "form": form},
        status=422 if form.is_bound else 200,
    )
