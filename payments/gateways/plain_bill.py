"""The shop's own documented CSV, for gateways without bill files and for hand-made lists.

Its columns stand in docs/reconciliation.md.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from payments.gateways.bills import PAYMENT, REFUND, BadBill, BillLine

COLUMNS = ("gateway", "kind", "out_trade_no", "txn_id", "amount_fen")
OPTIONAL_COLUMNS = ("out_refund_no", "at")
KINDS = (PAYMENT, REFUND)
_FEN = re.compile(r"[0-9]{1,12}", re.ASCII)
_CODE = re.compile(r"[a-z0-9_]{1,16}", re.ASCII)
_WORD = re.compile(r"[!-~]{1,64}", re.ASCII)


def is_plain(text: str) -> bool:
    """Whether a file begins as this kind does, rather than as a gateway's own."""
    header = text[:1000].partition("\n")[0].strip().split(",")
    return any(name in header for name in COLUMNS)


def read(lines: Iterable[str]) -> list[BillLine]:
    """Read a bill from CSV with a header line, ``COLUMNS`` in any order.

    ``kind`` is ``payment`` or ``refund``; a refund also needs ``out_refund_no``; ``at``
    is ISO 8601 with an offset. Other columns are ignored.

    raises  BadBill
    """
    reader = csv.DictReader(lines)
    try:
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise BadBill(f"line 1: no column {', '.join(missing)}")
        return [_read_line(row, reader.line_num) for row in reader]
    except csv.Error as error:
        raise BadBill(f"line {reader.line_num}: {error}") from None


def _read_line(row: Mapping[str, Any], line: int) -> BillLine:
    values = {
        name: (row.get(name) or "").strip() for name in (*COLUMNS, *OPTIONAL_COLUMNS)
    }
    kind = values["kind"]
    number = values["out_refund_no" if kind == REFUND else "out_trade_no"]
    try:
        at = datetime.fromisoformat(values["at"]) if values["at"] else None
    except ValueError:
        raise BadBill(f"line {line}: at is not ISO 8601") from None
    if kind not in KINDS:
        raise BadBill(f"line {line}: kind is neither payment nor refund")
    if not _WORD.fullmatch(number) or not _CODE.fullmatch(values["gateway"]):
        raise BadBill(f"line {line}: no gateway or no number")
    if values["txn_id"] and not _WORD.fullmatch(values["txn_id"]):
        raise BadBill(f"line {line}: txn_id is no number")
    if not _FEN.fullmatch(values["amount_fen"]):
        raise BadBill(f"line {line}: amount_fen is not a whole number of fen")
    if at is not None and at.tzinfo is None:
        raise BadBill(f"line {line}: at has no offset from UTC")
    return BillLine(
        values["gateway"],
        kind,
        number,
        values["txn_id"],
        int(values["amount_fen"]),
        at,
    )
