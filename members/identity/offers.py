"""Which providers can vouch for her on this device, and the settings behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import gettext as _

from kameng.devices import Device, device_of
from members.identity import qq, wechat
from members.identity.contract import Client
from members.models import Provider

_KEYS = (
    ("WECHAT_LOGIN_APP_ID", "WECHAT_LOGIN_SECRET"),
    ("WECHAT_MP_APP_ID", "WECHAT_MP_SECRET"),
    ("QQ_LOGIN_APP_ID", "QQ_LOGIN_SECRET"),
)

WEBSITE, SERVICE = "website", "service"
"""The applications of a provider: for browsers, and inside WeChat."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One button: the provider, the application of it that serves here, the words."""

    provider: str
    app: str
    words: str
    client: Client


def here(request: HttpRequest) -> list[Offer]:
    """What can work where the page is open, and has keys.

    Inside WeChat its service account signs in with one tap, and QQ's page does not open.
    Elsewhere on a phone WeChat would show a QR code that nobody there can scan.
    """
    device = device_of(request.headers.get("User-Agent", ""))
    found: list[Offer | None] = []
    if device is Device.WECHAT:
        service = wechat.service_account()
        found = [_offer(Provider.WECHAT, SERVICE, _("微信一键登录"), service)]
    elif device is Device.DESKTOP:
        found = [
            _offer(Provider.WECHAT, WEBSITE, _("微信扫码登录"), wechat.website()),
            _offer(Provider.QQ, WEBSITE, _("QQ 登录"), qq.application()),
        ]
    elif device is Device.PHONE:
        phone = qq.application(on_phone=True)
        found = [_offer(Provider.QQ, WEBSITE, _("QQ 一键登录"), phone)]
    return [offer for offer in found if offer is not None]


def beside_phone(request: HttpRequest, phone_state: str) -> dict[str, Any]:
    """What a page shows beside its phone step: who can vouch for a guest instead.

    one_tap  inside WeChat, where that comes first
    """
    found = [] if phone_state == "verified" else here(request)
    return {
        "offers": found,
        "one_tap": any(offer.app == SERVICE for offer in found),
    }


def client_for(provider: str, app: str) -> Client | None:
    """The application with which a journey began."""
    if provider == Provider.QQ:
        return qq.application()
    return wechat.service_account() if app == SERVICE else wechat.website()


def broken() -> list[str]:
    """A line for each setting that is missing beside its other half."""
    return [
        f"{missing}: is missing"
        for pair in _KEYS
        for missing, other in (pair, pair[::-1])
        if getattr(settings, other) and not getattr(settings, missing)
    ]


def _offer(
    provider: Provider, app: str, words: str, client: Client | None
) -> Offer | None:
    return Offer(provider.value, app, words, client) if client is not None else None
