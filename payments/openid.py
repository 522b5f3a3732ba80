"""Who pays inside WeChat: the service account's openid, asked for when it is needed.

WeChat Pay wants the openid of the very account in which the page is open, so it is asked
for on the way into the wallet, silently, and kept nowhere. The state is a digest over the
browser's session, so that making it changes nothing; it is good once, for ten minutes.
"""

from __future__ import annotations

import hmac
import re
import secrets
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from members.digests import digest
from members.identity import journey, wechat
from members.sign_in import signin
from orders.models import Order

LIFE = timedelta(seconds=journey.SECONDS)
_STATE = re.compile(r"([0-9a-f]{8}[0-9a-f]{16})([0-9a-f]{40})", re.ASCII)
"""Moment and random part, digest: within the 128 letters and digits that WeChat takes."""


def authorize_url(request: HttpRequest, order: Order, *, now: datetime) -> str | None:
    """WeChat's page that tells the openid and asks nothing; None without its keys."""
    account = wechat.service_account(wechat.Scope.BASE)
    if account is None:
        return None
    stamp = f"{int(now.timestamp()):08x}{secrets.token_hex(8)}"
    back = settings.PUBLIC_URL + reverse("order-openid", args=[order.no])
    state = stamp + _mac(request, order, stamp)
    return account.authorize_url(redirect_uri=back, state=state)


def is_ours(request: HttpRequest, order: Order, state: str, *, now: datetime) -> bool:
    """Whether this browser was sent for this order's payer, lately, and is back first."""
    match = _STATE.fullmatch(state)
    if match is None or not hmac.compare_digest(
        _mac(request, order, match[1]), match[2]
    ):
        return False
    made_at = datetime.fromtimestamp(int(match[1][:8], 16), UTC)
    return timedelta() <= now - made_at <= LIFE and journey.is_first(state, now=now)


def exchange(code: str) -> str:
    """The openid of a code; raises NotRecognised."""
    account = wechat.service_account(wechat.Scope.BASE)
    return account.exchange(code).openid if account is not None else ""


def _mac(request: HttpRequest, order: Order, stamp: str) -> str:
    return digest("openid-state", signin.session_key(request), order.no, stamp)[:40]
