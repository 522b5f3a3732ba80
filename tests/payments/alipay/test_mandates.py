"""Alipay's cycle pay: what the adapter sends, what it believes, what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit

import httpx
import pytest
from django.conf import settings
from django.test import Client, override_settings

from members.models import Member, Plan
from payments.gateways import mandates as gateway_mandates
from payments.gateways.alipay.gateway import AlipayGateway
from payments.gateways.alipay.mandates import AlipayMandates
from payments.gateways.contract import (
    Notice,
    NoticeRefused,
    NoticeRequest,
    Refused,
    TradeState,
    Unclear,
)
from payments.gateways.mandates import DebitRequest, MandateState, SignRequest
from payments.gateways.wire import Wire
from payments.models import AutoRenew, Consent, GatewayEvent
from tests.payments.far_side import FarAlipay
from tests.rows import changed, fingerprint

NOW = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
SCENE = "INDUSTRY|DIGITAL_MEDIA"
NUMBER, CONTRACT = "0123456789ABCDEFGHJKMNPQRS", "20261122000000000001"
FORM = "application/x-www-form-urlencoded; charset=utf-8"
ON = FarAlipay.settings() | {"ALIPAY_CYCLE_SCENE": SCENE}

SIGN = SignRequest(
    number=NUMBER,
    amount_fen=1_500,
    days=7,
    first_on=date(2026, 11, 29),
    notify_url="https://shop.test/payments/alipay/notify/",
    return_url="https://shop.test/account/",
)
DEBIT = DebitRequest(
    number="DEBIT00000000000000000001",
    contract_no=CONTRACT,
    amount_fen=1_500,
    subject="卡盟 临时会员 7 天/a=b&c",
    expires_at=NOW + timedelta(days=1),
    notify_url="https://shop.test/payments/alipay/notify/",
)


class Far:
    """Alipay, saying whatever the test wants."""

    def __init__(self) -> None:
        self.sent: list[dict[str, str]] = []
        self.says: str | None = None

    def __call__(self, request: httpx.Request) -> httpx.Response:
        fields = dict(parse_qsl(request.content.decode()))
        self.sent.append(fields)
        if self.says is None:
            return httpx.Response(502, stream=httpx.ByteStream(b""))
        text = FarAlipay.answer(fields["method"], self.says)
        return httpx.Response(200, stream=httpx.ByteStream(text.encode()))

    def content(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.sent[-1]["biz_content"])
        return found


@pytest.fixture
def far() -> Far:
    return Far()


@pytest.fixture
def gateway(far: Far) -> AlipayGateway:
    with override_settings(**ON):
        built = AlipayGateway.from_settings(settings, Wire(httpx.MockTransport(far)))
    assert built is not None
    return built


@pytest.fixture
def mandates(gateway: AlipayGateway) -> AlipayMandates:
    assert gateway.mandates is not None
    return gateway.mandates


def says(**facts: object) -> str:
    return json.dumps({"code": "10000", "msg": "Success"} | facts)


def refusal(sub_code: str, code: str = "40004") -> str:
    return json.dumps({"code": code, "msg": "Business Failed", "sub_code": sub_code})


def facts(**other: object) -> dict[str, object]:
    return {
        "agreement_no": CONTRACT,
        "external_agreement_no": NUMBER,
        "next_deduct_time": "2026-11-29",
        "status": "NORMAL",
    } | other


# --- What is sent ---------------------------------------------------------------------


def test_without_its_scene_the_gateway_has_no_mandates():
    """The product is contracted apart from payments: no contract, no offer."""
    with override_settings(**ON | {"ALIPAY_CYCLE_SCENE": ""}):
        assert gateway_mandates.of("alipay") is None
    with override_settings(**ON):
        assert gateway_mandates.of("alipay") is not None
    for code in ("wechat", "nobody", ""):
        assert gateway_mandates.of(code) is None


def test_the_page_to_sign_on_names_the_terms(mandates: AlipayMandates, far: Far):
    handover = mandates.sign(SIGN, now=NOW)
    assert far.sent == []  # the browser goes there by itself
    page = dict(parse_qsl(urlsplit(handover.url).query))
    assert page["method"] == "alipay.user.agreement.page.sign"
    assert page["sign_type"] == "RSA2"
    assert page["notify_url"] == SIGN.notify_url
    assert json.loads(page["biz_content"]) == {
        "product_code": "CYCLE_PAY_AUTH",
        "personal_product_code": "CYCLE_PAY_AUTH_P",
        "sign_scene": SCENE,
        "external_agreement_no": NUMBER,
        "period_rule_params": {
            "period_type": "DAY",
            "period": 7,
            "execute_time": "2026-11-29",
            "single_amount": "15.00",
        },
        "access_params": {"channel": "QRCODEORSMS"},
    }
    wallet = urlsplit(handover.params["wallet_url"])
    assert (wallet.scheme, wallet.netloc) == ("alipays", "platformapi")
    inner = dict(parse_qsl(parse_qs(wallet.query)["sign_params"][0]))
    assert json.loads(inner["biz_content"])["access_params"] == {"channel": "ALIPAYAPP"}
    assert "%26" in handover.params["wallet_url"]
    assert unquote(inner["sign"])


def test_a_contract_is_asked_for_by_its_number_else_by_ours(
    mandates: AlipayMandates, far: Far
):
    far.says = says(**facts())
    mandate = mandates.query(NUMBER, CONTRACT, now=NOW)
    assert far.content() == {"agreement_no": CONTRACT}
    assert mandate.state is MandateState.LIVE
    assert mandate.next_on == date(2026, 11, 29)
    mandates.query(NUMBER, "", now=NOW)
    assert far.content() == {
        "personal_product_code": "CYCLE_PAY_AUTH_P",
        "sign_scene": SCENE,
        "external_agreement_no": NUMBER,
    }


def test_a_debit_names_contract_sum_and_its_last_moment(
    mandates: AlipayMandates, far: Far
):
    far.says = says(
        out_trade_no=DEBIT.number,
        trade_no="2026112222001",
        total_amount="15.00",
        gmt_payment="2026-11-28 10:00:00",
    )
    trade = mandates.debit(DEBIT, now=NOW)
    assert far.content() == {
        "out_trade_no": DEBIT.number,
        "total_amount": "15.00",
        "subject": "卡盟 临时会员 7 天／a＝b＆c",
        "product_code": "CYCLE_PAY_AUTH",
        "agreement_params": {"agreement_no": CONTRACT},
        "time_expire": "2026-11-23 10:00:00",
    }
    assert (trade.state, trade.amount_fen) == (TradeState.PAID, 1_500)


# --- What is believed -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("TEMP", MandateState.WAITING),
        ("NORMAL", MandateState.LIVE),
        ("STOP", MandateState.STOPPED),
        ("UNSIGN", MandateState.STOPPED),
        ("SOMETHING", MandateState.UNKNOWN),
        ("", MandateState.UNKNOWN),
    ],
)
def test_each_status_has_its_meaning(
    mandates: AlipayMandates, far: Far, status: str, state: MandateState
):
    far.says = says(**facts(status=status))
    assert mandates.query(NUMBER, CONTRACT, now=NOW).state is state


def test_a_contract_that_is_not_there_is_missing_and_stopping_it_is_done(
    mandates: AlipayMandates, far: Far
):
    far.says = refusal("USER_AGREEMENT_NOT_EXIST")
    assert mandates.query(NUMBER, CONTRACT, now=NOW).state is MandateState.MISSING
    mandates.stop(CONTRACT, SIGN.notify_url, now=NOW)
    far.says = refusal("isv.invalid-signature")
    with pytest.raises(Refused):
        mandates.query(NUMBER, CONTRACT, now=NOW)
    with pytest.raises(Refused):
        mandates.stop(CONTRACT, SIGN.notify_url, now=NOW)


def test_a_true_answer_to_another_question_is_not_taken(
    mandates: AlipayMandates, far: Far
):
    for other in (
        {"external_agreement_no": "ANOTHER"},
        {"agreement_no": "ANOTHER"},
        {"external_agreement_no": None},
    ):
        far.says = says(**facts(**other))
        with pytest.raises(Unclear):
            mandates.query(NUMBER, CONTRACT, now=NOW)
    far.says = says(out_trade_no="ANOTHER", trade_no="1", total_amount="15.00")
    with pytest.raises(Unclear):
        mandates.debit(DEBIT, now=NOW)


@pytest.mark.parametrize(
    "answer",
    [
        refusal("", "10003"),  # under way
        refusal("ACQ.SYSTEM_ERROR"),
        refusal("isp.unknow-error", "20000"),
        refusal("ACQ.TRADE_HAS_SUCCESS"),
        refusal("ACQ.TRADE_HAS_CLOSE"),
        refusal("ACQ.CONTEXT_INCONSISTENT"),
        "{}",
        None,
    ],
)
def test_what_may_have_moved_money_is_unclear(
    mandates: AlipayMandates, far: Far, answer: str | None
):
    """E12, R12: polled, never taken for a refusal."""
    far.says = answer
    with pytest.raises(Unclear):
        mandates.debit(DEBIT, now=NOW)


@pytest.mark.parametrize(
    "code",
    [
        "ACQ.BUYER_BALANCE_NOT_ENOUGH",
        "ACQ.AGREEMENT_NOT_EXIST",
        "ACQ.AGREEMENT_INVALID",
        "ACQ.CYCLE_PAY_DATE_NOT_MATCH",
        "ACQ.CYCLE_PAY_SINGLE_FEE_EXCEED",
    ],
)
def test_a_business_error_is_a_refusal(mandates: AlipayMandates, far: Far, code: str):
    far.says = refusal(code)
    with pytest.raises(Refused) as caught:
        mandates.debit(DEBIT, now=NOW)
    assert caught.value.code == code


# --- Notices --------------------------------------------------------------------------


def fields(**other: str) -> dict[str, str]:
    """A sign notice as Alipay sends it: without a seller."""
    return {
        "agreement_no": CONTRACT,
        "alipay_logon_id": "138******00",
        "alipay_user_id": "2088000000000002",
        "app_id": FarAlipay.APP_ID,
        "auth_app_id": FarAlipay.APP_ID,
        "charset": "utf-8",
        "external_agreement_no": NUMBER,
        "invalid_time": "2115-02-01 00:00:00",
        "next_deduct_time": "2026-11-29",
        "notify_id": "2026112200222100001",
        "notify_time": "2026-11-22 10:00:10",
        "notify_type": "dut_user_sign",
        "personal_product_code": "CYCLE_PAY_AUTH_P",
        "sign_scene": SCENE,
        "sign_time": "2026-11-22 10:00:09",
        "status": "NORMAL",
        "valid_time": "2026-11-22 10:00:09",
        "version": "1.0",
    } | other


def parsed(gateway: AlipayGateway, body: bytes) -> Notice:
    return gateway.parse_notice(NoticeRequest("POST", {}, "", body), now=NOW)


def test_a_notice_says_which_mandate_and_how_it_stands(gateway: AlipayGateway):
    notice = parsed(gateway, FarAlipay.notice(fields()))
    assert notice.ours
    assert (notice.trade, notice.refund) == (None, None)
    assert notice.mandate is not None
    assert notice.mandate.state is MandateState.LIVE
    assert (notice.number, notice.mandate.contract_no) == (NUMBER, CONTRACT)
    ended = fields(notify_type="dut_user_unsign", status="UNSIGN")
    notice = parsed(gateway, FarAlipay.notice(ended))
    assert notice.mandate is not None
    assert notice.mandate.state is MandateState.STOPPED
    assert not parsed(gateway, FarAlipay.notice(fields(app_id="2021999"))).ours
    with pytest.raises(NoticeRefused):
        parsed(
            gateway,
            urlencode(fields() | {"sign": "AA==", "sign_type": "RSA2"}).encode(),
        )


@pytest.fixture
def waiting(shop: None, member: Member, week: Plan, far_on: None) -> Consent:
    return Consent.objects.create(
        member=member,
        plan=week,
        price_fen=1_500,
        days=7,
        terms="1.0",
        gateway="alipay",
        number=NUMBER,
        agreed_at=NOW,
        next_query_at=NOW,
    )


@pytest.fixture
def far_on() -> Iterator[None]:
    with override_settings(**ON):
        yield


def post(body: bytes) -> bytes:
    answer = Client().generic("POST", "/payments/alipay/notify/", body, FORM)
    assert answer.status_code == 200
    content: bytes = answer.content
    return content


FORGERIES = {
    "unsigned": lambda f: urlencode(f).encode(),
    "signed by the merchant": lambda f: urlencode(
        f | {"sign": "AA==", "sign_type": "RSA2"}
    ).encode(),
    "another hash": lambda f: urlencode(
        FarAlipay.signed(f) | {"sign_type": "RSA"}
    ).encode(),
    "another number": lambda f: urlencode(
        FarAlipay.signed(f) | {"external_agreement_no": "OTHER"}
    ).encode(),
    "another status": lambda f: urlencode(
        FarAlipay.signed(f) | {"status": "UNSIGN"}
    ).encode(),
    "doubled": lambda f: urlencode(FarAlipay.signed(f)).encode() + b"&status=NORMAL",
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_notice_is_refused_and_leaves_nothing(waiting: Consent, name: str):
    """security 31 to 33, B10"""
    before = fingerprint()
    assert post(FORGERIES[name](fields())) == b"fail"
    assert changed(before) == []


def test_a_genuine_notice_signs_and_a_foreign_one_does_not(waiting: Consent):
    """B12, B13: another merchant's, a number of nobody's; recorded, nothing moves."""
    assert post(FarAlipay.notice(fields(app_id="2021999999999999"))) == b"fail"
    assert GatewayEvent.objects.get().outcome == "alien"
    assert post(FarAlipay.notice(fields(external_agreement_no="NOBODYS"))) == b"fail"
    assert not AutoRenew.objects.exists()
    assert post(FarAlipay.notice(fields())) == b"success"
    assert AutoRenew.objects.get().consent_id == waiting.pk


NONSENSE = {
    "no contract": {"agreement_no": ""},
    "contract with NUL": {"agreement_no": "2026\0"},
    "contract of 20 kB": {"agreement_no": "2" * 20_000},
    "no number": {"external_agreement_no": ""},
    "number with NUL": {"external_agreement_no": "A\0"},
    "no status": {"status": ""},
    "strange status": {"status": "成功\0" * 300},
    "a date of nobody's": {"next_deduct_time": "gestern", "agreement_no": ""},
}


@pytest.mark.parametrize("case", NONSENSE)
def test_genuine_nonsense_signs_nothing_and_fails_nothing(waiting: Consent, case: str):
    """B21"""
    assert post(FarAlipay.notice(fields(**NONSENSE[case]))) in (b"success", b"fail")
    assert not AutoRenew.objects.exists()


def test_a_second_contract_for_one_consent_is_not_taken(waiting: Consent):
    """B15: neither by another signature nor by another's end."""
    assert post(FarAlipay.notice(fields())) == b"success"
    post(FarAlipay.notice(fields(agreement_no="20261122000000000002")))
    ended = {"notify_type": "dut_user_unsign", "status": "UNSIGN"}
    post(FarAlipay.notice(fields(agreement_no="20261122000000000002", **ended)))
    assert Consent.objects.get().contract_no == CONTRACT
    assert AutoRenew.objects.get().enabled


def test_a_contract_serves_one_consent(
    waiting: Consent, operator: Member, caplog: pytest.LogCaptureFixture
) -> None:
    """B15"""
    assert post(FarAlipay.notice(fields())) == b"success"
    Consent.objects.create(
        member=operator,
        plan=waiting.plan,
        price_fen=1_500,
        days=7,
        terms="1.0",
        gateway="alipay",
        number="ANOTHER",
        agreed_at=NOW,
        next_query_at=NOW,
    )
    post(FarAlipay.notice(fields(external_agreement_no="ANOTHER")))
    assert AutoRenew.objects.get().member_id == waiting.member_id
    assert "one contract for two consents" in caplog.text


def test_the_end_before_the_signature_stays_the_end(waiting: Consent):
    """B20: notices out of order; nothing is switched on again."""
    ended = {"notify_type": "dut_user_unsign", "status": "UNSIGN"}
    assert post(FarAlipay.notice(fields(**ended))) == b"success"
    assert post(FarAlipay.notice(fields())) == b"success"
    assert not AutoRenew.objects.filter(enabled=True).exists()
    assert Consent.objects.get().ended_by == "wallet"


def test_a_debits_notice_with_a_trade_is_a_trade(gateway: AlipayGateway):
    paid = FarAlipay.paid(DEBIT.number, agreement_no=CONTRACT)
    notice = parsed(gateway, FarAlipay.notice(paid))
    assert notice.mandate is None
    assert notice.trade is not None
    assert notice.trade.state is TradeState.PAID
