"""People who buy over HTTP while the shop falls over: they try again, as people do.

Every shopper keeps what she has done, whether the shop confirmed it or not: the books
must hold all of her money and nothing else.
"""

from __future__ import annotations

import random
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import httpx

from tests.faults.town import Town
from tests.sandbox_process import ControlRefused

PATIENCE = 60.0
"""Seconds until a shopper gives up for good."""
PHONE_UA = "Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/140.0 Mobile Safari/537.36"
PRICES = {"temporary-1": 300, "temporary-7": 1_500, "long-term-90": 7_500}
GOODS = "video-month"
WARES = (*PRICES, GOODS)
CHANNELS = ("wechat", "alipay", "unionpay", "phone_credit")
"""One of each gateway."""
HOW = (
    *("pay", "pay", "pay", "pay and lose the notice", "pay and hear it thrice"),
    *("pay on both channels", "cancel", "cancel and pay", "leave", "be refused"),
    *("pay and return it", "pay and return it", "pay and be refunded"),
)

_phones = count(0)


def page_of(ware: str) -> str:
    if ware == GOODS:
        return f"/zone/{ware}/"
    return f"/membership/{'long-term' if ware.startswith('long') else 'temporary'}/"


def shown_fen(page: httpx.Response) -> int:
    """The sum that a page shows and wants back; 0 where it shows none."""
    found = re.search(r'name="shown_fen" value="(\d+)"', page.text)
    return int(found[1]) if found else 0


class GaveUp(Exception):
    """The shop did not recover within a shopper's patience."""


@dataclass
class Shopper:
    town: Town
    dice: random.Random
    wares: Sequence[str] = tuple(PRICES)
    channels: Sequence[str] = ("wechat", "alipay")
    phone: str = ""
    token: str = ""
    proxy: httpx.BaseTransport | None = None
    diary: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.deadline = time.monotonic() + PATIENCE
        self.become_a_stranger()

    def become_a_stranger(self) -> None:
        """A phone, an address and a browser that the shop has never seen."""
        number = next(_phones)
        self.phone = f"{13_000_000_000 + number}"
        self.client = httpx.Client(
            base_url=self.town.place.url,
            timeout=30,
            trust_env=False,
            transport=self.proxy,
            headers={
                "X-Forwarded-For": f"10.{number >> 16 & 255}.{number >> 8 & 255}."
                f"{number & 255}",
                "User-Agent": PHONE_UA if self.dice.random() < 0.4 else "Mozilla/5.0",
            },
        )

    # --- HTTP ----------------------------------------------------------------------

    def ask(self, method: str, path: str, **form: str) -> httpx.Response:
        """Again and again until the shop answers with sense; a repeat is harmless."""
        while True:
            try:
                answer = self.client.request(method, path, data=form or None)
            except httpx.HTTPError:
                answer = None
            if answer is not None and answer.status_code == 500:
                self.failures.append(f"500 from {method} {path}")
            if answer is not None and answer.status_code < 500:
                return answer
            if time.monotonic() > self.deadline:
                raise GaveUp(f"{method} {path}")
            time.sleep(0.1)

    def csrf(self, page: httpx.Response) -> str:
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert found is not None, f"{page.status_code} without a form"
        return found[1]

    # --- What a shopper does -------------------------------------------------------

    def go(self) -> None:
        """Buy once or twice and pay in some way; then it is over, however it ended."""
        try:
            for _ in range(self.dice.choice((1, 1, 2))):
                no = self.order()
                self.diary.append(no)
                getattr(self, self.dice.choice(HOW).replace(" ", "_"))(no)
        except GaveUp as where:
            self.failures.append(f"gave up at {where}")
        except Exception as error:
            self.failures.append(f"{type(error).__name__}: {error}")
            raise

    def order(self, plan: str = "", channel: str = "") -> str:
        """The number of an order that this browser may pay.

        A guest whose code or whose session got lost with the reply begins again as a
        stranger; her first order runs out.
        """
        while True:
            no = self.try_to_order(
                plan or self.dice.choice(self.wares),
                channel or self.dice.choice(self.channels),
            )
            if no and self.ask("GET", f"/orders/{no}/pay/").status_code == 200:
                return no
            if time.monotonic() > self.deadline:
                raise GaveUp("ordering")
            self.become_a_stranger()

    def try_to_order(self, ware: str, channel: str) -> str:
        page = self.ask("GET", page_of(ware))
        form = {
            "csrfmiddlewaretoken": self.csrf(page),
            "goods" if ware == GOODS else "plan": ware,
            "quantity": "1",
            "channel": channel,
            "shown_fen": str(PRICES.get(ware) or shown_fen(page)),
            "client_token": secrets.token_urlsafe(18),
        }
        if "sessionid" not in self.client.cookies:
            sent = self.ask("POST", "/checkout/code/", phone=self.phone, **form)
            if sent.status_code != 200:
                return ""
            code = self.code()
            form |= {"phone": self.phone, "code": code}
            form["csrfmiddlewaretoken"] = self.csrf(sent)
        answer = self.ask("POST", "/checkout/", **form)
        found = re.match(r"/orders/(\w+)/pay/", answer.headers.get("Location", ""))
        return found[1] if found else ""

    def code(self) -> str:
        messages = self.town.sandbox.sms(to=f"+86{self.phone}")
        codes = [m["text"] for m in messages if m["kind"] == "code"]
        found = re.search(r"(?<!\d)\d{6}(?!\d)", codes[-1]) if codes else None
        return found[0] if found else "000000"

    def attempt(self, no: str) -> Any:
        """The latest attempt, known to its gateway, by paying again where need be."""
        from payments.models import Attempt

        while True:
            latest = Attempt.objects.filter(order__no=no).order_by("-pk").first()
            if latest is not None and self.is_known(latest):
                return latest
            answered = self.pay_again(no, latest.channel if latest else "wechat")
            if time.monotonic() > self.deadline:
                raise GaveUp(f"starting to pay, {answered}")
            time.sleep(0.2)

    def is_known(self, attempt: Any) -> bool:
        """Whether the sandbox has the trade; a signed address is opened for it."""
        handover = attempt.handover or {}
        with httpx.Client(timeout=30, trust_env=False) as wallet:
            if handover.get("kind") == "redirect":
                wallet.get(handover["url"])
            elif handover.get("kind") == "form":
                wallet.post(handover["url"], data=handover["params"])
        try:
            self.town.sandbox.trade(attempt.gateway, attempt.out_trade_no)
        except ControlRefused:
            return False
        return True

    def pay_again(self, no: str, channel: str) -> str:
        """Press the button of a channel; what was answered."""
        page = self.ask("GET", f"/orders/{no}/pay/")
        if 'name="csrfmiddlewaretoken"' not in page.text:
            return f"{page.status_code} without a form"
        answer = self.ask(
            "POST",
            f"/orders/{no}/payments/",
            csrfmiddlewaretoken=self.csrf(page),
            channel=channel,
        )
        return str(answer.status_code)

    # --- How it ends ---------------------------------------------------------------

    def pay(self, no: str, **options: object) -> None:
        attempt = self.attempt(no)
        self.town.sandbox.pay(attempt.gateway, attempt.out_trade_no, **options)
        if self.dice.random() < 0.5:
            self.ask("GET", f"/orders/{no}/pay/?returned=1")

    def pay_and_lose_the_notice(self, no: str) -> None:
        self.pay(no, notify="lose")

    def pay_and_hear_it_thrice(self, no: str) -> None:
        self.pay(no, notify="repeat", times=3, gap=0.05)

    def pay_on_both_channels(self, no: str) -> None:
        from payments.models import Attempt

        first = self.attempt(no)
        other = "alipay" if first.channel == "wechat" else "wechat"
        self.pay_again(no, other)
        second = self.attempt(no)
        self.town.sandbox.pay(first.gateway, first.out_trade_no)
        if Attempt.objects.filter(order__no=no).count() > 1:
            self.town.sandbox.pay(second.gateway, second.out_trade_no)

    def pay_and_return_it(self, no: str) -> None:
        """灵活退订, where the shop offers it for this order."""
        self.pay(no)
        self.wait_for_activation(no)
        page = self.ask("GET", f"/orders/{no}/return/")
        if shown := shown_fen(page):
            self.ask(
                "POST",
                f"/orders/{no}/return/",
                csrfmiddlewaretoken=self.csrf(page),
                shown_fen=str(shown),
            )

    def pay_and_be_refunded(self, no: str) -> None:
        """By an operator: a part where the gateway can return one, else the whole."""
        from members.models import Member
        from payments.refunding import refunds

        self.pay(no)
        order = self.wait_for_activation(no)
        whole = refunds.settling_attempt(order).gateway == "epay"
        refunds.request(
            order.pk,
            amount_fen=order.amount_fen if whole else order.amount_fen // 3,
            actor=Member.objects.get(username="operator"),
            reason="asked for it",
            now=self.town.now(),
        )

    def wait_for_activation(self, no: str) -> Any:
        from orders.models import Order

        while (order := Order.objects.get(no=no)).status != "paid":
            if time.monotonic() > self.deadline:
                raise GaveUp("waiting for the activation")
            time.sleep(0.2)
        return order

    def cancel(self, no: str) -> None:
        page = self.ask("GET", f"/orders/{no}/pay/")
        token = self.csrf(page)
        self.ask("POST", f"/orders/{no}/cancel/", csrfmiddlewaretoken=token)

    def cancel_and_pay(self, no: str) -> None:
        attempt = self.attempt(no)
        self.cancel(no)
        self.town.sandbox.pay(attempt.gateway, attempt.out_trade_no)

    def be_refused(self, no: str) -> None:
        attempt = self.attempt(no)
        self.town.sandbox.refuse(attempt.gateway, attempt.out_trade_no)

    def leave(self, no: str) -> None:
        self.ask("GET", f"/orders/{no}/pay/")
