"""She buys, signs in by every way, and is found in her own rows alone.

security 74: phone, openid, code and card key stand in no log, no task, nothing that the
broker or the cache keeps, and no column besides those of the member and her identities.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.conf import settings as shop_settings
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.urls import reverse
from redis import Redis

from goods.models import CardKey
from kameng.celery import app
from members.identity import wire
from members.models import Identity, Member, Passkey
from notifications import outbox, wake
from notifications.models import Outbox
from orders import delivery
from orders.models import Order
from tests.goods.shelves import make_goods
from tests.members.identity.far_side import (
    Far,
    FarSide,
    come_back,
    sign_in,
    state_of,
    user_of,
)
from tests.members.test_passkeys import Authenticator
from tests.sandbox_process import wait_for
from tests.security.test_logs import Everything, everything
from tests.shopping import Till

__all__ = ["everything"]

PHONE, NEW_PHONE = "+8613787650001", "+8613787650002"
ORIGIN = "http://localhost:8000"
ALICE = {
    "wechat": Far("oTraceWechat7Kq2", "uTraceWechat9Zx4", "小明"),
    "qq": Far("QTRACE5B1D8E0F2A", "UTRACE3C7A9E4B6D", "小明"),
}
BOB = Far("oTraceNobody4Hd8", "uTraceNobody6Jv1", "小红")
"""Brought to be bound, and left at the question."""
HERS = {
    *(("members_member", "phone"), ("members_formerphone", "phone")),
    ("members_onetimecode", "phone"),  # gone with the code, within the hour
    *(("members_identity", name) for name in ("openid", "unionid")),
}


@dataclass
class Story:
    """One person and everything that must not be found of her."""

    till: Till
    clock: Any
    far: FarSide
    browser: Client = field(default_factory=Client)
    codes: set[str] = field(default_factory=set)

    def code(self, phone: str, before: int) -> str:
        """The code of the message that comes after so many."""
        messages = wait_for(
            lambda: (
                found if len(found := self.till.wallet.sms(phone)) > before else None
            )
        )
        match = re.search(r"(?<!\d)\d{6}(?!\d)", messages[-1]["text"])
        assert match is not None
        self.codes.add(match[0])
        return match[0]

    def ask(self, name: str, phone: str = PHONE, **form: str) -> str:
        """Ask for a code at this address; the minute between two codes has passed."""
        if phone == PHONE:
            self.clock.shift(timedelta(minutes=15))
        before = len(self.till.wallet.sms(phone))
        answer = self.browser.post(reverse(name), {"phone": phone, **form})
        assert answer.status_code == 200, name
        return self.code(phone, before)

    def is_in(self) -> bool:
        return user_of(self.browser) == Member.objects.get(username=None).pk


@pytest.fixture
def tasks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Workers are really woken, through the broker that the tests have."""
    url = shop_settings.CELERY_BROKER_URL
    for name, value in (
        ("task_always_eager", False),
        ("broker_url", url),
        ("broker_write_url", url),
    ):
        monkeypatch.setitem(app.conf, name, value)
    monkeypatch.setattr(outbox, "wake", wake.wake)
    monkeypatch.setattr(wake, "_asleep_until", 0.0)
    wake._impatient_connection.cache_clear()
    yield
    wake._impatient_connection.cache_clear()


@pytest.fixture
def story(
    till: Till, tasks: None, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Story]:
    settings.WECHAT_LOGIN_APP_ID, settings.WECHAT_LOGIN_SECRET = "wx-web", "secret-w"
    settings.QQ_LOGIN_APP_ID, settings.QQ_LOGIN_SECRET = "10101101", "secret-q"
    far = FarSide()
    monkeypatch.setattr(wire, "get", far.get)
    with time_machine.travel(till.now, tick=False) as clock:
        yield Story(till, clock, far)


def buy(story: Story) -> None:
    """A membership with a code, paid in the sandbox, then keys."""
    till, browser = story.till, story.browser
    form = {
        "plan": "temporary-7",
        "quantity": "1",
        "channel": "alipay",
        "client_token": "trace-token-00000001",
        "shown_fen": "1500",
        "phone": PHONE,
    }
    browser.get("/")
    before = len(till.wallet.sms(PHONE))
    browser.post(reverse("checkout-code"), form)
    code = story.code(PHONE, before)
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    assert browser.post(reverse("checkout"), form | {"code": wrong}).status_code == 422
    placed = browser.post(reverse("checkout"), form | {"code": code})
    assert placed.status_code == 303
    browser.get(placed["Location"])
    order = Order.objects.get()
    till.wallet.pay("alipay", order.attempts.get().out_trade_no)
    [notice] = till.caught()
    assert till.post_notice(notice, gateway="alipay").content == b"success"
    goods = make_goods("traced", keys=3)
    keys = till.buy_goods(Member.objects.get(phone=PHONE), goods, quantity=2)
    shown = browser.post(reverse("delivery-reveal", args=[keys.no]), {"n": "1"})
    assert shown.status_code == 200
    assert delivery.reveal(keys.pk, 1, now=till.now) in shown.text
    outbox.run_due(now=till.now)


def confirm(story: Story) -> None:
    code = story.ask("account-confirm-code")
    done = story.browser.post(reverse("account-confirm"), {"code": code})
    assert done.status_code == 303


def add_ways(story: Story, key: Authenticator) -> None:
    browser = story.browser
    confirm(story)
    for provider, who in ALICE.items():
        gone = browser.post(reverse("account-identity", args=[provider]))
        state = state_of(gone["Location"])
        back = come_back(browser, state, story.far.agrees(who), provider)
        assert browser.post(back["Location"]).status_code == 303
    page = browser.get(reverse("account-passkey-new"))
    made = key.make(json.loads(page.context["options"]), ORIGIN)
    assert browser.post(page.request["PATH_INFO"], {"passkey": made}).status_code == 303


def sign_in_by_every_way(story: Story, key: Authenticator) -> None:
    browser = story.browser
    browser.post(reverse("logout"))
    code = story.ask("login-code")
    browser.post(reverse("login"), {"phone": PHONE, "code": code})
    assert story.is_in()
    for provider, who in ALICE.items():
        browser.post(reverse("logout"))
        sign_in(browser, story.far, who, provider)
        assert story.is_in()
    browser.post(reverse("logout"))
    asked = json.loads(browser.get(reverse("login-passkey")).content)
    browser.post(reverse("login-passkey"), {"passkey": key.sign(asked, ORIGIN)})
    assert story.is_in()
    for page in ("/", "/account/", "/membership/", "/account/orders/"):
        browser.get(page)
    browser.post(reverse("logout"))
    code = story.ask("lookup-code")
    browser.post(reverse("lookup"), {"phone": PHONE, "code": code})
    assert story.is_in()


def change_phone(story: Story) -> None:
    confirm(story)
    code = story.ask("account-phone-code", NEW_PHONE)
    done = story.browser.post(
        reverse("account-phone"), {"phone": NEW_PHONE, "code": code}
    )
    assert done["Location"] == reverse("account-identities")


def bring_and_leave(story: Story) -> None:
    """Another WeChat comes back to be bound; she does not answer the question."""
    gone = story.browser.post(reverse("account-identity", args=["wechat"]))
    state = state_of(gone["Location"])
    back = come_back(story.browser, state, story.far.agrees(BOB))
    assert "小红" in story.browser.get(back["Location"]).text


# --- Looking for her -------------------------------------------------------------------


def cells() -> Iterator[tuple[str, str, str]]:
    """Table, column and text of every value in the database; sessions unpacked too."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")  # noqa: S608
            names = [each[0] for each in cursor.description]
            for row in cursor.fetchall():
                for name, value in zip(names, row, strict=True):
                    yield table, name, readable(value)
    for session in Session.objects.all():
        yield "django_session", "unpacked", json.dumps(session.get_decoded())


def readable(value: object) -> str:
    if isinstance(value, bytes | memoryview):
        return bytes(value).decode("latin-1")
    return value if isinstance(value, str) else json.dumps(value, default=str)


def kept_by_valkey() -> Iterator[str]:
    """Every key with its value, the bodies of tasks unpacked."""
    with Redis.from_url(shop_settings.REDIS_URL) as store:
        for key in store.scan_iter():
            yield key.decode("latin-1")
            match store.type(key):
                case b"string":
                    yield (store.get(key) or b"").decode("latin-1")
                case b"list":
                    for message in store.lrange(key, 0, -1):
                        yield from unpacked(message.decode("latin-1"))
                case b"hash":
                    for entry in store.hvals(key):
                        yield from unpacked(entry.decode("latin-1"))
                case b"set" | b"zset":
                    yield (store.dump(key) or b"").decode("latin-1")


def unpacked(message: str) -> Iterator[str]:
    yield message
    for body in re.findall(r'"body": ?"([A-Za-z0-9+/=]+)"', message):
        yield base64.b64decode(body).decode("latin-1")


def holds(text: str, secret: str) -> bool:
    """Six digits only as a number of their own: digests are full of digits."""
    if len(secret) == 6:
        return re.search(rf"(?<![0-9A-Za-z]){secret}(?![0-9A-Za-z])", text) is not None
    return secret in text


def found_in_database(secrets: dict[str, str]) -> dict[str, tuple[str, str]]:
    return {
        name: (table, column)
        for table, column, text in cells()
        if (table, column) not in HERS
        for name, secret in secrets.items()
        if holds(text, secret)
    }


def found_in(texts: Iterator[str] | list[str], secrets: dict[str, str]) -> list[str]:
    return sorted(
        {
            name
            for text in texts
            for name, secret in secrets.items()
            if holds(text, secret)
        }
    )


def secrets_of(story: Story) -> dict[str, str]:
    keys = Order.objects.get(goods__slug="traced")
    return {
        "phone": PHONE[3:],
        "new phone": NEW_PHONE[3:],
        **{f"openid of {name}": who.openid for name, who in ALICE.items()},
        **{f"unionid of {name}": who.unionid for name, who in ALICE.items()},
        "openid left": BOB.openid,
        "unionid left": BOB.unionid,
        **{f"code {code}": code for code in story.codes},
        **{
            f"card key {n}": delivery.reveal(keys.pk, n, now=story.till.now)
            for n in (1, 2)
        },
    }


@pytest.mark.django_db(transaction=True)
def test_nobody_finds_her_but_in_her_own_rows(
    story: Story, everything: Everything, settings: Any
) -> None:
    """74"""
    with Redis.from_url(shop_settings.REDIS_URL) as store:
        store.delete("celery")
    buy(story)
    settings.PUBLIC_URL = ORIGIN
    key = Authenticator()
    add_ways(story, key)
    sign_in_by_every_way(story, key)
    change_phone(story)
    bring_and_leave(story)
    with Redis.from_url(shop_settings.REDIS_URL) as store:
        assert store.llen("celery")  # tasks went through the broker and wait there
    tasks = list(kept_by_valkey())
    queued = [text for text in tasks if "run_outbox_task" in text]
    assert queued
    outbox.run_due(now=story.till.now + timedelta(hours=3))
    assert "账号换了手机号" in story.till.wallet.sms(PHONE)[-1]["text"]
    assert len(story.codes) >= 6
    assert Identity.objects.count() == 2
    assert Passkey.objects.exists()
    assert CardKey.objects.filter(order__isnull=False).count() == 2

    secrets = secrets_of(story)
    assert len(secrets) == 10 + len(story.codes)
    assert found_in_database(secrets) == {}
    assert found_in(kept_by_valkey(), secrets) == []
    assert found_in(tasks, secrets) == []
    assert found_in(everything.lines, secrets) == []


@pytest.mark.django_db
def test_the_search_would_find_her_anywhere(member: Member, now: Any) -> None:
    """The control: in a payload, a session, a cache, a task, and in bytes."""
    secrets = {"phone": PHONE[3:], "code": "012345"}
    assert found_in_database(secrets) == {}
    Outbox.objects.create(key="a", kind="x", payload={"to": PHONE}, due_at=now)
    assert found_in_database(secrets) == {"phone": ("notifications_outbox", "payload")}
    Outbox.objects.all().delete()
    client = Client()
    session = client.session
    session["typed"] = "012345"
    session.save()
    assert found_in_database(secrets) == {"code": ("django_session", "unpacked")}
    Passkey.objects.create(
        member=member,
        credential_id="x",
        user_handle="x",
        public_key=PHONE.encode(),
        name="x",
    )
    assert found_in_database(secrets)["phone"] == ("members_passkey", "public_key")
    cache.set(f"seen:{PHONE}", 1, 60)
    assert found_in(kept_by_valkey(), secrets) == ["phone"]
    cache.delete(f"seen:{PHONE}")
    body = base64.b64encode(b'[["+8613787650001"], {}]').decode()
    assert found_in(unpacked(json.dumps({"body": body})), secrets) == ["phone"]
