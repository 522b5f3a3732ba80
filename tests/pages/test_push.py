"""The switch of the reminders and the service worker, as far as no push service is needed.

A real subscription needs a push service on the open network; ``PushManager`` is stubbed.
"""

from __future__ import annotations

import hashlib
import json
import re
from urllib.parse import parse_qs

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.test import Client
from playwright.sync_api import Page, expect

ENDPOINT = "https://fcm.googleapis.com/fcm/send/abc"
STUB = """
(({permission, answer, subscribed}) => {
  window.asked = 0;
  const made = {
    endpoint: "%s",
    toJSON: () => ({ endpoint: made.endpoint, keys: { p256dh: "P", auth: "A" } }),
    unsubscribe: async () => { registration.held = null; return true; },
  };
  const registration = {
    held: subscribed ? made : null,
    pushManager: {
      getSubscription: async () => registration.held,
      subscribe: async (wish) => {
        if (!wish.userVisibleOnly || !wish.applicationServerKey.length) throw new Error();
        return (registration.held = made);
      },
    },
  };
  window.PushManager = class {};
  window.Notification = class {
    static permission = permission;
    static async requestPermission() {
      window.asked++;
      return (Notification.permission = answer);
    }
  };
  Object.defineProperty(navigator, "serviceWorker", { value: {
    register: async (path) => { window.registered = path; return registration; },
    ready: Promise.resolve(registration),
    getRegistration: async () => registration,
  }});
})(%s);
"""


def open_account(
    page: Page,
    address: str,
    permission: str = "default",
    answer: str = "granted",
    *,
    subscribed: bool = False,
    known: bool = False,
) -> None:
    given = {"permission": permission, "answer": answer, "subscribed": subscribed}
    page.add_init_script(STUB % (ENDPOINT, json.dumps(given)))
    if known:
        digest = hashlib.sha256(ENDPOINT.encode()).hexdigest()
        page.add_init_script(
            "document.addEventListener('DOMContentLoaded', () => {"
            f"document.querySelector('[data-push]').dataset.known = '{digest}' }})"
        )
    page.goto(f"{address}/account-push")


@pytest.mark.browser
def test_one_tap_asks_subscribes_and_tells_the_shop(page: Page, address: str) -> None:
    """S28: permission is asked for after the click, never before."""
    sent: list[dict[str, list[str]]] = []

    def take(route, request) -> None:
        sent.append(parse_qs(request.post_data))
        route.fulfill(status=204)

    page.route("**/account/push/", take)
    page.route("**/account/push/off/", take)
    open_account(page, address)
    on = page.get_by_role("button", name="打开提醒")
    expect(on).to_be_visible()
    assert page.evaluate("window.asked") == 0
    on.click()
    off = page.get_by_role("button", name="不再提醒")
    expect(off).to_be_focused()
    expect(on).to_be_hidden()
    assert page.evaluate("[window.asked, window.registered]") == [1, "/sw.js"]
    assert sent[0] == {
        "csrfmiddlewaretoken": ["token"],
        "endpoint": [ENDPOINT],
        "p256dh": ["P"],
        "auth": ["A"],
    }
    off.click()
    expect(on).to_be_focused()
    assert sent[1] == {"csrfmiddlewaretoken": ["token"], "endpoint": [ENDPOINT]}


@pytest.mark.browser
@pytest.mark.parametrize(
    ("permission", "subscribed", "known", "words"),
    [
        ("denied", False, False, "浏览器拦住了通知"),
        ("granted", True, True, "这个浏览器会在到期前提醒你"),
        ("granted", True, False, "快到期时"),  # somebody else's, or ended elsewhere
    ],
)
def test_it_shows_what_is_the_case(
    page: Page,
    address: str,
    permission: str,
    subscribed: bool,
    known: bool,
    words: str,
) -> None:
    open_account(page, address, permission, subscribed=subscribed, known=known)
    expect(page.locator("[data-push] [data-when]:visible").first).to_contain_text(words)


@pytest.mark.browser
def test_a_refusal_of_hers_is_respected(page: Page, address: str) -> None:
    open_account(page, address, answer="denied")
    page.get_by_role("button", name="打开提醒").click()
    expect(page.locator("[data-push]")).to_contain_text("浏览器拦住了通知")
    expect(page.locator("[data-push] button:visible")).to_have_count(0)


@pytest.mark.browser
def test_a_shop_that_refuses_leaves_it_off(page: Page, address: str) -> None:
    page.route("**/account/push/", lambda route: route.fulfill(status=200))
    open_account(page, address)
    page.get_by_role("button", name="打开提醒").click()
    expect(page.locator("[data-when=on-failed]")).to_be_visible()
    expect(page.get_by_role("button", name="打开提醒")).to_be_visible()


@pytest.mark.browser
def test_a_browser_without_it_shows_nothing(page: Page, address: str) -> None:
    page.add_init_script("delete window.PushManager")
    page.goto(f"{address}/account-push")
    page.wait_for_load_state("networkidle")
    expect(page.locator("[data-push]")).to_be_hidden()


# --- Manifest and service worker -------------------------------------------------------


@pytest.fixture
def worker(db: None) -> str:
    answer = Client().get("/sw.js")
    assert answer["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer["Cache-Control"] == "no-cache"
    return answer.text


def test_the_worker_never_keeps_a_page(worker: str) -> None:
    """security 55: one list of static files is all that ever enters the cache."""
    assert re.findall(r"\.(put|add|addAll)\(([^)]*)\)", worker) == [("addAll", "KEPT")]
    kept = re.findall(r'"(/[^"]+)"', worker.split("const CACHE")[0])
    assert len(kept) == 4
    for path in kept:
        assert path.startswith("/static/")
        assert finders.find(path.removeprefix("/static/"))
    assert worker.count("respondWith(") == 1
    assert "fetch(request).catch(kept)" in worker


def test_the_worker_opens_nothing_but_our_own(worker: str) -> None:
    assert worker.count("openWindow(") == 1
    assert "url.origin === location.origin ? url.href" in worker


@pytest.mark.django_db
def test_the_manifest_names_icons_that_are_there() -> None:
    answer = Client().get("/manifest.webmanifest")
    assert answer["Content-Type"] == "application/manifest+json"
    assert answer["Cache-Control"] == "public, max-age=3600"
    told = json.loads(answer.content)
    assert (told["start_url"], told["scope"]) == ("/", "/")
    for icon in told["icons"]:
        assert (settings.BASE_DIR / icon["src"].lstrip("/")).is_file()
