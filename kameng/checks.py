"""System checks: a gateway or an SMS provider with broken settings stops the start."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.utils import timezone


@register(deploy=not settings.PRODUCTION)
def outside_world(**_: Any) -> list[CheckMessage]:
    """Each line names a setting; a certificate that nears its end is a warning.

    Every command minds this in production. Elsewhere only ``check --deploy`` does, for
    loading keys takes longer than all other checks together.
    """
    from notifications import sms
    from payments import gateways

    now = timezone.now()
    ageing = {
        line for gateway in gateways.available() for line in gateway.problems(now=now)
    }
    return [
        Warning(line, id="kameng.W001")
        if line in ageing
        else Error(line, id="kameng.E001")
        for line in (*gateways.problems(now=now), *sms.problems())
    ]
