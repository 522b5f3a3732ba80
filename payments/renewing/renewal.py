"""Automatic renewals: what is due is told, claimed and charged, once each (R23).

The claim is an order whose unique key names member and end (K6); it and its attempt are
committed before the gateway is asked (R4), and whatever the gateway says is booked by
``apply_result``, as for every other payment.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction

from members import rules
from members.models import Member
from members.timeline import lock_member
from notifications.messages import Channel, State
from orders.closing import lock_order
from orders.models import Order
from orders.renewing import place_renewal, renewal_key
from payments import attempts, gateways
from payments.attempts import Way
from payments.gateways import mandates as gateway_mandates
from payments.gateways.contract import (
    GatewayError,
    Product,
    Refused,
    Trade,
    TradeState,
    Unclear,
)
from payments.gateways.mandates import DebitRequest, Mandate, MandateState
from payments.models import LIVE_STATES, Attempt, AttemptState, AutoRenew, Consent
from payments.renewing import mandates, renewal_telling
from payments.renewing.renewal_steps import (
    RESULT_WAIT,
    Charge,
    Do,
    Facts,
    Step,
    charge_at,
    next_step,
    will_try_again,
)
from payments.settle import Source, apply_result

log = logging.getLogger(__name__)

DEBIT = Source("debit")


@dataclass(frozen=True, slots=True)
class Locked:
    """A renewal under the locks of its order, if it has one, and of its member."""

    renewal: AutoRenew
    member: Member
    order: Order | None
    facts: Facts

    def step(self, now: datetime) -> Step:
        return next_step(self.facts, rules.current(), now=now)


def run_due(*, now: datetime, limit: int = 50) -> int:
    """Take the next step of every renewal whose time has come; returns how many.

    Each row is claimed by moving its due time on, so several workers share the work;
    what a dead one leaves behind is due again five minutes later.
    """
    due = AutoRenew.objects.filter(enabled=True, due_at__lte=now)
    taken = 0
    for renewal in due.order_by("due_at")[:limit]:
        claimed = AutoRenew.objects.filter(
            pk=renewal.pk, enabled=True, due_at=renewal.due_at
        ).update(due_at=now + RESULT_WAIT)
        if claimed:
            advance(renewal.pk, now=now)
            taken += 1
    return taken


def advance(renewal_id: int, *, now: datetime) -> Do | None:
    """Do what one renewal needs now; None when it is off or somebody else is at it."""
    step = _write_step(renewal_id, now=now)
    if step is None or step.do not in (Do.CHARGE, Do.RESEND):
        return step.do if step else None
    consent = Consent.objects.get(pk=AutoRenew.objects.get(pk=renewal_id).consent_id)
    mandate = mandates.ask(consent, now=now)
    if mandate is None or mandate.state != MandateState.LIVE:
        return Do.WAIT  # stopped in the wallet, or nobody can say: no charge now
    attempt = _claim(renewal_id, step.do, now=now)
    if attempt is None:
        return None
    if _postponed(consent, mandate, attempt.order, now=now):
        debit(attempt, consent, now=now)
    return step.do


@transaction.atomic(durable=True)
def _write_step(renewal_id: int, *, now: datetime) -> Step | None:
    """Decide under the locks, and write what needs no gateway."""
    locked = _lock(renewal_id, now=now)
    if locked is None:
        return None
    step = locked.step(now)
    if step.do == Do.END:
        assert step.why is not None
        mandates.end_locked(locked.renewal, step.why, now=now)
        return step
    if step.do == Do.TELL:
        assert locked.member.paid_until is not None
        renewal_telling.announce(
            locked.renewal,
            locked.member,
            amount_fen=locked.facts.amount_fen,
            charge_at=charge_at(locked.member.paid_until, rules.current()),
            now=now,
        )
    if will_try_again(locked.facts, rules.current(), now=now):
        assert locked.order is not None
        renewal_telling.failed_once(locked.renewal.consent, locked.order, now=now)
    locked.renewal.due_at = step.at if step.do != Do.TELL else now + RESULT_WAIT
    locked.renewal.save(update_fields=["due_at"])
    return step


def _claim(renewal_id: int, do: Do, *, now: datetime) -> Attempt | None:
    """The attempt to be charged, committed; None when the step is no longer this one.

    Everything is read again under the locks: the member may have opted out, bought, or
    been charged by another worker since the step was decided.
    """
    try:
        with transaction.atomic(durable=True):
            locked = _lock(renewal_id, now=now)
            if locked is None or locked.step(now).do != do:
                return None
            if do == Do.RESEND:
                assert locked.order is not None
                return locked.order.attempts.get(
                    product=Product.MANDATE, state__in=LIVE_STATES
                )
            consent, order = locked.renewal.consent, locked.order
            if order is None:
                assert locked.member.paid_until is not None
                order = place_renewal(
                    locked.member,
                    consent.plan,
                    locked.facts.amount_fen,
                    paid_until=locked.member.paid_until,
                    now=now,
                )
            way = Way(consent.gateway, consent.gateway, Product.MANDATE)
            return attempts.create_locked(order, way, now=now)
    except IntegrityError:  # K6 or K10: somebody else was faster
        log.warning("renewal %s is claimed already", renewal_id)
        return None


def _lock(renewal_id: int, *, now: datetime) -> Locked | None:
    """Lock order, then member, and read everything; None when it is off.

    None also when the end moved between the two locks: the next look sees it whole.
    """
    found = AutoRenew.objects.select_related("member").get(pk=renewal_id)
    order = _order_for(found.member)
    if order is not None:
        order = lock_order(order.pk)
    member = lock_member(found.member_id)
    renewal = (
        AutoRenew.objects.filter(pk=renewal_id, enabled=True)
        .select_related("consent__plan__tier")
        .first()
    )
    same = _order_for(member)
    if renewal is None or (same and same.pk) != (order and order.pk):
        return None
    renewal.consent.member = member
    facts = _facts(renewal.consent, member, order, now=now)
    return Locked(renewal, member, order, facts)


def outlook(renewal: AutoRenew, *, now: datetime) -> Facts:
    """The same facts for a page, read without locks; decides nothing.

    renewal  with ``member`` and ``consent__plan__tier`` selected
    """
    order = _order_for(renewal.member)
    return _facts(renewal.consent, renewal.member, order, now=now)


def _order_for(member: Member) -> Order | None:
    """The order with a charge under way, whatever its end; else that of this end."""
    renewals = Order.objects.filter(member=member, renewal_key__isnull=False)
    under_way = renewals.filter(
        attempts__state__in=LIVE_STATES, attempts__product=Product.MANDATE
    ).first()
    if under_way is not None or member.paid_until is None:
        return under_way
    key = renewal_key(member.pk, member.paid_until)
    return renewals.filter(renewal_key=key).first()


def _facts(
    consent: Consent, member: Member, order: Order | None, *, now: datetime
) -> Facts:
    end, plan = member.paid_until, consent.plan
    told = list(renewal_telling.notices(member)) if end else []
    channel = Channel.SMS if member.phone else Channel.SITE
    heard = [
        notice.sent_at
        for notice in told
        if notice.channel == channel and notice.state == State.SENT and notice.sent_at
    ]
    paused = member.pauses.filter(ends_at__isnull=True)
    return Facts(
        paid_until=end,
        paused=end is None and paused.exists(),
        on_sale=plan.enabled and plan.tier.enabled and plan.days == consent.days,
        price_fen=plan.price_at(now),
        consent_fen=consent.price_fen,
        told_fen=int(told[0].params["price"]) if told else None,
        heard_at=min(heard, default=None),
        order=str(order.status) if order else "",
        order_fits=order is None
        or (order.plan_id == plan.pk and order.amount_fen <= consent.price_fen),
        charge=_charge(order, consent) if order else None,
    )


def _charge(order: Order, consent: Consent) -> Charge | None:
    """The charge under way, else the last one by mandate.

    An attempt of the member's own at the same gateway counts as well: one at a time
    (K10). At another gateway it does not; if both are paid, one goes back (R6).
    """
    made = [
        attempt
        for attempt in order.attempts.order_by("-pk")
        if attempt.gateway == consent.gateway
    ]
    live = [attempt for attempt in made if attempt.is_live]
    by_mandate = [each for each in live or made if each.product == Product.MANDATE]
    chosen = next(iter(by_mandate or live), None)
    if chosen is None:
        return None
    end = order.member.paid_until
    mine = end is not None and order.renewal_key == renewal_key(order.member_id, end)
    return Charge(
        made_at=chosen.created_at,
        live=chosen.is_live,
        by_mandate=mine and chosen.product == Product.MANDATE,
        unanswered=chosen.state == AttemptState.CREATED,
    )


def _postponed(
    consent: Consent, mandate: Mandate, order: Order, *, now: datetime
) -> bool:
    """Let the gateway expect this charge; False when it is unclear whether it does.

    It counts on from the first day; whatever moved the end has moved ours (E16). A
    refusal is no reason to stop: the charge itself will tell.
    """
    offer = gateway_mandates.of(consent.gateway)
    day = order.expires_at.astimezone(mandates.SHANGHAI).date()
    if offer is None:
        return False
    if mandate.next_on is None or mandate.next_on >= day:
        return True
    try:
        offer.postpone(mandate.contract_no, day, now=now)
    except Refused as refusal:
        log.warning("gateway=%s postpone: %s", consent.gateway, refusal.code)
    except Unclear as doubt:
        log.warning("gateway=%s postpone: %s", consent.gateway, doubt.code)
        return False
    return True


def debit(attempt: Attempt, consent: Consent, *, now: datetime) -> None:
    """Charge an attempt that is committed, and book what the gateway says.

    No clear answer leaves it to the polls; the same number may be sent again.
    """
    offer = gateway_mandates.of(attempt.gateway)
    if offer is None or consent.contract_no is None:
        return
    order = attempt.order
    request = DebitRequest(
        number=attempt.out_trade_no,
        contract_no=consent.contract_no,
        amount_fen=attempt.amount_fen,
        subject=f"{rules.current().shop_name} {order.title}",
        expires_at=order.expires_at,
        notify_url=mandates.notify_url(attempt.gateway),
    )
    try:
        trade = offer.debit(request, now=now)
    except Refused as refusal:
        _refused(attempt, refusal, now=now)
    except Unclear as doubt:
        attempts.moved(attempt, AttemptState.UNKNOWN, now=now, error=doubt)
    else:
        apply_result(attempt.gateway, trade, source=DEBIT, now=now)


def _refused(attempt: Attempt, refusal: Refused, *, now: datetime) -> None:
    """Close a refused charge at the gateway before another number may be used.

    Nobody has established that a refusal leaves nothing behind that could still be
    paid; what the gateway then says is booked.
    """
    gateway = gateways.get(attempt.gateway)
    log.warning("gateway=%s debit refused: %s", attempt.gateway, refusal.code)
    if gateway is None:
        return
    try:
        trade = gateway.close(attempt.out_trade_no, now=now)
        if trade.state in (TradeState.PAID, TradeState.UNKNOWN):
            trade = gateway.query(attempt.out_trade_no, now=now)
    except GatewayError as doubt:
        attempts.moved(
            attempt, AttemptState.UNKNOWN, now=now, error=Unclear(doubt.code)
        )
        return
    if trade.state in (TradeState.CLOSED, TradeState.MISSING):
        trade = Trade(
            attempt.out_trade_no,
            TradeState.CLOSED,
            refused=refusal.words or refusal.code,
            raw_state=refusal.code,
        )
    apply_result(attempt.gateway, trade, source=DEBIT, now=now)
