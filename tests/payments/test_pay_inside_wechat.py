"""JSAPI: the order waits for who pays, WeChat tells it silently, its script opens the
wallet. The adapters and the sandbox are the real ones."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import httpx
import pytest
from django.test import Client, override_settings

from members.models import Member
from orders.models import Order
from payments.models import Attempt, AttemptState
from tests.sandbox_process import Sandbox
from tests.shopping import Shopper, Till, checkout_form, fresh

WECHAT = {"User-Agent": "Mozilla/5.0 (iPhone) Mobile/15E148 MicroMessenger/8.0.50"}
DESKTOP = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0"}

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def service_account(sandbox_process: Sandbox, gateways_on: None) -> Iterator[None]:
    names = {
        name: value
        for name, value in sandbox_process.environment.items()
        if name.startswith(("WECHAT_MP_", "WECHAT_LOGIN_"))
    }
    with override_settings(**names):
        yield


@pytest.fixture
def her(till: Till, service_account: None, member: Member) -> Shopper:
    shopper = Shopper(till, member)
    shopper.client = Client(headers=WECHAT)
    with till.stopped_clock():
        shopper.client.force_login(member)
    return shopper


def ordered(her: Shopper) -> Order:
    answer = her.post("/checkout/", **checkout_form())
    assert answer.status_code == 303
    order = Order.objects.latest("id")
    assert answer["Location"] == f"/orders/{order.no}/pay/"
    return order


def way_to_wechat(page: Any) -> str:
    found = re.search(r'href="([^"]+)" data-handover', page.text)
    assert found is not None
    return unescape(found[1])


def back_from(url: str) -> str:
    """What WeChat answers its own page with: the address it sends the browser to."""
    answer = httpx.get(url.partition("#")[0], trust_env=False)
    assert answer.status_code == 302, answer.text
    path: str = httpx.URL(answer.headers["Location"]).raw_path.decode()
    return path


def bridge(page: Any) -> dict[str, str]:
    found = re.search(r'data-bridge="([^"]+)"', page.text)
    assert found is not None
    params: dict[str, str] = json.loads(unescape(found[1]))
    return params


def pay_page(her: Shopper, order: Order, **headers: Any) -> Any:
    return her.get(f"/orders/{order.no}/pay/", **headers)


def test_an_order_waits_for_who_pays_and_is_paid(her: Shopper, till: Till) -> None:
    order = ordered(her)
    attempt = order.attempts.get()
    assert (attempt.product, attempt.state) == ("jsapi", AttemptState.CREATED)
    assert till.wallet.calls("wechat", "start") == []
    page = pay_page(her, order)
    assert page.context["pay_state"] == "ready"
    url = way_to_wechat(page)
    assert "scope=snsapi_base" in url
    back = her.get(back_from(url))
    assert back.status_code == 303
    assert back["Location"] == f"/orders/{order.no}/pay/"
    assert fresh(attempt).state == AttemptState.OPEN
    page = pay_page(her, order)
    params = bridge(page)
    assert set(params) == {
        "appId",
        "timeStamp",
        "nonceStr",
        "package",
        "signType",
        "paySign",
    }
    assert params["appId"] == till.wallet.environment["WECHAT_MP_APP_ID"]
    wallet = httpx.get(f"{till.wallet.url}/wechat/jsapi/", params=params)
    assert wallet.status_code == 302
    assert "cashier" in wallet.headers["Location"]
    till.wallet.pay("wechat", attempt.out_trade_no)
    (notice,) = till.caught()
    assert till.deliver(notice, gateway="wechat").status_code == 204
    assert fresh(order).status == "paid"


def test_the_openid_is_kept_nowhere(her: Shopper, till: Till) -> None:
    """security 74"""
    order = ordered(her)
    her.get(back_from(way_to_wechat(pay_page(her, order))))
    person = till.wallet.control("people/")["people"][0]
    openid = person["openids"][till.wallet.environment["WECHAT_MP_APP_ID"]]
    trade = till.wallet.trade("wechat", order.attempts.get().out_trade_no)
    assert trade["details"]["openid"] == openid
    for attempt in Attempt.objects.values():
        assert openid not in str(attempt)
    for event in order.events.values():
        assert openid not in str(event)
    assert openid not in str(dict(her.client.session))
    assert openid not in pay_page(her, order).text


def test_reading_the_page_changes_nothing(her: Shopper) -> None:
    """security 57"""
    order = ordered(her)
    before = (dict(her.client.session), fresh(order.attempts.get()).state)
    pay_page(her, order)
    assert (dict(her.client.session), fresh(order.attempts.get()).state) == before


@pytest.mark.parametrize("bend", ["missing", "flipped", "order", "session", "late"])
def test_a_state_that_is_not_ours_opens_nothing(
    her: Shopper, till: Till, bend: str
) -> None:
    """security 25: bound to the browser and the order, ten minutes."""
    order = ordered(her)
    path = back_from(way_to_wechat(pay_page(her, order)))
    whose = her
    match bend:
        case "missing":
            path = path.partition("&state")[0]
        case "flipped":
            path = path[:-1] + ("0" if path[-1] != "0" else "1")
        case "order":
            her.post(f"/orders/{order.no}/cancel/")
            other = ordered(her)
            path = path.replace(order.no, other.no)
            order = other
        case "session":
            whose = Shopper(till, order.member)
            whose.client = Client(headers=WECHAT)
            with till.stopped_clock():
                whose.client.force_login(order.member)
        case "late":
            till.wait(seconds=601)
    assert whose.get(path).status_code == 400
    assert fresh(order.attempts.get()).state == AttemptState.CREATED
    assert till.wallet.calls("wechat_login", "token") == []


def test_a_state_is_used_once(her: Shopper, till: Till) -> None:
    """security 26"""
    order = ordered(her)
    path = back_from(way_to_wechat(pay_page(her, order)))
    assert her.get(path).status_code == 303
    assert her.get(path).status_code == 400
    assert len(till.wallet.calls("wechat_login", "token")) == 1
    assert len(till.wallet.calls("wechat", "start")) == 1


def test_a_stranger_finds_no_order(her: Shopper, till: Till) -> None:
    """security 52"""
    order = ordered(her)
    path = back_from(way_to_wechat(pay_page(her, order)))
    assert Shopper(till).get(path).status_code == 404


def test_without_an_answer_she_may_tap_again(her: Shopper, till: Till) -> None:
    """FLT: WeChat's OAuth is down; nothing is lost."""
    order = ordered(her)
    till.wallet.fault("wechat_login", "token", "500", count=1)
    back = her.get(back_from(way_to_wechat(pay_page(her, order))))
    assert back.status_code == 303
    page = pay_page(her, order)
    assert "微信没有回应，请再点一次" in page.text
    her.get(back_from(way_to_wechat(page)))
    assert fresh(order.attempts.get()).state == AttemptState.OPEN


def test_a_lost_answer_of_the_gateway_is_checked_first(
    her: Shopper, till: Till
) -> None:
    """R12: unknown for thirty seconds, then the same number again, with the openid."""
    order = ordered(her)
    till.wallet.fault("wechat", "start", "500", count=1, done=True)
    her.get(back_from(way_to_wechat(pay_page(her, order))))
    assert fresh(order.attempts.get()).state == AttemptState.UNKNOWN
    assert pay_page(her, order).context["pay_state"] == "unknown"
    till.wait(seconds=31)
    her.get(back_from(way_to_wechat(pay_page(her, order))))
    assert fresh(order.attempts.get()).state == AttemptState.OPEN
    assert order.attempts.count() == 1


def test_the_code_to_scan_is_one_tap_away(her: Shopper, till: Till) -> None:
    """R11: another product of the same gateway closes the attempt first."""
    order = ordered(her)
    her.get(back_from(way_to_wechat(pay_page(her, order))))
    page = pay_page(her, order)
    assert "<noscript>" in page.text
    again = her.post(
        f"/orders/{order.no}/payments/", channel="wechat", product="native"
    )
    assert again.status_code == 303
    states = dict(order.attempts.values_list("product", "state"))
    assert states == {"jsapi": "closed", "native": "open"}
    assert pay_page(her, order).context["qr_data_uri"]


def test_elsewhere_the_same_order_gets_the_product_of_that_device(
    her: Shopper, till: Till
) -> None:
    order = ordered(her)
    page = pay_page(her, order, headers=DESKTOP)
    assert "data-handover" not in page.text
    assert f'action="/orders/{order.no}/payments/"' in page.text
    with till.stopped_clock():
        again = her.client.post(
            f"/orders/{order.no}/payments/", {"channel": "wechat"}, headers=DESKTOP
        )
    assert again.status_code == 303
    assert order.attempts.filter(product="native", state="open").exists()


def test_without_a_service_account_there_is_the_code_to_scan(
    her: Shopper, till: Till
) -> None:
    with override_settings(WECHAT_MP_APP_ID="", WECHAT_MP_SECRET=""):
        order = ordered(her)
        assert order.attempts.get().product == "native"
        assert "data-bridge" not in pay_page(her, order).text
