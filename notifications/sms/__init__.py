"""Text messages: one interface over the sandbox, Tencent Cloud and Aliyun.

``send`` makes one call and says what became of it. Repeating is the outbox's business
(``notifications.messages``); a one-time code is never repeated by itself.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from notifications import texts
from notifications.sms import templates, wire
from notifications.sms.aliyun import Aliyun
from notifications.sms.contract import Delivery, Provider, Result, SendResult, Sms
from notifications.sms.sandbox import Sandbox
from notifications.sms.tencent import Tencent

__all__ = [
    "Delivery",
    "Provider",
    "Result",
    "SendResult",
    "Sms",
    "compose",
    "problems",
    "provider",
    "send",
    "send_code",
]

logger = logging.getLogger(__name__)

_SETTINGS = {
    "tencent": (
        "TENCENT_SMS_ENDPOINT",
        "TENCENT_SMS_SECRET_ID",
        "TENCENT_SMS_SECRET_KEY",
        "TENCENT_SMS_SDK_APP_ID",
        "TENCENT_SMS_SIGN_NAME",
        "TENCENT_SMS_TEMPLATES",
    ),
    "aliyun": (
        "ALIYUN_SMS_ENDPOINT",
        "ALIYUN_SMS_ACCESS_KEY_ID",
        "ALIYUN_SMS_ACCESS_KEY_SECRET",
        "ALIYUN_SMS_SIGN_NAME",
        "ALIYUN_SMS_TEMPLATES",
    ),
}


def provider(name: str = "") -> Provider:
    """The provider that ``SMS_PROVIDER`` names, or another one by name."""
    match name or settings.SMS_PROVIDER:
        case "sandbox":
            return Sandbox(f"{settings.SMS_SANDBOX_URL.rstrip('/')}/")
        case "tencent":
            return Tencent(
                endpoint=settings.TENCENT_SMS_ENDPOINT,
                secret_id=settings.TENCENT_SMS_SECRET_ID,
                secret_key=settings.TENCENT_SMS_SECRET_KEY,
                sdk_app_id=settings.TENCENT_SMS_SDK_APP_ID,
                sign_name=settings.TENCENT_SMS_SIGN_NAME,
                templates=templates.parse(
                    "TENCENT_SMS_TEMPLATES", settings.TENCENT_SMS_TEMPLATES
                ),
            )
        case "aliyun":
            return Aliyun(
                endpoint=settings.ALIYUN_SMS_ENDPOINT,
                access_key_id=settings.ALIYUN_SMS_ACCESS_KEY_ID,
                access_key_secret=settings.ALIYUN_SMS_ACCESS_KEY_SECRET,
                sign_name=settings.ALIYUN_SMS_SIGN_NAME,
                templates=templates.parse(
                    "ALIYUN_SMS_TEMPLATES", settings.ALIYUN_SMS_TEMPLATES
                ),
            )
        case unknown:
            raise ImproperlyConfigured(f"SMS_PROVIDER: no provider {unknown!r}")


def compose(
    to: str, kind: str, params: texts.Params, *, message_id: str, now: datetime
) -> Sms:
    """Put a message into words; ``params`` as ``notifications.texts`` describes them.

    message_id  the same for every repetition of one message; the provider keeps it
    """
    words = texts.sms_words(params, now=now)
    return Sms(to, kind, words, texts.sms(kind, words), message_id)


def send(message: Sms, *, now: datetime) -> SendResult:
    """Send one message now and say what became of it; never raises for an outage.

    When the provider is in trouble and surely took nothing, the other cloud provider
    is asked once, if it is configured. Nothing is stored; neither phone nor text is
    logged.
    """
    outcome = _call(settings.SMS_PROVIDER, message, now)
    if outcome.result is Result.RETRY_OTHER_PROVIDER and (other := _other_provider()):
        outcome = _call(other, message, now)
    return outcome


def send_code(
    phone: str,
    code: str,
    *,
    minutes: int,
    purpose: str,
    message_id: str,
    now: datetime,
) -> SendResult:
    """Send a one-time code while she waits: never repeated by itself, never stored.

    purpose  ``login``, ``checkout``, ``lookup`` or ``confirm``; the text names it
    """
    params: texts.Params = {"code": code, "minutes": minutes, "purpose": purpose}
    return send(compose(phone, "code", params, message_id=message_id, now=now), now=now)


def problems() -> list[str]:
    """What keeps the chosen provider from working, each line naming its variable."""
    name = settings.SMS_PROVIDER
    if name == "sandbox":
        return (
            ["SMS_PROVIDER: the sandbox in production"] if settings.PRODUCTION else []
        )
    if name not in _SETTINGS:
        return [f"SMS_PROVIDER: no provider {name!r}"]
    found = [
        f"{variable}: empty, and SMS_PROVIDER is {name}"
        for variable in _SETTINGS[name]
        if not getattr(settings, variable)
    ]
    endpoint = f"{name.upper()}_SMS_ENDPOINT"
    address = getattr(settings, endpoint)
    if address and not _is_endpoint(address):
        found.append(f"{endpoint}: neither a host name nor an allowed URL")
    variable = f"{name.upper()}_SMS_TEMPLATES"
    try:
        parsed = templates.parse(variable, getattr(settings, variable))
    except ImproperlyConfigured as error:
        return [*found, str(error)]
    if getattr(settings, variable) and "code" not in parsed.by_kind:
        found.append(f"{variable}: no template for the kind 'code'")
    return found


def _call(name: str, message: Sms, now: datetime) -> SendResult:
    try:
        outcome = provider(name).send(message, now=now)
    except wire.NoAnswer as failure:
        outcome = failure.outcome
    except (templates.Unfillable, ImproperlyConfigured) as mistake:
        outcome = SendResult(Result.OPERATOR_ALARM, code=str(mistake))
    code = "".join(filter(str.isprintable, outcome.code))[:80]
    outcome = replace(outcome, provider=name, code=code)
    alarm = outcome.result is Result.OPERATOR_ALARM
    logger.log(
        logging.ERROR if alarm else logging.INFO,
        "SMS %s (%s) by %s: %s %s",
        message.message_id,
        message.kind,
        name,
        outcome.result,
        code,
    )
    return outcome


def _other_provider() -> str:
    """The cloud provider that is not the chosen one, if all its settings are there."""
    for name, variables in _SETTINGS.items():
        if settings.SMS_PROVIDER not in ("sandbox", name) and all(
            getattr(settings, variable) for variable in variables
        ):
            return name
    return ""


def _is_endpoint(value: str) -> bool:
    parts = urlsplit(wire.base_url(value))
    plain = parts.scheme == "http" and not settings.PRODUCTION
    return bool(parts.hostname) and (parts.scheme == "https" or plain)
