"""The invariants of automatic renewals, for ``manage.py audit``: INV-15 and INV-10."""

from __future__ import annotations

from datetime import datetime
from itertools import chain

from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet

from notifications.models import Notification
from orders.models import Order
from payments.audit import OVERDUE, Broken, check
from payments.gateways.contract import Product
from payments.models import Attempt, AutoRenew, Consent
from payments.renewing import renewal_steps, renewal_telling
from payments.renewing.renewal_models import ConsentState


@check("10", "a renewal that is on, or waits for its signature, is looked at")
def _stuck_renewals(now: datetime) -> Broken:
    late = now - OVERDUE
    on = AutoRenew.objects.filter(enabled=True, due_at__lt=late)
    waiting = Consent.objects.filter(
        Q(next_query_at__isnull=True) | Q(next_query_at__lt=late),
        state=ConsentState.WAITING,
    )
    return chain(
        on.values_list("consent__number", flat=True),
        waiting.values_list("number", flat=True),
    )


def _debits() -> QuerySet[Attempt]:
    return Attempt.objects.filter(product=Product.MANDATE)


@check("15", "a charge had a consent in force, for its plan and at least its sum")
def _charged_without_consent(now: datetime) -> Broken:
    consents = Consent.objects.filter(
        Q(ended_at__isnull=True) | Q(ended_at__gte=OuterRef("created_at")),
        member=OuterRef("order__member"),
        plan=OuterRef("order__plan"),
        gateway=OuterRef("gateway"),
        price_fen__gte=OuterRef("amount_fen"),
        signed_at__lte=OuterRef("created_at"),
    )
    return _debits().filter(~Exists(consents)).values_list("out_trade_no", flat=True)


@check("15", "a charge came three days and more after its notice had gone out")
def _charged_without_notice(now: datetime) -> Broken:
    told = Notification.objects.filter(
        Q(channel=Notification.Channel.SMS) | Q(member__phone__isnull=True),
        member=OuterRef("order__member"),
        kind=renewal_telling.KIND,
        key__startswith=renewal_telling.PREFIX,
        expires_at=OuterRef("order__expires_at"),
        sent_at__lte=OuterRef("created_at") - renewal_steps.UNHURRIED,
    )
    return _debits().filter(~Exists(told)).values_list("out_trade_no", flat=True)


@check("15", "one end was renewed once, and before it came")
def _renewed_twice(now: datetime) -> Broken:
    twice = (
        Order.objects.filter(renewal_key__isnull=False)
        .values("member", "expires_at")
        .annotate(times=Count("pk"), last=Max("no"))
        .filter(times__gt=1)
        .order_by("last")
    )
    late = _debits().filter(
        Q(created_at__gte=F("order__expires_at")) | Q(order__renewal_key=None)
    )
    return chain(
        twice.values_list("last", flat=True),
        late.values_list("out_trade_no", flat=True),
    )
