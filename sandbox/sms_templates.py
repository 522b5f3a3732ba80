"""The SMS templates that the sandbox's two cloud providers have "approved"."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Template:
    """``text`` has one ``{name}`` for each of ``params``, in the provider's order."""

    number: str
    params: tuple[str, ...]
    text: str


TEMPLATES = {
    "code": Template(
        "SANDBOX100001",
        ("code", "minutes"),
        "{code} 是你的验证码，{minutes} 分钟内有效，别告诉别人。",
    ),
    "activated": Template(
        "SANDBOX100002",
        ("plan", "benefits", "end", "link"),
        "会员已开通：{plan}，{benefits}，到 {end}。查看：{link}",
    ),
    "expiring": Template(
        "SANDBOX100003", ("end", "link"), "会员 {end} 到期。续费：{link}"
    ),
    "renewal": Template(
        "SANDBOX100004",
        ("end", "price", "link"),
        "{end} 将自动续费 ¥{price}。关闭：{link}",
    ),
    "phone_changed": Template(
        "SANDBOX100006",
        (),
        "账号换了手机号，这个号码不能再登录。不是你操作的，请马上联系客服。",
    ),
    "way_added": Template(
        "SANDBOX100007",
        ("way",),
        "账号新加了登录方式：{way}。不是你操作的，请马上联系客服。",
    ),
    "way_removed": Template(
        "SANDBOX100008",
        ("way",),
        "账号去掉了登录方式：{way}。不是你操作的，请马上联系客服。",
    ),
    "refund": Template(
        "SANDBOX100005", ("price", "link"), "退款 ¥{price} 已原路退回。查看：{link}"
    ),
}


def by_number(number: str) -> tuple[str, Template] | None:
    """The kind and template a provider's template number stands for."""
    for kind, template in TEMPLATES.items():
        if template.number == number:
            return kind, template
    return None
