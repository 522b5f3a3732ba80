"""Delivery reports (回执): unsigned, so they only inform and never decide.

The address holds a secret derived from ``SECRET_KEY``; it is what the operator enters
in the provider's console.
"""

from __future__ import annotations

import json

from django.conf import settings
from django.utils.crypto import constant_time_compare, salted_hmac

from notifications.models import Notification
from notifications.sms import aliyun, tencent
from notifications.sms.contract import Delivery

PROVIDERS = {"aliyun": aliyun, "tencent": tencent}


class Malformed(Exception):
    """The body is not a list of objects."""


def secret(provider: str) -> str:
    """The current secret part of the report address."""
    return _secret(provider, settings.SECRET_KEY)


def is_secret(provider: str, given: str) -> bool:
    """Whether the address is ours, also under a key that is being rotated out."""
    keys = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return any(constant_time_compare(_secret(provider, key), given) for key in keys)


def read(provider: str, body: bytes) -> list[Delivery]:
    """The lines of a report; raises ``Malformed``."""
    try:
        lines = json.loads(body)
    except ValueError as error:
        raise Malformed from error
    if not isinstance(lines, list) or not all(isinstance(line, dict) for line in lines):
        raise Malformed
    return PROVIDERS[provider].deliveries(lines)


def store(provider: str, deliveries: list[Delivery]) -> int:
    """Note what the phones got on the messages that are ours; repeats are harmless.

    Reports on one-time codes match nothing, since nothing is kept of them.
    """
    return sum(
        Notification.objects.filter(provider=provider, provider_id=line.provider_id)
        .exclude(report=line.code[:80])
        .update(report=line.code[:80])
        for line in deliveries
        if line.provider_id
    )


def _secret(provider: str, key: str) -> str:
    return salted_hmac(
        "notifications.sms.report", provider, secret=key, algorithm="sha256"
    ).hexdigest()[:40]
