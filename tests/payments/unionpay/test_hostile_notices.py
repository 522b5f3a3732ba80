"""What strangers may post to UnionPay's notify address, and what it may mean by it.

security 31–33, 36, 80, 81: never the word or the status of success, never a 5xx, and not
a row written. Each message brings its own certificate, so most forgeries are of that.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import time_machine
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from django.test import Client, override_settings
from django.utils import timezone

from payments.models import Attempt, GatewayEvent
from tests.payments.far_side import key, signature
from tests.payments.far_unionpay import (
    OWNER,
    FarUnionPay,
    leaf,
    merchant,
    middle,
    pem,
    root,
)
from tests.rows import changed, fingerprint
from tests.shopping import fresh

URL = "/payments/unionpay/notify/"
FORM = "application/x-www-form-urlencoded;charset=UTF-8"

Fields = dict[str, str]
Forgery = Callable[[Fields], bytes]


def post(client: Client, body: bytes, content_type: str = FORM, **extra: Any) -> Any:
    return client.generic("POST", URL, body, content_type=content_type, **extra)


def is_refused(answer: Any) -> bool:
    return bool(answer.status_code == 400 and answer.content == b"fail")


def with_sign(fields: Fields, sign: str) -> bytes:
    return urlencode(fields | {"signature": sign}).encode()


def under(certificate: Callable[[], str], owner: str = "unionpay") -> Forgery:
    """Rightly signed by ``owner``, who shows this certificate."""

    def forge(fields: Fields) -> bytes:
        shown = fields | {"signPubKeyCert": certificate()}
        return urlencode(FarUnionPay.signed(shown, owner=owner)).encode()

    return forge


def claiming(name: str, value: str) -> Forgery:
    """Signed by UnionPay, with one field of the frame otherwise."""
    return lambda fields: FarUnionPay.notice(fields | {name: value})


def by_sha1(fields: Fields) -> bytes:
    """As version 5.0.0 signed: SHA-1 both times."""
    text = hashlib.sha1(FarUnionPay.text(fields).encode()).hexdigest()  # noqa: S324
    sign = key("unionpay").sign(text.encode(), padding.PKCS1v15(), hashes.SHA1())  # noqa: S303
    return with_sign(fields, base64.b64encode(sign).decode())


def hidden(name: str, inside: str) -> Forgery:
    """The signed text stays as it was; a field hides in the value of the one before."""

    def forge(fields: Fields) -> bytes:
        merged = dict(fields)
        merged[inside] += f"&{name}={merged.pop(name)}"
        assert FarUnionPay.text(merged) == FarUnionPay.text(fields)
        return urlencode(merged).encode()

    return forge


def with_pass_back(value: str) -> Forgery:
    return lambda fields: FarUnionPay.notice(fields | {"reqReserved": value})


FORGERIES: dict[str, Forgery] = {
    # 31: unsigned, or signed by somebody else
    "no signature": lambda f: urlencode(f | {"signature": ""}).encode(),
    "no signature at all": lambda f: urlencode(
        {name: value for name, value in f.items() if name != "signature"}
    ).encode(),
    "random signature": lambda f: with_sign(f, base64.b64encode(bytes(256)).decode()),
    "signed by the merchant": lambda f: urlencode(
        FarUnionPay.signed(f, owner="merchant")
    ).encode(),
    "the text itself signed, not its digest": lambda f: with_sign(
        f, signature("unionpay", FarUnionPay.text(f).encode())
    ),
    "SHA-1": by_sha1,
    "no certificate": claiming("signPubKeyCert", ""),
    "a certificate that is none": claiming("signPubKeyCert", "canary"),
    "half a certificate": lambda f: claiming("signPubKeyCert", leaf()[:-400])(f),
    "two certificates": lambda f: claiming("signPubKeyCert", leaf() + leaf())(f),
    "our own certificate": under(lambda: pem(merchant()), "merchant"),
    "another merchant's of the same chain": under(
        lambda: leaf(owner="stranger", name="041@898110148990002@evil@00000009"),
        "stranger",
    ),
    "UnionPay's certificate, the merchant's key": under(leaf, "merchant"),
    "UnionPay's name, signed by itself": under(
        lambda: leaf(owner="stranger", issuer="stranger"), "stranger"
    ),
    "UnionPay's name, below a merchant": under(
        lambda: leaf(owner="stranger", issuer="merchant"), "stranger"
    ),
    "UnionPay's name, straight below the root": under(
        lambda: leaf(owner="stranger", issuer="up-root"), "stranger"
    ),
    "the middle certificate": under(middle, "up-middle"),
    "the root certificate": under(root, "up-root"),
    "UnionPay's key before its day": under(lambda: leaf(first=2, last=300)),
    "UnionPay's key after its last day": under(lambda: leaf(last=-2)),
    **{
        f"the owner {name!r}": under(partial(leaf, name=name))
        for name in (
            "041@中国银联股份有限公司@Z2026@00001493",
            "041@Z2026@x中国银联股份有限公司@00001493",
            "041@Z2026@中国银联股份有限公司 @00001493",
            "041@Z2026",
            "00040000:SIGN",
        )
    },
    # 32: types
    "signature[]": lambda f: (
        urlencode(f).encode().replace(b"signature=", b"signature%5B%5D=")
    ),
    "non-ASCII signature": lambda f: with_sign(f, "签名"),
    "NUL in the signature": lambda f: with_sign(f, f["signature"] + "\0"),
    "signature in hex": lambda f: with_sign(f, base64.b64decode(f["signature"]).hex()),
    "signature with a line feed": lambda f: with_sign(f, f["signature"] + "\n"),
    "signature of 60 kB": lambda f: with_sign(f, "A" * 60_000),
    "JSON": lambda f: json.dumps(f).encode(),
    "nothing": lambda f: b"",
    "blanks": lambda f: b"   ",
    "deep JSON": lambda f: b"[" * 50_000,
    "XML bomb": lambda f: b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;&a;</x>',
    "multipart": lambda f: b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\nx",
    # 33: two readings of one text
    "a hidden respCode": hidden("respCode", "queryId"),
    "a hidden amount": hidden("txnAmt", "traceTime"),
    "a hidden field that nobody reads": hidden("payCardType", "orderId"),
    "a hidden amount in our pass-back text": with_pass_back("a=1&txnAmt=1"),
    "added field": lambda f: urlencode(f | {"origRespCode": "00"}).encode(),
    "name without value": lambda f: urlencode(f).encode() + b"&txnAmt",
    "empty pairs": lambda f: urlencode(f).encode() + b"&&&",
    "semicolons": lambda f: urlencode(f).encode().replace(b"&", b";"),
    "blank in a name": lambda f: urlencode(f | {" txnAmt": "1"}).encode(),
    "101 fields": lambda f: urlencode(f | {f"p{n}": "" for n in range(101)}).encode(),
    "too large": lambda f: urlencode(f | {"respMsg": "A" * 70_000}).encode(),
    "bad UTF-8": lambda f: urlencode(f).encode() + b"&x=%FF%FE",
    "raw UTF-8": lambda f: urlencode(f).encode() + "&b=卡".encode(),
    "UTF-16": lambda f: urlencode(f).encode("utf-16"),
    **{
        f"{name} {value!r}": claiming(name, value)
        for name, values in {
            "version": ("", "5.0.0", "5.1.0 ", "6"),
            "signMethod": ("", "02", "11", "12"),
            "encoding": ("", "GBK", "utf-16"),
        }.items()
        for value in values
    },
}


@pytest.fixture
def genuine(attempt: Attempt) -> Fields:
    return FarUnionPay.signed(FarUnionPay.paid(attempt))


def test_it_refuses_every_forgery_and_writes_nothing(
    client: Client, attempt: Attempt, genuine: Fields
) -> None:
    before = fingerprint()
    for name, forge in FORGERIES.items():
        assert is_refused(post(client, forge(genuine))), name
    assert changed(before) == []
    assert post(client, urlencode(genuine).encode()).content == b"ok"
    assert fresh(attempt).state == "paid"


@pytest.mark.parametrize(
    "name", [OWNER, "1@2@中国银联股份有限公司", "@@中国银联股份有限公司@@@"]
)
def test_the_third_part_of_the_name_is_the_owner(
    client: Client, attempt: Attempt, name: str
) -> None:
    fields = FarUnionPay.paid(attempt, signPubKeyCert=leaf(name=name))
    assert post(client, FarUnionPay.notice(fields)).content == b"ok"


def test_the_test_gateways_own_name_holds_there_alone(
    client: Client, attempt: Attempt
) -> None:
    fields = FarUnionPay.paid(attempt, signPubKeyCert=leaf(name="00040000:SIGN"))
    notice = FarUnionPay.notice(fields)
    assert is_refused(post(client, notice))
    with override_settings(UNIONPAY_GATEWAY_URL="https://gateway.test.95516.com"):
        assert post(client, notice).content == b"ok"


@pytest.mark.parametrize("name", ["UNIONPAY_ROOT_CERT", "UNIONPAY_MIDDLE_CERT"])
def test_a_chain_that_has_expired_vouches_for_nobody(
    client: Client, genuine: Fields, name: str
) -> None:
    """88: told to operators beforehand by the doctor."""
    made = {"UNIONPAY_ROOT_CERT": root, "UNIONPAY_MIDDLE_CERT": middle}[name]
    with override_settings(**{name: made(last=-1)}):
        assert is_refused(post(client, urlencode(genuine).encode()))
    with time_machine.travel(timezone.now() + timedelta(days=366), tick=False):
        assert is_refused(post(client, urlencode(genuine).encode()))


def test_any_doubled_field_is_refused(client: Client, genuine: Fields) -> None:
    """33: whoever reads the first and whoever reads the last would disagree."""
    before = fingerprint()
    body = urlencode(genuine)
    for name, value in genuine.items():
        for again in (value, "1", ""):
            assert is_refused(
                post(client, f"{body}&{urlencode({name: again})}".encode())
            ), name
    assert changed(before) == []


def test_any_flipped_byte_of_a_genuine_body_is_refused(
    client: Client, genuine: Fields
) -> None:
    """31"""
    body = bytearray(urlencode(genuine).encode())
    before = fingerprint()
    for at in range(0, len(body), 23):
        kept = body[at]
        body[at] = kept ^ 0x01
        assert is_refused(post(client, bytes(body))), at
        body[at] = kept
    assert changed(before) == []
    assert post(client, bytes(body)).content == b"ok"


@pytest.mark.parametrize(
    "content_type",
    ["", "text/xml", "application/json", f"{FORM.replace('UTF-8', 'x')}"],
)
def test_what_the_content_type_claims_changes_nothing(
    client: Client, attempt: Attempt, genuine: Fields, content_type: str
) -> None:
    """33, 80: the bytes were signed, the header was not."""
    forged = urlencode(genuine | {"txnAmt": "1"}).encode()
    assert is_refused(post(client, forged, content_type))
    assert post(client, urlencode(genuine).encode(), content_type).content == b"ok"
    assert fresh(attempt).state == "paid"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD"])
def test_other_methods_are_not_heard(
    client: Client, genuine: Fields, method: str
) -> None:
    before = fingerprint()
    body = urlencode(genuine)
    answer = client.generic(method, f"{URL}?{body}", body.encode(), FORM)
    assert answer.status_code in (404, 405)
    assert is_refused(client.generic("POST", f"{URL}?{body}", b"", FORM))
    assert changed(before) == []


def test_our_pass_back_text_may_look_like_fields(
    client: Client, attempt: Attempt
) -> None:
    fields = FarUnionPay.paid(
        attempt, reqReserved="a=1&b=中文", cardTransData="{a&b=c}"
    )
    assert post(client, FarUnionPay.notice(fields)).content == b"ok"
    assert fresh(attempt).state == "paid"


ODD_AMOUNTS = (
    *("", " 1500", "1500 ", "+1500", "-1500", "01500", "1,500", "1_500", "1500.0"),
    *("1.5e3", "１５００", "١٥٠٠", "NaN", "Infinity", "1500\n", "1500\0", "0x5dc"),
    *("9" * 13, "9" * 5_000, "0", "1501", "1499", "15.00", "15"),
)


@pytest.mark.parametrize("amount", ODD_AMOUNTS)
def test_no_other_amount_ever_pays(
    client: Client, attempt: Attempt, amount: str
) -> None:
    """36, C1, C2: kept where it says something; the order waits, nothing is given."""
    assert is_refused(
        post(client, FarUnionPay.notice(FarUnionPay.paid(attempt, amount)))
    )
    order = fresh(attempt.order)
    assert (order.status, order.fulfil) == ("pending", "none")
    assert GatewayEvent.objects.get().outcome == "mismatch"


@pytest.mark.parametrize("code", ["", "344", "840", "CNY", "0156", "人民币"])
def test_no_other_currency_ever_pays(
    client: Client, attempt: Attempt, code: str
) -> None:
    """C3"""
    fields = FarUnionPay.paid(attempt, currencyCode=code)
    assert is_refused(post(client, FarUnionPay.notice(fields)))
    assert fresh(attempt.order).status == "pending"


@pytest.mark.parametrize(
    "moment", ["", "20200101000000", "20261122", "x" * 14, "２" * 14, "99999999999999"]
)
def test_another_moment_is_another_order(
    client: Client, attempt: Attempt, moment: str
) -> None:
    """The number and txnTime together name the order."""
    fields = FarUnionPay.paid(attempt, txnTime=moment)
    assert is_refused(post(client, FarUnionPay.notice(fields)))
    assert fresh(attempt).state == "open"
    assert GatewayEvent.objects.get().outcome == "orphan"


@pytest.mark.parametrize("kind", ["00", "02", "04", "11", "31", "32", "", "01 "])
def test_no_other_kind_of_transaction_ever_pays(
    client: Client, attempt: Attempt, kind: str
) -> None:
    """A refund or an undo that nobody asked for is written down for a person."""
    fields = FarUnionPay.paid(attempt, txnType=kind)
    assert post(client, FarUnionPay.notice(fields)).content == b"ok"
    assert (fresh(attempt).state, fresh(attempt.order).status) == ("open", "pending")
    found = list(GatewayEvent.objects.values_list("outcome", flat=True))
    assert found == (["external"] if kind in ("04", "31") else [])


@pytest.mark.parametrize("code", ["A6", "00"])
def test_two_codes_mean_success(client: Client, attempt: Attempt, code: str) -> None:
    notice = FarUnionPay.notice(FarUnionPay.paid(attempt, respCode=code))
    assert post(client, notice).content == b"ok"
    assert fresh(attempt.order).status == "paid"


@pytest.mark.parametrize("code", ["01", "03", "05", "12", "34", "61", "99", "a6", "0"])
def test_no_other_code_pays_or_ends_the_attempt(
    client: Client, attempt: Attempt, code: str
) -> None:
    """Before the end everything but success may still change: the next try may work."""
    fields = FarUnionPay.paid(attempt, respCode=code, respMsg="余额不足")
    assert post(client, FarUnionPay.notice(fields)).content == b"ok"
    assert (fresh(attempt).state, fresh(attempt.order).status) == ("open", "pending")


NONSENSE = {
    "code with NUL": {"respCode": "0\0"},
    "code of 20 kB": {"respCode": "0" * 20_000},
    "no code": {"respCode": ""},
    "no number": {"orderId": ""},
    "number with NUL": {"orderId": "ABC\0"},
    "number of 20 kB": {"orderId": "A" * 20_000},
    "transaction with NUL": {"queryId": "2026\0"},
    "no transaction": {"queryId": ""},
    "transaction of 20 kB": {"queryId": "2" * 20_000},
    "refund with NUL": {"txnType": "04", "orderId": "R\0"},
    "refund of another": {"txnType": "04", "orderId": "R" * 40},
    "undo of no sum": {"txnType": "31", "txnAmt": "NaN"},
    "dated nonsense": {"traceTime": "gestern"},
    "dated 29 February": {"traceTime": "0229000000"},
    "dated nowhere": {"traceTime": ""},
    "currency of 20 kB": {"currencyCode": "1" * 20_000},
}


@pytest.mark.parametrize("case", NONSENSE)
def test_genuine_nonsense_never_fails_the_shop(
    client: Client, attempt: Attempt, case: str
) -> None:
    """B21: signed by UnionPay, and still not to be believed blindly."""
    fields = FarUnionPay.paid(attempt, **NONSENSE[case])
    answer = post(client, FarUnionPay.notice(fields))
    assert (answer.status_code, answer.content) in ((200, b"ok"), (400, b"fail"))
    if fresh(attempt).state == "paid":
        paid_at = fresh(attempt).paid_at
        assert paid_at is not None
        assert abs(paid_at - timezone.now()) < timedelta(days=366)


def test_the_browsers_return_with_the_same_fields_pays_nothing(
    client: Client, attempt: Attempt, genuine: Fields
) -> None:
    """B17: signed as a notice is, and still no proof; only the gateway's answer counts."""
    before = fingerprint()
    answer = client.post("/payments/unionpay/return/?token=x", genuine)
    assert answer.status_code == 303
    assert answer["Location"] == "/payments/unionpay/return/?token=x"
    assert changed(before) == []


def test_a_refused_notice_is_counted_in_the_log_without_its_content(
    client: Client, genuine: Fields, caplog: pytest.LogCaptureFixture
) -> None:
    """B10"""
    post(client, with_sign(genuine, quote("canary")))
    [record] = [r for r in caplog.records if r.name == "payments.notices"]
    assert record.getMessage() == "gateway=unionpay notice refused: signature"
    assert "canary" not in caplog.text
    assert genuine["orderId"] not in caplog.text
