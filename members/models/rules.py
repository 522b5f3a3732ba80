from __future__ import annotations

from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _


class ShopRules(models.Model):
    """What an operator tunes: one row of windows, limits and contact data.

    Read through ``members.rules.current``; every change is logged by the admin.
    Durations are seconds; hours are Asia/Shanghai.
    """

    shop_name = models.CharField(_("店名"), max_length=40, default="卡盟")
    company = models.CharField(_("公司名称"), max_length=80, blank=True)
    icp_number = models.CharField(_("ICP 备案号"), max_length=60, blank=True)
    license_number = models.CharField(_("经营许可证"), max_length=60, blank=True)
    support_contact = models.CharField(_("会员客服"), max_length=80, blank=True)
    support_url = models.CharField(
        _("客服链接"),
        max_length=200,
        blank=True,
        validators=[
            RegexValidator(
                r"\A(https://[^\s/]+\S*|tel:\+?[\d-]+|mailto:[^\s@]+@[^\s@]+)\Z",
                _("填 https:// 开头的网址，或 tel:、mailto:。"),
            )
        ],
        help_text=_("点「会员客服」去的地方；空着就去官方验证页。"),
    )
    support_hours = models.CharField(_("客服时间"), max_length=60, blank=True)

    hold_seconds = models.PositiveIntegerField(_("订单保留"), default=30 * 60)
    last_attempt_seconds = models.PositiveIntegerField(
        _("到期前不再新开支付"), default=90
    )
    grace_seconds = models.PositiveIntegerField(
        _("网关联系不上时的宽限"), default=10 * 60
    )
    expired_at_once = models.PositiveIntegerField(
        _("超时没处理的订单多到几单就停"),
        default=500,
        help_text=_("也许是时钟错了。看过时钟再调大。"),
    )
    late_seconds = models.PositiveIntegerField(_("迟到的钱仍可开通"), default=24 * 3600)
    confirm_above_fen = models.PositiveIntegerField(
        _("多少以上先查单再入账（分）"), default=50_000
    )
    short_seconds = models.PositiveIntegerField(
        _("缺货多久自动退款"), default=24 * 3600
    )
    ageing_seconds = models.PositiveIntegerField(
        _("排队多久后和会员一样优先"), default=2 * 3600
    )
    bother_fen = models.PositiveIntegerField(
        _("推荐时每付一次款的麻烦按多少计（分）"),
        default=50,
        help_text=_("0 就只算钱。只影响推荐几天，不影响价格；起作用时会写给会员看。"),
    )
    open_orders_max = models.PositiveSmallIntegerField(_("每人未付订单上限"), default=5)
    open_orders_per_address = models.PositiveSmallIntegerField(
        _("每个地址未付订单上限"), default=20
    )

    code_seconds = models.PositiveIntegerField(_("验证码有效期"), default=300)
    code_tries = models.PositiveSmallIntegerField(_("验证码可试次数"), default=5)
    code_resend_seconds = models.PositiveIntegerField(_("重发间隔"), default=60)
    codes_per_phone_hour = models.PositiveIntegerField(_("每号每小时"), default=5)
    codes_per_phone_day = models.PositiveIntegerField(_("每号每天"), default=10)
    failures_per_phone_day = models.PositiveIntegerField(_("每号每天错误"), default=20)
    failures_in_a_row = models.PositiveIntegerField(_("连续错误后停用"), default=100)
    codes_per_address_hour = models.PositiveIntegerField(_("每地址每小时"), default=60)
    failures_per_address = models.PositiveIntegerField(
        _("每地址 10 分钟错误"), default=30
    )
    misses_per_address = models.PositiveIntegerField(
        _("每地址 10 分钟落空的查找"), default=30
    )
    misses_per_network = models.PositiveIntegerField(
        _("每网段 10 分钟落空的查找"), default=300
    )
    codes_per_network_hour = models.PositiveIntegerField(_("每网段每小时"), default=300)
    codes_per_hour = models.PositiveIntegerField(_("全店每小时"), default=2_000)
    codes_per_day = models.PositiveIntegerField(_("全店每天"), default=10_000)
    conversion_codes = models.PositiveIntegerField(
        _("每小时发出多少条后看使用率"), default=200
    )
    conversion_percent = models.PositiveSmallIntegerField(
        _("验证码使用率低于（%）时收紧"), default=20
    )
    failures_alarm = models.PositiveIntegerField(_("全店 10 分钟错误告警"), default=200)

    wrong_coupons_per_member_hour = models.PositiveIntegerField(
        _("优惠码：每人每小时错"), default=10
    )
    wrong_coupons_per_member_day = models.PositiveIntegerField(
        _("优惠码：每人每天错"), default=30
    )
    wrong_coupons_per_address_hour = models.PositiveIntegerField(
        _("优惠码：每地址每小时错"), default=20
    )
    wrong_coupons_per_address_day = models.PositiveIntegerField(
        _("优惠码：每地址每天错"), default=100
    )
    wrong_coupons_per_network_hour = models.PositiveIntegerField(
        _("优惠码：每网段每小时错"), default=200
    )
    wrong_gifts_per_member_hour = models.PositiveIntegerField(
        _("兑换码：每人每小时错"), default=5
    )
    wrong_gifts_per_member_day = models.PositiveIntegerField(
        _("兑换码：每人每天错"), default=20
    )
    wrong_gifts_per_address_hour = models.PositiveIntegerField(
        _("兑换码：每地址每小时错"), default=10
    )
    wrong_gifts_per_address_day = models.PositiveIntegerField(
        _("兑换码：每地址每天错"), default=50
    )
    wrong_gifts_per_network_hour = models.PositiveIntegerField(
        _("兑换码：每网段每小时错"), default=100
    )
    wrong_gifts_per_hour = models.PositiveIntegerField(
        _("兑换码：全店每小时错"), default=2_000
    )

    real_name_accounts = models.PositiveSmallIntegerField(
        _("一个身份证最多认证几个账号"), default=3
    )

    quiet_from_hour = models.PositiveSmallIntegerField(_("免打扰开始"), default=22)
    quiet_until_hour = models.PositiveSmallIntegerField(_("免打扰结束"), default=8)
    reminder_seconds = models.PositiveIntegerField(_("提前提醒"), default=72 * 3600)
    short_reminder_seconds = models.PositiveIntegerField(
        _("短期会员提前提醒"), default=6 * 3600
    )
    reminded_at_once = models.PositiveIntegerField(
        _("要提醒的会员多到几个就停"),
        default=5_000,
        help_text=_("也许是时钟错了。看过时钟再调大。"),
    )

    renewal_notice_seconds = models.PositiveIntegerField(
        _("扣款前多久预告续费"), default=5 * 86_400
    )
    renewal_charge_seconds = models.PositiveIntegerField(
        _("到期前多久扣款"), default=24 * 3600
    )
    renewal_retry_seconds = models.PositiveIntegerField(
        _("扣款失败后，到期前多久重试"), default=6 * 3600
    )
    renewal_last_retry_seconds = models.PositiveIntegerField(
        _("到期前多久最后一试"), default=3600
    )
    renewal_from_hour = models.PositiveSmallIntegerField(_("扣款时段开始"), default=9)
    renewal_until_hour = models.PositiveSmallIntegerField(_("扣款时段结束"), default=21)

    class Meta:
        verbose_name = _("店铺规则")
        verbose_name_plural = _("店铺规则")

    def __str__(self) -> str:
        return self.shop_name
