"""UnionPay's ZM file: a merchant's ordinary trades of one clearing day, fixed columns.

A clearing day runs from 23:00 to 23:00. The file is fetched by hand from the merchant
service and given to ``manage.py reconcile``.

source  widths and meanings of the 42 columns as UnionPay's own demo (``parseZMFile``)
        and public readers quote them from 全渠道平台接入接口规范 第3部分 文件接口, 6.1;
        the specification itself was not at hand
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from payments.gateways import bills
from payments.gateways.beijing import BEIJING
from payments.gateways.bills import PAYMENT, REFUND, BadBill, BillLine

MERCHANT = "UNIONPAY_MER_ID"

# Bytes, not letters; one space between columns. What follows the merchant's number
# (fees, instalments, reserve) is not looked at and differs by the age of the file.
_WIDTHS = (
    *(3, 11, 11, 6, 10, 19, 12, 4, 2, 21, 2, 32, 2, 6, 10, 13, 13, 4, 15, 2, 2, 6, 2),
    *(4, 32, 1, 21, 15),
)
_TIME, _AMOUNT, _QUERY_ID, _ORDER_ID, _KIND, _ORIGINAL, _MERCHANT = (
    *(4, 6, 9, 11, 19, 26, 27),
)
_KINDS = {b"01": PAYMENT, b"04": REFUND, b"31": REFUND}
"""Consumption, its refund and its undo."""
_FEN = re.compile(rb"[0-9]{12}")
_MOMENT = re.compile(rb"[0-9]{10}")


def read(data: bytes, *, merchant: str, now: datetime) -> list[BillLine]:
    """The lines of a ZM file, alone or in the zip that UnionPay packs it into.

    raises  BadBill
    """
    found: list[BillLine] = []
    for line, row in enumerate(_zm_file(data).split(b"\n"), 1):
        if row.strip():
            found.append(_line(_cells(row, line), merchant, line, now=now))
    return found


def _zm_file(data: bytes) -> bytes:
    """The one file whose lines have this form; the archive holds others as well."""
    files = bills.unzip(data)
    if len(files) == 1:
        return files[0]
    for file in files:
        try:
            _cells(file.partition(b"\n")[0], 1)
        except BadBill:
            continue
        return file
    raise BadBill("line 1: no file in the archive is a ZM file")


def _cells(row: bytes, line: int) -> list[bytes]:
    cells, at = [], 0
    for width in _WIDTHS:
        cell, space = row[at : at + width], row[at + width : at + width + 1]
        if len(cell) != width or space not in (b" ", b""):
            raise BadBill(f"line {line}: not the columns of a ZM file")
        cells.append(cell.strip())
        at += width + 1
    if not (_MOMENT.fullmatch(cells[_TIME]) and _FEN.fullmatch(cells[_AMOUNT])):
        raise BadBill(f"line {line}: no time or no amount where a ZM file has them")
    return cells


def _line(cells: list[bytes], merchant: str, line: int, *, now: datetime) -> BillLine:
    if cells[_MERCHANT] != merchant.encode():
        raise BadBill(f"line {line}: the bill of another merchant")
    if cells[_KIND] not in _KINDS:
        raise BadBill(f"line {line}: a kind that no trade of ours has")
    # A refund is known to us by its own order number and the payment's transaction.
    kind = _KINDS[cells[_KIND]]
    txn_id = cells[_ORIGINAL] if kind == REFUND else cells[_QUERY_ID]
    return BillLine(
        gateway="unionpay",
        kind=kind,
        number=bills.number(_ascii(cells[_ORDER_ID]), line, "orderId"),
        txn_id=bills.number(_ascii(txn_id), line, "queryId"),
        amount_fen=int(cells[_AMOUNT]),
        at=_moment(_ascii(cells[_TIME]), line, now=now),
    )


def _ascii(cell: bytes) -> str:
    return cell.decode("ascii", "replace")


def _moment(text: str, line: int, *, now: datetime) -> datetime:
    """``MMDDhhmmss`` in Beijing; the file has no year: the latest that is not to come."""
    latest = now.astimezone(BEIJING) + timedelta(days=1)
    for year in (latest.year, latest.year - 1):
        try:
            found = datetime.strptime(f"{year}{text}", "%Y%m%d%H%M%S").replace(
                tzinfo=BEIJING
            )
        except ValueError:  # 29 February of another year
            continue
        if found <= latest:
            return found
    raise BadBill(f"line {line}: the time is not MMDDhhmmss")
