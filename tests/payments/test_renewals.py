"""Automatic renewal from the ticked box to the next week, with the real protocol.

Each case of ``correctness.md`` E8 to E17; the time is Asia/Shanghai. Seven days bought
on 11-22 at 10:00 end on 11-29 at 10:00, those bought at 18:00 at 18:00.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from kameng.management.commands import sweep
from members import rules, timeline
from members.models import Member, Plan, ShopRules, Tier
from notifications.models import Notification
from orders.models import Order
from payments import polling
from payments.models import Attempt, AutoRenew, Consent
from payments.refunding import refunds
from payments.renewing import mandates, renewal
from tests.payments.renewing import (
    DAY,
    HOUR,
    Renewals,
    beijing,
    bought,
    charges_of,
    renewals_of,
    texts_to,
    told,
)
from tests.shopping import WECHAT, Shopper, Till, broken, fresh, new_member

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE = timedelta(minutes=1)
BALANCE = "ACQ.BUYER_BALANCE_NOT_ENOUGH"


@pytest.fixture
def shop_of(till: Till) -> Renewals:
    return Renewals(till)


@pytest.fixture
def morning(shop_of: Renewals) -> Member:
    """Renews itself; ends on 11-29 at 10:00; told on 11-23, charged on 11-28."""
    member = bought(shop_of.till)
    shop_of.signed(member)
    return member


@pytest.fixture
def evening(shop_of: Renewals) -> Member:
    """The same at 18:00, so that both retries fall inside the hours."""
    shop_of.at("11-22 18:00")
    member = bought(shop_of.till)
    shop_of.signed(member)
    return member


def renewing(member: Member) -> AutoRenew:
    return AutoRenew.objects.select_related("consent").get(member=member)


# --- E8, E17: as it should go -------------------------------------------------------


def test_notice_reminder_charge_and_the_next_week(shop_of: Renewals, morning: Member):
    """E8, E17 and W12: told five days and three days before, charged a day before."""
    shop_of.until("11-23 09:59")
    assert told(morning, "renewal") == []
    shop_of.until("11-23 10:05")
    first = texts_to(shop_of.till, morning)[-1]
    assert "11 月 28 日 10:00 将自动续费 ¥15" in first
    shop_of.until("11-26 09:59")
    assert len(told(morning, "renewal", "sms")) == 1
    shop_of.until("11-26 10:05")
    assert texts_to(shop_of.till, morning)[-1] == first  # the reminder, in these words
    assert len(told(morning, "renewal", "sms")) == 2
    assert told(morning, "expiring", "sms") == []
    shop_of.until("11-28 09:59")
    assert charges_of(morning) == []
    shop_of.until("11-28 10:01")
    assert charges_of(morning) == [("11-28 10:01", 1_500, "paid")]
    assert fresh(morning).paid_until == beijing("12-06 10:00")
    [order] = renewals_of(morning)
    assert (order.status, order.fulfil, order.amount_fen) == ("paid", "done", 1_500)
    assert order.renewal_key == f"{morning.pk}:2026-11-29T02:00:00+00:00"
    assert broken(shop_of.now) == []
    shop_of.until("12-05 10:01")  # and the week after
    assert charges_of(morning)[1:] == [("12-05 10:01", 1_500, "paid")]
    assert fresh(morning).paid_until == beijing("12-13 10:00")
    assert broken(shop_of.now) == []


def test_the_notice_of_a_debit_settles_as_any_other(shop_of: Renewals, morning: Member):
    """R2: the answer was lost, the trade's notice comes; whichever is first counts."""
    shop_of.until("11-28 09:59")
    shop_of.till.wallet.fault("alipay", "debit", "500", count=1, done=True)
    shop_of.at("11-28 10:00")
    renewal.run_due(now=shop_of.now)
    assert charges_of(morning) == [("11-28 10:00", 1_500, "unknown")]
    shop_of.deliver_all()
    assert charges_of(morning) == [("11-28 10:00", 1_500, "paid")]
    assert fresh(morning).paid_until == beijing("12-06 10:00")
    assert len(renewals_of(morning)) == 1


def test_what_cannot_renew_itself_is_not_offered(shop_of: Renewals):
    """E8: shorter than seven days; more than ¥100; another price; no membership."""
    member = bought(shop_of.till, "temporary-30")

    def offered(
        slug: str, *, whose: Member = member, more: int = 0, at: str = "alipay"
    ):
        plan = Plan.objects.select_related("tier").get(slug=slug)
        return mandates.begin(
            whose.pk,
            plan=plan,
            gateway=at,
            shown_fen=plan.price_at(shop_of.now) + more,
            now=shop_of.now,
        )

    for refused in (
        lambda: offered("temporary-1"),
        lambda: offered("long-term-365"),
        lambda: offered("temporary-7", more=1),
        lambda: offered("temporary-7", whose=new_member()),
        lambda: offered("temporary-7", at="wechat"),
        lambda: offered("temporary-7", at="nobody"),
    ):
        with pytest.raises(mandates.NotOffered):
            refused()
    Plan.objects.filter(slug="temporary-30").update(enabled=False)
    with pytest.raises(mandates.NotOffered):
        offered("temporary-30")
    assert not Consent.objects.exists()
    way = mandates.handover(offered("long-term-90"), now=shop_of.now)
    assert way.params["wallet_url"].startswith("alipays://")


def test_an_unsigned_consent_charges_nobody(shop_of: Renewals):
    member = bought(shop_of.till)
    consent = shop_of.ask(member)
    shop_of.wallet(consent, "refuse")
    shop_of.until("11-29 10:01")
    assert charges_of(member) == []
    assert fresh_consent(consent).ended_by == "unsigned"
    assert told(member, "renewal") == []
    assert len(told(member, "expiring", "sms")) == 1  # the ordinary reminder
    assert broken(shop_of.now) == []


def fresh_consent(consent: Consent) -> Consent:
    return Consent.objects.get(pk=consent.pk)


# --- The signature ------------------------------------------------------------------


def test_a_lost_notice_of_the_signature_is_found(shop_of: Renewals):
    member = bought(shop_of.till)
    consent = shop_of.ask(member)
    shop_of.agree(consent, notify="lose")
    assert not AutoRenew.objects.exists()
    shop_of.at("11-22 10:01").tick()
    assert renewing(member).consent_id == consent.pk
    assert fresh_consent(consent).contract_no


def test_the_notice_of_the_signature_may_come_eight_times(shop_of: Renewals):
    """B7"""
    member = bought(shop_of.till)
    consent = shop_of.ask(member)
    shop_of.wallet(consent, "agree")
    [notice] = shop_of.till.caught()
    for _ in range(8):
        assert shop_of.till.deliver(notice, gateway="alipay").content == b"success"
    assert (Consent.objects.count(), AutoRenew.objects.count()) == (1, 1)


def test_a_signature_that_comes_too_late_is_stopped_again(shop_of: Renewals):
    member = bought(shop_of.till)
    consent = shop_of.ask(member)
    shop_of.until("11-23 11:00", every=12 * HOUR)
    assert fresh_consent(consent).ended_by == "unsigned"
    shop_of.agree(consent)
    shop_of.tick()
    assert not AutoRenew.objects.exists()
    assert shop_of.agreement(consent)["status"] == "UNSIGN"


def test_a_new_consent_takes_the_place_of_the_old_once_it_is_signed(
    shop_of: Renewals, morning: Member
):
    """K26: one a member; the old contract is stopped at Alipay, its history kept."""
    old = renewing(morning).consent
    new = shop_of.ask(morning, "temporary-30")
    assert renewing(morning).consent_id == old.pk
    shop_of.agree(new)
    shop_of.till.run_outbox()
    assert renewing(morning).consent_id == new.pk
    assert fresh_consent(old).ended_by == "replaced"
    assert shop_of.agreement(old)["status"] == "UNSIGN"
    shop_of.until("11-28 10:00")
    assert charges_of(morning) == [("11-28 10:00", 5_000, "paid")]
    assert broken(shop_of.now) == []


# --- E10: opting out ----------------------------------------------------------------


def test_one_tap_from_the_notice_stops_it(shop_of: Renewals, morning: Member):
    """E10 before the claim: no charge, and no contract is left at Alipay."""
    shop_of.until("11-23 10:05")
    path = texts_to(shop_of.till, morning)[-1].split("关闭：")[1]
    path = path[path.index("/s/") :]
    stranger = Shopper(shop_of.till)
    page = stranger.get(path)
    assert page.status_code == 200
    assert "关闭自动续费" in page.content.decode()
    assert str(morning.phone)[-4:] not in page.content.decode()
    assert renewing(morning).enabled  # looking stops nothing
    assert stranger.post(path).status_code == 303
    assert "已关闭自动续费" in stranger.get(path).content.decode()
    assert stranger.post(path).status_code == 303  # pressed twice
    shop_of.until("11-29 10:01")
    assert charges_of(morning) == []
    consent = Consent.objects.get(member=morning)
    assert (consent.state, consent.ended_by) == ("ended", "member")
    assert shop_of.agreement(consent)["status"] == "UNSIGN"
    assert broken(shop_of.now) == []
    assert len(told(morning, "expiring", "sms")) == 1  # her time ends after all


def test_the_link_stops_the_renewal_and_nothing_else(
    shop_of: Renewals, morning: Member
):
    """security 51, 55: a forged or foreign token opens nothing."""
    from members import links

    pk = renewing(morning).pk
    good = links.token(links.STOP_RENEWAL, pk)
    shopper = Shopper(shop_of.till)
    forged = [
        good[:-1] + ("0" if good[-1] != "0" else "1"),
        links.token(links.STOP_RENEWAL, pk + 1),
        links.token(links.ORDER, pk).replace("o", "s", 1),
    ]
    for token in forged:
        assert shopper.get(f"/s/{token}/").status_code == 404
        assert shopper.post(f"/s/{token}/").status_code in (404, 405)
    renew = links.token(links.RENEW, morning.pk)
    assert shopper.post(f"/s/{renew}/").status_code == 405
    assert renewing(morning).enabled


def test_a_charge_under_way_stands_and_may_be_taken_back(
    shop_of: Renewals, morning: Member
):
    """E10 after the claim, before the result."""
    shop_of.until("11-28 09:59")
    shop_of.till.wallet.fault("alipay", "debit", "500", count=1, done=True)
    shop_of.at("11-28 10:00")
    renewal.run_due(now=shop_of.now)
    consent = renewing(morning).consent
    assert mandates.stop(consent.pk, now=shop_of.now)
    [order] = renewals_of(morning)
    assert order.status == "pending"
    assert not mandates.may_take_back(order, now=shop_of.now)
    shop_of.at("11-28 10:01").tick()
    order = Order.objects.get(pk=order.pk)
    assert order.status == "paid"
    assert fresh(morning).paid_until == beijing("12-06 10:00")
    assert mandates.may_take_back(order, now=shop_of.now)
    assert mandates.may_take_back(order, now=beijing("11-29 09:59"))
    assert not mandates.may_take_back(order, now=beijing("11-29 10:02"))
    shop_of.until("12-06 10:01", every=DAY)
    assert len(charges_of(morning)) == 1
    assert broken(shop_of.now) == []


def test_an_ordinary_renewal_cannot_be_taken_back(shop_of: Renewals, morning: Member):
    shop_of.until("11-28 10:01")
    [order] = renewals_of(morning)
    assert not mandates.may_take_back(order, now=shop_of.now)


def test_between_two_tries_a_stop_ends_the_order(shop_of: Renewals, evening: Member):
    """E10: nothing was under way, so nothing is tried again."""
    shop_of.next_debit(renewing(evening), BALANCE)
    shop_of.until("11-28 18:05")
    assert mandates.stop(renewing(evening).consent_id, now=shop_of.now)
    assert renewals_of(evening)[0].status == "cancelled"
    shop_of.until("11-29 18:01", every=HOUR)
    assert len(charges_of(evening)) == 1
    assert broken(shop_of.now) == []


def test_a_stop_in_the_wallet_is_heard(shop_of: Renewals, morning: Member):
    consent = renewing(morning).consent
    shop_of.until("11-23 10:05")
    assert len(told(morning, "renewal")) == 1
    shop_of.wallet(consent, "stop")
    shop_of.deliver_all()
    assert not renewing(morning).enabled
    assert fresh_consent(consent).ended_by == "wallet"
    assert len(told(morning, "renewal_off")) == 1
    assert told(morning, "renewal")[0].dismissed_at is not None
    assert shop_of.till.wallet.calls("alipay", "unsign") == []


def test_a_stop_in_the_wallet_whose_notice_is_lost_is_found_before_the_charge(
    shop_of: Renewals, morning: Member
):
    """INV-15: the gateway is asked before each charge."""
    shop_of.until("11-27 10:05")
    shop_of.wallet(renewing(morning).consent, "stop", notify="lose")
    shop_of.until("11-29 10:01", every=HOUR)
    assert (charges_of(morning), shop_of.debits()) == ([], [])
    assert Consent.objects.get(member=morning).ended_by == "wallet"


# --- E11, E12: failures and doubt ----------------------------------------------------


def test_a_failed_charge_is_tried_twice_more_under_the_same_order(
    shop_of: Renewals, evening: Member
):
    """E11: −6 h and −1 h, then it is over and she is told; never after the end."""
    shop_of.next_debit(renewing(evening), BALANCE)
    shop_of.until("11-28 18:00")
    shop_of.until("11-29 19:00", every=10 * MINUTE)
    assert charges_of(evening) == [
        ("11-28 18:00", 1_500, "failed"),
        ("11-29 12:00", 1_500, "failed"),
        ("11-29 17:00", 1_500, "failed"),
    ]
    [order] = renewals_of(evening)
    assert (order.status, order.attempts.count()) == ("expired", 3)
    assert Consent.objects.get(member=evening).ended_by == "failed"
    assert not renewing(evening).enabled
    [site] = told(evening, "renewal_failed")
    assert site.created_at == beijing("11-29 17:10")  # at the next look
    [sms] = told(evening, "expiring", "sms")
    assert (sms.state, sms.key.split(":")[0]) == ("sent", "renewal-failed")
    assert broken(shop_of.now) == []


def test_a_retry_that_succeeds_appends_the_week(shop_of: Renewals, evening: Member):
    """E11: the order is reused, each try has a number of its own."""
    shop_of.next_debit(renewing(evening), BALANCE, count=1)
    shop_of.until("11-28 18:00").until("11-29 12:00")
    assert [state for *_, state in charges_of(evening)] == ["failed", "paid"]
    assert len(renewals_of(evening)) == 1
    assert fresh(evening).paid_until == beijing("12-06 18:00")
    assert renewing(evening).enabled
    assert broken(shop_of.now) == []


def test_a_charge_without_an_answer_gets_no_second_number(
    shop_of: Renewals, evening: Member
):
    """E12, K10: polled, and the same number sent again at the next try."""
    shop_of.till.wallet.fault("alipay", "debit", "500", count=1)
    shop_of.until("11-28 18:00")
    assert charges_of(evening) == [("11-28 18:00", 1_500, "unknown")]
    shop_of.until("11-29 11:59", every=HOUR)
    assert charges_of(evening) == [("11-28 18:00", 1_500, "unknown")]
    assert len(shop_of.debits()) == 1
    shop_of.until("11-29 12:05")
    assert charges_of(evening) == [("11-28 18:00", 1_500, "paid")]
    assert len({call["number"] for call in shop_of.debits()}) == 1
    assert broken(shop_of.now) == []


def test_a_charge_that_succeeded_unheard_is_found_by_the_poll(
    shop_of: Renewals, evening: Member
):
    """E12: the answer and the notice are lost, the money is not."""
    shop_of.next_debit(renewing(evening), "pay", notify="lose")
    shop_of.till.wallet.fault("alipay", "debit", "500", count=1, done=True)
    shop_of.until("11-28 18:00").until("11-28 18:03")
    assert charges_of(evening) == [("11-28 18:00", 1_500, "paid")]
    assert fresh(evening).paid_until == beijing("12-06 18:00")
    shop_of.until("11-29 18:00")
    assert len(shop_of.debits()) == 1


def test_a_charge_under_way_until_the_end_is_closed(shop_of: Renewals, evening: Member):
    """E11, E12: Alipay never decides; at the end the trade is closed, nothing is owed."""
    shop_of.next_debit(renewing(evening), "under_way")
    shop_of.until("11-28 18:00").until("11-29 18:20", every=HOUR)
    [(_, _, state)] = charges_of(evening)
    assert state == "closed"
    assert renewals_of(evening)[0].status == "expired"
    assert Consent.objects.get(member=evening).ended_by == "failed"
    assert broken(shop_of.now) == []


def test_a_worker_that_dies_before_the_call_leaves_a_charge_that_is_sent(
    shop_of: Renewals, morning: Member, monkeypatch: pytest.MonkeyPatch
):
    """H7, R4: the attempt stands before the gateway is asked."""
    shop_of.until("11-28 09:59")

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    shop_of.at("11-28 10:00")
    with monkeypatch.context() as patch:
        patch.setattr(renewal, "debit", die)
        with pytest.raises(Killed):
            renewal.run_due(now=shop_of.now)
    assert charges_of(morning) == [("11-28 10:00", 1_500, "created")]
    shop_of.until("11-28 10:06", every=2 * MINUTE)
    assert charges_of(morning) == [("11-28 10:00", 1_500, "paid")]
    assert len(shop_of.debits()) == 1
    assert broken(shop_of.now) == []


def test_while_alipay_is_gone_nothing_is_claimed(shop_of: Renewals, morning: Member):
    shop_of.until("11-28 09:59")
    shop_of.till.wallet.fault("alipay", "agreement_query", "500")
    shop_of.until("11-28 12:00", every=10 * MINUTE)
    assert renewals_of(morning) == []
    shop_of.till.wallet.clear_faults()
    shop_of.until("11-28 12:05")
    assert charges_of(morning) == [("11-28 12:05", 1_500, "paid")]


# --- E13, E14, E15, E16: the world moves ---------------------------------------------


def test_a_dearer_plan_is_not_charged(shop_of: Renewals, morning: Member):
    """E13: ¥15 → ¥18, after the notice; she is asked for a new consent."""
    shop_of.until("11-27 10:05")
    Plan.objects.filter(slug="temporary-7").update(price_fen=1_800)
    shop_of.until("11-28 10:01", every=HOUR)
    assert (charges_of(morning), renewals_of(morning)) == ([], [])
    consent = Consent.objects.get(member=morning)
    assert consent.ended_by == "price"
    assert shop_of.agreement(consent)["status"] == "UNSIGN"
    [site] = told(morning, "renewal_price")
    assert site.params["price"] == 1_800
    assert told(morning, "renewal")[0].dismissed_at is not None
    assert broken(shop_of.now) == []


def test_a_cheaper_plan_is_charged_at_its_price(shop_of: Renewals, morning: Member):
    """E13: ¥15 → ¥12."""
    Plan.objects.filter(slug="temporary-7").update(price_fen=1_200)
    shop_of.until("11-28 10:00")
    assert charges_of(morning) == [("11-28 10:00", 1_200, "paid")]
    assert broken(shop_of.now) == []


def test_no_more_is_charged_than_the_notice_said(shop_of: Renewals, morning: Member):
    """E13: cheap when she was told, as dear as agreed when she is charged."""
    Plan.objects.filter(slug="temporary-7").update(price_fen=1_200)
    shop_of.until("11-24 10:00")
    Plan.objects.filter(slug="temporary-7").update(price_fen=1_500)
    shop_of.until("11-28 10:00")
    assert charges_of(morning) == [("11-28 10:00", 1_200, "paid")]


@pytest.mark.parametrize("what", ["tier", "plan"])
def test_a_plan_taken_off_sale_stops_renewing(
    shop_of: Renewals, morning: Member, what: str
):
    """E14: the tier is disabled, or its plan alone; she is told."""
    shop_of.until("11-24 10:00")
    tier = morning.entitlements.get().tier
    if what == "tier":
        Tier.objects.filter(pk=tier.pk).update(enabled=False)
    else:
        tier.plans.update(enabled=False)
    shop_of.until("11-24 12:00")
    assert Consent.objects.get(member=morning).ended_by == "plan"
    assert len(told(morning, "renewal_off")) == 1
    assert texts_to(shop_of.till, morning)[-1].startswith("【卡盟】会员 11 月 29 日")
    shop_of.until("11-28 10:01")
    assert (charges_of(morning), renewals_of(morning)) == ([], [])


def test_a_paused_membership_does_not_renew(shop_of: Renewals, morning: Member):
    """E15: the renewal waits with the time, and is told of anew."""
    shop_of.until("11-25 10:00")
    timeline.pause(morning.pk, now=shop_of.now)
    shop_of.until("12-01 10:00", every=DAY)
    assert charges_of(morning) == []
    assert renewing(morning).enabled
    timeline.resume(morning.pk, now=shop_of.now)
    assert fresh(morning).paid_until == beijing("12-05 10:00")
    shop_of.until("12-01 11:00")
    shop_of.until("12-04 10:59")
    assert charges_of(morning) == []  # three days have not passed
    shop_of.until("12-04 11:01")
    assert charges_of(morning) == [("12-04 11:01", 1_500, "paid")]
    assert broken(shop_of.now) == []


def test_a_purchase_moves_the_renewal_with_the_end(shop_of: Renewals, morning: Member):
    """E16: another notice, another key, and Alipay is told of the later day."""
    shop_of.until("11-27 10:00")
    bought(shop_of.till, "temporary-30", morning)
    shop_of.until("12-28 09:59", every=DAY)
    assert charges_of(morning) == []
    shop_of.until("12-28 10:01")
    assert charges_of(morning) == [("12-28 10:01", 1_500, "paid")]
    [order] = renewals_of(morning)
    assert order.renewal_key == f"{morning.pk}:2026-12-29T02:00:00+00:00"
    assert len(shop_of.till.wallet.calls("alipay", "postpone")) == 1
    assert broken(shop_of.now) == []


def test_an_end_that_came_nearer_is_not_charged_without_a_notice(
    shop_of: Renewals, operator: Member
):
    """E16, INV-15: an operator returned most of it, two days are left."""
    till = shop_of.till
    member = new_member()
    order = till.place(member, "temporary-30")
    till.wallet.pay("wechat", till.pay(order, WECHAT).out_trade_no)
    till.wait(seconds=5)
    till.poll()
    shop_of.signed(fresh(member), "temporary-30")
    shop_of.until("11-23 10:00")
    refunds.request(
        order.pk,
        amount_fen=4_500,
        seconds=27 * 86_400,
        actor=operator,
        reason="按她的要求",
        now=shop_of.now,
    )
    shop_of.until("11-25 10:01", every=HOUR)
    till.continue_refunds()
    assert (charges_of(member), told(member, "renewal")) == ([], [])
    assert Consent.objects.get(member=member).ended_by == "lapsed"
    assert order.attempts.get().refunds.get().state == "success"
    assert broken(shop_of.now) == []


def test_a_failed_renewal_of_the_old_end_is_left_alone(
    shop_of: Renewals, evening: Member
):
    """E16: after a purchase the old key is never charged again."""
    shop_of.next_debit(renewing(evening), BALANCE, count=1)
    shop_of.until("11-28 18:01")
    bought(shop_of.till, "temporary-7", evening)
    shop_of.until("11-29 18:20", every=HOUR)
    assert [state for *_, state in charges_of(evening)] == ["failed"]
    assert renewals_of(evening)[0].status == "expired"
    shop_of.until("12-05 18:01")
    assert [state for *_, state in charges_of(evening)] == ["failed", "paid"]
    assert len(renewals_of(evening)) == 2
    assert broken(shop_of.now) == []


def test_an_unsent_notice_is_no_notice(shop_of: Renewals, morning: Member):
    """INV-15, 续费协议 二: no SMS, no charge."""
    shop_of.till.wallet.fault("sms", "*", "500")
    shop_of.until("11-29 10:01")
    assert (charges_of(morning), renewals_of(morning)) == ([], [])
    assert Consent.objects.get(member=morning).ended_by == "lapsed"


def test_she_may_pay_the_renewal_herself(shop_of: Renewals, evening: Member):
    """The order of a failed charge is an order like any other; paid, it is over."""
    shop_of.next_debit(renewing(evening), BALANCE)
    shop_of.until("11-28 18:05")
    [order] = renewals_of(evening)
    shopper = Shopper(shop_of.till, evening)
    assert shopper.get(f"/orders/{order.no}/pay/").status_code == 200
    assert shopper.get(f"/orders/{order.no}/").status_code == 200
    shop_of.till.hear(shop_of.till.pay(order, WECHAT))
    assert fresh(evening).paid_until == beijing("12-06 18:00")
    shop_of.until("11-29 18:01")
    assert len(charges_of(evening)) == 1
    assert renewing(evening).enabled
    assert broken(shop_of.now) == []


def test_cancelling_the_order_lets_this_end_pass(shop_of: Renewals, evening: Member):
    shop_of.next_debit(renewing(evening), BALANCE)
    shop_of.until("11-28 18:05")
    polling.cancel(renewals_of(evening)[0].pk, now=shop_of.now)
    shop_of.until("11-29 18:01", every=HOUR)
    assert len(charges_of(evening)) == 1
    assert not renewing(evening).enabled
    assert broken(shop_of.now) == []


# --- How it runs ----------------------------------------------------------------------


def test_sweep_renews_without_a_worker(shop_of: Renewals, morning: Member):
    """E9: due times are columns; cron may take the place of beat."""
    shop_of.until("11-28 09:59")
    shop_of.at("11-28 10:00")
    with shop_of.till.stopped_clock():
        assert sweep.Command().run_job("renew", "payments.tasks.renew_task")
    assert charges_of(morning) == [("11-28 10:00", 1_500, "paid")]


def test_the_operators_windows_count(shop_of: Renewals, morning: Member):
    ShopRules.objects.update_or_create(
        pk=1, defaults={"renewal_charge_seconds": 36 * 3600, "renewal_until_hour": 23}
    )
    rules.forget()
    shop_of.until("11-27 21:59")
    assert charges_of(morning) == []
    shop_of.until("11-27 22:01")
    assert charges_of(morning) == [("11-27 22:01", 1_500, "paid")]


def test_no_personal_data_is_kept_or_logged(
    shop_of: Renewals, morning: Member, caplog: pytest.LogCaptureFixture
):
    """INV-14"""
    shop_of.next_debit(renewing(morning), BALANCE)
    shop_of.until("11-28 10:05")
    contract = str(Consent.objects.get(member=morning).contract_no)
    assert str(morning.phone) not in caplog.text
    assert contract not in caplog.text
    kept = " ".join(map(str, Attempt.objects.values_list("last_error", flat=True)))
    assert "2088" not in kept
    assert not Notification.objects.filter(params__icontains=contract).exists()
