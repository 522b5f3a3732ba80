"""Gift codes (兑换码): days of a tier for whoever types the code first, once.

A code has 80 random bits and is kept as a keyed digest; it can be read in the file that
its making hands out and nowhere else. What it gives is an entitlement of a source of its
own: no money stands behind it, so nothing of it is ever paid out.

Locks: the counters of wrong codes → member → gift code.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.views.decorators.debug import sensitive_variables

from members import limits, links, rules, timeline
from members.addresses import Client
from members.digests import digest, digests
from members.limits import Limit
from members.models import (
    Entitlement,
    GiftBatch,
    GiftCode,
    GiftState,
    Member,
    Tier,
    Window,
)
from members.tiers import catalogue
from notifications import messages
from notifications.messages import Channel, Message

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""32 signs: without I, L, O, which are read as 1 and 0, and without U."""
LENGTH = 16
GROUP = 4
LONGEST = 64
"""Of what somebody types; longer is cut before it is read."""
CODE = re.compile(f"[{ALPHABET}]{{{LENGTH}}}", re.ASCII)
MISTAKEN = str.maketrans("ILO", "110")
AT_A_TIME = 1_000
DIGEST = "gift-code"
"""What the keyed digest is for."""
HOUR, DAY = 3_600, 86_400


class CodeGone(Exception):
    """Unknown, used, revoked or too late: one answer, so that nobody learns which."""


class TooManyTries(Exception):
    """Too many wrong codes; ``retry_after`` in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Made:
    """A new batch with its codes in plain text: the only moment that they are."""

    batch: GiftBatch
    codes: list[str]


def plain(typed: str) -> str:
    """A code as it was made, however it was typed: case, spaces, dashes, O for 0."""
    signs = unicodedata.normalize("NFKC", typed[:LONGEST]).upper()
    return re.sub(r"[\s\-–—_]", "", signs).translate(MISTAKEN)


def grouped(code: str) -> str:
    return "-".join(code[n : n + GROUP] for n in range(0, len(code), GROUP))


@sensitive_variables("code")
def known_as(code: str) -> list[str]:
    """The digests under which a code may be kept: one for each data key."""
    return digests(DIGEST, code)


@transaction.atomic(durable=True)
def make(
    *,
    name: str,
    tier: Tier,
    days: int,
    count: int,
    valid_until: datetime,
    actor: Member,
    now: datetime,
) -> Made:
    """Make a batch; the plain codes are returned and then gone."""
    batch = GiftBatch.objects.create(
        name=name,
        tier=tier,
        days=days,
        count=count,
        valid_until=valid_until,
        actor=actor,
        created_at=now,
    )
    codes: set[str] = set()
    while len(codes) < count:
        codes.add("".join(secrets.choice(ALPHABET) for _ in range(LENGTH)))
    GiftCode.objects.bulk_create(
        (
            GiftCode(batch=batch, digest=digest(DIGEST, code), tail=code[-GROUP:])
            for code in codes
        ),
        batch_size=AT_A_TIME,
    )
    return Made(batch, [grouped(code) for code in sorted(codes)])


def revoke_unused(batch_id: int) -> int:
    """Make every unused code of a batch worthless; returns how many there were."""
    unused = GiftCode.objects.filter(batch=batch_id, state=GiftState.UNUSED)
    return unused.update(state=GiftState.REVOKED)


@sensitive_variables("typed")
def revoke(batch_id: int, typed: str) -> bool:
    """Make one unused code of a batch worthless; False when there is none such."""
    unused = GiftCode.objects.filter(
        batch=batch_id, digest__in=known_as(plain(typed)), state=GiftState.UNUSED
    )
    return unused.update(state=GiftState.REVOKED) == 1


@sensitive_variables("typed")
def redeem(member_id: int, typed: str, *, client: Client, now: datetime) -> Entitlement:
    """Give her the days of a code, and tell her; a repeat of hers gives the same.

    raises  CodeGone, counted against guessing; TooManyTries; timeline.TimelineFull and
            timeline.Merged, which leave the code as it was
    """
    given = _redeem(member_id, typed, client=client, now=now)
    if given is None:
        raise CodeGone
    return given


@sensitive_variables("typed", "code")
@transaction.atomic(durable=True)
def _redeem(
    member_id: int, typed: str, *, client: Client, now: datetime
) -> Entitlement | None:
    """None for a code that gives nothing, whose counting is committed."""
    tried = _limits(member_id, client)
    logs = limits.hold([each.key for each in tried], now=now)
    refusal = limits.refused(tried, logs, now=now)
    if refusal is not None:
        raise TooManyTries(refusal.retry_after)
    member = timeline.lock_member(member_id)
    code = _locked(plain(typed))
    if code is not None and code.state == GiftState.REDEEMED:
        given = Entitlement.objects.filter(gift_code=code, member=member).first()
        if given is not None:
            return given
    if code is None or not (_is_good(code, now=now) and take(code, now=now)):
        limits.count(tried, logs, now=now)
        return None
    given = timeline.grant_gift(member, code, now=now)
    _tell(member, given, now=now)
    return given


def _limits(member_id: int, client: Client) -> list[Limit]:
    shop = rules.current()
    member = (
        Window(HOUR, shop.wrong_gifts_per_member_hour),
        Window(DAY, shop.wrong_gifts_per_member_day),
    )
    address = (
        Window(HOUR, shop.wrong_gifts_per_address_hour),
        Window(DAY, shop.wrong_gifts_per_address_day),
    )
    network = (Window(HOUR, shop.wrong_gifts_per_network_hour),)
    all_of_it = (Window(HOUR, shop.wrong_gifts_per_hour),)
    return [
        Limit("member", limits.key("gift-member", str(member_id)), member),
        Limit("address", limits.key("gift-address", client.address), address),
        Limit("network", limits.key("gift-network", client.network), network),
        Limit("shop", limits.key("gift-shop"), all_of_it, alarm=True),
    ]


@sensitive_variables("code")
def _locked(code: str) -> GiftCode | None:
    if not CODE.fullmatch(code):
        return None
    rows = GiftCode.objects.select_for_update(no_key=True, of=("self",))
    return rows.select_related("batch__tier").filter(digest__in=known_as(code)).first()


def _is_good(code: GiftCode, *, now: datetime) -> bool:
    return code.state == GiftState.UNUSED and now < code.batch.valid_until


def take(code: GiftCode, *, now: datetime) -> bool:
    """Mark an unused code as redeemed; the condition decides, whatever was read."""
    taken = GiftCode.objects.filter(pk=code.pk, state=GiftState.UNUSED).update(
        state=GiftState.REDEEMED, redeemed_at=now
    )
    return taken == 1


def _tell(member: Member, given: Entitlement, *, now: datetime) -> None:
    """Popup and SMS as after a payment (S15, S16); one of each a code (K22)."""
    params: dict[str, str | int | datetime] = {
        "plan": given.tier.name,
        "benefits": "、".join(catalogue.current().labels(given.tier)),
        "link": links.token(links.RENEW, member.pk),
    }
    if member.paid_until is not None:
        params["end"] = member.paid_until
    messages.queue(
        *(
            Message(
                key=f"activated:gift:{given.gift_code_id}:{channel.value}",
                member_id=member.pk,
                kind="activated",
                channel=channel,
                params=params,
                due_at=now,
            )
            for channel in (Channel.SITE, Channel.SMS)
        ),
        now=now,
    )
