"""The words of every message: raw parameters in, finished text out.

Parameters are ``plan``, ``benefits``, ``link`` (a token for ``/s/<token>/``) and
``reason`` as text, ``end`` as an instant, ``price`` in fen, ``days``, ``minutes`` and
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

KINDS = ("activated", "expiring", "renewal", "refund")
"""What members are told on the site and by SMS; the SMS kind ``code`` is no message."""


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
        case "refund" if params.get("reason") == "surplus":
            title = gettext("这单付了两次，多付的 ¥{price} 正在退回")
            return title.format(**words), ""
        case "refund":
            return gettext("¥{price} 正在原路退回").format(**words), ""
    raise ValueError(f"no site text for {kind!r}")


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
            text = gettext("¥{price} 正在原路退回。").format(**words)
            return text + _linked(gettext("查看："), words)
    raise ValueError(f"no SMS text for {kind!r}")


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


def _words(params: Params, now: datetime) -> dict[str, str]:
    return {name: _word(name, value, now) for name, value in params.items()}


def _word(name: str, value: str | int, now: datetime) -> str:
    match name, value:
        case "end", str():
            return moment(datetime.fromisoformat(value), now)
        case "price", int():
            return yuan(value).removeprefix("¥")
    return str(value)
