"""The words of every message: raw parameters in, finished text out.

Parameters are ``plan``, ``benefits``, ``link`` (a token for ``/s/<token>/``) and
``reason``, ``goods`` and ``way`` as text, ``end`` as an instant, ``price`` in fen, ``days``, ``minutes`` and
``code``. An SMS is always Chinese; the site speaks the reader's language.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.conf import settings
from django.utils.translation import gettext, override

from kameng.templatetags.shop import days_left, moment, yuan

type Params = Mapping[str, str | int]
"""As kept in the database: an instant is ISO 8601 text."""

KINDS = (
    *("activated", "expiring", "renewal", "refund", "delivered", "short"),
    *("phone_changed", "way_added", "way_removed"),
)
"""What members are told on the site and by SMS; the SMS kind ``code`` is no message."""
SITE_KINDS = (
    *("renewal_off", "renewal_price", "renewal_failed", "renewal_retry"),
    *("phone_left", "passkey_copied"),
)
"""What only the site says in so many words; an SMS about it is an ``expiring``."""


def sms_words(params: Params, *, now: datetime) -> dict[str, str]:
    """Each parameter as the word that a provider's template or our own text takes."""
    with override("zh-hans"):
        return _words(params, now)


def sms(kind: str, words: Mapping[str, str]) -> str:
    """The whole SMS with its signature, as providers' templates should be worded."""
    with override("zh-hans"):
        return gettext("【卡盟】") + _sms_sentences(kind, words)


def site(kind: str, params: Params, *, now: datetime) -> tuple[str, str]:
    """Title and body of a message on the site; the body may be empty."""
    words = _words(params, now)
    match kind:
        case "activated":
            title = gettext("恭喜您成为{plan}，专属折扣已开启").format(**words)
            body = gettext("{end} 到期").format(**words) if "end" in words else ""
            return title, body
        case "expiring":
            return _site_expiring(params, words, now), ""
        case "renewal":
            title = gettext("{end} 将自动续费 ¥{price}").format(**words)
            return title, gettext("不想续？点这里关闭")
        case "renewal_retry":
            title = gettext("自动续费 ¥{price} 没有扣成").format(**words)
            return title, gettext("{end} 到期前会再试").format(**words)
        case "renewal_off" | "renewal_price" | "renewal_failed":
            return _site_renewal_ended(kind, words)
        case "refund":
            return _site_refund(str(params.get("reason", ""))).format(**words), ""
        case "delivered":
            return gettext("{goods} 的卡密已发，在订单里查看").format(**words), ""
        case "short":
            title = gettext("抱歉，{goods} 刚卖完，你的订单在排队").format(**words)
            body = gettext("补货后按顺序发；{end} 还没有货，自动全额退款")
            return title, body.format(**words)
        case "phone_changed" | "phone_left" | "way_added" | "way_removed":
            return _site_security(kind, words)
        case "passkey_copied":
            title = gettext("有人用一把可能被复制过的通行密钥登录，没有放行")
            return title, gettext("不放心就在「通行密钥」里删掉它，再加一把新的。")
    raise ValueError(f"no site text for {kind!r}")


PUSH_KINDS = ("expiring", "renewal")


def push(kind: str, params: Params, *, now: datetime) -> dict[str, str]:
    """Title, body and the path of ours that a tap opens; Chinese, as an SMS is.

    It may be read a day later, so it names the end and counts no days.
    """
    with override("zh-hans"):
        words = _words(params, now)
        if kind == "expiring":
            title = gettext("会员 {end} 到期").format(**words)
            body = gettext("点这里续费，剩余时间接着算")
        elif kind == "renewal":
            title, body = site(kind, params, now=now)
        else:
            raise ValueError(f"no push text for {kind!r}")
    link = words.get("link")
    return {
        "title": title,
        "body": body,
        "path": f"/s/{link}/" if link else "/account/",
    }


def _sms_sentences(kind: str, words: Mapping[str, str]) -> str:
    match kind:
        case "code":
            return _code_sentences(words)
        case "activated":
            text = gettext("会员已开通。")
            if "end" in words:  # none while the membership is paused
                text = gettext("会员已开通，到 {end}。").format(**words)
            text += _linked(gettext("查看："), words)
            if words.get("benefits"):
                text += gettext(" 权益：{benefits}").format(**words)
            return text
        case "expiring":
            text = gettext("会员 {end} 到期。").format(**words)
            return text + _linked(gettext("续费："), words)
        case "renewal":
            text = gettext("{end} 将自动续费 ¥{price}。").format(**words)
            return text + _linked(gettext("关闭："), words)
        case "refund":
            # One text for every way back, as a provider's template has only one.
            text = gettext("¥{price} 正在退回。").format(**words)
            return text + _linked(gettext("查看："), words)
        case "short":
            text = gettext("{goods} 刚卖完，补货后按顺序发。").format(**words)
            return text + _linked(gettext("查看："), words)
        case "delivered":
            text = gettext("你等的{goods}已发货。").format(**words)
            return text + _linked(gettext("查看："), words)
        case "phone_changed":
            text = gettext("账号换了手机号，这个号码不能再登录。")
            return text + gettext("不是你操作的，请马上联系客服。")
        case "way_added":
            text = gettext("账号新加了登录方式：{way}。").format(**words)
            return text + gettext("不是你操作的，请马上联系客服。")
        case "way_removed":
            text = gettext("账号去掉了登录方式：{way}。").format(**words)
            return text + gettext("不是你操作的，请马上联系客服。")
    raise ValueError(f"no SMS text for {kind!r}")


def _site_security(kind: str, words: Mapping[str, str]) -> tuple[str, str]:
    """What she should know about the ways into her account, whoever did it."""
    match kind:
        case "phone_changed":
            title = gettext("账号换了手机号，旧号码不能再登录")
        case "phone_left":
            title = gettext("你的手机号很久没用，现在的使用者把它用在了别的账号上")
        case "way_added":
            title = gettext("账号新加了登录方式：{way}").format(**words)
        case _:
            title = gettext("账号去掉了登录方式：{way}").format(**words)
    return title, gettext("不是你操作的，请马上联系客服。")


def _code_sentences(words: Mapping[str, str]) -> str:
    """The code comes first: browsers and watches look for it in the first words."""
    text = gettext("{code} 是你的验证码，{minutes} 分钟内有效，别告诉别人。")
    text = text.format(**words)
    purposes = {
        "login": gettext("登录"),
        "checkout": gettext("下单"),
        "lookup": gettext("查订单"),
        "confirm": gettext("确认是你本人"),
        "phone": gettext("换手机号"),
    }
    if purpose := purposes.get(words.get("purpose", "")):
        # A shopper who is phished for a code can see what it would have been good for.
        text += gettext("用于{purpose}。").format(purpose=purpose)
    if settings.SMS_WEBOTP_DOMAIN:
        text += f"\n@{settings.SMS_WEBOTP_DOMAIN} #{words['code']}"
    return text


def _linked(label: str, words: Mapping[str, str]) -> str:
    token = words.get("link")
    return f"{label}{settings.PUBLIC_URL}/s/{token}/" if token else ""


def _site_expiring(params: Params, words: Mapping[str, str], now: datetime) -> str:
    """Count the days when she reads it, so that they are never overstated."""
    days = days_left(datetime.fromisoformat(str(params["end"])), now)
    if days < 1:
        return gettext("会员 {end} 到期").format(**words)
    return gettext("会员 {end} 到期，还有 {n} 天").format(**words, n=days)


def _site_renewal_ended(kind: str, words: Mapping[str, str]) -> tuple[str, str]:
    body = gettext("会员用到 {end}").format(**words) if "end" in words else ""
    match kind:
        case "renewal_price":
            title = gettext("{plan} 现在 ¥{price}，自动续费已停")
            return title.format(**words), gettext("要按新价格续，请重新同意")
        case "renewal_failed":
            return gettext("自动续费没有扣成，已停"), body
    return gettext("已关闭自动续费"), body


def _site_refund(reason: str) -> str:
    match reason:
        case "surplus":
            return gettext("这单付了两次，多付的 ¥{price} 正在退回")
        case "short":
            return gettext("抱歉，一直没等到货，¥{price} 正在原路退回")
        case "by-hand":
            return gettext("¥{price} 由客服退给你：这种付款方式不能自动退款")
        case "failed":
            return gettext("¥{price} 的退款没有成功，已转人工处理")
        case "external":
            return gettext("支付平台退回了 ¥{price}，对应的会员时间已收回")
        case "done":
            return gettext("¥{price} 已由客服退给你")
    return gettext("¥{price} 正在原路退回")


def _words(params: Params, now: datetime) -> dict[str, str]:
    return {name: _word(name, value, now) for name, value in params.items()}


def _word(name: str, value: str | int, now: datetime) -> str:
    match name, value:
        case "end", str():
            return moment(datetime.fromisoformat(value), now)
        case "price", int():
            return yuan(value).removeprefix("¥")
        case "way", str():
            return _way(value)
    return str(value)


def _way(code: str) -> str:
    """A way into an account: a phone, a passkey, or who vouches for her."""
    match code:
        case "phone":
            return gettext("手机号")
        case "passkey":
            return gettext("通行密钥")
        case "wechat":
            return gettext("微信")
    return code.upper()
