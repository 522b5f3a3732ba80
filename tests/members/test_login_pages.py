"""``/login/``, ``/login/code/`` and ``/logout/`` from outside."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse

from members import rules
from members.models import HitLog, Member, OneTimeCode, ShopRules
from members.sign_in.phone_step import FieldError
from notifications.sms import Result
from tests.members.edge import OTHER_PHONE, PHONE, Inbox

TYPED = "138 0013 8000"
HTMX = {"HX-Request": "true", "HX-Target": "phone"}

pytestmark = pytest.mark.django_db


def ask(client: Client, phone: str = TYPED, **extra: Any) -> Any:
    return client.post(reverse("login-code"), {"phone": phone}, **extra)


def enter(client: Client, code: str, phone: str = TYPED, **more: str) -> Any:
    return client.post(reverse("login"), {"phone": phone, "code": code, **more})


def signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_a_visitor_of_the_page_leaves_no_session(client: Client) -> None:
    page = client.get(reverse("login"))
    assert page.status_code == 200
    assert page.context["phone_state"] == "entry"
    assert "sessionid" not in page.cookies
    assert not Session.objects.exists()


def test_phone_and_code_sign_in(client: Client, inbox: Inbox) -> None:
    sent = ask(client)
    assert sent.status_code == 200
    assert sent.context["phone_state"] == "sent"
    assert 'name="code"' in sent.text
    assert "尾号 8000" in sent.text
    done = enter(client, inbox.code())
    assert done.status_code == 303
    assert done["Location"] == reverse("account")
    assert signed_in(client)
    assert Member.objects.get().phone == PHONE


@pytest.mark.parametrize(
    "spelling", ["１３８００１３８０００", "+86 138-0013-8000", "0086 13800138000"]
)
def test_spellings_lead_to_one_account(
    client: Client, inbox: Inbox, spelling: str
) -> None:
    """security 16"""
    known = Member.objects.create_user(PHONE)
    assert ask(client, spelling).status_code == 200
    assert enter(client, inbox.code()).status_code == 303
    assert Member.objects.get() == known


@pytest.mark.parametrize(
    "phone",
    ["", "12345", "+85291234567", "010-12345678", "13800138000;ext=1", "1" * 10_000],
)
@pytest.mark.parametrize("url", ["login", "login-code"])
def test_a_bad_phone_gets_words_and_moves_nothing(
    client: Client, inbox: Inbox, url: str, phone: str
) -> None:
    """security 15, 17"""
    page = client.post(reverse(url), {"phone": phone, "code": "123456"})
    assert page.status_code == 422
    assert page.context["errors"] == (FieldError("phone", "手机号要 11 位，以 1 开头"),)
    assert page.context["phone"]["value"] == phone[:64]
    assert not inbox.messages
    assert not OneTimeCode.objects.exists()
    assert not HitLog.objects.exists()
    assert not Session.objects.exists()


def test_htmx_gets_the_fragment_alone(client: Client, inbox: Inbox) -> None:
    fragment = ask(client, headers=HTMX)
    assert fragment.status_code == 200
    assert fragment.text.strip().startswith("<div")
    assert 'id="phone"' in fragment.text
    assert 'name="code"' in fragment.text
    bad = ask(client, "12345", headers=HTMX)
    assert bad.status_code == 422
    assert "手机号要 11 位" in bad.text
    assert "<html" not in fragment.text + bad.text


def test_the_code_is_nowhere_in_the_answer(client: Client, inbox: Inbox) -> None:
    """security 11"""
    sent = ask(client)
    heads = " ".join(f"{k}: {v}" for k, v in sent.headers.items())
    assert inbox.code() not in sent.text + heads + str(sent.cookies)


def test_a_wrong_code_says_how_many_tries_are_left(
    client: Client, inbox: Inbox
) -> None:
    """security 1"""
    ask(client)
    wrong = enter(client, inbox.wrong_code())
    assert wrong.status_code == 422
    assert wrong.context["phone_state"] == "wrong"
    assert wrong.context["phone"]["tries_left"] == 4
    assert "验证码不对，还能试 4 次" in wrong.text
    assert wrong.context["phone"]["value"] == PHONE
    assert not signed_in(client)
    for _ in range(4):
        last = enter(client, inbox.wrong_code())
    assert last.context["phone_state"] == "expired"
    right = enter(client, inbox.code())
    assert right.status_code == 422
    assert not Member.objects.exists()


def test_an_expired_code_offers_a_new_one(client: Client, inbox: Inbox) -> None:
    """security 10"""
    with time_machine.travel("2026-11-22T02:00:00Z", tick=False) as clock:
        ask(client)
        clock.shift(timedelta(seconds=301))
        page = enter(client, inbox.code())
    assert page.status_code == 422
    assert page.context["phone_state"] == "expired"
    assert "验证码过期了，点这里重新获取" in page.text


def test_a_second_request_within_the_minute_keeps_the_code_field(
    client: Client, inbox: Inbox
) -> None:
    """security 12"""
    with time_machine.travel("2026-11-22T02:00:00Z", tick=False) as clock:
        ask(client)
        clock.shift(timedelta(seconds=20))
        page = ask(client)
    assert page.status_code == 429
    assert page["Retry-After"] == "40"
    assert page.context["phone_state"] == "sent"
    assert "操作太快了，40 秒后再试" in page.text
    assert len(inbox.messages) == 1


def test_without_a_code_of_this_browser_the_limit_shows_as_a_lock(
    client: Client, inbox: Inbox
) -> None:
    rules_row(codes_per_phone_hour=1)
    with time_machine.travel("2026-11-22T02:00:00Z", tick=False) as clock:
        ask(client)
        clock.shift(timedelta(seconds=60))
        page = ask(Client())
    assert page.status_code == 429
    assert page["Retry-After"] == "3540"
    assert page.context["phone_state"] == "locked"
    assert "试得太多了，59 分钟后再来" in page.text
    assert len(inbox.messages) == 1


def test_too_many_failures_lock_with_a_time(client: Client, inbox: Inbox) -> None:
    """security 2"""
    rules_row(failures_per_phone_day=3)
    ask(client)
    for _ in range(3):
        enter(client, inbox.wrong_code())
    page = enter(client, inbox.code())
    assert page.status_code == 429
    assert 86_000 < int(page["Retry-After"]) <= 86_400
    assert page.context["phone_state"] == "locked"
    assert not signed_in(client)
    again = ask(client)
    assert again.status_code == 429
    assert len(inbox.messages) == 1


def test_a_blocked_phone_is_told_so(client: Client, inbox: Inbox) -> None:
    rules_row(failures_in_a_row=1)
    ask(client)
    enter(client, inbox.wrong_code())
    for page in (enter(client, inbox.code()), ask(client)):
        assert page.status_code == 422
        assert page.context["phone_state"] == "blocked"
    assert len(inbox.messages) == 1


def test_a_slow_channel_is_no_error_page(client: Client, inbox: Inbox) -> None:
    """FLT-29"""
    inbox.lost = Result.UNKNOWN
    page = ask(client)
    assert page.status_code == 422
    assert page.context["phone_state"] == "down"
    assert "短信通道有点慢" in page.text
    assert enter(client, inbox.code()).status_code == 303


@pytest.mark.parametrize(
    ("code", "sent_first"), [("", True), ("", False), ("1", False)]
)
def test_a_missing_code_gets_words(
    client: Client, inbox: Inbox, code: str, sent_first: bool
) -> None:
    if sent_first:
        ask(client)
    page = enter(client, code)
    assert page.status_code == 422
    assert page.context["phone_state"] == ("sent" if sent_first else "entry")
    words = "填写短信里的 6 位验证码" if sent_first else "先获取验证码"
    assert page.context["errors"] == (FieldError("code", words),)
    assert words in page.text


def test_another_browser_cannot_use_the_code(client: Client, inbox: Inbox) -> None:
    """security 8"""
    ask(client)
    stranger = Client()
    assert enter(stranger, inbox.code()).status_code == 422
    assert not signed_in(stranger)
    assert enter(client, inbox.code()).status_code == 303


def test_a_code_for_one_phone_opens_no_other(client: Client, inbox: Inbox) -> None:
    """security 6"""
    Member.objects.create_user(OTHER_PHONE)
    ask(client)
    page = enter(client, inbox.code(), "139 0013 9000")
    assert page.status_code == 422
    assert not signed_in(client)


def test_a_used_code_opens_no_second_session(client: Client, inbox: Inbox) -> None:
    """security 4"""
    ask(client)
    assert enter(client, inbox.code()).status_code == 303
    stranger = Client()
    assert enter(stranger, inbox.code()).status_code == 422
    assert not signed_in(stranger)


def test_known_and_fresh_phones_get_the_same_answers(inbox: Inbox) -> None:
    """security 20"""
    Member.objects.create_user(PHONE)

    def answers(phone: str) -> list[tuple[int, str]]:
        client = Client()
        with time_machine.travel("2026-11-22T02:00:00Z", tick=False):
            pages = [ask(client, phone), enter(client, "abc", phone)]
        mask = re.compile(
            r'csrfmiddlewaretoken" value="\w+"|13[89] ?\d{4} ?\d{4}|\d000'
        )
        return [(page.status_code, mask.sub("", page.text)) for page in pages]

    assert answers("13800138000") == answers("13900139000")


def test_the_session_changes_at_sign_in(client: Client, inbox: Inbox) -> None:
    """security 23"""
    ask(client)
    planted = client.cookies["sessionid"].value
    enter(client, inbox.code())
    assert client.cookies["sessionid"].value != planted
    stranger = Client()
    stranger.cookies["sessionid"] = planted
    assert not signed_in(stranger)
    assert client.cookies["sessionid"]["max-age"] == 90 * 86_400
    assert client.cookies["sessionid"]["httponly"]


@pytest.mark.parametrize("closed", [{"is_active": False}, {"is_staff": True}])
def test_a_closed_account_is_refused_in_neutral_words(
    client: Client, inbox: Inbox, closed: dict[str, bool]
) -> None:
    Member.objects.create(phone=PHONE, username="someone", **closed)
    ask(client)
    page = enter(client, inbox.code())
    assert page.status_code == 422
    assert "这个号码现在不能登录" in page.text
    assert not signed_in(client)


HOSTILE = [
    "https://evil.example/",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "https:evil.example",
    "https:/evil.example",
    "http://testserver@evil.example/",
    "http://testserver.evil.example/",
    "javascript:alert(1)",
    "data:text/html,x",
    " //evil.example",
    "\t//evil.example",
    "/\t/evil.example",
    "\n//evil.example",
    "ftp://testserver/",
    "%2f%2fevil.example",
    "evil.example",
    "http://testserver/",
]


@pytest.mark.parametrize("wish", HOSTILE)
def test_next_never_leaves_the_site(client: Client, inbox: Inbox, wish: str) -> None:
    """security 28"""
    ask(client)
    done = enter(client, inbox.code(), next=wish)
    assert done.status_code == 303
    assert done["Location"] == reverse("account")


@pytest.mark.parametrize(
    "wish", ["/membership/?plan=temporary-7", "/%09/evil.example", "/%5cevil.example"]
)
def test_next_is_used_as_it_came(client: Client, inbox: Inbox, wish: str) -> None:
    """security 28: decoded nowhere, so it stays a path of this host."""
    ask(client)
    assert enter(client, inbox.code(), next=wish)["Location"] == wish


@pytest.mark.parametrize(
    "twist",
    ["{}\n", "{}1", "{}#", "٣{}", "{}e0", "{}.0", "+{}", "-{}", "0{}", "1_{}"],
)
def test_only_the_six_digits_are_the_code(
    client: Client, inbox: Inbox, twist: str
) -> None:
    """security 1, 16: nothing that Python would read as the same number counts as it. A
    line feed at the end is what a copied line has, and is cut off like a space."""
    ask(client)
    answer = enter(client, twist.format(inbox.code()))
    assert answer.status_code == (303 if twist == "{}\n" else 422)
    assert signed_in(client) is (twist == "{}\n")


def test_of_repeated_fields_none_opens_anothers_account(
    client: Client, inbox: Inbox
) -> None:
    """security 6: number and code are read as one pair, whatever stands twice."""
    ask(client)
    page = client.post(
        reverse("login"),
        {"phone": [TYPED, OTHER_PHONE], "code": [inbox.wrong_code(), inbox.code()]},
    )
    assert page.status_code == 422
    assert not signed_in(client)


def test_next_survives_the_page(client: Client, inbox: Inbox) -> None:
    page = client.get(reverse("login"), {"next": "/membership/"})
    assert 'name="next" value="/membership/"' in page.text
    page = client.post(reverse("login-code"), {"phone": TYPED, "next": "/membership/"})
    assert 'name="next" value="/membership/"' in page.text


def test_who_is_signed_in_is_sent_on(client: Client, inbox: Inbox) -> None:
    client.force_login(Member.objects.create_user(PHONE))
    page = client.get(reverse("login"), {"next": "/membership/"})
    assert page.status_code == 303
    assert page["Location"] == "/membership/"


def test_logout_ends_the_session_on_the_server(client: Client, inbox: Inbox) -> None:
    """security 24"""
    ask(client)
    enter(client, inbox.code())
    kept = client.cookies["sessionid"].value
    client.cookies["django_language"] = "en"
    done = client.post(reverse("logout"))
    assert done.status_code == 303
    assert done["Location"] == reverse("home")
    assert done["Clear-Site-Data"] == '"cache", "storage"'
    assert "django_language" not in done.cookies
    assert not Session.objects.exists()
    stranger = Client()
    stranger.cookies["sessionid"] = kept
    page = stranger.get(reverse("account"))
    assert page.status_code in (302, 303)
    assert page["Location"].startswith(reverse("login"))


def test_logout_goes_where_the_page_wants(client: Client) -> None:
    client.force_login(Member.objects.create_user(PHONE))
    done = client.post(reverse("logout"), {"next": "/membership/temporary/"})
    assert done["Location"] == "/membership/temporary/"


@pytest.mark.parametrize("name", ["login-code", "logout"])
def test_only_a_post_changes_anything(client: Client, inbox: Inbox, name: str) -> None:
    """security 57"""
    client.force_login(Member.objects.create_user(PHONE))
    assert client.get(reverse(name)).status_code == 405
    assert signed_in(client)


@pytest.mark.parametrize("name", ["login", "login-code", "logout"])
def test_a_post_without_a_token_is_refused(inbox: Inbox, name: str) -> None:
    """security 57"""
    strict = Client(enforce_csrf_checks=True)
    page = strict.post(reverse(name), {"phone": TYPED, "code": "123456"})
    assert page.status_code == 403
    assert not inbox.messages
    assert not HitLog.objects.exists()


def test_the_address_limit_knows_no_headers(client: Client, inbox: Inbox) -> None:
    """security 13, 18"""
    rules_row(codes_per_address_hour=3)
    statuses = [
        ask(
            client,
            f"1380013{n:04}",
            headers={
                "X-Forwarded-For": f"198.51.100.{n}",
                "X-Real-IP": f"198.51.100.{n}",
            },
        ).status_code
        for n in range(5)
    ]
    assert statuses == [200, 200, 200, 429, 429]
    assert len(inbox.messages) == 3


def rules_row(**changes: int) -> None:
    ShopRules.objects.update_or_create(pk=1, defaults=changes)
    rules.forget()
