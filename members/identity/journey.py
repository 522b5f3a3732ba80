"""The way to a provider and back: a state that is random, of this browser, used once.

Without it a stranger could make a victim's browser arrive with the stranger's code, and
she would buy into, or be bound to, an account that is not hers (security 25).
"""

from __future__ import annotations

import re
import secrets
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.http import HttpRequest

from members import limits
from members.models import Window
from members.sign_in import signin

SECONDS = 600
KEPT = 5
"""Journeys that one browser may have open: pages in several tabs."""
_SESSION_KEY = "journeys"
_STATE = re.compile(r"[0-9a-f]{32}", re.ASCII)


class Aim(StrEnum):
    LOGIN = "login"
    BIND = "bind"
    CONFIRM = "confirm"


@dataclass(frozen=True, slots=True)
class Journey:
    """What the browser set out for.

    app        which application of the provider: ``website`` or ``service``
    next       a path of this site, judged when the journey began
    member_id  who was signed in then; must be the same when it ends
    """

    provider: str
    app: str
    aim: str
    next: str
    member_id: int | None
    began: float


def begin(
    request: HttpRequest,
    provider: str,
    app: str,
    aim: Aim,
    *,
    where: str,
    now: datetime,
) -> str:
    """The state for the provider's page; makes the session that it is bound to."""
    signin.ensure_session(request)
    state = secrets.token_hex(16)
    member_id = request.user.pk if request.user.is_authenticated else None
    journey = Journey(provider, app, aim, where, member_id, now.timestamp())
    open_ones: dict[str, Any] = request.session.get(_SESSION_KEY, {})
    newest = dict(list(open_ones.items())[-(KEPT - 1) :])
    request.session[_SESSION_KEY] = newest | {state: asdict(journey)}
    return state


def end(
    request: HttpRequest, provider: str, state: str, *, now: datetime
) -> Journey | None:
    """The journey of this state, which is spent by it; None for any other state."""
    open_ones: dict[str, Any] = request.session.get(_SESSION_KEY, {})
    if not _STATE.fullmatch(state) or state not in open_ones:
        return None
    journey = Journey(**open_ones.pop(state))
    request.session[_SESSION_KEY] = open_ones
    member_id = request.user.pk if request.user.is_authenticated else None
    is_ours = (
        journey.provider == provider
        and 0 <= now.timestamp() - journey.began <= SECONDS
        and (journey.aim == Aim.LOGIN or journey.member_id == member_id)
    )
    return journey if is_ours and is_first(state, now=now) else None


def is_first(state: str, *, now: datetime) -> bool:
    """Whether nobody has come with this state before. Counted in the database: of two
    requests with one session, each has read it before the other wrote."""
    window = Window(2 * SECONDS, 1)
    return limits.take(limits.key("oauth-state", state), [window], now) is None
