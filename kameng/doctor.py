"""What stands in the way of a healthy shop on this machine, one line a subject.

Nothing here changes anything, and no line holds a secret: settings are named, never
quoted.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum

from django.conf import settings
from django.core.checks import WARNING, run_checks
from django.db import Error as DatabaseError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http.request import validate_host
from django.utils import timezone
from redis import Redis
from redis.exceptions import RedisError

from goods.models import Goods
from kameng import clock, embedded, freshness
from members.models import Member, Tier
from members.real_name import providers
from notifications import outbox, push, sms
from payments import gateways
from payments.gateways import keys

SKEW = timedelta(seconds=10)
"""Gateways refuse time stamps minutes off; an order's last moments are 90 seconds."""
PATIENCE = 3.0
"""Seconds to wait for the broker and for each gateway."""
SECRET_KEY_LENGTH, DATA_KEY_LENGTH = 50, 32


class Level(StrEnum):
    OK = "ok"
    NOTE = "note"  # worth knowing; nothing to do
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Line:
    subject: str
    level: Level
    words: str


type Examination = Callable[[datetime], Iterator[Line]]
EXAMINATIONS: list[tuple[str, Examination]] = []


def examination(subject: str) -> Callable[[Examination], Examination]:
    def register(examine: Examination) -> Examination:
        EXAMINATIONS.append((subject, examine))
        return examine

    return register


def examine(*, now: datetime) -> Iterator[Line]:
    """Every finding, good and bad, as it is made."""
    for subject, each in EXAMINATIONS:
        try:
            yield from each(now)
        except DatabaseError as error:
            yield Line(
                subject, Level.PROBLEM, f"the database fails: {type(error).__name__}"
            )


def _only_in_production() -> Level:
    """A machine for development may do without."""
    return Level.PROBLEM if settings.PRODUCTION else Level.NOTE


# --- Settings ----------------------------------------------------------------------


@examination("settings")
def _settings(now: datetime) -> Iterator[Line]:
    yield Line("settings", Level.OK, f"KAMENG_ENV is {settings.KAMENG_ENV}")
    if settings.PUBLIC_URL.startswith("https://"):
        yield Line("settings", Level.OK, f"PUBLIC_URL is {settings.PUBLIC_URL}")
    else:
        yield Line("settings", _only_in_production(), "PUBLIC_URL is not https")
    if "*" in settings.ALLOWED_HOSTS:
        yield Line("settings", _only_in_production(), "ALLOWED_HOSTS allows any host")
    elif not validate_host(settings.PUBLIC_HOST, settings.ALLOWED_HOSTS):
        yield Line("settings", Level.PROBLEM, "ALLOWED_HOSTS lacks PUBLIC_URL's host")


@examination("secrets")
def _secrets(now: datetime) -> Iterator[Line]:
    short = []
    if len(settings.SECRET_KEY) < SECRET_KEY_LENGTH:
        short.append("SECRET_KEY")
    if any(len(key) < DATA_KEY_LENGTH for key in settings.DATA_KEYS):
        short.append("DATA_KEYS")
    for name in short:
        yield Line("secrets", Level.PROBLEM, f"{name} is too short to be random")
    made_up = [
        name for name in ("SECRET_KEY", "DATA_KEYS") if not embedded.is_named(name)
    ]
    if made_up:
        names = " and ".join(made_up)
        words = f"{names}: not set, so every process makes its own"
        yield Line("secrets", _only_in_production(), words)
    if not short:
        count = len(settings.DATA_KEYS)
        yield Line("secrets", Level.OK, f"SECRET_KEY and {count} of DATA_KEYS are long")


@examination("django")
def _django(now: datetime) -> Iterator[Line]:
    """Django's own deployment checks; ours have lines of their own below."""
    found = [
        message
        for message in run_checks(include_deployment_checks=True)
        if message.level >= WARNING
        and not (message.id or "").startswith("kameng.")
        and not message.is_silenced()
    ]
    if found and not settings.PRODUCTION:
        ids = ", ".join(str(message.id) for message in found)
        yield Line("django", Level.NOTE, f"not fit for deployment: {ids}")
        return
    for message in found:
        first_sentence = " ".join(str(message.msg).split()).partition(". ")[0]
        yield Line("django", Level.PROBLEM, f"{message.id}: {first_sentence}")
    if not found:
        yield Line("django", Level.OK, "all deployment checks pass")


@examination("files")
def _files(now: datetime) -> Iterator[Line]:
    try:
        with tempfile.TemporaryFile(dir=settings.VAR):
            yield Line("files", Level.OK, "var/ is writable")
    except OSError as error:
        yield Line("files", Level.PROBLEM, f"var/: {error.strerror}")


# --- Database ----------------------------------------------------------------------


@examination("database")
def _database(now: datetime) -> Iterator[Line]:
    connection.ensure_connection()
    version = ".".join(str(part) for part in connection.get_database_version())
    if connection.vendor != "sqlite":
        yield Line("database", Level.OK, f"{connection.display_name} {version}")
        return
    yield Line(
        "database",
        Level.NOTE,
        f"SQLite {version}: one machine, one writer at a time, no failover; copy the "
        "file with its own .backup command. PostgreSQL carries a shop that grows",
    )


@examination("migrations")
def _migrations(now: datetime) -> Iterator[Line]:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        names = ", ".join(f"{step.app_label}.{step.name}" for step, _ in plan[:3])
        yield Line("migrations", Level.PROBLEM, f"{len(plan)} not applied: {names}")
    else:
        yield Line("migrations", Level.OK, "all applied")


@examination("staff")
def _staff(now: datetime) -> Iterator[Line]:
    """In production a password alone opens nothing, so such an account works for nobody."""
    staff = Member.objects.filter(is_staff=True, is_active=True).order_by("username")
    without = list(staff.filter(passkeys=None).values_list("username", flat=True))
    if without:
        names = ", ".join(str(name) for name in without)
        words = f"no second factor: {names}; manage.py staff enrol NAME prints the link"
        yield Line("staff", _only_in_production(), words)
    elif staff.exists():
        yield Line("staff", Level.OK, "every open account has a second factor")
    else:
        words = "no account; nobody can open the console"
        yield Line("staff", _only_in_production(), words)


@examination("jobs")
def _jobs(now: datetime) -> Iterator[Line]:
    found = freshness.jobs(now=now)
    for job in found:
        if job.stale:
            when = _ago(job.finished_at, now) if job.finished_at else "never"
            yield Line("jobs", Level.PROBLEM, f"{job.name} last finished: {when}")
    if not any(job.stale for job in found):
        yield Line("jobs", Level.OK, f"all {len(found)} run in time")


@examination("outbox")
def _outbox(now: datetime) -> Iterator[Line]:
    found = outbox.status(now=now)
    if found.late and found.oldest_due_at:
        oldest = _ago(found.oldest_due_at, now)
        yield Line("outbox", Level.PROBLEM, f"{found.late} late, due since {oldest}")
    for kind, rows in found.dead.items():
        yield Line("outbox", Level.PROBLEM, f"{rows} given up, of kind {kind}")
    if not found.late and not found.dead:
        yield Line("outbox", Level.OK, f"{found.due} due, none late or given up")


def _ago(at: datetime, now: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC, {int((now - at).total_seconds()) // 60} min ago"


# --- The outside -------------------------------------------------------------------


@examination("broker")
def _broker(now: datetime) -> Iterator[Line]:
    try:
        with Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
        ) as broker:
            memory = broker.info("memory")
    except (RedisError, OSError, ValueError) as error:
        words = f"REDIS_URL does not answer: {type(error).__name__}"
        yield Line("broker", Level.PROBLEM, words)
        return
    policy = memory.get("maxmemory_policy")
    if policy == "noeviction":
        yield Line("broker", Level.OK, "answers; maxmemory-policy is noeviction")
    else:
        words = f"maxmemory-policy is {policy}, must be noeviction: tasks may vanish"
        yield Line("broker", Level.PROBLEM, words)


@examination("gateways")
def _gateways(now: datetime) -> Iterator[Line]:
    for line in gateways.problems(now=now):
        yield Line("gateways", Level.PROBLEM, line)
    on = [gateway.code for gateway in gateways.available()]
    if on:
        yield Line("gateways", Level.OK, f"{', '.join(on)}: on")
    else:
        yield Line("gateways", _only_in_production(), "none is on; nobody can pay")


@examination("certificates")
def _certificates(now: datetime) -> Iterator[Line]:
    bundle = settings.WECHAT_PAY_PLATFORM_CERTS
    try:
        certificates = keys.load_certificates(bundle) if bundle else []
    except keys.BadKey:
        return  # the gateway's own problem names it
    for certificate in certificates:
        days = (certificate.not_valid_after_utc - now).days
        if days >= 0:
            words = f"WECHAT_PAY_PLATFORM_CERTS {certificate.serial_number:X}"
            yield Line("certificates", Level.OK, f"{words}: {days} days left")


@examination("sms")
def _sms(now: datetime) -> Iterator[Line]:
    found = sms.problems()
    for line in found:
        yield Line("sms", Level.PROBLEM, line)
    if not found:
        level = Level.NOTE if settings.SMS_PROVIDER == "sandbox" else Level.OK
        yield Line("sms", level, f"SMS_PROVIDER is {settings.SMS_PROVIDER}")


@examination("real-names")
def _real_names(now: datetime) -> Iterator[Line]:
    """Who verifies names, and what cannot be bought while nobody does."""
    found = providers.problems()
    for line in found:
        yield Line("real-names", Level.PROBLEM, line)
    asking = sum(
        model.objects.filter(enabled=True, real_name_from_fen__isnull=False).count()
        for model in (Goods, Tier)
    )
    chosen = settings.REAL_NAME_PROVIDER
    if chosen and not found:
        level = Level.NOTE if chosen == "sandbox" else Level.OK
        words = f"REAL_NAME_PROVIDER is {chosen}; {asking} goods and tiers ask"
        yield Line("real-names", level, words)
    elif asking and not chosen:
        words = (
            f"REAL_NAME_PROVIDER is empty: {asking} goods and tiers that ask for a "
            "verified name are sold to nobody new"
        )
        yield Line("real-names", Level.PROBLEM, words)
    elif not chosen:
        words = "REAL_NAME_PROVIDER is empty, and nothing asks for a verified name"
        yield Line("real-names", Level.OK, words)


@examination("push")
def _push(now: datetime) -> Iterator[Line]:
    found = push.problems()
    for line in found:
        yield Line("push", Level.PROBLEM, line)
    if not found:
        level = Level.OK if push.is_on() else Level.NOTE
        words = "is on" if push.is_on() else "is off: VAPID_PRIVATE_KEY is empty"
        yield Line("push", level, f"web push {words}")


@examination("clock")
def _clock(now: datetime) -> Iterator[Line]:
    """Compare this machine's clock with the database's and the gateways'."""
    asked_at = timezone.now()
    if (theirs := clock.of_database()) is not None:
        yield _skew("the database's", theirs, asked_at)
    for gateway in gateways.available():
        yield _clock_of(gateway.code, gateway.origins[0])


def _clock_of(code: str, url: str) -> Line:
    """By the Date header of whatever answer the gateway gives to a bare request."""
    import httpx

    asked_at = timezone.now()
    try:
        answer = httpx.head(url, timeout=PATIENCE, trust_env=False)
        theirs = parsedate_to_datetime(answer.headers["Date"])
    except (httpx.HTTPError, KeyError, ValueError) as error:
        words = f"{code} cannot be asked for the time: {type(error).__name__}"
        return Line("clock", Level.PROBLEM, words)
    return _skew(f"{code}'s", theirs, asked_at)


def _skew(whose: str, theirs: datetime, asked_at: datetime) -> Line:
    ours = asked_at + (timezone.now() - asked_at) / 2
    seconds = round((ours - theirs).total_seconds())
    level = Level.PROBLEM if abs(ours - theirs) > SKEW else Level.OK
    if abs(seconds) <= 1:
        return Line("clock", level, f"agrees with {whose}")
    ahead = "ahead of" if seconds > 0 else "behind"
    return Line("clock", level, f"{abs(seconds)} s {ahead} {whose}")
