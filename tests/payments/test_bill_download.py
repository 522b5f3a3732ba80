"""Both adapters fetch a day's bill from the sandbox, and from servers that mean harm."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.test import override_settings

from members.models import Member
from payments import gateways
from payments.gateways import bills
from payments.gateways.alipay.gateway import AlipayGateway
from payments.gateways.bills import BadBill, BillLine, BillSource, NoBill
from payments.gateways.contract import GatewayError, Unclear
from payments.gateways.wechat.gateway import WechatGateway
from payments.gateways.wire import Wire
from payments.reconciling import bill_days
from tests.payments.far_side import FarAlipay, FarWechat
from tests.payments.test_bill_files import (
    ALIPAY_PAID,
    WECHAT_PAID,
    alipay_file,
    wechat_file,
    zipped,
)
from tests.shopping import ALIPAY, WECHAT, Till

DAY = date(2026, 11, 22)
NOON = datetime(2026, 11, 23, 4, tzinfo=UTC)


def bill_of(till: Till, code: str) -> list[BillLine]:
    return bill_days.fetch(code, DAY, now=till.now)


@pytest.mark.parametrize("way", [ALIPAY, WECHAT], ids=["alipay", "wechat"])
def test_the_bill_lists_what_happened_that_day(till: Till, member: Member, way: Any):
    """C12 and R13: payments and refunds, with our numbers, in fen."""
    code = way.gateway
    settled = till.pay(till.place(member), way)
    till.wallet.pay(code, settled.out_trade_no, notify="lose", discount_fen=300)
    returned = till.pay(till.place(member, "temporary-30"), way)
    till.wallet.pay(code, returned.out_trade_no, notify="lose")
    till.wait(seconds=30)
    till.poll()
    gateway = gateways.get(code)
    assert gateway is not None
    assert isinstance(gateway, BillSource)
    till.wait(days=1)
    lines = bill_of(till, code)
    assert [(line.kind, line.number, line.amount_fen) for line in lines] == [
        ("payment", settled.out_trade_no, 1_500),
        ("payment", returned.out_trade_no, 5_000),
    ]
    numbers = {settled.out_trade_no: settled, returned.out_trade_no: returned}
    for line in lines:
        attempt = numbers[line.number]
        attempt.refresh_from_db()
        assert (line.gateway, line.txn_id) == (code, attempt.txn_id)
        assert line.at == attempt.paid_at.replace(microsecond=0)


@pytest.mark.parametrize("code", ["alipay", "wechat"])
def test_a_day_without_money_and_a_day_that_is_not_over_have_no_bill(
    till: Till, code: str
):
    for day in (DAY - timedelta(days=3), DAY):
        with pytest.raises(NoBill):
            bill_days.fetch(code, day, now=till.now)


@pytest.mark.parametrize("way", [ALIPAY, WECHAT], ids=["alipay", "wechat"])
@pytest.mark.parametrize("fault", ["500", "malformed"])
def test_a_file_that_does_not_arrive_whole_is_no_bill(
    till: Till, member: Member, way: Any, fault: str
):
    attempt = till.pay(till.place(member), way)
    till.wallet.pay(way.gateway, attempt.out_trade_no, notify="lose")
    till.wait(days=1)
    for method in ("bill", "bill_file"):
        till.wallet.fault(way.gateway, method, fault, count=1)
        with pytest.raises((GatewayError, BadBill)):
            bill_of(till, way.gateway)
    assert len(bill_of(till, way.gateway)) == 1


# --- Servers that mean harm --------------------------------------------------------

TEXT = wechat_file(WECHAT_PAID.replace("1900000001", FarWechat.MCH_ID)).encode()
HASH = hashlib.sha1(TEXT, usedforsecurity=False).hexdigest()
HERE = "https://api.mch.weixin.qq.com/v3/billdownload/file?token=t"


def sent(
    body: bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """An answer that can be read as it comes, as from a socket."""
    return httpx.Response(status, headers=headers, stream=httpx.ByteStream(body))


def wechat_answering(
    file: bytes, *, asked: list[str] | None = None, **answer: str
) -> WechatGateway:
    """A gateway whose far side signs this answer and hands out this file."""
    content = {"hash_type": "SHA1", "hash_value": HASH, "download_url": HERE} | answer

    def far_side(request: httpx.Request) -> httpx.Response:
        if asked is not None:
            asked.append(str(request.url))
        if request.url.path != "/v3/bill/tradebill":
            assert request.headers["Authorization"].startswith("WECHATPAY2")
            return sent(file)
        letter = FarWechat.seal(json.dumps(content).encode(), now=NOON)
        return sent(letter.body, headers=letter.headers)

    with override_settings(**FarWechat.settings()):
        wire = Wire(httpx.MockTransport(far_side))
        gateway = WechatGateway.from_settings(settings, wire)
    assert gateway is not None
    return gateway


def test_wechat_bill_with_the_right_hash_is_read():
    for file in (TEXT, gzip.compress(TEXT)):
        (line,) = wechat_answering(file).fetch_bill(DAY, now=NOON)
        assert (line.number, line.amount_fen) == ("KMORDER1", 1_500)


@pytest.mark.parametrize(
    ("file", "answer", "error"),
    [
        (TEXT.replace(b"15.00", b"51.00"), {}, BadBill),  # wrong hash
        (gzip.compress(TEXT)[:-12], {}, BadBill),  # truncated
        (b"", {}, BadBill),
        (TEXT, {"hash_value": ""}, BadBill),
        (TEXT, {"hash_type": "MD5"}, Unclear),
        (TEXT, {"download_url": "http://169.254.169.254/latest/"}, Unclear),
        (TEXT, {"download_url": "https://api.mch.weixin.qq.com.x.example/"}, Unclear),
        (TEXT, {"download_url": ""}, Unclear),
    ],
)
def test_a_wechat_bill_that_is_not_the_signed_one_is_refused(
    file: bytes, answer: dict[str, str], error: type[Exception]
):
    """security 79: a strange address is not even asked."""
    asked: list[str] = []
    with pytest.raises(error):
        wechat_answering(file, asked=asked, **answer).fetch_bill(DAY, now=NOON)
    assert len(asked) == (1 if error is Unclear else 2)
    assert all("169.254" not in url and "x.example" not in url for url in asked)


def test_a_wechat_bill_of_another_merchant_is_refused():
    """Its hash is right and its signature too."""
    text = wechat_file(WECHAT_PAID).encode()
    made = hashlib.sha1(text, usedforsecurity=False).hexdigest()
    with pytest.raises(BadBill, match="another merchant"):
        wechat_answering(text, hash_value=made).fetch_bill(DAY, now=NOON)


def test_a_bill_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bills, "LARGEST_FILE", 10_000)
    with pytest.raises(Unclear, match="too-large"):
        wechat_answering(b"0" * 20_000).fetch_bill(DAY, now=NOON)


def alipay_answering(file: Callable[[], httpx.Response], url: str) -> AlipayGateway:
    method = "alipay.data.dataservice.bill.downloadurl.query"
    inner = json.dumps({"code": "10000", "msg": "Success", "bill_download_url": url})

    def far_side(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            assert str(request.url).startswith("https://dwbillcenter.alipay.com/")
            return file()
        return sent(FarAlipay.answer(method, inner).encode())

    with override_settings(**FarAlipay.settings()):
        wire = Wire(httpx.MockTransport(far_side))
        gateway = AlipayGateway.from_settings(settings, wire)
    assert gateway is not None
    return gateway


def test_alipay_names_its_bill_centre_in_clear_text_and_is_asked_over_tls():
    packed = zipped(details=alipay_file(ALIPAY_PAID).encode("gbk"))
    gateway = alipay_answering(
        lambda: sent(packed),
        "http://dwbillcenter.alipay.com/downloadBillFile.resource?fileId=1",
    )
    (line,) = gateway.fetch_bill(DAY, now=NOON)
    assert (line.number, line.amount_fen) == ("KMORDER1", 1_500)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:6379/",
        "https://dwbillcenter.alipay.com@evil.example/",
        "http://dwbillcenter.alipay.com.evil.example/",
        "",
    ],
)
def test_alipay_bills_come_from_alipay_alone(url: str):
    """security 79"""
    gateway = alipay_answering(lambda: pytest.fail("asked a stranger"), url)
    with pytest.raises(Unclear, match="bill-address"):
        gateway.fetch_bill(DAY, now=NOON)


OF_ANOTHER = alipay_file(ALIPAY_PAID, account="20880041000000090156").encode("gbk")


@pytest.mark.parametrize(
    ("body", "status", "headers"),
    [
        (b"", 302, {"Location": "http://169.254.169.254/"}),
        (b"<html>log in</html>", 200, {}),
        (zipped(details=OF_ANOTHER), 200, {}),
    ],
    ids=["redirect", "page", "another merchant"],
)
def test_an_alipay_file_that_is_none_is_refused(
    body: bytes, status: int, headers: dict[str, str]
):
    gateway = alipay_answering(
        lambda: sent(body, status, headers),
        "https://dwbillcenter.alipay.com/downloadBillFile.resource",
    )
    with pytest.raises((Unclear, BadBill)):
        gateway.fetch_bill(DAY, now=NOON)
