"""Verifying a name: consent on record, one question outside of any transaction, a result.

Name and number live in the arguments of these functions and nowhere else.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from members import limits, rules
from members.addresses import Client
from members.digests import digests
from members.limits import Limit
from members.models import (
    CheckOutcome,
    Member,
    RealName,
    RealNameCheck,
    Verifier,
    Window,
)
from members.real_name import holding
from members.real_name.contract import Answer, RealNameProvider, Result
from members.real_name.id_numbers import ADULT_AGE, CHILD_AGE, IdNumber
from members.timeline import lock_member

logger = logging.getLogger(__name__)

CONSENT_VERSION = "1.0"
"""Of the words beside the tick on the page; rises with every change of them."""
TRIES_A_MEMBER = Window(86_400, 5)
TRIES_AN_ADDRESS = Window(86_400, 20)

_OUTCOMES = {
    Result.MATCH: CheckOutcome.MATCH,
    Result.MISMATCH: CheckOutcome.MISMATCH,
    Result.NOT_FOUND: CheckOutcome.NOT_FOUND,
    Result.BUSY: CheckOutcome.UNAVAILABLE,
    Result.ALARM: CheckOutcome.UNAVAILABLE,
}


class NotAsked(Exception):
    """The verifier was not asked; the subclass says why."""


class Child(NotAsked):
    """Under 14: a guardian has to decide first, so nothing leaves the shop."""


class TooMany(NotAsked):
    """Enough tries for a day, of this account or from this address."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(retry_after)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be verified, by whom and for whom; never stored, shown or logged."""

    name: str
    number: IdNumber

    def __repr__(self) -> str:
        return "Question()"


def verify(
    member_id: int,
    question: Question,
    *,
    provider: RealNameProvider,
    verifier: Verifier,
    client: Client,
    now: datetime,
) -> CheckOutcome:
    """Ask the verifier once and keep the result; she has just given her consent.

    Three steps: the consent and the try are committed, then the question goes out with
    no lock held, then the answer is kept. A crash between them leaves a check that was
    asked and nothing else; she simply asks again. An account that is verified already
    stays as it is. Where no answer came the try is given back.

    raises  Child, TooMany
    """
    if question.number.is_under(CHILD_AGE, today=holding.today(now)):
        raise Child
    check_id = _begin(member_id, verifier, _tries(member_id, client), now=now)
    answer = provider.check(question.name, question.number.digits, now=now)
    level = logging.ERROR if answer.result is Result.ALARM else logging.INFO
    code = "".join(filter(str.isprintable, answer.code))
    logger.log(level, "real name by %s: %s %s", verifier, answer.result, code)
    return _finish(
        check_id, answer, question.number, _tries(member_id, client), now=now
    )


def _tries(member_id: int, client: Client) -> list[Limit]:
    return [
        Limit("member", limits.key("real-name", str(member_id)), (TRIES_A_MEMBER,)),
        Limit(
            "address",
            limits.key("real-name-address", client.address),
            (TRIES_AN_ADDRESS,),
        ),
    ]


@transaction.atomic(durable=True)
def _begin(
    member_id: int, verifier: Verifier, tries: list[Limit], *, now: datetime
) -> int:
    member = lock_member(member_id)
    if (refusal := limits.take_all(tries, now=now)) is not None:
        raise TooMany(refusal.retry_after)
    check = RealNameCheck.objects.create(
        member=member,
        consent_version=CONSENT_VERSION,
        asked_at=now,
        provider=verifier,
    )
    return check.pk


@transaction.atomic(durable=True)
def _finish(
    check_id: int,
    answer: Answer,
    number: IdNumber,
    tries: list[Limit],
    *,
    now: datetime,
) -> CheckOutcome:
    """Keep what the verifier said, under the member's lock and the number's."""
    check = RealNameCheck.objects.get(pk=check_id)
    member = lock_member(check.member_id)
    outcome = _OUTCOMES[answer.result]
    if outcome is CheckOutcome.UNAVAILABLE:
        limits.give_back(tries, now=now)
    elif outcome is CheckOutcome.MATCH and member.is_active:
        outcome = _keep(member, check, number, now=now)
    check.outcome = outcome
    check.save(update_fields=["outcome"])
    return outcome


def _keep(
    member: Member, check: RealNameCheck, number: IdNumber, *, now: datetime
) -> CheckOutcome:
    """One more account of this number, if the operator's rule has room for it.

    The number's row in the table of limits is the lock of its slots; the unique slot is
    the rule's last word.
    """
    if holding.of(member) is not None:
        return CheckOutcome.MATCH
    marks = digests("id-number", number.digits)
    limits.hold([limits.key("real-name-number", marks[0])], now=now)
    taken = set(
        RealName.objects.filter(digest__in=marks).values_list("slot", flat=True)
    )
    most = rules.current().real_name_accounts
    free = next((slot for slot in range(1, most + 1) if slot not in taken), None)
    if len(taken) >= most or free is None:
        return CheckOutcome.TAKEN
    today = holding.today(now)
    is_minor = number.is_under(ADULT_AGE, today=today)
    RealName.objects.create(
        member=member,
        verified_at=now,
        provider=check.provider,
        adult_on=number.comes_of(ADULT_AGE) if is_minor else None,
        digest=marks[0],
        slot=free,
    )
    return CheckOutcome.MATCH
