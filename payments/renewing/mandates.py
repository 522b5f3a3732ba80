"""Consents to be charged again: given, signed at the gateway, ended.

``AutoRenew`` and ``Consent`` rows are written under the member's lock. HTTP happens
outside: the hand-over is signed before, a contract is stopped by the outbox after.
"""

from __future__ import annotations

import logging
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from members.models import Member, Plan
from members.timeline import lock_member
from notifications import outbox
from orders.closing import close_locked, lock_order
from orders.models import Order, OrderEvent, Status
from orders.numbers import random_number
from payments.gateways import mandates as gateway_mandates
from payments.gateways.contract import GatewayError, Handover
from payments.gateways.mandates import Mandate, MandateState, SignRequest
from payments.models import (
    LIVE_STATES,
    AutoRenew,
    Consent,
    EventOutcome,
    GatewayEvent,
)
from payments.renewing import renewal_telling
from payments.renewing.renewal_models import ConsentState, EndedBy

log = logging.getLogger(__name__)

SHANGHAI = ZoneInfo("Asia/Shanghai")
FIRST_QUERY = timedelta(seconds=30)
SIGNING = timedelta(hours=24)
"""So long a signature is waited for; a later one is stopped again."""
TAKE_BACK = timedelta(hours=24)
PATIENCE = timedelta(seconds=3)
"""A page asks about one consent no more often."""
TERMS = "1.0"
"""The version of /legal/renewal/ that a consent is given to."""
STOPPED_TOO_LATE = "renewal-stopped"
"""In an order's story: she opted out between the claim and the result."""


class NotOffered(Exception):
    """The plan cannot renew itself; the text says why, for logs."""


class OtherPrice(NotOffered):
    """The page showed another price than today's."""


def price_of(plan: Plan, gateway: str, *, now: datetime) -> int:
    """What one charge would take at today's price, as the box beside it says.

    raises  NotOffered
    """
    offer = gateway_mandates.of(gateway)
    if offer is None:
        raise NotOffered("the gateway has no mandates")
    if plan.days < offer.shortest_days:
        raise NotOffered("the plan is too short")  # its notice would precede it (E8)
    if not (plan.enabled and plan.tier.enabled):
        raise NotOffered("the plan is not sold")
    price_fen = plan.price_at(now)
    if price_fen > offer.most_fen:
        raise NotOffered("more than one charge may take")
    return price_fen


def agree_locked(
    order: Order, gateway: str, *, shown: str = "", now: datetime
) -> Consent:
    """Write down the box that she ticked, with the order that is being placed.

    The caller has locked the member and compared the order's sum with what she was
    shown. It is signed once the order is paid; until then no gateway knows of it.

    shown   the fen beside the box, as the page sent them back; a coupon can leave the
            order's sum as it was while the price of the renewal has changed
    raises  OtherPrice, NotOffered
    """
    assert order.plan is not None
    price_fen = price_of(order.plan, gateway, now=now)
    if shown not in ("", str(price_fen)):
        raise OtherPrice("another price was shown")
    return Consent.objects.create(
        member=order.member,
        plan=order.plan,
        price_fen=price_fen,
        days=order.plan.days,
        terms=TERMS,
        order=order,
        gateway=gateway,
        number=random_number(),
        agreed_at=now,
        next_query_at=now + SIGNING,
    )


def begin(
    member_id: int, *, plan: Plan, gateway: str, shown_fen: int, now: datetime
) -> Consent:
    """Write down a consent that is to be signed now; nothing is charged by it yet.

    A consent in force stays so until the new one is signed.

    plan       read again: pages may show it some seconds late
    shown_fen  the price that the page showed beside the box
    raises     OtherPrice, NotOffered
    """
    plan = Plan.objects.select_related("tier").get(pk=plan.pk)
    price_fen = price_of(plan, gateway, now=now)
    if shown_fen != price_fen:
        raise OtherPrice("another price was shown")
    with transaction.atomic(durable=True):
        member = lock_member(member_id)
        return Consent.objects.create(
            member=member,
            plan=plan,
            price_fen=price_fen,
            days=plan.days,
            terms=TERMS,
            gateway=gateway,
            number=random_number(),
            agreed_at=now,
            first_on=_first_day(member, now=now),
            next_query_at=now + FIRST_QUERY,
        )


@transaction.atomic(durable=True)
def open_signing(consent_id: int, *, now: datetime) -> None:
    """She asks for the page to sign on: fix the first day, and listen for the answer.

    The day stays with the number: a gateway takes one number with one content.

    raises  NotOffered when the consent is over, or no membership runs
    """
    member_id = Consent.objects.values_list("member_id", flat=True).get(pk=consent_id)
    member = lock_member(member_id)
    consent = Consent.objects.select_related("order").get(pk=consent_id)
    if not is_to_be_signed(consent, now=now):
        raise NotOffered("nothing waits for a signature")
    consent.first_on = consent.first_on or _first_day(member, now=now)
    consent.next_query_at = now + FIRST_QUERY
    consent.save(update_fields=["first_on", "next_query_at"])


def _first_day(member: Member, *, now: datetime) -> date:
    if member.paid_until is None or member.paid_until <= now:
        raise NotOffered("no membership is running")
    return member.paid_until.astimezone(SHANGHAI).date()


def is_to_be_signed(consent: Consent, *, now: datetime) -> bool:
    """Whether her signature is what is missing; a purchase has to be paid first."""
    if consent.state != ConsentState.WAITING or now >= consent.agreed_at + SIGNING:
        return False
    if consent.order is not None and consent.order.status != Status.PAID:
        return False
    today = now.astimezone(SHANGHAI).date()
    return consent.first_on is None or consent.first_on >= today


def handover(consent: Consent, *, now: datetime) -> Handover:
    """The gateway's own page to sign on, of a consent that ``open_signing`` has opened.

    raises  NotOffered while the gateway is off
    """
    offer = gateway_mandates.of(consent.gateway)
    if offer is None:
        raise NotOffered("the gateway has no mandates")
    assert consent.first_on is not None
    return offer.sign(
        SignRequest(
            number=consent.number,
            amount_fen=consent.price_fen,
            days=consent.days,
            first_on=consent.first_on,
            notify_url=notify_url(consent.gateway),
            return_url=f"{settings.PUBLIC_URL}{reverse('account-renewal')}?returned=1",
        ),
        now=now,
    )


def notify_url(gateway: str) -> str:
    return settings.PUBLIC_URL + reverse("notify", args=[gateway])


def take_notice(gateway: str, mandate: Mandate, *, digest: str, now: datetime) -> bool:
    """Book a verified notice about a mandate; False when it names none of ours."""
    consent = Consent.objects.filter(gateway=gateway, number=mandate.number).first()
    GatewayEvent.objects.bulk_create(
        [
            GatewayEvent(
                gateway=gateway,
                digest=digest,
                kind="mandate",
                number=mandate.number[:64],
                content={"state": mandate.raw_state[:40]},
                outcome=EventOutcome.NOTED,
                created_at=now,
            )
        ],
        ignore_conflicts=True,
    )
    if consent is None:
        log.error("gateway=%s mandate notice for no consent of ours", gateway)
        return False
    apply_mandate(consent, mandate, now=now)
    return True


def apply_mandate(consent: Consent, mandate: Mandate, *, now: datetime) -> None:
    """Book what the gateway says about a consent; safe to repeat and in any order.

    A signature for a consent that is over already is stopped at the gateway again. The
    absence of a mandate that was signed means that it was stopped there.
    """
    if consent.contract_no and mandate.contract_no not in ("", consent.contract_no):
        log.error("gateway=%s another contract for one consent", consent.gateway)
        return
    if mandate.state == MandateState.LIVE and mandate.contract_no:
        _signed(consent.pk, mandate.contract_no, now=now)
    elif mandate.state == MandateState.STOPPED or (
        mandate.state == MandateState.MISSING and consent.contract_no
    ):
        stop(consent.pk, by=EndedBy.WALLET, now=now)
    elif mandate.state == MandateState.UNKNOWN:
        log.error(
            "gateway=%s unknown mandate state %r", consent.gateway, mandate.raw_state
        )


@transaction.atomic(durable=True)
def _signed(consent_id: int, contract_no: str, *, now: datetime) -> None:
    member_id = Consent.objects.values_list("member_id", flat=True).get(pk=consent_id)
    lock_member(member_id)
    consent = Consent.objects.get(pk=consent_id)
    if consent.state == ConsentState.SIGNED:
        return
    others = Consent.objects.filter(gateway=consent.gateway, contract_no=contract_no)
    if others.exclude(pk=consent.pk).exists():
        log.error("gateway=%s one contract for two consents", consent.gateway)
        return
    consent.contract_no = contract_no
    if consent.state == ConsentState.ENDED:
        consent.save(update_fields=["contract_no"])
        if consent.ended_by != EndedBy.WALLET:
            _stop_at_gateway(consent, now=now)
        return
    renewal = AutoRenew.objects.filter(member_id=member_id).first()
    if renewal is not None and renewal.enabled:
        end_locked(renewal, EndedBy.REPLACED, now=now)
    consent.state, consent.signed_at = ConsentState.SIGNED, now
    consent.next_query_at = None
    consent.save(update_fields=["contract_no", "state", "signed_at", "next_query_at"])
    AutoRenew.objects.update_or_create(
        member_id=member_id,
        defaults={
            "consent": consent,
            "enabled": True,
            "changed_at": now,
            "due_at": now,
        },
    )


def stop(consent_id: int, *, by: EndedBy = EndedBy.MEMBER, now: datetime) -> bool:
    """End a consent at the member's wish; False when it is over already.

    Nothing is charged any more from here on. A charge that is under way stands, and
    she may take it back (E10); a failed one is not tried again.
    """
    while (ended := _stop(consent_id, by, now=now)) is None:
        pass  # a charge was claimed just now: its order is to be locked first
    return ended


@transaction.atomic(durable=True)
def _stop(consent_id: int, by: EndedBy, *, now: datetime) -> bool | None:
    """None, with nothing written, when an order came up between the two locks."""
    member_id = Consent.objects.values_list("member_id", flat=True).get(pk=consent_id)
    waiting = Order.objects.filter(
        member_id=member_id, renewal_key__isnull=False, status=Status.PENDING
    ).values_list("pk", flat=True)
    locked = {pk: lock_order(pk) for pk in waiting.order_by("pk")}
    lock_member(member_id)
    if not set(waiting.all()) <= set(locked):
        return None
    consent = Consent.objects.get(pk=consent_id)
    if consent.state == ConsentState.ENDED:
        return False
    renewal = AutoRenew.objects.filter(consent=consent, enabled=True).first()
    if renewal is None:
        _end_consent(consent, by, now=now)
        return True
    end_locked(renewal, by, now=now)
    for order in (locked[pk] for pk in waiting.all()):
        if order.attempts.filter(state__in=LIVE_STATES).exists():
            OrderEvent.objects.create(order=order, at=now, kind=STOPPED_TOO_LATE)
        else:
            close_locked(order, Status.CANCELLED, now=now)
    return True


def stop_all(member_id: int, *, now: datetime) -> int:
    """One tap: no consent of hers, signed or waiting, is charged by any more."""
    alive = Consent.objects.filter(member=member_id).exclude(state=ConsentState.ENDED)
    found = list(alive.order_by("pk").values_list("pk", flat=True))
    return sum(stop(pk, now=now) for pk in found)


def end_locked(renewal: AutoRenew, by: EndedBy, *, now: datetime) -> None:
    """Switch a renewal off under the member's lock, and tell her unless it was she."""
    consent = renewal.consent
    _end_consent(consent, by, now=now)
    renewal.enabled, renewal.changed_at, renewal.due_at = False, now, None
    renewal.save(update_fields=["enabled", "changed_at", "due_at"])
    if by != EndedBy.REPLACED:
        renewal_telling.ended(consent, by, now=now)


def end_all_locked(member_id: int, by: EndedBy, *, now: datetime) -> Consent | None:
    """End every consent of a locked member; returns the one that was in force."""
    renewal = AutoRenew.objects.filter(member=member_id, enabled=True).first()
    if renewal is not None:
        end_locked(renewal, by, now=now)
    waiting = Consent.objects.filter(member=member_id)
    for consent in waiting.exclude(state=ConsentState.ENDED):
        _end_consent(consent, by, now=now)
    return renewal.consent if renewal else None


def _end_consent(consent: Consent, by: EndedBy, *, now: datetime) -> None:
    consent.state, consent.ended_at, consent.ended_by = ConsentState.ENDED, now, by
    consent.next_query_at = None
    consent.save(update_fields=["state", "ended_at", "ended_by", "next_query_at"])
    if consent.contract_no and by != EndedBy.WALLET:
        _stop_at_gateway(consent, now=now)


def _stop_at_gateway(consent: Consent, *, now: datetime) -> None:
    outbox.add(
        f"mandate.stop:{consent.gateway}:{consent.number}",
        "mandate.stop",
        {"consent": consent.pk},
        due_at=now,
    )


def stop_at_gateway(consent_id: int, *, now: datetime) -> None:
    """raises  outbox.TryLater while the gateway's answer is unclear"""
    consent = Consent.objects.get(pk=consent_id)
    offer = gateway_mandates.of(consent.gateway)
    if offer is None or not consent.contract_no:
        raise outbox.TryLater(reason="gateway is off")
    try:
        offer.stop(consent.contract_no, notify_url(consent.gateway), now=now)
    except GatewayError as error:
        raise outbox.TryLater(reason=error.code) from error


def poll_signatures(*, now: datetime, limit: int = 50) -> int:
    """Ask about consents that wait for a signature, so that a lost notice is found.

    Each minute in the first hour, then hourly, and no longer than a day.
    """
    due = Consent.objects.filter(next_query_at__lte=now)
    asked = 0
    for consent in due.order_by("next_query_at")[:limit]:
        young = now < consent.agreed_at + timedelta(hours=1)
        step = timedelta(minutes=1) if young else timedelta(hours=1)
        claimed = Consent.objects.filter(
            pk=consent.pk, next_query_at=consent.next_query_at
        ).update(next_query_at=now + step)
        if claimed:
            ask(consent, now=now)
            asked += 1
    return asked


def ask_again(consent: Consent, *, now: datetime) -> None:
    """She is back from the gateway's page: ask at once, but not for every reload."""
    step = timedelta(minutes=1)
    due_at = consent.next_query_at
    if consent.first_on is None or due_at is None or due_at > now + step - PATIENCE:
        return
    claimed = Consent.objects.filter(pk=consent.pk, next_query_at=due_at)
    if claimed.update(next_query_at=now + step):
        ask(consent, now=now)


def ask(consent: Consent, *, now: datetime) -> Mandate | None:
    """Ask the gateway about one consent and book the answer; None when unclear."""
    offer = gateway_mandates.of(consent.gateway)
    if offer is None:
        return None
    try:
        mandate = offer.query(consent.number, consent.contract_no or "", now=now)
    except GatewayError as error:
        log.warning("gateway=%s mandate query: %s", consent.gateway, error.code)
        return None
    apply_mandate(consent, mandate, now=now)
    over = consent.state == ConsentState.WAITING and now >= consent.agreed_at + SIGNING
    if over and mandate.state in (MandateState.MISSING, MandateState.WAITING):
        stop(consent.pk, by=EndedBy.UNSIGNED, now=now)
    return mandate


def may_take_back(order: Order, *, now: datetime) -> bool:
    """Whether the member may have a renewal's money back in full (E10).

    She opted out after its claim and before its result; for a day from the payment,
    while none of its time has begun.
    """
    if order.renewal_key is None or order.paid_at is None:
        return False
    if now > order.paid_at + TAKE_BACK:
        return False
    entitlement = getattr(order, "entitlement", None)
    if entitlement is None or entitlement.revoked_seconds:
        return False
    if entitlement.segments.filter(starts_at__lte=now).exists():
        return False
    return order.events.filter(kind=STOPPED_TOO_LATE).exists()


def holder_of(member: Member) -> AutoRenew | None:
    """The member's renewal that is on, if one is."""
    return (
        AutoRenew.objects.filter(member=member, enabled=True)
        .select_related("consent__plan__tier")
        .first()
    )
