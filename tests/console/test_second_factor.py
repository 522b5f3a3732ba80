"""A password alone does not open the console where a passkey is asked for."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.test import Client, override_settings
from django.urls import reverse
from django.utils import timezone

from members import staff_key
from members.models import Member, Passkey
from tests.members.test_passkeys import Authenticator

pytestmark = pytest.mark.django_db

NAME, PASSWORD = "kefu", "correct horse battery staple"
SECOND = "/console/login/second/"


@pytest.fixture
def kefu(db: None) -> Member:
    return Member.objects.create_staff(NAME, PASSWORD)


@pytest.fixture
def key(kefu: Member) -> Authenticator:
    """Enrolled by the link of the command."""
    key, client = Authenticator(), Client()
    assert use(client, link(), key).status_code == 303
    return key


def link(act: str = "enrol", name: str = NAME) -> str:
    out = StringIO()
    call_command("staff", act, name, stdout=out)
    return out.getvalue().split()[-1].removeprefix("http://127.0.0.1:8000")


def use(client: Client, url: str, key: Authenticator) -> Any:
    options = json.loads(client.get(url).context["options"])
    return client.post(url, {"passkey": key.make(options)})


def enter(client: Client) -> Any:
    fields = {"username": NAME, "password": PASSWORD, "next": "/console/"}
    return client.post(reverse("admin:login"), fields)


def answer(client: Client, key: Authenticator) -> Any:
    options = client.get(f"{SECOND}options/").json()
    return client.post(SECOND, {"passkey": key.sign(options)})


def inside(client: Client) -> bool:
    return client.get("/console/").status_code == 200


def test_password_and_key_open_the_console(client: Client, key: Authenticator) -> None:
    """security 66: the session's key is a new one, too (security 23)."""
    half = enter(client)
    assert (half.status_code, half["Location"]) == (303, SECOND)
    assert not inside(client)
    before = client.session.session_key
    assert client.get(SECOND).status_code == 200
    done = answer(client, key)
    assert (done.status_code, done["Location"]) == (303, "/console/")
    assert inside(client)
    assert client.session.session_key != before
    assert client.session.get_expiry_age() <= 12 * 3_600


def test_in_production_a_password_alone_never_does(
    client: Client, kefu: Member
) -> None:
    """Issue: required outside development; the page says who can help."""
    with override_settings(PRODUCTION=True):
        assert enter(client)["Location"] == SECOND
        assert "manage.py staff enrol" in client.get(SECOND).text
        assert not inside(client)


def test_in_development_an_account_without_a_key_gets_in(
    client: Client, kefu: Member
) -> None:
    assert enter(client)["Location"] == "/console/"
    assert inside(client)


def test_the_key_alone_opens_nothing(client: Client, key: Authenticator) -> None:
    """Neither the console nor the shop."""
    assert answer(client, key)["Location"] == reverse("admin:login")
    options = client.get("/login/passkey/").json()
    shop = client.post("/login/passkey/", {"passkey": key.sign(options)})
    assert shop.status_code == 400
    assert not inside(client)


def test_the_key_of_a_colleague_opens_nothing(
    client: Client, key: Authenticator
) -> None:
    Member.objects.create_staff("other", PASSWORD)
    theirs = Authenticator()
    use(Client(), link(name="other"), theirs)
    enter(client)
    assert answer(client, theirs).status_code == 400
    assert not inside(client)


def test_a_wrong_password_comes_to_no_second_step(
    client: Client, key: Authenticator
) -> None:
    client.post(reverse("admin:login"), {"username": NAME, "password": "wrong"})
    assert client.get(SECOND)["Location"] == reverse("admin:login")


def test_the_half_way_lasts_five_minutes(client: Client, key: Authenticator) -> None:
    enter(client)
    with time_machine.travel(timezone.now() + timedelta(seconds=301)):
        assert client.get(SECOND)["Location"] == reverse("admin:login")
        assert answer(client, key)["Location"] == reverse("admin:login")
    assert not inside(client)


def test_a_link_makes_one_key_and_signs_nobody_in(client: Client, kefu: Member) -> None:
    url = link()
    assert use(client, url, Authenticator()).status_code == 303
    assert not inside(client)
    assert client.get(url).status_code == 404
    assert Passkey.objects.count() == 1


def test_a_link_ends_after_fifteen_minutes(client: Client, kefu: Member) -> None:
    url = link()
    with time_machine.travel(timezone.now() + timedelta(seconds=901)):
        assert client.get(url).status_code == 404


@pytest.mark.parametrize("token", ["x", "WzEsMF0:1abc:def", "%00"])
def test_a_made_up_link_is_not_there(client: Client, kefu: Member, token: str) -> None:
    assert client.get(f"/console/login/enrol/{token}/").status_code == 404


def test_reset_takes_the_lost_key_away(client: Client, key: Authenticator) -> None:
    url = link("reset")
    new = Authenticator()
    assert use(Client(), url, new).status_code == 303
    enter(client)
    assert answer(client, key).status_code == 400
    assert answer(client, new).status_code == 303
    assert inside(client)


def test_only_open_staff_accounts_are_enrolled(member: Member, kefu: Member) -> None:
    Member.objects.filter(pk=kefu.pk).update(is_active=False)
    for name in (NAME, "nobody"):
        with pytest.raises(CommandError):
            call_command("staff", "enrol", name)
    assert staff_key.whose_link(staff_key.link_token(member)) is None
