"""What strangers may post to Alipay's notify address, and what Alipay may mean by it.

security 31–33, 36, 80, 81: the failure word, never a 5xx, and not a row written.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.test import Client

from payments.models import Attempt, GatewayEvent
from tests.payments.far_side import FarAlipay, signature
from tests.rows import changed, fingerprint
from tests.shopping import fresh

URL = "/payments/alipay/notify/"
FORM = "application/x-www-form-urlencoded; charset=utf-8"

Fields = dict[str, str]


def post(client: Client, body: bytes, content_type: str = FORM, **extra: Any) -> Any:
    return client.generic("POST", URL, body, content_type=content_type, **extra)


def with_sign(fields: Fields, sign: str) -> bytes:
    return urlencode(fields | {"sign": sign}).encode()


def moved_border(fields: Fields) -> bytes:
    """The signed text stays as it was; ``total_amount`` hides in the subject."""
    merged = dict(fields)
    amount = merged.pop("total_amount")
    merged["subject"] += f"&total_amount={amount}"
    assert FarAlipay.text(merged | {"sign": "", "sign_type": ""}) == FarAlipay.text(
        fields | {"sign": "", "sign_type": ""}
    )
    return urlencode(merged).encode()


Forgery = Callable[[Fields], bytes]


def json_signed(value: object) -> Forgery:
    return lambda fields: json.dumps(fields | {"sign": value}).encode()


def claiming(name: str, value: str) -> Forgery:
    return lambda fields: urlencode(fields | {name: value}).encode()


NO_SIGNS: tuple[object, ...] = (
    *(True, 0, 1, 1.5, None, [], {}, ["x"], "é", float("nan")),
)
FORGERIES: dict[str, Forgery] = {
    # 31: unsigned, or signed by somebody else
    "no sign": lambda f: urlencode(f | {"sign": ""}).encode(),
    "no sign at all": lambda f: urlencode(
        {name: value for name, value in f.items() if name != "sign"}
    ).encode(),
    "random sign": lambda f: with_sign(f, base64.b64encode(bytes(256)).decode()),
    "the merchant's own key": lambda f: with_sign(
        f, signature("merchant", FarAlipay.text(f).encode())
    ),
    "nothing": lambda f: b"",
    "blanks": lambda f: b"   ",
    "a request of ours sent back": lambda f: urlencode(
        {"method": "alipay.trade.query", **f, "out_trade_no": "X"}
    ).encode(),
    # 32: types
    "sign[]": lambda f: urlencode(f).encode().replace(b"sign=", b"sign%5B%5D="),
    "sign[] plain": lambda f: urlencode(f).encode().replace(b"sign=", b"sign[]="),
    "sign[0]": lambda f: urlencode(f | {"sign[0]": f["sign"]}).encode(),
    "out_trade_no[]": lambda f: urlencode(f | {"out_trade_no[]": "X"}).encode(),
    "non-ASCII sign": lambda f: with_sign(f, "签名"),
    "non-ASCII sign, raw": lambda f: urlencode(f).encode() + "签".encode(),
    "latin sign": lambda f: urlencode(f).encode().replace(b"sign=", b"sign=%E9"),
    "lone surrogate": lambda f: urlencode(f).encode().replace(b"sign=", b"sign=%ED%A0"),
    "NUL in sign": lambda f: with_sign(f, f["sign"] + "\0"),
    "sign in hex": lambda f: with_sign(f, base64.b64decode(f["sign"]).hex()),
    "sign without padding": lambda f: with_sign(f, f["sign"].rstrip("=")),
    "sign padded twice": lambda f: with_sign(f, f["sign"] + "===="),
    "sign with a line feed": lambda f: with_sign(f, f["sign"] + "\n"),
    "sign with blanks for plus": lambda f: (
        urlencode(f | {"sign": " " + f["sign"]}).replace("%2B", "+").encode()
    ),
    "sign in the URL alphabet": lambda f: with_sign(
        f, "-_" + f["sign"].replace("+", "-").replace("/", "_")
    ),
    "sign of one byte": lambda f: with_sign(f, "AA=="),
    "sign of 60 kB": lambda f: with_sign(f, "A" * 60_000),
    "JSON": lambda f: json.dumps(f).encode(),
    **{f"JSON with sign {value!r}": json_signed(value) for value in NO_SIGNS},
    "JSON array": lambda f: json.dumps([f]).encode(),
    "deep JSON": lambda f: b"[" * 50_000,
    # 33: two readings of one text
    "moved border": moved_border,
    "a pair inside a value": lambda f: urlencode(
        FarAlipay.signed({**FarAlipay.paid("X"), "body": "a=1&b=2"})
    ).encode(),
    "added parameter": lambda f: urlencode(f | {"fund_change": "Y"}).encode(),
    "semicolons": lambda f: urlencode(f).encode().replace(b"&", b";"),
    "upper-case names": lambda f: urlencode(
        {name.upper(): value for name, value in f.items()}
    ).encode(),
    "blank in a name": lambda f: urlencode(f | {" total_amount": "0.01"}).encode(),
    "name without value": lambda f: urlencode(f).encode() + b"&total_amount",
    "empty pairs": lambda f: urlencode(f).encode() + b"&&&",
    "101 parameters": lambda f: urlencode(
        f | {f"p{n}": "" for n in range(101)}
    ).encode(),
    "too large": lambda f: urlencode(f | {"subject": "A" * 70_000}).encode(),
    "bad UTF-8": lambda f: urlencode(f).encode() + b"&body=%FF%FE",
    "raw UTF-8": lambda f: urlencode(f, safe="&=卡盟").encode() + "&b=卡".encode(),
    "UTF-16": lambda f: urlencode(f).encode("utf-16"),
    "multipart": lambda f: b"--b\r\nContent-Disposition: form-data; name=sign\r\n\r\nx",
    "XML bomb": lambda f: b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;&a;</x>',
    **{
        f"sign_type {name!r}": claiming("sign_type", name)
        for name in ("MD5", "RSA", "rsa2", "RSA2 ", "", "none", "HMAC", "卡")
    },
    **{
        f"charset {name!r}": claiming("charset", name)
        for name in ("GBK", "gb2312", "utf-16", "hex", "utf-8\0", "rot13")
    },
}


@pytest.fixture
def genuine(attempt: Attempt) -> Fields:
    return FarAlipay.signed(FarAlipay.paid(attempt.out_trade_no))


def test_it_answers_every_forgery_with_fail_and_writes_nothing(
    client: Client, genuine: Fields
) -> None:
    before = fingerprint()
    for name, forge in FORGERIES.items():
        answer = post(client, forge(genuine))
        assert (answer.status_code, answer.content) == (200, b"fail"), name
    assert changed(before) == []


def test_any_doubled_parameter_is_refused(client: Client, genuine: Fields) -> None:
    """33: whoever reads the first and whoever reads the last would disagree."""
    before = fingerprint()
    body = urlencode(genuine)
    for name, value in genuine.items():
        for again in (value, "0.01", ""):
            for doubled in (
                f"{body}&{urlencode({name: again})}",
                f"{urlencode({name: again})}&{body}",
            ):
                assert post(client, doubled.encode()).content == b"fail", name
    assert changed(before) == []


def test_any_flipped_byte_of_a_genuine_body_is_refused(
    client: Client, genuine: Fields
) -> None:
    """31. But for the two characters that can write one value in another way."""
    body = bytearray(urlencode(genuine).encode())
    before = fingerprint()
    for at in range(0, len(body), 7):
        kept = body[at]
        body[at] = kept ^ 0x01
        assert post(client, bytes(body)).content == b"fail", at
        body[at] = kept
    assert changed(before) == []
    assert post(client, bytes(body)).content == b"success"


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/xml",
        "application/json",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded; charset=gbk",
        "application/x-www-form-urlencoded; charset=hex",
        "application/x-www-form-urlencoded; charset=" + "a" * 5_000,
        "x/y; charset=idna",
    ],
)
def test_what_the_content_type_claims_changes_nothing(
    client: Client, attempt: Attempt, genuine: Fields, content_type: str
) -> None:
    """33, 80: the bytes were signed, the header was not."""
    forged = urlencode(genuine | {"total_amount": "0.01"}).encode()
    assert post(client, forged, content_type).content == b"fail"
    body = urlencode(genuine).encode()
    assert post(client, body, content_type).content == b"success"
    assert fresh(attempt).state == "paid"


def test_a_body_beyond_a_megabyte_is_refused_before_it_is_read(
    client: Client, genuine: Fields
) -> None:
    """81"""
    before = fingerprint()
    answer = post(client, b"a=" + b"A" * 2_000_000)
    assert answer.status_code == 400
    assert b"Traceback" not in answer.content
    assert changed(before) == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "TRACE"])
def test_other_methods_are_not_heard(
    client: Client, genuine: Fields, method: str
) -> None:
    before = fingerprint()
    answer = client.generic(
        method, f"{URL}?{urlencode(genuine)}", urlencode(genuine).encode(), FORM
    )
    assert answer.status_code in (404, 405)
    assert changed(before) == []


def test_the_query_is_not_read(client: Client, genuine: Fields) -> None:
    before = fingerprint()
    answer = client.generic("POST", f"{URL}?{urlencode(genuine)}", b"", FORM)
    assert answer.content == b"fail"
    assert changed(before) == []


def test_an_empty_parameter_that_nobody_signed_says_nothing(
    client: Client, attempt: Attempt, genuine: Fields
) -> None:
    body = urlencode({**genuine, "out_biz_no": "", "refund_fee": ""}).encode()
    assert post(client, body).content == b"success"
    assert fresh(attempt).state == "paid"
    assert GatewayEvent.objects.get().outcome == "settled"


@pytest.mark.parametrize("spelling", ["15", "15.0", "15.00"])
def test_an_amount_may_be_spelt_in_three_ways(
    client: Client, attempt: Attempt, spelling: str
) -> None:
    body = FarAlipay.notice(FarAlipay.paid(attempt.out_trade_no, spelling))
    assert post(client, body).content == b"success"
    assert fresh(attempt.order).status == "paid"


ODD_AMOUNTS = (
    *("", " 15.00", "15.00 ", "+15.00", "-15.00", "15.000", "015.00", "15,00", "1_5"),
    *(
        "1.5e1",
        "15.",
        ".15",
        "１５.00",
        "١٥",
        "NaN",
        "Infinity",
        "15\n",
        "15\0",
        "0x0f",
    ),
    *("99999999999.00", "9" * 5_000, "0", "0.00", "15.01", "14.99", "1500"),
)


@pytest.mark.parametrize("amount", ODD_AMOUNTS)
def test_no_other_amount_ever_pays(
    client: Client, attempt: Attempt, amount: str
) -> None:
    """36, C1, C2: recorded where it says something; the order waits, nothing is given."""
    body = FarAlipay.notice(FarAlipay.paid(attempt.out_trade_no, amount))
    assert post(client, body).content == b"fail"
    order = fresh(attempt.order)
    assert (order.status, order.fulfil) == ("pending", "none")
    assert GatewayEvent.objects.get().outcome == "mismatch"


NONSENSE = {
    "state with NUL": {"trade_status": "TRADE\0SUCCESS"},
    "state of 20 kB": {"trade_status": "T" * 20_000},
    "state in Chinese": {"trade_status": "成功"},
    "no state": {"trade_status": ""},
    "no number": {"out_trade_no": ""},
    "number with NUL": {"out_trade_no": "ABC\0"},
    "number of 20 kB": {"out_trade_no": "A" * 20_000},
    "transaction with NUL": {"trade_no": "2026\0"},
    "no transaction": {"trade_no": ""},
    "transaction of 20 kB": {"trade_no": "2" * 20_000},
    "event id with NUL": {"notify_id": "\0", "trade_status": "WAIT_BUYER_PAY"},
    "refund with NUL": {"refund_fee": "15.00", "out_biz_no": "R\0"},
    "refund of another": {"refund_fee": "15.00", "out_biz_no": "R" * 64},
    "refund of no sum": {"out_biz_no": "R1", "refund_fee": "NaN"},
    "closed with a refund": {"trade_status": "TRADE_CLOSED", "refund_fee": "15.00"},
    "dated in the year 1": {"gmt_payment": "0001-01-01 00:00:00"},
    "dated in the year 9999": {"gmt_payment": "9999-12-31 23:59:59"},
    "dated nonsense": {"gmt_payment": "gestern"},
    "dated with a zone": {"gmt_payment": "2026-11-22T10:00:00+08:00"},
    "another kind of notice": {"notify_type": "dut_user_sign", "trade_status": ""},
}


@pytest.mark.parametrize("case", NONSENSE)
def test_genuine_nonsense_never_fails_the_shop(
    client: Client, attempt: Attempt, case: str
) -> None:
    """B21: signed by Alipay, and still not to be believed blindly."""
    fields = FarAlipay.paid(attempt.out_trade_no, **NONSENSE[case])
    answer = post(client, FarAlipay.notice(fields))
    assert answer.status_code == 200
    assert answer.content in (b"success", b"fail")
    if fresh(attempt).state == "paid":
        paid_at = fresh(attempt).paid_at
        assert paid_at is not None
        assert paid_at.year in range(2026, 2100)


def test_a_return_that_alipay_signed_is_no_notice(
    client: Client, attempt: Attempt
) -> None:
    """B17: the browser carries signed fields too; without a state they pay nothing."""
    back = {
        "app_id": FarAlipay.APP_ID,
        "seller_id": FarAlipay.SELLER_ID,
        "charset": "utf-8",
        "method": "alipay.trade.page.pay.return",
        "out_trade_no": attempt.out_trade_no,
        "total_amount": "15.00",
        "trade_no": "2026112222001400000000000001",
    }
    before = fingerprint()
    post(client, FarAlipay.notice(back))
    assert changed(before) == []
    assert fresh(attempt.order).status == "pending"


def test_a_refused_notice_is_counted_in_the_log_without_its_content(
    client: Client, genuine: Fields, caplog: pytest.LogCaptureFixture
) -> None:
    """B10"""
    post(client, with_sign(genuine, quote("canary")))
    [record] = [r for r in caplog.records if r.name == "payments.notices"]
    assert record.getMessage() == "gateway=alipay notice refused: signature"
    assert "canary" not in caplog.text
    assert genuine["out_trade_no"] not in caplog.text
