"""Alipay's cycle pay (周期扣款): sign, query, stop, postpone, debit, and their notices.

The member signs on a page of Alipay's own, apart from any purchase: signing while
paying exists only inside apps and mini programs (``alipay.trade.app.pay``), signing
first also from a phone's browser and from a computer. Alipay never charges by itself.

Sources, besides ``alipay.trade.*`` as in ``gateway.py`` (Alipay's pages were read as
copies; ids are those of opendocs.alipay.com/open):

- 00a05b 独立签约后扣款场景: product codes, period rules, DAY period at least 7, one
  success a period, ¥100 a charge, and that Alipay's own sandbox has no cycle pay.
- docs.open.alipay.com/api_2/alipay.user.agreement.page.sign, .query, .unsign: fields;
  ``agreement_no`` alone names an agreement. ``alipay-sdk-net-all``
  AlipayUserAgreementQueryResponse: ``status`` TEMP, NORMAL, STOP; ``next_deduct_time``.
- 01rg2a 周期扣款异步通知: a sign notice goes to the request's ``notify_url``, an unsign
  notice to that of ``unsign``; a stop from within the wallet goes to the application
  gateway (应用网关) set in the console, which must be this shop's notify address. An
  agreement that runs out sends none. Neither carries a ``seller_id``.
- 01rg2g 修改扣款时间: a charge is allowed from five days before the expected day until
  it; the day can be moved later, never earlier; a success moves it on by one period.
- go-pay/gopay ``alipay/error.go``: USER_AGREEMENT_NOT_EXIST, ACQ.CYCLE_PAY_*.

Not established from any source: whether a refused debit leaves a trade behind (it is
closed at Alipay all the same before another number is used), and which error ``unsign``
gives for an agreement that has ended (taken to be USER_AGREEMENT_NOT_EXIST too).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from urllib.parse import quote, urlsplit

from payments.gateways import beijing, values, yuan
from payments.gateways.alipay.client import AlipayClient
from payments.gateways.contract import (
    Handover,
    HandoverKind,
    Refused,
    Trade,
    TradeState,
    Unclear,
)
from payments.gateways.mandates import (
    DebitRequest,
    Mandate,
    MandateState,
    SignRequest,
)

_PRODUCT = "CYCLE_PAY_AUTH"
_PERSONAL_PRODUCT = "CYCLE_PAY_AUTH_P"
_STATES = {
    "TEMP": MandateState.WAITING,
    "NORMAL": MandateState.LIVE,
    "STOP": MandateState.STOPPED,
    "UNSIGN": MandateState.STOPPED,
}
_NOTICES = {"dut_user_sign", "dut_user_unsign"}
_NOT_THERE = {"USER_AGREEMENT_NOT_EXIST", "ACQ.USER_AGREEMENT_NOT_EXIST"}
# The number was charged before: only a query tells how that ended.
_SEEN_BEFORE = {
    *("ACQ.TRADE_HAS_SUCCESS", "ACQ.TRADE_HAS_FINISHED", "ACQ.TRADE_HAS_CLOSE"),
    "ACQ.CONTEXT_INCONSISTENT",
}

# As in a purchase's subject: forbidden, or ambiguous in the notice.
_SUBJECT = str.maketrans("/=&", "／＝＆")

_WALLET = (
    "alipays://platformapi/startapp"
    "?appId=60000157&appClearTop=false&startMultApp=YES&sign_params="
)
"""Opens the signing page in the wallet (00a05b, 3.3)."""


class AlipayMandates:
    shortest_days = 7
    most_fen = 10_000

    def __init__(self, client: AlipayClient, *, scene: str) -> None:
        self._client = client
        self._scene = scene

    def sign(self, request: SignRequest, *, now: datetime) -> Handover:
        """``url`` is for a computer's browser, which shows a code to scan; on a phone
        ``params["wallet_url"]`` opens the wallet."""
        wallet, page = (
            self._client.page_url(
                "alipay.user.agreement.page.sign",
                self._terms(request) | {"access_params": {"channel": channel}},
                now=now,
                notify_url=request.notify_url,
                return_url=request.return_url,
            )
            for channel in ("ALIPAYAPP", "QRCODEORSMS")
        )
        query = quote(urlsplit(wallet).query, safe="")
        return Handover(
            HandoverKind.REDIRECT, url=page, params={"wallet_url": _WALLET + query}
        )

    def _terms(self, request: SignRequest) -> dict[str, object]:
        return {
            "product_code": _PRODUCT,
            "personal_product_code": _PERSONAL_PRODUCT,
            "sign_scene": self._scene,
            "external_agreement_no": request.number,
            "period_rule_params": {
                "period_type": "DAY",
                "period": request.days,
                "execute_time": request.first_on.isoformat(),
                "single_amount": yuan.write(request.amount_fen),
            },
        }

    def query(self, number: str, contract_no: str, *, now: datetime) -> Mandate:
        named: dict[str, object] = {
            "personal_product_code": _PERSONAL_PRODUCT,
            "sign_scene": self._scene,
            "external_agreement_no": number,
        }
        if contract_no:
            named = {"agreement_no": contract_no}
        try:
            answer = self._client.call("alipay.user.agreement.query", named, now=now)
        except Refused as error:
            if error.code not in _NOT_THERE:
                raise
            return Mandate(number, MandateState.MISSING, raw_state=error.code)
        mandate = _mandate(answer)
        if mandate.number != number or contract_no not in ("", mandate.contract_no):
            raise Unclear("mismatch")
        return mandate

    def stop(self, contract_no: str, notify_url: str, *, now: datetime) -> None:
        try:
            self._client.call(
                "alipay.user.agreement.unsign",
                {"agreement_no": contract_no},
                now=now,
                notify_url=notify_url,
            )
        except Refused as error:
            if error.code not in _NOT_THERE:
                raise

    def postpone(self, contract_no: str, to: date, *, now: datetime) -> None:
        self._client.call(
            "alipay.user.agreement.executionplan.modify",
            {
                "agreement_no": contract_no,
                "deduct_time": to.isoformat(),
                "memo": "会员到期日后移",
            },
            now=now,
        )

    def debit(self, request: DebitRequest, *, now: datetime) -> Trade:
        try:
            answer = self._client.call(
                "alipay.trade.pay",
                {
                    "out_trade_no": request.number,
                    "total_amount": yuan.write(request.amount_fen),
                    "subject": request.subject.translate(_SUBJECT),
                    "product_code": _PRODUCT,
                    "agreement_params": {"agreement_no": request.contract_no},
                    "time_expire": beijing.plain(request.expires_at),
                },
                now=now,
                notify_url=request.notify_url,
            )
        except Refused as error:
            if error.code in _SEEN_BEFORE:
                raise Unclear(error.code, error.words) from None
            raise
        if answer.get("out_trade_no") != request.number:
            raise Unclear("mismatch")
        return Trade(
            number=request.number,
            state=TradeState.PAID,
            txn_id=values.number(answer, "trade_no"),
            amount_fen=yuan.parse(answer.get("total_amount")),
            paid_at=beijing.parse_plain(answer.get("gmt_payment")),
            raw_state="10000",
        )


def in_notice(params: Mapping[str, str]) -> Mandate | None:
    """The mandate that a verified notice is about, if it is about one."""
    if params.get("notify_type") not in _NOTICES:
        return None
    return _mandate(params)


def _mandate(given: Mapping[str, Any]) -> Mandate:
    status = values.words(given, "status")
    day = beijing.parse_plain(values.text(given, "next_deduct_time")[:10])
    return Mandate(
        number=values.number(given, "external_agreement_no"),
        state=_STATES.get(status, MandateState.UNKNOWN),
        contract_no=values.number(given, "agreement_no"),
        next_on=day.date() if day else None,
        raw_state=status,
    )
