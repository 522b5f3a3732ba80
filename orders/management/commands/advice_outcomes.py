from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand
from django.db.models import Sum
from django.utils import timezone

from members.models import AdviceRecord
from orders.models import Fulfil, Kind, Order, Status

AFTERWARDS = timedelta(days=90)


class Command(BaseCommand):
    help = (
        "What was recommended, what was chosen, and what the member paid for memberships "
        "in the 90 days from then on: one JSON object a line, without a name or a number "
        "of anybody. Only records that are 90 days old, since younger ones are not over."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        over = AdviceRecord.objects.filter(at__lte=timezone.now() - AFTERWARDS)
        found = over.select_related("shown", "chosen").order_by("pk")
        for record in found.iterator():
            self.stdout.write(
                json.dumps(
                    {
                        "features": record.features,
                        "propensity": record.propensity,
                        "shown": record.shown.slug,
                        "chosen": record.chosen.slug,
                        "cost_fen": _paid_afterwards(record),
                    }
                )
            )


def _paid_afterwards(record: AdviceRecord) -> int:
    paid = Order.objects.filter(
        member_id=record.member_id,
        kind=Kind.TIER,
        status=Status.PAID,
        placed_at__gte=record.at,
        placed_at__lt=record.at + AFTERWARDS,
    ).exclude(fulfil=Fulfil.VOID)
    return paid.aggregate(fen=Sum("amount_fen", default=0))["fen"]
