"""What strangers may send to epay's notify address, and what its key holder may mean.

security 31–33, 36–39: the failure word, never a 5xx, and not a row written. Nobody
answers the query here; tests/payments/epay/test_confirmation.py is about that.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.utils import timezone

from members.models import Member
from payments.models import Attempt, GatewayEvent
from tests.payments.epay.conftest import PHONE_CREDIT
from tests.payments.epay.far_epay import FarEpay, Fields
from tests.rows import changed, fingerprint
from tests.shopping import ALIPAY, Till, broken, fresh

URL = "/payments/epay/notify/"
FORM = "application/x-www-form-urlencoded"

Send = Callable[[str], Any]


@pytest.fixture
def attempt(silent_epay: None, shop: None, member: Member, asleep: None) -> Attempt:
    """¥15.00 to be paid by phone credit, now."""
    return Till(timezone.now()).bill(member, way=PHONE_CREDIT)


@pytest.fixture
def genuine(attempt: Attempt) -> Fields:
    return FarEpay.signed(FarEpay.paid(attempt.out_trade_no))


@pytest.fixture(params=["GET", "POST"])
def send(request: pytest.FixtureRequest, client: Client) -> Send:
    """The same form by either method."""

    def get(form: str) -> Any:
        return client.generic("GET", URL, QUERY_STRING=form)

    def post(form: str) -> Any:
        return client.generic("POST", URL, form.encode(), content_type=FORM)

    return get if request.param == "GET" else post


def test_a_genuine_notice_pays_once_by_either_method(
    send: Send, attempt: Attempt, genuine: Fields
) -> None:
    """B6, B7, security 38: the exact word, and once for ever."""
    for _ in range(3):
        answer = send(urlencode(genuine))
        assert (answer.status_code, answer.content) == (200, b"success")
    assert fresh(attempt.order).status == "paid"
    assert fresh(attempt).txn_id == "2026112210000900000001"
    assert broken(timezone.now()) == []


def merged(fields: Fields) -> str:
    """The signed text stays as it was; ``name`` hides in ``money``'s value."""
    moved = dict(fields)
    moved["money"] += f"&name={moved.pop('name')}"
    assert FarEpay.text(moved) == FarEpay.text(fields)
    return urlencode(moved)


def swallowed(fields: Fields) -> str:
    """33: the trade's state becomes the end of its number."""
    moved = dict(fields)
    moved["trade_no"] += f"&trade_status={moved.pop('trade_status')}"
    assert FarEpay.text(moved) == FarEpay.text(fields)
    return urlencode(moved)


Forgery = Callable[[Fields], str]


def signed_by(key: str) -> Forgery:
    return lambda f: urlencode(f | {"sign": FarEpay.sign(f, key)})


def with_sign(sign: str) -> Forgery:
    return lambda f: urlencode(f | {"sign": sign})


FORGERIES: dict[str, Forgery] = {
    # 31: unsigned, or signed by somebody else
    "empty sign": with_sign(""),
    "no sign": lambda f: urlencode({n: v for n, v in f.items() if n != "sign"}),
    "random sign": with_sign("0" * 32),
    "magic hash": with_sign("0e462097431906509019562988736854"),
    "empty key": signed_by(""),
    "key with &key=": lambda f: urlencode(
        f | {"sign": FarEpay.sign(f, f"&key={FarEpay.KEY}")}
    ),
    "another key": signed_by("abcdefghijklmnopqrstuvwxyz012345"),
    "nothing": lambda f: "",
    "blanks": lambda f: "+++",
    # 32: types
    "sign[]": lambda f: urlencode(f).replace("sign=", "sign[]="),
    "sign[0] beside": lambda f: urlencode(f | {"sign[0]": f["sign"]}),
    "non-ASCII sign": with_sign("签名" * 16),
    "capitals": lambda f: urlencode(f | {"sign": f["sign"].upper()}),
    "NUL in sign": lambda f: urlencode(f | {"sign": f["sign"] + "\0"}),
    "sign with a line feed": lambda f: urlencode(f | {"sign": f["sign"] + "\n"}),
    "lone surrogate": lambda f: urlencode(f) + "&b=%ED%A0%80",
    "bad UTF-8": lambda f: urlencode(f) + "&b=%FF%FE",
    "JSON": lambda f: json.dumps(f),
    "JSON with sign true": lambda f: json.dumps(f | {"sign": True}),
    # 33: two readings of one text
    "merged": merged,
    "swallowed": swallowed,
    "added field": lambda f: urlencode(f | {"zz": "1"}),
    "semicolons": lambda f: urlencode(f).replace("&", ";"),
    "upper-case names": lambda f: urlencode({n.upper(): v for n, v in f.items()}),
    "blank in a name": lambda f: urlencode(f | {" money": "0.01"}),
    "name without value": lambda f: urlencode(f) + "&money",
    "101 parameters": lambda f: urlencode(f | {f"p{n}": "" for n in range(101)}),
    "too large": lambda f: urlencode(f | {"name": "A" * 70_000}),
    **{
        f"sign_type {name!r}": lambda f, name=name: urlencode(  # type: ignore[misc]
            f | {"sign_type": name}
        )
        for name in ("RSA", "md5", "", "SHA256", "MD5 ")
    },
}


def test_it_answers_every_forgery_with_fail_and_writes_nothing(
    send: Send, genuine: Fields
) -> None:
    before = fingerprint()
    for name, forge in FORGERIES.items():
        answer = send(forge(genuine))
        assert (answer.status_code, answer.content) == (200, b"fail"), name
    assert changed(before) == []


def test_any_doubled_parameter_is_refused(send: Send, genuine: Fields) -> None:
    """33: whoever reads the first and whoever reads the last would disagree."""
    before = fingerprint()
    form = urlencode(genuine)
    for name, value in genuine.items():
        for again in (value, "0.01", ""):
            doubled = urlencode({name: again})
            assert send(f"{form}&{doubled}").content == b"fail", name
            assert send(f"{doubled}&{form}").content == b"fail", name
    assert changed(before) == []


def test_any_altered_byte_of_a_genuine_notice_is_refused(
    send: Send, attempt: Attempt, genuine: Fields
) -> None:
    """31"""
    before = fingerprint()
    for name, value in genuine.items():
        if value:
            altered = genuine | {name: value[:-1] + chr(ord(value[-1]) ^ 1)}
            assert send(urlencode(altered)).content == b"fail", name
    assert changed(before) == []
    assert send(urlencode(genuine)).content == b"success"


def test_fields_in_two_places_are_refused(client: Client, genuine: Fields) -> None:
    """33"""
    before = fingerprint()
    form = urlencode(genuine)
    for query, body in ((form, form), ("money=0.01", form), (form, "money=0.01")):
        for method in ("GET", "POST"):
            answer = client.generic(
                method, URL, body.encode(), content_type=FORM, QUERY_STRING=query
            )
            assert (answer.status_code, answer.content) == (200, b"fail")
    assert changed(before) == []


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "TRACE"])
def test_other_methods_are_not_heard(
    client: Client, genuine: Fields, method: str
) -> None:
    before = fingerprint()
    answer = client.generic(method, URL, QUERY_STRING=urlencode(genuine))
    assert answer.status_code in (404, 405)
    assert changed(before) == []


def test_a_param_that_looks_like_fields_is_no_second_reading(
    send: Send, attempt: Attempt
) -> None:
    """33: sorted names leave no room for `v` behind `param`."""
    fields = FarEpay.paid(attempt.out_trade_no, param="u=1&v=2")
    assert send(FarEpay.notice(fields)).content == b"success"
    assert fresh(attempt.order).status == "paid"


@pytest.mark.parametrize("spelling", ["15", "15.0", "15.00"])
def test_an_amount_may_be_spelt_in_three_ways(
    send: Send, attempt: Attempt, spelling: str
) -> None:
    assert send(FarEpay.notice(FarEpay.paid(attempt.out_trade_no, spelling))).content
    assert fresh(attempt.order).status == "paid"


ODD_AMOUNTS = (
    *("", " 15.00", "15.00 ", "+15.00", "-15.00", "15.000", "015.00", "15,00", "1_5"),
    *("1.5e1", "15.", ".15", "１５.00", "١٥", "NaN", "Infinity", "15\n", "15\0", "0xf"),
    *("99999999999.00", "9" * 5_000, "0", "0.00", "15.01", "14.99", "1500"),
)


@pytest.mark.parametrize("amount", ODD_AMOUNTS)
def test_no_other_amount_ever_pays(
    client: Client, attempt: Attempt, amount: str
) -> None:
    """36, C1, C2: unconfirmed, it is only written down; the gateway has to say it."""
    before = fingerprint()
    notice = FarEpay.notice(FarEpay.paid(attempt.out_trade_no, amount))
    answer = client.generic("GET", URL, QUERY_STRING=notice)
    assert (answer.status_code, answer.content) == (200, b"fail")
    assert changed(before) == ["payments_attempt", "payments_gatewayevent"]
    assert GatewayEvent.objects.get().outcome == "noted"
    assert (fresh(attempt).state, fresh(attempt).paid_fen) == ("created", None)
    assert fresh(attempt.order).status == "pending"


def test_a_notice_for_another_merchant_is_kept_and_changes_nothing(
    send: Send, attempt: Attempt
) -> None:
    """39, B13"""
    fields = FarEpay.paid(attempt.out_trade_no, pid="9999")
    assert send(FarEpay.notice(fields)).content == b"fail"
    assert fresh(attempt).state == "created"
    assert GatewayEvent.objects.get().outcome == "alien"


@pytest.mark.parametrize("status", ["WAIT_BUYER_PAY", "TRADE_CLOSED", "", "success"])
def test_only_trade_success_is_success(
    send: Send, attempt: Attempt, status: str
) -> None:
    """39"""
    fields = FarEpay.paid(attempt.out_trade_no, trade_status=status)
    assert send(FarEpay.notice(fields)).status_code == 200
    assert fresh(attempt.order).status == "pending"
    assert fresh(attempt).state == "created"


def test_a_true_notice_for_an_order_at_another_gateway_is_refused(
    send: Send, silent_epay: None, shop: None, member: Member, asleep: None
) -> None:
    """35: the attempt's row decides which gateway may speak for it."""
    alipay = Till(timezone.now()).bill(member, way=ALIPAY)
    answer = send(FarEpay.notice(FarEpay.paid(alipay.out_trade_no)))
    assert answer.content == b"fail"
    assert fresh(alipay).state != "paid"
    assert GatewayEvent.objects.get().outcome == "orphan"


NONSENSE = {
    "no number": {"out_trade_no": ""},
    "number with NUL": {"out_trade_no": "ABC\0"},
    "number of 20 kB": {"out_trade_no": "A" * 20_000},
    "transaction with NUL": {"trade_no": "2026\0"},
    "no transaction": {"trade_no": ""},
    "transaction of 20 kB": {"trade_no": "2" * 20_000},
    "state of 20 kB": {"trade_status": "T" * 20_000},
    "type with NUL": {"type": "hua\0fei"},
}


@pytest.mark.parametrize("case", NONSENSE)
def test_signed_nonsense_never_fails_the_shop(
    client: Client, attempt: Attempt, case: str
) -> None:
    """B21"""
    fields = FarEpay.paid(attempt.out_trade_no, **NONSENSE[case])
    answer = client.generic("GET", URL, QUERY_STRING=FarEpay.notice(fields))
    assert answer.status_code == 200
    assert answer.content in (b"success", b"fail")


def test_the_channel_really_used_is_kept(client: Client, attempt: Attempt) -> None:
    """Another type than the order's pays all the same: the sum is right and signed."""
    fields = FarEpay.paid(attempt.out_trade_no, type="alipay")
    answer = client.generic("GET", URL, QUERY_STRING=FarEpay.notice(fields))
    assert answer.content == b"success"
    assert fresh(attempt.order).status == "paid"
    assert GatewayEvent.objects.get().content["state"] == "TRADE_SUCCESS alipay"


def test_neither_key_nor_numbers_reach_the_log(
    client: Client, attempt: Attempt, caplog: pytest.LogCaptureFixture
) -> None:
    """The query's URL holds the key: not even the HTTP library may write it down."""
    caplog.set_level("DEBUG")
    notice = FarEpay.notice(FarEpay.paid(attempt.out_trade_no))
    client.generic("GET", URL, QUERY_STRING=notice)
    client.generic("GET", URL, QUERY_STRING=notice.replace("sign=", "sign=0"))
    assert "gateway=epay query: connection" in caplog.text
    assert "gateway=epay notice refused: signature" in caplog.text
    ours = [r for r in caplog.records if not r.name.startswith("django.db")]
    said = "\n".join(record.getMessage() for record in ours)
    assert FarEpay.KEY not in said
    assert attempt.out_trade_no not in said
