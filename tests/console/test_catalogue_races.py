"""Two editors, each right alone, cannot break the ladder together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from members.demo import fill
from members.models import Member, Plan
from members.tiers import pricing_history
from members.tiers.ladder import Step, breaks_ladder
from tests.console.conftest import signed_in
from tests.console.form_of import form_of
from tests.races import at_once, hesitate, take_locks_away

pytestmark = pytest.mark.django_db(transaction=True)


def editor(member: Member, slug: str, price: str) -> Callable[[], Any]:
    """Opens the plan's form now; posts it with another price when called."""
    client: Client = signed_in(member)
    url = reverse("admin:members_plan_change", args=[Plan.objects.get(slug=slug).pk])
    values = form_of(client, url) | {"price": price}
    return lambda: client.post(url, values).status_code


def edit_together(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Any], bool]:
    """What both got, and whether the ladder is broken now."""
    fill()
    cheaper_week = editor(member, "temporary-7", "12")  # ¥1.71 a day, above the month's
    dearer_month = editor(member, "temporary-30", "64")  # ¥2.13 a day, below the week's
    hesitate(monkeypatch, pricing_history, "save_plan", seconds=0.5)
    ends = at_once(cheaper_week, dearer_month)
    plans = Plan.objects.filter(tier__code="temporary")
    return ends, bool(breaks_ladder([Step(p.days, p.price_fen) for p in plans]))


def test_two_prices_that_clash_end_with_one_refused(
    operator: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends, broken = edit_together(operator, monkeypatch)
    assert sorted(ends) == [200, 302]
    assert not broken


def test_control_without_the_lock_both_get_through_or_one_fails(
    operator: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_locks_away(monkeypatch)
    ends, broken = edit_together(operator, monkeypatch)
    assert broken or any(end not in (200, 302) for end in ends)
