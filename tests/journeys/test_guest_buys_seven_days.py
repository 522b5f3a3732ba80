"""The sentence of the product: a guest becomes a member before she looks up."""

from __future__ import annotations

import re

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from members.models import Entitlement, Member
from notifications import outbox
from tests.journeys.buying import Shopping, Shots, order_a_week, pay_in_the_wallet
from tests.journeys.conftest import GUEST
from tests.sandbox_process import Json, Sandbox, wait_for

pytestmark = pytest.mark.browser


def activation_messages(sandbox: Sandbox) -> list[Json]:
    """What the inbox shows; the tick of the scheduler is played here."""
    outbox.run_due(now=timezone.now())
    return [message for message in sandbox.sms() if message["kind"] == "activated"]


@pytest.mark.parametrize("script", [True, False], ids=["script", "no script"])
@pytest.mark.parametrize("phone", [True, False], ids=["phone", "desktop"])
@pytest.mark.parametrize("channel", ["支付宝", "微信支付"])
def test_a_guest_becomes_a_member(
    shopper: Shopping,
    sandbox: Sandbox,
    shots: Shots,
    phone: bool,
    script: bool,
    channel: str,
) -> None:
    """S1, S12, S15, S16: two screens, four taps, eleven characters (ux-brief part 2).

    Without script the way into the wallet and back takes one tap more.
    """
    buyer = shopper(phone=phone, script=script)
    order_a_week(buyer, sandbox, channel)
    pay_in_the_wallet(buyer, phone=phone, script=script)
    active = buyer.page.get_by_role("heading", name="会员已开通", include_hidden=True)
    expect(active).to_be_attached()
    welcome = buyer.page.get_by_text("恭喜您成为临时会员，专属折扣已开启")
    expect(welcome).to_be_visible()
    lit = re.compile("header__link--member")  # S17, on the very next paint
    expect(buyer.page.locator("#member-link")).to_have_class(lit)
    expect(buyer.page.locator("#badge")).to_contain_text("临时会员")
    shots(buyer.page, f"success-{phone}-{script}")
    assert buyer.taps <= (4 if script else 5)
    assert buyer.typed <= 11
    own = {screen for screen in buyer.screens if screen != "/checkout/code/"}
    assert len(own) <= 2, buyer.screens
    member = Member.objects.get(phone=f"+86{GUEST}")
    assert Entitlement.objects.get().member == member
    told = wait_for(lambda: activation_messages(sandbox))
    assert [message["to"] for message in told] == [f"+86{GUEST}"]
