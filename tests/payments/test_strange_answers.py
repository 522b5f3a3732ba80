"""Whatever a gateway's API answers, or does not, the adapter says so in time.

FLT-23 to FLT-25: five seconds at most, ``Unclear`` or ``Refused`` and no other error,
and never a success that nobody signed.
"""

from __future__ import annotations

import itertools
import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.conf import settings
from django.test import override_settings
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from payments.gateways.alipay.gateway import AlipayGateway
from payments.gateways.contract import (
    Gateway,
    GatewayError,
    Product,
    RefundRequest,
    Refused,
    StartRequest,
    TradeState,
    Unclear,
)
from payments.gateways.wechat.gateway import WechatGateway
from payments.gateways.wire import Answer
from tests.payments.far_side import PUBLIC_KEY_ID, FarAlipay, FarWechat, signature
from tests.payments.strange_server import (
    Behaviour,
    StrangeServer,
    dripping,
    http,
    strange_server,
)

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
NUMBER = "7ZQ2M4XK9B3CN5T8V1W6Y0HJAD"
START = StartRequest(
    number=NUMBER,
    amount_fen=1_500,
    subject="卡盟 临时会员 7 天",
    product=Product.QR,
    expires_at=NOW + timedelta(minutes=30),
    notify_url="https://shop.test/notify/",
    return_url="https://shop.test/return/",
    payer_ip="203.0.113.9",
    openid="oUpF8uMuAJO_M2pxb1Q9zNjWeS6o",
)
REFUND = RefundRequest(
    number=f"R{NUMBER}",
    trade_number=NUMBER,
    txn_id="4200001234202611220000000001",
    refund_fen=1_500,
    total_fen=1_500,
    reason="重复付款",
    notify_url="https://shop.test/notify/",
)

Call = Callable[[], object]


@pytest.fixture(scope="module")
def server() -> Iterator[StrangeServer]:
    with strange_server() as running:
        yield running


@pytest.fixture(scope="module")
def alipay(server: StrangeServer) -> AlipayGateway:
    with override_settings(**FarAlipay.settings(f"{server.url}/gateway.do")):
        gateway = AlipayGateway.from_settings(settings)
    assert gateway is not None
    return gateway


@pytest.fixture(scope="module")
def wechat(server: StrangeServer) -> WechatGateway:
    with override_settings(**FarWechat.settings(server.url)):
        gateway = WechatGateway.from_settings(settings)
    assert gateway is not None
    return gateway


@pytest.fixture(params=["alipay", "wechat"])
def gateway(request: pytest.FixtureRequest) -> Gateway:
    built: Gateway = request.getfixturevalue(request.param)
    return built


def calls(gateway: Gateway) -> dict[str, Call]:
    """Every call that goes to the gateway's API."""
    products = (
        [Product.QR]
        if gateway.code == "alipay"
        else [Product.NATIVE, Product.H5, Product.JSAPI]
    )
    starts = {
        f"start {product}": partial(gateway.start, of(product), now=NOW)
        for product in products
    }
    return {
        **starts,
        "query": partial(gateway.query, NUMBER, now=NOW),
        "close": partial(gateway.close, NUMBER, now=NOW),
        "refund": partial(gateway.refund, REFUND, now=NOW),
        "query_refund": partial(gateway.query_refund, REFUND, now=NOW),
    }


def of(product: Product) -> StartRequest:
    return replace(START, product=product)


def reset(connection: socket.socket) -> None:
    """Close with RST, in the middle of an answer."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    linger = struct.pack("ii", 1, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def chunked(*chunks: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    return head + b"".join(chunks)


HTML = b"<html><body>502 Bad Gateway</body></html>"

ANSWERS: dict[str, bytes | Behaviour] = {
    "nothing": b"",
    "a reset": reset,
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "TLS alert": b"\x15\x03\x01\x00\x02\x02\x28",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "a bad status": b"HTTP/1.1 abc OK\r\n\r\n",
    "status 999": http(b"", "999 ?"),
    "a bad length": b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "truncated": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{",
    "a bad chunk": chunked(b"zz\r\n{}\r\n"),
    "a chunk of all memory": chunked(b"FFFFFFFFFFFFFFF\r\n{}"),
    "a head of 300 kB": b"HTTP/1.1 200 OK\r\nX: " + b"A" * 300_000,
    "headers that are not ASCII": http(b"{}", headers=(("X-\xe9", "\xff"),)),
    "empty": http(b""),
    "blank": http(b"   "),
    "html": http(HTML),
    "null": http(b"null"),
    "true": http(b"true"),
    "an array": http(b"[]"),
    "NaN": http(b"NaN"),
    "an empty object": http(b"{}"),
    "half an object": http(b'{"a":'),
    "bad UTF-8": http(b'{"code": "\xff\xfe"}'),
    "UTF-16": http('{"code": "10000"}'.encode("utf-16")),
    "deep JSON": http(b"[" * 100_000),
    "deep objects": http(b'{"a":' * 40_000),
    "a long number": http(b'{"a": ' + b"9" * 5_000 + b"}"),
    "half a megabyte": http(b"A" * 500_000),
    "half a megabyte in chunks": chunked(*[b"4000\r\n" + b"A" * 0x4000 + b"\r\n"] * 40),
    "a bomb of gzip": http(b"\x1f\x8b\x08", headers=(("Content-Encoding", "gzip"),)),
    "201": http(b"{}", "201 Created"),
    "204": http(b"", "204 No Content"),
    "301": http(b"", "301 Moved", (("Location", "http://127.0.0.1:1/"),)),
    "302 to a file": http(b"", "302 Found", (("Location", "file:///etc/passwd"),)),
    "307 to itself": http(b"", "307 Again", (("Location", "/gateway.do"),)),
    "304": http(b"", "304 Not Modified"),
    "400 of a proxy": http(HTML, "400 Bad Request"),
    "401 of a proxy": http(HTML, "401 Unauthorized"),
    "404 of a proxy": http(HTML, "404 Not Found"),
    "407": http(HTML, "407 Proxy Authentication Required"),
    "429": http(b'{"code": "PARAM_ERROR"}', "429 Too Many"),
    "500": http(HTML, "500 Oops"),
    "502": http(HTML, "502 Bad Gateway"),
    "503 that names a code": http(b'{"code": "PARAM_ERROR"}', "503 Away"),
    "504": http(b"", "504 Gateway Timeout"),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_strange_answer_is_unclear_to_every_call(
    gateway: Gateway, server: StrangeServer, answer: str
) -> None:
    """FLT-24, FLT-25"""
    behaviour = ANSWERS[answer]
    if isinstance(behaviour, bytes):
        server.says(behaviour)
    else:
        server.behave = behaviour
    for name, call in calls(gateway).items():
        server.requests.clear()
        with pytest.raises(Unclear):
            call()
        assert len(server.requests) == 1, f"{name} repeats itself, or follows"


SLOW: tuple[Behaviour, ...] = (
    lambda connection: time.sleep(20),  # silence
    dripping(b"HTTP/1.1 200 OK\r\nX: ", b"A", every=0.3, seconds=20),
    dripping(
        b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{", b" ", every=2.4, seconds=20
    ),
    dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n", every=0.3, seconds=20),
)


def test_no_answer_however_slow_takes_more_than_five_seconds(
    alipay: AlipayGateway, wechat: WechatGateway, server: StrangeServer
) -> None:
    """FLT-23: silent, a head or a body by the letter, or "continue" without end."""
    manners = itertools.cycle(SLOW)
    server.behave = lambda connection: next(manners)(connection)
    asked = [
        call
        for gateway in (alipay, wechat)
        for call in calls(gateway).values()
        for _ in SLOW
    ]
    begun = time.monotonic()
    with ThreadPoolExecutor(len(asked)) as threads:
        for one in [threads.submit(call) for call in asked]:
            error = one.exception()
            assert isinstance(error, Unclear), error
            assert error.code == "timeout"
    assert time.monotonic() - begun < 15  # the server goes on for twenty


def test_a_gateway_that_is_not_there_is_unclear() -> None:
    with override_settings(**FarAlipay.settings(), **FarWechat.settings()):
        for built in (
            AlipayGateway.from_settings(settings),
            WechatGateway.from_settings(settings),
        ):
            assert built is not None
            for call in calls(built).values():
                with pytest.raises(Unclear) as caught:
                    call()
                assert caught.value.code == "connection"


# --- Alipay: what is signed, and what that proves ------------------------------------


def inner(**content: object) -> str:
    return json.dumps(content, ensure_ascii=False)


QUERIED = {
    "code": "10000",
    "msg": "Success",
    "out_trade_no": NUMBER,
    "trade_no": "2026112222001400000000000001",
    "trade_status": "TRADE_SUCCESS",
    "total_amount": "15.00",
    "send_pay_date": "2026-11-22 10:00:09",
}
QUERY = "alipay.trade.query"


def test_a_signed_answer_is_believed(
    alipay: AlipayGateway, server: StrangeServer
) -> None:
    text = FarAlipay.answer(QUERY, inner(**QUERIED))
    server.says(http(text.encode()))
    trade = alipay.query(NUMBER, now=NOW)
    assert (trade.state, trade.amount_fen) == (TradeState.PAID, 1_500)
    assert trade.paid_at == datetime(2026, 11, 22, 2, 0, 9, tzinfo=UTC)


ALIPAY_FORGERIES = {
    "unsigned": json.dumps({"alipay_trade_query_response": QUERIED}),
    "signed by the merchant": FarAlipay.answer(
        QUERY, inner(**QUERIED), owner="merchant"
    ),
    "the answer to another method": FarAlipay.answer(
        "alipay.trade.close", inner(**QUERIED)
    ),
    "success in the node of errors": FarAlipay.answer(
        QUERY, inner(**QUERIED), node="error_response"
    ),
    "another number": FarAlipay.answer(QUERY, inner(**QUERIED | {"out_trade_no": "X"})),
    "no number": FarAlipay.answer(QUERY, inner(code="10000")),
    "a code that is a number": FarAlipay.answer(QUERY, inner(**QUERIED | {"code": 1})),
    "a second, unsigned node": FarAlipay.answer(QUERY, inner(**QUERIED)).replace(
        '{"alipay_trade_query_response"',
        '{"alipay_trade_query_response":{"code":"10000"},"alipay_trade_query_response"',
        1,
    ),
    "the node twice": FarAlipay.answer(QUERY, inner(**QUERIED)).replace(
        ',"sign"', f',"alipay_trade_query_response":{inner(**QUERIED)},"sign"'
    ),
    "two signs": FarAlipay.answer(QUERY, inner(**QUERIED)).replace(
        ',"sign"', ',"sign":"AAAA","sign"'
    ),
    "a sign that is true": json.dumps(
        {"alipay_trade_query_response": QUERIED, "sign": True}
    ),
    "a sign that is not ASCII": json.dumps(
        {"alipay_trade_query_response": QUERIED, "sign": "签名"}, ensure_ascii=False
    ),
    "blanks inside what was signed": FarAlipay.answer(QUERY, inner(**QUERIED)).replace(
        '"code": ', '"code":  '
    ),
    "text after the object": FarAlipay.answer(QUERY, inner(**QUERIED)) + "{}",
    "a list": FarAlipay.answer(QUERY, "[]"),
    "a number": FarAlipay.answer(QUERY, "1"),
}


@pytest.mark.parametrize("forgery", ALIPAY_FORGERIES)
def test_alipay_is_believed_only_what_it_signed_for_this_question(
    alipay: AlipayGateway, server: StrangeServer, forgery: str
) -> None:
    """FLT-25"""
    server.says(http(ALIPAY_FORGERIES[forgery].encode("utf-8", "surrogatepass")))
    with pytest.raises(Unclear):
        alipay.query(NUMBER, now=NOW)


def test_an_unsigned_refusal_refuses_nothing(
    alipay: AlipayGateway, server: StrangeServer
) -> None:
    """Or anybody on the way could make us open a second payment."""
    no = {"code": "40004", "sub_code": "ACQ.TRADE_NOT_EXIST", "sub_msg": "x\0y"}
    server.says(http(json.dumps({"alipay_trade_query_response": no}).encode()))
    with pytest.raises(Unclear) as caught:
        alipay.query(NUMBER, now=NOW)
    assert (caught.value.code, caught.value.words) == ("ACQ.TRADE_NOT_EXIST", "xy")
    signed = FarAlipay.answer(QUERY, inner(**no))
    server.says(http(signed.encode()))
    assert alipay.query(NUMBER, now=NOW).state == TradeState.MISSING


@pytest.mark.parametrize(
    "url",
    [
        "",
        "javascript:alert(1)",
        "https://qr.test/\n",
        "data:x",
        "https://" + "q" * 2_000,
    ],
)
def test_a_code_that_leads_nowhere_is_unclear(
    alipay: AlipayGateway, server: StrangeServer, url: str
) -> None:
    content = inner(code="10000", out_trade_no=NUMBER, qr_code=url)
    server.says(http(FarAlipay.answer("alipay.trade.precreate", content).encode()))
    with pytest.raises(Unclear):
        alipay.start(START, now=NOW)


# --- WeChat: likewise ----------------------------------------------------------------


def sealed(
    body: bytes,
    status: str = "200 OK",
    *,
    at: datetime = NOW,
    owner: str = "wechat",
    serial: str = PUBLIC_KEY_ID,
) -> bytes:
    letter = FarWechat.seal(body, now=at, owner=owner, serial=serial)
    return http(body, status, tuple(letter.headers.items()))


PAID = json.dumps(FarWechat.paid(NUMBER)).encode()


def test_a_sealed_answer_is_believed(
    wechat: WechatGateway, server: StrangeServer
) -> None:
    server.says(sealed(PAID))
    trade = wechat.query(NUMBER, now=NOW)
    assert (trade.state, trade.amount_fen) == (TradeState.PAID, 1_500)


WECHAT_FORGERIES = {
    "unsigned": http(PAID),
    "signed by the merchant": sealed(PAID, owner="merchant"),
    "an unknown serial": sealed(PAID, serial="7" * 40),
    "another key's serial": sealed(PAID, owner="platform"),
    "six minutes old": sealed(PAID, at=NOW - timedelta(minutes=6)),
    "six minutes early": sealed(PAID, at=NOW + timedelta(minutes=6)),
    "another body": sealed(PAID).replace(b"1500", b"1501"),
    "another number": sealed(json.dumps(FarWechat.paid("X")).encode()),
    "another merchant": sealed(json.dumps(FarWechat.paid(NUMBER, mchid="1")).encode()),
    "a list": sealed(b"[]"),
    "an unsigned 204": http(b"", "204 No Content"),
    "a forged refusal": sealed(
        b'{"code": "ORDER_NOT_EXIST"}', "404 Not Found", owner="merchant"
    ),
}


@pytest.mark.parametrize("forgery", WECHAT_FORGERIES)
def test_wechat_is_believed_only_what_it_signed_for_this_question(
    wechat: WechatGateway, server: StrangeServer, forgery: str
) -> None:
    """FLT-25; also an answer with 2xx that nobody signed is a forgery."""
    server.says(WECHAT_FORGERIES[forgery])
    with pytest.raises(Unclear):
        wechat.query(NUMBER, now=NOW)


@pytest.mark.parametrize(
    ("product", "name", "bad"),
    [
        ("native", "code_url", "javascript:alert(1)"),
        ("h5", "h5_url", "javascript:alert(1)"),
        ("jsapi", "prepay_id", "wx 20"),
    ],
)
def test_a_hand_over_that_leads_nowhere_is_unclear(
    wechat: WechatGateway, server: StrangeServer, product: str, name: str, bad: str
) -> None:
    for value in (bad, None, "", 1, ["x"], "a\0b", "x" * 5_000):
        server.says(sealed(json.dumps({name: value}).encode()))
        with pytest.raises(Unclear):
            wechat.start(of(Product(product)), now=NOW)


def test_a_refusal_that_names_its_reason_is_definite(
    wechat: WechatGateway, server: StrangeServer
) -> None:
    body = json.dumps({"code": "PARAM_ERROR", "message": "参数\0错误"}).encode()
    server.says(sealed(body, "400 Bad Request"))
    for name, call in calls(wechat).items():
        with pytest.raises(Refused) as caught:
            call()
        assert (caught.value.code, caught.value.words) == ("PARAM_ERROR", "参数错误"), (
            name
        )


# --- Anything else that can be said in JSON ------------------------------------------

TEXT = st.text(max_size=12)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
KNOWN = st.sampled_from(
    [
        *("code", "sub_code", "out_trade_no", "trade_status", "total_amount"),
        *("trade_no", "refund_status", "out_request_no", "fund_change", "refund_fee"),
        *("send_pay_date", "qr_code", "code_url", "h5_url", "prepay_id", "mchid"),
        *("trade_state", "amount", "total", "currency", "success_time", "refund"),
        *("out_refund_no", "status", "transaction_id", "refund_id", "message"),
    ]
)
LIKELY = st.sampled_from(
    [
        *("10000", "40004", "20000", NUMBER, f"R{NUMBER}", "TRADE_SUCCESS", "SUCCESS"),
        *("15.00", "ACQ.TRADE_NOT_EXIST", "REFUND_SUCCESS", "Y", "CNY", "PAYERROR"),
        *("ORDER_NOT_EXIST", FarWechat.MCH_ID, "TRADE_CLOSED", "2026-11-22 10:00:00"),
    ]
)
OBJECTS = st.dictionaries(
    KNOWN | TEXT,
    st.recursive(
        LIKELY | LEAVES,
        lambda deeper: (
            st.lists(deeper, max_size=3)
            | st.dictionaries(KNOWN | TEXT, deeper, max_size=3)
        ),
        max_leaves=4,
    ),
    max_size=8,
)


def said_by(call: Callable[[], Any]) -> str:
    """What an operator would read of the refusal; any other error passes through."""
    try:
        call()
    except GatewayError as error:
        return str(error)
    return "read"


@effort(max_examples=60)
@given(content=OBJECTS)
def test_any_object_that_alipay_signs_is_read_without_a_stumble(
    alipay: AlipayGateway, content: dict[str, Any]
) -> None:
    text = json.dumps(content, ensure_ascii=True)
    for method in (QUERY, "alipay.trade.refund", "alipay.trade.fastpay.refund.query"):
        body = FarAlipay.answer(method, text).encode()
        said = said_by(partial(alipay.client.read, method, Answer(200, {}, body)))
        assert said
        assert said.isprintable()


@effort(max_examples=60)
@given(content=OBJECTS, status=st.sampled_from([200, 202, 400, 404, 500]))
def test_any_object_that_wechat_signs_is_read_without_a_stumble(
    wechat: WechatGateway, content: dict[str, Any], status: int
) -> None:
    body = json.dumps(content).encode()
    letter = FarWechat.seal(body, now=NOW)
    headers = {name.lower(): value for name, value in letter.headers.items()}
    answer = Answer(status, headers, body)
    said = said_by(partial(wechat.client.read, answer, now=NOW))
    assert said
    assert said.isprintable()


def test_the_far_side_signs_like_the_gateways() -> None:
    """The control: without it every forgery above would be refused for its form."""
    assert signature("alipay", b"x") != signature("merchant", b"x")
    assert signature("alipay", b"x") == signature("alipay", b"x")
