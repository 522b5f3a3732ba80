"""What keeps a gateway or a provider from working, found before anybody pays.

A gateway without any key is off; one with some of them, or with a broken one, is a
mistake. In production that stops the start of every process; elsewhere it is a line of
``check --deploy``, for loading keys takes longer than all other checks together.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone


def refuse_broken_settings() -> None:
    """Raise when a gateway or a provider is half configured or broken.

    raises  ImproperlyConfigured with a line for each setting, which names it
    """
    if lines := _broken():
        raise ImproperlyConfigured("\n".join(lines))


@register(deploy=not settings.PRODUCTION)
def outside_world(**_: Any) -> list[CheckMessage]:
    """Each line names a setting; a certificate that nears its end is a warning."""
    from payments import gateways

    return [
        *(Error(line, id="kameng.E001") for line in _broken()),
        *(
            Warning(line, id="kameng.W001")
            for line in gateways.ageing(now=timezone.now())
        ),
    ]


def _broken() -> list[str]:
    from members.identity import offers
    from members.real_name import providers
    from notifications import push, sms
    from payments import gateways

    return [
        *gateways.broken(),
        *sms.problems(),
        *push.problems(),
        *offers.broken(),
        *providers.problems(),
        *_sandbox_certificates(),
    ]


def _sandbox_certificates() -> list[str]:
    """In production, the certificates with which the sandbox plays a gateway."""
    from payments.gateways import keys

    lines = []
    for name, load in (
        ("WECHAT_PAY_PLATFORM_CERTS", keys.load_certificates),
        ("UNIONPAY_ROOT_CERT", lambda text: [keys.load_certificate(text)]),
        ("UNIONPAY_MIDDLE_CERT", lambda text: [keys.load_certificate(text)]),
    ):
        text = getattr(settings, name)
        if not (settings.PRODUCTION and text):
            continue
        with suppress(keys.BadKey):  # the gateway's own line names it
            if any("SANDBOX" in each.subject.rfc4514_string() for each in load(text)):
                lines.append(f"{name}: the sandbox's value in production")
    return lines
