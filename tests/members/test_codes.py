from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from members import rules
from members.addresses import Client
from members.models import HitLog, Member, OneTimeCode, Purpose, ShopRules
from members.sign_in import codes
from members.sign_in.codes import Outcome, SentCode, Verdict
from notifications.sms import Result
from tests.members.edge import OTHER_PHONE, PHONE, Inbox, at_once, client_at

HOUR = 3_600
DAY = 24 * HOUR
SESSION = "browser-one"
HERE = client_at("203.0.113.7")

pytestmark = pytest.mark.django_db


def after(now: datetime, seconds: float) -> datetime:
    return now + timedelta(seconds=seconds)


def send(
    now: datetime,
    phone: str = PHONE,
    *,
    purpose: Purpose = Purpose.LOGIN,
    session: str = SESSION,
    client: Client = HERE,
) -> SentCode:
    return codes.send(phone, purpose, session_key=session, client=client, now=now)


def check(
    code: str,
    now: datetime,
    phone: str = PHONE,
    *,
    purpose: Purpose = Purpose.LOGIN,
    session: str = SESSION,
    client: Client = HERE,
) -> Verdict:
    return codes.check(
        phone, purpose, code, session_key=session, client=client, now=now
    )


def try_to_send(
    now: datetime, phone: str = PHONE, client: Client = HERE
) -> str | codes.NotSent:
    """``sent`` or the refusal; a minute's rest between two is the caller's affair."""
    try:
        send(now, phone, client=client)
    except codes.NotSent as refusal:
        return refusal
    return "sent"


def rule(**changes: int) -> None:
    ShopRules.objects.update_or_create(pk=1, defaults=changes)
    rules.forget()


# One code


def test_a_right_code_is_right_once(now: datetime, inbox: Inbox) -> None:
    """security 4"""
    send(now)
    assert check(inbox.code(), now).outcome is Outcome.RIGHT
    assert check(inbox.code(), now).outcome is Outcome.NONE
    assert check(inbox.code(), now, session="another").outcome is Outcome.NONE


def test_the_sixth_try_is_refused_even_when_right(now: datetime, inbox: Inbox) -> None:
    """security 1"""
    send(now)
    verdicts = [check(inbox.wrong_code(), now) for _ in range(5)]
    assert [v.outcome for v in verdicts] == [Outcome.WRONG] * 5
    assert [v.tries_left for v in verdicts] == [4, 3, 2, 1, 0]
    assert check(inbox.code(), now).outcome is Outcome.NONE
    assert OneTimeCode.objects.get().spent_at is None
    send(after(now, 61))
    assert check(inbox.code(), after(now, 61)).outcome is Outcome.RIGHT


def test_a_code_for_one_phone_is_none_for_another(now: datetime, inbox: Inbox) -> None:
    """security 6: and it counts as a failure of the other phone."""
    send(now)
    rule(failures_per_phone_day=2)
    for _ in range(2):
        assert check(inbox.code(), now, OTHER_PHONE).outcome is Outcome.NONE
    assert check(inbox.code(), now, OTHER_PHONE).outcome is Outcome.LOCKED
    assert check(inbox.code(), now).outcome is Outcome.RIGHT


def test_a_code_serves_one_purpose(now: datetime, inbox: Inbox) -> None:
    """security 7"""
    send(now, purpose=Purpose.LOGIN)
    verdict = check(inbox.code(), now, purpose=Purpose.CHECKOUT)
    assert verdict.outcome is Outcome.NONE
    send(after(now, 60), purpose=Purpose.CHECKOUT)
    verdict = check(inbox.code(), after(now, 60), purpose=Purpose.LOGIN)
    assert verdict.outcome is Outcome.WRONG
    assert not OneTimeCode.objects.filter(spent_at__isnull=False).exists()


@pytest.mark.parametrize("session", ["browser-two", ""])
def test_a_code_serves_one_browser(now: datetime, inbox: Inbox, session: str) -> None:
    """security 8: a stranger's tries do not use up hers."""
    send(now)
    for _ in range(6):
        verdict = check(inbox.code(), now, session=session)
        assert verdict == Verdict(Outcome.NONE)
    assert check(inbox.code(), now).outcome is Outcome.RIGHT


def test_a_new_code_replaces_the_old_one(now: datetime, inbox: Inbox) -> None:
    """security 9"""
    send(now)
    old = inbox.code()
    send(after(now, 60))
    if inbox.code() == old:  # one in a million
        send(after(now, 120))
    assert check(old, after(now, 121)).outcome is Outcome.WRONG
    assert check(inbox.code(), after(now, 121)).outcome is Outcome.RIGHT


@pytest.mark.parametrize(
    ("seconds", "outcome"),
    [(299, Outcome.RIGHT), (300, Outcome.EXPIRED), (301, Outcome.EXPIRED)],
)
def test_a_code_lives_five_minutes(
    now: datetime, inbox: Inbox, seconds: int, outcome: Outcome
) -> None:
    """security 10"""
    assert send(now).expires_at == after(now, 300)
    assert check(inbox.code(), after(now, seconds)).outcome is outcome


def test_no_rule_makes_a_code_live_longer_than_ten_minutes(
    now: datetime, inbox: Inbox
) -> None:
    """security 10"""
    rule(code_seconds=HOUR)
    send(now)
    assert check(inbox.code(), after(now, 601)).outcome is Outcome.EXPIRED


def test_the_database_knows_no_code(now: datetime, inbox: Inbox) -> None:
    """security 11"""
    send(now)
    row = OneTimeCode.objects.values().get()
    assert inbox.code() not in str(row)
    assert SESSION not in str(row)
    assert len(row["code_digest"]) == 64


def test_no_log_line_knows_a_phone_or_a_code(
    now: datetime, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    """security 11, 74"""
    caplog.set_level("DEBUG")
    send(now)
    with pytest.raises(codes.TooMany):
        send(now)
    for _ in range(25):
        check(inbox.wrong_code(), now)
    check(inbox.code(), now)
    spoken = " ".join(
        record.getMessage()
        for record in caplog.records
        if "django.db" not in record.name
    )
    assert "limit of the failures" in spoken
    assert inbox.code() not in spoken
    assert PHONE.removeprefix("+86") not in spoken


@pytest.mark.parametrize(
    "spelling", ["{} ", " {}", "{0[0]}{0[1]}{0[2]} {0[3]}{0[4]}{0[5]}"]
)
def test_blanks_in_a_code_do_not_matter(
    now: datetime, inbox: Inbox, spelling: str
) -> None:
    send(now)
    assert check(spelling.format(inbox.code()), now).outcome is Outcome.RIGHT


def test_full_width_digits_are_digits(now: datetime, inbox: Inbox) -> None:
    send(now)
    wide = "".join(chr(ord(digit) + 0xFEE0) for digit in inbox.code())
    assert check(wide, now).outcome is Outcome.RIGHT


@pytest.mark.parametrize(
    "text", ["", "12345", "1234567", "12345a", "١٢٣٤٥٦", "1_0_00", "-12345", "1" * 9999]
)
def test_what_is_no_code_costs_no_try(now: datetime, inbox: Inbox, text: str) -> None:
    send(now)
    assert check(text, now) == Verdict(
        Outcome.WRONG,
        5,
        code=codes.live(PHONE, Purpose.LOGIN, session_key=SESSION, now=now),
    )
    assert check(text, now, OTHER_PHONE).outcome is Outcome.NONE
    assert OneTimeCode.objects.get().failures == 0
    assert not HitLog.objects.filter(key__startswith="failures-phone").exclude(hits={})


def test_an_expired_code_costs_no_try(now: datetime, inbox: Inbox) -> None:
    send(now)
    late = after(now, 400)
    for _ in range(25):
        assert check(inbox.code(), late).outcome is Outcome.EXPIRED


# How many codes


def test_one_phone_gets_one_code_a_minute_five_an_hour_ten_a_day(
    now: datetime, inbox: Inbox
) -> None:
    """security 2, 12: from however many addresses it is asked for."""
    for second in range(0, DAY, 300):
        for extra in (0, 1, 59):
            client = client_at(f"198.51.{second % 250}.{extra}")
            try_to_send(after(now, second + extra), client=client)
    assert len(inbox.messages) == 10


def test_the_refusal_says_when_and_calls_nobody(now: datetime, inbox: Inbox) -> None:
    """security 12"""
    sent = send(now)
    before = OneTimeCode.objects.values().get()
    with pytest.raises(codes.TooMany) as refusal:
        send(after(now, 20))
    assert refusal.value.retry_after_seconds == 40
    assert refusal.value.scope == "phone"
    assert refusal.value.code == sent
    assert len(inbox.messages) == 1
    assert OneTimeCode.objects.values().get() == before
    with pytest.raises(codes.TooMany) as refusal:
        send(after(now, 20), session="another browser")
    assert refusal.value.code is None


def test_the_hour_and_the_day_roll(now: datetime, inbox: Inbox) -> None:
    for minute in range(5):
        send(after(now, 60 * minute))
    refusal = try_to_send(after(now, 300))
    assert isinstance(refusal, codes.TooMany)
    assert refusal.retry_after_seconds == HOUR - 300
    for minute in range(5):
        send(after(now, HOUR + 60 * minute))
    refusal = try_to_send(after(now, 2 * HOUR + 300))
    assert isinstance(refusal, codes.TooMany)
    assert refusal.retry_after_seconds == DAY - 2 * HOUR - 300
    send(after(now, DAY))


def test_one_address_asks_for_sixty_an_hour(now: datetime, inbox: Inbox) -> None:
    """security 13"""
    results = [try_to_send(now, f"+861380013{n:04}") for n in range(70)]
    refusals = [r for r in results if isinstance(r, codes.TooMany)]
    assert len(inbox.messages) == 60
    assert {r.scope for r in refusals} == {"address"}
    assert len(refusals) == 10


def test_one_network_asks_for_so_many_an_hour(now: datetime, inbox: Inbox) -> None:
    """security 13, 19"""
    rule(codes_per_network_hour=10)
    results = [
        try_to_send(now, f"+861380013{n:04}", client_at(f"203.0.113.{n}"))
        for n in range(12)
    ]
    assert len(inbox.messages) == 10
    assert isinstance(results[-1], codes.TooMany)
    assert results[-1].scope == "network"


def test_the_whole_shop_keeps_to_its_budget(
    now: datetime, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    """security 14: and rings at half of it."""
    rule(codes_per_hour=80, codes_per_day=100, conversion_codes=1_000)
    for hour in (0, 1, 2):
        for n in range(90):
            where = client_at(f"198.{hour}.{n}.1")
            try_to_send(after(now, 2 * HOUR * hour), f"+86138{hour}013{n:04}", where)
    assert len(inbox.messages) == 100
    alarms = [r.message for r in caplog.records if r.levelname == "ERROR"]
    assert "limit codes-shop: half of 80 in 3600 s is used" in alarms
    assert "limit codes-shop: half of 100 in 86400 s is used" in alarms


def test_codes_that_nobody_types_halve_the_limit_of_an_address(
    now: datetime, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    """security 14"""
    rule(conversion_codes=20, codes_per_address_hour=10)
    for n in range(20):
        send(now, f"+861380013{n:04}", client=client_at(f"198.51.{n}.1"))
    for n in range(10):
        try_to_send(now, f"+861390013{n:04}")
    assert len(inbox.messages) == 25
    alarms = [r for r in caplog.records if "are not used" in r.message]
    assert len(alarms) == 1


def test_codes_that_are_typed_leave_the_limit_alone(
    now: datetime, inbox: Inbox
) -> None:
    """security 14"""
    rule(conversion_codes=20, codes_per_address_hour=10)
    for n in range(20):
        phone = f"+861380013{n:04}"
        send(now, phone, client=client_at(f"198.51.{n}.1"))
        if n % 2 == 0:
            assert check(inbox.code(phone), now, phone).outcome is Outcome.RIGHT
    for n in range(12):
        try_to_send(now, f"+861390013{n:04}")
    assert len(inbox.messages) == 30


def test_sending_asks_nothing_about_the_person(now: datetime, inbox: Inbox) -> None:
    """security 20: the same statements for a member's phone and for a fresh one."""
    Member.objects.create_user(PHONE)
    send(now, "+8613700137000")  # the shop's own rows exist from here on
    with CaptureQueriesContext(connection) as known:
        send(now, PHONE, client=client_at("198.51.100.1"))
    with CaptureQueriesContext(connection) as fresh:
        send(now, OTHER_PHONE, client=client_at("198.51.101.1"))
    assert len(known) == len(fresh) <= 14
    assert not any("members_member" in query["sql"] for query in known)


# How many failures


def test_twenty_failures_a_day_lock_the_phone(now: datetime, inbox: Inbox) -> None:
    """security 2"""
    failures = 0
    for number in range(4):
        send(after(now, 100 * number))
        for _ in range(5):
            wrong = check(
                inbox.wrong_code(),
                after(now, 100 * number),
                client=client_at(f"1.1.{number}.1"),
            )
            failures += wrong.outcome is Outcome.WRONG
    assert failures == 20
    before = len(inbox.messages)
    at = after(now, HOUR + 400)
    verdict = check(inbox.code(), at)
    assert verdict.outcome is Outcome.LOCKED
    assert verdict.retry_at == after(now, DAY)
    with pytest.raises(codes.TooMany) as refusal:
        send(at)
    assert refusal.value.scope == "failures"
    assert len(inbox.messages) == before
    send(after(now, DAY))


def test_the_right_code_is_refused_while_the_phone_is_locked(
    now: datetime, inbox: Inbox
) -> None:
    """security 2"""
    rule(failures_per_phone_day=3)
    send(now)
    for _ in range(3):
        check(inbox.wrong_code(), now)
    assert check(inbox.code(), now).outcome is Outcome.LOCKED
    assert OneTimeCode.objects.get().spent_at is None


def test_a_hundred_wrong_codes_in_a_row_block_the_phone(
    now: datetime, inbox: Inbox
) -> None:
    """security 2"""
    rule(failures_in_a_row=8, failures_per_phone_day=100)
    for number in range(2):
        send(after(now, 60 * number))
        for _ in range(4):
            check(inbox.wrong_code(), after(now, 60 * number))
    years = after(now, 3 * 365 * DAY)
    assert check(inbox.code(), years) == Verdict(Outcome.LOCKED)
    with pytest.raises(codes.Blocked):
        send(years)
    assert len(inbox.messages) == 2
    assert codes.is_blocked(PHONE, now=years)
    codes.unblock(PHONE)
    assert not codes.is_blocked(PHONE, now=years)
    send(years)
    assert check(inbox.code(), years).outcome is Outcome.RIGHT


def test_a_right_code_ends_the_row(now: datetime, inbox: Inbox) -> None:
    """security 2"""
    rule(failures_in_a_row=4, failures_per_phone_day=100)
    for number in range(3):
        send(after(now, 60 * number))
        for _ in range(3):
            check(inbox.wrong_code(), after(now, 60 * number))
        verdict = check(inbox.code(), after(now, 60 * number))
        assert verdict.outcome is Outcome.RIGHT


def test_nobody_blocks_a_phone_by_guessing_without_a_code(
    now: datetime, inbox: Inbox
) -> None:
    rule(failures_in_a_row=5, failures_per_phone_day=100)
    for _ in range(10):
        check("123456", now, session="stranger")
    send(now)
    assert check(inbox.code(), now).outcome is Outcome.RIGHT


def test_one_address_fails_thirty_times_in_ten_minutes(
    now: datetime, inbox: Inbox
) -> None:
    """security 3"""
    for n in range(30):
        check("123456", now, f"+861370013{n:04}")
    send(now, OTHER_PHONE)
    verdict = check(inbox.code(OTHER_PHONE), now, OTHER_PHONE)
    assert verdict.outcome is Outcome.LOCKED
    assert verdict.retry_at == after(now, 600)
    elsewhere = check(
        inbox.code(OTHER_PHONE), now, OTHER_PHONE, client=client_at("198.51.100.1")
    )
    assert elsewhere.outcome is Outcome.RIGHT


def test_spraying_the_shop_rings_and_tightens_the_phones(
    now: datetime, inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    """security 3"""
    rule(failures_alarm=25, failures_per_phone_day=6)
    for n in range(24):
        check("123456", now, f"+861370013{n:04}", client=client_at(f"198.51.{n}.1"))
    assert not [r for r in caplog.records if r.levelname == "ERROR"]
    send(now)
    calm = [check(inbox.wrong_code(), now).outcome for _ in range(1)]
    assert calm == [Outcome.WRONG]
    assert [r.message for r in caplog.records if r.levelname == "ERROR"] == [
        "wrong codes all over the shop: 25 in 10 min"
    ]
    outcomes = [check(inbox.wrong_code(), now).outcome for _ in range(3)]
    assert outcomes == [Outcome.WRONG, Outcome.WRONG, Outcome.LOCKED]
    later = after(now, 1300)  # the spray is over: the full six again
    send(later)
    outcomes = [check(inbox.wrong_code(), later).outcome for _ in range(4)]
    assert outcomes == [Outcome.WRONG] * 3 + [Outcome.LOCKED]


# The provider


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, codes.ChannelDown), (422, codes.Blocked), (429, codes.TooMany)],
)
def test_a_code_that_the_provider_refused_is_void_and_counted(
    now: datetime, inbox: Inbox, status: int, error: type[Exception]
) -> None:
    """FLT-31"""
    inbox.status = status
    with pytest.raises(error):
        send(now)
    assert not OneTimeCode.objects.exists()
    assert check(inbox.code(), now).outcome is Outcome.NONE
    assert isinstance(try_to_send(after(now, 1)), codes.TooMany)
    assert len(inbox.messages) == 1


@pytest.mark.parametrize(
    ("lost", "outcome"),
    [
        (Result.RETRY_OTHER_PROVIDER, Outcome.NONE),
        (Result.UNKNOWN, Outcome.RIGHT),
    ],
)
def test_a_code_that_may_have_been_sent_stays_good(
    now: datetime, inbox: Inbox, lost: Result, outcome: Outcome
) -> None:
    """FLT-29, FLT-30: a time-out may have been delivered, a refused connection not."""
    inbox.lost = lost
    with pytest.raises(codes.ChannelDown):
        send(now)
    assert check(inbox.code(), now).outcome is outcome


def test_the_text_names_purpose_and_time(now: datetime, inbox: Inbox) -> None:
    """security 8"""
    send(now)
    send(now, OTHER_PHONE, purpose=Purpose.CHECKOUT)
    login, checkout = inbox.to(PHONE)[0], inbox.to(OTHER_PHONE)[0]
    assert "5 分钟" in login
    assert login.replace(inbox.code(), "") != checkout.replace(
        inbox.code(OTHER_PHONE), ""
    )


def test_old_codes_are_forgotten(now: datetime, inbox: Inbox) -> None:
    """security 75: and with them the counters, but not a block."""
    rule(failures_in_a_row=1)
    send(now)
    check(inbox.wrong_code(), now)
    codes.forget(now=after(now, HOUR - 1))
    assert OneTimeCode.objects.count() == 1
    codes.forget(now=after(now, 2 * DAY))
    assert not OneTimeCode.objects.exists()
    assert [log.key.partition(":")[0] for log in HitLog.objects.all()] == [
        "failures-run"
    ]


# At once


@pytest.mark.django_db(transaction=True)
def test_of_twenty_right_codes_at_once_one_is_right(
    now: datetime, inbox: Inbox
) -> None:
    """security 5"""
    send(now)
    code = inbox.code()
    verdicts = at_once(20, lambda _: check(code, now))
    outcomes = [v.outcome for v in verdicts if isinstance(v, Verdict)]
    assert outcomes.count(Outcome.RIGHT) == 1
    assert len(outcomes) == 20
    assert set(outcomes) <= {Outcome.RIGHT, Outcome.NONE, Outcome.LOCKED}


@pytest.mark.django_db(transaction=True)
def test_wrong_codes_at_once_get_no_more_tries(now: datetime, inbox: Inbox) -> None:
    """security 1, 5"""
    send(now)
    wrong = inbox.wrong_code()
    verdicts = at_once(12, lambda _: check(wrong, now))
    outcomes = [v.outcome for v in verdicts if isinstance(v, Verdict)]
    assert outcomes.count(Outcome.WRONG) == 5
    assert outcomes.count(Outcome.NONE) == 7
    assert OneTimeCode.objects.get().failures == 5
    assert check(inbox.code(), now).outcome is Outcome.NONE


@pytest.mark.django_db(transaction=True)
def test_of_many_requests_at_once_one_sends(now: datetime, inbox: Inbox) -> None:
    """security 12"""
    results = at_once(12, lambda n: try_to_send(now, client=client_at(f"198.51.{n}.1")))
    assert results.count("sent") == 1
    assert sum(isinstance(r, codes.TooMany) for r in results) == 11
    assert len(inbox.messages) == 1
    assert OneTimeCode.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_the_budget_holds_for_many_phones_at_once(now: datetime, inbox: Inbox) -> None:
    """security 14"""
    rule(codes_per_hour=5)
    results = at_once(
        12, lambda n: try_to_send(now, f"+861380013{n:04}", client_at(f"198.51.{n}.1"))
    )
    assert results.count("sent") == 5
    assert len(inbox.messages) == 5
