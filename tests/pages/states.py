"""Every state of every page, as the contexts that the views promise.

``STATES`` maps a state's name to its template and context. The tests render them all,
look at them in a browser and weigh them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

import segno
import time_machine
from django.template.loader import render_to_string
from django.utils import translation

Context = dict[str, Any]

SECOND = timedelta(seconds=1)
LOADED = datetime.now(UTC)
_one_clock = Lock()
ORDER_NO = "7K3M9QXA2VTR5W8YH4JC6PNB0D"
ATTEMPT_NO = "KM7A9QXA2VTR5W8YH4JC6PNB0D"
HANDED_OVER = f"sessionStorage.setItem('handover:{ATTEMPT_NO}', '1')"
"""Script for a browser that has been to the wallet already, so that the page stays."""
SHOP = {
    "name": "卡盟",
    "company": "卡盟（示例）网络科技有限公司",
    "icp": "京ICP备00000000号-1",
    "license": "增值电信业务经营许可证 京B2-00000000",
    "support_hours": "每天 9:00–21:00",
    "support_contact": "400-000-0000",
    "support_url": "https://work.weixin.example/kfid/kf",
    "public_host": "kameng.example",
}


@dataclass(frozen=True)
class Someone:
    is_authenticated: bool


def after(**span: float) -> datetime:
    """A moment from now; one second more, so that rounding down shows whole units."""
    return datetime.now(UTC).replace(microsecond=0) + timedelta(**span) + SECOND


def guest(**context: Any) -> Context:
    return {
        "shop": SHOP,
        "user": Someone(False),
        "badge": {},
        "expiry_notice": {},
        "csrf_token": "token",
        **context,
    }


def member(**context: Any) -> Context:
    badge = {"active": True, "tier_name": "临时会员", "ends_at": after(days=6, hours=2)}
    return guest(**{"user": Someone(True), "badge": badge, **context})


# Choice and checkout


def plan(slug: str, name: str, days: int, price_fen: int, **more: Any) -> Context:
    return {"slug": slug, "name": name, "days": days, "price_fen": price_fen, **more}


def ladder(selected: str = "temporary-7", **more: Any) -> list[Context]:
    plans = [
        plan("temporary-1", "1 天体验卡", 1, 300, never_renews=True),
        plan("temporary-7", "7 天体验装", 7, 1500, saving_fen=600, tag="首次推荐"),
        plan("temporary-30", "30 天卡", 30, 5000, saving_fen=4000),
    ]
    plans[1]["tie"] = {"from_days": 5, "extra_days": 2}
    for each in plans:
        each["saving_by_day"] = True
        each["selected"] = each["slug"] == selected
        each.update(more.get(each["slug"].replace("-", "_"), {}))
    return plans


def long_ladder() -> list[Context]:
    return [
        plan("long-term-90", "90 天会员", 90, 7500, selected=True),
        plan("long-term-365", "365 天会员", 365, 23800),
    ]


BENEFITS = [
    {"label": "会员价专区", "temporary": "95 折", "long_term": "9 折"},
    {"label": "发卡排队", "temporary": "优先", "long_term": "最先"},
    {"label": "到期提醒", "temporary": "短信", "long_term": "短信"},
    {"label": "专属客服", "temporary": "", "long_term": "有"},
]


def channel(code: str, label: str, app: str, **more: Any) -> Context:
    return {
        "code": code,
        "label": label,
        "app": app,
        "available": True,
        "selected": False,
        **more,
    }


def channels(**more: Any) -> list[Context]:
    wechat = channel("wechat", "微信支付", "微信", hint="上次用的", selected=True)
    alipay = channel("alipay", "支付宝", "支付宝")
    wechat.update(more.get("wechat", {}))
    alipay.update(more.get("alipay", {}))
    return [wechat, alipay]


def summary(**more: Any) -> Context:
    return {"price_fen": 1500, "ends_at": after(days=7), "merged_seconds": 0, **more}


def choice(page: Callable[..., Context] = guest, **more: Any) -> Context:
    plans = more.pop("plans", None) or ladder()
    context = {
        "here": "membership",
        "kind": "temporary",
        "plans": plans,
        "selected": next((each for each in plans if each.get("selected")), None),
        "summary": summary(),
        "recommendation": {"first": True, "plan": plans[1], "shortest_days": 1},
        "benefits": BENEFITS,
        "ladder_version": 1,
        "phone_state": "entry",
        "phone": {},
        "form": {},
        "channels": channels(),
        "client_token": "c0ffee",
        "errors": [],
    }
    return page(**{**context, **more})


def phone_step(state: str, **phone: Any) -> Context:
    return choice(phone_state=state, phone={"value": "13800138000", **phone})


def recommended(**more: Any) -> Context:
    return {
        "plan": ladder()[1],
        "window_days": 7,
        "days_seen": 6,
        "other_fen": 1800,
        "by_day": True,
        **more,
    }


CONVERSION = {
    "plan": plan("long-term-90", "长期会员 90 天", 90, 7500),
    "window_days": 90,
    "days_seen": 66,
    "other_fen": 13_500,
    "price_fen": 7_500,
    "saving_fen": 6_000,
}


def signed_in(**more: Any) -> Context:
    return choice(
        member,
        **{
            "phone_state": "verified",
            "phone": {"masked": "138••••8000"},
            "recommendation": {
                **recommended(),
                "inputs": [
                    "含今天，近 7 天记下你来过 6 天，近 30 天 6 天，近 90 天 9 天"
                ],
                "off_url": "/account/advice/",
            },
            **more,
        },
    )


@dataclass(frozen=True)
class Complaint:
    field: str
    message: str


def error(field: str, message: str) -> list[Complaint]:
    return [Complaint(field, message)]


def lacking(why: str, *, asks_guest: bool = False) -> Context:
    """An order that asks for a verified name."""
    return {"lack": why, "url": "/account/real-name/", "asks_guest": asks_guest}


def renewal_box(**more: Any) -> Context:
    return {
        "plan": "temporary-7",
        "amount_fen": 1500,
        "days": 7,
        "notice_days": 5,
        "charge_hours": 24,
        "channel": "支付宝",
        "ticked": False,
        "by_sms": True,
        **more,
    }


def renewing_channels(*, wechat: bool = False) -> list[Context]:
    return channels(
        wechat={"selected": wechat},
        alipay={"selected": not wechat, "renews": True},
    )


CHOICE: dict[str, Context] = {
    "choice": choice(),
    "choice-long-term": choice(
        kind="long-term",
        plans=long_ladder(),
        summary=summary(price_fen=7500, ends_at=after(days=90)),
        recommendation=None,
    ),
    "choice-in-wechat-one-tap": choice(
        in_wechat=True,
        one_tap=True,
        offers=[{"provider": "wechat", "words": "微信一键登录"}],
    ),
    "choice-desktop-offers": choice(
        offers=[
            {"provider": "wechat", "words": "微信扫码登录"},
            {"provider": "qq", "words": "QQ 登录"},
        ]
    ),
    "choice-coupon": signed_in(
        form={"coupon": "SPRING2026"},
        coupon_on=True,
        summary=summary(price_fen=1000, applied="reference", off_fen=500),
    ),
    "choice-coupon-elsewhere": signed_in(
        form={"coupon": "SPRING2026"},
        summary=summary(applied="reference", coupon_words="这个优惠码不能用在这里"),
        errors=error("coupon", "这个优惠码不能用在这里"),
    ),
    "choice-coupon-wrong": choice(
        form={"coupon": "SPRNG2026"},
        errors=error("coupon", "这个优惠码无效、过期或已经用完"),
    ),
    "choice-without-phone": signed_in(phone={"masked": "微信 小明🎫", "none": True}),
    "choice-history": signed_in(
        summary=summary(ends_at=after(days=13, hours=2), merged_seconds=525_600)
    ),
    "choice-history-other-way": signed_in(
        recommendation={
            **recommended(plan=ladder()[2], window_days=30, days_seen=26),
            "other_fen": 6_000,
            "by_day": False,
            "inputs": ["上次买的 7 天里，记下你来过 6 天"],
            "off_url": "/account/advice/",
        },
        conversion=CONVERSION,
    ),
    "choice-history-few-days": signed_in(
        recommendation={
            **recommended(plan=ladder()[0], window_days=30, days_seen=2),
            "other_fen": None,
            "unused": {
                "plan_days": 7,
                "days_used": 1,
                "other_fen": 300,
                "price_fen": 1_500,
            },
            "inputs": [
                "最近 4 次来，每次连着 1 到 2 天",
                "上次买的 7 天里，记下你来过 1 天",
            ],
            "off_url": "/account/advice/",
        }
    ),
    "choice-advice-off": signed_in(
        recommendation={"off": True, "off_url": "/account/advice/"}
    ),
    "choice-behind-long-term": signed_in(
        summary=summary(
            waits_until=after(days=40),
            waits_for="长期会员",
            ends_at=after(days=47),
            better_name="长期会员",
            better_bp=9000,
            other_name="临时会员",
            other_bp=9500,
        )
    ),
    "choice-before-temporary": signed_in(
        kind="long-term",
        plans=long_ladder(),
        summary=summary(price_fen=7500, paused_seconds=525_600, paused_name="临时会员"),
    ),
    "choice-paused": signed_in(
        summary={"price_fen": 1500, "quantity": 1, "stands_still": True}
    ),
    "choice-three-weeks": signed_in(
        summary=summary(price_fen=4500, quantity=3, ends_at=after(days=21))
    ),
    "choice-one-sold-off": choice(plans=ladder(temporary_30={"sold_off": True})),
    "choice-promotion": choice(
        plans=ladder(
            temporary_30={
                "saving_by_day": False,
                "price_fen": 4500,
                "was_fen": 5000,
                "promo_ends_at": after(days=3),
            }
        )
    ),
    "choice-nothing-on-sale": choice(
        plans=[{**each, "sold_off": True, "selected": False} for each in ladder()],
        selected=None,
        summary=None,
        recommendation=None,
    ),
    "choice-price-changed": choice(
        errors=error("plan", "价格刚调整为 ¥18.00，请确认后再付"),
        summary=summary(price_fen=1800),
        plans=ladder(temporary_7={"price_fen": 1800, "saving_fen": 300, "tie": None}),
    ),
    "choice-renewal": choice(renewal=renewal_box(), channels=renewing_channels()),
    "choice-renewal-elsewhere": choice(
        renewal=renewal_box(ticked=True),
        channels=renewing_channels(wechat=True),
        errors=error("renew", "自动续费只支持支付宝。换成它付款，或去掉勾选"),
    ),
    "choice-renewal-without-phone": signed_in(
        renewal=renewal_box(by_sms=False), channels=renewing_channels()
    ),
    "choice-renewal-on": signed_in(renewal={"on": True}, channels=renewing_channels()),
    "phone-bad": choice(
        phone={"value": "1380013"}, errors=error("phone", "手机号要 11 位，以 1 开头")
    ),
    "phone-no-code-yet": choice(
        phone={"value": "13800138000"}, errors=error("code", "先获取验证码")
    ),
    "phone-sent": phone_step("sent", resend_at=after(seconds=58)),
    "phone-wrong": phone_step("wrong", tries_left=3),
    "phone-expired": phone_step("expired"),
    "phone-locked": phone_step("locked", retry_at=after(minutes=12)),
    "phone-blocked": phone_step("blocked"),
    "phone-sms-down": phone_step("down", resend_at=after(seconds=30)),
    "choice-real-name": signed_in(real_name=lacking("name")),
    "phone-verified": signed_in(),
    "channels-one-down": choice(
        channels=channels(
            wechat={
                "selected": False,
                "available": False,
                "reason": "维护中，稍后再试",
            },
            alipay={"selected": True},
        )
    ),
    "channels-over-cap": choice(
        channels=[
            *channels(),
            channel("unionpay", "云闪付", "云闪付"),
            channel(
                "phone_credit",
                "话费支付",
                "话费",
                available=False,
                reason="超过单笔上限",
            ),
        ]
    ),
    "channels-in-wechat": choice(
        channels=channels(
            alipay={
                "available": False,
                "reason": "微信里打不开支付宝。点右上角「…」，选「在浏览器打开」",
            }
        ),
        in_wechat=True,
        all_channels_url="?channels=all",
    ),
    "channels-in-alipay": choice(
        channels=[{**channels()[1], "selected": True}], all_channels_url="?channels=all"
    ),
}


# Paying

QR = segno.make("weixin://wxpay/bizpayurl?pr=K7a9QxA2v", error="m").svg_data_uri(
    border=4, scale=8
)


def order(**more: Any) -> Context:
    return {
        "no": ORDER_NO,
        "title": "7 天体验装 · 临时会员",
        "amount_fen": 1500,
        "placed_at": after(seconds=-19),
        "expires_at": after(minutes=29, seconds=41),
        "status": "pending",
        **more,
    }


def closed(status: str = "expired") -> Context:
    return order(
        placed_at=after(minutes=-31), expires_at=after(minutes=-1), status=status
    )


def paid_order() -> Context:
    return order(status="paid", paid_at=after(seconds=-2))


WECHAT = {"no": ATTEMPT_NO, "code": "wechat", "label": "微信支付", "app": "微信"}
ALIPAY = {"no": ATTEMPT_NO, "code": "alipay", "label": "支付宝", "app": "支付宝"}
UNIONPAY = {"no": ATTEMPT_NO, "code": "unionpay", "label": "云闪付", "app": "云闪付"}
FORM: Context = {
    "kind": "form",
    "url": "/wallet/front",
    "fields": {"orderId": ATTEMPT_NO, "signature": 'a+b/"<c>"=='},
}


def pay(state: str, **more: Any) -> Context:
    current = more.get("attempt", WECHAT)
    retry = [
        {**each, "current": each["code"] == current["code"]} for each in channels()
    ]
    return guest(
        **{
            "order": order(),
            "pay_state": state,
            "attempt": WECHAT,
            "handover": {"kind": "qr", "url": "weixin://wxpay/bizpayurl?pr=K7a9QxA2v"},
            "qr_data_uri": QR,
            "desktop": True,
            "retry_channels": retry,
            "token": "",
            "again_url": "/membership/temporary/?plan=temporary-7",
            **more,
        }
    )


def on_phone(state: str = "ready", **more: Any) -> Context:
    handover = {"kind": "redirect", "url": "/wallet/h5"}
    return pay(state, **{"handover": handover, "desktop": False, **more})


def bought(**more: Any) -> Context:
    return {
        "tier_name": "临时会员",
        "discount_bp": 9500,
        "starts_at": after(seconds=-2),
        "ends_at": after(days=7),
        "merged_seconds": 0,
        "benefits": ["会员价专区 95 折", "发卡优先", "到期前短信提醒"],
        **more,
    }


GUIDE = {
    "tasks": [
        {"code": "zone", "url": "/zone/", "done": False},
        {"code": "passkey", "url": "/account/passkeys/", "done": False},
        {"code": "reminder", "url": "/account/notifications/", "done": False},
    ],
    "done": 0,
}
GUIDE_LATER = {
    "tasks": [
        {"code": "zone", "url": "/zone/", "done": True},
        {"code": "passkey", "url": "/account/passkeys/", "done": False},
        {"code": "reminder", "url": "/account/notifications/", "done": True},
    ],
    "done": 2,
}
GUIDE_AWAY = {**GUIDE_LATER, "folded": True}
GUIDE_LOOKED = {
    "tasks": [
        {"code": "zone", "url": "/zone/", "done": True},
        {"code": "membership", "url": "/account/passkeys/", "done": True},
        {"code": "reminder", "url": "/account/notifications/", "done": False},
    ],
    "done": 2,
}


PUSH = {"key": "BHVXOEOHgxYAoZ7HbcnBcu", "known": []}


def settled(state: str = "paid", **more: Any) -> Context:
    context = pay(
        state,
        order=paid_order(),
        membership=bought(),
        welcome=False,
        guide=GUIDE,
        user=Someone(True),
        badge={"active": True, "tier_name": "临时会员", "ends_at": after(days=7)},
    )
    return {**context, **more}


PAY: dict[str, Context] = {
    "pay-desktop-qr": pay("ready"),
    "pay-desktop-qr-link": pay(
        "ready", handover={"kind": "qr", "url": "https://qr.wallet.example/bax0"}
    ),
    "pay-phone": on_phone(),
    "pay-phone-qr": pay("ready", desktop=False),
    "pay-desktop-redirect": on_phone(attempt=ALIPAY, desktop=True, qr_data_uri=None),
    "pay-desktop-form": on_phone(
        attempt=UNIONPAY, handover=FORM, desktop=True, qr_data_uri=None
    ),
    "pay-phone-form": on_phone(attempt=UNIONPAY, handover=FORM, qr_data_uri=None),
    "pay-wechat-openid": on_phone(
        handover=None, in_wechat=True, openid_url="/wechat/authorize", qr_data_uri=None
    ),
    "pay-wechat-bridge": on_phone(
        handover={"kind": "jsapi", "bridge": '{"appId": "wx\\"<"}'},
        in_wechat=True,
        qr_data_uri=None,
    ),
    "pay-wechat-elsewhere": on_phone(handover={"kind": "jsapi"}, qr_data_uri=None),
    "pay-returned": on_phone("returned"),
    "pay-slow": on_phone("slow"),
    "pay-link-expired": on_phone("link_expired", handover=None, qr_data_uri=None),
    "pay-last-minute": pay(
        "closing",
        order=order(placed_at=after(minutes=-29), expires_at=after(seconds=55)),
    ),
    "pay-by-link": on_phone("returned", token="signed", retry_channels=[]),
    "failed-by-link": on_phone(
        "refused", token="signed", retry_channels=[], refused_reason="余额不足"
    ),
    "failed-refused": on_phone("refused", refused_reason="余额不足"),
    "failed-wallet-cancelled": on_phone("cancelled"),
    "failed-unknown": on_phone("unknown", retry_at=after(seconds=24)),
    "failed-expired": on_phone("expired", order=closed(), attempt=WECHAT),
    "failed-order-cancelled": on_phone("cancelled", order=closed("cancelled")),
    "success": settled(),
    "success-welcome": settled(welcome=True),
    "success-push": settled(push=PUSH),
    "success-activating": settled("activating", membership=None),
    "success-merged": settled(
        membership=bought(ends_at=after(days=9), merged_seconds=172_800)
    ),
    "success-waits": settled(
        membership=bought(waits=True, starts_at=after(days=40), ends_at=after(days=47))
    ),
    "success-before-temporary": settled(
        membership=bought(
            tier_name="长期会员",
            discount_bp=9000,
            ends_at=after(days=90),
            waiting={"tier_name": "临时会员", "seconds": 525_600},
        ),
        guide=GUIDE_LATER,
    ),
    "success-to-be-signed": settled(renewal_waits=True),
    "success-one-day": settled(membership=bought(ends_at=after(hours=23, minutes=59))),
    "success-paid-twice": settled("overpaid", refund={"amount_fen": 1500}),
    "success-paid-twice-by-hand": settled(
        "overpaid", refund={"amount_fen": 1500, "by_hand": True}
    ),
    "success-returned": settled("returned-money"),
    "success-not-cancelled": settled(not_cancelled=True),
    "success-looked": settled(guide=GUIDE_LOOKED),
    "success-held": settled("held", membership=None),
    "success-by-link": settled(token="signed", user=Someone(False), badge={}),
    "paid-another-amount": settled("mismatch", membership=None),
    "paid-too-late": settled(
        "late", membership=None, refund={"amount_fen": 1500}, order=closed()
    ),
}


# The rest


def story(*codes: str) -> list[Context]:
    return [
        {
            "at": after(minutes=i - 9),
            "code": code,
            "label": "微信支付",
            "amount_fen": 1500,
            "ends_at": after(days=7),
            "reason": "余额不足",
        }
        for i, code in enumerate(codes)
    ]


def order_page(status: str, *codes: str, **more: Any) -> Context:
    return member(
        **{
            "order": order(),
            "status": status,
            "attempt": WECHAT,
            "membership": bought() if status == "paid" else None,
            "story": story("placed", "attempt", *codes),
            "again_url": "/membership/temporary/?plan=temporary-7",
            "token": "",
            **more,
        }
    )


def offer(why: str | None = None, **more: Any) -> Context:
    return {
        "is_open": why is None,
        "why": why,
        "amount_fen": 1071,
        "paid_fen": 1500,
        "seconds": 7 * 86_400,
        "left": 5 * 86_400,
        **more,
    }


def return_page(why: str | None = None, **more: Any) -> Context:
    return member(
        **{
            "order": order(),
            "offer": offer(why),
            "channel": "微信支付",
            "changed": False,
            "here": "account",
            **more,
        }
    )


# The zone


def goods(**more: Any) -> Context:
    return {
        "slug": "video-month",
        "name": "视频会员月卡",
        "summary": "兑换后 30 天有效，手机和电视都能用。",
        "list_fen": 2500,
        "price_fen": 2500,
        "discount_bp": 10_000,
        "locked_fen": 2375,
        "stock": 40,
        "plenty": False,
        "state": "in_stock",
        **more,
    }


MINE: Context = {"price_fen": 2375, "discount_bp": 9500, "locked_fen": None}


def zone(who: Callable[..., Context] = guest, **more: Any) -> Context:
    shelf = [
        goods(),
        goods(slug="game-100", name="游戏点卡 100 元", plenty=True, list_fen=10_000),
        goods(slug="cloud", name="云盘会员月卡", stock=0, state="out"),
        goods(slug="office", name="办公软件年卡", stock=0, state="sold_out"),
    ]
    context = {
        "here": "zone",
        "goods": shelf,
        "categories": [
            {"slug": "video", "name": "影音会员"},
            {"slug": "games", "name": "游戏点卡"},
            {"slug": "tools", "name": "软件工具"},
        ],
        "category": "",
        "q": "",
        "is_member": who is member,
        "errors": [],
    }
    return who(**{**context, **more})


def item(page: Callable[..., Context] = guest, **more: Any) -> Context:
    facts = {
        "category": "影音会员",
        "most": 5,
        "max_per_order": 5,
        "max_per_member": 10,
        **more.pop("item", {}),
    }
    way = "/membership/temporary/?next=/zone/video-month/:signature"
    context = {
        "here": "zone",
        "item": goods(**facts),
        "tiers": [
            {"name": "临时会员", "price_fen": 2375, "mine": False, "url": way},
            {"name": "长期会员", "price_fen": 2250, "mine": False, "url": way},
        ],
        "summary": {"quantity": 1, "price_fen": 2500, "saved_fen": 0},
        "phone_state": "entry",
        "phone": {},
        "form": {},
        "channels": channels(),
        "client_token": "c0ffee",
        "errors": [],
    }
    return page(**{**context, **more})


def member_item(**more: Any) -> Context:
    context = {
        "tiers": [
            {"name": "临时会员", "price_fen": 2375, "mine": True, "url": ""},
            {"name": "长期会员", "price_fen": 2250, "mine": False, "url": ""},
        ],
        "summary": {"quantity": 2, "price_fen": 4750, "saved_fen": 250},
        "phone_state": "verified",
        "phone": {"masked": "138••••8000"},
    }
    mine = {"item": {**MINE, **more.pop("item", {})}}
    return item(member, **{**context, **mine, **more})


def delivered(state: str = "delivered", **more: Any) -> Context:
    keys = [{"n": 1, "seen": False}, {"n": 2, "seen": True}]
    return {
        "state": state,
        "url": f"/delivery/{ORDER_NO}/",
        "keys": keys if state == "delivered" else [],
        "ahead": 2 if state == "short" else 0,
        "until": after(hours=23),
        "late": False,
        "first": True,
        "instructions": "打开官方应用，进「兑换」，输入卡密。",
        **more,
    }


def delivery(state: str = "delivered", status: str = "paid", **more: Any) -> Context:
    context = {
        "here": "account",
        "order": order(title="视频会员月卡 × 2", amount_fen=4750),
        "status": status,
        "attempt": WECHAT,
        "delivery": delivered(state),
        "refund": None,
        "opened": {},
        "token": "",
    }
    return member(**{**context, **more})


def nothing(**more: Any) -> Context:
    return zone(goods=[], **more)


ZONE: dict[str, tuple[str, Context]] = {
    "zone": ("goods/zone.html", zone()),
    "zone-member": (
        "goods/zone.html",
        zone(member, goods=[goods(**MINE), goods(slug="b", stock=3, **MINE)]),
    ),
    "zone-pages": (
        "goods/zone.html",
        zone(before_url="/zone/?page=1", after_url="/zone/?page=3"),
    ),
    "zone-nothing-found": ("goods/zone.html", nothing(q="没有的")),
    "zone-empty": ("goods/zone.html", nothing(categories=[])),
    "zone-gone": ("goods/zone.html", zone(errors=error("", "这件商品现在不卖了"))),
    "goods": ("goods/item.html", item()),
    "goods-sent": (
        "goods/item.html",
        item(
            phone_state="sent",
            phone={"value": "13800138000", "resend_at": after(seconds=58)},
        ),
    ),
    "goods-member": ("goods/item.html", member_item()),
    "goods-coupon": (
        "goods/item.html",
        member_item(
            form={"coupon": "SPRING2026"},
            coupon_on=True,
            summary={
                "quantity": 1,
                "price_fen": 2000,
                "saved_fen": 500,
                "applied": "reference",
                "off_fen": 500,
            },
        ),
    ),
    "goods-out": ("goods/item.html", item(item={"state": "out", "stock": 0})),
    "goods-sold-out": ("goods/item.html", item(item={"state": "sold_out", "stock": 0})),
    "goods-limit": ("goods/item.html", member_item(item={"state": "limit", "most": 0})),
    "goods-too-many": (
        "goods/item.html",
        member_item(errors=error("quantity", "超过限购，你还能买 1 件")),
    ),
    "goods-no-discount": (
        "goods/item.html",
        item(item={"locked_fen": None, "max_per_member": None}, tiers=[]),
    ),
    "delivery": ("orders/delivery.html", delivery()),
    "delivery-open": (
        "orders/delivery.html",
        delivery(opened={1: "DEMO-4F2A9C-0017-88B1-KEY"}),
    ),
    "delivery-short": ("orders/delivery.html", delivery("short")),
    "delivery-short-next": (
        "orders/delivery.html",
        delivery(delivery=delivered("short", ahead=0, late=True, first=False)),
    ),
    "delivery-void": (
        "orders/delivery.html",
        delivery("void", "refunding", refund={"amount_fen": 4750}),
    ),
    "delivery-held": ("orders/delivery.html", delivery("held", "held")),
    "delivery-unpaid": (
        "orders/delivery.html",
        delivery(status="pending", delivery=None),
    ),
    "order-goods": (
        "orders/order.html",
        order_page("paid", "paid", "delivered", delivery=delivered()),
    ),
}
GOODS_PAID: dict[str, Context] = {
    "success-goods": settled(membership=None, delivery=delivered()),
    "success-goods-short": settled(membership=None, delivery=delivered("short")),
    "success-goods-by-link": settled(
        membership=None,
        delivery=delivered(keys=[], instructions=""),
        token="signed",
        user=Someone(False),
        badge={},
    ),
    "success-way-back": settled(back_url="/zone/video-month/"),
}


def rows() -> list[Context]:
    states = (
        "pending",
        "paid",
        "held",
        "expired",
        "cancelled",
        "refunding",
        "refunded",
        "part_refunded",
    )
    return [
        {**order(), "status": status, "placed_at": after(days=-40 * i)}
        for i, status in enumerate(states)
    ]


def holding(**more: Any) -> Context:
    running = {
        "tier_name": "长期会员",
        "starts_at": after(days=-50),
        "ends_at": after(days=40),
        "running": True,
    }
    waiting = {
        "tier_name": "临时会员",
        "starts_at": after(days=40),
        "ends_at": after(days=47),
        "running": False,
    }
    return {
        "tier_name": "长期会员",
        "discount_bp": 9000,
        "ends_at": after(days=40),
        "paid_until": after(days=47),
        "paused": False,
        "segments": [running, waiting],
        **more,
    }


def lane(state: str, begins: float, ends: float | None, *bars: Any) -> Context:
    """Bought in the shop and running from one day to another; a bar is look, x, width."""
    return {
        "state": state,
        "tier_name": "" if state == "pause" else "临时会员",
        "order_no": "" if state == "pause" else ORDER_NO,
        "order_title": "7 天体验装",
        "held_seconds": 0,
        "spans": [
            {
                "starts_at": after(days=begins),
                "ends_at": None if ends is None else after(days=ends),
            }
        ],
        "bars": [{"look": look, "x": x, "width": width} for look, x, width in bars],
    }


def drawing(*lanes: Context, **more: Any) -> Context:
    return {
        "lanes": list(lanes)
        or [
            lane("ended", -57, -50, ("ran", 0, 67)),
            lane("pause", -50, -48, ("pause", 67, 20)),
            {
                **lane("running", -48, 40, ("ran", 87, 461), ("left", 548, 384)),
                "tier_name": "长期会员",
                "order_title": "90 天会员",
            },
            {**lane("waiting", 40, 47, ("left", 932, 68)), "order_no": ""},
        ],
        "starts_at": after(days=-57),
        "ends_at": after(days=47),
        "now_x": 548,
        "more": 0,
        **more,
    }


HELD_DRAWING = drawing(
    {
        **lane("held", -3, -1, ("ran", 0, 270), ("held", 400, 600)),
        "held_seconds": 5 * 86_400,
    },
    lane("pause", -1, None, ("pause", 270, 130)),
    now_x=400,
    more=2,
)


def entries(**more: Any) -> list[Context]:
    return [
        {"kind": "temporary", "discount_bp": 9500, "plans": ladder(), **more},
        {"kind": "long-term", "discount_bp": 9000, "plans": long_ladder()},
    ]


def centre(page: Callable[..., Context] = guest, **more: Any) -> Context:
    context = {"here": "membership", "entries": entries(), "benefits": BENEFITS}
    return page(**{**context, "ladder_version": 1, **more})


def home(page: Callable[..., Context] = guest, **more: Any) -> Context:
    context = {"plans": ladder(), "from_plan": ladder()[0], "long_term": long_ladder()}
    return page(**{**context, **more})


def account(**more: Any) -> Context:
    context = {
        "here": "account",
        "signs_in_as": "138••••8000",
        "membership": holding(),
        "drawing": drawing(),
        "orders": rows()[:3],
        "notices": [
            {
                "at": after(hours=-1),
                "text": "11 月 28 日 14:05 将自动续费 ¥15 · 不想续？点这里关闭",
                "url": "/account/renewal/",
            },
            {"at": after(hours=-2), "text": "会员已开通，到 11 月 29 日 14:05。"},
            {"at": after(days=-9), "text": "会员 11 月 29 日 14:05 到期。"},
        ],
        "guide": GUIDE_LATER,
        "renewal": renewal("off"),
        "wants_advice": True,
        "real_name": "none",
    }
    return member(**{**context, **more})


def notice_choices(*, has_phone: bool = True, off: tuple[str, ...] = ()) -> Context:
    def kind(code: str, name: str, **channels: str) -> Context:
        values = {f"{code}:{channel}": word for channel, word in channels.items()}
        return {
            "code": code,
            "name": name,
            "channels": [
                {"value": value, "name": word, "on": value not in off}
                for value, word in values.items()
            ],
        }

    return member(
        here="account",
        has_phone=has_phone,
        kinds=[
            kind("expiring", "到期提醒", sms="短信", site="站内"),
            kind("delivered", "发货通知", sms="短信"),
        ],
    )


def renewal(state: str, **more: Any) -> Context:
    return {
        "state": state,
        "why": "",
        "plan": "临时会员 7 天",
        "channel": "支付宝",
        "days": 7,
        "agreed_fen": 1500,
        "amount_fen": 1500,
        "charge_at": after(days=5) if state in ("on", "retrying") else None,
        "told_at": after(days=1) if state == "on" else None,
        "ends_at": after(days=6),
        **more,
    }


def renewal_page(state: str, **more: Any) -> Context:
    """/account/renewal/; what does not belong to ``renewal`` is named apart."""
    about = ("signing", "offers", "debits", "errors", "has_phone")
    apart = {name: more.pop(name) for name in about if name in more}
    offers = [
        plan("temporary-7", "临时会员 7 天", 7, 1500, selected=True),
        plan("temporary-30", "临时会员 30 天", 30, 5000, selected=False),
    ]
    context = {
        "here": "account",
        "renewal": renewal(state, **more),
        "signing": {} if state == "waiting" else None,
        "offers": offers if state in ("off", "ended") else [],
        "debits": [],
        "has_phone": True,
        "notice_days": 5,
        "renew_url": "/membership/temporary/?plan=temporary-7",
        "errors": [],
    }
    return member(**{**context, **apart})


def debit(outcome: str, **more: Any) -> Context:
    return {
        "at": after(days=-1),
        "amount_fen": 1500,
        "outcome": outcome,
        "reason": "余额不足" if outcome == "failed" else "",
        "no": ORDER_NO,
        "title": "临时会员 7 天",
        "may_go_back": False,
        **more,
    }


DEBITS = [
    debit("paid", may_go_back=True),
    debit("failed"),
    debit("waiting"),
    debit("closed"),
]
TO_SIGN = {
    "number": ATTEMPT_NO,
    "page_url": "/wallet/sign",
    "wallet_url": "alipays://platformapi/startapp?appId=60000157",
}
RENEWAL: dict[str, Context] = {
    "renewal-off": renewal_page("off"),
    "renewal-off-no-membership": renewal_page("off", ends_at=None, offers=[]),
    "renewal-off-unticked": renewal_page(
        "off",
        has_phone=False,
        errors=error("renew", "勾上「到期自动续费」才会开通"),
    ),
    "renewal-waiting": renewal_page("waiting"),
    "renewal-waiting-phone": renewal_page("waiting", signing=TO_SIGN),
    "renewal-waiting-desktop": renewal_page(
        "waiting", signing={**TO_SIGN, "wallet_url": ""}
    ),
    "renewal-waiting-in-wechat": renewal_page("waiting", signing={"in_wechat": True}),
    "renewal-waiting-gateway-off": renewal_page("waiting", signing={"off": True}),
    "renewal-on": renewal_page("on", debits=DEBITS),
    "renewal-on-not-this-time": renewal_page("on", charge_at=None, told_at=None),
    "renewal-charging": renewal_page("charging", debits=[debit("waiting")]),
    "renewal-retrying": renewal_page("retrying", debits=[debit("failed")]),
    "renewal-paused": renewal_page("paused", ends_at=None),
    **{
        f"renewal-ended-{why}": renewal_page("ended", why=why, debits=DEBITS[:2])
        for why in ("member", "wallet", "price", "plan", "failed")
    },
    "renewal-ended-lapsed": renewal_page(
        "ended", why="lapsed", ends_at=None, offers=[]
    ),
}


def notice(ends_at: datetime, **more: Any) -> Context:
    return {
        "ends_at": ends_at,
        "ended": False,
        "key": "soon:1",
        "renewal": None,
        **more,
    }


def badge(**more: Any) -> Context:
    return {"active": True, "tier_name": "临时会员", "ends_at": after(hours=5), **more}


def sign_in_by(provider: str, words: str) -> Context:
    return {"provider": provider, "words": words}


WECHAT_OFFER = sign_in_by("wechat", "微信一键登录")
DESKTOP_OFFERS = [sign_in_by("wechat", "微信扫码登录"), sign_in_by("qq", "QQ 登录")]


def identity(provider_name: str, nickname: str, **more: Any) -> Context:
    return {
        "pk": 7,
        "provider_name": provider_name,
        "nickname": nickname,
        "created_at": after(days=-40),
        "used_at": after(hours=-3),
        **more,
    }


def passkey(pk: int, *, used: bool = False) -> Context:
    return {
        "pk": pk,
        "name": "iPhone 11 月 24 日 14:05",
        "created_at": after(days=-40),
        "used_at": after(days=-2) if used else None,
        "backed_up": used,
    }


def identities(**more: Any) -> Context:
    return member(
        **{
            "here": "account",
            "masked_phone": "138••••8000",
            "identities": [
                identity("微信", "小明🎫"),
                identity(
                    "QQ", "很长很长很长很长很长很长很长很长很长很长的名字", used_at=None
                ),
            ],
            "offers": DESKTOP_OFFERS,
            "removable": True,
            **more,
        }
    )


def without(reason: str, **more: Any) -> Context:
    """Back from a provider with nothing."""
    return guest(
        **{
            "provider_name": "微信",
            "reason": reason,
            "here": "login",
            "next": "/membership/temporary/",
            **more,
        }
    )


def real_name(state: str = "none", **more: Any) -> Context:
    held = state in ("adult", "minor")
    return member(
        **{
            "here": "account",
            "state": state,
            "verified_at": after(days=-2) if held else None,
            "verified_by": "腾讯云" if held else "",
            "adult_on": after(days=500).date() if state == "minor" else None,
            "verifier": "腾讯云",
            "consented": False,
            "errors": [],
            "refusal": "",
            "next": "/zone/game-100/?quantity=3",
            "came_from_account": False,
            **more,
        }
    )


REAL_NAME: dict[str, tuple[str, Context]] = {
    "real-name": ("members/real_name.html", real_name()),
    "real-name-errors": (
        "members/real_name.html",
        real_name(
            errors=[
                *error("name", "写身份证上的中文姓名，两到三十个字"),
                *error("id_number", "身份证号有一位不对，请对照证件再看一遍"),
                *error("consent", "要先勾选同意，才能认证"),
            ]
        ),
    ),
    **{
        f"real-name-{refusal}": (
            "members/real_name.html",
            real_name(refusal=refusal, consented=True, retry_at=after(hours=23)),
        )
        for refusal in (
            *("mismatch", "not_found", "taken"),
            *("child", "unavailable", "too_many"),
        )
    },
    "real-name-done": ("members/real_name.html", real_name("adult")),
    "real-name-account": (
        "members/real_name.html",
        real_name("adult", next="/account/", came_from_account=True),
    ),
    "real-name-minor": ("members/real_name.html", real_name("minor")),
    "real-name-closed": ("members/real_name.html", real_name("closed", verifier="")),
    "goods-real-name-guest": (
        "goods/item.html",
        item(real_name=lacking("name", asks_guest=True)),
    ),
    "goods-in-wechat-one-tap": (
        "goods/item.html",
        item(
            in_wechat=True,
            one_tap=True,
            offers=[{"provider": "wechat", "words": "微信一键登录"}],
        ),
    ),
    "goods-real-name": ("goods/item.html", member_item(real_name=lacking("name"))),
    "goods-real-name-refused": (
        "goods/item.html",
        member_item(
            real_name=lacking("name"),
            errors=error("real_name", "这一单要先实名认证，没有下单，也没有扣款"),
        ),
    ),
    "goods-real-name-minor": (
        "goods/item.html",
        member_item(real_name=lacking("minor")),
    ),
    "goods-real-name-closed": ("goods/item.html", item(real_name=lacking("closed"))),
    "account-real-name-done": ("members/account.html", account(real_name="adult")),
    "account-real-name-minor": ("members/account.html", account(real_name="minor")),
}

IDENTITIES: dict[str, tuple[str, Context]] = {
    "phone-change": (
        "members/phone.html",
        member(here="account", masked_phone="138••••8000", phone_state="entry"),
    ),
    "phone-change-taken": (
        "members/phone.html",
        member(
            here="account",
            masked_phone="",
            phone_state="entry",
            errors=error("phone", "这个号码已经有自己的账号了。想合在一起，请联系客服"),
        ),
    ),
    "privacy": (
        "members/privacy.html",
        member(here="account", paid_until=after(days=6), has_keys=True),
    ),
    "privacy-pending": (
        "members/privacy.html",
        member(here="account", erase_at=after(days=6)),
    ),
    "passkeys": (
        "members/passkeys.html",
        member(
            here="account", passkeys=[passkey(1), passkey(2, used=True)], removable=True
        ),
    ),
    "passkeys-none": (
        "members/passkeys.html",
        member(here="account", passkeys=[], removable=True),
    ),
    "passkeys-last-way-in": (
        "members/passkeys.html",
        member(here="account", passkeys=[passkey(1)], removable=False),
    ),
    "passkey-new": ("members/passkey_new.html", member(here="account", options="{}")),
    "passkey-new-failed": (
        "members/passkey_new.html",
        member(here="account", options="{}", failed=True),
    ),
    "passkey-remove": (
        "members/passkey_remove.html",
        member(here="account", passkey=passkey(1), last=False),
    ),
    "passkey-remove-last": (
        "members/passkey_remove.html",
        member(here="account", passkey=passkey(1), last=True),
    ),
    "passkey-failed": (
        "members/passkey_failed.html",
        guest(here="login", next="/membership/"),
    ),
    "identities": ("members/identities.html", identities()),
    "identities-none": (
        "members/identities.html",
        identities(identities=[], removable=False),
    ),
    "identities-last-way-in": (
        "members/identities.html",
        identities(
            masked_phone="", identities=[identity("微信", "小明")], removable=False
        ),
    ),
    "identity-bind": (
        "members/identity_bind.html",
        member(
            here="account",
            provider_name="微信",
            nickname="小明🎫",
            account_name="138••••8000",
        ),
    ),
    "identity-unbind": (
        "members/identity_unbind.html",
        member(here="account", identity=identity("微信", "小明"), last=False),
    ),
    "identity-unbind-last": (
        "members/identity_unbind.html",
        member(here="account", identity=identity("微信", ""), last=True),
    ),
    "identity-expired": ("members/identity_failed.html", without("expired", next="")),
    "identity-declined": ("members/identity_failed.html", without("declined")),
    "identity-refused": ("members/identity_failed.html", without("refused")),
    "identity-unavailable": ("members/identity_failed.html", without("unavailable")),
    "identity-closed": ("members/identity_failed.html", without("closed")),
    "identity-taken": (
        "members/identity_failed.html",
        without("taken", here="account", user=Someone(True)),
    ),
    "identity-somebody-else": (
        "members/identity_failed.html",
        without("somebody-else", here="account", user=Someone(True)),
    ),
}


def confirming(state: str, **more: Any) -> Context:
    return member(
        **{
            "here": "account",
            "masked_phone": "138••••8000",
            "phone_state": state,
            "phone": {},
            "next": "/account/",
            **more,
        }
    )


GIVEN = {
    "tier_name": "临时会员",
    "discount_bp": 9_500,
    "benefits": ["会员价专区", "优先发卡"],
}
PAGES: dict[str, tuple[str, Context]] = {
    "home": ("home.html", home()),
    "home-member": (
        "home.html",
        home(member, membership={"tier_name": "临时会员", "ends_at": after(days=6)}),
    ),
    "home-nothing-on-sale": ("home.html", guest(plans=[], from_plan=None)),
    "home-campaign": (
        "home.html",
        home(
            campaign={"title": "30 天卡 ¥45", "ends_at": after(days=3)},
            announcement={
                "text": "周六 3:00 到 4:00 维护，可能付不了款",
                "url": "/zone/",
            },
        ),
    ),
    "membership": ("members/membership.html", centre()),
    "membership-promotion": (
        "members/membership.html",
        centre(entries=entries(promo=True)),
    ),
    "membership-member": (
        "members/membership.html",
        centre(
            member,
            membership=holding(),
            recommendation={"kind": "temporary", **recommended()},
            conversion=CONVERSION,
        ),
    ),
    "membership-paused": (
        "members/membership.html",
        centre(
            member,
            membership=holding(paused=True),
            badge={"paused": True, "tier_name": "长期会员"},
        ),
    ),
    "badge-one-day": (
        "members/membership.html",
        centre(member, badge=badge(expires_soon=True)),
    ),
    "badge-expired": (
        "members/membership.html",
        centre(member, badge={"expired_recently": True}),
    ),
    "notice-3-days": (
        "home.html",
        home(member, expiry_notice=notice(after(days=3))),
    ),
    "notice-1-day": (
        "home.html",
        home(member, expiry_notice=notice(after(days=1))),
    ),
    "notice-3-hours": (
        "home.html",
        home(
            member,
            badge=badge(expires_soon=True),
            expiry_notice=notice(after(hours=3)),
        ),
    ),
    "notice-ended": (
        "home.html",
        home(
            member,
            badge={"expired_recently": True},
            expiry_notice=notice(after(hours=-3), ended=True),
        ),
    ),
    "notice-renewal": (
        "home.html",
        home(
            member,
            expiry_notice=notice(
                after(days=3),
                renewal={
                    "amount_fen": 1500,
                    "at": after(days=2),
                    "off_url": "/account/",
                },
            ),
        ),
    ),
    "login": ("members/login.html", guest(here="login", phone_state="entry")),
    "login-offers": (
        "members/login.html",
        guest(here="login", phone_state="entry", offers=DESKTOP_OFFERS),
    ),
    "login-sent": (
        "members/login.html",
        guest(
            here="login",
            phone_state="sent",
            phone={"value": "13800138000", "resend_at": after(seconds=50)},
        ),
    ),
    "login-wrong": (
        "members/login.html",
        guest(
            here="login",
            phone_state="wrong",
            phone={"value": "13800138000", "tries_left": 4},
            errors=error("code", "验证码不对，还能试 4 次"),
        ),
    ),
    "confirm": ("members/confirm.html", confirming("entry")),
    "confirm-with-passkey": (
        "members/confirm.html",
        confirming("entry", has_passkey=True),
    ),
    "confirm-sent": (
        "members/confirm.html",
        confirming(
            "sent", phone={"value": "13800138000", "resend_at": after(seconds=50)}
        ),
    ),
    "confirm-wrong": (
        "members/confirm.html",
        confirming(
            "wrong",
            phone={"value": "13800138000", "tries_left": 4},
            errors=error("code", "验证码不对，还能试 4 次"),
        ),
    ),
    "confirm-locked": (
        "members/confirm.html",
        confirming("locked", phone={"retry_at": after(minutes=40)}),
    ),
    "confirm-without-phone": (
        "members/confirm.html",
        confirming("entry", masked_phone="", ways=[WECHAT_OFFER]),
    ),
    "order-pending": ("orders/order.html", order_page("pending")),
    "order-paid": (
        "orders/order.html",
        order_page("paid", "paid", "activated", "told"),
    ),
    "order-held": ("orders/order.html", order_page("held", "paid", "held")),
    "order-expired": ("orders/order.html", order_page("expired", "refused", "expired")),
    "order-cancelled": ("orders/order.html", order_page("cancelled", "cancelled")),
    "order-refunded": (
        "orders/order.html",
        order_page("refunded", "paid", "activated", "refunding", "refunded"),
    ),
    "order-refunding": (
        "orders/order.html",
        order_page("refunding", "paid", "refunding", "refund_failed"),
    ),
    "order-part-refunded": (
        "orders/order.html",
        order_page("part_refunded", "paid", "activated", "refunding", "refunded"),
    ),
    "order-returnable": (
        "orders/order.html",
        order_page("paid", "paid", "activated", offer=offer()),
    ),
    "order-not-returnable": (
        "orders/order.html",
        order_page("paid", "paid", "activated", offer=offer("discount-used")),
    ),
    "order-returned-by-hand": (
        "orders/order.html",
        order_page(
            "refunding",
            "paid",
            "refunding",
            refund={"amount_fen": 1500, "by_hand": True},
        ),
    ),
    "return": ("orders/return.html", return_page()),
    "return-changed": ("orders/return.html", return_page(changed=True)),
    **{
        f"return-{why}": (
            "orders/return.html",
            return_page(why, changed=why == "no-time"),
        )
        for why in (
            "not-paid",
            "no-time",
            "held",
            "under-way",
            "discount-used",
            "channel",
            "nothing",
        )
    },
    "returns": (
        "members/returns.html",
        member(
            here="account",
            rows=[
                {"order": order(), "offer": offer()},
                {"order": order(), "offer": offer("channel")},
            ],
        ),
    ),
    "returns-empty": ("members/returns.html", member(here="account", rows=[])),
    "order-by-link": (
        "orders/order.html",
        order_page("paid", token="signed", user=Someone(False), badge={}),
    ),
    "orders": (
        "orders/list.html",
        member(here="account", orders=rows(), older_url="?before=9", newer_url="?"),
    ),
    "redeem": ("members/redeem.html", guest(here="account", phone_state="entry")),
    "redeem-in-wechat": (
        "members/redeem.html",
        guest(
            here="account",
            phone_state="entry",
            one_tap=True,
            offers=[{"provider": "wechat", "words": "微信一键登录"}],
        ),
    ),
    "redeem-sent": (
        "members/redeem.html",
        guest(
            here="account",
            phone_state="sent",
            phone={"value": "13800138000", "resend_at": after(seconds=58)},
            form={"gift": "7K3M-9QXA-2VTR-5W8Y"},
        ),
    ),
    "redeem-wrong": (
        "members/redeem.html",
        member(
            here="account",
            phone_state="verified",
            phone={"masked": "138••••8000"},
            form={"gift": "7K3M-9QXA-2VTR-5W8Y"},
            errors=error("gift", "这个兑换码无效、过期或已经用过"),
        ),
    ),
    "redeemed": (
        "members/redeemed.html",
        member(
            here="account",
            gift={"days": 7, "starts_at": after(days=0), "ends_at": after(days=7)},
            membership=GIVEN,
            order={"no": "gift-1"},
            welcome=True,
        ),
    ),
    "redeemed-waits": (
        "members/redeemed.html",
        member(
            here="account",
            gift={
                "days": 7,
                "starts_at": after(days=40),
                "ends_at": after(days=47),
                "waits": True,
            },
            membership=GIVEN,
            order={"no": "gift-1"},
        ),
    ),
    "redeemed-paused": (
        "members/redeemed.html",
        member(
            here="account",
            gift={"days": 7, "starts_at": None, "ends_at": None},
            membership=GIVEN,
            order={"no": "gift-1"},
        ),
    ),
    "lookup": ("orders/lookup.html", guest(here="lookup", phone_state="entry")),
    "lookup-sent": (
        "orders/lookup.html",
        guest(
            here="lookup",
            phone_state="sent",
            phone={"value": "13800138000", "resend_at": after(seconds=50)},
        ),
    ),
    "lookup-locked": (
        "orders/lookup.html",
        guest(
            here="lookup",
            phone_state="locked",
            phone={"value": "13800138000", "retry_at": after(minutes=40)},
        ),
    ),
    "lookup-found": (
        "orders/found.html",
        member(here="lookup", orders=rows(), more=True, masked_phone="138••••8000"),
    ),
    "lookup-none": (
        "orders/found.html",
        guest(here="lookup", orders=[], more=False, masked_phone=""),
    ),
    "orders-empty": ("orders/list.html", member(here="account", orders=[])),
    "account": ("members/account.html", account()),
    **{
        f"account-renewal-{state}": (
            "members/account.html",
            account(renewal=renewal(state)),
        )
        for state in ("on", "waiting", "retrying", "charging", "paused", "ended")
    },
    "account-push": ("members/account.html", account(push=PUSH)),
    "account-advice-off": (
        "members/account.html",
        account(wants_advice=False, guide=GUIDE_AWAY),
    ),
    "account-paused": (
        "members/account.html",
        account(
            membership=holding(paused=True),
            drawing=HELD_DRAWING,
            badge={"paused": True, "tier_name": "临时会员"},
        ),
    ),
    "notifications": ("members/notifications.html", notice_choices()),
    "notifications-off": (
        "members/notifications.html",
        notice_choices(has_phone=False, off=("expiring:sms", "delivered:sms")),
    ),
    "login-unused": (
        "members/unused.html",
        guest(here="login", next="/account/", offers=DESKTOP_OFFERS),
    ),
    "account-empty": (
        "members/account.html",
        account(
            membership=None,
            drawing=None,
            orders=[],
            notices=[],
            guide=None,
            badge={},
        ),
    ),
    "orders-too-many-open": ("orders/too_many.html", member(orders=[order()] * 5)),
    "short-link": (
        "members/short_link.html",
        guest(
            membership={"tier_name": "临时会员", "ends_at": after(days=3)},
            order_url="/orders/x/",
            renew_url="/membership/temporary/",
        ),
    ),
    "short-link-expired": (
        "members/short_link.html",
        guest(membership=None, renew_url="/membership/temporary/"),
    ),
    "renewal-stop": (
        "members/renewal.html",
        guest(
            renewal={
                "plan": "临时会员 7 天",
                "price_fen": 1_500,
                "charge_at": after(days=5),
            },
            ends_at=after(days=6),
        ),
    ),
    "renewal-stopped": (
        "members/renewal.html",
        guest(renewal=None, ends_at=after(days=6)),
    ),
    "renewal-stopped-expired": (
        "members/renewal.html",
        guest(renewal=None, ends_at=None),
    ),
    "official": ("official.html", guest(genuine=True, request_host="kameng.example")),
    "official-elsewhere": (
        "official.html",
        guest(genuine=False, request_host="kamemg.example"),
    ),
    "legal-agreement": ("legal/agreement.html", guest()),
    "legal-privacy": ("legal/privacy.html", guest()),
    "legal-renewal": ("legal/renewal.html", guest()),
    "legal-refunds": ("legal/refunds.html", guest()),
    "legal-minors": ("legal/minors.html", guest()),
    "error-400": ("400.html", guest()),
    "error-403": ("403.html", guest()),
    "error-403-csrf": ("403.html", guest(csrf=True)),
    "error-404": ("404.html", guest()),
    "error-429": ("429.html", guest(retry_seconds=42, request_id="7f3a9c1e")),
    "error-500": ("500.html", {"request_id": "7f3a9c1e"}),
    "error-503": ("503.html", {}),
}

STATES: dict[str, tuple[str, Context]] = {
    **PAGES,
    **ZONE,
    **IDENTITIES,
    **REAL_NAME,
    **{name: ("members/choice.html", context) for name, context in CHOICE.items()},
    **{
        name: ("members/renewal_account.html", context)
        for name, context in RENEWAL.items()
    },
    **{
        name: ("orders/pay.html", context)
        for name, context in (PAY | GOODS_PAID).items()
    },
}


def render(name: str, language: str = "zh-hans") -> str:
    """At the moment that the states were made for, however long ago that was."""
    template, context = STATES[name]
    with (
        _one_clock,
        time_machine.travel(LOADED, tick=False),
        translation.override(language),
    ):
        return render_to_string(template, context)
