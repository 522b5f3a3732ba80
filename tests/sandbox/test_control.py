"""``/_control/``, faults, keys, restarts: what the rest of the suite leans on."""

from __future__ import annotations

import shutil
import stat
import time
from pathlib import Path

import httpx
import pytest

from tests.sandbox.merchant import (
    AlipayMerchant,
    NoticeServer,
    WeChatMerchant,
    new_number,
)
from tests.sandbox.test_alipay import precreated
from tests.sandbox.test_wechat import NATIVE, REFUNDS, ordered, refund_of
from tests.sandbox.test_wechat import query as wechat_query
from tests.sandbox_process import ControlRefused, Sandbox, running_sandbox, wait_for


def test_keys_are_made_once_and_private(sandbox: Sandbox, tmp_path: Path) -> None:
    with running_sandbox(tmp_path) as first:
        before = first.environment
    path = tmp_path / "keys.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with running_sandbox(tmp_path) as second:
        after = second.environment
    assert before["ALIPAY_PUBLIC_KEY"] == after["ALIPAY_PUBLIC_KEY"]
    assert before["ALIPAY_PUBLIC_KEY"] != sandbox.environment["ALIPAY_PUBLIC_KEY"]


def test_production_can_tell_the_sandboxs_accounts(sandbox: Sandbox) -> None:
    for name in (
        "ALIPAY_APP_ID",
        "ALIPAY_SELLER_ID",
        "WECHAT_PAY_APP_ID",
        "WECHAT_PAY_MCH_ID",
        "TENCENT_SMS_SECRET_ID",
        "TENCENT_SMS_SDK_APP_ID",
        "ALIYUN_SMS_ACCESS_KEY_ID",
    ):
        assert sandbox.environment[name].startswith("SANDBOX")
    assert len(sandbox.environment["WECHAT_PAY_API_V3_KEY"]) == 32


def test_a_restart_keeps_the_trades(keys_made: Path, tmp_path: Path) -> None:
    shutil.copy(keys_made, tmp_path)
    with running_sandbox(tmp_path) as sandbox:
        number = ordered(WeChatMerchant(sandbox))
        sandbox.pay("wechat", number)
    with running_sandbox(tmp_path) as sandbox:
        wechat = WeChatMerchant(sandbox)
        assert wechat_query(wechat, number)[1]["trade_state"] == "SUCCESS"
        wechat.call("POST", REFUNDS, refund_of(number, "R1", 500))
        assert sandbox.trade("wechat", number)["refunds"][0]["status"] == "success"


def test_a_taken_port_is_refused(
    sandbox: Sandbox, keys_made: Path, tmp_path: Path
) -> None:
    shutil.copy(keys_made, tmp_path)
    port = int(sandbox.url.rsplit(":", 1)[1])
    with (
        pytest.raises(RuntimeError, match="did not start"),
        running_sandbox(tmp_path, port=port),
    ):
        pass


def test_a_lost_notice_is_never_sent(
    wechat: WeChatMerchant, sandbox: Sandbox, shop: NoticeServer
) -> None:
    number = ordered(wechat, notify_url=shop.url)
    sandbox.pay("wechat", number, notify="lose")
    assert sandbox.trade("wechat", number)["state"] == "paid"
    time.sleep(0.2)
    assert shop.received == []


def test_a_notice_can_be_repeated_and_delayed(
    wechat: WeChatMerchant, sandbox: Sandbox, shop: NoticeServer
) -> None:
    number = ordered(wechat, notify_url=shop.url)
    started = time.monotonic()
    sandbox.pay("wechat", number, notify="repeat", times=3, gap=0, delay=0.3)
    assert shop.received == []
    wait_for(lambda: len(shop.received) == 3)
    assert time.monotonic() - started >= 0.3
    assert len({wechat.notice(got)[0]["id"] for got in shop.received}) == 1
    assert len(sandbox.trade("wechat", number)["payments"]) == 1


def test_a_payment_can_come_later(wechat: WeChatMerchant, sandbox: Sandbox) -> None:
    number = ordered(wechat)
    assert sandbox.pay("wechat", number, after=0.2)["state"] == "unopened"
    wait_for(lambda: sandbox.trade("wechat", number)["state"] == "paid")


def test_another_amount_and_transaction_can_be_paid(
    alipay: AlipayMerchant, sandbox: Sandbox
) -> None:
    number = precreated(alipay)
    sandbox.pay("alipay", number, amount_fen=1499, txn_id="2026T2")
    found = alipay.call("alipay.trade.query", {"out_trade_no": number})
    assert (found["total_amount"], found["trade_no"]) == ("14.99", "2026T2")


def test_a_refusal_is_remembered_and_the_trade_stays_payable(
    wechat: WeChatMerchant, sandbox: Sandbox
) -> None:
    number = ordered(wechat)
    trade = sandbox.refuse("wechat", number)
    assert (trade["refusals"], trade["state"]) == (["余额不足"], "open")
    sandbox.pay("wechat", number, as_buyer=True)


def test_as_buyer_pays_nothing_twice(wechat: WeChatMerchant, sandbox: Sandbox) -> None:
    number = ordered(wechat)
    sandbox.pay("wechat", number, as_buyer=True)
    with pytest.raises(ControlRefused, match="paid"):
        sandbox.pay("wechat", number, as_buyer=True)
    assert len(sandbox.trade("wechat", number)["payments"]) == 1


def test_calls_are_recorded(wechat: WeChatMerchant, sandbox: Sandbox) -> None:
    number = ordered(wechat)
    wechat_query(wechat, number)
    wechat_query(wechat, number)
    assert len(sandbox.calls("wechat", "query", number)) == 2
    assert [call["outcome"] for call in sandbox.calls(method="start")] == ["200"]


def test_faults_count_down_and_match_by_method(
    wechat: WeChatMerchant, sandbox: Sandbox
) -> None:
    number = ordered(wechat)
    sandbox.fault("wechat", "query", "500", count=2)
    path = f"/v3/pay/transactions/out-trade-no/{number}?mchid="
    path += wechat.settings["WECHAT_PAY_MCH_ID"]
    statuses = [wechat.request("GET", path).status_code for _ in range(3)]
    assert statuses == [500, 500, 200]
    sandbox.fault("wechat", "*", "500")
    assert wechat.request("GET", "/v3/certificates").status_code == 500
    sandbox.clear_faults()
    assert wechat.request("GET", "/v3/certificates").status_code == 200


@pytest.mark.parametrize("fault", ["wrong_signature", "unsigned"])
def test_answers_can_be_wrongly_signed_or_unsigned(
    wechat: WeChatMerchant, alipay: AlipayMerchant, sandbox: Sandbox, fault: str
) -> None:
    sandbox.fault("*", "*", fault)
    with pytest.raises((AssertionError, KeyError)):
        wechat.call("POST", NATIVE, wechat.order(new_number()))
    with pytest.raises((AssertionError, KeyError, ValueError)):
        alipay.call("alipay.trade.query", {"out_trade_no": "A"})


def test_a_timeout_can_hide_a_refund_that_was_done(
    wechat: WeChatMerchant, sandbox: Sandbox
) -> None:
    number = ordered(wechat)
    sandbox.pay("wechat", number)
    for done, refunds in ((False, 0), (True, 1)):
        sandbox.fault("wechat", "refund", "timeout", seconds=0.1, count=1, done=done)
        response = wechat.request("POST", REFUNDS, refund_of(number, "R1", 500))
        assert response.status_code == 504
        assert len(sandbox.trade("wechat", number)["refunds"]) == refunds


def test_clearing_faults_wakes_who_waits(sandbox: Sandbox) -> None:
    sandbox.fault("sms", "sms", "slow", seconds=60, count=1)
    message = {"to": "+8613800138000", "kind": "code", "text": "1", "id": "m"}
    started = time.monotonic()
    with httpx.Client(timeout=0.3) as client, pytest.raises(httpx.ReadTimeout):
        client.post(sandbox.environment["SMS_SANDBOX_URL"], json=message)
    sandbox.clear_faults()
    wait_for(sandbox.sms)
    assert time.monotonic() - started < 10


def test_a_gateways_own_error_can_be_ordered(
    wechat: WeChatMerchant, alipay: AlipayMerchant, sandbox: Sandbox
) -> None:
    sandbox.fault("wechat", "query", "refuse", code="FREQUENCY_LIMITED", status=429)
    status, answer = wechat_query(wechat, "NOSUCHNUMBER")
    assert (status, answer["code"]) == (429, "FREQUENCY_LIMITED")
    sandbox.fault("alipay", "query", "refuse", code="ACQ.SYSTEM_ERROR")
    found = alipay.call("alipay.trade.query", {"out_trade_no": "A"})
    assert (found["code"], found["sub_code"]) == ("40004", "ACQ.SYSTEM_ERROR")


def test_the_clock_can_be_set(sandbox: Sandbox) -> None:
    sandbox.set_clock(now="2027-03-02T09:23:45+00:00")
    assert sandbox.control("clock/")["now"].startswith("2027-03-02T09:23:4")
    sandbox.reset()
    assert sandbox.control("clock/")["offset"] == 0


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("trades/alipay/NOPE/pay/", {}, 404),
        ("trades/nope/NOPE/pay/", {}, 404),
        ("faults/", {"fault": "nonsense"}, 400),
        ("refunds/", {"gateway": "alipay", "outcome": "x"}, 400),
        ("bill/alipay/", {}, 405),
    ],
)
def test_mistakes_get_words(
    sandbox: Sandbox, path: str, body: dict[str, object], status: int
) -> None:
    with pytest.raises(ControlRefused) as caught:
        sandbox.control(path, body)
    assert caught.value.status == status


def test_unknown_options_of_pay_are_refused(
    wechat: WeChatMerchant, sandbox: Sandbox
) -> None:
    number = ordered(wechat)
    with pytest.raises(ControlRefused, match="ammount_fen"):
        sandbox.pay("wechat", number, ammount_fen=1)
    assert sandbox.trade("wechat", number)["payments"] == []


def test_nothing_survives_a_reset(wechat: WeChatMerchant, sandbox: Sandbox) -> None:
    sandbox.pay("wechat", ordered(wechat))
    sandbox.fault("*", "*", "500")
    sandbox.reset()
    assert sandbox.trades() == []
    assert sandbox.calls() == []
    assert wechat.request("GET", "/v3/certificates").status_code == 200
