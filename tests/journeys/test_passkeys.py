"""Returning members: a fingerprint instead of a code, with Chromium's own authenticator."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import CDPSession, Route, expect

from members.models import Member, Passkey
from tests.journeys.buying import Shopping, fill_in_phone
from tests.journeys.conftest import WECHAT_UA, Shopper
from tests.sandbox_process import Sandbox, wait_for

pytestmark = pytest.mark.browser

TELEPHONE = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}
NO_SUPPORT = "delete window.PublicKeyCredential"


def authenticator(shopper: Shopper) -> tuple[CDPSession, str]:
    """A telephone that takes the finger for granted."""
    session = shopper.page.context.new_cdp_session(shopper.page)
    session.send("WebAuthn.enable", {"enableUI": False})
    added = session.send("WebAuthn.addVirtualAuthenticator", {"options": TELEPHONE})
    return session, added["authenticatorId"]


def keys_of(session: CDPSession, device: str) -> list[dict[str, Any]]:
    found = session.send("WebAuthn.getCredentials", {"authenticatorId": device})
    kept: list[dict[str, Any]] = found["credentials"]
    return kept


def sign_in_by_code(shopper: Shopper, sandbox: Sandbox, page: str = "/login/") -> None:
    shopper.visit(page)
    fill_in_phone(shopper, sandbox)
    expect(shopper.page.get_by_role("heading", name="我的")).to_be_visible()


def make_one(shopper: Shopper, sandbox: Sandbox) -> tuple[CDPSession, str]:
    """From the account to a passkey on this telephone."""
    session, device = authenticator(shopper)
    sign_in_by_code(shopper, sandbox)
    expect(shopper.page.locator("#guide li:visible")).to_have_count(3)
    expect(shopper.page.get_by_text("添加通行密钥，下次")).to_be_visible()
    shopper.tap(shopper.page.get_by_role("link", name=re.compile("^通行密钥：")))
    shopper.tap(shopper.page.get_by_role("link", name="添加通行密钥"))
    shopper.tap("添加通行密钥")
    expect(shopper.page.get_by_text("添加好了")).to_be_visible()
    return session, device


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("/login/", "/account/"),
        ("/membership/temporary/", "/membership/temporary/"),
    ],
)
def test_a_returning_member_is_in_with_three_taps(
    shopper: Shopping, sandbox: Sandbox, start: str, end: str
) -> None:
    """S4, ux-brief part 2: a new device, three taps, nothing typed.

    The key comes over with the telephone's own account, as synced passkeys do.
    """
    old = shopper()
    key = keys_of(*make_one(old, sandbox))[0]
    new = shopper()
    session, device = authenticator(new)
    session.send(
        "WebAuthn.addCredential", {"authenticatorId": device, "credential": key}
    )
    asked: list[Route] = []
    new.page.route(
        re.compile("/login/passkey/$"),
        lambda route: (
            asked.append(route) if route.request.method == "GET" else route.continue_()
        ),
    )
    with new.page.expect_request(re.compile("/login/passkey/$")):
        new.visit(start)
    new.tap(new.page.get_by_label("中国大陆手机号"))
    assert not Passkey.objects.filter(used_at__isnull=False).exists()
    # The suggestion below the field and the finger are the device's own: Chromium's
    # authenticator does both as soon as the page has its answer.
    new.taps += 2
    asked.pop().continue_()
    expect(new.page.get_by_role("link", name="我的")).to_be_visible()
    assert new.page.url.removeprefix(new.shop).partition("?")[0] == end
    assert (new.taps, new.typed) == (3, 0)
    one = wait_for(lambda: Passkey.objects.filter(used_at__isnull=False).first())
    assert one.member == Member.objects.get()


def test_a_passkey_confirms_a_dangerous_act(
    shopper: Shopping, sandbox: Sandbox
) -> None:
    """security 30"""
    buyer = shopper()
    make_one(buyer, sandbox)
    buyer.visit("/account/confirm/?next=/account/passkeys/")
    buyer.tap("用通行密钥确认")
    expect(
        buyer.page.get_by_role("heading", name="通行密钥", exact=True)
    ).to_be_visible()
    assert Passkey.objects.get().used_at is not None


def test_the_same_device_makes_no_second_one(
    shopper: Shopping, sandbox: Sandbox
) -> None:
    buyer = shopper()
    make_one(buyer, sandbox)
    buyer.visit("/account/passkeys/new/")
    buyer.tap("添加通行密钥")
    expect(buyer.page.get_by_text("这台设备上已经有通行密钥了")).to_be_visible()
    assert Passkey.objects.count() == 1


def test_nothing_is_shown_where_the_browser_has_none(
    shopper: Shopping, sandbox: Sandbox
) -> None:
    """S4: in-app browsers; no button, no file fetched, nothing in the console."""
    buyer = shopper(user_agent=WECHAT_UA)
    buyer.page.add_init_script(NO_SUPPORT)
    fetched: list[str] = []
    buyer.page.on("request", lambda request: fetched.append(request.url))
    sign_in_by_code(buyer, sandbox)
    expect(buyer.page.locator("#guide li:visible")).to_have_count(3)
    expect(buyer.page.get_by_text("看看会员权益和到期时间")).to_be_visible()
    for page in ("/account/", "/account/passkeys/"):
        buyer.visit(page)
        expect(buyer.page.locator("[data-passkey=link]")).not_to_have_count(0)
        expect(buyer.page.locator("[data-passkey=link]:not([hidden])")).to_have_count(0)
        expect(buyer.page.get_by_text("添加通行密钥")).to_be_hidden()
        expect(buyer.page.get_by_text("通行密钥：")).to_be_hidden()
    buyer.visit("/account/passkeys/new/")
    expect(buyer.page.get_by_text("没有看到按钮")).to_be_visible()
    expect(buyer.page.get_by_role("button", name="添加通行密钥")).to_be_hidden()
    assert not [url for url in fetched if "passkeys" in url and url.endswith(".js")]
