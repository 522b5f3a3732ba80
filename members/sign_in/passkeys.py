"""Passkeys: registered, recognised, named, taken away (security 29).

What the browser sends is judged by ``webauthn``; this module adds what belongs to the
shop: whose key it is, that its counter only goes up, and that the last way in stays.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    CredentialDeviceType,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from members import security_notices
from members.digests import digest
from members.identity import binding
from members.models import Member, Passkey
from members.sign_in import challenges, signin
from members.timeline import lock_member

log = logging.getLogger(__name__)

LOGIN, CONFIRM, ADD = "passkey-login", "passkey-confirm", "passkey-add"
"""What a challenge is for; one for something else is none."""
LONGEST = 16_384
"""Characters of what a browser may send; real ones have two or three thousand."""
AT_MOST = 20
NAME_LENGTH = 40
RISK = timedelta(days=1)
_TIMEOUT_MS = 300_000


class Refused(Exception):
    """Not a passkey that opens anything here; the words are for logs alone."""


class WentBack(Refused):
    """The counter of a passkey is not above the last one: perhaps a copied key."""


class TooMany(Exception):
    """The member has as many passkeys as anybody needs."""


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Who we are to the authenticator; a change of ``id`` makes every passkey useless."""

    id: str
    origin: str


def relying_party() -> RelyingParty:
    """From PUBLIC_URL. An address of numbers has no passkeys, so a shop on 127.0.0.1
    is meant to be opened as ``localhost`` for them."""
    parts = urlsplit(settings.PUBLIC_URL)
    host = parts.hostname or ""
    if host == "127.0.0.1":
        host = "localhost"
    port = f":{parts.port}" if parts.port else ""
    return RelyingParty(host, f"{parts.scheme}://{host}{port}")


def registration_options(member: Member, challenge: str) -> str:
    """What the browser needs to make a passkey, as JSON; the phone is masked."""
    mine = list(member.passkeys.all())
    return options_to_json(
        generate_registration_options(
            rp_id=relying_party().id,
            rp_name="kameng",
            user_id=base64url_to_bytes(_handle_of(member)),
            user_name=member.signs_in_as,
            challenge=base64url_to_bytes(challenge),
            timeout=_TIMEOUT_MS,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
            exclude_credentials=[
                PublicKeyCredentialDescriptor(base64url_to_bytes(one.credential_id))
                for one in mine
            ],
        )
    )


def request_options(challenge: str) -> str:
    """What the browser needs to offer any passkey of ours, as JSON: it names nobody."""
    return options_to_json(
        generate_authentication_options(
            rp_id=relying_party().id,
            challenge=base64url_to_bytes(challenge),
            timeout=_TIMEOUT_MS,
            user_verification=UserVerificationRequirement.REQUIRED,
        )
    )


def challenge_in(answer: str) -> str:
    """The challenge that a browser's answer claims to be for; nothing is verified."""
    try:
        response = _parsed(answer)["response"]
        client_data = json.loads(base64url_to_bytes(response["clientDataJSON"]))
        return str(client_data["challenge"])[:256]
    except (ValueError, TypeError, KeyError) as error:
        raise Refused("no client data") from error


def sign_in(request: HttpRequest, answer: str, *, now: datetime) -> Member:
    """Sign in whose passkey has answered this browser's challenge, as a proof.

    raises  Refused, also for a closed account and for staff
    """
    challenge = _spent(request, LOGIN, answer, now=now)
    member = recognise(answer, challenge=challenge, now=now)
    try:
        signin.enter(request, member)
    except signin.Refused as error:
        raise Refused("closed") from error
    signin.prove(request, now=now)
    return member


def confirm(
    request: HttpRequest, member: Member, answer: str, *, now: datetime
) -> None:
    """raises  Refused unless one of the member's own passkeys has answered."""
    answer_of(request, member, answer, aim=CONFIRM, now=now)


def answer_of(
    request: HttpRequest, member: Member, answer: str, *, aim: str, now: datetime
) -> None:
    """The same for another aim."""
    challenge = _spent(request, aim, answer, now=now)
    if not member.passkeys.filter(credential_id=str(_parsed(answer).get("id"))):
        raise Refused("passkey of another")
    recognise(answer, challenge=challenge, now=now)


def add(
    request: HttpRequest,
    member: Member,
    answer: str,
    *,
    name: str,
    now: datetime,
    aim: str = ADD,
) -> Passkey:
    """raises  Refused, TooMany"""
    challenge = _spent(request, aim, answer, now=now)
    return register(member.pk, answer, challenge=challenge, name=name, now=now)


def _spent(request: HttpRequest, aim: str, answer: str, *, now: datetime) -> str:
    challenge = challenge_in(answer)
    if not challenges.spend(request, aim, challenge, now=now):
        raise Refused("challenge")
    return challenge


def register(
    member_id: int, answer: str, *, challenge: str, name: str, now: datetime
) -> Passkey:
    """Keep a new passkey for this member.

    raises  Refused, also for a credential that is known already; TooMany
    """
    party = relying_party()
    credential = _parsed(answer)
    try:
        verified = verify_registration_response(
            credential=credential,
            expected_challenge=base64url_to_bytes(challenge),
            expected_rp_id=party.id,
            expected_origin=party.origin,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, TypeError, KeyError) as error:
        raise Refused("registration") from error
    try:
        with transaction.atomic(durable=True):
            member = lock_member(member_id)
            if member.passkeys.count() >= AT_MOST:
                raise TooMany
            added = Passkey.objects.create(
                member=member,
                credential_id=bytes_to_base64url(verified.credential_id),
                user_handle=_handle_of(member),
                public_key=verified.credential_public_key,
                sign_count=verified.sign_count,
                transports=_transports(credential),
                backup_eligible=verified.credential_device_type
                is CredentialDeviceType.MULTI_DEVICE,
                backed_up=verified.credential_backed_up,
                name=tidy_name(name),
                created_at=now,
            )
            security_notices.way_added(member, added, now=now)
    except IntegrityError as error:
        raise Refused("known credential") from error
    return added


def recognise(answer: str, *, challenge: str, now: datetime) -> Member:
    """Whose passkey has answered; the owner of the stored key, whatever else is said.

    She is held, so that of two answers with one counter only one is taken.

    raises  Refused; WentBack, which marks the owner as a risk for a day and tells her
    """
    credential = _parsed(answer)
    known = Passkey.objects.filter(credential_id=str(credential.get("id"))[:1400])
    with transaction.atomic(durable=True):
        found = known.first()
        if found is None:
            raise Refused("unknown credential")
        member = lock_member(found.member_id)
        found = known.filter(member=member).first()
        if found is None:
            raise Refused("taken away meanwhile")
        count = verify(
            credential,
            challenge=challenge,
            public_key=bytes(found.public_key),
            user_handle=found.user_handle,
        )
        went_back = (count or found.sign_count) and count <= found.sign_count
        if went_back:
            member.risk_flag_until = now + RISK
            member.save(update_fields=["risk_flag_until"])
            security_notices.passkey_copied(member, found, now=now)
        else:
            found.sign_count, found.used_at = count, now
            found.save(update_fields=["sign_count", "used_at"])
    if went_back:
        log.error("passkey #%s: its counter went back", found.pk)
        raise WentBack("counter")
    return member


def verify(
    credential: dict[str, Any], *, challenge: str, public_key: bytes, user_handle: str
) -> int:
    """The counter of an answer that holds: origin, rp, challenge, key, user verified.

    The counter itself is judged by the caller, under the key's lock.

    raises  Refused
    """
    party = relying_party()
    try:
        verified = verify_authentication_response(
            credential=credential,
            expected_challenge=base64url_to_bytes(challenge),
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=public_key,
            credential_current_sign_count=0,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, TypeError, KeyError) as error:
        raise Refused("assertion") from error
    told = credential["response"].get("userHandle")
    if told and str(told).rstrip("=") != user_handle:
        raise Refused("handle of another")
    return verified.new_sign_count


@transaction.atomic(durable=True)
def remove(member_id: int, passkey_id: int, *, now: datetime) -> bool:
    """Take a passkey away; False when the member has none of this number.

    raises  binding.LastWayIn
    """
    member = lock_member(member_id)
    mine = member.passkeys.filter(pk=passkey_id).first()
    if mine is None:
        return False
    if binding.ways_in(member) <= 1:
        raise binding.LastWayIn
    security_notices.way_removed(member, mine, now=now)
    mine.delete()
    return True


def rename(member_id: int, passkey_id: int, name: str) -> bool:
    """False when the member has none of this number; an empty name changes nothing."""
    mine = Passkey.objects.filter(pk=passkey_id, member_id=member_id)
    if not (tidied := tidy_name(name, otherwise="")):
        return mine.exists()
    return bool(mine.update(name=tidied))


def tidy_name(name: str, otherwise: str = "-") -> str:
    printable = "".join(each for each in name if each.isprintable())
    return " ".join(printable.split())[:NAME_LENGTH].strip() or otherwise


def _handle_of(member: Member) -> str:
    """The same for all of her passkeys, so that a device keeps one account of ours."""
    known = member.passkeys.first()
    if known is not None:
        return known.user_handle
    return bytes_to_base64url(bytes.fromhex(digest("passkey-handle", str(member.pk))))


def _transports(credential: dict[str, Any]) -> list[str]:
    told = credential["response"].get("transports")
    return [str(each)[:20] for each in told[:8]] if isinstance(told, list) else []


def _parsed(answer: str) -> dict[str, Any]:
    """raises  Refused"""
    if len(answer) > LONGEST:
        raise Refused("too long")
    try:
        credential = json.loads(answer)
    except (ValueError, RecursionError) as error:
        raise Refused("no JSON") from error
    if not isinstance(credential, dict) or not isinstance(
        credential.get("response"), dict
    ):
        raise Refused("no credential")
    return credential
