"""WeChat Pay's trade bill of a day: asked for, checked against its hash, read.

source  pay.weixin.qq.com: /v3/bill/tradebill (doc/v3/merchant/4012556654) and the
        description of the file (docs/merchant/products/bill-download/format-trade)
"""

from __future__ import annotations

import hashlib
import hmac
from datetime import date, datetime

from payments.gateways import bills, values
from payments.gateways.bills import PAYMENT, REFUND, BadBill, BillLine, NoBill
from payments.gateways.contract import Refused, Unclear
from payments.gateways.wechat.client import WechatClient

MERCHANT = "WECHAT_PAY_MCH_ID"
HOSTS = ("https://api.mch.weixin.qq.com", "https://api2.mch.weixin.qq.com")

_COLUMNS = (
    "交易时间",
    "商户号",
    "微信订单号",
    "商户订单号",
    "交易状态",
    "货币种类",
    "商户退款单号",
    "退款状态",
    "订单金额",
    "申请退款金额",
)
_SUMMARY = "总交易单数"
_NOT_THERE = {"NO_STATEMENT_EXIST", "STATEMENT_CREATING"}


def fetch(
    client: WechatClient, origin: str, day: date, *, now: datetime
) -> list[BillLine]:
    """Ask for the address of the bill, fetch it there, check its hash and read it.

    raises  NoBill, BadBill, GatewayError
    """
    path = f"/v3/bill/tradebill?bill_date={day.isoformat()}&bill_type=ALL&tar_type=GZIP"
    try:
        answer = client.call("GET", path, now=now)
    except Refused as error:
        if error.code in _NOT_THERE:
            raise NoBill from None
        raise
    if answer.get("hash_type") != "SHA1":
        raise Unclear("bill-hash", "the hash of the bill is not SHA1")
    url = bills.checked_url(values.text(answer, "download_url"), (origin, *HOSTS))
    text = bills.gunzip(client.download(url, now=now))
    made = hashlib.sha1(text, usedforsecurity=False).hexdigest()
    if not hmac.compare_digest(made, values.words(answer, "hash_value").lower()):
        raise BadBill("the file does not match the hash in WeChat's signed answer")
    return read(text, merchant=client.merchant.mch_id, now=now)


def read(data: bytes, *, merchant: str, now: datetime) -> list[BillLine]:
    """The lines of a bill of the kind ALL, as it comes or in gzip.

    Every cell below the header begins with a backquote, so that commas inside a cell
    part nothing. Two lines of sums end the file: without them it is cut off.

    raises  BadBill
    """
    lines = bills.rows(bills.decode(bills.gunzip(data)))
    header = lines[0].split(",")
    at = bills.columns(header, _COLUMNS, 1)
    found: list[BillLine] = []
    for line, text in enumerate(lines[1:], 2):
        if text.startswith(_SUMMARY):
            if line == len(lines):
                raise BadBill(f"line {line}: the file ends before the sums")
            return found
        if not text.startswith("`"):
            raise BadBill(f"line {line}: does not begin with a backquote")
        cells = text[1:].split(",`")
        if len(cells) != len(header):
            raise BadBill(f"line {line}: {len(cells)} cells, not {len(header)}")
        found.append(_line([cells[place].strip() for place in at], merchant, line))
    raise BadBill(f"line {len(lines)}: the file ends before the sums")


def _line(cells: list[str], merchant: str, line: int) -> BillLine:
    when, mch_id, txn_id, number, state, currency, refund, status, total, back = cells
    if mch_id != merchant:
        raise BadBill(f"line {line}: the bill of another merchant")
    if currency != "CNY":
        raise BadBill(f"line {line}: the currency is not CNY")
    if state not in ("SUCCESS", "REFUND"):
        raise BadBill(f"line {line}: a state that no trade of ours has")
    is_refund = state == "REFUND"
    return BillLine(
        gateway="wechat",
        kind=REFUND if is_refund else PAYMENT,
        number=bills.number(refund, line, "商户退款单号")
        if is_refund
        else bills.number(number, line, "商户订单号"),
        txn_id=bills.number(txn_id, line, "微信订单号"),
        amount_fen=bills.fen(back, line, "申请退款金额", back=True)
        if is_refund
        else bills.fen(total, line, "订单金额"),
        at=bills.moment(when, line),
        is_final=not is_refund or status == "SUCCESS",
    )
