"""The sandbox's epay aggregator, by a merchant written for this file alone."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.sandbox.merchant import HTTP, NoticeServer, Received, new_number
from tests.sandbox_process import Sandbox, wait_for

Fields = dict[str, str]


class EpayMerchant:
    def __init__(self, sandbox: Sandbox) -> None:
        self.url = sandbox.url
        self.pid = sandbox.environment["EPAY_PID"]
        self.key = sandbox.environment["EPAY_KEY"]

    def sign(self, fields: Fields) -> str:
        names = sorted(n for n, value in fields.items() if value)
        text = "&".join(f"{n}={fields[n]}" for n in names if not n.startswith("sign"))
        return hashlib.md5(f"{text}{self.key}".encode()).hexdigest()  # noqa: S324

    def order(self, notify_url: str, /, **change: str) -> Fields:
        fields = {
            "pid": self.pid,
            "type": "huafei",
            "out_trade_no": new_number(),
            "notify_url": notify_url,
            "return_url": "http://127.0.0.1:1/back/?token=t",
            "name": "卡盟 7天体验会员",
            "money": "15.00",
            "clientip": "203.0.113.7",
            "device": "mobile",
            "param": "u=1",
        } | change
        return fields | {"sign": self.sign(fields), "sign_type": "MD5"}

    def mapi(self, fields: Fields) -> Any:
        return HTTP.post(f"{self.url}/mapi.php", data=fields).json()

    def api(self, **fields: str) -> Any:
        given = {"pid": self.pid, "key": self.key} | fields
        return HTTP.get(f"{self.url}/api.php", params=given).json()

    def refund(self, **fields: str) -> Any:
        given = {"pid": self.pid, "key": self.key} | fields
        return HTTP.post(f"{self.url}/api.php?act=refund", data=given).json()


@pytest.fixture
def merchant(sandbox: Sandbox) -> EpayMerchant:
    return EpayMerchant(sandbox)


@pytest.fixture
def order(merchant: EpayMerchant, shop: NoticeServer) -> Fields:
    """Known to the aggregator by ``mapi.php``."""
    fields = merchant.order(shop.url)
    assert merchant.mapi(fields)["code"] == 1
    return fields


def next_notice(shop: NoticeServer) -> tuple[Received, Fields]:
    wait_for(lambda: shop.received)
    got = shop.received.pop(0)
    form = got.query if got.method == "GET" else got.body.decode()
    return got, dict(parse_qsl(form, keep_blank_values=True))


def test_an_order_leads_to_a_cashier(merchant: EpayMerchant, shop: NoticeServer):
    fields = merchant.order(shop.url)
    answer = merchant.mapi(fields)
    assert (answer["code"], answer["msg"]) == (1, "")
    assert "确认付款 ¥15.00" in HTTP.get(answer["payurl"]).text
    again = merchant.mapi(fields)
    assert again["trade_no"] == answer["trade_no"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_browser_may_come_by_submit(
    merchant: EpayMerchant, shop: NoticeServer, sandbox: Sandbox, method: str
):
    fields = merchant.order(shop.url, clientip="", device="")
    sent = {"params": fields} if method == "GET" else {"data": fields}
    answer = HTTP.request(method, f"{merchant.url}/submit.php", **sent)  # type: ignore[arg-type]
    assert answer.is_redirect
    trade = sandbox.trade("epay", fields["out_trade_no"])
    assert answer.headers["Location"] == trade["cashier"]
    forged = {**fields, "money": "0.01"}
    refused = HTTP.request(method, f"{merchant.url}/submit.php", params=forged)
    assert refused.status_code == 400
    assert "签名校验失败" in refused.text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pid": "9999"}, "商户不存在"),
        ({"type": "nosuch"}, "支付方式(type)不存在"),
        ({"money": "-1"}, "金额(money)不合法"),
        ({"money": "1e3"}, "金额(money)不合法"),
        ({"money": "0.00"}, "金额(money)不合法"),
        ({"out_trade_no": "a b"}, "订单号(out_trade_no)格式不正确"),
        ({"name": ""}, "商品名称(name)不能为空"),
        ({"notify_url": "nowhere"}, "notify_url 格式不正确"),
        ({"clientip": ""}, "用户IP地址(clientip)不能为空"),
    ],
)
def test_a_wrong_order_is_refused_in_words(
    merchant: EpayMerchant, shop: NoticeServer, change: Fields, words: str
):
    answer = merchant.mapi(merchant.order(shop.url, **change))
    assert answer == {"code": -1, "msg": words}


def test_a_wrong_sign_is_refused(merchant: EpayMerchant, shop: NoticeServer):
    fields = merchant.order(shop.url)
    for sign in ("", "0" * 32, "签名", fields["sign"].upper()):
        answer = merchant.mapi(fields | {"sign": sign})
        assert answer == {"code": -1, "msg": "签名校验失败"}


def test_another_sum_under_the_same_number_is_refused(
    merchant: EpayMerchant, shop: NoticeServer, order: Fields
):
    again = merchant.order(shop.url, out_trade_no=order["out_trade_no"], money="1.00")
    assert merchant.mapi(again)["code"] == -1


def test_a_query_by_key_and_by_sign(
    merchant: EpayMerchant, sandbox: Sandbox, order: Fields
):
    number = order["out_trade_no"]
    answer = merchant.api(act="order", out_trade_no=number)
    assert (answer["code"], answer["status"], answer["money"]) == (1, 0, "15.00")
    sandbox.pay("epay", number, notify="lose")
    fields = {"act": "order", "pid": merchant.pid, "out_trade_no": number}
    signed = fields | {"sign": merchant.sign(fields), "sign_type": "MD5"}
    answer = HTTP.get(f"{merchant.url}/api.php", params=signed).json()
    assert (answer["status"], answer["type"]) == (1, "huafei")
    assert answer["trade_no"] == sandbox.trade("epay", number)["payments"][0]["txn_id"]
    assert merchant.api(act="order", out_trade_no="NOSUCH")["code"] == -1
    assert merchant.api(act="order", out_trade_no=number, key="x")["code"] == -3
    assert merchant.api(act="nosuch")["code"] == -5


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_notice_is_signed_and_repeated_until_the_word(
    merchant: EpayMerchant,
    sandbox: Sandbox,
    shop: NoticeServer,
    order: Fields,
    method: str,
):
    shop.replies.extend([(200, b"fail"), (500, b"success"), (200, b"success\n")])
    sandbox.control("epay/", {"notifies_by": method})
    sandbox.pay("epay", order["out_trade_no"])
    for _ in range(4):
        got, fields = next_notice(shop)
        assert got.method == method
        assert fields.pop("sign") == merchant.sign(fields)
        assert fields.pop("sign_type") == "MD5"
        assert fields.pop("trade_no")
        assert fields == {
            "pid": merchant.pid,
            "out_trade_no": order["out_trade_no"],
            "type": "huafei",
            "name": "卡盟 7天体验会员",
            "money": "15.00",
            "trade_status": "TRADE_SUCCESS",
            "param": "u=1",
        }
    wait_for(lambda: sandbox.deliveries("epay")[-1]["accepted"])


@pytest.mark.parametrize(
    "variant",
    ["wrong_signature", "unsigned", "empty_key", "tampered", "added_field"],
)
def test_forged_notices_do_not_verify(
    merchant: EpayMerchant,
    sandbox: Sandbox,
    shop: NoticeServer,
    order: Fields,
    variant: str,
):
    sandbox.notify("epay", order["out_trade_no"], variant)
    _, fields = next_notice(shop)
    assert fields["sign"] != merchant.sign(fields)


@pytest.mark.parametrize(
    ("variant", "field", "value"),
    [
        ("wrong_amount", "money", "15.01"),
        ("wrong_merchant", "pid", "SANDBOX9999"),
        ("wrong_type", "type", "bank"),
        ("wrong_state", "trade_status", "WAIT_BUYER_PAY"),
        ("unknown_order", "out_trade_no", "NOSUCHORDER00000000000001"),
    ],
)
def test_untrue_notices_verify(
    merchant: EpayMerchant,
    sandbox: Sandbox,
    shop: NoticeServer,
    order: Fields,
    variant: str,
    field: str,
    value: str,
):
    sandbox.notify("epay", order["out_trade_no"], variant)
    _, fields = next_notice(shop)
    assert fields["sign"] == merchant.sign(fields)
    assert fields[field] == value


def test_only_the_whole_sum_goes_back_and_once(
    merchant: EpayMerchant, sandbox: Sandbox, order: Fields
):
    number = order["out_trade_no"]
    assert merchant.refund(out_trade_no=number, money="15.00")["msg"] == "该订单未支付"
    sandbox.pay("epay", number, notify="lose")
    part = merchant.refund(out_trade_no=number, money="5.00")
    assert part == {"code": -1, "msg": "只支持全额退款"}
    assert merchant.refund(out_trade_no=number, money="15.00", key="x")["code"] == -3
    assert merchant.refund(out_trade_no=number, money="15.00")["code"] == 1
    assert merchant.refund(out_trade_no=number, money="15.00")["msg"] == "该订单已退款"
    assert merchant.api(act="order", out_trade_no=number)["status"] == 2
    lines = sandbox.bill("epay")
    assert [(line["kind"], line["amount_fen"]) for line in lines] == [
        ("payment", 1_500),
        ("refund", 1_500),
    ]


def test_a_merchant_without_money_refunds_nothing(
    merchant: EpayMerchant, sandbox: Sandbox, order: Fields
):
    sandbox.pay("epay", order["out_trade_no"], notify="lose")
    sandbox.plan_refunds("epay", "fail", count=1)
    given = {"out_trade_no": order["out_trade_no"], "money": "15.00"}
    assert merchant.refund(**given)["code"] == -1
    assert merchant.refund(**given)["code"] == 1


def test_the_buyer_is_led_back_with_signed_fields(
    merchant: EpayMerchant, sandbox: Sandbox, order: Fields
):
    sandbox.pay("epay", order["out_trade_no"], notify="lose")
    cashier = sandbox.trade("epay", order["out_trade_no"])["cashier"]
    page = HTTP.get(f"{sandbox.url}{cashier}").text
    back = page.split('content="3;url=')[1].split('"')[0].replace("&amp;", "&")
    fields = dict(parse_qsl(urlsplit(back).query, keep_blank_values=True))
    assert fields.pop("token") == "t"
    assert fields["sign"] == merchant.sign(fields)


def test_a_trade_has_no_time_limit(
    merchant: EpayMerchant, sandbox: Sandbox, order: Fields
):
    sandbox.set_clock(offset=30 * 86_400)
    sandbox.pay("epay", order["out_trade_no"], notify="lose", as_buyer=True)
    answer = merchant.api(act="order", out_trade_no=order["out_trade_no"])
    assert answer["status"] == 1


@pytest.mark.parametrize("method", ["start", "query", "refund"])
def test_faults_bend_every_call(
    merchant: EpayMerchant, sandbox: Sandbox, shop: NoticeServer, method: str
):
    fields = merchant.order(shop.url)
    calls = {
        "start": lambda: HTTP.post(f"{merchant.url}/mapi.php", data=fields),
        "query": lambda: HTTP.get(f"{merchant.url}/api.php", params={"act": "order"}),
        "refund": lambda: HTTP.get(f"{merchant.url}/api.php", params={"act": "refund"}),
    }
    sandbox.fault("epay", method, "500", count=1)
    assert calls[method]().status_code == 500
    sandbox.fault("epay", method, "refuse", code="-7", count=1)
    assert calls[method]().json() == {"code": -7, "msg": "sandbox fault"}
    assert [call["outcome"] for call in sandbox.calls("epay", method)] == [
        "500",
        "refuse",
    ]


def test_how_notices_travel_is_one_of_two(sandbox: Sandbox):
    assert sandbox.control("epay/") == {"notifies_by": "GET"}
    with pytest.raises(Exception, match="GET or POST"):
        sandbox.control("epay/", {"notifies_by": "PUT"})
