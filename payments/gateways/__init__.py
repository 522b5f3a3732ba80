"""The payment gateways of this shop: which exist, which are on, what is wrong.

A gateway is a folder here and a line in ``GATEWAYS``. It is built once per process,
since loading keys is slow, and imported only when asked for; the folder itself only says
which rows of the payment chooser it brings.
"""

from __future__ import annotations

from datetime import datetime
from functools import cache
from importlib import import_module
from typing import Any, cast

from django.conf import settings
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from payments.gateways.contract import Channel, Gateway

GATEWAYS = {
    "wechat": "payments.gateways.wechat.gateway.WechatGateway",
    "alipay": "payments.gateways.alipay.gateway.AlipayGateway",
    "unionpay": "payments.gateways.unionpay.gateway.UnionPayGateway",
    "epay": "payments.gateways.epay.gateway.EpayGateway",
}
"""In the order of the chooser."""


def get(code: str) -> Gateway | None:
    """The gateway, or None when it is unknown, switched off or wrongly configured."""
    return _built(code)[0] if code in GATEWAYS else None


def available() -> list[Gateway]:
    """Every gateway that is on, in the order of ``GATEWAYS``."""
    return [gateway for code in GATEWAYS if (gateway := get(code)) is not None]


def channels() -> list[Channel]:
    """The rows of the chooser that the gateways bring, in the order of ``GATEWAYS``."""
    folders = [import_module(f"{__name__}.{code}") for code in GATEWAYS]
    return [channel for folder in folders for channel in folder.CHANNELS]


def problems(*, now: datetime) -> list[str]:
    """One line per setting to see to, beginning with its name; for checks and doctor."""
    return [*broken(), *ageing(now=now)]


def broken() -> list[str]:
    """What keeps a gateway off although some of its keys are set."""
    return [line for code in GATEWAYS for line in _built(code)[1]]


def ageing(*, now: datetime) -> list[str]:
    """What will keep a gateway that is on from working, or part of it, before long."""
    return [line for gateway in available() for line in gateway.problems(now=now)]


@cache
def _built(code: str) -> tuple[Gateway | None, tuple[str, ...]]:
    from payments.gateways.reading import BadSettings

    try:
        gateway = import_string(GATEWAYS[code]).from_settings(settings)
    except BadSettings as error:
        return None, error.lines
    return cast("Gateway | None", gateway), ()


def _forget(*, setting: str, **_: Any) -> None:
    """Build anew after a test has overridden one of our settings."""
    if setting.startswith(tuple(f"{code.upper()}_" for code in GATEWAYS)):
        _built.cache_clear()


setting_changed.connect(_forget)
