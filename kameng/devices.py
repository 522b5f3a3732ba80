"""Where a page is open: what a browser says of itself, for ways to pay and to sign in."""

from __future__ import annotations

import re
from enum import StrEnum


class Device(StrEnum):
    DESKTOP = "desktop"
    PHONE = "phone"
    WECHAT = "wechat"
    ALIPAY = "alipay"


_PHONE = re.compile(r"Mobile|Android|iPhone|iPad|iPod|HarmonyOS", re.IGNORECASE)


def device_of(user_agent: str) -> Device:
    """Decides which wallet opens and who can vouch for her; never what she may do."""
    if "MicroMessenger" in user_agent:
        return Device.WECHAT
    if "AlipayClient" in user_agent:
        return Device.ALIPAY
    return Device.PHONE if _PHONE.search(user_agent) else Device.DESKTOP
