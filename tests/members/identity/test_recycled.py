"""A number that was not used for half a year may be another's by now.

security 21, 22.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client, RequestFactory
from django.urls import reverse

from members.identity import binding
from members.identity.contract import Person
from members.models import Identity, Member, Plan, Provider
from members.sign_in import phone_change, recycled, signin
from notifications import messages
from orders.models import Order
from payments.merging import merge
from tests.members.database_line import DatabaseLine
from tests.members.edge import OTHER_PHONE, PHONE, Inbox, at_once
from tests.members.identity.far_side import Far, sign_in
from tests.members.test_passkeys import Authenticator
from tests.payments.far_side import FarWechat

pytestmark = pytest.mark.django_db

HALF_A_YEAR = timedelta(days=180)
SECOND = timedelta(seconds=1)
ALICE = Person(Provider.WECHAT, "wx1", "openid-a", "union-a", "小明")


@pytest.fixture
def clock(now: datetime) -> Iterator[Any]:
    with time_machine.travel(now, tick=False) as traveller:
        yield traveller


@pytest.fixture
def old(clock: Any, now: datetime, operator: Member, plans: dict[str, Plan]) -> Member:
    """Signed in once, half a year ago; she has bought two years."""
    member = Member.objects.create(phone=PHONE, created_at=now, phone_proved_at=now)
    line = DatabaseLine(member, operator)
    line.buy("S", plans["S30"], at=now, quantity=24)
    clock.shift(HALF_A_YEAR)
    return member


@pytest.fixture
def wallets(settings: Any) -> None:
    """Something to pay with, or a checkout ends before it looks at the code."""
    for name, value in FarWechat.settings().items():
        setattr(settings, name, value)


def log_in(client: Client, inbox: Inbox, **form: str) -> Any:
    client.post(reverse("login-code"), {"phone": PHONE})
    return client.post(reverse("login"), {"phone": PHONE, "code": inbox.code(), **form})


def owner(client: Client) -> int | None:
    found = client.session.get("_auth_user_id")
    return int(found) if found else None


def test_the_next_holder_begins_a_fresh_account(
    old: Member, client: Client, inbox: Inbox
) -> None:
    """21: no order, no time, no identity of the old one; and words whom to ask."""
    done = log_in(client, inbox)
    assert (done.status_code, done["Location"]) == (303, reverse("account"))
    new = Member.objects.get(phone=PHONE)
    assert new.pk != old.pk == Order.objects.get().member_id
    page = client.get(reverse("account"))
    assert "请联系客服" in page.text
    assert "现在没有会员" in page.text
    assert "还没有订单" in page.text
    no = Order.objects.get().no
    assert client.get(reverse("order", args=[no])).status_code == 404


def test_the_old_account_keeps_its_rights_without_a_phone(
    old: Member, client: Client, inbox: Inbox, now: datetime, operator: Member
) -> None:
    """21, I12: and support can join the two."""
    log_in(client, inbox)
    end = now + timedelta(days=720)
    old.refresh_from_db()
    assert (old.phone, old.is_active, old.paid_until) == (None, True, end)
    told = messages.history_for(old.pk, now=now + HALF_A_YEAR)
    assert [one.kind for one in told] == ["phone_left"]
    new = Member.objects.get(phone=PHONE)
    assert messages.history_for(new.pk, now=now + HALF_A_YEAR) == []
    merge(old.pk, into_id=new.pk, actor=operator, reason="是她", now=now + HALF_A_YEAR)
    assert Member.objects.get(pk=new.pk).paid_until == end


def test_a_day_earlier_the_code_is_enough(
    old: Member, clock: Any, client: Client, inbox: Inbox
) -> None:
    clock.shift(-SECOND)
    log_in(client, inbox)
    assert owner(client) == old.pk


def test_every_proof_of_the_phone_counts_as_use(
    old: Member, clock: Any, client: Client, inbox: Inbox
) -> None:
    """Signing in, and confirming in a session that was opened otherwise."""
    clock.shift(-SECOND)
    log_in(client, inbox)
    clock.shift(timedelta(days=100))
    client.force_login(old)
    client.post(reverse("account-confirm-code"))
    client.post(reverse("account-confirm"), {"code": inbox.code()})
    clock.shift(timedelta(days=179))
    other = Client()
    log_in(other, inbox)
    assert owner(other) == old.pk


@pytest.mark.parametrize("page", ["login", "checkout"])
def test_who_has_another_way_is_asked_for_it(
    old: Member, client: Client, inbox: Inbox, now: datetime, wallets: None, page: str
) -> None:
    """21: the code alone signs nobody in and moves nothing."""
    binding.bind(old.pk, ALICE, now=now)
    if page == "login":
        done = log_in(client, inbox, next="/zone/")
        assert done["Location"] == "/login/unused/?next=%2Fzone%2F"
    else:
        form = {
            "plan": "s7",
            "quantity": "1",
            "channel": "wechat",
            "shown_fen": "700",
            "client_token": "a" * 32,
            "phone": PHONE,
        }
        client.post(reverse("checkout-code"), form)
        done = client.post(reverse("checkout"), form | {"code": inbox.code()})
        assert done.status_code == 303
        assert done["Location"].startswith("/login/unused/?next=%2Fmembership%2F")
        assert Order.objects.count() == 1
    assert owner(client) is None
    asked = client.get(done["Location"])
    assert asked.status_code == 200
    assert "小明" not in asked.text
    assert client.get(reverse("account")).status_code == 302
    assert Member.objects.get(phone=PHONE) == old


def test_her_wechat_makes_the_number_hers_again(
    old: Member, desktop: Client, inbox: Inbox, far: Any, clock: Any, now: datetime
) -> None:
    """21: both together, in one browser; afterwards a code is enough again."""
    who = Far()
    sign_in(desktop, far, who)
    Identity.objects.update(member=old)
    desktop.logout()
    assert log_in(desktop, inbox)["Location"].startswith("/login/unused/")
    sign_in(desktop, far, who)
    assert owner(desktop) == old.pk
    old.refresh_from_db()
    assert old.phone_proved_at == now + HALF_A_YEAR
    clock.shift(timedelta(hours=1))
    other = Client()
    log_in(other, inbox)
    assert owner(other) == old.pk


def test_a_passkey_of_another_does_not_make_it_hers(
    old: Member, client: Client, inbox: Inbox, now: datetime, settings: Any
) -> None:
    """21: it opens its own account and leaves the number where it was."""
    binding.bind(old.pk, ALICE, now=now)
    mallory = Member.objects.create_user(OTHER_PHONE)
    settings.PUBLIC_URL = "http://localhost:8000"
    key = Authenticator()
    maker = Client()
    maker.force_login(mallory)
    prove(maker)
    options = json.loads(maker.get(reverse("account-passkey-new")).context["options"])
    maker.post(reverse("account-passkey-new"), {"passkey": key.make(options)})
    log_in(client, inbox)
    asked = json.loads(client.get(reverse("login-passkey")).content)
    client.post(reverse("login-passkey"), {"passkey": key.sign(asked)})
    assert owner(client) == mallory.pk
    old.refresh_from_db()
    assert old.phone == PHONE
    assert recycled.is_unused(old, now=now + HALF_A_YEAR)


def prove(client: Client) -> None:
    from django.utils import timezone

    session = client.session
    session["proved_at"] = timezone.now().timestamp()
    session.save()


def test_who_has_nothing_of_it_begins_anew_at_a_tap(
    old: Member, client: Client, inbox: Inbox, now: datetime
) -> None:
    """21: WeChat stays with the old account."""
    binding.bind(old.pk, ALICE, now=now)
    page = log_in(client, inbox)["Location"]
    done = client.post(page, {"next": "/zone/"})
    assert (done.status_code, done["Location"]) == (303, "/zone/")
    new = Member.objects.get(phone=PHONE)
    assert owner(client) == new.pk != old.pk
    assert Identity.objects.get().member_id == old.pk
    assert not new.identities.exists()


def test_the_tap_needs_the_code_of_a_moment_ago(
    old: Member, client: Client, inbox: Inbox, clock: Any, now: datetime
) -> None:
    """21: not without it, not in another browser, not after ten minutes."""
    binding.bind(old.pk, ALICE, now=now)
    page = reverse("login-unused")
    log_in(client, inbox)
    clock.shift(timedelta(minutes=10) + SECOND)
    for browser in (client, Client()):
        for answer in (browser.get(page), browser.post(page)):
            assert answer["Location"].startswith(reverse("login"))
        assert owner(browser) is None
    assert Member.objects.get(phone=PHONE) == old


def test_a_number_that_she_has_left_meanwhile_opens_nothing_of_hers(
    old: Member, client: Client, inbox: Inbox, now: datetime
) -> None:
    """21: the browser has proved another number than her account has by now."""
    binding.bind(old.pk, ALICE, now=now)
    page = log_in(client, inbox)["Location"]
    phone_change.change(old.pk, OTHER_PHONE, now=now + HALF_A_YEAR)
    assert client.post(page)["Location"].startswith(reverse("login"))
    assert owner(client) is None
    assert Member.objects.get(phone=OTHER_PHONE) == old


def test_look_up_shows_nothing_of_the_old_holder(
    old: Member, client: Client, inbox: Inbox
) -> None:
    """21, 53: the same page as for a number without orders."""
    client.post(reverse("lookup-code"), {"phone": PHONE})
    done = client.post(reverse("lookup"), {"phone": PHONE, "code": inbox.code()})
    assert done["Location"] == reverse("lookup-orders")
    page = client.get(done["Location"]).text
    assert Order.objects.get().no not in page
    assert owner(client) is None
    assert Member.objects.get(phone=PHONE) == old


def test_a_closed_account_keeps_its_number(
    old: Member, client: Client, inbox: Inbox
) -> None:
    """Waiting is no way around a closed account."""
    Member.objects.filter(pk=old.pk).update(is_active=False)
    assert log_in(client, inbox).status_code == 422
    assert Member.objects.get(phone=PHONE) == old


@pytest.mark.django_db(transaction=True)
def test_two_who_begin_anew_at_once_are_one(now: datetime, asleep: None) -> None:
    """21, G11"""
    old = Member.objects.create(phone=PHONE, created_at=now - HALF_A_YEAR)
    ends = at_once(4, lambda _: recycled.start_afresh(old.pk, PHONE, now=now).pk)
    assert len(set(ends)) == 1
    assert ends[0] == Member.objects.get(phone=PHONE).pk != old.pk


# --- Nothing that somebody did before she came survives (security 22) --------------------


def test_an_order_with_her_number_binds_nothing_without_her_code(
    shop: None, inbox: Inbox, now: datetime, wallets: None
) -> None:
    """22: no account, no order, no session; her first visit finds an empty account."""
    mallory, victim = Client(), Client()
    form = {
        "plan": "temporary-7",
        "quantity": "1",
        "channel": "wechat",
        "shown_fen": "1500",
        "client_token": "b" * 32,
        "phone": PHONE,
    }
    mallory.post(reverse("checkout-code"), form)
    for code in ("", "000000", inbox.wrong_code()):
        done = mallory.post(reverse("checkout"), form | {"code": code})
        assert done.status_code == 422
    assert not Member.objects.filter(phone=PHONE).exists()
    assert not Order.objects.exists()
    with time_machine.travel(datetime.now(now.tzinfo) + timedelta(minutes=2)):
        log_in(victim, inbox)
        page = victim.get(reverse("account")).text
        assert "还没有订单" in page
        assert mallory.get(reverse("account")).status_code == 302
        # Nor does what he had begun become hers, or his, now that the account is there.
        again = mallory.post(reverse("checkout"), form | {"code": inbox.code()})
        assert again.status_code == 422
        assert owner(mallory) is None
    assert not Order.objects.exists()


def test_what_he_left_in_the_browser_is_not_bound_to_her(
    desktop: Client, inbox: Inbox, far: Any, now: datetime
) -> None:
    """22: his journey to bind an identity ends with his session."""
    mallory = Member.objects.create_user(OTHER_PHONE)
    desktop.force_login(mallory)
    prove(desktop)
    session = desktop.session
    session["identity_to_bind"] = {"person": {}, "at": 0}
    session.save()
    desktop.post(reverse("logout"))
    log_in(desktop, inbox)
    assert "identity_to_bind" not in desktop.session
    desktop.post(reverse("account-identity-bind"))
    assert not Identity.objects.exists()


def test_a_session_of_his_is_not_carried_into_hers(now: datetime) -> None:
    """22, 23: what another account left in the session goes."""
    request = RequestFactory().post("/login/")
    from django.contrib.auth.models import AnonymousUser
    from django.contrib.sessions.backends.db import SessionStore

    request.session, request.user = SessionStore(), AnonymousUser()
    signin.sign_in(request, OTHER_PHONE, now=now)
    request.session["way_back"] = "his"
    signin.sign_in(request, PHONE, now=now)
    assert "way_back" not in request.session
