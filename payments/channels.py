"""From what the shopper picks and the device she holds to a gateway and a product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _

from kameng.devices import Device
from members.identity import wechat
from payments import epay_channels, gateways
from payments.gateways.contract import Channel, Product
from payments.models import EpayChannel

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


CHANNELS = {channel.code: channel for channel in gateways.channels()}
"""What the gateways bring themselves."""

OFFLINE = "manual"
"""The channel of money that an operator has seen, which no gateway brought."""


def known() -> dict[str, Channel]:
    """The gateways' own channels, then those that the epay operator carries for us.

    None of these takes the place of a gateway's own.
    """
    epay = [_of_epay(row, kind) for row, kind in epay_channels.offered()]
    return CHANNELS | {each.code: each for each in epay if each.code not in CHANNELS}


def products_of(channel: Channel, device: Device) -> tuple[str, ...]:
    """What serves on a device with the keys of this shop."""
    products = channel.products[device]
    if wechat.service_account() is None:
        products = tuple(each for each in products if each != Product.JSAPI)
    return products


def _of_epay(row: EpayChannel, kind: str) -> Channel:
    name = _epay_label(row)
    return Channel(
        row.code,
        "epay",
        name,
        name,
        dict.fromkeys(Device, (kind,)),
        cashier=_("收银台"),
        cap_fen=row.cap_fen,
    )


def _epay_label(row: EpayChannel) -> StrPromise | str:
    in_english = row.label_en if get_language() == "en" else ""
    return in_english or row.label or _("话费")


def label_of(code: str) -> str:
    """What a channel is called, also one that is offered no more."""
    channel = CHANNELS.get(code)
    if channel is not None:
        return str(channel.label)
    if code == OFFLINE:
        return gettext("线下收款")
    row = epay_channels.find(code)
    if row is None and code == EpayChannel.PHONE_CREDIT:
        row = EpayChannel(code=code)
    return str(_epay_label(row)) if row else code


@dataclass(frozen=True, slots=True)
class Offer:
    """A channel as one device and one sum meet it."""

    channel: Channel
    usable: bool
    over_cap: bool = False

    @property
    def code(self) -> str:
        return self.channel.code


def offers(device: Device, amount_fen: int = 0) -> list[Offer]:
    """The configured channels; those that cannot serve this device or pay this sum are
    marked as such."""
    found = []
    for channel in known().values():
        if gateways.get(channel.gateway) is not None:
            over = channel.cap_fen is not None and amount_fen > channel.cap_fen
            usable = bool(products_of(channel, device)) and not over
            found.append(Offer(channel, usable, over))
    return found


def default_channel(
    device: Device, last_used: str | None, amount_fen: int = 0
) -> str | None:
    """The last used one if it serves here, else the first that does."""
    usable = [offer.code for offer in offers(device, amount_fen) if offer.usable]
    if last_used in usable:
        return last_used
    return usable[0] if usable else None


def product_for(code: str, device: Device, wanted: str = "") -> str | None:
    """The product to open; None when the channel is off or cannot serve here."""
    channel = known().get(code)
    if channel is None or gateways.get(channel.gateway) is None:
        return None
    usable = products_of(channel, device)
    return next((p for p in usable if p == wanted), usable[0] if usable else None)


def cap_of(code: str) -> int | None:
    """The largest sum that this channel can pay, where it has a limit."""
    channel = known().get(code)
    return channel.cap_fen if channel else None
