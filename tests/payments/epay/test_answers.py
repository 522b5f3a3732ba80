"""Answers that no aggregator should give: unsigned, so each is read with suspicion."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest
from django.conf import settings
from django.test import override_settings

from payments.gateways.contract import (
    GatewayError,
    HandoverKind,
    Refused,
    StartRequest,
    TradeState,
    Unclear,
)
from payments.gateways.epay.gateway import EpayGateway
from payments.gateways.wire import Wire
from tests.payments.epay.far_epay import FarEpay

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
NUMBER = "7ZQ2M4XK9B3CN5T8V1W6Y0HJAD"
PAID = (
    f'{{"code": 1, "trade_no": "T1", "out_trade_no": "{NUMBER}", '
    '"money": %s, "status": %s}'
)


def answering(
    body: str | bytes, status: int = 200, url: str = "https://epay.test/pay"
) -> EpayGateway:
    content = body.encode() if isinstance(body, str) else body

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, stream=httpx.ByteStream(content))

    wire = Wire(httpx.MockTransport(answer))
    with override_settings(**FarEpay.settings(url)):
        gateway = EpayGateway.from_settings(settings, wire)
    assert gateway is not None
    return gateway


ORDER = StartRequest(
    number=NUMBER,
    amount_fen=1_500,
    subject="卡盟",
    product="huafei",
    expires_at=NOW + timedelta(minutes=30),
    notify_url="https://shop.test/payments/epay/notify/",
    return_url="https://shop.test/payments/epay/return/?token=t",
    payer_ip="203.0.113.9",
)


@pytest.mark.parametrize(
    "body",
    [
        *("", "null", "[]", "1", "{}", "nope", '{"code": true}', '{"code": 1'),
        *('{"code": null}', '{"code": [1]}', '{"code": "x"}', '{"code": 1.0}'),
        '{"code": 1, "code": -1}',
        '\ufeff{"code": 1}',
        "[" * 50_000,
        b'{"code": 1, "payurl": "\xff"}',
        '{"code": 1}',
        '{"code": 1, "payurl": "javascript:alert(1)"}',
        '{"code": 1, "payurl": "http://pay.test/unencrypted"}',
        '{"code": 1, "payurl": "//pay.test/"}',
        '{"code": 1, "payurl": "https://pay.test/ x"}',
        '{"code": 1, "payurl": ["https://pay.test/"]}',
        '{"code": 1, "urlscheme": "file:///etc/passwd"}',
        '{"code": 1, "qrcode": "data:text/html,x"}',
        '{"code": 1, "payurl": "https://[bad"}',
    ],
)
def test_it_makes_nothing_of_a_strange_answer(body: str | bytes) -> None:
    """FLT-25: unclear, so that the same number is asked about again."""
    with pytest.raises(Unclear):
        answering(body).start(ORDER, now=NOW)


@pytest.mark.parametrize(
    ("field", "url", "kind"),
    [
        ("payurl", "https://cashier.other.test/p/1/", HandoverKind.REDIRECT),
        ("qrcode", "wxp://f2f0abc", HandoverKind.QR),
        ("qrcode", "https://qr.alipay.com/abc", HandoverKind.QR),
        ("urlscheme", "alipays://platformapi/startapp?a=1", HandoverKind.REDIRECT),
        ("urlscheme", "weixin://dl/business/?t=x", HandoverKind.REDIRECT),
    ],
)
def test_it_takes_any_of_the_three_ways_on(
    field: str, url: str, kind: HandoverKind
) -> None:
    handover = answering(f'{{"code": "1", "{field}": "{url}"}}').start(ORDER, now=NOW)
    assert (handover.kind, handover.url) == (kind, url)


@pytest.mark.parametrize("status", [301, 302, 400, 403, 404, 500, 502, 503])
def test_only_200_is_an_answer(status: int) -> None:
    with pytest.raises(Unclear, match=f"http-{status}"):
        answering('{"code": 1}', status).query(NUMBER, now=NOW)


def test_a_refusal_carries_the_gateways_words() -> None:
    with pytest.raises(Refused) as caught:
        answering('{"code": -1, "msg": "通道\\u0000维护"}').start(ORDER, now=NOW)
    assert (caught.value.code, caught.value.words) == ("-1", "通道维护")


@pytest.mark.parametrize(
    ("money", "fen"),
    [
        *(('"15.00"', 1_500), ('"15"', 1_500), ("15.00", 1_500), ("15", 1_500)),
        *(("15.1", 1_510), ("1.5e1", None), ("NaN", None), ('"-15.00"', None)),
        *(("null", None), ("[15]", None), ("true", None)),
    ],
)
def test_money_is_a_plain_amount_or_none(money: str, fen: int | None) -> None:
    """36: numbers stay the text they were; nothing is ever a float."""
    trade = answering(PAID % (money, 1)).query(NUMBER, now=NOW)
    assert (trade.state, trade.amount_fen) == (TradeState.PAID, fen)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        *(("1", TradeState.PAID), ('"1"', TradeState.PAID), ("2", TradeState.PAID)),
        *(("0", TradeState.WAITING), ('"0"', TradeState.WAITING)),
        *(("3", TradeState.UNKNOWN), ("true", TradeState.UNKNOWN)),
        *(('"1 "', TradeState.UNKNOWN), ("null", TradeState.UNKNOWN)),
    ],
)
def test_only_known_words_mean_paid(status: str, state: TradeState) -> None:
    assert answering(PAID % ('"15.00"', status)).query(NUMBER, now=NOW).state == state


@pytest.mark.parametrize(
    "body",
    [
        '{"code": 1, "status": 1, "money": "15.00", "trade_no": "T1"}',
        '{"code": 1, "status": 1, "money": "15.00", "out_trade_no": "ANOTHER"}',
        PAID.replace("{", '{"pid": 9999, ', 1) % ('"15.00"', 1),
    ],
)
def test_an_answer_to_another_question_is_not_taken_for_ours(body: str) -> None:
    with pytest.raises(Unclear, match="mismatch"):
        answering(body).query(NUMBER, now=NOW)


def test_no_error_carries_the_key() -> None:
    """Errors reach logs and operators; the query's URL holds the key."""
    for body in ("", '{"code": -3, "msg": "no"}'):
        with pytest.raises(GatewayError) as caught:
            answering(body).query(NUMBER, now=NOW)
        error: BaseException | None = caught.value
        while error is not None:
            assert FarEpay.KEY not in f"{error!r}"
            error = error.__cause__
