"""Following every link of the shop, as a browser without any judgement would."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from tests.security.conftest import World

# The admin's own pages are the console's business; see ``as staff`` in the tests.
CONSOLE = "console/"
_LINK = re.compile(r'(?:href|src|action|hx-get|hx-post)="([^"]+)"')


def named_routes() -> set[str]:
    """The name of every address outside the console; unnamed ones by their route."""
    found = set()

    def walk(patterns: Iterable[URLPattern | URLResolver], prefix: str) -> None:
        for pattern in patterns:
            route = f"{prefix}{pattern.pattern}"
            if isinstance(pattern, URLResolver):
                if route != CONSOLE:
                    walk(pattern.url_patterns, route)
            else:
                found.add(pattern.name or route)

    walk(get_resolver().url_patterns, "")
    return found


def addresses(world: World) -> dict[str, list[str]]:
    """Every address of the shop, by the name of its route."""
    numbers = [order.no for order in world.orders]

    def each(name: str) -> list[str]:
        return [reverse(name, args=[no]) for no in numbers]

    plain = (
        *(
            "home",
            "membership",
            "zone",
            "official",
            "login",
            "login-code",
            "logout",
            "account",
        ),
        *("account-orders", "account-notice-dismiss", "guide-dismiss", "checkout"),
        *("guide-zone", "guide-membership"),
        *("redeem", "redeem-code", "redeem-passkey", "redeemed", "checkout-coupon"),
        *("checkout-code", "set_language", "lookup", "lookup-code", "lookup-orders"),
        *("account-phone", "account-phone-code", "login-unused"),
        *("account-privacy", "account-privacy-export", "account-privacy-delete"),
        *("account-privacy-keep", "logout-everywhere"),
        *("login-passkey", "account-passkeys", "account-passkey-new"),
        *("account-confirm", "account-confirm-code", "account-confirm-passkey"),
        *("account-advice", "account-returns", "account-notifications"),
        *("account-renewal", "account-renewal-sign", "account-renewal-stop"),
        *("manifest", "service-worker", "push-on", "push-off"),
        *("account-identities", "account-identity-bind"),
        *("account-real-name", "account-real-name-withdraw"),
    )
    return {name: [reverse(name)] for name in plain} | {
        "healthz": ["/healthz"],
        "readyz": ["/readyz"],
        "metrics": ["/metrics"],
        "membership-kind": [
            reverse("membership-kind", args=[kind])
            for kind in ("temporary", "long-term")
        ],
        "legal": [
            reverse("legal", args=[slug])
            for slug in ("agreement", "privacy", "renewal", "refunds", "minors")
        ],
        "zone-goods": [reverse("zone-goods", args=[world.goods_order.goods.slug])],
        "delivery": [reverse("delivery", args=[world.goods_order.no])],
        "delivery-reveal": [reverse("delivery-reveal", args=[world.goods_order.no])],
        "checkout-summary": [f"{reverse('checkout-summary')}?plan=temporary-7"],
        "order": each("order"),
        "order-pay": each("order-pay"),
        "order-payments": each("order-payments"),
        "order-status": each("order-status"),
        "order-cancel": each("order-cancel"),
        "order-return": each("order-return"),
        "order-openid": each("order-openid"),
        "short-link": [
            reverse("short-link", args=[token])
            for token in (world.token, world.paid_token, world.renew_token)
        ],
        "notify": [reverse("notify", args=[code]) for code in ("alipay", "wechat")],
        "return": [
            f"{reverse('return', args=['alipay'])}?token={world.paid_token}",
        ],
        **{
            name: [reverse(name, args=[provider]) for provider in ("wechat", "qq")]
            for name in (
                *("login-identity", "login-callback", "redeem-identity"),
                *("account-identity", "account-confirm-with"),
            )
        },
        "account-identity-unbind": [reverse("account-identity-unbind", args=[1])],
        "account-passkey": [reverse("account-passkey", args=[1])],
        "account-passkey-remove": [reverse("account-passkey-remove", args=[1])],
        "sms-report": [reverse("sms-report", args=["aliyun", "a" * 40])],
    }


def crawl(
    client: Client,
    starts: Iterable[str],
    *,
    limit: int = 400,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The answer at each address that can be reached by links; redirects followed."""
    answers: dict[str, Any] = {}
    waiting = deque(starts)
    while waiting and len(answers) < limit:
        url = waiting.popleft()
        if url in answers:
            continue
        answer = answers[url] = client.get(url, headers=headers)
        found = [answer["Location"]] if answer.has_header("Location") else []
        if answer.get("Content-Type", "").startswith("text/html"):
            found += _LINK.findall(answer.text)
        for link in found:
            target = urlsplit(urljoin(url, link.replace("&amp;", "&")))
            ours = not target.netloc and target.path.startswith("/")
            if ours and not target.path.startswith("/static/"):
                waiting.append(target._replace(fragment="").geturl())
    return answers
