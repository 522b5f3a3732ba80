"""``sweep`` and ``doctor``, and what they stand on: freshness and system checks."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from django.conf import settings as shop_settings
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.utils import timezone
from django.utils.module_loading import import_string
from redis import Redis

from kameng import clock, doctor, freshness
from kameng.clock import of_database
from kameng.doctor import Level
from kameng.models import JobRun
from members import rules
from members.models import Member, Passkey, Plan, ShopRules
from notifications.models import Outbox
from orders.models import Order, Status
from tests.goods.shelves import make_goods
from tests.shopping import Till

ROOT = Path(__file__).resolve().parents[2]
SCHEDULE = shop_settings.CELERY_BEAT_SCHEDULE
HOUR = timedelta(hours=1)


def command(*arguments: str) -> tuple[int, str]:
    """The exit code and what was said."""
    out = StringIO()
    try:
        call_command(*arguments, stdout=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


# --- Freshness ---------------------------------------------------------------------


def all_run(now: datetime) -> None:
    for name in SCHEDULE:
        freshness.note(name, now=now)


@pytest.mark.django_db
def test_a_job_is_stale_three_periods_and_two_minutes_after_its_last_run(
    now: datetime,
):
    all_run(now)
    assert freshness.of_sweeps(now=now) == "ok"
    patience = timedelta(seconds=3 * 5 + 120)  # the poll runs every five seconds
    assert freshness.of_sweeps(now=now + patience) == "ok"
    late = freshness.jobs(now=now + patience + timedelta(seconds=1))
    assert [job.name for job in late if job.stale] == ["poll-attempts", "run-outbox"]


@pytest.mark.django_db
def test_a_new_shop_has_until_the_first_run_was_due(now: datetime):
    recorded = MigrationRecorder.Migration.objects
    recorded.update(applied=now)
    assert freshness.of_sweeps(now=now + timedelta(minutes=2)) == "ok"
    found = freshness.jobs(now=now + HOUR)
    hourly = ["drop-old-imports", "forget-visits", "clear-sessions"]
    assert [job.name for job in found if not job.stale] == hourly
    assert all(job.finished_at is None for job in found)


@pytest.mark.django_db
def test_noting_a_run_is_one_statement_and_one_row(
    now: datetime, django_assert_num_queries: Any
):
    freshness.note("run-outbox", now=now)
    with django_assert_num_queries(1):
        freshness.note("run-outbox", now=now + HOUR)
    assert JobRun.objects.get().finished_at == now + HOUR


@pytest.mark.django_db
def test_readyz_says_whether_the_sweeps_are_fresh(client: Client):
    all_run(timezone.now())
    assert client.get("/readyz").json()["checks"]["sweeps"] == "ok"
    all_run(timezone.now() - 5 * HOUR)
    assert client.get("/readyz").json()["checks"]["sweeps"] == "stale"


@pytest.mark.django_db
@pytest.mark.parametrize(("off", "status"), [(59, 200), (61, 503), (-61, 503)])
def test_readyz_minds_a_clock_that_is_not_the_databases(
    client: Client, monkeypatch: pytest.MonkeyPatch, off: int, status: int
):
    """FLT-33"""
    theirs = timezone.now() + timedelta(seconds=off)
    monkeypatch.setattr(clock, "of_database", lambda: theirs)
    answer = client.get("/readyz")
    assert answer.status_code == status
    assert answer.json()["checks"]["clock"] == ("ok" if status == 200 else "astray")


# --- sweep -------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEDULE)
def test_every_scheduled_job_is_a_task_found_under_its_name(name: str):
    task = import_string(SCHEDULE[name]["task"])
    assert current_app.tasks[SCHEDULE[name]["task"]].name == task.name


@pytest.mark.django_db
def test_sweep_runs_every_job_once_in_order_and_notes_it():
    code, said = command("sweep")
    assert code == 0
    assert [line.split()[0] for line in said.splitlines()] == list(SCHEDULE)
    assert set(JobRun.objects.values_list("name", flat=True)) == set(SCHEDULE)
    assert freshness.of_sweeps(now=timezone.now()) == "ok"


@pytest.mark.django_db
def test_sweep_does_the_work(shop: None, member: Member):
    plan = Plan.objects.get(slug="temporary-7")
    now = timezone.now()
    order = Order.objects.create(
        no="A" * 26,
        client_token="t",
        member=member,
        plan=plan,
        unit_fen=1500,
        amount_fen=1500,
        seconds=plan.seconds,
        placed_at=now - HOUR,
        expires_at=now - HOUR / 2,
    )
    _, said = command("sweep")
    order.refresh_from_db()
    assert order.status == Status.EXPIRED
    [line] = [line for line in said.splitlines() if line.startswith("expire-orders")]
    assert "1 done" in line


@pytest.mark.django_db
def test_a_machine_whose_clock_is_ahead_runs_no_job(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """FLT-33, H10: nothing is expired, sent or debited too early."""
    theirs = timezone.now() - timedelta(minutes=10)
    monkeypatch.setattr(clock, "of_database", lambda: theirs)
    code, said = command("sweep")
    assert code == 2
    assert said.count("failed: Astray") == len(SCHEDULE)
    assert "+600 s off the database's" in caplog.text
    assert not JobRun.objects.exists()


@pytest.mark.django_db
def test_a_job_that_finds_too_much_at_once_stops_and_says_what_to_do(
    shop: None, member: Member, caplog: pytest.LogCaptureFixture
):
    """FLT-33: the clock of everything is a day ahead; the other jobs run."""
    ShopRules.objects.update(expired_at_once=0)
    rules.forget()
    order = Till(timezone.now() - timedelta(days=1)).place(member)
    code, said = command("sweep")
    assert code == 2
    assert "expire-orders        failed: TooMuch" in said
    assert "look at the clock" in caplog.text
    order.refresh_from_db()
    assert order.status == Status.PENDING
    noted = set(JobRun.objects.values_list("name", flat=True))
    assert noted == set(SCHEDULE) - {"expire-orders"}


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "postgresql", reason="its clock is ours")
def test_postgresql_is_asked_for_its_time():
    theirs = of_database()
    assert theirs is not None
    assert abs(timezone.now() - theirs) < timedelta(seconds=5)


@pytest.mark.django_db
def test_one_broken_job_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def fail(*, now: datetime) -> int:
        raise ZeroDivisionError("13800138000")

    monkeypatch.setattr("payments.polling.expire_due", fail)
    code, said = command("sweep")
    assert code == 2
    assert "expire-orders        failed: ZeroDivisionError" in said
    assert "13800138000" not in said
    assert "expire-orders" in caplog.text
    noted = set(JobRun.objects.values_list("name", flat=True))
    assert noted == set(SCHEDULE) - {"expire-orders"}


# --- doctor ------------------------------------------------------------------------


def lines(subject: str) -> list[tuple[str, str]]:
    """What the doctor says about one subject."""
    return [
        (line.level.value, line.words)
        for line in doctor.examine(now=timezone.now())
        if line.subject == subject
    ]


@pytest.fixture
def running(db: None) -> None:
    """The periodic jobs have just run."""
    all_run(timezone.now())


@pytest.mark.usefixtures("running")
def test_the_doctor_is_content_with_a_running_shop():
    code, said = command("doctor")
    assert code == 0, said
    assert said.splitlines()[-1] == "healthy"
    assert {line.split()[1] for line in said.splitlines()[:-1]} >= {
        "settings",
        "secrets",
        "database",
        "migrations",
        "jobs",
        "outbox",
        "broker",
        "gateways",
        "sms",
        "real-names",
    }


@pytest.mark.usefixtures("running")
def test_the_doctor_speaks_json(settings: Any):
    settings.SECRET_KEY = "short"
    code, said = command("doctor", "--json")
    report = json.loads(said)
    assert code == 2
    assert report["healthy"] is False
    assert [line for line in report["lines"] if line["level"] == "problem"] == [
        {
            "subject": "secrets",
            "level": "problem",
            "words": "SECRET_KEY is too short to be random",
        }
    ]


@pytest.mark.usefixtures("running")
def test_it_prints_no_secret(settings: Any, private_key: str):
    secrets = {
        "SECRET_KEY": "canary-" * 10,
        "SECRET_KEY_FALLBACKS": ["older-canary-" * 9],
        "DATA_KEYS": ["data-canary-" * 9, "canary"],
        "ALIPAY_APP_ID": "2021",
        "ALIPAY_SELLER_ID": "2088",
        "ALIPAY_APP_PRIVATE_KEY": private_key,
        "ALIPAY_PUBLIC_KEY": "broken-canary",
        "WECHAT_PAY_API_V3_KEY": "canary" * 6,
        "REDIS_URL": "redis://:canary@127.0.0.1:1/0",
        "TENCENT_SMS_SECRET_KEY": "canary",
    }
    for name, value in secrets.items():
        setattr(settings, name, value)
    code, said = command("doctor")
    assert code == 2
    assert "canary" not in said
    assert private_key[:40] not in said
    assert "DATA_KEYS is too short" in said
    assert "ALIPAY_PUBLIC_KEY: " in said


@pytest.mark.usefixtures("running")
def test_it_names_staff_without_a_second_factor(settings: Any):
    """security 66: and says how it is enrolled; closed accounts need none."""
    for name, active in (("kefu", True), ("gone", False)):
        Member.objects.create(username=name, is_staff=True, is_active=active)
    words = "no second factor: kefu; manage.py staff enrol NAME prints the link"
    assert lines("staff") == [("note", words)]
    settings.PRODUCTION = True
    assert lines("staff") == [("problem", words)]
    Passkey.objects.create(
        member=Member.objects.get(username="kefu"),
        credential_id="x",
        user_handle="x",
        public_key=b"x",
        name="x",
    )
    assert lines("staff") == [("ok", "every open account has a second factor")]


@pytest.mark.usefixtures("running")
def test_it_says_that_nobody_can_open_the_console():
    assert lines("staff") == [("note", "no account; nobody can open the console")]


@pytest.mark.django_db
def test_it_names_the_jobs_that_do_not_run():
    all_run(timezone.now() - 5 * HOUR)
    freshness.note("expire-orders", now=timezone.now())
    found = lines("jobs")
    assert {level for level, _ in found} == {"problem"}
    assert len(found) == len(SCHEDULE) - 1
    assert "300 min ago" in found[0][1]


@pytest.mark.django_db
def test_it_tells_of_an_outbox_that_lags_or_gave_up():
    now = timezone.now()
    Outbox.objects.create(key="a", kind="sms", due_at=now - HOUR)
    Outbox.objects.create(key="b", kind="refund.send", due_at=now, state="dead")
    assert [(level, words.split(",")[0]) for level, words in lines("outbox")] == [
        ("problem", "1 late"),
        ("problem", "1 given up"),
    ]


@pytest.mark.django_db
def test_it_says_what_is_not_sold_while_nobody_verifies_names(settings: Any):
    """S22: an empty setting takes what asks for a name off the shelf, with words."""
    settings.REAL_NAME_PROVIDER = ""
    assert [level for level, _ in lines("real-names")] == ["ok"]
    make_goods(real_name_from_fen=1)
    make_goods(real_name_from_fen=1, enabled=False)
    [(level, words)] = lines("real-names")
    assert level == "problem"
    assert "REAL_NAME_PROVIDER is empty: 1 goods and tiers" in words
    settings.REAL_NAME_PROVIDER = "sandbox"
    assert [level for level, _ in lines("real-names")] == ["note"]
    settings.REAL_NAME_PROVIDER = "tencent"
    assert [words.partition(":")[0] for _, words in lines("real-names")] == [
        "TENCENT_FACEID_SECRET_ID",
        "TENCENT_FACEID_SECRET_KEY",
    ]


@pytest.mark.django_db
def test_it_names_migrations_that_were_not_applied():
    assert lines("migrations") == [("ok", "all applied")]
    MigrationRecorder.Migration.objects.filter(app="kameng").delete()
    [(level, words)] = lines("migrations")
    assert level == "problem"
    assert "kameng.0001_initial" in words


@pytest.fixture
def policy() -> Iterator[Any]:
    """Sets maxmemory-policy of the tests' broker."""
    with Redis.from_url(shop_settings.REDIS_URL) as broker:
        kept = broker.config_get("maxmemory-policy")
        yield lambda value: broker.config_set("maxmemory-policy", value)
        broker.config_set("maxmemory-policy", kept["maxmemory-policy"])


@pytest.mark.django_db
def test_a_broker_that_evicts_is_a_problem(policy: Any):
    """FLT-14"""
    policy("noeviction")
    assert lines("broker") == [("ok", "answers; maxmemory-policy is noeviction")]
    policy("allkeys-lru")
    [(level, words)] = lines("broker")
    assert level == "problem"
    assert words.startswith("maxmemory-policy is allkeys-lru, must be noeviction")


@pytest.mark.django_db
@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "nonsense"])
def test_a_broker_that_does_not_answer_is_a_problem(settings: Any, url: str):
    settings.REDIS_URL = url
    [(level, words)] = lines("broker")
    assert level == "problem"
    assert words.startswith("REDIS_URL does not answer")


@pytest.mark.django_db
def test_it_says_what_sqlite_costs():
    [(level, words)] = lines("database")
    sqlite = connection.vendor == "sqlite"
    assert level == ("note" if sqlite else "ok")
    assert words.startswith("SQLite" if sqlite else "PostgreSQL")


@pytest.mark.django_db
def test_a_database_that_fails_is_a_line_and_not_the_end(
    monkeypatch: pytest.MonkeyPatch,
):
    def fail(**_: object) -> None:
        raise DatabaseError

    monkeypatch.setattr(freshness, "jobs", fail)
    assert lines("jobs") == [("problem", "the database fails: DatabaseError")]
    assert lines("sms")


@pytest.mark.django_db
def test_production_makes_problems_of_what_development_only_notes(settings: Any):
    settings.PUBLIC_URL = "http://shop.example"
    settings.PUBLIC_HOST = "shop.example"
    settings.ALLOWED_HOSTS = ["*"]
    subjects = ("settings", "secrets", "django", "gateways")
    before = {level for subject in subjects for level, _ in lines(subject)}
    assert before <= {"ok", "note"}
    settings.PRODUCTION = True
    for subject in subjects:
        assert Level.PROBLEM in [level for level, _ in lines(subject)], subject
    settings.ALLOWED_HOSTS = ["other.example"]
    assert ("problem", "ALLOWED_HOSTS lacks PUBLIC_URL's host") in lines("settings")


@pytest.mark.django_db
def test_a_folder_that_cannot_be_written_is_a_problem(settings: Any, tmp_path: Path):
    assert lines("files") == [("ok", "var/ is writable")]
    settings.VAR = tmp_path / "nowhere"
    assert lines("files") == [("problem", "var/: No such file or directory")]


# --- The outside -------------------------------------------------------------------


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65_537, 2048)


@pytest.fixture(scope="module")
def private_key(rsa_key: rsa.RSAPrivateKey) -> str:
    return base64.b64encode(
        rsa_key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    ).decode()


@pytest.fixture(scope="module")
def public_key(rsa_key: rsa.RSAPrivateKey) -> str:
    return base64.b64encode(
        rsa_key.public_key().public_bytes(
            serialization.Encoding.DER,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        )
    ).decode()


@pytest.fixture
def alipay(settings: Any, private_key: str, public_key: str) -> Any:
    """Alipay is on, at an address where nobody listens."""
    settings.ALIPAY_GATEWAY_URL = "http://127.0.0.1:1/gateway.do"
    settings.ALIPAY_APP_ID = "2021"
    settings.ALIPAY_SELLER_ID = "2088"
    settings.ALIPAY_APP_PRIVATE_KEY = private_key
    settings.ALIPAY_PUBLIC_KEY = public_key
    return settings


def certificate(key: rsa.RSAPrivateKey, *, days: int) -> str:
    now = timezone.now()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tenpay")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    made = made.public_key(key.public_key()).serial_number(0xBEEF)
    made = made.not_valid_before(now - timedelta(days=400))
    made = made.not_valid_after(now + timedelta(days=days, hours=1))
    signed = made.sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture
def wechat(settings: Any, private_key: str, rsa_key: rsa.RSAPrivateKey) -> Any:
    """WeChat Pay in certificate mode, the certificate good for a hundred days."""
    settings.WECHAT_PAY_BASE_URL = "http://127.0.0.1:1"
    settings.WECHAT_PAY_APP_ID = "wx1"
    settings.WECHAT_PAY_MCH_ID = "1900"
    settings.WECHAT_PAY_SERIAL_NO = "5157"
    settings.WECHAT_PAY_PRIVATE_KEY = private_key
    settings.WECHAT_PAY_API_V3_KEY = "3" * 32
    settings.WECHAT_PAY_PLATFORM_CERTS = certificate(rsa_key, days=100)
    return settings


@pytest.mark.django_db
def test_it_counts_the_days_of_a_platform_certificate(
    wechat: Any, rsa_key: rsa.RSAPrivateKey
):
    expected = "WECHAT_PAY_PLATFORM_CERTS BEEF: 100 days left"
    assert lines("certificates") == [("ok", expected)]
    assert lines("gateways") == [("ok", "wechat: on")]
    wechat.WECHAT_PAY_PLATFORM_CERTS = certificate(rsa_key, days=3)
    [(level, words), _] = lines("gateways")
    assert level == "problem"
    assert "expires on" in words


@pytest.mark.django_db
def test_half_a_gateway_is_a_problem_that_names_what_is_missing(alipay: Any):
    alipay.ALIPAY_SELLER_ID = ""
    assert ("problem", "ALIPAY_SELLER_ID: is missing") in lines("gateways")


@pytest.mark.django_db
def test_a_gateway_that_cannot_be_reached_is_a_problem(alipay: Any):
    found = [words for level, words in lines("clock") if level == "problem"]
    assert found == ["alipay cannot be asked for the time: ConnectError"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("ahead", "level", "words"),
    [
        (0, "ok", "agrees with alipay's"),
        (-3600, "problem", "3600 s ahead of alipay's"),
        (3600, "problem", "3600 s behind alipay's"),
    ],
)
def test_it_compares_its_clock_with_the_gateways(
    alipay: Any, ahead: int, level: str, words: str
):
    class Clock(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            there = timezone.now() + timedelta(seconds=ahead)
            self.send_response_only(404)
            self.send_header("Date", format_datetime(there, usegmt=True))
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Clock)
    thread = threading.Thread(target=server.handle_request)
    thread.start()
    alipay.ALIPAY_GATEWAY_URL = f"http://127.0.0.1:{server.server_port}/gateway.do"
    found = lines("clock")[-1]
    thread.join()
    server.server_close()
    seconds = words.split()[0]
    assert found[0] == level
    assert found[1].split(" s ")[-1] == words.split(" s ")[-1]
    if seconds.isdigit():
        assert abs(int(found[1].split()[0]) - int(seconds)) <= 2


@pytest.mark.django_db
def test_it_compares_its_clock_with_the_databases():
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has no clock of its own")
    assert ("ok", "agrees with the database's") in lines("clock")


# --- By hand -----------------------------------------------------------------------


def by_hand(
    environ: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST", "DJANGO"))
    }
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=clean | environ,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_commands_need_no_broker(tmp_path: Path):
    """H5: cron and a database carry the shop."""
    environ = {
        "DATABASE_URL": f"sqlite:///{tmp_path / 'db.sqlite3'}",
        "REDIS_URL": "redis://127.0.0.1:1/0",
    }
    migrated = by_hand(environ, "migrate", "--verbosity", "0")
    assert migrated.returncode == 0, migrated.stderr
    swept = by_hand(environ, "sweep")
    assert swept.returncode == 0, swept.stdout + swept.stderr
    assert len(swept.stdout.splitlines()) == len(SCHEDULE)
    assert by_hand(environ, "audit").returncode == 0
    examined = by_hand(environ, "doctor")
    assert examined.returncode == 2
    problems = [
        line for line in examined.stdout.splitlines() if line.startswith("problem")
    ]
    named = {line.split()[1] for line in problems}
    # A shop that ran here before has left a sandbox, which answers nobody now.
    assert named - {"clock"} == {"broker"}


def test_in_production_broken_keys_stop_every_command_and_are_named(tmp_path: Path):
    environ = {
        "KAMENG_ENV": "production",
        "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP",
        "DATA_KEYS": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP",
        "PUBLIC_URL": "https://shop.example",
        "DATABASE_URL": f"sqlite:///{tmp_path / 'db.sqlite3'}",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "SMS_PROVIDER": "aliyun",
        "ALIPAY_APP_ID": "2021",
        "ALIPAY_APP_PRIVATE_KEY": "no key",
    }
    started = by_hand(environ, "migrate")
    assert started.returncode == 1
    for name in ("ALIPAY_SELLER_ID", "ALIPAY_PUBLIC_KEY", "ALIYUN_SMS_SIGN_NAME"):
        assert f"{name}: " in started.stderr
    assert "Applying" not in started.stdout
