"""What strangers may post to WeChat Pay's notify address, and what WeChat may mean.

security 31–33, 36, 80, 81, 88: the failure words, never a 5xx, and not a row written.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.test import Client
from django.utils import timezone

from payments.models import Attempt, GatewayEvent
from tests.payments.far_side import FarWechat, Letter
from tests.rows import changed, fingerprint
from tests.shopping import fresh

URL = "/payments/wechat/notify/"
Forgery = Callable[[Letter], Letter]
FAIL = {"code": "FAIL", "message": "not accepted"}
SIGNED_HEADERS = (
    "Wechatpay-Timestamp",
    "Wechatpay-Nonce",
    "Wechatpay-Serial",
    "Wechatpay-Signature",
)


def post(client: Client, letter: Letter) -> Any:
    return client.generic(
        "POST", URL, letter.body, letter.content_type, headers=letter.headers
    )


def is_refused(answer: Any) -> bool:
    return 400 <= answer.status_code < 500 and answer.json() == FAIL


def headed(letter: Letter, **headers: str | None) -> Letter:
    """With other headers; None leaves one out."""
    names = {f"Wechatpay-{name.title()}": value for name, value in headers.items()}
    merged = {**letter.headers, **names}
    return replace(letter, headers={k: v for k, v in merged.items() if v is not None})


def bodied(change: Callable[[bytes], bytes]) -> Forgery:
    return lambda letter: replace(letter, body=change(letter.body))


def latin(text: str) -> str:
    """Bytes as a WSGI server hands them on."""
    return text.encode().decode("latin-1")


def sign_of(letter: Letter) -> str:
    return letter.headers["Wechatpay-Signature"]


def without(name: str) -> Forgery:
    return lambda letter: replace(
        letter, headers={k: v for k, v in letter.headers.items() if k != name}
    )


def with_header(name: str, value: str) -> Forgery:
    return lambda letter: replace(letter, headers={**letter.headers, name: value})


def resealed(name: str, value: object) -> Callable[[Mapping[str, Any]], bytes]:
    """The envelope of a payment with another member in its ``resource``."""
    return lambda plain: FarWechat.envelope(
        FarWechat.sealed(json.dumps(plain).encode(), **{name: value})
    )


FORGERIES: dict[str, Forgery] = {
    **{f"without {name}": without(name) for name in SIGNED_HEADERS},
    **{f"empty {name}": with_header(name, "") for name in SIGNED_HEADERS},
    "no header at all": lambda ltr: replace(ltr, headers={}),
    "random sign": lambda ltr: headed(
        ltr, signature=base64.b64encode(bytes(256)).decode()
    ),
    "non-ASCII sign": lambda ltr: headed(ltr, signature=latin("签名")),
    "sign in hex": lambda ltr: headed(
        ltr, signature=base64.b64decode(sign_of(ltr)).hex()
    ),
    "sign without padding": lambda ltr: headed(ltr, signature=sign_of(ltr).rstrip("=")),
    "sign twice": lambda ltr: headed(ltr, signature=f"{sign_of(ltr)},{sign_of(ltr)}"),
    "sign of 60 kB": lambda ltr: headed(ltr, signature="A" * 60_000),
    "sign test": lambda ltr: headed(
        ltr, signature=f"WECHATPAY/SIGNTEST/{sign_of(ltr)}"
    ),
    "sign true": lambda ltr: headed(ltr, signature="true"),
    "type of v2": with_header("Wechatpay-Signature-Type", "HMAC-SHA256"),
    "type of SM2": with_header("Wechatpay-Signature-Type", "WECHATPAY2-SM2-WITH"),
    "serial unknown": lambda ltr: headed(ltr, serial="7" * 40),
    "serial non-ASCII": lambda ltr: headed(ltr, serial=latin("序列号")),
    "serial of zeros": lambda ltr: headed(ltr, serial="0"),
    "serial of the certificate": lambda ltr: headed(
        ltr, serial="5157F09EFDC096DE15EBE81A47057A7232F1B8E1"
    ),
    "public key id in lower case": lambda ltr: headed(
        ltr, serial=ltr.headers["Wechatpay-Serial"].lower()
    ),
    "nonce non-ASCII": lambda ltr: headed(ltr, nonce=latin("随机")),
    "nonce with a border moved": lambda ltr: headed(
        ltr,
        nonce=ltr.headers["Wechatpay-Nonce"] + "\n",
    ),
    **{
        f"time stamp {stamp!r}": with_header("Wechatpay-Timestamp", stamp)
        for stamp in (
            *("abc", "-1", "1e9", "1.5", "0", "9" * 30, latin("１７００００００００")),
            *("NaN", " 1700000000", "0x65", "2026-11-22T10:00:00Z"),
        )
    },
    "trailing blank": bodied(lambda body: body + b" "),
    "leading blank": bodied(lambda body: b"\n" + body),
    "byte order mark": bodied(lambda body: b"\xef\xbb\xbf" + body),
    "re-serialised": bodied(
        lambda body: json.dumps(json.loads(body), separators=(",", ":")).encode()
    ),
    "empty": bodied(lambda body: b""),
    "another number beside": bodied(
        lambda body: body.replace(b'"resource":', b'"x": 1, "resource":')
    ),
    "array": bodied(lambda body: b"[" + body + b"]"),
    "form": bodied(lambda body: b"out_trade_no=1&sign=2"),
    "XML of v2": bodied(lambda body: b"<xml><return_code>SUCCESS</return_code></xml>"),
    "XML bomb": bodied(lambda body: b'<!DOCTYPE x [<!ENTITY a "aa">]><x>&a;</x>'),
    "deep JSON": bodied(lambda body: b"[" * 50_000),
    "NaN": bodied(lambda body: b"NaN"),
    "too large": bodied(lambda body: body + b" " * 70_000),
}


@pytest.fixture
def genuine(attempt: Attempt) -> Letter:
    return FarWechat.notice(FarWechat.paid(attempt.out_trade_no), now=timezone.now())


def test_it_answers_every_forgery_with_fail_and_writes_nothing(
    client: Client, genuine: Letter
) -> None:
    before = fingerprint()
    for name, forge in FORGERIES.items():
        assert is_refused(post(client, forge(genuine))), name
    assert changed(before) == []


def test_any_flipped_byte_of_a_genuine_body_is_refused(
    client: Client, genuine: Letter
) -> None:
    """31"""
    body = bytearray(genuine.body)
    before = fingerprint()
    for at in range(0, len(body), 9):
        kept = body[at]
        body[at] = kept ^ 0x01
        assert is_refused(post(client, replace(genuine, body=bytes(body)))), at
        body[at] = kept
    assert changed(before) == []
    assert post(client, genuine).status_code == 204


SEALED_NONSENSE: dict[str, Callable[[Mapping[str, Any]], bytes]] = {
    # signed by WeChat's own key, and still nothing that can be opened
    "no object": lambda plain: b"[]",
    "a text": lambda plain: b'"x"',
    "NaN": lambda plain: b"NaN",
    "deep JSON": lambda plain: b'{"a":' * 10_000,
    "half": lambda plain: b'{"resource":',
    "a number of 5000 digits": lambda plain: b'{"resource": ' + b"9" * 5_000 + b"}",
    "bad UTF-8": lambda plain: b'{"resource": "\xff\xfe"}',
    "no resource": lambda plain: FarWechat.envelope(None),
    "resource a list": lambda plain: FarWechat.envelope([1]),
    "resource empty": lambda plain: FarWechat.envelope({}),
    **{
        f"{name} {value!r}": resealed(name, value)
        for name, value in (
            ("algorithm", "AEAD_SM4_GCM"),
            ("algorithm", None),
            ("algorithm", ["AEAD_AES_256_GCM"]),
            ("nonce", ""),
            ("nonce", "0" * 8),
            ("nonce", "\ud800" * 4),
            ("nonce", 123_456_789_012),
            ("associated_data", "refund"),
            ("associated_data", "\udfff"),
            ("associated_data", None),
            ("ciphertext", ""),
            ("ciphertext", "AAAA"),
            ("ciphertext", "!!!!"),
            ("ciphertext", "签名"),
            ("ciphertext", True),
        )
    },
    "plain text a list": lambda plain: FarWechat.envelope(FarWechat.sealed(b"[]")),
    "plain text no JSON": lambda plain: FarWechat.envelope(FarWechat.sealed(b"\xff")),
    "a payment called refund": lambda plain: FarWechat.envelope(
        FarWechat.sealed(json.dumps(plain).encode()), event_type="REFUND.SUCCESS"
    ),
    "a refund called payment": lambda plain: FarWechat.envelope(
        FarWechat.sealed(json.dumps(plain).encode(), original_type="refund")
    ),
}


def test_what_cannot_be_opened_is_refused(client: Client, attempt: Attempt) -> None:
    before = fingerprint()
    for name, make in SEALED_NONSENSE.items():
        body = make(FarWechat.paid(attempt.out_trade_no))
        letter = FarWechat.seal(body, now=timezone.now())
        assert is_refused(post(client, letter)), name
    assert changed(before) == []


def test_another_api_key_opens_nothing(client: Client, attempt: Attempt) -> None:
    plain = json.dumps(FarWechat.paid(attempt.out_trade_no)).encode()
    foreign = AESGCM(b"x" * 32).encrypt(b"0123456789ab", plain, b"transaction")
    resource = FarWechat.sealed(plain, ciphertext=base64.b64encode(foreign).decode())
    before = fingerprint()
    letter = FarWechat.seal(FarWechat.envelope(resource), now=timezone.now())
    assert is_refused(post(client, letter))
    assert changed(before) == []


ODD_TOTALS: tuple[Any, ...] = (
    *(True, False, None, "1500", "15.00", 1500.0, 15.0, 1e3, -1, 0, 1_499, 1_501),
    *([1500], {"total": 1500}, float("nan"), float("inf"), 10**14, 10**30),
)


@pytest.mark.parametrize("total", ODD_TOTALS, ids=repr)
def test_no_other_amount_ever_pays(
    client: Client, attempt: Attempt, total: object
) -> None:
    """36, C1, C2: recorded where it says something; the order waits, nothing is given."""
    plain = FarWechat.paid(attempt.out_trade_no, total)
    assert is_refused(post(client, FarWechat.notice(plain, now=timezone.now())))
    order = fresh(attempt.order)
    assert (order.status, order.fulfil) == ("pending", "none")
    assert GatewayEvent.objects.get().outcome == "mismatch"


@pytest.mark.parametrize(
    "amount",
    [
        None,
        [],
        "1500",
        {"total": 1500},
        {"total": 1500, "currency": "USD"},
        {"total": 1500, "currency": "cny"},
        {"total": 1500, "currency": "CN\0"},
        {"total": 1500, "currency": "CNY "},
        {"total": 1500, "currency": "C" * 20_000},
        {"total": 1500, "currency": ["CNY"]},
        {"total": 1500, "currency": "\ud800"},
    ],
    ids=lambda amount: repr(amount)[:40],
)
def test_nothing_but_plain_fen_in_yuan_pays(
    client: Client, attempt: Attempt, amount: object
) -> None:
    """C3"""
    plain = FarWechat.paid(attempt.out_trade_no, amount=amount)
    assert is_refused(post(client, FarWechat.notice(plain, now=timezone.now())))
    assert fresh(attempt.order).status == "pending"


def test_the_wallets_own_coupon_does_not_change_the_total(
    client: Client, attempt: Attempt
) -> None:
    """C4, 36: ``payer_total`` may be less."""
    amount = {"total": 1_500, "payer_total": 1_200, "currency": "CNY"}
    plain = FarWechat.paid(attempt.out_trade_no, amount=amount)
    assert post(client, FarWechat.notice(plain, now=timezone.now())).status_code == 204
    assert fresh(attempt.order).status == "paid"


NONSENSE: dict[str, dict[str, Any]] = {
    "state with NUL": {"trade_state": "SUCC\0ESS"},
    "state with a surrogate": {"trade_state": "\ud800"},
    "state of 20 kB": {"trade_state": "S" * 20_000},
    "state a list": {"trade_state": ["SUCCESS"]},
    "no state": {"trade_state": None},
    "refused with NUL": {"trade_state": "PAYERROR", "trade_state_desc": "余额\0不足"},
    "refused at length": {"trade_state": "PAYERROR", "trade_state_desc": "不" * 9_000},
    "refused with a surrogate": {
        "trade_state": "PAYERROR",
        "trade_state_desc": "\udfff",
    },
    "number a list": {"out_trade_no": ["X"]},
    "number with NUL": {"out_trade_no": "X\0"},
    "number of 20 kB": {"out_trade_no": "X" * 20_000},
    "no transaction": {"transaction_id": ""},
    "transaction with NUL": {"transaction_id": "42\0"},
    "transaction of 20 kB": {"transaction_id": "4" * 20_000},
    "dated in the year 1": {"success_time": "0001-01-01T00:00:00+08:00"},
    "dated in the year 9999": {"success_time": "9999-12-31T23:59:59-08:00"},
    "dated nonsense": {"success_time": {"seconds": 1}},
    "dated without a zone": {"success_time": "2026-11-22T10:00:00"},
}


@pytest.mark.parametrize("case", NONSENSE)
def test_genuine_nonsense_never_fails_the_shop(
    client: Client, attempt: Attempt, case: str
) -> None:
    """B21: signed by WeChat, and still not to be believed blindly."""
    plain = FarWechat.paid(attempt.out_trade_no) | NONSENSE[case]
    answer = post(client, FarWechat.notice(plain, now=timezone.now()))
    assert answer.status_code == 204 or is_refused(answer)
    if fresh(attempt).state == "paid":
        paid_at = fresh(attempt).paid_at
        assert paid_at is not None
        assert paid_at.year in range(2026, 2100)


REFUND_NONSENSE: dict[str, dict[str, Any]] = {
    "unknown to us": {},
    "no number": {"out_refund_no": None},
    "id with NUL": {"refund_id": "50\0"},
    "a sum beyond every column": {"amount": {"refund": 10**30, "total": 1}},
    "a negative sum": {"amount": {"refund": -1}},
    "state with NUL": {"refund_status": "SUCC\0"},
    "state with a surrogate": {"refund_status": "\ud800"},
    "of another merchant": {"mchid": "1999999999"},
}


@pytest.mark.parametrize("case", REFUND_NONSENSE)
def test_a_genuine_refund_of_nonsense_never_fails_the_shop(
    client: Client, attempt: Attempt, case: str
) -> None:
    plain = {
        "mchid": FarWechat.MCH_ID,
        "out_trade_no": "NOSUCHORDER",
        "transaction_id": "4200001234202611220000000001",
        "out_refund_no": "RNOSUCHREFUND",
        "refund_id": "50300907092026112200000001",
        "refund_status": "SUCCESS",
        "amount": {"refund": 1_500, "total": 1_500},
    } | REFUND_NONSENSE[case]
    resource = FarWechat.sealed(json.dumps(plain).encode(), original_type="refund")
    body = FarWechat.envelope(resource, event_type="REFUND.SUCCESS")
    answer = post(client, FarWechat.seal(body, now=timezone.now()))
    assert answer.status_code == 204 or is_refused(answer)
    assert fresh(attempt.order).status == "pending"


@pytest.mark.parametrize("minutes", [-6, 6, -100_000, 100_000])
def test_a_stale_notice_is_not_used(
    client: Client, attempt: Attempt, minutes: int
) -> None:
    """B11: the gateway is asked instead; it cannot be reached here."""
    then = timezone.now() + timedelta(minutes=minutes)
    letter = FarWechat.notice(FarWechat.paid(attempt.out_trade_no), now=then)
    assert is_refused(post(client, letter))
    assert fresh(attempt.order).status == "pending"
    assert not GatewayEvent.objects.exists()


@pytest.mark.parametrize("write", [str.lower, str.upper])
def test_header_names_may_be_written_in_any_case(
    client: Client, genuine: Letter, write: Callable[[str], str]
) -> None:
    headers = {write(name): value for name, value in genuine.headers.items()}
    answer = client.post(
        URL, genuine.body, content_type="application/json", headers=headers
    )
    assert answer.status_code == 204


def test_the_platform_certificate_signs_as_well(
    client: Client, attempt: Attempt
) -> None:
    """88: while keys change both are good."""
    body = FarWechat.envelope(
        FarWechat.sealed(json.dumps(FarWechat.paid(attempt.out_trade_no)).encode())
    )
    serial = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1"
    letter = FarWechat.seal(body, now=timezone.now(), owner="platform", serial=serial)
    assert post(client, letter).status_code == 204
    mixed = FarWechat.seal(body, now=timezone.now(), owner="wechat", serial=serial)
    assert is_refused(post(client, mixed))


def test_a_body_beyond_a_megabyte_is_refused_before_it_is_read(
    client: Client, genuine: Letter
) -> None:
    """81"""
    before = fingerprint()
    answer = post(client, replace(genuine, body=genuine.body + b" " * 2_000_000))
    assert answer.status_code == 400
    assert b"Traceback" not in answer.content
    assert changed(before) == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD", "TRACE"])
def test_other_methods_are_not_heard(
    client: Client, genuine: Letter, method: str
) -> None:
    before = fingerprint()
    answer = client.generic(method, URL, genuine.body, headers=genuine.headers)
    assert answer.status_code in (404, 405)
    assert changed(before) == []


@pytest.mark.parametrize(
    "content_type",
    ["", "text/xml", "multipart/form-data; boundary=x", "x; charset=hex"],
)
def test_what_the_content_type_claims_changes_nothing(
    client: Client, genuine: Letter, content_type: str
) -> None:
    assert post(client, replace(genuine, content_type=content_type)).status_code == 204


def test_a_refused_notice_is_counted_in_the_log_without_its_content(
    client: Client, genuine: Letter, caplog: pytest.LogCaptureFixture
) -> None:
    """B10"""
    post(client, headed(genuine, signature="canary"))
    [record] = [r for r in caplog.records if r.name == "payments.notices"]
    assert record.getMessage() == "gateway=wechat notice refused: signature"
    assert "canary" not in caplog.text
