"""Alipay's trade bill of a day: asked for, fetched, read.

source  alipay.data.dataservice.bill.downloadurl.query; the file (业务明细, a CSV in
        GBK with comment lines, packed with its summary in a zip) as public parsers of
        it have it; Alipay's own pages were not at hand
"""

from __future__ import annotations

import csv
import re
from datetime import date, datetime

from payments.gateways import bills, values
from payments.gateways.alipay.client import AlipayClient
from payments.gateways.bills import PAYMENT, REFUND, BadBill, BillLine, NoBill
from payments.gateways.contract import GatewayError

MERCHANT = "ALIPAY_SELLER_ID"
HOST = "https://dwbillcenter.alipay.com"

_TITLE = "#支付宝业务明细查询"
_END = "业务明细列表结束"
_ACCOUNT = re.compile(r"#账号：\[([0-9A-Za-z]{1,64})\]", re.ASCII)
_COLUMNS = (
    "支付宝交易号",
    "商户订单号",
    "业务类型",
    "完成时间",
    "订单金额（元）",
    "退款批次号/请求号",
)
_KINDS = {"交易": PAYMENT, "退款": REFUND}
_NOT_THERE = {"BILL_NOT_EXIST", "NO_BILL_DATA"}


def fetch(
    client: AlipayClient, seller_id: str, origin: str, day: date, *, now: datetime
) -> list[BillLine]:
    """Ask for the address of the bill, fetch it there and read it.

    raises  NoBill, BadBill, GatewayError
    """
    try:
        answer = client.call(
            "alipay.data.dataservice.bill.downloadurl.query",
            {"bill_type": "trade", "bill_date": day.isoformat()},
            now=now,
        )
    except GatewayError as error:
        if error.code.rpartition(".")[2].upper() in _NOT_THERE:
            raise NoBill from None
        raise
    url = values.text(answer, "bill_download_url")
    if url.startswith(HOST.replace("https", "http", 1) + "/"):
        url = HOST + url.removeprefix(HOST.replace("https", "http", 1))
    data = client.download(bills.checked_url(url, (origin, HOST)))
    return read(data, merchant=seller_id, now=now)


def read(data: bytes, *, merchant: str, now: datetime) -> list[BillLine]:
    """The lines of the 业务明细, from the zip or from the CSV alone.

    raises  BadBill
    """
    for file in bills.unzip(data):
        text = bills.decode(file)
        if text.startswith(_TITLE) and "汇总" not in text.partition("\n")[0]:
            return _read(text, merchant)
    raise BadBill("line 1: not Alipay's 业务明细")


def _read(text: str, merchant: str) -> list[BillLine]:
    """Comment lines begin with #; one of them names the account, the last the end."""
    account = _ACCOUNT.search(text)
    # The account is the seller's number with four digits behind it.
    if account is None or not account[1].startswith(merchant):
        raise BadBill("line 2: the bill of another merchant")
    if len(account[1]) not in (len(merchant), len(merchant) + 4):
        raise BadBill("line 2: the bill of another merchant")
    at: list[int] = []
    width = 0
    found: list[BillLine] = []
    for line, row in enumerate(bills.rows(text), 1):
        if row.startswith("#"):
            if _END in row:
                return found
            continue
        cells = _cells(row, line)
        if not at:
            at, width = bills.columns(cells, _COLUMNS, line), len(cells)
        elif len(cells) != width:
            raise BadBill(f"line {line}: {len(cells)} cells, not {width}")
        else:
            found.append(_line([cells[place] for place in at], line))
    raise BadBill("the file ends before its last line")


def _cells(row: str, line: int) -> list[str]:
    """Cells end in a tab where Excel would take them for numbers."""
    try:
        return [cell.strip() for cell in next(csv.reader([row]))]
    except (csv.Error, StopIteration):
        raise BadBill(f"line {line}: not a line of CSV") from None


def _line(cells: list[str], line: int) -> BillLine:
    txn_id, number, kind, when, total, refund = cells
    if kind not in _KINDS:
        raise BadBill(f"line {line}: a kind that no trade of ours has")
    is_refund = _KINDS[kind] == REFUND
    return BillLine(
        gateway="alipay",
        kind=_KINDS[kind],
        number=bills.number(refund, line, "退款批次号/请求号")
        if is_refund
        else bills.number(number, line, "商户订单号"),
        txn_id=bills.number(txn_id, line, "支付宝交易号"),
        amount_fen=bills.fen(total, line, "订单金额", back=is_refund),
        at=bills.moment(when, line),
    )
