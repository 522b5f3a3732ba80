"""One fault each, at exactly the worst moment, on a town of real processes.

    var/venv-test/bin/python -m tests.faults.scenarios [NAME …]

A scenario breaks something, heals it and states what must be true beyond the books,
which are checked after each. One line a scenario; ``on_real_processes.py``
reads them.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.faults import clock
from tests.faults.crash import PAST_CLAIMS, PAST_HOLDS
from tests.faults.proxy import Proxy
from tests.faults.shoppers import Shopper
from tests.faults.town import (
    OURS,
    Stuck,
    Town,
    free_port,
    kill_group,
    running_town,
    wait_until,
)
from tests.sandbox_process import ROOT

type Scenario = Callable[[Town], None]
SCENARIOS: dict[str, tuple[str, Scenario]] = {}
"""By name: the cases it proves, and how."""


def scenario(cases: str) -> Callable[[Scenario], Scenario]:
    def register(play: Scenario) -> Scenario:
        SCENARIOS[play.__name__] = cases, play
        return play

    return register


def buyer(town: Town) -> Shopper:
    return Shopper(town, random.Random(0))


def died(town: Town, order: Path, role: str) -> None:
    """Somebody has obeyed the order; what is dead starts again.

    Of the web only the process that serves dies, and granian starts another one.
    """
    wait_until(lambda: not order.exists(), f"nobody came to {order.name}")
    if role != "web":
        town.running[role].wait(10)
    town.heal()


def order_of(no: str) -> Any:
    from orders.models import Order

    return Order.objects.get(no=no)


def paid(no: str) -> bool:
    return bool(order_of(no).status == "paid")


def entitlements(no: str) -> int:
    from members.models import Entitlement

    return Entitlement.objects.filter(order__no=no).count()


# --- FLT-1 to FLT-6: killed exactly there ------------------------------------------


@scenario("FLT-1, H1")
def web_dies_before_a_settlement_commits(town: Town) -> None:
    """The gateway hears no success and repeats its notice; nothing is half done."""
    shopper = buyer(town)
    no = shopper.order()
    attempt = shopper.attempt(no)
    town.order_death("worker", "settled, not committed").unlink()  # the web alone
    order = town.order_death("web", "settled, not committed")
    town.sandbox.pay(attempt.gateway, attempt.out_trade_no)
    died(town, order, "web")
    wait_until(lambda: paid(no), "the repeated notice has not settled")
    tries = town.sandbox.deliveries(attempt.gateway, attempt.out_trade_no)
    assert not tries[0]["accepted"], tries
    assert entitlements(no) == 1


@scenario("FLT-2, H2")
def web_dies_between_commit_and_reply(town: Town) -> None:
    """The repeat is a duplicate: one grant."""
    shopper = buyer(town)
    no = shopper.order()
    attempt = shopper.attempt(no)
    order = town.order_death("web", "committed, not answered")
    town.sandbox.pay(attempt.gateway, attempt.out_trade_no)
    died(town, order, "web")

    def tries() -> list[Any]:
        return town.sandbox.deliveries(attempt.gateway, attempt.out_trade_no)

    wait_until(lambda: tries() and tries()[-1]["accepted"], "the repeat was refused")
    assert not tries()[0]["accepted"]
    assert paid(no)
    assert entitlements(no) == 1


@scenario("FLT-3, R4")
def web_dies_between_order_and_gateway(town: Town) -> None:
    """The shopper's repeat finds her order and opens the same number."""
    from payments.models import Attempt

    shopper = buyer(town)
    shopper.cancel(shopper.order())  # signed in: the first reply of all gets lost
    order = town.order_death("web", "placed, not started")
    no = shopper.order(channel="wechat")
    died(town, order, "web")
    first = Attempt.objects.get(order__no=no)
    assert shopper.attempt(no).out_trade_no == first.out_trade_no
    opened = [t for t in town.sandbox.trades() if t["number"] == first.out_trade_no]
    assert len(opened) == 1
    shopper.pay(no)
    wait_until(lambda: paid(no), "it was paid and not booked")


@scenario("FLT-4, H7")
def web_dies_before_it_saves_the_hand_over(town: Town) -> None:
    """The gateway has the trade: paid there, a poll finds it under its number."""
    from payments.models import Attempt

    shopper = buyer(town)
    shopper.cancel(shopper.order())
    order = town.order_death("web", "started, not saved")
    no = shopper.order(channel="wechat")
    died(town, order, "web")
    attempt = Attempt.objects.get(order__no=no)
    assert attempt.state == "created"
    town.sandbox.pay(attempt.gateway, attempt.out_trade_no, notify="lose")
    wait_until(lambda: paid(no), "no poll has found it")


@scenario("FLT-5")
def worker_dies_before_a_settlement_commits(town: Town) -> None:
    """A poll settles in one transaction; the next poll does it again from the start."""
    shopper = buyer(town)
    no = shopper.order()
    attempt = shopper.attempt(no)
    order = town.order_death("worker", "settled, not committed")
    town.sandbox.pay(attempt.gateway, attempt.out_trade_no, notify="lose")
    town.step(10)
    died(town, order, "worker")
    assert not paid(no)
    town.step(60)
    wait_until(lambda: paid(no), "the next poll has not settled")
    assert entitlements(no) == 1


@scenario("FLT-7")
def worker_dies_with_a_card_key(town: Town) -> None:
    """Taken and not committed: the key is on the shelf again and is handed out once."""
    from goods.models import CardKey

    shopper = buyer(town)
    no = shopper.order("video-month")
    attempt = shopper.attempt(no)
    order = town.order_death("worker", "settled, not committed")
    town.sandbox.pay(attempt.gateway, attempt.out_trade_no, notify="lose")
    town.step(10)
    died(town, order, "worker")
    held = CardKey.objects.filter(order__no=no)
    assert not held.exists()
    town.step(60)
    wait_until(lambda: paid(no), "the next poll has not settled")
    assert [key.state for key in held] == ["sold"]
    assert order_of(no).fulfil == "done"


@scenario("FLT-6, H4")
def worker_dies_after_the_provider_took_a_message(town: Town) -> None:
    """Sent once more when its claim is old: twice in the inbox, never three times."""
    message = message_with_a_death(town, "message sent, not noted")
    assert inbox(town, message) == 1
    town.step(PAST_CLAIMS)
    wait_until(lambda: inbox(town, message) == 2, "it was not sent again")


@scenario("H4")
def worker_dies_between_claim_and_work(town: Town) -> None:
    message = message_with_a_death(town, "claimed, not begun")
    assert inbox(town, message) == 0
    town.step(PAST_CLAIMS)
    wait_until(lambda: inbox(town, message) == 1, "it was not sent")


@scenario("FLT-35")
def worker_dies_before_it_notes_what_it_has_done(town: Town) -> None:
    """Handed out again, the row finds its message sent: once in the inbox."""
    message = message_with_a_death(town, "done, not noted")
    assert inbox(town, message) == 1
    town.step(PAST_CLAIMS)
    wait_until(lambda: row_of(message).state == "done", "the row is not done")
    assert inbox(town, message) == 1


def message_with_a_death(town: Town, point: str) -> Any:
    """The message about a paid order whose worker died at this point."""
    from notifications.models import Notification

    shopper = buyer(town)
    no = shopper.order()
    attempt = shopper.attempt(no)
    town.sandbox.pay(attempt.gateway, attempt.out_trade_no, notify="lose")
    wait_until(lambda: nothing_due(town), "the outbox is not empty")
    order = town.order_death("worker", point)
    shopper.ask("GET", f"/orders/{no}/pay/?returned=1")
    town.step(10)
    died(town, order, "worker")
    member = order_of(no).member_id
    return Notification.objects.get(member=member, channel="sms")


def inbox(town: Town, message: Any) -> int:
    mark = f"notification-{message.pk}"
    return sum(each["id"] == mark for each in town.sandbox.sms())


def row_of(message: Any) -> Any:
    from notifications.models import Outbox

    return Outbox.objects.get(key=f"notification:{message.key}")


def nothing_due(town: Town) -> bool:
    from notifications.models import Outbox

    return not Outbox.objects.filter(state="new", due_at__lte=town.now()).exists()


@scenario("H3")
def web_dies_before_it_wakes_the_worker(town: Town) -> None:
    """Nobody was told; the tick finds the row."""
    shopper = buyer(town)
    no = shopper.order()
    attempt = shopper.attempt(no)
    order = town.order_death("web", "committed, not woken")
    town.sandbox.pay(attempt.gateway, attempt.out_trade_no)
    died(town, order, "web")
    wait_until(lambda: paid(no), "not settled")
    wait_until(lambda: nothing_due(town), "the tick has not found it")


@scenario("H8, F8, C6")
def worker_dies_between_refund_and_booking(town: Town) -> None:
    """The surplus goes back once, however often it is asked for."""
    shopper = buyer(town)
    no = shopper.order(channel="wechat")
    shopper.attempt(no)
    order = town.order_death("worker", "refund heard, not booked")
    shopper.pay_on_both_channels(no)
    died(town, order, "worker")
    town.step(PAST_CLAIMS)


# --- FLT-8 and FLT-9: beats --------------------------------------------------------


@scenario("FLT-8, H12")
def beat_is_away_for_an_hour(town: Town) -> None:
    """What became due meanwhile is done once on its return."""
    shopper = buyer(town)
    no = shopper.order()
    attempt = shopper.attempt(no)
    town.kill("beat")
    town.sandbox.pay(attempt.gateway, attempt.out_trade_no, notify="lose")
    town.step(3_600)
    time.sleep(1)
    assert not paid(no)
    town.heal()
    wait_until(lambda: paid(no), "not settled on its return")


@scenario("FLT-9")
def three_beats_at_once(town: Town) -> None:
    """Every tick comes thrice: each reminder and each message is sent once."""
    from notifications.models import Notification

    others = [
        town.spawn("beat", f"beat-{number}", TMPDIR=str(town.folder))
        for number in (2, 3)
    ]
    try:
        shopper = buyer(town)
        no = shopper.order(plan="temporary-1")
        shopper.pay(no, notify="lose")
        town.step(60)
        wait_until(lambda: paid(no), "not settled")
        town.step(18 * 3_600 + 60)  # the reminder is due six hours before the end
        member = order_of(no).member_id
        sent = Notification.objects.filter(member=member, channel="sms", state="sent")
        wait_until(lambda: sent.count() == 2, "activated and reminded")
        assert [inbox(town, message) for message in sent] == [1, 1]
    finally:
        for process in others:
            kill_group(process)


# --- FLT-11 to FLT-13: the broker --------------------------------------------------


def buy(town: Town, *, seconds: float = 20) -> str:
    """A whole purchase; the time until it is activated is bounded."""
    shopper = buyer(town)
    no = shopper.order()
    attempt = shopper.attempt(no)
    town.sandbox.pay(attempt.gateway, attempt.out_trade_no)
    wait_until(lambda: paid(no), "not paid", seconds=seconds)
    assert not shopper.failures, shopper.failures
    return no


def worker_comes_back(town: Town) -> None:
    """Kept alive as ``bin/run`` and Compose do, it sends all that is due.

    Now and then a worker that loses the broker ends: kombu closes a channel that has
    messages to give back, and finds its connection gone.
    """

    def caught_up() -> bool:
        town.start("worker")
        return nothing_due(town)

    wait_until(caught_up, "the worker does not come back", seconds=60)


@scenario("FLT-11, H5, H6")
def broker_is_down(town: Town) -> None:
    """Order, payment and activation work; the messages go out on its return."""
    town.stop_broker()
    try:
        buy(town)
        assert town.get("/").status_code == 200
        assert town.get("/healthz").status_code == 200
        assert town.get("/readyz").json()["checks"]["broker"] != "ok"
    finally:
        town.start_broker()
    worker_comes_back(town)


@scenario("FLT-12")
def broker_loses_everything(town: Town) -> None:
    """FLUSHALL: the outbox has the messages, the database the limits."""
    from redis import Redis

    shopper = buyer(town)
    no = shopper.order()
    attempt = shopper.attempt(no)
    with Redis(unix_socket_path=str(town.folder / "valkey" / "socket")) as broker:
        town.sandbox.pay(attempt.gateway, attempt.out_trade_no)
        broker.flushall()
    wait_until(lambda: paid(no), "not paid")
    refused = Shopper(town, random.Random(1))
    refused.phone = shopper.phone  # a code went there a moment ago
    page = refused.ask("GET", "/membership/temporary/")
    form = {"csrfmiddlewaretoken": refused.csrf(page), "plan": "temporary-7"}
    answer = refused.ask("POST", "/checkout/code/", phone=shopper.phone, **form)
    assert answer.status_code == 429, answer.status_code


@scenario("FLT-13")
def broker_hangs(town: Town) -> None:
    """A stopped server takes every connection and answers none."""
    os.kill(town.broker.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        buy(town)
        town.get("/")
        assert time.monotonic() - began < 45
    finally:
        os.kill(town.broker.pid, signal.SIGCONT)
    worker_comes_back(town)


# --- FLT-15, FLT-19, FLT-20: the database ------------------------------------------


@scenario("FLT-15 fast")
def database_restarts(town: Town) -> None:
    database_comes_back(town, signal.SIGINT)


@scenario("FLT-15 immediate")
def database_crashes(town: Town) -> None:
    database_comes_back(town, signal.SIGQUIT)


def database_comes_back(town: Town, number: int) -> None:
    """A notice that meets it is answered 5xx and repeated; no paid order is lost."""
    from django.db import connection

    shopper = buyer(town)
    no = shopper.order()
    attempt = shopper.attempt(no)
    connection.close()
    town.sandbox.pay(attempt.gateway, attempt.out_trade_no, delay=0.05)
    town.restart_database(number)
    wait_until(lambda: paid(no), "not paid after the restart")
    assert entitlements(no) == 1
    buy(town)


@scenario("FLT-19")
def somebody_holds_a_lock(town: Town) -> None:
    """The notice is refused with 503 within seconds and settles when repeated."""
    from django.db import transaction

    from orders.models import Order

    shopper = buyer(town)
    no = shopper.order()
    attempt = shopper.attempt(no)
    with transaction.atomic():
        Order.objects.select_for_update().get(no=no)
        pay(town, attempt, notify="lose")
        began = time.monotonic()
        [first] = town.sandbox.notify(attempt.gateway, attempt.out_trade_no)
        assert time.monotonic() - began < 25
        assert first["status"] in (0, 503), first

    def is_accepted() -> bool:
        [again] = town.sandbox.notify(attempt.gateway, attempt.out_trade_no)
        return bool(again["accepted"])

    wait_until(is_accepted, "not accepted once the lock was gone", every=1)
    assert paid(no)
    assert entitlements(no) == 1


@scenario("FLT-20")
def no_connection_is_left(town: Town) -> None:
    """Who comes too late gets 503 at once; the notice is repeated and settles."""
    import psycopg

    shopper = buyer(town)
    no = shopper.order()
    attempt = shopper.attempt(no)
    town.kill(*OURS)
    taken = []
    with suppress(psycopg.OperationalError):
        while True:
            taken.append(psycopg.connect(town.environ["DATABASE_URL"]))
    try:
        for role in OURS:
            town.start(role)
        town.wait_until_it_answers()
        began = time.monotonic()
        answer = town.get("/login/")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
        assert time.monotonic() - began < 25
        town.sandbox.pay(attempt.gateway, attempt.out_trade_no)
        time.sleep(0.5)
    finally:
        for connection in taken:
            connection.close()
    wait_until(lambda: paid(no), "not paid once there were connections")


# --- FLT-23 to FLT-30: the outside -------------------------------------------------


@scenario("FLT-23 to FLT-26")
def gateways_go_mad(town: Town) -> None:
    """Slow, silent, lying or gone for a while: what was paid is booked afterwards."""
    for fault in ("500", "malformed", "wrong_signature", "unsigned", "timeout"):
        town.sandbox.fault("*", "query", fault, seconds=3, count=2)
    shopper = buyer(town)
    no = shopper.order(channel="alipay")
    shopper.pay(no, notify="lose")
    for _ in range(6):
        town.step(61)
        time.sleep(0.4)
    town.sandbox.clear_faults()
    town.step(61)
    wait_until(lambda: paid(no), "not paid once the gateway was well")


@scenario("FLT-27")
def notice_comes_before_the_answer(town: Town) -> None:
    """The gateway makes the trade, is paid and tells, while our call still waits."""
    from payments.models import Attempt

    town.sandbox.fault("wechat", "start", "timeout", seconds=4, count=1, done=True)
    shopper = buyer(town)
    last = Attempt.objects.order_by("-pk").first()
    with ThreadPoolExecutor(1) as thread:
        ordering = thread.submit(shopper.order, "temporary-7", "wechat")
        new = Attempt.objects.filter(pk__gt=last.pk if last else 0, gateway="wechat")
        attempt = wait_until(new.first, "no attempt")
        wait_until(lambda: shopper.is_known(attempt), "no trade at the gateway")
        town.sandbox.pay("wechat", attempt.out_trade_no)
        no = ordering.result()
    wait_until(lambda: paid(no), "not paid")
    assert Attempt.objects.get(pk=attempt.pk).state == "paid"


@scenario("FLT-29, FLT-30, H9")
def messages_cannot_be_sent(town: Town) -> None:
    """Activation does not wait for them; they go out when the provider is back."""
    town.sandbox.fault("sms", "*", "refuse", status=500, code="down")
    from members.models import Member
    from notifications.models import Notification

    shopper = known_shopper(town)
    no = shopper.order()
    attempt = shopper.attempt(no)
    town.sandbox.pay(attempt.gateway, attempt.out_trade_no)
    wait_until(lambda: paid(no), "an activation waited for a message")
    member = Member.objects.get(phone=f"+86{shopper.phone}")
    waiting = Notification.objects.filter(
        member=member, channel="sms", tries__gt=0, state="queued"
    )
    message = wait_until(waiting.first, "nobody has tried and kept it")
    town.sandbox.clear_faults()
    town.step(90)
    wait_until(lambda: inbox(town, message) == 1, "it was not sent afterwards")


def known_shopper(town: Town) -> Shopper:
    """Signed in before the provider fails."""
    town.sandbox.clear_faults()
    shopper = buyer(town)
    shopper.cancel(shopper.order())
    town.sandbox.fault("sms", "*", "refuse", status=500, code="down")
    return shopper


# --- FLT-33: clocks ----------------------------------------------------------------


@scenario("FLT-33, H10")
def one_worker_is_ten_minutes_ahead(town: Town) -> None:
    """It sees that the database's clock is another one and ends no order: a worker with
    the right time finds the money of all of them."""
    orders = {}
    for channel in ("alipay", "wechat"):
        shopper = buyer(town)
        orders[channel] = shopper.order(channel=channel)
        attempt = shopper.attempt(orders[channel])
        town.kill("worker")  # no poll of a right clock finds it first
        town.sandbox.pay(attempt.gateway, attempt.out_trade_no, notify="lose")
    town.step(21 * 60)
    wrong = town.folder / "wrong-clock"
    clock.make(wrong)
    clock.shift(wrong, town.offset + 600)
    ahead = town.spawn("worker", "worker-ahead", **{clock.VARIABLE: str(wrong)})
    log = town.folder / "worker-ahead.log"
    try:
        wait_until(lambda: "+600 s off" in log.read_text(), "it has not noticed")
        time.sleep(3)  # every job has come round
        assert {order_of(no).status for no in orders.values()} == {"pending"}
    finally:
        kill_group(ahead)
        town.heal()
    wait_until(lambda: all(map(paid, orders.values())), "not found by the right clock")
    assert [entitlements(no) for no in orders.values()] == [1, 1]


# --- FLT-16: a database that is older than the world -------------------------------


GAP = 5
"""Seconds without any database."""


@scenario("FLT-16, H16")
def the_standby_lacks_the_last_commits(town: Town) -> None:
    """A settlement, and a whole order with its payment, are committed, answered and
    then lost; one more payment comes while there is no database at all.

    What the standby has an attempt of is settled by asking, without notice, worker or
    beat. Of the lost order only the gateway's bill tells: its money waits for
    a person, who sees it once.
    """
    from django.db import connection

    from members.models import Member
    from orders.models import Order
    from payments import cases
    from payments.console import decisions
    from payments.reconciling import differences

    kept, known = [], []
    for shopper in (buyer(town), buyer(town)):
        kept.append(shopper.order())
        known.append(shopper.attempt(kept[-1]))
    settled, in_the_gap = known
    connection.close()
    standby = town.copy_database()
    town.wait_until_it_answers()

    pay(town, settled)
    shopper = buyer(town)
    gone = shopper.order("temporary-7")
    lost = shopper.attempt(gone)
    pay(town, lost)
    wait_until(lambda: paid(gone) and paid(kept[0]), "not paid before it was lost")
    connection.close()
    town.kill("worker", "beat")

    def without_database() -> None:
        pay(town, in_the_gap, notify="lose")
        end = time.monotonic() + GAP
        while time.monotonic() < end:
            # What the process has kept for seconds may still make a page.
            assert town.get("/login/").status_code in (200, 503)

    town.fail_over(standby, without_database)
    wait_until(town.database_accepts, "the standby does not take over")
    assert not Order.objects.filter(no=gone).exists()
    assert not any(map(paid, kept))

    told = reconciled(town)
    assert all(map(paid, kept)), told
    assert [entitlements(no) for no in kept] == [1, 1]
    assert lost.out_trade_no in told
    [event] = cases.open_events()
    assert (event.number, event.amount_fen) == (lost.out_trade_no, 1_500)
    [case] = differences.waiting()
    assert (case.kind, case.number) == ("unknown", lost.out_trade_no)

    operator = Member.objects.get(username="operator")
    note = "given back in the gateway's console"
    decisions.resolve(event.pk, actor=operator, reason=note, now=town.now())
    differences.resolve(
        case.pk, version=case.version, actor=operator, reason=note, now=town.now()
    )
    town.heal()
    buy(town)


def pay(town: Town, attempt: Any, **options: object) -> None:
    town.sandbox.pay(attempt.gateway, attempt.out_trade_no, **options)


def reconciled(town: Town) -> str:
    """What ``manage.py reconcile`` says to the bill of all payments at the gateways."""
    from payments.gateways import GATEWAYS

    bill = town.folder / "bill.csv"
    rows = ["gateway,kind,out_trade_no,txn_id,amount_fen"] + [
        f"{gateway},payment,{line['number']},{line['txn_id']},{line['amount_fen']}"
        for gateway in GATEWAYS
        for line in town.sandbox.bill(gateway)
        if line["kind"] == "payment"
    ]
    bill.write_text("\n".join(rows))
    with (town.folder / "reconcile.log").open("ab") as log:
        return subprocess.run(
            [sys.executable, "manage.py", "reconcile", "--bill", str(bill)],
            cwd=ROOT,
            env=town.environ,
            check=False,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ).stdout


# --- FLT-37: a release -------------------------------------------------------------


LONG = 240
"""Seconds for a purchase while web processes come and go on a busy machine."""


@scenario("FLT-37")
def a_release_in_mid_checkout(town: Town) -> None:
    """Both web processes are started anew, one after the other, while people buy: every
    payment is booked, nobody is signed out, and no request finds neither of them."""
    other = free_port()
    ports = {"web": town.place.port, "web-beside": other}
    town.running["web-beside"] = town.spawn("web", "web-beside", other)
    town.wait_until_it_answers(other)
    proxy = Proxy(*ports.values())
    early = Shopper(town, random.Random(0), proxy=proxy)
    no = early.order()
    over, bought = threading.Event(), list[str]()
    try:
        with ThreadPoolExecutor(2) as crowd:
            crowding = [
                crowd.submit(buy_on, town, proxy, over, bought),
                crowd.submit(read_on, early, over),
            ]
            try:
                for name, port in ports.items():
                    stop_as_compose_does(town.running[name])
                    somebody_buys(bought, crowding)
                    town.running[name] = town.spawn("web", name, port)
                    town.wait_until_it_answers(port)
            finally:
                over.set()
            for each in crowding:
                each.result()
        early.deadline = time.monotonic() + LONG
        pay(town, early.attempt(no))
        early.wait_for_activation(no)
    finally:
        kill_group(town.running.pop("web-beside"))
    assert [entitlements(each) for each in (no, *bought)] == [1] * (len(bought) + 1)
    assert not {500, 502} & set(proxy.answers), proxy.answers


def stop_as_compose_does(web: subprocess.Popen[bytes]) -> None:
    """SIGTERM: what is begun is finished; who takes too long is killed."""
    web.terminate()
    with suppress(subprocess.TimeoutExpired):
        web.wait(10)
    kill_group(web)


def buy_on(town: Town, proxy: Proxy, over: threading.Event, bought: list[str]) -> None:
    """One purchase after another; a payment that fails ends it."""
    from django.db import connection

    try:
        while not over.is_set():
            shopper = Shopper(town, random.Random(0), proxy=proxy)
            shopper.deadline = time.monotonic() + LONG
            no = shopper.order()
            pay(town, shopper.attempt(no))
            shopper.wait_for_activation(no)
            bought.append(no)
    finally:
        connection.close()


def read_on(shopper: Shopper, over: threading.Event) -> None:
    """Her own page and the style it was made with, in the session she began with."""
    page = shopper.client.get("/account/")
    style = re.search(r"/static/css/site\.\w+\.css", page.text)
    assert style is not None, page.status_code
    while not over.is_set():
        for path in ("/account/", style[0]):
            status = shopper.client.get(path).status_code
            assert status in (200, 503), (path, status)


def somebody_buys(bought: list[str], crowding: list[Future[None]]) -> None:
    before = len(bought)
    wait_until(
        lambda: len(bought) > before or any(each.done() for each in crowding),
        "nobody can buy",
        seconds=LONG,
    )


def main() -> int:
    wanted = sys.argv[1:] or list(SCENARIOS)
    failed = 0
    with running_town() as town:
        for name in wanted:
            failed += not played(town, name)
        for line in town.complaints():
            print(line)
            failed += 1
    return min(failed, 100)


def played(town: Town, name: str) -> bool:
    """One scenario and the books after it, told in a line."""
    from tests.faults import books

    cases, play = SCENARIOS[name]
    began = time.monotonic()
    wrong = ""
    try:
        play(town)
    except (Exception, Stuck):
        wrong = traceback.format_exc()
    for order in (town.folder / "orders").iterdir():
        order.unlink()
    town.sandbox.clear_faults()
    town.heal()
    found: list[str] = []
    for seconds in (PAST_CLAIMS, PAST_HOLDS):
        town.step(seconds)
        found += books.come_to_rest(town) or books.faults(town)
    wrong += "\n".join(found)
    print(
        f"{'FAILED' if wrong else 'ok'} {name} [{cases}] "
        f"{time.monotonic() - began:.1f} s\n{wrong}".rstrip(),
        flush=True,
    )
    return not wrong


if __name__ == "__main__":
    sys.exit(main())
