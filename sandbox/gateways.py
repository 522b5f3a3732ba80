"""The gateways the sandbox plays. A new one is a module like these and a line here."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from django.urls import URLPattern

from sandbox import alipay, epay, unionpay, wechat
from sandbox.notices import Letter
from sandbox.trades import Payment, Refund, RefundStatus, Trade


class Gateway(Protocol):
    """What a gateway module offers to the cashier and the control.

    FORGERIES  the bent notices that ``letter`` can make
    """

    NAME: str
    TITLE: str
    TITLE_ENGLISH: str
    FORGERIES: tuple[str, ...]

    def urls(self) -> list[URLPattern]: ...

    def opened(self, trade: Trade, *, now: datetime) -> None: ...

    def new_txn_id(self, now: datetime) -> str: ...

    def next_txn_id(self, trade: Trade, now: datetime) -> str: ...

    def letter(
        self,
        trade: Trade,
        payment: Payment,
        *,
        refund: Refund | None = None,
        forgery: str = "",
    ) -> Letter: ...

    def closed_letter(self, trade: Trade) -> Letter | None:
        """The notice of a trade closed unpaid, where the gateway sends one."""
        ...

    def settle_refund(
        self, trade: Trade, refund: Refund, status: RefundStatus, *, now: datetime
    ) -> None: ...

    def back_url(
        self, trade: Trade, payment: Payment | None, *, now: datetime
    ) -> str: ...


GATEWAYS: dict[str, Gateway] = {
    alipay.NAME: alipay,
    wechat.NAME: wechat,
    unionpay.NAME: unionpay,
    epay.NAME: epay,
}
