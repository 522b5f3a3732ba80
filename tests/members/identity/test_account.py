"""``/account/identities/``: bind, unbind, and who it is (security 25, 27, 30)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from members.identity import binding
from members.identity.contract import Person
from members.models import Identity, Member, Provider
from tests.members.edge import PHONE, Inbox
from tests.members.identity.far_side import (
    Far,
    FarSide,
    come_back,
    set_out,
    sign_in,
    state_of,
    user_of,
)

pytestmark = pytest.mark.django_db

ALICE = Far()
LIST = "/account/identities/"


@pytest.fixture
def hers(desktop: Client) -> Client:
    """A member with a phone; her session is of a day ago."""
    desktop.force_login(Member.objects.create_user(PHONE))
    return desktop


def confirm(client: Client, inbox: Inbox) -> None:
    client.post(reverse("account-confirm-code"))
    done = client.post(reverse("account-confirm"), {"code": inbox.code()})
    assert done.status_code == 303


def bind(client: Client, far: FarSide, who: Far, provider: str = "wechat") -> Any:
    """The button, the provider's page, and back."""
    answer = client.post(reverse("account-identity", args=[provider]))
    assert answer.status_code == 303
    return come_back(client, state_of(answer["Location"]), far.agrees(who), provider)


def test_an_identity_is_bound_by_an_explicit_yes(
    hers: Client, far: FarSide, inbox: Inbox
) -> None:
    """security 25"""
    confirm(hers, inbox)
    back = bind(hers, far, ALICE)
    assert back["Location"] == reverse("account-identity-bind")
    assert not Identity.objects.exists()
    page = hers.get(back["Location"])
    assert "小明" in page.text
    assert "138••••8000" in page.text
    assert hers.post(back["Location"])["Location"] == LIST
    assert Identity.objects.get().member.phone == PHONE
    assert "小明" in hers.get(LIST).text
    other = Client()
    sign_in(other, far, ALICE)
    assert user_of(other) == Member.objects.get().pk


def test_to_bind_asks_who_it_is_first(hers: Client, far: FarSide) -> None:
    """security 30: a new way in."""
    answer = hers.post(reverse("account-identity", args=["wechat"]))
    assert answer.status_code == 403
    assert f'name="next" value="{LIST}"' in answer.text
    assert far.asked == []


def test_the_yes_cannot_be_given_for_her(
    hers: Client, far: FarSide, inbox: Inbox
) -> None:
    """security 25: a post without anything brought by this browser, and without token."""
    confirm(hers, inbox)
    assert hers.post(reverse("account-identity-bind"))["Location"] == LIST
    bind(hers, far, ALICE)
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = hers.cookies
    assert strict.post(reverse("account-identity-bind")).status_code == 403
    assert not Identity.objects.exists()


def test_the_yes_is_asked_for_ten_minutes(
    hers: Client, far: FarSide, inbox: Inbox
) -> None:
    with time_machine.travel("2026-11-22T02:00:00Z", tick=False) as clock:
        confirm(hers, inbox)
        bind(hers, far, ALICE)
        clock.shift(timedelta(seconds=601))
        assert hers.post(reverse("account-identity-bind"))["Location"] == LIST
    assert not Identity.objects.exists()


def test_it_is_given_once(hers: Client, far: FarSide, inbox: Inbox) -> None:
    confirm(hers, inbox)
    bind(hers, far, ALICE)
    hers.post(reverse("account-identity-bind"))
    identity = Identity.objects.get()
    hers.post(reverse("account-identity-unbind", args=[identity.pk]))
    hers.post(reverse("account-identity-bind"))
    assert not Identity.objects.exists()


def test_what_is_bound_elsewhere_is_refused_in_neutral_words(
    hers: Client, far: FarSide, inbox: Inbox
) -> None:
    """security 27"""
    victim = Client()
    sign_in(victim, far, ALICE)
    confirm(hers, inbox)
    page = bind(hers, far, ALICE)
    assert page.status_code == 409
    assert "不能绑定到现在的账号" in page.text
    assert "小明" not in page.text
    assert f"#{user_of(victim)}" not in page.text
    assert hers.post(reverse("account-identity-bind"))["Location"] == LIST
    assert Identity.objects.get().member_id == user_of(victim)


def test_what_was_bound_elsewhere_meanwhile_is_refused_at_the_yes(
    hers: Client, far: FarSide, inbox: Inbox
) -> None:
    """security 27"""
    confirm(hers, inbox)
    bind(hers, far, ALICE)
    victim = Client()
    sign_in(victim, far, ALICE)
    assert hers.post(reverse("account-identity-bind")).status_code == 409
    assert Identity.objects.get().member_id == user_of(victim)


def test_a_journey_to_bind_ends_with_the_same_member(
    hers: Client, far: FarSide, inbox: Inbox
) -> None:
    """security 25: signed in as somebody else in another tab meanwhile."""
    confirm(hers, inbox)
    answer = hers.post(reverse("account-identity", args=["wechat"]))
    session = hers.session
    other = Member.objects.create_user("+8613900139000")
    session["_auth_user_id"] = str(other.pk)
    session["_auth_user_hash"] = other.get_session_auth_hash()
    session.save()
    page = come_back(hers, state_of(answer["Location"]), far.agrees(ALICE))
    assert page.status_code == 400
    assert far.asked == []


def test_a_journey_to_sign_in_binds_nothing(desktop: Client, far: FarSide) -> None:
    """security 25: signed in by phone meanwhile; the identity stays nobody's."""
    state = set_out(desktop)
    session = desktop.session
    member = Member.objects.create_user(PHONE)
    session["_auth_user_id"] = str(member.pk)
    session["_auth_user_backend"] = "members.staff.StaffBackend"
    session["_auth_user_hash"] = member.get_session_auth_hash()
    session.save()
    assert come_back(desktop, state, far.agrees(ALICE)).status_code == 303
    assert user_of(desktop) == member.pk
    assert not Identity.objects.exists()


def test_unbinding_asks_who_it_is_and_then_whether(
    hers: Client, far: FarSide, inbox: Inbox
) -> None:
    """security 30"""
    member = Member.objects.get()
    person = Person(Provider.WECHAT, "wx-web", "oAlice", "uAlice", "小明")
    url = reverse("account-identity-unbind", args=[bound(member, person).pk])
    assert url in hers.get(LIST).text
    assert hers.get(url)["Location"].startswith(reverse("account-confirm"))
    assert hers.post(url).status_code == 403
    assert Identity.objects.exists()
    confirm(hers, inbox)
    assert "确认解绑" in hers.get(url).text
    assert hers.post(url)["Location"] == LIST
    assert not Identity.objects.exists()


def bound(member: Member, person: Person) -> Identity:
    return Identity.objects.create(
        member=member,
        provider=person.provider,
        appid=person.appid,
        openid=person.openid,
        unionid=person.unionid,
        nickname=person.nickname,
    )


def test_the_last_way_in_cannot_be_taken_away(in_wechat: Client, far: FarSide) -> None:
    sign_in(in_wechat, far, ALICE)
    page = in_wechat.get(LIST)
    assert "唯一的登录方式，不能解绑" in page.text
    url = reverse("account-identity-unbind", args=[Identity.objects.get().pk])
    answer = in_wechat.post(reverse("account-confirm-with", args=["wechat"]))
    come_back(in_wechat, state_of(answer["Location"]), far.agrees(ALICE))
    refused = in_wechat.post(url)
    assert refused.status_code == 409
    assert "进这个账号唯一的方式" in refused.text
    assert Identity.objects.exists()


def test_anothers_identity_is_not_there(
    hers: Client, far: FarSide, inbox: Inbox
) -> None:
    """security 52"""
    sign_in(Client(), far, ALICE)
    url = reverse("account-identity-unbind", args=[Identity.objects.get().pk])
    confirm(hers, inbox)
    assert hers.get(url).status_code == 404
    assert hers.post(url).status_code == 404
    assert Identity.objects.exists()


class TestWithoutAPhone:
    """She confirms by the account that vouches for her."""

    def test_her_own_identity_confirms(self, in_wechat: Client, far: FarSide) -> None:
        sign_in(in_wechat, far, ALICE)
        page = in_wechat.get(reverse("account-confirm"))
        assert "用微信确认" in page.text
        where = {"next": LIST}
        answer = in_wechat.post(reverse("account-confirm-with", args=["wechat"]), where)
        back = come_back(in_wechat, state_of(answer["Location"]), far.agrees(ALICE))
        assert back["Location"] == LIST
        answer = in_wechat.post(reverse("account-identity", args=["wechat"]))
        assert answer.status_code == 303

    def test_somebody_elses_does_not(self, in_wechat: Client, far: FarSide) -> None:
        sign_in(in_wechat, far, ALICE)
        answer = in_wechat.post(reverse("account-confirm-with", args=["wechat"]))
        mallory = far.agrees(Far("oMallory", "uMallory"))
        page = come_back(in_wechat, state_of(answer["Location"]), mallory)
        assert page.status_code == 400
        refused = in_wechat.post(reverse("account-identity", args=["wechat"]))
        assert refused.status_code == 403
        assert Identity.objects.count() == 1

    def test_signing_in_by_it_is_not_enough(
        self, in_wechat: Client, far: FarSide
    ) -> None:
        """security 30: a code, a passkey, or for those without a phone a journey made
        for this."""
        sign_in(in_wechat, far, ALICE)
        refused = in_wechat.post(reverse("account-identity", args=["wechat"]))
        assert refused.status_code == 403

    def test_who_has_a_phone_confirms_by_it(self, hers: Client, far: FarSide) -> None:
        person = Person(Provider.WECHAT, "wx-web", "oAlice", "uAlice")
        bound(Member.objects.get(), person)
        assert binding.ways_in(Member.objects.get()) == 2
        url = reverse("account-confirm-with", args=["wechat"])
        assert hers.post(url).status_code == 404
        assert "用微信确认" not in hers.get(reverse("account-confirm")).text


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("account-identities", []),
        ("account-identity-bind", []),
        ("account-identity", ["wechat"]),
        ("account-identity-unbind", [1]),
        ("account-confirm-with", ["wechat"]),
    ],
)
def test_they_are_for_members_alone(
    client: Client, far: FarSide, name: str, args: list[Any]
) -> None:
    answer = client.post(reverse(name, args=args))
    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("login"))
