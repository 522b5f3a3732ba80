"""From a proved phone to a signed-in session."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth import login
from django.contrib.auth.hashers import make_password
from django.http import HttpRequest

from members import visits
from members.models import Member
from members.sign_in import recycled

BACKEND = "members.staff.StaffBackend"
PROVED = "proved_at"
"""Session key: when she last showed that it is she, for what ``members.sign_in.confirm`` asks."""
PROVED_PHONE = "proved_phone_at"
"""Session key: when she last showed that the account's phone is in her hand."""
PROVED_UNUSED = "proved_unused"
"""Session key: whose long unused number has been proved here by a code, and when."""
GUEST_SECONDS = 86_400
"""A session that was only made to bind a code to a browser is not kept longer."""


class Refused(Exception):
    """This account cannot sign in here; the reason is not for the caller's eyes."""


class Unused(Exception):
    """The number was not used for so long that it may be another's by now."""

    def __init__(self, member: Member) -> None:
        super().__init__()
        self.member = member


def session_key(request: HttpRequest) -> str:
    """The key of a session that exists, empty without one; a made-up cookie is none."""
    request.session.get("")  # reading drops a key that has no row
    return request.session.session_key or ""


def ensure_session(request: HttpRequest) -> str:
    """The session's key; saves an anonymous session where there was none.

    Called before a code is sent, so that mere visitors leave no row.
    """
    key = session_key(request)
    if not key:
        request.session.set_expiry(GUEST_SECONDS)
        request.session.create()
        key = session_key(request)
    return key


def sign_in(request: HttpRequest, phone: str, *, now: datetime) -> Member:
    """Sign the owner of a proved phone in, as a new member if need be.

    Two requests with the same new phone end with one member (G11, K25). The session
    gets a new key, so one that was planted before is worth nothing (security 23), and
    lasts 90 days from now. What a guest left in the session stays; what another
    account left does not.

    raises  Refused for a closed account, and for staff: a text message must not open
            the console; Unused, after which this browser may show in another way that
            it is she (security 21)
    """
    member = _member(phone, now=now)
    if recycled.is_unused(member, now=now):
        request.session[PROVED_UNUSED] = recycled.proof(member, now=now)
        raise Unused(member)
    _enter_by_phone(request, member, now=now)
    return member


def sign_in_afresh(request: HttpRequest, old: Member, *, now: datetime) -> Member:
    """Sign in with the number of a long unused account, as somebody new.

    raises  Refused
    """
    assert old.phone is not None
    member = recycled.start_afresh(old.pk, old.phone, now=now)
    _enter_by_phone(request, member, now=now)
    return member


def _enter_by_phone(request: HttpRequest, member: Member, *, now: datetime) -> None:
    enter(request, member)
    visits.note(member, now=now)
    prove(request, now=now, by_phone=True)


def enter(request: HttpRequest, member: Member) -> None:
    """Sign in whoever has just been recognised; see ``sign_in`` for the session.

    raises  Refused
    """
    if not member.is_active or member.is_staff:
        raise Refused
    if request.user.is_authenticated:
        request.session.flush()
    proved = request.session.pop(PROVED_UNUSED, None)
    login(request, member, backend=BACKEND)
    recycled.use_again(member, proved)
    for proof in (PROVED, PROVED_PHONE):
        request.session.pop(proof, None)
    request.session.set_expiry(None)


def end_all_sessions(member: Member) -> None:
    """Make every session of a shopper worthless, on all devices.

    A session carries a digest of the password field; a shopper has no password, so
    another unusable one ends them all and takes nothing from her.
    """
    member.set_unusable_password()
    member.save(update_fields=["password"])
    member.push_subscriptions.all().delete()  # a device signed out shows no reminders


def prove(request: HttpRequest, *, now: datetime, by_phone: bool = False) -> None:
    """Remember that the member of this session has shown who she is, by a code or a
    passkey; ``by_phone``: by a code to the account's own phone."""
    request.session[PROVED] = now.timestamp()
    if by_phone:
        request.session[PROVED_PHONE] = now.timestamp()
        assert request.user.pk is not None
        Member.objects.filter(pk=request.user.pk).update(phone_proved_at=now)


def proved_seconds_ago(
    request: HttpRequest, *, now: datetime, by_phone: bool = False
) -> float | None:
    """How long ago that was; None when it never was in this session."""
    at = request.session.get(PROVED_PHONE if by_phone else PROVED)
    return None if at is None else now.timestamp() - at


def _member(phone: str, *, now: datetime) -> Member:
    known = Member.objects.filter(phone=phone).first()
    if known is not None:
        return known
    new = Member(phone=phone, password=make_password(None), created_at=now)
    Member.objects.bulk_create([new], ignore_conflicts=True)
    return Member.objects.get(phone=phone)
