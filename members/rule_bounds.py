"""Between which values an operator may tune the shop's rules.

Outside of them the shop would cheat (codes for ever), lock itself (no code at all) or
break a provider's limit; the reasons stand in the rules' own places.
"""

from __future__ import annotations

from django.utils.translation import gettext as _

from members.models import ACCOUNTS_MAX, ShopRules

HOUR, DAY = 3_600, 86_400

BOUNDS: dict[str, tuple[int, int]] = {
    "hold_seconds": (10 * 60, DAY),
    "last_attempt_seconds": (0, 5 * 60),
    "grace_seconds": (60, HOUR),
    "expired_at_once": (50, 1_000_000),
    "late_seconds": (0, 7 * DAY),
    "confirm_above_fen": (0, 100_000_000),
    "short_seconds": (HOUR, 7 * DAY),
    "ageing_seconds": (0, DAY),
    "bother_fen": (0, 200),  # more would sell days that nobody needs
    "open_orders_max": (1, 20),
    "open_orders_per_address": (1, 1_000),
    "code_seconds": (60, 10 * 60),  # ASVS 6.5.5: ten minutes at most
    "code_tries": (1, 10),
    "code_resend_seconds": (30, 10 * 60),
    "codes_per_phone_hour": (1, 5),  # the provider's own limit
    "codes_per_phone_day": (1, 10),
    "failures_per_phone_day": (5, 50),
    "failures_in_a_row": (10, 100),  # NIST 800-63B
    "codes_per_address_hour": (1, 10_000),
    "failures_per_address": (5, 10_000),
    "misses_per_address": (10, 10_000),
    "misses_per_network": (10, 100_000),
    "codes_per_network_hour": (1, 100_000),
    "codes_per_hour": (1, 1_000_000),
    "codes_per_day": (1, 10_000_000),
    "failures_alarm": (10, 1_000_000),
    "wrong_coupons_per_member_hour": (1, 100),
    "wrong_coupons_per_member_day": (1, 1_000),
    "wrong_coupons_per_address_hour": (1, 10_000),
    "wrong_coupons_per_address_day": (1, 10_000),
    "wrong_coupons_per_network_hour": (1, 100_000),
    "wrong_gifts_per_member_hour": (1, 100),
    "wrong_gifts_per_member_day": (1, 1_000),
    "wrong_gifts_per_address_hour": (1, 10_000),
    "wrong_gifts_per_address_day": (1, 10_000),
    "wrong_gifts_per_network_hour": (1, 100_000),
    "wrong_gifts_per_hour": (10, 1_000_000),  # 80 bits a code: still out of reach
    "real_name_accounts": (1, ACCOUNTS_MAX),
    "quiet_from_hour": (0, 23),
    "quiet_until_hour": (0, 23),
    "reminder_seconds": (HOUR, 30 * DAY),
    "short_reminder_seconds": (HOUR, 3 * DAY),
    "reminded_at_once": (200, 10_000_000),
    "renewal_notice_seconds": (5 * DAY, 30 * DAY),  # 网络交易监督管理办法, article 18
    "renewal_charge_seconds": (12 * HOUR, 2 * DAY),  # a gateway allows five days
    "renewal_retry_seconds": (HOUR, 11 * HOUR),
    "renewal_last_retry_seconds": (30 * 60, 10 * HOUR),
    "renewal_from_hour": (7, 20),
    "renewal_until_hour": (9, 22),
}

WRONG_CODES = (
    *("wrong_coupons_per_member", "wrong_coupons_per_address"),
    *("wrong_gifts_per_member", "wrong_gifts_per_address"),
)
"""What has a number for an hour and one for a day."""


def faults(rules: ShopRules) -> dict[str, str]:
    """Words for each rule that is out of bounds, by field."""
    words = _("填 {least} 到 {most} 之间的数。")
    found = {
        field: words.format(least=least, most=most)
        for field, (least, most) in BOUNDS.items()
        if not least <= getattr(rules, field) <= most
    }
    if rules.last_attempt_seconds >= rules.hold_seconds:
        found["last_attempt_seconds"] = _("要比订单保留的时间短。")
    if rules.codes_per_phone_day < rules.codes_per_phone_hour:
        found["codes_per_phone_day"] = _("不能少于每号每小时的数。")
    if rules.codes_per_day < rules.codes_per_hour:
        found["codes_per_day"] = _("不能少于全店每小时的数。")
    for each in WRONG_CODES:
        if getattr(rules, f"{each}_day") < getattr(rules, f"{each}_hour"):
            found[f"{each}_day"] = _("不能少于每小时的数。")
    if rules.renewal_last_retry_seconds >= rules.renewal_retry_seconds:
        found["renewal_last_retry_seconds"] = _("要比前一次重试更接近到期。")
    if rules.renewal_until_hour < rules.renewal_from_hour + 2:
        found["renewal_until_hour"] = _("扣款时段至少两小时。")
    return found
