"""A gateway's own bill in plain values, and how such files are opened and bounded.

Each gateway that has bills reads them in ``bill.py`` of its folder: ``MERCHANT`` names
the setting with the merchant's number there, ``read`` takes the file apart. Nothing in
a bill decides anything; it is compared with our books.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol, cast, runtime_checkable
from urllib.parse import urlsplit

from payments.gateways import yuan
from payments.gateways.beijing import BEIJING
from payments.gateways.contract import Unclear

LARGEST_FILE = 16 * 1024 * 1024
LARGEST_TEXT = 64 * 1024 * 1024
"""After unpacking; a line has about 300 bytes."""
DOWNLOAD_SECONDS = 25.0
_GZIP = 16 + zlib.MAX_WBITS

PAYMENT, REFUND = "payment", "refund"
_NUMBER = re.compile(r"[0-9A-Za-z_\-|*@]{1,64}", re.ASCII)


class BadBill(ValueError):
    """The file is not a bill of ours; the message names the line."""


class NoBill(Exception):
    """The gateway has no bill for that day: not yet, or nothing moved."""


@dataclass(frozen=True, slots=True)
class BillLine:
    """Money that moved, as a gateway lists it.

    number    of the payment our out_trade_no, of a refund our out_refund_no
    at        when, None where the bill does not say
    is_final  False for a refund that has left the balance and not yet arrived
    """

    gateway: str
    kind: str
    number: str
    txn_id: str
    amount_fen: int
    at: datetime | None
    is_final: bool = True


@runtime_checkable
class BillSource(Protocol):
    """A gateway that hands out its bill of a day."""

    def fetch_bill(self, day: date, *, now: datetime) -> list[BillLine]:
        """The bill of one whole day, Beijing time.

        raises  NoBill, BadBill, GatewayError
        """
        ...


class BillReader(Protocol):
    """``bill.py`` of a gateway's folder."""

    MERCHANT: str

    def read(self, data: bytes, *, merchant: str, now: datetime) -> list[BillLine]:
        """The lines of the gateway's own file, packed or not; raises BadBill."""
        ...


def reader(code: str) -> BillReader | None:
    """What reads this gateway's own files, None where only the plain CSV serves."""
    name = f"payments.gateways.{code}.bill"
    if find_spec(f"payments.gateways.{code}") is None or find_spec(name) is None:
        return None
    return cast("BillReader", import_module(name))


def whole_day(day: date) -> tuple[datetime, datetime]:
    """The half-open day [begin, end) in Beijing."""
    begin = datetime.combine(day, time(), BEIJING)
    return begin, begin + timedelta(days=1)


# --- Opening files -----------------------------------------------------------------


def gunzip(data: bytes) -> bytes:
    """The content of one gzip file; also what is none comes back, as it is.

    raises  BadBill when it is cut off, damaged or unpacks to more than a bill can have
    """
    if not data.startswith(b"\x1f\x8b"):
        return data
    unpacker = zlib.decompressobj(wbits=_GZIP)
    try:
        text = unpacker.decompress(data, LARGEST_TEXT + 1)
    except zlib.error:
        raise BadBill("the gzip file is damaged") from None
    if len(text) > LARGEST_TEXT:
        raise BadBill("the gzip file unpacks to too much")
    if not unpacker.eof or unpacker.unused_data:
        raise BadBill("the gzip file is cut off or longer than its content")
    return text


def unzip(data: bytes) -> list[bytes]:
    """The files in a zip archive; one file comes back alone, as it is.

    raises  BadBill when it is damaged or unpacks to more than a bill can have
    """
    if not data.startswith(b"PK"):
        return [data]
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > 20 or sum(m.file_size for m in members) > LARGEST_TEXT:
                raise BadBill("the zip file unpacks to too much")
            return [_member(archive, member) for member in members]
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,  # encrypted
    ):
        raise BadBill("the zip file is damaged") from None


def _member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """No more than it says of itself, which was added up before."""
    with archive.open(member) as file:
        return file.read(member.file_size + 1)


def decode(data: bytes) -> str:
    """UTF-8 or the Chinese GB 18030, with or without a mark; raises BadBill."""
    if len(data) > LARGEST_TEXT:
        raise BadBill("the file is too large")
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise BadBill("the file is neither UTF-8 nor GB 18030")


def rows(text: str) -> list[str]:
    """The lines of a file, whichever of the two line ends it has."""
    return [row.rstrip("\r") for row in text.rstrip("\r\n").split("\n")]


# --- Reading cells -----------------------------------------------------------------


def number(text: str, line: int, name: str) -> str:
    """An order, refund or transaction number; a formula or a sentence is none."""
    if not _NUMBER.fullmatch(text):
        raise BadBill(f"line {line}: {name} is no number of a trade")
    return text


def fen(text: str, line: int, name: str, *, back: bool = False) -> int:
    """Yuan with at most two decimals; money going ``back`` may have a minus sign."""
    found = yuan.parse(text.removeprefix("-") if back else text)
    if found is None:
        raise BadBill(f"line {line}: {name} is no amount in yuan")
    return found


def moment(text: str, line: int) -> datetime:
    """``2026-11-22 18:30:05``, Beijing time."""
    try:
        found = datetime.strptime(text, "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007
    except ValueError:
        raise BadBill(f"line {line}: the time is not YYYY-MM-DD hh:mm:ss") from None
    return found.replace(tzinfo=BEIJING)


def columns(header: list[str], wanted: tuple[str, ...], line: int) -> list[int]:
    """Where each wanted column stands; raises BadBill naming what is not there."""
    missing = [name for name in wanted if header.count(name) != 1]
    if missing:
        raise BadBill(f"line {line}: no column {', '.join(missing)}")
    return [header.index(name) for name in wanted]


# --- Downloading -------------------------------------------------------------------


def checked_url(url: str, origins: tuple[str, ...]) -> str:
    """The address of a bill, if it leads to one of these origins (security 79).

    The address comes out of a signed answer; all the same the shop fetches nothing from
    anywhere but the gateway itself.

    raises  Unclear
    """
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        raise Unclear("bill-address") from None
    origin = f"{parts.scheme}://{parts.hostname or ''}{port}"
    if origin not in origins or parts.username is not None or len(url) > 2048:
        raise Unclear("bill-address", f"the bill is offered at {origin[:80]}")
    return url
