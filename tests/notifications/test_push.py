"""Web push: who may be called (security 78), what answers mean (FLT-32), who is told."""

from __future__ import annotations

import datetime as dt
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.test import Client
from django.urls import reverse

from kameng import checks
from members import merging
from members.models import Member
from members.sign_in import signin
from notifications import messages, outbox, push
from notifications.messages import Channel, Message
from notifications.models import Notification, Outbox, PushSubscription
from notifications.push import endpoints, subscriptions, wire
from payments import privacy
from tests.notifications.receiving import Browser, claims_of

from .conftest import FrontDoor

FCM = "https://fcm.googleapis.com/fcm/send/abc"
PUBLIC, INSIDE = "142.250.64.10", "169.254.169.254"
KEY = "f8lTkgTIJEu7mLIqQycN74OhLgXmf4MEbe7cKvf6Hac"
HOUR = timedelta(hours=1)
SOON = timedelta(seconds=10)
"""A run counts the seconds that it takes."""


@pytest.fixture(autouse=True)
def switched_on(settings: Any) -> None:
    settings.VAPID_PRIVATE_KEY = KEY
    settings.VAPID_SUBJECT = "mailto:ops@shop.example"
    settings.PUSH_SANDBOX_URL = ""


@pytest.fixture
def service(front_door: FrontDoor, settings: Any) -> FrontDoor:
    """A push service over plain HTTP, as the sandbox is one in development."""
    settings.PUSH_SANDBOX_URL = f"{front_door.url}/push"
    front_door.answers = [(201, "")]
    return front_door


@pytest.fixture
def browser() -> Browser:
    return Browser()


def subscribe(
    member: Member, endpoint: str, browser: Browser, now: datetime
) -> PushSubscription:
    return subscriptions.save(member.pk, endpoint, **browser.keys, now=now)


def remind(member: Member, now: datetime) -> Notification:
    message = Message(
        key=f"expire:{member.pk}:push",
        member_id=member.pk,
        kind="expiring",
        channel=Channel.PUSH,
        due_at=now,
        params={"end": now + 72 * HOUR, "link": "t0ken"},
        expires_at=now + 72 * HOUR,
    )
    messages.queue(message, now=now)
    return Notification.objects.get(key=message.key)


@pytest.fixture
def true_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end that the message names is not this file's subject."""
    monkeypatch.setitem(messages._still_true, "expiring", lambda *_, now: True)
    monkeypatch.setitem(messages._timely, "expiring", lambda *_, now: True)


def state_of(message: Notification) -> tuple[str, str]:
    message.refresh_from_db()
    return message.state, message.code


# --- The browser's agreement -----------------------------------------------------------


@pytest.fixture
def signed_in(member: Member) -> Client:
    client = Client()
    client.force_login(member, "members.staff.StaffBackend")
    return client


HOSTILE = [
    "http://169.254.169.254/latest",
    "http://fcm.googleapis.com/x",
    "https://127.0.0.1/x",
    "https://[::1]/x",
    "https://0x7f000001/x",
    "https://2130706433/x",
    "https://user@fcm.googleapis.com/x",
    "https://fcm.googleapis.com@169.254.169.254/x",
    "https://fcm.googleapis.com:8443/x",
    "https://fcm.googleapis.com.evil.example/x",
    "https://evilnotify.windows.com/x",
    "https://evil.example/fcm.googleapis.com",
    "https://fcm.googleapis.com\\@evil.example/x",
    "https://evil.example\\.notify.windows.com/x",
    "https://evil.example#.notify.windows.com/x",
    "https://fcm.googleapis.com/x\r\nX-Evil: 1",
    " https://fcm.googleapis.com/x",
    "https://ｆcm.googleapis.com/x",
    "file:///etc/passwd",
    "https://localhost/x",
    f"https://fcm.googleapis.com/{'x' * 2000}",
    "",
]


@pytest.mark.parametrize("endpoint", HOSTILE)
def test_a_hostile_endpoint_is_refused_with_words(
    signed_in: Client, browser: Browser, endpoint: str
) -> None:
    """security 78: at save."""
    answer = signed_in.post(reverse("push-on"), {"endpoint": endpoint, **browser.keys})
    assert answer.status_code == 422
    assert answer.json() == {"error": "不认识这个浏览器的推送服务"}
    assert not PushSubscription.objects.exists()


@pytest.mark.parametrize(
    "endpoint",
    [
        FCM,
        "https://updates.push.services.mozilla.com/wpush/v2/gAAA-_=",
        "https://wns2-par02p.notify.windows.com/w/?token=BQYAAA%2b%2f",
        "https://web.push.apple.com:443/QO",
    ],
)
def test_a_known_service_is_kept_once(
    signed_in: Client, member: Member, browser: Browser, endpoint: str
) -> None:
    for _ in range(2):
        answer = signed_in.post(
            reverse("push-on"), {"endpoint": endpoint, **browser.keys}
        )
        assert (answer.status_code, answer.content) == (204, b"")
    [kept] = member.push_subscriptions.all()
    assert (kept.endpoint, {"p256dh": kept.p256dh, "auth": kept.auth}) == (
        endpoint,
        browser.keys,
    )
    signed_in.post(reverse("push-off"), {"endpoint": endpoint})
    assert not PushSubscription.objects.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"p256dh": "AAAA"},
        {"auth": "AAAA"},
        {"p256dh": "BA" + "A" * 85},  # a point that is not on the curve
        {"auth": "不是密钥"},
        {"p256dh": ""},
    ],
)
def test_keys_that_are_none_are_refused(
    signed_in: Client, browser: Browser, change: dict[str, str]
) -> None:
    sent = {"endpoint": FCM, **browser.keys, **change}
    answer = signed_in.post(reverse("push-on"), sent)
    assert (answer.status_code, answer.json()) == (
        422,
        {"error": "浏览器给的密钥不对"},
    )
    assert not PushSubscription.objects.exists()


def test_it_takes_a_member_and_a_token(
    member: Member, browser: Browser, settings: Any
) -> None:
    sent = {"endpoint": FCM, **browser.keys}
    assert Client().post(reverse("push-on"), sent).status_code == 302
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(member, "members.staff.StaffBackend")
    assert careful.post(reverse("push-on"), sent).status_code == 403
    careful.handler.enforce_csrf_checks = False
    settings.VAPID_PRIVATE_KEY = ""
    assert careful.post(reverse("push-on"), sent).status_code == 404
    assert not PushSubscription.objects.exists()


def test_the_eleventh_browser_takes_the_place_of_the_oldest(
    member: Member, browser: Browser, now: datetime
) -> None:
    """security 78: at most ten."""
    for n in range(11):
        subscribe(member, f"{FCM}{n}", browser, now + n * HOUR)
    left = member.push_subscriptions.order_by("pk").values_list("endpoint", flat=True)
    assert list(left) == [f"{FCM}{n}" for n in range(1, 11)]


def test_a_browser_belongs_to_who_sits_at_it(
    member: Member, browser: Browser, now: datetime
) -> None:
    """Nobody else can take it away, and it never tells two people's reminders."""
    other = Member.objects.create_user("+8613900139000")
    subscribe(member, FCM, browser, now)
    assert not subscriptions.drop(other.pk, FCM)
    subscribe(other, FCM, browser, now)
    assert [each.member for each in PushSubscription.objects.all()] == [other]


def test_signing_out_forgets_this_browser_and_everywhere_all(
    signed_in: Client, member: Member, browser: Browser, now: datetime
) -> None:
    subscribe(member, f"{FCM}-other", browser, now)
    signed_in.post(reverse("push-on"), {"endpoint": FCM, **browser.keys})
    signed_in.post(reverse("logout"))
    [left] = member.push_subscriptions.all()
    assert left.endpoint == f"{FCM}-other"
    signin.end_all_sessions(member)
    assert not member.push_subscriptions.exists()


def test_whose_account_ends_is_told_nothing_more(
    member: Member, browser: Browser, now: datetime
) -> None:
    """I12: merged or erased, her browsers go with the account."""
    other = Member.objects.create_user("+8613900139000")
    subscribe(other, f"{FCM}-other", browser, now)
    merging.merge_locked(other, member, now=now)
    assert not PushSubscription.objects.exists()
    subscribe(member, FCM, browser, now)
    exported = privacy.export(member)["push_subscriptions"]
    assert [each["endpoint"] for each in exported] == [FCM]
    assert privacy.erase(member.pk, now=now)
    assert not PushSubscription.objects.exists()


# --- On its way ------------------------------------------------------------------------


@pytest.mark.usefixtures("true_for_ever")
def test_only_her_browser_can_read_it(
    member: Member, service: FrontDoor, browser: Browser, now: datetime
) -> None:
    """Path, headers and text; no phone is in it (S28)."""
    subscribe(member, f"{service.url}/push/one", browser, now)
    message = remind(member, now)
    outbox.run_due(now=now)
    [came] = service.received
    assert came.path == "/push/one"
    assert browser.read(came.body) == {
        "title": "会员 11 月 25 日 10:00 到期",
        "body": "点这里续费，剩余时间接着算",
        "path": "/s/t0ken/",
        "tag": "expiring",
    }
    wanted = {"ttl": "86400", "topic": "expiring", "content-encoding": "aes128gcm"}
    assert wanted.items() <= came.headers.items()
    claims, key = claims_of(came.headers["authorization"])
    assert claims.pop("exp") - (now + 12 * HOUR).timestamp() < 10
    assert claims == {"aud": service.url, "sub": "mailto:ops@shop.example"}
    assert key == push.public_key()
    assert state_of(message) == ("sent", "HTTP 201")
    [device] = member.push_subscriptions.all()
    assert device.last_success_at
    assert device.last_success_at - now < SOON
    outbox.run_due(now=now + HOUR)
    assert len(service.received) == 1


@pytest.mark.usefixtures("true_for_ever")
@pytest.mark.parametrize("status", [404, 410])
def test_a_browser_that_is_gone_is_forgotten(
    member: Member, service: FrontDoor, browser: Browser, now: datetime, status: int
) -> None:
    """FLT-32: and her other browser is told all the same."""
    service.answers = [(status, ""), (201, "")]
    gone = subscribe(member, f"{service.url}/push/gone", browser, now)
    kept = subscribe(member, f"{service.url}/push/kept", browser, now)
    message = remind(member, now)
    outbox.run_due(now=now)
    outbox.run_due(now=now + HOUR)
    assert [each.path for each in service.received] == ["/push/gone", "/push/kept"]
    assert list(member.push_subscriptions.all()) == [kept]
    assert gone.pk != kept.pk
    assert state_of(message) == ("sent", "HTTP 201")
    assert set(Outbox.objects.values_list("state", flat=True)) == {"done"}


@pytest.mark.usefixtures("true_for_ever")
@pytest.mark.parametrize(
    ("status", "headers", "pause"),
    [
        (429, {"Retry-After": "120"}, 120),
        (429, {"Retry-After": "999999"}, 3600),
        (429, {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, 60),
        (500, {}, 60),
        (503, {"Retry-After": "7"}, 7),
    ],
)
def test_a_busy_service_is_asked_again_later(
    member: Member,
    service: FrontDoor,
    browser: Browser,
    now: datetime,
    status: int,
    headers: dict[str, str],
    pause: int,
) -> None:
    """FLT-32"""
    service.answers, service.headers = [(status, ""), (201, "")], headers
    device = subscribe(member, f"{service.url}/push/one", browser, now)
    message = remind(member, now)
    outbox.run_due(now=now)
    row = Outbox.objects.get(kind=messages.PUSH_DEVICE)
    assert row.state == "new"
    assert timedelta() <= row.due_at - now - timedelta(seconds=pause) < SOON
    device.refresh_from_db()
    assert device.failures == 1
    service.headers = {}
    outbox.run_due(now=row.due_at)
    device.refresh_from_db()
    assert (device.failures, state_of(message)[0]) == (0, "sent")


@pytest.mark.usefixtures("true_for_ever")
@pytest.mark.parametrize("status", [400, 413, 302])
def test_what_is_never_taken_is_given_up_and_told(
    member: Member,
    service: FrontDoor,
    browser: Browser,
    now: datetime,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """FLT-32"""
    service.answers = [(status, "")]
    subscribe(member, f"{service.url}/push/one", browser, now)
    message = remind(member, now)
    with caplog.at_level(logging.ERROR):
        outbox.run_due(now=now)
    assert Outbox.objects.get(kind=messages.PUSH_DEVICE).state == "dead"
    assert f"HTTP {status}" in caplog.text
    assert service.url not in caplog.text
    assert state_of(message) == ("failed", f"HTTP {status}")


@pytest.mark.usefixtures("true_for_ever")
@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_is_not_accepted_alarms_an_operator(
    member: Member,
    service: FrontDoor,
    browser: Browser,
    now: datetime,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """FLT-32"""
    service.answers = [(status, "")]
    subscribe(member, f"{service.url}/push/one", browser, now)
    remind(member, now)
    with caplog.at_level(logging.ERROR):
        outbox.run_due(now=now)
    [alarm] = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "VAPID_PRIVATE_KEY" in alarm.getMessage()
    row = Outbox.objects.get(kind=messages.PUSH_DEVICE)
    assert row.state == "new"
    assert timedelta() <= row.due_at - now - timedelta(seconds=1800) < SOON
    assert member.push_subscriptions.count() == 1


@pytest.mark.usefixtures("true_for_ever")
def test_a_service_out_of_reach_ends_quietly_after_two_hours(
    member: Member,
    browser: Browser,
    now: datetime,
    nowhere: str,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """FLT-32: behind some borders it always is; no operator is called for it."""
    settings.PUSH_SANDBOX_URL = nowhere
    subscribe(member, f"{nowhere}/one", browser, now)
    message = remind(member, now)
    for minutes in range(0, 180, 5):
        outbox.run_due(now=now + timedelta(minutes=minutes))
    assert state_of(message) == ("failed", "no answer")
    row = Outbox.objects.get(kind=messages.PUSH_DEVICE)
    assert row.state == "done"
    assert 5 < row.tries < outbox.MAX_TRIES
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


def test_without_a_browser_there_is_nothing_to_do(
    member: Member, now: datetime, true_for_ever: None
) -> None:
    message = remind(member, now)
    outbox.run_due(now=now)
    assert state_of(message)[0] == "skipped"
    assert not Outbox.objects.filter(kind=messages.PUSH_DEVICE).exists()


# --- Whom we really call ---------------------------------------------------------------


@dataclass
class Far:
    """The network as a test says it is: names, and where connections really go."""

    port: int = 0
    names: list[list[str]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    called: list[tuple[str, int]] = field(default_factory=list)
    heard: list[tuple[str, str]] = field(default_factory=list)
    status: int = 201
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0


def certificate(host: str, folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate of its own authority, and the trust in it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    today = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    file = folder / "far.pem"
    file.write_bytes(
        pem
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return file, ssl.create_default_context(cadata=pem.decode())


@pytest.fixture
def far(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Far]:
    """A TLS server with the name of ``param`` in its certificate, behind every address
    that the code connects to; what it resolved and dialled is written down.
    """
    host = getattr(request, "param", "fcm.googleapis.com")
    world = Far(names=[[PUBLIC]])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            world.heard.append((self.headers["Host"], self.path))
            time.sleep(world.delay)
            self.send_response(world.status)
            for name, value in world.headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    file, trusted = certificate(host, tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    world.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    lookup, dial = socket.getaddrinfo, socket.create_connection

    def getaddrinfo(name: Any, *args: Any, **more: Any) -> Any:
        if name in ("127.0.0.1", PUBLIC):
            return lookup(name, *args, **more)
        world.asked.append(name)
        found = world.names.pop(0) if len(world.names) > 1 else world.names[0]
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 443)) for each in found
        ]

    def create_connection(address: tuple[str, int], *args: Any, **more: Any) -> Any:
        world.called.append(address)
        return dial(("127.0.0.1", world.port), *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket, "create_connection", create_connection)
    monkeypatch.setattr(wire, "trust", lambda: trusted)
    wire._client.cache_clear()
    yield world
    wire._client.cache_clear()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def canary() -> Iterator[list[str]]:
    """A server inside; whoever calls it is written down."""
    calls: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            calls.append(self.path)
            self.send_response(200)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    calls.append(f"http://127.0.0.1:{server.server_port}/")
    yield calls
    server.shutdown()
    thread.join()
    server.server_close()


def call() -> wire.Answer:
    return wire.post(FCM, headers={"TTL": "1"}, body=b"sealed")


def test_it_calls_the_address_that_was_judged(far: Far) -> None:
    """security 78: a second look at the name would have led inside (rebinding)."""
    far.names = [[PUBLIC], [INSIDE]]
    assert call() == wire.Answer(201)
    assert far.asked == ["fcm.googleapis.com"]
    assert far.called == [(PUBLIC, 443)]
    assert far.heard == [("fcm.googleapis.com", "/fcm/send/abc")]


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["10.1.2.3"],
        ["192.168.1.1"],
        [INSIDE],
        ["100.64.0.1"],
        ["0.0.0.0"],  # noqa: S104
        ["224.0.0.1"],
        ["::1"],
        ["fe80::1%eth0"],
        ["fd00::1"],
        ["::ffff:127.0.0.1"],
        ["64:ff9b::7f00:1"],
        ["2002:7f00:1::"],
        [PUBLIC, "127.0.0.1"],  # one bad one spoils them all
    ],
)
def test_a_name_that_leads_inside_is_not_called(far: Far, addresses: list[str]) -> None:
    """security 78: a host of the list that resolves to a private address."""
    far.names = [addresses]
    with pytest.raises(endpoints.Refused):
        call()
    assert far.called == []
    assert far.heard == []


def test_nobody_is_followed(far: Far, canary: list[str]) -> None:
    """security 78: a redirect at sending; the canary inside hears nothing."""
    [inside] = canary
    far.status, far.headers = 302, {"Location": inside}
    assert call().status == 302
    assert canary == [inside]
    assert len(far.called) == 1


@pytest.mark.parametrize("far", ["evil.example"], indirect=True)
def test_the_certificate_has_to_name_the_host(far: Far) -> None:
    with pytest.raises(wire.NoAnswer):
        call()
    assert far.called == [(PUBLIC, 443)]
    assert far.heard == []


def test_a_slow_service_costs_three_seconds_at_most(
    far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    """security 78; the limit is shortened here and counts the whole call."""
    assert wire.LIMIT_SECONDS == 3
    monkeypatch.setattr(wire, "LIMIT_SECONDS", 0.3)
    far.delay = 4.0
    began = time.monotonic()
    with pytest.raises(wire.NoAnswer):
        call()
    assert time.monotonic() - began < 3


def test_an_endpoint_of_the_database_is_judged_once_more(far: Far) -> None:
    """security 78: at delivery too, whatever came into the table."""
    with pytest.raises(endpoints.Refused):
        wire.post("https://evil.example/x", headers={}, body=b"")
    assert far.asked == []
    assert far.called == []


# --- Settings --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"VAPID_PRIVATE_KEY": ""}, "VAPID_PRIVATE_KEY: empty"),
        ({"VAPID_SUBJECT": ""}, "VAPID_SUBJECT: empty"),
        ({"VAPID_SUBJECT": "ops@shop.example"}, "VAPID_SUBJECT: neither"),
        ({"VAPID_PRIVATE_KEY": "c2hvcnQ"}, "VAPID_PRIVATE_KEY: no P-256"),
        ({"VAPID_PRIVATE_KEY": "-----BEGIN PRIVATE KEY-----"}, "VAPID_PRIVATE_KEY: no"),
        ({"PRODUCTION": True, "PUSH_SANDBOX_URL": "http://x"}, "PUSH_SANDBOX_URL"),
    ],
)
def test_half_a_configuration_is_named(
    settings: Any, change: dict[str, Any], named: str
) -> None:
    assert push.problems() == []
    for name, value in change.items():
        setattr(settings, name, value)
    [line] = [line for line in checks._broken() if "VAPID" in line or "PUSH" in line]
    assert line.startswith(named)
    assert KEY not in line


def test_without_a_key_it_is_off_and_healthy(settings: Any, member: Member) -> None:
    settings.VAPID_PRIVATE_KEY = settings.VAPID_SUBJECT = ""
    assert push.problems() == []
    assert subscriptions.offer(member.pk) is None


def test_production_knows_no_sandbox(settings: Any) -> None:
    settings.PUSH_SANDBOX_URL = "http://127.0.0.1:8001/push"
    endpoints.accept("http://127.0.0.1:8001/push/one/")
    settings.PRODUCTION = True
    with pytest.raises(endpoints.Refused):
        endpoints.accept("http://127.0.0.1:8001/push/one/")
