"""The cashier's forms, as a browser without JavaScript sends them."""

from __future__ import annotations

import html
import re
import time

import httpx
import pytest

from tests.sandbox.merchant import (
    HTTP,
    AlipayMerchant,
    Json,
    NoticeServer,
    WeChatMerchant,
    new_number,
)
from tests.sandbox.test_alipay import order
from tests.sandbox.test_wechat import ordered
from tests.sandbox_process import Sandbox, wait_for

BACK = "http://127.0.0.1:9/return/"


@pytest.fixture
def number(alipay: AlipayMerchant, shop: NoticeServer) -> str:
    """An Alipay trade that leads back to a shop."""
    number = new_number()
    content = order(
        number, product_code="QUICK_WAP_WAY", quit_url="http://127.0.0.1:9/left/"
    )
    parameters = alipay.parameters(
        "alipay.trade.wap.pay", content, notify_url=shop.url, return_url=BACK
    )
    assert alipay.raw(parameters).status_code == 302
    return number


@pytest.fixture
def cashier(sandbox: Sandbox, number: str) -> str:
    return sandbox.url + str(sandbox.trade("alipay", number)["cashier"])


def submit(cashier: str, deed: str = "pay", **form: str) -> httpx.Response:
    return HTTP.post(f"{cashier}{deed}/", data=form, follow_redirects=True)


def payments(sandbox: Sandbox, number: str) -> list[Json]:
    return list(sandbox.trade("alipay", number)["payments"])


def test_paying_shows_the_way_back_at_once_and_takes_it_by_itself(
    sandbox: Sandbox, number: str, cashier: str
) -> None:
    page = submit(cashier)
    assert "付款成功" in page.text
    found = re.search(r'http-equiv="refresh" content="3;url=([^"]+)"', page.text)
    assert found is not None
    assert html.unescape(found[1]).startswith(f"{BACK}?")
    assert len(payments(sandbox, number)) == 1


def test_pressing_pay_twice_pays_once(
    sandbox: Sandbox, number: str, cashier: str
) -> None:
    submit(cashier)
    submit(cashier)
    assert len(payments(sandbox, number)) == 1


def test_paying_twice_on_purpose_makes_two_transactions(
    sandbox: Sandbox, number: str, cashier: str, shop: NoticeServer
) -> None:
    submit(cashier, what="twice")
    assert len({paid["txn_id"] for paid in payments(sandbox, number)}) == 2
    wait_for(lambda: len(shop.received) == 2)


def test_a_paid_trade_can_be_paid_once_more_from_the_panel(
    sandbox: Sandbox, number: str, cashier: str
) -> None:
    submit(cashier)
    submit(cashier, what="ordinary", notice="send")
    assert len(payments(sandbox, number)) == 2


def test_another_amount_is_paid(sandbox: Sandbox, number: str, cashier: str) -> None:
    submit(cashier, what="amount", yuan="14.9")
    assert payments(sandbox, number)[0]["amount_fen"] == 1490


@pytest.mark.parametrize(
    "form",
    [
        {"what": "amount", "yuan": "0"},
        {"what": "amount", "yuan": "x"},
        {"what": "late", "seconds": "0"},
        {"notice": "repeat", "times": "99"},
        {"notice": "delay", "delay": "-1"},
    ],
)
def test_a_wrong_number_in_the_panel_keeps_what_was_typed(
    sandbox: Sandbox, number: str, cashier: str, form: dict[str, str]
) -> None:
    page = submit(cashier, **form)
    assert page.status_code == 422
    assert f'value="{list(form.values())[1]}"' in page.text
    assert payments(sandbox, number) == []


def test_the_panel_pays_even_a_closed_trade(
    sandbox: Sandbox, number: str, cashier: str
) -> None:
    submit(cashier, "close")
    submit(cashier, what="amount", yuan="14.90")
    assert len(payments(sandbox, number)) == 1


def test_paying_late_happens_by_itself(
    sandbox: Sandbox, number: str, cashier: str
) -> None:
    page = submit(cashier, what="late", seconds="1")
    assert "已安排" in page.text
    assert payments(sandbox, number) == []
    wait_for(lambda: payments(sandbox, number))


def test_a_payment_may_follow_the_expiry(
    sandbox: Sandbox, number: str, cashier: str
) -> None:
    sandbox.set_clock(offset=29 * 60 + 58.5)
    submit(cashier, what="expired")
    wait_for(lambda: payments(sandbox, number))
    trade = sandbox.trade("alipay", number)
    assert trade["payments"][0]["paid_at"] > trade["expires_at"]


def test_a_notice_is_lost_or_repeated_as_chosen(
    number: str, cashier: str, shop: NoticeServer
) -> None:
    submit(cashier, notice="lose")
    time.sleep(0.2)
    assert shop.received == []
    submit(cashier, what="ordinary", notice="repeat", times="2")
    wait_for(lambda: len(shop.received) == 2)
    assert len(set(map(_notify_id, shop.received))) == 1


def _notify_id(received: object) -> bytes:
    found = re.search(rb"notify_id=(\w+)", getattr(received, "body", b""))
    assert found is not None
    return found[1]


def test_the_notice_comes_before_the_page_when_chosen(
    number: str, cashier: str, shop: NoticeServer
) -> None:
    submit(cashier, order="notice_first")
    assert len(shop.received) == 1


def test_the_browser_returns_before_the_notice_when_chosen(
    number: str, cashier: str, shop: NoticeServer
) -> None:
    response = HTTP.post(f"{cashier}pay/", data={"order": "return_first"})
    assert response.status_code == 302
    assert response.headers["location"].startswith(f"{BACK}?")
    assert shop.received == []


def test_a_refusal_is_shown_and_the_trade_stays_payable(
    sandbox: Sandbox, number: str, cashier: str
) -> None:
    page = submit(cashier, "refuse", reason="limit")
    assert "没有付成：超出限额" in page.text
    assert 'href="http://127.0.0.1:9/left/"' in page.text
    submit(cashier)
    assert len(payments(sandbox, number)) == 1


def test_closing_ends_it_for_the_buyer(
    sandbox: Sandbox, number: str, cashier: str
) -> None:
    assert "交易已关闭" in submit(cashier, "close").text
    submit(cashier)
    assert sandbox.trade("alipay", number)["state"] == "closed"


def test_a_return_address_that_is_no_web_page_is_refused(
    alipay: AlipayMerchant,
) -> None:
    content = order(new_number(), product_code="QUICK_WAP_WAY")
    for names in ({"return_url": "javascript:alert(1)"}, {}):
        wrong = content if names else content | {"quit_url": "javascript:alert(1)"}
        parameters = alipay.parameters("alipay.trade.wap.pay", wrong, **names)
        assert alipay.raw(parameters).status_code == 400


def test_the_front_page_lists_what_waits(
    sandbox: Sandbox, wechat: WeChatMerchant
) -> None:
    number = ordered(wechat, description="<b>七天</b>")
    page = HTTP.get(sandbox.url)
    assert number in page.text
    assert "&lt;b&gt;七天" in page.text
    assert sandbox.trade("wechat", number)["cashier"] in page.text


def test_pages_allow_no_inline_script(sandbox: Sandbox, cashier: str) -> None:
    for url in (sandbox.url, f"{sandbox.url}/sms/", cashier):
        page = HTTP.get(url)
        assert "unsafe" not in page.headers["Content-Security-Policy"]
        assert "<script>" not in page.text
        assert " style=" not in page.text


@pytest.mark.parametrize("path", ["/nope/cashier/x/", "/alipay/cashier/x/", "/x"])
def test_unknown_addresses_are_404(sandbox: Sandbox, path: str) -> None:
    assert HTTP.get(sandbox.url + path).status_code == 404
