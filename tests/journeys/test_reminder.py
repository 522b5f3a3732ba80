"""A reminder in time: by the real service worker and by SMS, and renewed in two taps.

No push service is in reach of a test: what the browser's own ``PushManager`` would
return is made up, and what the shop sends is opened with the browser's keys and handed
to the worker by the browser's debugging protocol. All between is real.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from playwright.sync_api import Page, expect

from members import reminders
from members.models import Member
from notifications import outbox
from notifications.models import PushSubscription
from notifications.push import wire
from orders.models import Order, Status
from tests.journeys.buying import Shopping, Shots, order_a_week, pay_in_the_wallet
from tests.journeys.conftest import GUEST, Shopper
from tests.notifications.receiving import Browser
from tests.sandbox_process import Sandbox, wait_for

pytestmark = pytest.mark.browser

PATIENCE = 30
"""Seconds for what a busy machine does in its own time."""

ENDPOINT = "https://fcm.googleapis.com/fcm/send/journey"
PUSH_MANAGER = """
((endpoint, keys) => {
  const made = { endpoint, toJSON: () => ({ endpoint, keys }) };
  PushManager.prototype.subscribe = async ({ userVisibleOnly }) => {
    if (!userVisibleOnly) throw new Error();
    return made;
  };
})(%s, %s);
"""
SHOWN = """
async () => {
  const found = await (await navigator.serviceWorker.ready).getNotifications();
  return found.map(({ title, body, data }) => ({ title, body, ...data }));
}
"""
CLICK = """
async () => {
  const opened = [];
  self.clients.openWindow = async (url) => opened.push(url);
  const [notification] = await self.registration.getNotifications();
  const click = new NotificationEvent("notificationclick", { notification });
  click.waitUntil = () => {};  // a click that is no person's may not ask for time
  self.dispatchEvent(click);
  return opened;
}
"""
KEPT = """
async () => {
  const kept = [];
  for (const name of await caches.keys())
    for (const request of await (await caches.open(name)).keys()) kept.push(request.url);
  return kept.sort();
}
"""


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What reached the push service."""
    bodies: list[bytes] = []

    def post(endpoint: str, *, headers: Any, body: bytes) -> wire.Answer:
        assert endpoint == ENDPOINT
        bodies.append(body)
        return wire.Answer(201)

    monkeypatch.setattr(wire, "post", post)
    return bodies


def member_for_a_week(buyer: Shopper, sandbox: Sandbox) -> Member:
    order = order_a_week(buyer, sandbox)
    pay_in_the_wallet(buyer, phone=True, script=True)
    wait_for(
        lambda: Order.objects.filter(pk=order.pk, status=Status.PAID).exists(),
        seconds=PATIENCE,
    )
    return Member.objects.get(pk=order.member_id)


def switch_on(buyer: Shopper, keys: Browser) -> None:
    """The third task of the guide: the switch asks, subscribes and tells the shop."""
    page = buyer.page
    page.context.grant_permissions(["notifications"], origin=buyer.shop)
    page.add_init_script(PUSH_MANAGER % (json.dumps(ENDPOINT), json.dumps(keys.keys)))
    buyer.visit("/account/")
    page.get_by_role("link", name="打开到期提醒").click()
    page.get_by_role("button", name="打开提醒").click()
    is_on = page.get_by_text("这个浏览器会在到期前提醒你")
    expect(is_on).to_be_visible(timeout=PATIENCE * 1000)
    buyer.visit("/account/")
    expect(page.locator("#guide .tasks__way--done")).to_contain_text("打开到期提醒")


def remind(member: Member) -> None:
    """Noon in Shanghai, two to three days before the end."""
    assert member.paid_until is not None
    day = (member.paid_until - timedelta(days=2)).date()
    at = datetime.combine(day, datetime.min.time(), UTC) + timedelta(hours=4)
    with time_machine.travel(at, tick=False):
        reminders.schedule(now=at)
        outbox.run_due(now=at)


def deliver(page: Page, shop: str, message: bytes) -> None:
    """What the browser does with a message once its push service handed it over."""
    session = page.context.new_cdp_session(page)
    known: set[str] = set()
    session.on(
        "ServiceWorker.workerRegistrationUpdated",
        lambda event: known.update(e["registrationId"] for e in event["registrations"]),
    )
    session.send("ServiceWorker.enable")
    # Events come in while something is asked.
    wait_for(lambda: page.evaluate("() => true") and known, seconds=PATIENCE)
    [registration] = known
    handed = {"origin": shop, "registrationId": registration, "data": message.decode()}
    session.send("ServiceWorker.deliverPushMessage", handed)


def renew_in_two_taps(buyer: Shopper, shots: Shots, name: str) -> None:
    """From where the reminder leads; nothing typed (ux-brief part 2)."""
    page = buyer.page
    before = Order.objects.count()
    buyer.taps = buyer.typed = 0
    shots(page, f"reminder-{name}")
    buyer.tap(page.get_by_role("link", name="续费", exact=True))
    buyer.tap(page.get_by_role("button", name="同意并支付 ¥15.00").last)
    wait_for(lambda: Order.objects.count() > before, seconds=PATIENCE)
    pay_in_the_wallet(buyer, phone=True, script=True)
    active = page.get_by_role("heading", name="会员已开通")
    expect(active).to_be_visible(timeout=PATIENCE * 1000)
    assert (buyer.taps, buyer.typed) == (2, 0)


def test_a_pushed_reminder_is_shown_opened_and_renewed(
    shopper: Shopping, sandbox: Sandbox, shots: Shots, pushed: list[bytes]
) -> None:
    """S28, E2: the guide's switch, the sealed message, the worker, the right page."""
    keys = Browser()
    buyer = shopper()
    member = member_for_a_week(buyer, sandbox)
    switch_on(buyer, keys)
    assert PushSubscription.objects.get().member == member
    remind(member)
    [body] = pushed
    page = buyer.page
    deliver(page, buyer.shop, keys.open(body))
    [shown] = wait_for(lambda: page.evaluate(SHOWN), seconds=PATIENCE)
    assert shown["title"].startswith("会员 ")
    assert shown["title"].endswith(" 到期")
    assert shown["path"].startswith("/s/")
    [worker] = page.context.service_workers
    assert worker.evaluate(CLICK) == [f"{buyer.shop}{shown['path']}"]
    wait_for(
        lambda: page.evaluate(SHOWN) == [], seconds=PATIENCE
    )  # the tap puts it away
    buyer.visit(shown["path"])
    renew_in_two_taps(buyer, shots, "push")
    end = member.paid_until
    member.refresh_from_db()
    assert end is not None
    assert member.paid_until == end + timedelta(days=7)


def test_the_sms_leads_to_the_same_two_taps(
    shopper: Shopping, sandbox: Sandbox, shots: Shots
) -> None:
    """S28, E2, E17: the link of the SMS in her own browser; a week is added whole."""
    buyer = shopper()
    member = member_for_a_week(buyer, sandbox)
    remind(member)
    texts = [each["text"] for each in sandbox.sms(to=f"+86{GUEST}")]
    [text] = [each for each in texts if "到期。续费：" in each]
    buyer.visit(text[text.index("/s/") :])
    renew_in_two_taps(buyer, shots, "sms")
    end = member.paid_until
    member.refresh_from_db()
    assert end is not None
    assert member.paid_until == end + timedelta(days=7)


def test_the_worker_keeps_nothing_of_hers_and_the_shop_is_an_app(
    shopper: Shopping, sandbox: Sandbox
) -> None:
    """security 55, S28: one scope, four files of everybody, a page for no network."""
    buyer = shopper()
    member_for_a_week(buyer, sandbox)
    switch_on(buyer, Browser())
    page = buyer.page
    buyer.visit("/account/")  # from here on through the worker
    scope = "async () => (await navigator.serviceWorker.ready).scope"
    assert page.evaluate(scope) == f"{buyer.shop}/"
    assert page.evaluate("() => navigator.serviceWorker.controller?.scriptURL") == (
        f"{buyer.shop}/sw.js"
    )
    order = Order.objects.get()
    for path in ("/account/orders/", f"/orders/{order.no}/", "/membership/", "/zone/"):
        buyer.visit(path)
    kept = page.evaluate(KEPT)
    assert len(kept) == 4
    assert all(url.startswith(f"{buyer.shop}/static/") for url in kept)
    session = page.context.new_cdp_session(page)
    manifest = session.send("Page.getAppManifest")
    assert manifest["url"] == f"{buyer.shop}/manifest.webmanifest"
    assert manifest["errors"] == []
    for icon in json.loads(manifest["data"])["icons"]:
        got = page.request.get(f"{buyer.shop}{icon['src']}")
        assert (got.status, got.headers["content-type"]) == (200, icon["type"])
    page.context.set_offline(True)
    buyer.visit("/account/")
    expect(page.get_by_text("没有网络").first).to_be_visible()
    assert GUEST[-4:] not in page.content()
    page.context.set_offline(False)
    buyer.visit("/account/")
    expect(page.get_by_role("heading", name="我的", exact=True)).to_be_visible()
    gone = "ERR_INTERNET_DISCONNECTED"  # said by the browser while it was offline
    buyer.complaints[:] = [one for one in buyer.complaints if gone not in one]
