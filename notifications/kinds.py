"""The kinds of messages in words, for staff."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

KINDS = {
    "activated": _("开通通知"),
    "expiring": _("到期提醒"),
    "renewal": _("续费预告"),
    "renewal_off": _("续费已关闭"),
    "renewal_price": _("续费要重新同意"),
    "renewal_failed": _("续费没有成功"),
    "renewal_retry": _("续费扣款会再试"),
    "refund": _("退款通知"),
    "delivered": _("发货通知"),
    "short": _("缺货通知"),
    "phone_changed": _("换了手机号"),
    "phone_left": _("手机号给了别人"),
    "way_added": _("多了登录方式"),
    "way_removed": _("少了登录方式"),
    "passkey_copied": _("通行密钥可能被复制"),
}


def label(kind: str) -> str:
    return str(KINDS.get(kind, kind))
