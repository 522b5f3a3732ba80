"""The sandbox's Alipay, asked by a merchant that signs by hand."""

from __future__ import annotations

from datetime import datetime, timedelta
from urllib.parse import urlsplit

import httpx
import pytest

from tests.sandbox.merchant import (
    BEIJING,
    HTTP,
    AlipayMerchant,
    Json,
    NoticeServer,
    new_number,
)
from tests.sandbox_process import Sandbox, wait_for


def order(number: str, **change: object) -> Json:
    return {
        "out_trade_no": number,
        "total_amount": "15.00",
        "subject": "临时会员 7 天",
        "time_expire": beijing(minutes=30),
    } | change


def beijing(**ahead: int) -> str:
    moment = datetime.now(BEIJING) + timedelta(**ahead)
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def precreated(alipay: AlipayMerchant, notify_url: str = "") -> str:
    number = new_number()
    answer = alipay.call("alipay.trade.precreate", order(number), notify_url=notify_url)
    assert answer["code"] == "10000"
    return number


def query(alipay: AlipayMerchant, number: str) -> Json:
    return alipay.call("alipay.trade.query", {"out_trade_no": number})


def refund(alipay: AlipayMerchant, number: str, amount: str, request: str) -> Json:
    return alipay.call(
        "alipay.trade.refund",
        {
            "out_trade_no": number,
            "refund_amount": amount,
            "out_request_no": request,
            "refund_reason": "用户申请",
        },
    )


def test_precreate_answers_a_cashier_address_and_makes_no_trade(
    alipay: AlipayMerchant, sandbox: Sandbox
) -> None:
    number = new_number()
    answer = alipay.call("alipay.trade.precreate", order(number))
    assert answer["out_trade_no"] == number
    assert answer["qr_code"].startswith(f"{sandbox.url}/alipay/cashier/")
    assert query(alipay, number)["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    closed = alipay.call("alipay.trade.close", {"out_trade_no": number})
    assert closed["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    assert HTTP.get(answer["qr_code"]).status_code == 200
    assert query(alipay, number)["trade_status"] == "WAIT_BUYER_PAY"


@pytest.mark.parametrize(
    ("method", "product"),
    [("page", "FAST_INSTANT_TRADE_PAY"), ("wap", "QUICK_WAP_WAY")],
)
@pytest.mark.parametrize("verb", ["GET", "POST"])
def test_a_browser_pays_on_the_page_and_returns_signed(
    alipay: AlipayMerchant,
    shop: NoticeServer,
    method: str,
    product: str,
    verb: str,
) -> None:
    number = new_number()
    parameters = alipay.parameters(
        f"alipay.trade.{method}.pay",
        order(number, product_code=product, passback_params="a%3D1"),
        notify_url=shop.url,
        return_url="http://127.0.0.1:9/return/?token=t1",
    )
    gateway = alipay.settings["ALIPAY_GATEWAY_URL"]
    with httpx.Client(follow_redirects=True, trust_env=False) as browser:
        if verb == "GET":
            cashier = browser.get(gateway, params=parameters)
        else:
            cashier = browser.post(gateway, data=parameters)
        assert "15.00" in cashier.text
        assert query(alipay, number)["trade_status"] == "WAIT_BUYER_PAY"
        paid = browser.post(f"{cashier.url}pay/")
    wait_for(lambda: shop.received)
    notice = alipay.verified(shop.received[0].body.decode())
    assert notice["trade_status"] == "TRADE_SUCCESS"
    assert notice["total_amount"] == "15.00"
    assert notice["out_trade_no"] == number
    assert notice["passback_params"] == "a%3D1"
    assert notice["seller_id"] == alipay.settings["ALIPAY_SELLER_ID"]
    back = paid.text.split('href="http://127.0.0.1:9/return/')[1].split('"')[0]
    returned = alipay.verified(urlsplit(back.replace("&amp;", "&")).query)
    assert returned["token"] == "t1"
    assert returned["out_trade_no"] == number
    assert returned["trade_no"] == notice["trade_no"]
    assert "trade_status" not in returned


def test_an_unsigned_page_request_shows_the_error_to_the_browser(
    alipay: AlipayMerchant,
) -> None:
    parameters = alipay.parameters("alipay.trade.page.pay", order(new_number()))
    answer = alipay.raw(parameters | {"sign": parameters["sign"][:-8] + "AAAAAAA="})
    assert answer.status_code == 400
    assert "isv.invalid-signature" in answer.text


@pytest.mark.parametrize(
    ("change", "sub_code"),
    [
        ({"app_id": "2021000000000000"}, "isv.invalid-app-id"),
        ({"sign": ""}, "isv.missing-signature"),
        ({"biz_content": "{}"}, "isv.invalid-signature"),
        ({"sign_type": "RSA"}, "isv.invalid-signature-type"),
    ],
)
def test_it_refuses_what_the_shop_did_not_sign(
    alipay: AlipayMerchant, change: dict[str, str], sub_code: str
) -> None:
    signed = alipay.parameters("alipay.trade.query", {"out_trade_no": "A"})
    inner, _ = alipay.opened(alipay.raw(signed | change).text)
    assert inner["sub_code"] == sub_code
    assert inner["code"] in ("40001", "40002")


@pytest.mark.parametrize("minutes", [-16, 16])
def test_it_refuses_a_clock_that_is_off(alipay: AlipayMerchant, minutes: int) -> None:
    answer = alipay.call(
        "alipay.trade.query", {"out_trade_no": "A"}, timestamp=beijing(minutes=minutes)
    )
    assert answer["sub_code"] == "isv.invalid-timestamp"


def test_it_refuses_an_unknown_method(alipay: AlipayMerchant) -> None:
    text = alipay.raw(alipay.parameters("alipay.trade.nonsense", {})).text
    inner, name = alipay.opened(text)
    assert (inner["sub_code"], name) == ("isv.invalid-method", "error_response")


@pytest.mark.parametrize(
    "change",
    [
        {"total_amount": "0"},
        {"total_amount": "1.001"},
        {"total_amount": "-1"},
        {"out_trade_no": "a-b"},
        {"subject": ""},
        {"time_expire": "soon"},
        {"time_expire": "2020-01-01 00:00:00"},
        {"product_code": "NONSENSE"},
    ],
)
def test_it_refuses_a_malformed_order(alipay: AlipayMerchant, change: Json) -> None:
    answer = alipay.call("alipay.trade.precreate", order(new_number(), **change))
    assert answer["sub_code"] == "ACQ.INVALID_PARAMETER"


def test_the_same_number_with_another_amount_is_inconsistent(
    alipay: AlipayMerchant,
) -> None:
    number = precreated(alipay)
    again = alipay.call("alipay.trade.precreate", order(number, total_amount="16.00"))
    assert again["sub_code"] == "ACQ.CONTEXT_INCONSISTENT"


def test_a_paid_trade_can_be_neither_started_nor_closed_again(
    alipay: AlipayMerchant, sandbox: Sandbox
) -> None:
    number = precreated(alipay)
    sandbox.pay("alipay", number)
    again = alipay.call("alipay.trade.precreate", order(number))
    assert again["sub_code"] == "ACQ.TRADE_HAS_SUCCESS"
    closed = alipay.call("alipay.trade.close", {"out_trade_no": number})
    assert closed["sub_code"] == "ACQ.TRADE_STATUS_ERROR"
    found = query(alipay, number)
    assert (found["trade_status"], found["total_amount"]) == ("TRADE_SUCCESS", "15.00")


def test_a_closed_trade_refuses_the_buyer_and_a_new_start(
    alipay: AlipayMerchant, sandbox: Sandbox
) -> None:
    number = precreated(alipay)
    HTTP.get(sandbox.url + sandbox.trade("alipay", number)["cashier"])
    assert (
        alipay.call("alipay.trade.close", {"out_trade_no": number})["code"] == "10000"
    )
    assert query(alipay, number)["trade_status"] == "TRADE_CLOSED"
    again = alipay.call("alipay.trade.precreate", order(number))
    assert again["sub_code"] == "ACQ.TRADE_HAS_CLOSE"
    HTTP.post(sandbox.url + sandbox.trade("alipay", number)["cashier"] + "pay/")
    assert sandbox.trade("alipay", number)["payments"] == []


def test_time_expire_closes_an_opened_trade(
    alipay: AlipayMerchant, sandbox: Sandbox
) -> None:
    number = precreated(alipay)
    HTTP.get(sandbox.url + sandbox.trade("alipay", number)["cashier"])
    sandbox.set_clock(offset=31 * 60)
    found = alipay.call(
        "alipay.trade.query", {"out_trade_no": number}, timestamp=beijing(minutes=31)
    )
    assert found["trade_status"] == "TRADE_CLOSED"


def test_timeout_express_counts_from_the_scan(
    alipay: AlipayMerchant, sandbox: Sandbox
) -> None:
    number = new_number()
    content = order(number, timeout_express="5m")
    del content["time_expire"]
    alipay.call("alipay.trade.precreate", content)
    assert sandbox.trade("alipay", number)["expires_at"] is None
    HTTP.get(sandbox.url + sandbox.trade("alipay", number)["cashier"])
    trade = sandbox.trade("alipay", number)
    life = datetime.fromisoformat(trade["expires_at"]) - datetime.fromisoformat(
        trade["opened_at"]
    )
    assert life == timedelta(minutes=5)


def test_partial_refunds_are_idempotent_by_request_number(
    alipay: AlipayMerchant, sandbox: Sandbox, shop: NoticeServer
) -> None:
    number = precreated(alipay, shop.url)
    sandbox.pay("alipay", number, notify="lose")
    first = refund(alipay, number, "5.00", "R1")
    assert (first["fund_change"], first["refund_fee"]) == ("Y", "5.00")
    repeat = refund(alipay, number, "5.00", "R1")
    assert (repeat["fund_change"], repeat["refund_fee"]) == ("N", "5.00")
    other = refund(alipay, number, "6.00", "R1")
    assert other["sub_code"] == "ACQ.DISCORDANT_REPEAT_REQUEST"
    too_much = refund(alipay, number, "10.01", "R2")
    assert too_much["sub_code"] == "ACQ.REASON_TRADE_REFUND_FEE_ERR"
    wait_for(lambda: len(shop.received) == 1)
    partial = alipay.verified(shop.received[0].body.decode())
    assert partial["trade_status"] == "TRADE_SUCCESS"
    assert (partial["refund_fee"], partial["out_biz_no"]) == ("5.00", "R1")
    rest = refund(alipay, number, "10.00", "R2")
    assert (rest["fund_change"], rest["refund_fee"]) == ("Y", "15.00")
    wait_for(lambda: len(shop.received) == 2)
    full = alipay.verified(shop.received[1].body.decode())
    assert (full["trade_status"], full["refund_fee"]) == ("TRADE_CLOSED", "15.00")
    assert query(alipay, number)["trade_status"] == "TRADE_CLOSED"
    assert [line["kind"] for line in sandbox.bill("alipay")] == [
        "payment",
        "refund",
        "refund",
    ]


def test_a_refund_query_tells_success_only(
    alipay: AlipayMerchant, sandbox: Sandbox
) -> None:
    def ask(request: str) -> Json:
        return alipay.call(
            "alipay.trade.fastpay.refund.query",
            {"out_trade_no": number, "out_request_no": request},
        )

    number = precreated(alipay)
    sandbox.pay("alipay", number)
    refund(alipay, number, "5.00", "R1")
    assert ask("R1")["refund_status"] == "REFUND_SUCCESS"
    assert ask("R1")["refund_amount"] == "5.00"
    unknown = ask("R9")
    assert unknown["code"] == "10000"
    assert "refund_status" not in unknown


def test_a_planned_refund_fails_or_stays_open(
    alipay: AlipayMerchant, sandbox: Sandbox
) -> None:
    number = precreated(alipay)
    sandbox.pay("alipay", number)
    sandbox.plan_refunds("alipay", "fail", count=1)
    failed = refund(alipay, number, "5.00", "R1")
    assert failed["sub_code"] == "ACQ.SELLER_BALANCE_NOT_ENOUGH"
    sandbox.plan_refunds("alipay", "processing", count=1)
    assert refund(alipay, number, "5.00", "R1")["fund_change"] == "N"
    ask = {"out_trade_no": number, "out_request_no": "R1"}
    method = "alipay.trade.fastpay.refund.query"
    assert "refund_status" not in alipay.call(method, ask)
    sandbox.settle_refund("alipay", "R1")
    assert alipay.call(method, ask)["refund_status"] == "REFUND_SUCCESS"


def test_a_refund_without_number_must_be_the_whole(
    alipay: AlipayMerchant, sandbox: Sandbox
) -> None:
    number = precreated(alipay)
    sandbox.pay("alipay", number)
    content = {"out_trade_no": number, "refund_amount": "1.00"}
    answer = alipay.call("alipay.trade.refund", content)
    assert answer["sub_code"] == "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL"


def test_a_notice_is_repeated_until_success_with_one_notify_id(
    alipay: AlipayMerchant, sandbox: Sandbox, shop: NoticeServer
) -> None:
    shop.replies.extend([(500, b""), (200, b"fail"), (302, b"success")])
    number = precreated(alipay, shop.url)
    sandbox.pay("alipay", number)
    wait_for(lambda: len(shop.received) == 4)
    notices = [alipay.verified(got.body.decode()) for got in shop.received]
    assert len({notice["notify_id"] for notice in notices}) == 1
    wait_for(lambda: sandbox.deliveries("alipay", number)[-1]["accepted"])
    tries = [(d["attempt"], d["accepted"]) for d in sandbox.deliveries(number=number)]
    assert tries == [(1, False), (2, False), (3, False), (4, True)]


def test_closing_by_the_gateway_is_told(
    alipay: AlipayMerchant, sandbox: Sandbox, shop: NoticeServer
) -> None:
    number = precreated(alipay, shop.url)
    sandbox.close("alipay", number)
    wait_for(lambda: shop.received)
    notice = alipay.verified(shop.received[0].body.decode())
    assert (notice["trade_status"], notice["total_amount"]) == ("TRADE_CLOSED", "15.00")


def test_a_brace_in_the_subject_does_not_break_the_signature(
    alipay: AlipayMerchant, sandbox: Sandbox, shop: NoticeServer
) -> None:
    number = new_number()
    content = order(number, subject='{"a": "}"} & b=c')
    alipay.call("alipay.trade.precreate", content, notify_url=shop.url)
    sandbox.pay("alipay", number)
    wait_for(lambda: shop.received)
    notice = alipay.verified(shop.received[0].body.decode())
    assert notice["subject"] == '{"a": "}"} & b=c'


@pytest.mark.parametrize("variant", ["wrong_signature", "tampered", "unsigned"])
def test_forged_notices_do_not_verify(
    alipay: AlipayMerchant, sandbox: Sandbox, shop: NoticeServer, variant: str
) -> None:
    number = precreated(alipay, shop.url)
    sandbox.notify("alipay", number, variant)
    with pytest.raises((AssertionError, KeyError)):
        alipay.verified(shop.received[0].body.decode())
    assert sandbox.trade("alipay", number)["payments"] == []


@pytest.mark.parametrize(
    ("variant", "name", "value"),
    [
        ("wrong_amount", "total_amount", "15.01"),
        ("wrong_merchant", "seller_id", "2088999999999999"),
        ("wrong_app", "app_id", "2021999999999999"),
        ("unknown_order", "out_trade_no", "NOSUCHORDER00000000000001"),
    ],
)
def test_bent_notices_verify_and_lie(
    alipay: AlipayMerchant,
    sandbox: Sandbox,
    shop: NoticeServer,
    variant: str,
    name: str,
    value: str,
) -> None:
    number = precreated(alipay, shop.url)
    sandbox.pay("alipay", number, notify="lose")
    shop.reply = (200, b"fail")
    answers = sandbox.notify("alipay", number, variant)
    assert [(a["status"], a["answer"]) for a in answers] == [(200, "fail")]
    assert alipay.verified(shop.received[0].body.decode())[name] == value
