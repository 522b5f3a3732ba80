"""Where a member's automatic renewal stands, for the pages that say so.

Everything here is read; nothing is decided. When money will be taken is asked of the
same rules that take it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.db.models import QuerySet

from members import rules
from members.models import Member, Plan
from members.tiers import catalogue
from orders.models import Order
from payments.gateways import mandates as gateway_mandates
from payments.gateways.contract import Product
from payments.models import LIVE_STATES, Attempt, AttemptState, AutoRenew, Consent
from payments.renewing import mandates, renewal
from payments.renewing.renewal_models import ConsentState, EndedBy
from payments.renewing.renewal_steps import notice_at, planned_charge

SHOWN_DEBITS = 20
SILENT = (EndedBy.UNSIGNED, EndedBy.REPLACED, EndedBy.MERGED)
"""Ends that say nothing of a renewal that was on in this account."""


class State(StrEnum):
    OFF = "off"
    WAITING = "waiting"  # for her signature at the gateway
    ON = "on"
    CHARGING = "charging"  # asked for, no result yet
    RETRYING = "retrying"  # a charge failed, another try comes
    PAUSED = "paused"  # the membership stands still
    ENDED = "ended"  # see ``Position.why``


@dataclass(frozen=True, slots=True)
class Position:
    """``consent`` is the one in force, waiting, or ended last; None when there is none.

    amount_fen  of the next charge
    charge_at   when it comes; None: not before this end
    told_at     when the notice went out, or will go out
    ends_at     of the membership, None when nothing runs
    why         how it ended
    """

    state: State
    consent: Consent | None = None
    amount_fen: int = 0
    charge_at: datetime | None = None
    told_at: datetime | None = None
    ends_at: datetime | None = None
    why: str = ""

    @property
    def is_on(self) -> bool:
        return self.state not in (State.OFF, State.WAITING, State.ENDED)


def position(member: Member, *, now: datetime) -> Position:
    end = member.paid_until
    ends_at = end if end is not None and end > now else None
    found = mandates.holder_of(member)
    if found is not None:
        return _of_one_that_is_on(found, member, ends_at, now=now)
    waiting = to_be_signed(member, now=now)
    if waiting is not None:
        return Position(State.WAITING, waiting, waiting.price_fen, ends_at=ends_at)
    last = _consents(member).filter(state=ConsentState.ENDED).exclude(signed_at=None)
    ended = last.exclude(ended_by__in=SILENT).order_by("-ended_at", "-pk").first()
    if ended is None:
        return Position(State.OFF, ends_at=ends_at)
    return Position(State.ENDED, ended, ends_at=ends_at, why=str(ended.ended_by))


def _of_one_that_is_on(
    found: AutoRenew, member: Member, ends_at: datetime | None, *, now: datetime
) -> Position:
    found.member = found.consent.member = member
    facts, shop_rules = renewal.outlook(found, now=now), rules.current()
    state, charge = State.ON, facts.charge
    if charge is not None and charge.live:
        state = State.CHARGING
    elif facts.paused:
        state = State.PAUSED
    charge_at = planned_charge(facts, shop_rules, now=now)
    if charge is not None and charge_at is not None:
        state = State.RETRYING
    told_at = None
    if charge_at is not None and charge is None and ends_at is not None:
        told_at = facts.heard_at or max(now, notice_at(ends_at, shop_rules))
    return Position(
        state,
        found.consent,
        facts.amount_fen,
        charge_at=charge_at,
        told_at=told_at,
        ends_at=ends_at,
    )


def to_be_signed(member: Member, *, now: datetime) -> Consent | None:
    """The newest consent that lacks nothing but her signature."""
    waiting = _consents(member).filter(state=ConsentState.WAITING).order_by("-pk")
    return next(
        (each for each in waiting if mandates.is_to_be_signed(each, now=now)), None
    )


def order_waits(order: Order, *, now: datetime) -> bool:
    """Whether the box was ticked with this order and is not signed yet."""
    consent = order.consents.select_related("order").order_by("-pk").first()
    return consent is not None and mandates.is_to_be_signed(consent, now=now)


def _consents(member: Member) -> QuerySet[Consent]:
    return Consent.objects.filter(member=member).select_related("plan__tier", "order")


def offers(*, now: datetime) -> list[tuple[Plan, str, int]]:
    """What may renew itself today: plan, gateway and the price of one charge."""
    found = []
    for gateway in gateway_mandates.offering():
        for plan in catalogue.current().on_sale():
            try:
                price_fen = mandates.price_of(plan, gateway, now=now)
            except mandates.NotOffered:
                continue
            found.append((plan, gateway, price_fen))
    return found


@dataclass(frozen=True, slots=True)
class Debit:
    """One charge by mandate, and what became of it.

    outcome       paid | failed | waiting | closed
    may_go_back   she opted out while it was under way (E10)
    """

    attempt: Attempt
    outcome: str
    may_go_back: bool

    @property
    def order(self) -> Order:
        return self.attempt.order


def debits(member: Member, *, now: datetime) -> list[Debit]:
    """The charges of a member, newest first."""
    made = Attempt.objects.filter(order__member=member, product=Product.MANDATE)
    shown = made.select_related("order__entitlement").order_by("-pk")[:SHOWN_DEBITS]
    return [
        Debit(each, _outcome(each), mandates.may_take_back(each.order, now=now))
        for each in shown
    ]


def _outcome(attempt: Attempt) -> str:
    if attempt.state in LIVE_STATES:
        return "waiting"
    known = {AttemptState.PAID: "paid", AttemptState.FAILED: "failed"}
    return known.get(AttemptState(attempt.state), "closed")


def consents(member: Member, *, limit: int) -> Iterable[Consent]:
    """Every consent she ever gave, newest first, for support."""
    return _consents(member).order_by("-pk")[:limit]
