"""Whose account an identity opens: found, made, bound, taken away.

An identity is found by its unionid, else by the openid within one application. Nothing
else joins two people: no nickname, and no identity moves from one member to another
(security 27).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

from django.contrib.auth.hashers import make_password
from django.db import IntegrityError, transaction

from members import security_notices
from members.identity import nicknames
from members.identity.contract import Person, Refused
from members.models import Identity, Member
from members.timeline import lock_member

log = logging.getLogger(__name__)


class Taken(Exception):
    """The identity opens another account already."""


class LastWayIn(Exception):
    """Without this identity nobody could get into the account any more."""


def recognise(person: Person, *, now: datetime) -> Member:
    """The member whom this person is, as a new one if need be, without a phone.

    Two first arrivals at once end with one member.

    raises  Refused when the provider tells another unionid of a known openid
    """
    return _repeated(lambda: _recognise(person, now=now))


@transaction.atomic(durable=True)
def _recognise(person: Person, *, now: datetime) -> Member:
    found = find(person)
    if found is not None:
        _refresh(found, person, now=now)
        return found.member
    member = Member.objects.create(password=make_password(None), created_at=now)
    _add(member, person, now=now)
    return member


def bind(member_id: int, person: Person, *, now: datetime) -> Identity:
    """Let this person into the member's account from now on; a repeat changes nothing.

    raises  Taken, Refused
    """
    return _repeated(lambda: _bind(member_id, person, now=now))


@transaction.atomic(durable=True)
def _bind(member_id: int, person: Person, *, now: datetime) -> Identity:
    member = lock_member(member_id)
    found = find(person)
    if found is None:
        added = _add(member, person, now=now)
        security_notices.way_added(member, added, now=now)
        return added
    if found.member_id != member.pk:
        raise Taken
    _refresh(found, person, now=now)
    return found


@transaction.atomic(durable=True)
def unbind(member_id: int, identity_id: int, *, now: datetime) -> bool:
    """Take an identity away; False when the member has none of this number.

    The member is locked, so that of two identities taken away at once one stays.

    raises  LastWayIn
    """
    member = lock_member(member_id)
    identity = member.identities.filter(pk=identity_id).first()
    if identity is None:
        return False
    if ways_in(member) <= 1:
        raise LastWayIn
    security_notices.way_removed(member, identity, now=now)
    identity.delete()
    return True


def ways_in(member: Member) -> int:
    """How many ways lead into the account: its phone, its identities and its passkeys."""
    return bool(member.phone) + member.identities.count() + member.passkeys.count()


def find(person: Person) -> Identity | None:
    """raises  Refused"""
    known = Identity.objects.select_related("member").filter(provider=person.provider)
    if person.unionid and (same := known.filter(unionid=person.unionid).first()):
        return same
    found = known.filter(appid=person.appid, openid=person.openid).first()
    # The same unionid may be there by now: a rival added it between the two looks.
    if found and found.unionid and person.unionid not in ("", found.unionid):
        log.error("identity #%s: another unionid than before", found.pk)
        raise Refused("other-unionid")
    return found


def _add(member: Member, person: Person, *, now: datetime) -> Identity:
    return Identity.objects.create(
        member=member,
        provider=person.provider,
        appid=person.appid,
        openid=person.openid,
        unionid=person.unionid,
        nickname=nicknames.clean(person.nickname),
        created_at=now,
        used_at=now,
    )


def _refresh(found: Identity, person: Person, *, now: datetime) -> None:
    """Keep what is new: the name of today, and a unionid that was not granted before."""
    found.used_at = now
    found.nickname = nicknames.clean(person.nickname) or found.nickname
    found.unionid = found.unionid or person.unionid
    found.save(update_fields=["used_at", "nickname", "unionid"])


def _repeated[Found](work: Callable[[], Found]) -> Found:
    """Once more when a rival was quicker to add the same identity."""
    try:
        return work()
    except IntegrityError:
        return work()
