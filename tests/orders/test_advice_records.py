"""What is kept of recommendations for evaluation: security.md 5.4."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.core.management import call_command

from members import visits
from members.models import AdviceRecord, Member
from tests.orders.test_advice import buy, came
from tests.shopping import Shopper, Till, checkout_form, new_member


def order(shopper: Shopper, plan: str, fen: int) -> None:
    form = checkout_form(kind="temporary", plan=plan, shown_fen=str(fen))
    assert shopper.post("/checkout/", **form).status_code == 303


def test_what_was_recommended_and_chosen_is_kept_for_evaluation(
    till: Till, member: Member, capsys: pytest.CaptureFixture[str]
):
    """security.md 5.4: features, propensity, shown, chosen and later cost; nobody's name."""
    buy(till, member, days_ago=60)
    came(till, member, *range(1, 14))
    shopper = Shopper(till, member)
    order(shopper, "temporary-1", 300)
    record = member.advice_records.get()
    assert (record.shown.slug, record.chosen.slug) == ("temporary-7", "temporary-1")
    assert record.propensity == 1
    assert record.features["days"] == {"d7": 7, "d30": 14, "d90": 15}
    assert record.features["ladder"] == [[1, 300], [7, 1_500], [30, 5_000]]
    assert 0 < record.features["likely"] < 1
    call_command("advice_outcomes")
    assert capsys.readouterr().out == "", "its 90 days are not over"
    AdviceRecord.objects.update(at=record.at - timedelta(days=91))
    buy(till, member, days_ago=30, plan="temporary-7")
    call_command("advice_outcomes")
    line = json.loads(capsys.readouterr().out)
    assert (line["shown"], line["chosen"]) == ("temporary-7", "temporary-1")
    assert line["cost_fen"] == 1_800, "the day of two months ago and the week"
    assert str(member.phone) not in str(line)


def test_nothing_is_recorded_of_whoever_was_shown_nothing(till: Till, member: Member):
    """Off, a first purchase and a second click leave no record; off forgets those made."""
    order(Shopper(till, new_member()), "temporary-7", 1_500)
    assert not AdviceRecord.objects.exists(), "recommended by the shop's rule"
    buy(till, member, days_ago=60)
    came(till, member, 1)
    shopper = Shopper(till, member)
    order(shopper, "temporary-1", 300)
    assert member.advice_records.count() == 1
    shopper.post("/account/advice/", advice="off")
    assert not AdviceRecord.objects.exists()
    order(shopper, "temporary-1", 300)
    assert not AdviceRecord.objects.exists()


def test_records_are_kept_for_180_days(till: Till, member: Member):
    buy(till, member, days_ago=60)
    came(till, member, 1)
    shopper = Shopper(till, member)
    order(shopper, "temporary-1", 300)
    visits.forget_old(now=till.now + timedelta(days=179))
    assert AdviceRecord.objects.exists()
    visits.forget_old(now=till.now + timedelta(days=181))
    assert not AdviceRecord.objects.exists()
