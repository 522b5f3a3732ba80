"""The phone step of a page: from what was typed to what ``#phone`` shows.

Used alike by ``/login/``, the checkout and ``/lookup/``. Each function gives the finished context of
``components/phone_step.html``; the view adds its own and answers with ``status``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import gettext as _

from kameng.templatetags.shop import time_to_wait
from members import phones
from members.addresses import client_of
from members.models import Member, Purpose
from members.sign_in import codes, recycled, signin
from members.sign_in.codes import Outcome, SentCode, Verdict

SECONDS_IN_WORDS = 120
"""A longer wait is told in minutes and hours."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One line of the error summary; ``field`` is empty where no field is to blame."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Step:
    """One answer of the phone step.

    context      ``phone_state`` and ``phone``, see components/phone_step.html
    status       200, 422 or 429, which comes with ``retry_after`` in seconds
    member       who proved the phone and is signed in now
    is_unused    the phone was proved, but its account needs more than that
    """

    context: dict[str, Any]
    status: int = 200
    errors: tuple[FieldError, ...] = ()
    retry_after: int | None = None
    member: Member | None = None
    is_unused: bool = False


def entry(member: Member | None = None) -> dict[str, Any]:
    """Before anything was typed; a signed-in member has proved her phone already, or
    came without one, by an account elsewhere."""
    if member is None:
        return _shown("entry", "")
    has_phone = bool(member.phone)
    name = str(member) if has_phone else member.signs_in_as
    return _shown("verified", member.phone or "", masked=name, none=not has_phone)


def send(request: HttpRequest, typed: str, purpose: Purpose, *, now: datetime) -> Step:
    """Send a code to the typed phone; makes the session that the code is bound to."""
    try:
        phone = phones.parse(typed)
    except phones.BadPhone:
        return _bad_phone(typed)
    return send_to(request, phone, purpose, now=now)


def send_to(
    request: HttpRequest, phone: str, purpose: Purpose, *, now: datetime
) -> Step:
    """The same for a phone in E.164."""
    try:
        sent = codes.send(
            phone,
            purpose,
            session_key=signin.ensure_session(request),
            client=client_of(request),
            now=now,
        )
    except codes.TooMany as refusal:
        return _too_many(phone, refusal, now=now)
    except codes.Blocked:
        return _blocked(phone)
    except codes.ChannelDown:
        return Step(_shown("down", phone), 422)
    return Step(_shown("sent", phone, resend_at=sent.resend_at))


def check(
    request: HttpRequest, typed: str, code: str, purpose: Purpose, *, now: datetime
) -> Step:
    """Judge the typed code; a right one signs its owner in (``Step.member``)."""
    complaint = prove(request, typed, code, purpose, now=now)
    if complaint is not None:
        return complaint
    phone = phones.parse(typed)
    try:
        member = _sign_in(request, phone, now=now)
    except signin.Refused:
        words = _("这个号码现在不能登录。换个号码，或联系客服")
        return Step(_shown("entry", phone), 422, (FieldError("phone", words),))
    if member is None:
        return Step(_shown("entry", phone), is_unused=True)
    return Step(entry(member), member=member)


def _sign_in(request: HttpRequest, phone: str, *, now: datetime) -> Member | None:
    """None: her number was not used for long, and she can show in another way that it
    is she. Where she cannot, it begins a fresh account at once (security 21).

    raises  signin.Refused
    """
    try:
        return signin.sign_in(request, phone, now=now)
    except signin.Unused as found:
        if recycled.has_another_way(found.member):
            return None
        member = signin.sign_in_afresh(request, found.member, now=now)
    messages.info(request, recycled.afresh())
    return member


def prove(
    request: HttpRequest, typed: str, code: str, purpose: Purpose, *, now: datetime
) -> Step | None:
    """What is wrong with the typed phone and code; None: the phone is hers."""
    try:
        phone = phones.parse(typed)
    except phones.BadPhone:
        return _bad_phone(typed)
    return judge(request, phone, code, purpose, now=now)


def judge(
    request: HttpRequest, phone: str, code: str, purpose: Purpose, *, now: datetime
) -> Step | None:
    """What is wrong with the typed code; None: it was right and is spent now."""
    session_key = signin.session_key(request)
    if not code.strip():
        known = codes.live(phone, purpose, session_key=session_key, now=now)
        return _no_code(phone, known)
    verdict = codes.check(
        phone,
        purpose,
        code,
        session_key=session_key,
        client=client_of(request),
        now=now,
    )
    if verdict.outcome is Outcome.RIGHT:
        return None
    return _not_right(phone, verdict, now=now)


def kept(
    request: HttpRequest, typed: str, purpose: Purpose, *, now: datetime
) -> dict[str, Any]:
    """The step as she left it, for a form that comes back for another reason: with the
    field for a code that was sent and may still be typed."""
    try:
        phone = phones.parse(typed)
    except phones.BadPhone:
        return _shown("entry", typed[: phones.LONGEST])
    known = codes.live(phone, purpose, session_key=signin.session_key(request), now=now)
    if known is None:
        return _shown("entry", phone)
    return _shown("sent", phone, resend_at=known.resend_at)


def _shown(state: str, value: str, **facts: Any) -> dict[str, Any]:
    """value: E.164, or what was typed where that is no phone."""
    return {"phone_state": state, "phone": {"value": value, **facts}}


def _bad_phone(typed: str) -> Step:
    error = FieldError("phone", _("手机号要 11 位，以 1 开头"))
    return Step(_shown("entry", typed[: phones.LONGEST]), 422, (error,))


def _blocked(phone: str) -> Step:
    words = _("这个号码现在不能收验证码。换个号码，或联系客服")
    return Step(_shown("blocked", phone), 422, (FieldError("", words),))


def _too_many(phone: str, refusal: codes.TooMany, *, now: datetime) -> Step:
    """A code that is still good stays typeable, as after a double click."""
    wait = refusal.retry_after_seconds
    retry_at = now + timedelta(seconds=wait)
    if refusal.code is None:
        return _locked(phone, retry_at, now=now)
    shown = _shown("sent", phone, resend_at=retry_at)
    return Step(shown, 429, (FieldError("phone", _later(retry_at, now)),), wait)


def _locked(phone: str, retry_at: datetime, *, now: datetime) -> Step:
    error = FieldError("", _later(retry_at, now))
    wait = max(1, int((retry_at - now).total_seconds()))
    return Step(_shown("locked", phone, retry_at=retry_at), 429, (error,), wait)


def _later(retry_at: datetime, now: datetime) -> str:
    seconds = int((retry_at - now).total_seconds())
    if seconds <= SECONDS_IN_WORDS:
        return _("操作太快了，{s} 秒后再试").format(s=seconds)
    return _("试得太多了，{t}后再来").format(t=time_to_wait(retry_at, now))


def _no_code(phone: str, known: SentCode | None) -> Step:
    if known is None:
        error = FieldError("code", _("先获取验证码"))
        return Step(_shown("entry", phone), 422, (error,))
    shown = _shown("sent", phone, resend_at=known.resend_at)
    return Step(shown, 422, (FieldError("code", _("填写短信里的 6 位验证码")),))


def _not_right(phone: str, verdict: Verdict, *, now: datetime) -> Step:
    if verdict.outcome is Outcome.LOCKED:
        if verdict.retry_at is None:
            return _blocked(phone)
        return _locked(phone, verdict.retry_at, now=now)
    if verdict.code is None:
        return _no_code(phone, None)
    facts = {"resend_at": verdict.code.resend_at, "tries_left": verdict.tries_left}
    if verdict.outcome is Outcome.WRONG and verdict.tries_left:
        words = _("验证码不对，还能试 {n} 次").format(n=verdict.tries_left)
        return Step(_shown("wrong", phone, **facts), 422, (FieldError("code", words),))
    if verdict.outcome is Outcome.EXPIRED:
        words = _("验证码过期了，请重新获取")
    else:
        words = _("这个验证码不能再用了，请重新获取")
    return Step(_shown("expired", phone, **facts), 422, (FieldError("code", words),))
