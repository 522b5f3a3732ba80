"""From what the shopper picks and the device she holds to a gateway and a product."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from payments import gateways
from payments.gateways.contract import Product

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


class Device(StrEnum):
    DESKTOP = "desktop"
    PHONE = "phone"
    WECHAT = "wechat"
    ALIPAY = "alipay"


_PHONE = re.compile(r"Mobile|Android|iPhone|iPad|iPod|HarmonyOS", re.IGNORECASE)


def device_of(user_agent: str) -> Device:
    """Where the page is open; decides the default channel and the product."""
    if "MicroMessenger" in user_agent:
        return Device.WECHAT
    if "AlipayClient" in user_agent:
        return Device.ALIPAY
    return Device.PHONE if _PHONE.search(user_agent) else Device.DESKTOP


@dataclass(frozen=True, slots=True)
class Channel:
    """One row of the payment chooser."""

    code: str
    gateway: str
    label: StrPromise
    app: StrPromise
    """The wallet's short name, for buttons."""
    products: dict[Device, tuple[Product, ...]]
    """What serves on a device, the first by default; empty: not usable there."""


CHANNELS = {
    channel.code: channel
    for channel in (
        Channel(
            "wechat",
            "wechat",
            _("微信支付"),
            _("微信"),
            {
                Device.DESKTOP: (Product.NATIVE,),
                Device.PHONE: (Product.H5, Product.NATIVE),
                # WeChat refuses H5 inside itself; the QR is scanned by another phone.
                Device.WECHAT: (Product.NATIVE,),
                Device.ALIPAY: (),
            },
        ),
        Channel(
            "alipay",
            "alipay",
            _("支付宝"),
            _("支付宝"),
            {
                Device.DESKTOP: (Product.QR, Product.PAGE),
                Device.PHONE: (Product.WAP, Product.QR),
                Device.WECHAT: (),
                Device.ALIPAY: (Product.WAP,),
            },
        ),
    )
}


OFFLINE = "manual"
"""The channel of money that an operator has seen, which no gateway brought."""


def label_of(code: str) -> str:
    """How people call a channel, also one that is no longer sold through."""
    channel = CHANNELS.get(code)
    if channel is None:
        return gettext("线下收款") if code == OFFLINE else code
    return str(channel.label)


@dataclass(frozen=True, slots=True)
class Offer:
    """A channel as one device meets it."""

    channel: Channel
    usable: bool

    @property
    def code(self) -> str:
        return self.channel.code


def offers(device: Device) -> list[Offer]:
    """The configured channels, those that the device cannot use marked as such."""
    return [
        Offer(channel, bool(channel.products[device]))
        for channel in CHANNELS.values()
        if gateways.get(channel.gateway) is not None
    ]


def default_channel(device: Device, last_used: str | None) -> str | None:
    """The last used one if it serves here, else the first that does."""
    usable = [offer.code for offer in offers(device) if offer.usable]
    if last_used in usable:
        return last_used
    return usable[0] if usable else None


def product_for(code: str, device: Device, wanted: str = "") -> Product | None:
    """The product to open; None when the channel is off or cannot serve here."""
    channel = CHANNELS.get(code)
    if channel is None or gateways.get(channel.gateway) is None:
        return None
    usable = channel.products[device]
    return next((p for p in usable if p == wanted), usable[0] if usable else None)
