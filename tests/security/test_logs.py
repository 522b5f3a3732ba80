"""A whole purchase with its accidents leaves nothing personal in any log or queue.

security 74 and I14: neither phone nor code nor key, at any level; not even before the
net that masks the finished line.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from kameng.logs import LineFormatter, mask
from members import links
from members.models import Member
from notifications.models import Outbox
from orders.models import Order
from tests.sandbox_process import wait_for
from tests.shopping import Till

DIGITS = "13787654321"


class Everything(logging.Handler):
    """Keeps each record as it was made, before the net."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.name} {record.getMessage()} {record.args!r}")
        if record.exc_info:
            self.lines.append(logging.Formatter().formatException(record.exc_info))


@pytest.fixture
def everything() -> Iterator[Everything]:
    """The shop's log with its level turned down to DEBUG."""
    handler, root = Everything(), logging.getLogger()
    level = root.level
    root.setLevel(logging.DEBUG)
    root.handlers.insert(0, handler)  # before the shop's own, whose filter masks
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


def code_in(messages: list[dict[str, Any]]) -> str:
    found = re.search(r"(?<!\d)\d{6}(?!\d)", messages[-1]["text"])
    assert found is not None
    return found[0]


def test_a_purchase_leaves_no_trace_of_her_in_the_logs(
    till: Till, everything: Everything
) -> None:
    client, world = Client(), till.wallet
    with time_machine.travel(till.now, tick=False):
        codes = buy(client, till)
    order = Order.objects.get()
    member = Member.objects.get(phone=f"+86{DIGITS}")
    assert order.status == "paid"

    secrets = {
        "phone": DIGITS,
        **{f"code {n}": code for n, code in enumerate(codes)},
        "session": client.cookies["sessionid"].value,
        "link": links.token(links.ORDER, order.pk),
        "renewal link": links.token(links.RENEW, member.pk),
    } | {
        name: value[60:90] if len(value) > 90 else value  # of a PEM not its first line
        for name, value in world.environment.items()
        if name.endswith(("_KEY", "_SECRET")) and "PUBLIC" not in name
    }
    assert traces(everything.lines, secrets) == {}
    queued = str(list(Outbox.objects.values_list("key", "payload")))
    assert DIGITS not in queued
    assert not any(code in queued for code in codes)


def traces(lines: list[str], secrets: dict[str, str]) -> dict[str, str]:
    """Where each secret stands in the log; six digits only as a number of their own."""
    return {
        name: line[:200]
        for name, secret in secrets.items()
        for line in lines
        if re.search(
            rf"(?<!\d){secret}(?!\d)" if len(secret) == 6 else re.escape(secret), line
        )
    }


def test_the_search_would_find_a_trace(everything: Everything) -> None:
    """The control."""
    logging.getLogger("anything").debug("+86%s paid with %s", DIGITS, "012345")
    found = traces(
        everything.lines, {"phone": DIGITS, "code": "012345", "other": "x" * 9}
    )
    assert found.keys() == {"phone", "code"}


def buy(client: Client, till: Till) -> list[str]:
    """Everything a shopper does, wrong codes, outages and forgeries included."""
    world, phone = till.wallet, f"+86{DIGITS}"
    form = {
        "plan": "temporary-7",
        "quantity": "1",
        "channel": "wechat",
        "client_token": "logging-token-0000001",
        "shown_fen": "1500",
        "phone": "137 8765 4321",
        "code": "",
    }
    client.get("/membership/temporary/")
    client.post(reverse("checkout-code"), form)
    first = code_in(wait_for(lambda: world.sms(phone)))
    wrong = f"{(int(first) + 1) % 1_000_000:06}"
    assert client.post(reverse("checkout"), form | {"code": wrong}).status_code == 422
    world.fault("wechat", "start", "500", count=1)
    placed = client.post(reverse("checkout"), form | {"code": first})
    assert placed.status_code == 303
    pay_page = placed["Location"]
    client.get(pay_page)
    client.post(pay_page.replace("/pay/", "/payments/"), {"channel": "alipay"})
    attempt = Order.objects.get().attempts.get(gateway="alipay")
    world.fault("alipay", "query", "malformed", count=1)
    client.get(f"{pay_page}?returned=1")
    forged = client.post(
        "/payments/alipay/notify/", {"out_trade_no": DIGITS, "sign": "x"}
    )
    assert forged.content == b"fail"
    world.pay("alipay", attempt.out_trade_no)
    [notice] = till.caught()
    assert till.deliver(notice, gateway="alipay").content == b"success"
    till.run_outbox()
    client.get(pay_page.replace("/pay/", "/status/"), headers={"HX-Request": "true"})
    client.get(f"/s/{links.token(links.ORDER, Order.objects.get().pk)}/")
    client.get("/account/")
    client.get("/nope/", {"phone": DIGITS})
    other = Client(raise_request_exception=False)
    other.get("/", headers={"Host": "evil.example"})
    other.post(reverse("login-code"), {"phone": DIGITS})
    other.post(reverse("login"), {"phone": DIGITS, "code": wrong})
    codes = {first, wrong} | {
        found
        for message in world.sms(phone)
        for found in re.findall(r"(?<!\d)\d{6}(?!\d)", message["text"])
    }
    return sorted(codes)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("phone 13800138000.", "phone 138****8000."),
        ("+8613800138000", "138****8000"),
        ("key (phone)=(+8613800138000)", "key (phone)=(138****8000)"),
        ("110101199003078515", "110101********8515"),
        ("GET /s/o1f-0123456789abcdef/ 500", "GET /s/****/ 500"),
        ("/orders/X/?token=o1f-0123456789abcdef&a=1", "/orders/X/?token=****&a=1"),
        (
            "/notifications/sms/aliyun/0a1b2c/report/",
            "/notifications/sms/aliyun/****/report/",
        ),
        ("order 4200001234202611220000000001", "order 4200001234202611220000000001"),
        ("7ZQ2M4XK9B3CN5T8V1W6Y0HJAD", "7ZQ2M4XK9B3CN5T8V1W6Y0HJAD"),
    ],
)
def test_the_last_net_masks_what_slipped_through(written: str, expected: str) -> None:
    assert mask(written) == expected


def test_the_net_also_covers_a_traceback() -> None:
    try:
        raise ValueError("Failing row contains (6, +8613800138000, null)")
    except ValueError:
        cause = sys.exc_info()
    record = logging.LogRecord("x", 40, "", 1, "row %s", ("13800138000",), cause)
    line = LineFormatter().format(record)
    assert "13800138000" not in line
    assert "row 138****8000" in line
    assert "Failing row contains (6, 138****8000, null)" in line
