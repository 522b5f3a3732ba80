"""What script adds to the pages, and that it leaves the deciding to the server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect

from tests.pages.states import FORM, HANDED_OVER, ORDER_NO, STATES, render

pytestmark = pytest.mark.browser

FRAGMENT = {"content-type": "text/html; charset=utf-8"}
STATUS = f"**/orders/{ORDER_NO}/status/**"
WALLET = "**/wallet/h5"
COUNT_SUBMITS = """
window.submits = 0;
window.addEventListener("submit", (event) => {
  if (!event.defaultPrevented) window.submits++;
  event.preventDefault();
});
"""


def answer(
    body: str, status: int = 200, headers: Mapping[str, str] | None = None
) -> Callable[[Route], None]:
    def fulfil(route: Route) -> None:
        route.fulfill(status=status, headers={**FRAGMENT, **(headers or {})}, body=body)

    return fulfil


def element(name: str, identifier: str) -> str:
    """One element of a rendered state, cut out by its id; our fragments nest no twins."""
    html = render(name)
    found = re.search(rf'<(\w+)[^>]*\bid="{identifier}"', html)
    assert found
    closing = re.compile(rf"<(/?){found[1]}\b[^>]*>")
    depth = 0
    for tag in closing.finditer(html, found.start()):
        depth += -1 if tag[1] else 1
        if depth == 0:
            return html[found.start() : tag.end()]
    raise AssertionError(identifier)


def requests_of(page: Page, part: str) -> list[Request]:
    seen: list[Request] = []

    def notice(request: Request) -> None:
        if part in request.url:
            seen.append(request)

    page.on("request", notice)
    return seen


# Choosing


def test_another_plan_swaps_the_summary_and_nothing_else(
    page: Page, address: str
) -> None:
    page.route(
        "**/checkout/summary/**", answer(element("choice-three-weeks", "summary"))
    )
    asked = requests_of(page, "/checkout/summary/")
    page.goto(f"{address}/choice")
    page.locator("#id_phone").fill("138 0013")
    page.get_by_label("30 天卡").check()
    expect(page.locator("#summary .price")).to_have_text("¥45.00")
    [query] = [request.url.partition("?")[2] for request in asked]
    assert set(query.split("&")) == {"plan=temporary-30", "channel=wechat"}
    assert page.locator("#id_phone").input_value() == "138 0013"


def test_a_code_swaps_the_phone_step_and_the_cursor_waits_in_the_code_field(
    page: Page, address: str
) -> None:
    page.route("**/checkout/code/", answer(element("phone-sent", "phone")))
    asked = requests_of(page, "/checkout/code/")
    page.goto(f"{address}/choice")
    page.locator("#id_phone").fill("13800138000")
    page.get_by_role("button", name="获取验证码").click()
    expect(page.locator("#id_code")).to_be_focused()
    form = parse_qs(asked[0].post_data or "")
    assert form["phone"] == ["138 0013 8000"]
    assert form["csrfmiddlewaretoken"] == ["token"]
    assert asked[0].headers["hx-target"] == "phone"


@pytest.mark.parametrize(
    ("status", "name"),
    [(422, "phone-bad"), (429, "phone-locked"), (422, "phone-blocked")],
)
def test_a_refused_code_is_shown_in_place(
    status: int, name: str, browser: Browser, address: str
) -> None:
    """Not the ``page`` fixture: the browser itself logs each 4xx answer."""
    page = browser.new_page()
    page.route("**/checkout/code/", answer(element(name, "phone"), status))
    page.goto(f"{address}/choice")
    page.get_by_role("button", name="获取验证码").click()
    expect(page.locator("#phone .field__error, #phone .error")).to_be_visible()
    page.close()


def test_the_resend_button_counts_down_whatever_the_device_thinks_the_time_is(
    page: Page, address: str
) -> None:
    page.clock.install(time="2020-01-01T00:00:00Z")
    page.goto(f"{address}/phone-sent")
    button = page.locator("[data-resend-in]")
    expect(button).to_be_disabled()
    seconds = int(re.sub(r"\D", "", button.inner_text()))
    assert 0 < seconds <= 60
    page.clock.run_for(61_000)
    expect(button).to_be_enabled()
    expect(button).to_have_text("重新获取")


def test_enter_in_the_code_field_pays_and_does_not_ask_for_a_new_code(
    page: Page, address: str
) -> None:
    paid = requests_of(page, "/checkout/")
    page.route("**/checkout/", answer("<title>-</title>"))
    page.goto(f"{address}/phone-wrong")
    page.locator("#id_code").fill("123456")
    page.locator("#id_code").press("Enter")
    page.wait_for_url("**/checkout/")
    assert [request.url.rpartition("/checkout/")[2] for request in paid] == [""]


def test_a_second_tap_on_the_pay_button_is_ignored(page: Page, address: str) -> None:
    page.goto(f"{address}/phone-verified")
    page.evaluate(COUNT_SUBMITS)
    button = page.locator("#summary .button--primary")
    button.click()
    expect(button).to_have_text("正在下单…")
    expect(button).to_have_attribute("aria-busy", "true")
    button.click()
    button.click()
    assert page.evaluate("submits") == 1
    page.evaluate("window.dispatchEvent(new PageTransitionEvent('pageshow'))")
    expect(button).to_have_text("同意并支付 ¥15.00")
    button.click()
    assert page.evaluate("submits") == 2


def test_the_phone_number_is_spaced_when_she_leaves_the_field(
    page: Page, address: str
) -> None:
    page.goto(f"{address}/choice")
    for typed in ("13800138000", "+86 138-0013-8000", "8613800138000"):
        page.locator("#id_phone").fill(typed)
        page.locator("#id_phone").blur()
        assert page.locator("#id_phone").input_value() == "138 0013 8000"
    page.locator("#id_phone").fill("1380013")
    page.locator("#id_phone").blur()
    assert page.locator("#id_phone").input_value() == "1380013"


def test_the_sixth_digit_signs_in_on_the_login_page_only(
    page: Page, address: str
) -> None:
    page.route("**/login/", answer("<title>-</title>"))
    page.goto(f"{address}/phone-wrong")
    page.locator("#id_code").press_sequentially("123456")
    assert page.url.endswith("/phone-wrong")
    page.goto(f"{address}/login-sent")
    page.locator("#id_code").press_sequentially("123456")
    page.wait_for_url("**/login/")


# Paying


def test_the_wallet_opens_once_and_back_leads_to_the_pay_page(
    page: Page, address: str
) -> None:
    page.route(WALLET, answer("<title>wallet</title>"))
    page.goto(f"{address}/pay-phone", wait_until="commit")
    page.wait_for_url(WALLET)
    page.go_back(wait_until="load")
    page.wait_for_timeout(300)
    assert page.url.endswith("/pay-phone")
    expect(page.get_by_role("link", name="打开微信付款")).to_be_visible()


def test_a_terminal_state_replaces_main_and_brings_the_badge(
    page: Page, address: str
) -> None:
    swapped = element("success", "main") + element("success", "badge").replace(
        "<div", '<div data-hx-swap-oob="true"', 1
    )
    page.route(
        STATUS,
        answer(
            f"<title>支付结果 - 卡盟</title>{swapped}",
            headers={"HX-Retarget": "#main", "HX-Reswap": "outerHTML"},
        ),
    )
    page.goto(f"{address}/pay-desktop-qr")
    expect(page.get_by_role("heading", name="会员已开通")).to_be_visible(timeout=20_000)
    expect(page.locator(".header #badge")).to_contain_text("临时会员")
    expect(page).to_have_title("支付结果 - 卡盟")
    expect(page.locator("#main")).to_be_focused()
    assert page.locator("#badge").count() == 1


def test_polling_says_what_is_seen_and_ends_with_the_last_fragment(
    page: Page, address: str
) -> None:
    asked = requests_of(page, "/status/")
    with page.expect_request(STATUS):
        page.goto(f"{address}/pay-desktop-qr")
    assert asked[0].url.endswith("?seen=ready")
    page.route(STATUS, answer('<div class="status" id="pay-status">-</div>'))
    expect(page.locator("#pay-status")).to_have_text("-", timeout=20_000)
    so_far = len(asked)
    page.wait_for_timeout(2500)
    assert len(asked) == so_far


def test_a_hidden_page_does_not_poll_and_asks_at_once_when_shown(
    page: Page, address: str
) -> None:
    page.add_init_script(
        "window.away = false;"
        "Object.defineProperty(document, 'hidden', {get: () => window.away});"
    )
    page.goto(f"{address}/pay-desktop-qr")
    page.evaluate("away = true")
    asked = requests_of(page, "/status/")
    page.wait_for_timeout(2500)
    assert asked == []
    with page.expect_request(STATUS, timeout=10_000):
        page.evaluate(
            "away = false; document.dispatchEvent(new Event('visibilitychange'))"
        )


def test_the_clock_ticks_speaks_and_asks_the_server_at_the_end(
    page: Page, address: str
) -> None:
    page.clock.install(time="2020-01-01T00:00:00Z")
    page.goto(f"{address}/pay-desktop-qr")
    clock = page.get_by_role("timer")
    expect(clock).to_have_text(re.compile(r"29:\d\d"))
    page.clock.fast_forward("20:00")
    expect(page.locator("[data-countdown-voice]")).to_have_text("离截止还有 10 分钟")
    page.clock.fast_forward("10:00")
    expect(clock).to_have_text("0:00")
    expect(page.get_by_role("heading", level=1)).to_have_text("打开微信，扫一扫付款")


def test_going_offline_says_so_and_coming_back_asks_again(
    page: Page, address: str
) -> None:
    page.goto(f"{address}/success")
    bar = page.locator("[data-offline]")
    expect(bar).to_be_hidden()
    page.context.set_offline(True)
    expect(bar).to_have_text("网络断了，恢复后自动继续")
    expect(bar).to_be_visible()
    page.context.set_offline(False)
    expect(bar).to_be_hidden()


# Afterwards


def test_the_welcome_is_a_dialog_once(page: Page, address: str) -> None:
    page.goto(f"{address}/success-welcome")
    dialog = page.get_by_role("dialog", name="恭喜您成为临时会员，专属折扣已开启")
    expect(dialog).to_be_visible()
    assert page.evaluate("document.querySelector('dialog').matches(':modal')")
    dialog.get_by_role("button", name="知道了").click()
    expect(dialog).to_be_hidden()
    page.reload()
    expect(dialog).to_be_hidden()


def test_the_order_number_is_copied_without_its_spaces(
    browser: Browser, address: str
) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(f"{address}/order-paid")
    page.get_by_role("button", name="复制").click()
    expect(page.get_by_role("button", name="已复制")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == ORDER_NO
    context.close()


# Without script


@pytest.fixture
def plain(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(java_script_enabled=False, locale="zh-CN")
    page = context.new_page()
    yield page
    page.unroute_all(behavior="ignoreErrors")
    context.close()


def test_without_script_the_welcome_is_a_section_that_closes(
    plain: Page, address: str
) -> None:
    plain.goto(f"{address}/success-welcome")
    welcome = plain.get_by_role("dialog")
    expect(welcome).to_be_visible()
    assert "static" in plain.locator("dialog").evaluate(
        "e => getComputedStyle(e).position"
    )
    plain.get_by_role("button", name="知道了").click()
    expect(welcome).to_be_hidden()


def test_without_script_nothing_useless_is_shown(plain: Page, address: str) -> None:
    plain.goto(f"{address}/pay-phone")
    expect(plain.get_by_role("link", name="打开微信付款")).to_be_visible()
    expect(plain.get_by_role("button", name="复制")).to_be_hidden()
    expect(plain.locator(".bar")).to_be_hidden()
    expect(plain.get_by_text("前付款")).to_be_visible()
    plain.goto(f"{address}/phone-sent")
    expect(plain.get_by_role("button", name="重新获取")).to_be_enabled()
    plain.goto(f"{address}/success")
    expect(plain.locator("#guide li:visible")).to_have_count(3)


def test_without_script_getting_a_code_posts_the_whole_form(
    plain: Page, address: str
) -> None:
    plain.route("**/checkout/code/", answer(render("phone-sent")))
    plain.goto(f"{address}/choice")
    plain.get_by_label("30 天卡").check()
    plain.locator("#id_phone").fill("13800138000")
    with plain.expect_request("**/checkout/code/") as sent:
        plain.get_by_role("button", name="获取验证码").click()
    form = parse_qs(sent.value.post_data or "")
    assert form["phone"] == ["13800138000"]
    assert form["plan"] == ["temporary-30"]
    assert form["channel"] == ["wechat"]
    assert form["client_token"] == ["c0ffee"]
    assert form["shown_fen"] == ["1500"]


FRONT = "**/wallet/front"
FIELDS = {name: [value] for name, value in FORM["fields"].items()}


@pytest.mark.parametrize("name", ["pay-desktop-form", "pay-phone-form"])
def test_a_wallet_that_takes_a_form_is_opened_by_script_once(
    page: Page, address: str, name: str
) -> None:
    """Back leads to a page that waits, and the button opens it again."""
    page.route(FRONT, answer("<title>wallet</title>"))
    with page.expect_request(FRONT) as sent:
        page.goto(f"{address}/{name}")
    assert sent.value.method == "POST"
    assert parse_qs(sent.value.post_data or "") == FIELDS
    page.wait_for_url(FRONT)
    page.go_back()
    button = page.get_by_role("button", name="打开云闪付付款")
    expect(button).to_be_visible()
    page.wait_for_timeout(200)
    assert page.url == f"{address}/{name}"
    with page.expect_request(FRONT):
        button.click()
    page.wait_for_url(FRONT)


def test_without_script_a_button_posts_the_form_to_the_wallet(
    plain: Page, address: str
) -> None:
    plain.route(FRONT, answer("<title>wallet</title>"))
    plain.goto(f"{address}/pay-phone-form")
    with plain.expect_request(FRONT) as sent:
        plain.get_by_role("button", name="打开云闪付付款").click()
    assert parse_qs(sent.value.post_data or "") == FIELDS
    plain.wait_for_url(FRONT)


def test_every_state_has_one_primary_button_at_most(page: Page, address: str) -> None:
    page.add_init_script(HANDED_OVER)
    for name in STATES:
        page.goto(f"{address}/{name}")
        assert page.locator(".button--primary:visible").count() <= 1, name
