"""``manage.py reconcile`` against the sandbox: what was missed is found and booked."""

from __future__ import annotations

import csv
import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.utils import timezone

from members.models import Member, Plan
from orders.checkout import place_order
from orders.models import Order, Status
from payments import attempts, gateways
from payments.attempts import Way
from payments.gateways.beijing import BEIJING
from payments.gateways.contract import Product
from payments.management.commands import reconcile
from payments.models import Attempt, AttemptState, Refund
from payments.polling import cancel
from payments.reconciling import reconciliation
from payments.reconciling.bill_models import BillDifference
from payments.refunding.refunds import query_refund, send_refund
from tests.payments.test_bill_files import WECHAT_PAID, wechat_file, zm_row
from tests.sandbox_process import Sandbox, running_sandbox

pytestmark = pytest.mark.django_db

WAYS = {
    "alipay": Way("alipay", "alipay", Product.QR),
    "wechat": Way("wechat", "wechat", Product.NATIVE),
}
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(world: Sandbox, settings: Any) -> Sandbox:
    """A sandbox at which the shop's gateways point; notices are lost on the way."""
    world.reset()
    for name, value in world.environment.items():
        setattr(settings, name, value)
    return world


@pytest.fixture
def buyer(shop: None) -> Member:
    return Member.objects.create_user("+8613700137000")


def start(buyer: Member, gateway: str = "alipay", *, ago: timedelta) -> Attempt:
    """An order and its attempt, opened at the gateway."""
    now = timezone.now()
    plan = Plan.objects.get(slug="temporary-7")
    order = place_order(
        member_id=buyer.pk,
        plan_slug=plan.slug,
        quantity=1,
        shown_fen=plan.price_at(now),
        client_token=secrets.token_urlsafe(18),
        address_digest="",
        now=now,
        attach=lambda order: None,
    ).order
    attempt = attempts.pay(order.pk, WAYS[gateway], now=now)
    Attempt.objects.filter(pk=attempt.pk).update(created_at=now - ago)
    return attempt


def run(*arguments: str) -> tuple[int, list[str]]:
    out = StringIO()
    try:
        call_command("reconcile", *arguments, stdout=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue().splitlines()
    return 0, out.getvalue().splitlines()


def states() -> list[str]:
    return list(Attempt.objects.order_by("pk").values_list("state", flat=True))


@pytest.mark.parametrize("gateway", WAYS)
def test_a_payment_whose_notice_was_lost_is_found_and_settled(
    sandbox: Sandbox, buyer: Member, gateway: str
):
    """B18, B19, FLT-26"""
    attempt = start(buyer, gateway, ago=5 * DAY)
    sandbox.pay(gateway, attempt.out_trade_no, notify="lose")
    code, said = run()
    assert code == 2
    assert said[0].split() == [
        *(gateway, attempt.out_trade_no, "open", "→", "paid"),
        *("answered", "order", attempt.order.no),
    ]
    assert said[-1] == "1 asked, 1 differed or unanswered"
    assert Order.objects.get().status == Status.PAID
    buyer.refresh_from_db()
    assert buyer.paid_until is not None
    assert run() == (0, ["0 asked, 0 differed or unanswered"])


def test_what_still_waits_is_no_difference(sandbox: Sandbox, buyer: Member):
    start(buyer, ago=DAY)
    code, said = run()
    assert code == 0
    assert "answered" in said[0]
    assert states() == [AttemptState.OPEN]


def test_an_attempt_of_unknown_fate_is_cleared_up(sandbox: Sandbox, buyer: Member):
    """B5, R12: the answer to the create call was lost."""
    sandbox.fault("wechat", "*", "malformed", count=1)
    attempt = start(buyer, "wechat", ago=DAY)
    assert attempt.state == AttemptState.UNKNOWN
    sandbox.clear_faults()
    sandbox.pay("wechat", attempt.out_trade_no, notify="lose")
    assert run()[0] == 2
    assert states() == [AttemptState.PAID]


def test_money_for_a_closed_attempt_is_found_within_the_span(
    sandbox: Sandbox, buyer: Member
):
    """C11: closed here, paid there; it goes back."""
    attempt = start(buyer, ago=3 * DAY)
    cancel(attempt.order_id, now=timezone.now())
    Attempt.objects.update(state=AttemptState.CLOSED)
    sandbox.pay("alipay", attempt.out_trade_no, notify="lose")
    assert run("--since", "2d")[0] == 0
    assert run("--since", "4d")[0] == 2
    assert Refund.objects.get().reason == "late"


def test_a_gateway_that_does_not_answer_is_told(sandbox: Sandbox, buyer: Member):
    start(buyer, ago=DAY)
    sandbox.fault("alipay", "*", "500")
    code, said = run()
    sandbox.clear_faults()
    assert code == 2
    assert "unclear" in said[0]
    assert states() == [AttemptState.OPEN]


def test_one_gateway_alone_can_be_asked(sandbox: Sandbox, buyer: Member):
    start(buyer, "alipay", ago=DAY)
    start(buyer, "wechat", ago=DAY)
    code, said = run("--gateway", "wechat")
    assert code == 0
    assert [line.split()[0] for line in said] == ["wechat", "1"]


def test_a_gateway_that_is_off_leaves_its_attempts_in_doubt(
    sandbox: Sandbox, buyer: Member, settings: Any
):
    start(buyer, ago=DAY)
    for name in ("APP_ID", "SELLER_ID", "APP_PRIVATE_KEY", "PUBLIC_KEY"):
        setattr(settings, f"ALIPAY_{name}", "")
    assert gateways.get("alipay") is None
    code, said = run()
    assert code == 2
    assert " off " in said[0]


@pytest.mark.parametrize("since", ["", "2", "d", "2w", "-1d", "２d", "1e3d"])
def test_a_span_must_be_a_span(since: str):
    with pytest.raises(CommandError, match="--since"):
        run("--since", since)


# --- Bills -------------------------------------------------------------------------


def write_bill(path: Path, sandbox: Sandbox, *changes: dict[str, object]) -> Path:
    """The sandbox's own lists as our CSV, with lines changed, dropped or added."""
    rows: list[dict[str, object]] = []
    for gateway in WAYS:
        rows += [
            {
                "gateway": gateway,
                "kind": line["kind"],
                "out_trade_no": line["number"],
                "txn_id": line["txn_id"],
                "amount_fen": line["amount_fen"],
                "out_refund_no": line.get("refund_number", ""),
                "at": line.get("paid_at") or line.get("refunded_at"),
            }
            for line in sandbox.bill(gateway)
        ]
    for change in changes:
        rows[0] = rows[0] | change
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def billed(sandbox: Sandbox, buyer: Member) -> list[Attempt]:
    """One payment by Alipay that settled, one by WeChat that was returned."""
    settled = start(buyer, "alipay", ago=DAY)
    returned = start(buyer, "wechat", ago=DAY)
    cancel(returned.order_id, now=timezone.now())
    for attempt in (settled, returned):
        sandbox.pay(attempt.gateway, attempt.out_trade_no, notify="lose")
        reconciliation.ask(attempt, now=timezone.now())
    send_refund(Refund.objects.get().pk, now=timezone.now())
    query_refund(Refund.objects.get(), now=timezone.now())
    return list(Attempt.objects.order_by("pk"))


def told(said: list[str]) -> list[str]:
    """The kinds of the differences, without questions and summary."""
    return [line.split()[2].rstrip(":") for line in said if line.endswith(" here")]


def test_a_bill_that_agrees_is_clean(
    sandbox: Sandbox, billed: list[Attempt], tmp_path: Path
):
    """C12"""
    bill = write_bill(tmp_path / "bill.csv", sandbox)
    code, said = run("--bill", str(bill))
    assert (code, told(said)) == (0, [])
    assert said[-1].endswith("bill of 3 lines, 0 differ")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"amount_fen": 1400}, ["amount"]),
        ({"txn_id": "T2"}, ["transaction"]),
        ({"out_trade_no": "OTHER"}, ["unknown", "missing"]),
    ],
)
def test_a_line_that_differs_is_named(
    sandbox: Sandbox,
    billed: list[Attempt],
    tmp_path: Path,
    change: dict[str, object],
    expected: list[str],
):
    """H15"""
    bill = write_bill(tmp_path / "bill.csv", sandbox, change)
    code, said = run("--bill", str(bill))
    assert (code, told(said)) == (2, expected)
    assert said[-1].endswith(f"{len(expected)} differ; {len(expected)} cases open")


def test_what_the_bill_lacks_is_named(
    sandbox: Sandbox, billed: list[Attempt], tmp_path: Path
):
    """H15: lists less than we hold."""
    other = start(Member.objects.get(), "alipay", ago=timedelta(0))
    bill = write_bill(tmp_path / "bill.csv", sandbox)
    sandbox.pay("alipay", other.out_trade_no, notify="lose")
    reconciliation.ask(other, now=timezone.now())
    code, said = run("--bill", str(bill))
    assert (code, told(said)) == (2, ["missing"])
    assert other.out_trade_no in said[0]
    assert said[0].endswith("missing: – there, ¥15.00 here")


def test_a_refund_that_the_bill_tells_otherwise_is_named(
    sandbox: Sandbox, billed: list[Attempt], tmp_path: Path
):
    bill = write_bill(tmp_path / "bill.csv", sandbox)
    Refund.objects.update(state="processing")
    sandbox.fault("wechat", "refund_query", "500", count=1)
    assert told(run("--bill", str(bill))[1]) == ["refund-open"]
    Refund.objects.update(state="success", amount_fen=1)
    assert told(run("--bill", str(bill))[1]) == ["refund-amount"]
    Refund.objects.update(out_refund_no="R2")
    assert told(run("--bill", str(bill))[1]) == ["refund-unknown", "refund-missing"]


def test_a_payment_that_only_the_bill_knows_is_asked_about_and_settled(
    sandbox: Sandbox, buyer: Member, tmp_path: Path
):
    """H15: however long ago the attempt was given up."""
    attempt = start(buyer, ago=30 * DAY)
    sandbox.pay("alipay", attempt.out_trade_no, notify="lose")
    Attempt.objects.update(state=AttemptState.CLOSED)
    bill = write_bill(tmp_path / "bill.csv", sandbox)
    assert run()[0] == 0
    code, said = run("--bill", str(bill))
    assert code == 2
    assert states() == [AttemptState.PAID]
    assert said[-1] == "1 asked, 1 differed or unanswered; bill of 1 lines, 0 differ"


HEADER = "gateway,kind,out_trade_no,txn_id,amount_fen,out_refund_no,at\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "line 1: no column gateway"),
        ("gateway,kind,out_trade_no,txn_id\n", "line 1: no column amount_fen"),
        (HEADER + "alipay,fee,A,T,1,,\n", "line 2: kind"),
        (HEADER + "alipay,payment,,T,1,,\n", "line 2: no gateway or no number"),
        (HEADER + "alipay,refund,A,T,1,,\n", "line 2: no gateway or no number"),
        (HEADER + "alipay,payment,A,T,15.00,,\n", "line 2: amount_fen"),
        (HEADER + "alipay,payment,A,T,１５,,\n", "line 2: amount_fen"),
        (HEADER + "alipay,payment,A,T,-1,,\n", "line 2: amount_fen"),
        (HEADER + "alipay,payment,A\n", "line 2: amount_fen"),
        (HEADER + "alipay,payment,A,T,1,,yesterday\n", "line 2: at is not"),
        (HEADER + "alipay,payment,A,T,1,,2026-11-22T10:00\n", "line 2: at has no"),
    ],
)
def test_what_is_no_bill_is_refused_by_line(tmp_path: Path, text: str, words: str):
    path = tmp_path / "bill.csv"
    path.write_text(text)
    with pytest.raises(CommandError, match=words):
        run("--bill", str(path))


def test_a_bill_may_start_with_a_byte_order_mark(tmp_path: Path, now: datetime):
    path = tmp_path / "bill.csv"
    path.write_text(f"\ufeff{HEADER}alipay,payment,A,T,1,,{now.isoformat()}\n")
    assert told(run("--bill", str(path))[1]) == ["unknown"]


def test_a_bill_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(CommandError, match="nowhere"):
        run("--bill", str(tmp_path / "nowhere.csv"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CommandError, match="--bill"):
        run("--bill", str(tmp_path / "binary"))


# --- The gateways' own files and days ------------------------------------------------


@pytest.fixture
def yesterdays(sandbox: Sandbox, buyer: Member) -> tuple[list[Attempt], str]:
    """One payment at each gateway on a day that is over for shop and sandbox alike."""
    attempts_made = [start(buyer, code, ago=timedelta(0)) for code in WAYS]
    for attempt in attempts_made:
        sandbox.pay(attempt.gateway, attempt.out_trade_no, notify="lose")
        reconciliation.ask(attempt, now=timezone.now())
    day = timezone.now().astimezone(BEIJING).date()
    return attempts_made, day.isoformat()


def tomorrow(sandbox: Sandbox) -> time_machine.travel:
    sandbox.set_clock(offset=DAY.total_seconds())
    return time_machine.travel(timezone.now() + DAY, tick=True)


def test_the_bills_of_a_day_are_fetched_and_agree(
    sandbox: Sandbox, yesterdays: tuple[list[Attempt], str]
):
    """C12"""
    with tomorrow(sandbox):
        code, said = run("--day", yesterdays[1])
    assert code == 0
    assert said[-1] == "0 asked, 0 differed or unanswered; bill of 2 lines, 0 differ"


def test_a_day_whose_bill_differs_ends_with_two_and_a_case(
    sandbox: Sandbox, yesterdays: tuple[list[Attempt], str]
):
    """H15"""
    (_alipay, wechat), day = yesterdays
    Attempt.objects.filter(pk=wechat.pk).update(paid_fen=1_600)
    with tomorrow(sandbox):
        code, said = run("--day", day)
        assert (code, told(said)) == (2, ["amount"])
        Attempt.objects.filter(pk=wechat.pk).update(paid_fen=1_500)
        assert run("--day", day, "--gateway", "wechat")[0] == 0
    case = BillDifference.objects.get()
    assert (case.kind, case.state, case.theirs_fen) == ("amount", "healed", 1_500)


def test_a_day_without_a_bill_is_told(
    sandbox: Sandbox, yesterdays: tuple[list[Attempt], str]
):
    code, said = run("--day", "2026-01-02", "--gateway", "alipay")
    assert code == 2
    assert said[0] == "alipay    no bill of 2026-01-02"


@pytest.mark.parametrize("day", ["2999-01-01", "2026-02-30", "yesterday", "20261122"])
def test_a_day_must_be_a_day_that_is_over(sandbox: Sandbox, day: str):
    with pytest.raises(CommandError, match="--day"):
        run("--day", day)


def test_a_gateways_own_file_is_read_when_it_is_named(
    sandbox: Sandbox, buyer: Member, tmp_path: Path, settings: Any
):
    """A ZM file by hand: UnionPay hands it out on its merchants' page."""
    settings.UNIONPAY_MER_ID = "777290058110048"
    settings.WECHAT_PAY_MCH_ID = "1900000001"
    path = tmp_path / "bill"
    path.write_bytes(zm_row())
    lines = reconcile.read(path, "unionpay", now=timezone.now())
    assert [line.number for line in lines] == ["KMORDER1"]
    path.write_text(wechat_file(WECHAT_PAID))
    assert told(run("--bill", str(path), "--gateway", "wechat")[1]) == ["unknown"]
    path.write_text(HEADER + "wechat,payment,A,T,1,,\n")
    assert len(reconcile.read(path, "wechat", now=timezone.now())) == 1


def test_a_file_of_nobody_we_know_is_refused(tmp_path: Path, settings: Any):
    path = tmp_path / "bill"
    path.write_text(wechat_file(WECHAT_PAID))
    settings.WECHAT_PAY_MCH_ID = ""
    with pytest.raises(CommandError, match="WECHAT_PAY_MCH_ID is not set"):
        run("--bill", str(path), "--gateway", "wechat")
    with pytest.raises(CommandError, match="line 1: no column gateway"):
        run("--bill", str(path))
