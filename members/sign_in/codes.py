"""One-time codes by text message: sent within limits, judged once (security 1–20)."""

from __future__ import annotations

import hmac
import logging
import re
import secrets
import unicodedata
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.db import transaction
from django.db.models import F

from members import limits, rules
from members.addresses import Client
from members.digests import digest
from members.limits import Limit
from members.models import HitLog, OneTimeCode, Purpose, ShopRules, Window
from notifications import sms

logger = logging.getLogger(__name__)

MINUTE, HOUR, DAY = 60, 3_600, 86_400
LONGEST_SECONDS = 10 * MINUTE
"""No code lives longer, whatever an operator sets (ASVS 6.5.5)."""
FOREVER = 3_650 * DAY
"""A run of wrong codes has no end by itself."""

_RUN = "run"
_CODE = re.compile(r"[0-9]{6}")
_SHOP_SENT = limits.key("codes-shop")
_SHOP_FAILURES = limits.key("failures-shop")
_SHOP_RIGHT = limits.key("right-shop")


@dataclass(frozen=True, slots=True)
class SentCode:
    """A code that may be typed until ``expires_at``; another one from ``resend_at``."""

    expires_at: datetime
    resend_at: datetime


class NotSent(Exception):
    """No code went out; the subclass says why."""


class TooMany(NotSent):
    """A limit is reached; nothing was sent and nothing counted.

    scope  whose limit: ``phone``, ``failures``, ``address``, ``network``, ``shop`` or
           ``provider``
    code   the code that this browser already has and may still type
    """

    def __init__(
        self, retry_after_seconds: int, scope: str, code: SentCode | None = None
    ) -> None:
        super().__init__(scope)
        self.retry_after_seconds = retry_after_seconds
        self.scope = scope
        self.code = code


class ChannelDown(NotSent):
    """The provider is in trouble. The limits stay counted.

    A code that it may have taken stays good; one that it surely refused is void.
    """


class Blocked(NotSent):
    """This phone gets no codes, until it is proved in another way."""


class Outcome(StrEnum):
    RIGHT = "right"
    WRONG = "wrong"
    EXPIRED = "expired"
    LOCKED = "locked"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a typed code was worth.

    tries_left  after WRONG; the code is void at 0
    retry_at    after LOCKED; None when time alone does not help
    code        the code that was sent to this browser, also when it is no longer good
    """

    outcome: Outcome
    tries_left: int = 0
    retry_at: datetime | None = None
    code: SentCode | None = None


def send(
    phone: str, purpose: Purpose, *, session_key: str, client: Client, now: datetime
) -> SentCode:
    """Send a new code, which replaces the older one of this phone and purpose.

    Counted before the provider is asked, in a transaction that ends before it. Looks up
    no member, so that a known phone and a fresh one take the same time (security 20).

    raises  TooMany, Blocked, ChannelDown
    """
    shop = rules.current()
    _refuse_after_failures(phone, client, shop, now)
    code = f"{secrets.randbelow(1_000_000):06}"
    with transaction.atomic(durable=True):
        refusal = limits.take_all(_sending(phone, client, shop, now), now=now)
        if refusal is None:
            row = _write(phone, purpose, code, session_key, shop, now)
    if refusal is not None:
        logger.warning("code not sent: limit of the %s", refusal.scope)
        known = live(phone, purpose, session_key=session_key, now=now)
        raise TooMany(refusal.retry_after, refusal.scope, known)
    outcome = sms.send_code(
        phone,
        code,
        minutes=max(1, _lifetime(shop) // MINUTE),
        purpose=purpose,
        message_id=f"code-{secrets.token_hex(8)}",
        now=now,
    )
    match outcome.result:
        case sms.Result.SENT:
            return _sent(row, shop)
        case sms.Result.UNKNOWN:
            raise ChannelDown
    row.delete()
    match outcome.result:
        case sms.Result.BAD_NUMBER:
            raise Blocked
        case sms.Result.RATE_LIMITED:
            raise TooMany(shop.code_resend_seconds, "provider")
    raise ChannelDown


def check(
    phone: str,
    purpose: Purpose,
    code: str,
    *,
    session_key: str,
    client: Client,
    now: datetime,
) -> Verdict:
    """Judge a typed code and spend it if it is right.

    Opens its own transaction and holds the phone's and the address's counters, so that
    of many parallel posts one is right. What is not right counts as a failure of the
    phone and the address; an expired code and what is not six digits do not, since
    neither could have been right. Once a limit is reached the right code is refused too.
    """
    shop = rules.current()
    typed = _clean(code)
    with transaction.atomic(durable=True):
        watched = _watching(phone, client, shop, now)
        run = _run(phone, shop)
        logs = limits.hold([limit.key for limit in (*watched, run)], now=now)
        refusal = limits.refused([run, *watched], logs, now=now)
        if refusal is not None:
            logger.warning("code not judged: limit of the %s", refusal.scope)
            waiting = timedelta(seconds=refusal.retry_after)
            return Verdict(
                Outcome.LOCKED,
                retry_at=None if refusal.scope == _RUN else now + waiting,
            )
        row = _newest(phone, purpose, session_key)
        verdict = _judge(row, typed, session_key, shop, now)
        if verdict.outcome is Outcome.RIGHT:
            logs[run.key].clear()
            limits.save([logs[run.key]])
            _count_for_shop(_SHOP_RIGHT, Window(HOUR, shop.codes_per_hour), now)
        elif typed and verdict.outcome is not Outcome.EXPIRED:
            guessed = [run] if verdict.outcome is Outcome.WRONG else []
            limits.count([*watched, *guessed], logs, now=now)
            _count_failure_for_shop(shop, now)
    return verdict


def live(
    phone: str, purpose: Purpose, *, session_key: str, now: datetime
) -> SentCode | None:
    """The code that this browser may still type."""
    shop = rules.current()
    row = _newest(phone, purpose, session_key)
    if row is None or not _usable(row, shop) or now >= row.expires_at:
        return None
    return _sent(row, shop)


def is_blocked(phone: str, *, now: datetime) -> bool:
    """Whether wrong codes in a row have closed this phone until a person opens it."""
    run = _run(phone, rules.current())
    return limits.refused([run], limits.peek([run.key]), now=now) is not None


def unblock(phone: str) -> None:
    """End the block after too many wrong codes in a row: she proved herself otherwise."""
    HitLog.objects.filter(key=limits.key("failures-run", phone)).delete()


def forget(*, now: datetime) -> int:
    """Delete codes and counters that no longer matter; return how many rows."""
    old = OneTimeCode.objects.filter(created_at__lt=now - timedelta(seconds=HOUR))
    return old.delete()[0] + limits.forget(now=now)


def _clean(text: str) -> str:
    """Six ASCII digits, or nothing; keyboards for Chinese write them full-width."""
    digits = "".join(unicodedata.normalize("NFKC", text[:32]).split())
    return digits if _CODE.fullmatch(digits) else ""


def _refuse_after_failures(
    phone: str, client: Client, shop: ShopRules, now: datetime
) -> None:
    """Send nothing that could not be used: the phone's tries are used up."""
    run = _run(phone, shop)
    by_phone, _ = _watching(phone, client, shop, now)
    logs = limits.peek([run.key, by_phone.key])
    if limits.refused([run], logs, now=now):
        logger.warning("code not sent: limit of the %s", _RUN)
        raise Blocked
    if refusal := limits.refused([by_phone], logs, now=now):
        logger.warning("code not sent: limit of the %s", refusal.scope)
        raise TooMany(refusal.retry_after, refusal.scope)


def _sending(
    phone: str, client: Client, shop: ShopRules, now: datetime
) -> tuple[Limit, ...]:
    """What one more code counts against: phone, address, network, the whole shop."""
    per_address = shop.codes_per_address_hour
    if _pumped(shop, now):
        per_address //= 2
    return (
        Limit(
            "phone",
            limits.key("codes-phone", phone),
            (
                Window(shop.code_resend_seconds, 1),
                Window(HOUR, shop.codes_per_phone_hour),
                Window(DAY, shop.codes_per_phone_day),
            ),
        ),
        Limit(
            "address",
            limits.key("codes-address", client.address),
            (Window(HOUR, per_address),),
        ),
        Limit(
            "network",
            limits.key("codes-network", client.network),
            (Window(HOUR, shop.codes_per_network_hour),),
        ),
        Limit(
            "shop",
            _SHOP_SENT,
            (Window(HOUR, shop.codes_per_hour), Window(DAY, shop.codes_per_day)),
            alarm=True,
        ),
    )


def _watching(
    phone: str, client: Client, shop: ShopRules, now: datetime
) -> tuple[Limit, Limit]:
    """What a wrong code counts against; tighter while the shop is sprayed (case 3)."""
    per_phone = shop.failures_per_phone_day
    sprayed = limits.peek([_SHOP_FAILURES])[_SHOP_FAILURES]
    if sprayed.count(_spray(shop), now=now) >= shop.failures_alarm:
        per_phone //= 2
    return (
        Limit(
            "failures",
            limits.key("failures-phone", phone),
            (Window(DAY, per_phone),),
        ),
        Limit(
            "address",
            limits.key("failures-address", client.address),
            (Window(10 * MINUTE, shop.failures_per_address),),
        ),
    )


def _run(phone: str, shop: ShopRules) -> Limit:
    """Wrong codes in a row, however long it takes. Only guesses at a code that this
    very browser asked for count, or anybody could block any phone for good."""
    return Limit(
        _RUN,
        limits.key("failures-run", phone),
        (Window(FOREVER, shop.failures_in_a_row),),
    )


def _spray(shop: ShopRules) -> Window:
    return Window(10 * MINUTE, shop.failures_alarm)


def _count_failure_for_shop(shop: ShopRules, now: datetime) -> None:
    if _count_for_shop(_SHOP_FAILURES, _spray(shop), now) == shop.failures_alarm:
        logger.error("wrong codes all over the shop: %s in 10 min", shop.failures_alarm)


def _count_for_shop(key: str, window: Window, now: datetime) -> int:
    log = limits.hold([key], now=now)[key]
    log.add(window, now=now)
    limits.save([log])
    return log.count(window, now=now)


def _pumped(shop: ShopRules, now: datetime) -> bool:
    """Many codes are sent and few are typed: somebody earns by the messages (case 14)."""
    hour = Window(HOUR, shop.codes_per_hour)
    logs = limits.peek([_SHOP_SENT, _SHOP_RIGHT])
    sent = logs[_SHOP_SENT].count(hour, now=now)
    right = logs[_SHOP_RIGHT].count(hour, now=now)
    if sent < shop.conversion_codes or right * 100 >= sent * shop.conversion_percent:
        return False
    if limits.take(limits.key("alarm-conversion"), [Window(HOUR, 1)], now) is None:
        logger.error("codes are not used: %s of %s in an hour", right, sent)
    return True


def _write(
    phone: str,
    purpose: Purpose,
    code: str,
    session_key: str,
    shop: ShopRules,
    now: datetime,
) -> OneTimeCode:
    OneTimeCode.objects.filter(phone=phone, purpose=purpose).delete()
    return OneTimeCode.objects.create(
        phone=phone,
        purpose=purpose,
        session_digest=digest("session", session_key),
        code_digest=_code_digest(phone, purpose, code, session_key),
        created_at=now,
        expires_at=now + timedelta(seconds=_lifetime(shop)),
    )


def _newest(phone: str, purpose: Purpose, session_key: str) -> OneTimeCode | None:
    """The code of this phone and purpose, if this very browser asked for it."""
    row = (
        OneTimeCode.objects.filter(phone=phone, purpose=purpose).order_by("-id").first()
    )
    if row is None or not session_key:
        return None
    ours = hmac.compare_digest(row.session_digest, digest("session", session_key))
    return row if ours else None


def _judge(
    row: OneTimeCode | None,
    typed: str,
    session_key: str,
    shop: ShopRules,
    now: datetime,
) -> Verdict:
    """Spend the code or a try of it, by conditional updates."""
    if row is None:
        return Verdict(Outcome.NONE)
    sent = _sent(row, shop)
    if not _usable(row, shop):
        return Verdict(Outcome.NONE, code=sent)
    if now >= row.expires_at:
        return Verdict(Outcome.EXPIRED, code=sent)
    still_good = OneTimeCode.objects.filter(
        pk=row.pk, spent_at=None, failures__lt=shop.code_tries
    )
    expected = _code_digest(row.phone, row.purpose, typed, session_key)
    if hmac.compare_digest(row.code_digest, expected):
        spent = still_good.update(spent_at=now)
        return Verdict(Outcome.RIGHT if spent else Outcome.NONE, code=sent)
    used = row.failures
    if typed:
        used += still_good.update(failures=F("failures") + 1)
    return Verdict(Outcome.WRONG, max(0, shop.code_tries - used), code=sent)


def _usable(row: OneTimeCode, shop: ShopRules) -> bool:
    return row.spent_at is None and row.failures < shop.code_tries


def _sent(row: OneTimeCode, shop: ShopRules) -> SentCode:
    return SentCode(
        expires_at=row.expires_at,
        resend_at=row.created_at + timedelta(seconds=shop.code_resend_seconds),
    )


def _lifetime(shop: ShopRules) -> int:
    return min(shop.code_seconds, LONGEST_SECONDS)


def _code_digest(phone: str, purpose: str, code: str, session_key: str) -> str:
    return digest("code", phone, purpose, code, session_key)
