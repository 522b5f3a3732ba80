"""The sandbox's cycle pay, asked by a merchant that signs by hand."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
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
from tests.sandbox_process import ControlRefused, Sandbox, running_sandbox, wait_for

SCENE = "INDUSTRY|DIGITAL_MEDIA"
PAGE = "alipay.user.agreement.page.sign"
BACK = "http://127.0.0.1:9/account/"


def today(days: int = 0) -> date:
    return datetime.now(BEIJING).date() + timedelta(days=days)


def terms(number: str, **change: object) -> Json:
    rule = {
        "period_type": "DAY",
        "period": 7,
        "execute_time": today(5).isoformat(),
        "single_amount": "15.00",
    }
    return {
        "product_code": "CYCLE_PAY_AUTH",
        "personal_product_code": "CYCLE_PAY_AUTH_P",
        "sign_scene": SCENE,
        "external_agreement_no": number,
        "access_params": {"channel": "QRCODEORSMS"},
        "period_rule_params": rule | {k: v for k, v in change.items() if k in rule},
    } | {k: v for k, v in change.items() if k not in rule}


def opened(
    alipay: AlipayMerchant, notify_url: str, **change: object
) -> tuple[str, str]:
    """(our number, address of the page) of an agreement that waits."""
    number = new_number()
    parameters = alipay.parameters(
        PAGE, terms(number, **change), notify_url=notify_url, return_url=BACK
    )
    page = HTTP.get(
        alipay.settings["ALIPAY_GATEWAY_URL"], params=parameters, follow_redirects=True
    )
    assert page.status_code == 200, page.text
    assert "15.00" in page.text
    return number, str(page.url)


def signed(alipay: AlipayMerchant, shop: NoticeServer) -> tuple[str, str]:
    """(our number, Alipay's) of an agreement in force; its notice is taken."""
    number, page = opened(alipay, shop.url)
    HTTP.post(f"{page}agree/")
    wait_for(lambda: shop.received)
    notice = alipay.verified(shop.received.pop().body.decode())
    return number, notice["agreement_no"]


def query(alipay: AlipayMerchant, agreement_no: str) -> Json:
    return alipay.call("alipay.user.agreement.query", {"agreement_no": agreement_no})


def debit(
    alipay: AlipayMerchant, agreement_no: str, number: str, **change: str
) -> Json:
    content = {
        "out_trade_no": number,
        "total_amount": "15.00",
        "subject": "临时会员 7 天",
        "product_code": "CYCLE_PAY_AUTH",
        "agreement_params": {"agreement_no": agreement_no},
    } | change
    notify_url = content.pop("notify_url", "")
    return alipay.call("alipay.trade.pay", content, notify_url=str(notify_url))


def test_a_member_agrees_and_the_shop_is_told(
    alipay: AlipayMerchant, shop: NoticeServer
) -> None:
    number, page = opened(alipay, shop.url)
    by_ours = {
        "external_agreement_no": number,
        "personal_product_code": "CYCLE_PAY_AUTH_P",
        "sign_scene": SCENE,
    }
    missing = alipay.call("alipay.user.agreement.query", by_ours)
    assert missing["sub_code"] == "USER_AGREEMENT_NOT_EXIST"
    agreed = HTTP.post(f"{page}agree/", follow_redirects=True)
    assert "已同意自动扣款" in agreed.text
    wait_for(lambda: shop.received)
    notice = alipay.verified(shop.received[0].body.decode())
    assert notice["notify_type"] == "dut_user_sign"
    assert notice["status"] == "NORMAL"
    assert notice["external_agreement_no"] == number
    assert "seller_id" not in notice
    found = alipay.call("alipay.user.agreement.query", by_ours)
    assert found["agreement_no"] == notice["agreement_no"]
    assert found["next_deduct_time"] == today(5).isoformat()
    back = agreed.text.split(f'href="{BACK}')[1].split('"')[0]
    returned = alipay.verified(urlsplit(back.replace("&amp;", "&")).query)
    assert returned["agreement_no"] == notice["agreement_no"]


def test_a_member_refuses_and_nobody_is_told(
    alipay: AlipayMerchant, shop: NoticeServer, sandbox: Sandbox
) -> None:
    number, page = opened(alipay, shop.url)
    assert "没有同意" in HTTP.post(f"{page}refuse/", follow_redirects=True).text
    assert sandbox.control(f"agreements/{number}/")["status"] == "refused"
    assert sandbox.deliveries(number=number) == []
    assert HTTP.get(f"{page[:-3]}x/").status_code == 404


@pytest.mark.parametrize(
    ("change", "sub_code"),
    [
        ({"period": 6}, "INVALID_PARAMETER"),
        ({"period": "7"}, "INVALID_PARAMETER"),
        ({"period_type": "MONTH"}, "INVALID_PARAMETER"),
        ({"single_amount": "100.01"}, "INVALID_PARAMETER"),
        ({"single_amount": "0"}, "INVALID_PARAMETER"),
        ({"execute_time": "2020-01-01"}, "INVALID_PARAMETER"),
        ({"execute_time": "soon"}, "INVALID_PARAMETER"),
        ({"sign_scene": "INDUSTRY|OTHER"}, "INVALID_SIGN_SCENE"),
        ({"product_code": "OTHER"}, "PRODUCT_CODE_NOT_SUPPORTED_ERROR"),
        ({"access_params": {"channel": "MAIL"}}, "INVALID_PARAMETER"),
        ({"external_agreement_no": "A" * 33}, "INVALID_PARAMETER"),
        ({"external_agreement_no": "A-1"}, "INVALID_PARAMETER"),
    ],
)
def test_terms_that_alipay_does_not_take_are_refused_on_the_page(
    alipay: AlipayMerchant, change: Json, sub_code: str
) -> None:
    parameters = alipay.parameters(PAGE, terms(new_number(), **change))
    answer = alipay.raw(parameters)
    assert answer.status_code == 400
    assert sub_code in answer.text
    forged = alipay.raw(parameters | {"sign": "AAAA"})
    assert "isv.invalid-signature" in forged.text


def test_a_debit_takes_the_money_once_and_tells(
    alipay: AlipayMerchant, shop: NoticeServer, sandbox: Sandbox
) -> None:
    number, agreement_no = signed(alipay, shop)
    trade = new_number()
    answer = debit(alipay, agreement_no, trade, notify_url=shop.url)
    assert (answer["code"], answer["total_amount"]) == ("10000", "15.00")
    wait_for(lambda: shop.received)
    notice = alipay.verified(shop.received[0].body.decode())
    assert (notice["trade_status"], notice["trade_no"]) == (
        "TRADE_SUCCESS",
        answer["trade_no"],
    )
    again = debit(alipay, agreement_no, trade)
    assert again["sub_code"] == "ACQ.TRADE_HAS_SUCCESS"
    assert query(alipay, agreement_no)["next_deduct_time"] == today(12).isoformat()
    too_soon = debit(alipay, agreement_no, new_number())
    assert too_soon["sub_code"] == "ACQ.CYCLE_PAY_DATE_NOT_MATCH"
    assert [line["amount_fen"] for line in sandbox.bill("alipay")] == [1_500]
    assert sandbox.control(f"agreements/{number}/")["debits"] == [trade]


def test_a_debit_beyond_the_agreement_is_refused(
    alipay: AlipayMerchant, shop: NoticeServer, sandbox: Sandbox
) -> None:
    _, agreement_no = signed(alipay, shop)
    dear = debit(alipay, agreement_no, new_number(), total_amount="15.01")
    assert dear["sub_code"] == "ACQ.CYCLE_PAY_SINGLE_FEE_EXCEED"
    nobody = debit(alipay, "20200101", new_number())
    assert nobody["sub_code"] == "ACQ.AGREEMENT_NOT_EXIST"
    later = {"agreement_no": agreement_no, "deduct_time": today(6).isoformat()}
    modify = "alipay.user.agreement.executionplan.modify"
    assert alipay.call(modify, later)["code"] == "10000"
    assert alipay.call(modify, later)["sub_code"] == "INVALID_PARAMETER"
    early = debit(alipay, agreement_no, new_number())
    assert early["sub_code"] == "ACQ.CYCLE_PAY_DATE_NOT_MATCH"
    assert sandbox.bill("alipay") == []


def test_the_switches_say_how_a_debit_ends(
    alipay: AlipayMerchant, shop: NoticeServer, sandbox: Sandbox
) -> None:
    number, agreement_no = signed(alipay, shop)
    page = sandbox.url + sandbox.control(f"agreements/{number}/")["page"]
    low = "ACQ.BUYER_BALANCE_NOT_ENOUGH"
    HTTP.post(f"{page}debits/", data={"outcome": low})
    trade = new_number()
    assert debit(alipay, agreement_no, trade)["sub_code"] == low
    closed = alipay.call("alipay.trade.close", {"out_trade_no": trade})
    assert closed["code"] == "10000"
    path = f"agreements/{number}/debits/"
    sandbox.control(path, {"outcome": "under_way", "count": 1})
    waiting = new_number()
    assert debit(alipay, agreement_no, waiting)["code"] == "10003"
    found = alipay.call("alipay.trade.query", {"out_trade_no": waiting})
    assert found["trade_status"] == "WAIT_BUYER_PAY"
    sandbox.control(path, {"outcome": "pay", "notify": "lose"})
    paid = debit(alipay, agreement_no, waiting, notify_url=shop.url)
    assert paid["code"] == "10000"
    assert sandbox.deliveries(number=waiting) == []
    assert HTTP.post(f"{page}debits/", data={"outcome": "odd"}).status_code == 404
    with pytest.raises(ControlRefused):
        sandbox.control(path, {"outcome": "odd"})


@pytest.mark.parametrize("who", ["the shop", "the member"])
def test_a_stop_is_told_and_ends_all_debits(
    alipay: AlipayMerchant, shop: NoticeServer, sandbox: Sandbox, who: str
) -> None:
    number, agreement_no = signed(alipay, shop)
    if who == "the shop":
        named = {"agreement_no": agreement_no}
        unsign = "alipay.user.agreement.unsign"
        assert alipay.call(unsign, named, notify_url=shop.url)["code"] == "10000"
        again = alipay.call(unsign, named)
        assert again["sub_code"] == "USER_AGREEMENT_NOT_EXIST"
    else:
        page = sandbox.control(f"agreements/{number}/")["page"]
        HTTP.post(f"{sandbox.url}{page}stop/")
    wait_for(lambda: shop.received)
    notice = alipay.verified(shop.received[0].body.decode())
    assert (notice["notify_type"], notice["status"]) == ("dut_user_unsign", "UNSIGN")
    assert query(alipay, agreement_no)["sub_code"] == "USER_AGREEMENT_NOT_EXIST"
    refused = debit(alipay, agreement_no, new_number())
    assert refused["sub_code"] == "ACQ.AGREEMENT_INVALID"


def test_faults_reach_agreements_and_debits(
    alipay: AlipayMerchant, shop: NoticeServer, sandbox: Sandbox
) -> None:
    _, agreement_no = signed(alipay, shop)
    trade = new_number()
    sandbox.fault("alipay", "debit", "500", count=1, done=True)
    with pytest.raises(ValueError, match="substring not found"):
        debit(alipay, agreement_no, trade)
    assert sandbox.trade("alipay", trade)["state"] == "paid"
    sandbox.fault("alipay", "agreement_query", "refuse", code="ACQ.SYSTEM_ERROR")
    assert query(alipay, agreement_no)["sub_code"] == "ACQ.SYSTEM_ERROR"
    sandbox.clear_faults()
    assert sandbox.calls("alipay", "debit", trade)[0]["outcome"] == "500"


def test_forged_notices_are_what_they_say(
    alipay: AlipayMerchant, shop: NoticeServer, sandbox: Sandbox
) -> None:
    number, _ = signed(alipay, shop)
    path = f"agreements/{number}/notify/"
    for variant in ("wrong_signature", "unsigned", "wrong_app", "unknown_agreement"):
        shop.received.clear()
        sandbox.control(path, {"variant": variant})
        body = shop.received[0].body.decode()
        if variant in ("wrong_signature", "unsigned"):
            with pytest.raises((AssertionError, KeyError)):
                alipay.verified(body)
        else:
            assert alipay.verified(body)["notify_type"] == "dut_user_sign"
    with pytest.raises(ControlRefused):
        sandbox.control(path, {"variant": "odd"})
    with pytest.raises(ControlRefused):
        sandbox.control("agreements/NOBODY/")


def test_a_restart_forgets_no_agreement(
    alipay: AlipayMerchant, shop: NoticeServer, keys_made: Path, tmp_path: Path
) -> None:
    (tmp_path / "keys.json").write_bytes(keys_made.read_bytes())
    number = new_number()
    with running_sandbox(tmp_path) as first:
        merchant = AlipayMerchant(first)
        with httpx.Client(trust_env=False) as browser:
            page = browser.get(
                merchant.settings["ALIPAY_GATEWAY_URL"],
                params=merchant.parameters(PAGE, terms(number)),
                follow_redirects=True,
            )
            assert page.status_code == 200
        first.control(f"agreements/{number}/agree/", {})
        first.control(f"agreements/{number}/debits/", {"outcome": "under_way"})
    with running_sandbox(tmp_path) as second:
        kept = second.control(f"agreements/{number}/")
        assert kept["status"] == "NORMAL"
        assert kept["plan"]["outcome"] == "under_way"
        assert second.control("agreements/")["agreements"] == [kept]
        second.reset()
        assert second.control("agreements/")["agreements"] == []
