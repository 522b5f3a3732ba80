"""The sandbox's WeChat Pay v3, asked by a merchant that signs by hand."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidTag

from tests.sandbox.merchant import (
    BEIJING,
    HTTP,
    Json,
    NoticeServer,
    WeChatMerchant,
    new_number,
    sign,
)
from tests.sandbox_process import Sandbox, wait_for

NATIVE = "/v3/pay/transactions/native"
REFUNDS = "/v3/refund/domestic/refunds"


def ordered(wechat: WeChatMerchant, **change: object) -> str:
    number = new_number()
    status, _ = wechat.call("POST", NATIVE, wechat.order(number, **change))
    assert status == 200
    return number


def query(wechat: WeChatMerchant, number: str) -> tuple[int, Json]:
    mchid = wechat.settings["WECHAT_PAY_MCH_ID"]
    number = quote(number, safe="")
    return wechat.call(
        "GET", f"/v3/pay/transactions/out-trade-no/{number}?mchid={mchid}"
    )


def close(wechat: WeChatMerchant, number: str) -> tuple[int, Json]:
    body = {"mchid": wechat.settings["WECHAT_PAY_MCH_ID"]}
    return wechat.call(
        "POST", f"/v3/pay/transactions/out-trade-no/{number}/close", body
    )


def refund_of(number: str, out_refund_no: str, refund: int, **change: object) -> Json:
    return {
        "out_trade_no": number,
        "out_refund_no": out_refund_no,
        "reason": "用户申请",
        "amount": {"refund": refund, "total": 1500, "currency": "CNY"},
    } | change


def test_a_native_order_never_opened_can_be_paid(
    wechat: WeChatMerchant, sandbox: Sandbox, shop: NoticeServer
) -> None:
    shop.reply = (204, b"")
    number = ordered(wechat, notify_url=shop.url, attach="a1")
    assert query(wechat, number)[1]["trade_state"] == "NOTPAY"
    sandbox.pay("wechat", number)
    wait_for(lambda: shop.received)
    envelope, resource = wechat.notice(shop.received[0])
    assert envelope["event_type"] == "TRANSACTION.SUCCESS"
    assert envelope["resource_type"] == "encrypt-resource"
    assert resource["out_trade_no"] == number
    assert resource["amount"]["total"] == 1500
    assert resource["attach"] == "a1"
    status, found = query(wechat, number)
    assert (status, found["trade_state"]) == (200, "SUCCESS")
    assert found["transaction_id"] == resource["transaction_id"]
    mchid = wechat.settings["WECHAT_PAY_MCH_ID"]
    path = f"/v3/pay/transactions/id/{found['transaction_id']}?mchid={mchid}"
    assert wechat.call("GET", path)[1]["out_trade_no"] == number


def test_code_url_opens_the_cashier_on_the_callers_host(
    wechat: WeChatMerchant, sandbox: Sandbox
) -> None:
    _, answer = wechat.call("POST", NATIVE, wechat.order(new_number()))
    assert answer["code_url"].startswith(f"{sandbox.url}/wechat/cashier/")
    page = HTTP.get(answer["code_url"])
    assert "15.00" in page.text


def test_h5_leads_to_the_cashier_and_back_to_redirect_url(
    wechat: WeChatMerchant, sandbox: Sandbox
) -> None:
    number = new_number()
    scene = {"payer_client_ip": "203.0.113.7", "h5_info": {"type": "Wap"}}
    body = wechat.order(number, scene_info=scene)
    _, answer = wechat.call("POST", "/v3/pay/transactions/h5", body)
    back = "http://127.0.0.1:9/return/?token=t&x=1"
    url = answer["h5_url"] + "&redirect_url=" + quote(back, safe="")
    referer = {"Referer": "http://127.0.0.1:9/"}
    with httpx.Client(follow_redirects=True, headers=referer) as browser:
        cashier = browser.get(url)
        assert 'href="http://127.0.0.1:9/return/?token=t&amp;x=1"' in cashier.text
        browser.post(f"{cashier.url}pay/")
    assert sandbox.trade("wechat", number)["details"]["referer"] == referer["Referer"]
    assert query(wechat, number)[1]["trade_type"] == "MWEB"


def test_an_h5_url_lives_five_minutes_and_the_same_request_gives_a_fresh_one(
    wechat: WeChatMerchant, sandbox: Sandbox
) -> None:
    scene = {"payer_client_ip": "203.0.113.7", "h5_info": {"type": "Wap"}}
    body = wechat.order(new_number(), scene_info=scene)
    path = "/v3/pay/transactions/h5"
    first = wechat.call("POST", path, body)[1]["h5_url"]
    sandbox.set_clock(offset=301)
    assert HTTP.get(first, follow_redirects=True).status_code == 410
    sandbox.set_clock(offset=0)
    second = wechat.call("POST", path, body)[1]["h5_url"]
    assert second != first
    assert HTTP.get(second, follow_redirects=True).status_code == 200


def test_jsapi_opens_the_cashier_for_a_signed_call_only(
    wechat: WeChatMerchant, sandbox: Sandbox
) -> None:
    body = wechat.order(new_number(), payer={"openid": "o123"})
    _, answer = wechat.call("POST", "/v3/pay/transactions/jsapi", body)
    app_id = wechat.settings["WECHAT_PAY_APP_ID"]
    package = f"prepay_id={answer['prepay_id']}"
    content = f"{app_id}\n1700000000\nn1\n{package}\n".encode()
    call = {
        "appId": app_id,
        "timeStamp": "1700000000",
        "nonceStr": "n1",
        "package": package,
        "signType": "RSA",
        "paySign": sign(content, wechat.settings["WECHAT_PAY_PRIVATE_KEY"]),
    }
    page = f"{sandbox.url}/wechat/jsapi/?"
    assert HTTP.get(page + urlencode(call), follow_redirects=True).status_code == 200
    forged = urlencode(call | {"nonceStr": "n2"})
    assert HTTP.get(page + forged).status_code == 400


@pytest.mark.parametrize(
    "wrong",
    [
        {"age": 301},
        {"age": -301},
        {"sent": '{"tampered": 1}'},
        {"serial_no": "0" * 40},
        {"mchid": "1900000000"},
        {"signature": "AAAA"},
    ],
)
def test_it_refuses_what_the_shop_did_not_sign(
    wechat: WeChatMerchant, wrong: dict[str, Any]
) -> None:
    response = wechat.request("POST", NATIVE, wechat.order(new_number()), **wrong)
    assert (response.status_code, response.json()["code"]) == (401, "SIGN_ERROR")


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"amount": {"total": 0}}, 400, "PARAM_ERROR"),
        ({"amount": {"total": 15.0}}, 400, "PARAM_ERROR"),
        ({"amount": {"total": 1, "currency": "USD"}}, 400, "PARAM_ERROR"),
        ({"out_trade_no": "short"}, 400, "PARAM_ERROR"),
        ({"out_trade_no": "X" * 33}, 400, "PARAM_ERROR"),
        ({"description": ""}, 400, "PARAM_ERROR"),
        ({"notify_url": "http://127.0.0.1/?a=1"}, 400, "PARAM_ERROR"),
        ({"time_expire": "2020-01-01T00:00:00+08:00"}, 400, "PARAM_ERROR"),
        ({"time_expire": "2050-01-01T00:00:00"}, 400, "PARAM_ERROR"),
        ({"mchid": "1"}, 400, "PARAM_ERROR"),
        ({"appid": "wx1"}, 400, "APPID_MCHID_NOT_MATCH"),
    ],
)
def test_it_refuses_a_malformed_order(
    wechat: WeChatMerchant, change: Json, status: int, code: str
) -> None:
    body = wechat.order(new_number(), **change)
    answered, answer = wechat.call("POST", NATIVE, body)
    assert (answered, answer["code"]) == (status, code)


def test_the_same_number_with_other_parameters_is_refused(
    wechat: WeChatMerchant,
) -> None:
    body = wechat.order(new_number())
    first = wechat.call("POST", NATIVE, body)[1]["code_url"]
    assert wechat.call("POST", NATIVE, body)[1]["code_url"] != first
    other = body | {"description": "另一个"}
    response = wechat.request("POST", NATIVE, other)
    assert response.json()["code"] == "INVALID_REQUEST"
    assert response.headers["Request-ID"].endswith("-268498688")


def test_closing_is_final_for_the_buyer_and_refused_once_paid(
    wechat: WeChatMerchant, sandbox: Sandbox
) -> None:
    body = wechat.order(new_number())
    closed = body["out_trade_no"]
    wechat.call("POST", NATIVE, body)
    assert close(wechat, closed) == (204, {})
    assert query(wechat, closed)[1]["trade_state"] == "CLOSED"
    assert wechat.call("POST", NATIVE, body)[1]["code"] == "ORDER_CLOSED"
    HTTP.post(sandbox.url + sandbox.trade("wechat", closed)["cashier"] + "pay/")
    assert sandbox.trade("wechat", closed)["payments"] == []
    paid = ordered(wechat)
    sandbox.pay("wechat", paid)
    status, answer = close(wechat, paid)
    assert (status, answer["code"]) == (400, "ORDERPAID")


def test_unknown_numbers_do_not_exist(wechat: WeChatMerchant) -> None:
    assert query(wechat, "NOSUCHNUMBER")[0] == 404
    assert query(wechat, "NOSUCHNUMBER")[1]["code"] == "ORDER_NOT_EXIST"
    assert close(wechat, "NOSUCHNUMBER")[1]["code"] == "ORDER_NOT_EXIST"
    answer = wechat.call("GET", f"{REFUNDS}/NOSUCHREFUND")
    assert answer[1]["code"] == "RESOURCE_NOT_EXISTS"


def test_a_number_with_bars_and_stars_is_found_again(wechat: WeChatMerchant) -> None:
    number = "A|B*C_D-12345"
    wechat.call("POST", NATIVE, wechat.order(number))
    assert query(wechat, number)[1]["out_trade_no"] == number


def test_time_expire_is_the_last_moment_to_pay_and_no_close(
    wechat: WeChatMerchant, sandbox: Sandbox
) -> None:
    soon = datetime.now(BEIJING) + timedelta(seconds=5)
    number = ordered(wechat, time_expire=soon.isoformat(timespec="seconds"))
    sandbox.set_clock(offset=70)
    with pytest.raises(Exception, match="expired"):
        sandbox.pay("wechat", number, as_buyer=True)
    assert query(wechat, number)[1]["trade_state"] == "NOTPAY"
    sandbox.pay("wechat", number)
    assert query(wechat, number)[1]["trade_state"] == "SUCCESS"


def test_a_refund_is_accepted_then_told_by_query_and_notice(
    wechat: WeChatMerchant, sandbox: Sandbox, shop: NoticeServer
) -> None:
    number = ordered(wechat)
    sandbox.pay("wechat", number)
    body = refund_of(number, "R1", 500, notify_url=shop.url)
    status, answer = wechat.call("POST", REFUNDS, body)
    assert (status, answer["status"]) == (200, "PROCESSING")
    assert answer["amount"] == {
        "total": 1500,
        "refund": 500,
        "payer_total": 1500,
        "payer_refund": 500,
    }
    wait_for(lambda: shop.received)
    envelope, resource = wechat.notice(shop.received[0])
    assert envelope["event_type"] == "REFUND.SUCCESS"
    assert (resource["out_refund_no"], resource["refund_status"]) == ("R1", "SUCCESS")
    assert wechat.call("GET", f"{REFUNDS}/R1")[1]["status"] == "SUCCESS"
    assert wechat.call("POST", REFUNDS, body)[1]["refund_id"] == answer["refund_id"]
    assert len(sandbox.trade("wechat", number)["refunds"]) == 1
    assert query(wechat, number)[1]["trade_state"] == "REFUND"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (
            {"amount": {"refund": 1501, "total": 1500, "currency": "CNY"}},
            "INVALID_REQUEST",
        ),
        (
            {"amount": {"refund": 100, "total": 1400, "currency": "CNY"}},
            "INVALID_REQUEST",
        ),
        ({"amount": {"refund": 0, "total": 1500, "currency": "CNY"}}, "PARAM_ERROR"),
        ({"out_refund_no": "X" * 65}, "PARAM_ERROR"),
        ({"out_trade_no": "NOSUCHNUMBER"}, "RESOURCE_NOT_EXISTS"),
    ],
)
def test_it_refuses_a_wrong_refund(
    wechat: WeChatMerchant, sandbox: Sandbox, change: Json, code: str
) -> None:
    number = ordered(wechat)
    sandbox.pay("wechat", number)
    body = refund_of(number, "R1", 500) | change
    assert wechat.call("POST", REFUNDS, body)[1]["code"] == code
    assert sandbox.trade("wechat", number)["refunds"] == []


def test_the_same_refund_number_with_another_sum_is_refused(
    wechat: WeChatMerchant, sandbox: Sandbox
) -> None:
    number = ordered(wechat)
    sandbox.pay("wechat", number)
    wechat.call("POST", REFUNDS, refund_of(number, "R1", 500))
    other = wechat.call("POST", REFUNDS, refund_of(number, "R1", 400))
    assert other[1]["code"] == "INVALID_REQUEST"


def test_planned_refunds_fail_wait_or_end_badly(
    wechat: WeChatMerchant, sandbox: Sandbox, shop: NoticeServer
) -> None:
    number = ordered(wechat)
    sandbox.pay("wechat", number)
    sandbox.plan_refunds("wechat", "fail", count=1)
    status, answer = wechat.call("POST", REFUNDS, refund_of(number, "R1", 100))
    assert (status, answer["code"]) == (403, "NOT_ENOUGH")
    sandbox.plan_refunds("wechat", "processing", count=1)
    wechat.call("POST", REFUNDS, refund_of(number, "R1", 100, notify_url=shop.url))
    assert wechat.call("GET", f"{REFUNDS}/R1")[1]["status"] == "PROCESSING"
    assert shop.received == []
    sandbox.settle_refund("wechat", "R1", "abnormal")
    wait_for(lambda: shop.received)
    assert wechat.notice(shop.received[0])[0]["event_type"] == "REFUND.ABNORMAL"
    assert wechat.call("GET", f"{REFUNDS}/R1")[1]["status"] == "ABNORMAL"


def test_a_second_payment_is_refunded_by_its_own_transaction_id(
    wechat: WeChatMerchant, sandbox: Sandbox, shop: NoticeServer
) -> None:
    number = ordered(wechat, notify_url=shop.url)
    sandbox.pay("wechat", number)
    twice = sandbox.pay("wechat", number, txn_id="4200000000000000000000000002")
    assert len(twice["payments"]) == 2
    wait_for(lambda: len(shop.received) == 2)
    assert len({wechat.notice(got)[1]["transaction_id"] for got in shop.received}) == 2
    body = refund_of(number, "R1", 1500, transaction_id="4200000000000000000000000002")
    del body["out_trade_no"]
    assert wechat.call("POST", REFUNDS, body)[0] == 200
    assert query(wechat, number)[1]["trade_state"] == "SUCCESS"


def test_certificates_come_encrypted(wechat: WeChatMerchant) -> None:
    _, answer = wechat.call("GET", "/v3/certificates")
    entry = answer["data"][0]
    pem = wechat.decrypted(entry["encrypt_certificate"])
    certificate = x509.load_pem_x509_certificate(pem)
    assert f"{certificate.serial_number:040X}" == entry["serial_no"]
    assert pem.decode() == wechat.settings["WECHAT_PAY_PLATFORM_CERTS"]


def test_certificate_mode_signs_answers_and_notices(
    wechat: WeChatMerchant, sandbox: Sandbox, shop: NoticeServer
) -> None:
    sandbox.control("wechat/", {"signs_with": "certificate"})
    number = ordered(wechat, notify_url=shop.url)
    response = wechat.request("GET", "/v3/certificates")
    serial = wechat.check(dict(response.headers), response.content)
    assert not serial.startswith("PUB_KEY_ID_")
    sandbox.pay("wechat", number)
    wait_for(lambda: shop.received)
    assert wechat.check(shop.received[0].headers, shop.received[0].body) == serial


def test_a_notice_is_repeated_until_200_or_204_with_one_id(
    wechat: WeChatMerchant, sandbox: Sandbox, shop: NoticeServer
) -> None:
    shop.replies.extend([(500, b'{"code":"FAIL"}'), (401, b""), (204, b"")])
    sandbox.pay("wechat", ordered(wechat, notify_url=shop.url))
    wait_for(lambda: len(shop.received) == 3)
    assert len({wechat.notice(got)[0]["id"] for got in shop.received}) == 1
    nonces = {got.headers["Wechatpay-Nonce"] for got in shop.received}
    assert len(nonces) == 3


@pytest.mark.parametrize(
    "variant",
    ["wrong_signature", "unsigned", "stale", "future", "unknown_serial", "signtest"],
)
def test_forged_notices_do_not_verify(
    wechat: WeChatMerchant, sandbox: Sandbox, shop: NoticeServer, variant: str
) -> None:
    number = ordered(wechat, notify_url=shop.url)
    sandbox.notify("wechat", number, variant)
    with pytest.raises((AssertionError, KeyError)):
        wechat.notice(shop.received[0])
    assert sandbox.trade("wechat", number)["payments"] == []


def test_a_notice_under_another_key_cannot_be_read(
    wechat: WeChatMerchant, sandbox: Sandbox, shop: NoticeServer
) -> None:
    sandbox.notify("wechat", ordered(wechat, notify_url=shop.url), "wrong_key")
    with pytest.raises(InvalidTag):
        wechat.notice(shop.received[0])


@pytest.mark.parametrize(
    ("variant", "path", "value"),
    [
        ("wrong_amount", ("amount", "total"), 1501),
        ("wrong_currency", ("amount", "currency"), "USD"),
        ("wrong_merchant", ("mchid",), "1999999999"),
        ("wrong_app", ("appid",), "wx9999999999999999"),
        ("unknown_order", ("out_trade_no",), "NOSUCHORDER00000000000001"),
    ],
)
def test_bent_notices_verify_and_lie(
    wechat: WeChatMerchant,
    sandbox: Sandbox,
    shop: NoticeServer,
    variant: str,
    path: tuple[str, ...],
    value: object,
) -> None:
    number = ordered(wechat, notify_url=shop.url)
    sandbox.notify("wechat", number, variant)
    found: Any = wechat.notice(shop.received[0])[1]
    for name in path:
        found = found[name]
    assert found == value


def test_a_wallet_coupon_lowers_what_the_payer_pays(
    wechat: WeChatMerchant, sandbox: Sandbox
) -> None:
    number = ordered(wechat)
    sandbox.pay("wechat", number, discount_fen=200)
    amount = query(wechat, number)[1]["amount"]
    assert (amount["total"], amount["payer_total"]) == (1500, 1300)


def test_an_answer_that_is_cut_keeps_its_headers(
    wechat: WeChatMerchant, sandbox: Sandbox
) -> None:
    sandbox.fault("wechat", "start", "malformed", count=1)
    response = wechat.request("POST", NATIVE, wechat.order(new_number()))
    with pytest.raises(json.JSONDecodeError):
        response.json()
    assert "Wechatpay-Signature" in response.headers
