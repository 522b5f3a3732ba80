"""A member's timeline in the database, moved by the domain functions alone."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction

from members import timeline
from members.models import Entitlement, Member, Plan, Tier, TierKind
from orders.models import Order
from orders.numbers import random_number
from tests.members.worked_examples import DISCOUNTS, RANKS

_numbers = itertools.count(1)


def worked_tiers() -> dict[str, Tier]:
    """S and G of the worked examples."""
    kinds = {"S": TierKind.LONG_TERM, "G": TierKind.TEMPORARY}
    return {
        letter: Tier.objects.create(
            code=f"tier-{letter.lower()}",
            name=letter,
            kind=kinds[letter],
            rank=RANKS[letter],
            discount_bp=DISCOUNTS[letter],
        )
        for letter in RANKS
    }


def unpaid_order(member: Member, plan: Plan, *, at: datetime) -> Order:
    """A row for an entitlement to hang on; what it costs does not matter here."""
    number = next(_numbers)
    return Order.objects.create(
        no=random_number(),
        client_token=f"timeline-{number:020}",
        member=member,
        plan=plan,
        title="会员",
        unit_fen=1,
        amount_fen=1,
        seconds=plan.seconds,
        placed_at=at,
        expires_at=at,
    )


@dataclass
class DatabaseLine:
    """Drives one member's timeline; ``bought`` maps names to entitlements."""

    member: Member
    operator: Member
    bought: dict[str, Entitlement] = field(default_factory=dict)

    def grant(self, name: str, tier: Tier, seconds: int, *, at: datetime) -> None:
        self.bought[name] = timeline.grant(
            self.member.pk,
            tier=tier,
            seconds=seconds,
            actor=self.operator,
            reason="补偿",
            now=at,
        )

    def buy(
        self, name: str, plan: Plan, *, at: datetime, quantity: int = 1
    ) -> Entitlement:
        order = unpaid_order(self.member, plan, at=at)
        with transaction.atomic(durable=True):
            self.bought[name] = timeline.activate(
                timeline.lock_member(self.member.pk),
                order_id=order.pk,
                tier_id=plan.tier_id,
                rank=plan.tier.rank,
                discount_bp=plan.tier.discount_bp,
                seconds=plan.seconds * quantity,
                now=at,
            )
        return self.bought[name]

    @transaction.atomic(durable=True)
    def revoke(self, name: str, seconds: int, *, at: datetime) -> int:
        member = timeline.lock_member(self.member.pk)
        return timeline.revoke(member, self.bought[name], seconds, now=at)

    @transaction.atomic(durable=True)
    def restore(self, name: str, seconds: int, *, at: datetime) -> None:
        member = timeline.lock_member(self.member.pk)
        timeline.restore(member, self.bought[name], seconds, now=at)

    @transaction.atomic(durable=True)
    def rebuild(self, *, at: datetime) -> None:
        timeline.rebuild(timeline.lock_member(self.member.pk), now=at)

    @property
    def paid_until(self) -> datetime | None:
        return Member.objects.values_list("paid_until", flat=True).get(
            pk=self.member.pk
        )

    def rows(self) -> list[tuple[int, datetime, datetime]]:
        """Every segment: (entitlement, start, end), oldest first."""
        return list(
            self.member.segments.order_by("starts_at").values_list(
                "entitlement_id", "starts_at", "ends_at"
            )
        )

    def named(self) -> list[tuple[str, datetime, datetime]]:
        """The line with neighbours of one entitlement joined, as people read it."""
        names = {entitlement.pk: name for name, entitlement in self.bought.items()}
        joined: list[tuple[str, datetime, datetime]] = []
        for pk, start, end in self.rows():
            if joined and joined[-1][::2] == (names[pk], start):
                joined[-1] = (names[pk], joined[-1][1], end)
            else:
                joined.append((names[pk], start, end))
        return joined
