"""``/metrics``: the numbers that an alarm rings for, and who may read them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from kameng import counters, freshness
from members.models import Member
from notifications import outbox
from notifications.models import Outbox
from tests.sandbox.merchant import Received
from tests.shopping import ALIPAY, Till

pytestmark = pytest.mark.django_db


def numbers() -> dict[str, float]:
    """Every value by its name, labels included."""
    answer = Client().get("/metrics")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {
        name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)
    }


def test_a_quiet_shop_has_nothing_to_report():
    found = numbers()
    assert found["kameng_up"] == 1
    for name in (
        "kameng_unallocated_payments",
        "kameng_unallocated_fen",
        "kameng_gateway_events_open",
        "kameng_outbox_lag_seconds",
        "kameng_outbox_dead",
    ):
        assert found[name] == 0, name


def test_every_line_is_prometheus_text():
    text = Client().get("/metrics").text
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    told = [line for line in text.splitlines() if not line.startswith("#")]
    assert "kameng_up 1" in told
    for line in told:
        assert line.partition("{")[0].partition(" ")[0] in names, line


def test_a_refused_signature_is_counted_by_gateway(till: Till, member: Member):
    """Security 32: a wrong signature leaves no row, but a number."""
    cache.clear()
    attempt = till.pay(till.place(member), ALIPAY)
    till.wallet.notify("alipay", attempt.out_trade_no, "wrong_signature")
    forged = till.caught()[0]
    for _ in range(2):
        till.deliver(forged, gateway="alipay")
    found = numbers()
    assert found['kameng_notices_refused_total{gateway="alipay"}'] == 2
    assert found['kameng_notices_refused_total{gateway="wechat"}'] == 0


def test_a_true_notice_is_not_counted_as_refused(till: Till, member: Member):
    cache.clear()
    attempt = till.pay(till.place(member), ALIPAY)
    till.wallet.pay("alipay", attempt.out_trade_no)
    till.deliver(till.caught()[0], gateway="alipay")
    assert numbers()['kameng_notices_refused_total{gateway="alipay"}'] == 0


def test_money_that_belongs_to_nothing_shows(till: Till, member: Member):
    """C1: another sum than the order's."""
    attempt = till.pay(till.place(member), ALIPAY)
    till.wallet.pay("alipay", attempt.out_trade_no, amount_fen=1_400)
    till.deliver(till.caught()[0], gateway="alipay")
    found = numbers()
    assert found["kameng_unallocated_payments"] == 1
    assert found["kameng_unallocated_fen"] == 1_400
    assert found["kameng_gateway_events_open"] == 0  # the money itself is in sight


def test_a_message_about_nothing_of_ours_shows(till: Till, member: Member):
    """B12"""
    attempt = till.pay(till.place(member), ALIPAY)
    till.wallet.notify("alipay", attempt.out_trade_no, "unknown_order")
    till.deliver(till.caught()[0], gateway="alipay")
    assert numbers()["kameng_gateway_events_open"] == 1


def test_the_outbox_shows_its_lag_and_what_it_gave_up():
    """H4, H14"""
    now = timezone.now()
    outbox.add("late", "sms", {}, due_at=now - timedelta(minutes=7))
    outbox.add("later", "sms", {}, due_at=now + timedelta(minutes=7))
    outbox.add("dead", "sms", {}, due_at=now)
    Outbox.objects.filter(key="dead").update(state=Outbox.State.DEAD)
    found = numbers()
    assert 420 <= found["kameng_outbox_lag_seconds"] < 450
    assert (found["kameng_outbox_due"], found["kameng_outbox_dead"]) == (1, 1)


def test_every_periodic_job_shows_its_age():
    now = timezone.now()
    freshness.note("run-outbox", now=now - timedelta(hours=1))
    freshness.note("expire-orders", now=now)
    found = numbers()
    assert 3600 <= found['kameng_job_age_seconds{job="run-outbox"}'] < 3630
    assert found['kameng_job_stale{job="run-outbox"}'] == 1
    assert found['kameng_job_stale{job="expire-orders"}'] == 0


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "10.1.2.3", "172.18.0.4", ""])
def test_networks_inside_may_read_it(peer: str):
    assert Client().get("/metrics", REMOTE_ADDR=peer).status_code == 200


@pytest.mark.parametrize("peer", ["203.0.113.9", "8.8.8.8", "2001:db8::1", "nonsense"])
def test_nobody_else_may_read_it(peer: str):
    assert Client().get("/metrics", REMOTE_ADDR=peer).status_code == 404


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_a_proxy_does_not_lead_inside(header: str):
    """Security 80: a visitor comes through the proxy, whose own address is inside."""
    answer = Client().get("/metrics", headers={header: "10.0.0.1"})
    assert answer.status_code == 404


def test_without_a_cache_the_rest_still_shows(monkeypatch: pytest.MonkeyPatch):
    """H5"""

    def gone(*_: object, **__: object) -> None:
        raise ConnectionError

    monkeypatch.setattr(cache, "get", gone)
    monkeypatch.setattr(cache, "add", gone)
    counters.count(counters.REFUSED_NOTICES, "alipay")
    found = numbers()
    assert not [name for name in found if "refused" in name]
    assert found["kameng_unallocated_payments"] == 0


def test_an_unsigned_body_never_writes(till: Till, member: Member):
    rubbish = Received("", {"Content-Type": "application/json"}, b"{}", till.now)
    cache.clear()
    till.deliver(rubbish, gateway="wechat")
    assert numbers()['kameng_notices_refused_total{gateway="wechat"}'] == 1
    assert numbers()["kameng_gateway_events_open"] == 0
