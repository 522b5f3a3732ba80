"""The box of automatic renewal in the checkout: never ticked, and only where it works."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from kameng.http import member_of
from members import rules
from members.models import Plan
from members.sign_in.phone_step import FieldError
from members.tiers import catalogue
from payments import channels
from payments.gateways import mandates as gateway_mandates
from payments.renewing import mandates

if TYPE_CHECKING:
    from orders.choice import Page, Typed
    from orders.goods_page import GoodsPage

DAY, HOUR = 86_400, 3_600


def of(page: Page) -> dict[str, Any] | None:
    """What the box says of the chosen plan; None where nothing could keep its word."""
    plan = page.selected_plan()
    if plan is None:
        return None
    usable = (each["code"] for each in page.channels if each["available"])
    channel = next((code for code in usable if _price(page, plan, code)), None)
    if channel is None:
        return None
    member = member_of(page.request)
    if member is not None and mandates.holder_of(member) is not None:
        return {"on": True}
    shop_rules = rules.current()
    return {
        "plan": plan.slug,
        "amount_fen": _price(page, plan, channel),
        "days": plan.days,
        "notice_days": shop_rules.renewal_notice_seconds // DAY,
        "charge_hours": shop_rules.renewal_charge_seconds // HOUR,
        "channel": channels.label_of(channel),
        "ticked": page.typed.renew,
        "by_sms": member is None or member.phone is not None,
    }


def complaint(page: Page | GoodsPage) -> FieldError | None:
    """Why what she ticked cannot be had with what else she chose; None when it can."""
    typed = page.typed
    if not typed.renew:
        return None
    plan = None if typed.goods else catalogue.current().plan(typed.plan)
    if plan is None or not _somewhere(page, plan):
        return gone(typed)
    if typed.renew_for not in ("", typed.plan):
        typed.renew = False
        return FieldError("renew", _("续费的套餐换了，请看清金额再勾一次"))
    if not _price(page, plan, typed.channel):
        return FieldError("renew", _only_by())
    return None


def gone(typed: Typed) -> FieldError:
    """It cannot renew itself: the tick is taken away, and nothing else."""
    typed.renew = False
    words = _("这里不能自动续费，勾选已去掉，确认后再付")
    return FieldError("channel", words)


def _only_by() -> str:
    able = [
        channels.label_of(code)
        for code, channel in channels.known().items()
        if gateway_mandates.of(channel.gateway) is not None
    ]
    return _("自动续费只支持{channel}。换成它付款，或去掉勾选").format(
        channel="、".join(able)
    )


def _somewhere(page: Page | GoodsPage, plan: Plan) -> bool:
    return any(_price(page, plan, code) for code in channels.known())


def _price(page: Page | GoodsPage, plan: Plan, code: str) -> int:
    """The price of one charge by this channel; 0 where it cannot charge again."""
    channel = channels.known().get(code)
    if channel is None:
        return 0
    try:
        return mandates.price_of(plan, channel.gateway, now=page.now)
    except mandates.NotOffered:
        return 0
