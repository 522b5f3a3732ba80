"""The sandbox's bills: asked for with a signature, hashed, and true to what happened."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zipfile
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import httpx
import pytest
import time_machine

from tests.sandbox.merchant import (
    BEIJING,
    HTTP,
    AlipayMerchant,
    Json,
    WeChatMerchant,
    new_number,
)
from tests.sandbox_process import Sandbox

NATIVE = "/v3/pay/transactions/native"
A_DAY = 86_400
DOWNLOAD = "alipay.data.dataservice.bill.downloadurl.query"


@pytest.fixture
def yesterday(sandbox: Sandbox) -> str:
    """The day of what is paid next; ``tomorrow`` makes it yesterday."""
    return f"{datetime.now(BEIJING):%Y-%m-%d}"


def tomorrow(sandbox: Sandbox) -> None:
    sandbox.set_clock(offset=A_DAY)


def asked(wechat: WeChatMerchant, day: str, packed: str = "") -> tuple[int, Json]:
    """The verified answer, by tomorrow's clock."""
    path = f"/v3/bill/tradebill?bill_date={day}&bill_type=ALL{packed}"
    with time_machine.travel(datetime.now(BEIJING) + timedelta(days=1)):
        return wechat.call("GET", path)


def asked_alipay(alipay: AlipayMerchant, day: str) -> Json:
    later = datetime.now(BEIJING) + timedelta(days=1)
    content = {"bill_type": "trade", "bill_date": day}
    return alipay.call(DOWNLOAD, content, timestamp=f"{later:%Y-%m-%d %H:%M:%S}")


def test_wechat_hands_out_a_bill_with_its_hash(
    sandbox: Sandbox, wechat: WeChatMerchant, yesterday: str
):
    number = new_number()
    wechat.call("POST", NATIVE, wechat.order(number))
    sandbox.pay("wechat", number, notify="lose", discount_fen=300)
    tomorrow(sandbox)
    for packed in ("", "&tar_type=GZIP"):
        status, answer = asked(wechat, yesterday, packed)
        assert (status, answer["hash_type"]) == (200, "SHA1")
        parts = urlsplit(answer["download_url"])
        path = f"{parts.path}?{parts.query}"
        response = wechat.request("GET", path, age=-A_DAY)
        assert "Wechatpay-Signature" not in response.headers
        data = gzip.decompress(response.content) if packed else response.content
        made = hashlib.sha1(data, usedforsecurity=False).hexdigest()
        assert made == answer["hash_value"]
        lines = data.decode("utf-8-sig").split("\r\n")
        row = lines[1][1:].split(",`")
        assert (row[6], row[9], row[24]) == (number, "SUCCESS", "15.00")
        assert lines[2].startswith("总交易单数")
        assert HTTP.get(answer["download_url"]).status_code == 401


def test_wechat_has_no_bill_of_today_or_of_a_day_without_money(
    sandbox: Sandbox, wechat: WeChatMerchant, yesterday: str
):
    tomorrow(sandbox)
    today = f"{datetime.now(BEIJING) + timedelta(days=1):%Y-%m-%d}"
    for day in (yesterday, today, "2020-01-01"):
        status, answer = asked(wechat, day)
        assert (status, answer["code"]) == (400, "NO_STATEMENT_EXIST")
    assert asked(wechat, "yesterday")[1]["code"] == "PARAM_ERROR"


def test_alipay_hands_out_a_zip_of_gbk(
    sandbox: Sandbox, alipay: AlipayMerchant, yesterday: str
):
    number = new_number()
    order = {"out_trade_no": number, "total_amount": "15.00", "subject": "会员"}
    alipay.call("alipay.trade.precreate", order)
    sandbox.pay("alipay", number, notify="lose")
    refund = {"out_trade_no": number, "refund_amount": "5.00", "out_request_no": "R1"}
    assert alipay.call("alipay.trade.refund", refund)["fund_change"] == "Y"
    tomorrow(sandbox)
    url = asked_alipay(alipay, yesterday)["bill_download_url"]
    packed = zipfile.ZipFile(io.BytesIO(httpx.get(url, trust_env=False).content))
    details = packed.read(packed.namelist()[0]).decode("gbk")
    assert details.startswith("#支付宝业务明细查询\r\n#账号：[SANDBOX")
    rows = [
        [cell.strip() for cell in row]
        for row in csv.reader(details.splitlines())
        if not row[0].startswith("#")
    ]
    assert [(r[1], r[2], r[11], r[21]) for r in rows[1:]] == [
        (number, "交易", "15.00", ""),
        (number, "退款", "-5.00", "R1"),
    ]
    assert "业务明细列表结束" in details


def test_alipay_has_no_bill_of_today(
    sandbox: Sandbox, alipay: AlipayMerchant, yesterday: str
):
    tomorrow(sandbox)
    assert asked_alipay(alipay, yesterday)["sub_code"] == "isp.bill_not_exist"
    here = alipay.settings["ALIPAY_GATEWAY_URL"].removesuffix("/gateway.do")
    assert HTTP.get(f"{here}/alipay/bill/guessed/").status_code == 404
