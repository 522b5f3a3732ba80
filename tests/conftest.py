"""The cast and the shop that tests share."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import hypothesis
import pytest
from django.utils import timezone, translation
from hypothesis.configuration import set_hypothesis_home_dir

from kameng import clock
from members import rules, visits
from members.demo import fill
from members.models import Member, Plan
from members.tiers import catalogue
from notifications import announcements, outbox, wake
from payments import epay_channels
from tests.sandbox.merchant import NoticeServer
from tests.sandbox_process import Sandbox, running_sandbox
from tests.shopping import Till, gateways_of

set_hypothesis_home_dir("var/cache/hypothesis")
hypothesis.settings.register_profile(
    "shop",
    database=None,
    deadline=None,  # the machine may be busy with other things
    suppress_health_check=[
        hypothesis.HealthCheck.function_scoped_fixture,  # each example is its own member
        hypothesis.HealthCheck.too_slow,
    ],
)
hypothesis.settings.load_profile("shop")


@pytest.fixture(autouse=True)
def fresh_caches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the process keeps for seconds must not leak between tests.

    Within one it is kept as long as the test takes, so that a slow machine does not read
    it once more and count a statement too many.
    """
    for module in (catalogue, rules, announcements, epay_channels):
        monkeypatch.setattr(module, "_SECONDS", 3_600.0)
    monkeypatch.setattr(wake, "_asleep_until", 0.0)
    catalogue.forget()
    rules.forget()
    announcements.forget()
    epay_channels.forget()
    visits.forget_noted()
    yield
    translation.deactivate()  # the language of the last request
    catalogue.forget()
    rules.forget()
    announcements.forget()
    epay_channels.forget()
    visits.forget_noted()


@pytest.fixture(autouse=True)
def database_that_travels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests move this process's clock, and the database's goes with it."""
    monkeypatch.setattr(clock, "of_database", lambda: timezone.now())


@pytest.fixture
def now() -> datetime:
    """10:00 in Shanghai, where the worked examples begin."""
    return datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


@pytest.fixture
def shop(db: None) -> None:
    """The demo shop: two tiers, five plans."""
    fill()


@pytest.fixture
def guest_phone() -> str:
    return "+8613800138000"


@pytest.fixture
def member(db: None) -> Member:
    return Member.objects.create_user("+8613900139000")


@pytest.fixture
def operator(db: None) -> Member:
    """Without a password: hashing one takes longer than most tests."""
    return Member.objects.create(username="operator", is_staff=True)


@pytest.fixture
def week(shop: None) -> Plan:
    return Plan.objects.select_related("tier").get(slug="temporary-7")


@pytest.fixture
def asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is woken after a commit: a test runs the outbox when it wants to."""
    monkeypatch.setattr(outbox, "wake", lambda: None)


@pytest.fixture(scope="session")
def sandbox_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def notice_box() -> Iterator[NoticeServer]:
    """Where the sandbox's notices arrive when a test wants to deliver them itself."""
    server = NoticeServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def gateways_on(sandbox_process: Sandbox, notice_box: NoticeServer) -> Iterator[None]:
    """Once a module: building the gateways loads their keys, which is slow."""
    with gateways_of(sandbox_process, notice_box.url.removesuffix("/notify/")):
        yield


@pytest.fixture
def till(
    shop: None,
    asleep: None,
    gateways_on: None,
    sandbox_process: Sandbox,
    notice_box: NoticeServer,
    now: datetime,
) -> Till:
    """A till whose gateways are the sandbox's."""
    sandbox_process.reset()
    sandbox_process.set_notice_gaps()
    notice_box.received.clear()
    till = Till(now, sandbox_process, notice_box)
    till.set_clock(now)
    return till


@pytest.fixture
def book(shop: None, asleep: None, now: datetime) -> Till:
    """A till without gateways, for what happens inside the shop."""
    return Till(now)
