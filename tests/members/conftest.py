from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from members.models import Member, Plan, Tier
from notifications.sms import wire
from notifications.sms.contract import SendResult
from tests.members.database_line import DatabaseLine, worked_tiers
from tests.members.edge import PHONE, Inbox, at_once

__all__ = ["PHONE", "Inbox", "at_once"]


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


@pytest.fixture
def inbox(monkeypatch: pytest.MonkeyPatch) -> Inbox:
    """Stands at the network's edge: everything up to the HTTP call is real."""
    box = Inbox()

    def post(url: str, *, headers: Mapping[str, str], body: bytes = b"") -> wire.Answer:
        box.messages.append(json.loads(body))
        if box.lost is not None:
            raise wire.NoAnswer(SendResult(box.lost))
        return wire.answer(box.status, b'{"id": "box-1"}')

    monkeypatch.setattr(wire, "post", post)
    return box


@pytest.fixture
def tiers(db: None) -> dict[str, Tier]:
    """S and G of the worked examples; not together with the demo shop."""
    return worked_tiers()


@pytest.fixture
def plans(tiers: dict[str, Tier]) -> dict[str, Plan]:
    """``S1``, ``S7`` … ``G30``."""
    return {
        f"{letter}{days}": Plan.objects.create(
            slug=f"{letter}{days}".lower(), tier=tier, days=days, price_fen=100 * days
        )
        for letter, tier in tiers.items()
        for days in (1, 7, 30)
    }


@pytest.fixture
def line(member: Member, operator: Member) -> DatabaseLine:
    return DatabaseLine(member, operator)
