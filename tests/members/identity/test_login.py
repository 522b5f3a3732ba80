"""``/login/<provider>/`` and its callback from outside."""

from __future__ import annotations

import logging
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from members.models import Identity, Member
from tests.members.identity.far_side import (
    Far,
    FarSide,
    come_back,
    set_out,
    sign_in,
    user_of,
)
from tests.members.test_login_pages import HOSTILE
from tests.security.hostile import HOSTILE as STRANGE

pytestmark = pytest.mark.django_db

ALICE = Far()
MALLORY = Far("oMallory", "uMallory", "坏人")


def test_a_desktop_is_shown_a_code_to_scan(desktop: Client, far: FarSide) -> None:
    url = desktop.post(reverse("login-identity", args=["wechat"]))["Location"]
    assert url.startswith("https://open.weixin.qq.com/connect/qrconnect?appid=wx-web&")
    assert url.endswith("#wechat_redirect")
    query = parse_qs(urlsplit(url).query)
    assert query["scope"] == ["snsapi_login"]
    assert query["response_type"] == ["code"]
    assert query["redirect_uri"] == ["https://shop.test/login/wechat/callback/"]
    assert len(query["state"][0]) == 32


def test_inside_wechat_the_service_account_asks(
    in_wechat: Client, far: FarSide
) -> None:
    url = in_wechat.post(reverse("login-identity", args=["wechat"]))["Location"]
    assert url.startswith(
        "https://open.weixin.qq.com/connect/oauth2/authorize?appid=wx-mp&"
    )
    assert parse_qs(urlsplit(url).query)["scope"] == ["snsapi_userinfo"]
    assert url.endswith("#wechat_redirect")


@pytest.mark.parametrize("device", ["phone", "desktop"])
def test_qq_knows_a_phone_from_a_desktop(
    request: pytest.FixtureRequest, far: FarSide, device: str
) -> None:
    client: Client = request.getfixturevalue(device)
    url = client.post(reverse("login-identity", args=["qq"]))["Location"]
    assert url.startswith("https://graph.qq.com/oauth2.0/authorize?")
    query = parse_qs(urlsplit(url).query)
    assert query["client_id"] == ["10101101"]
    assert query.get("display") == (["mobile"] if device == "phone" else None)


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("in_wechat", {"微信一键登录"}),
        ("desktop", {"微信扫码登录", "QQ 登录"}),
        ("phone", {"QQ 一键登录"}),
    ],
)
@pytest.mark.parametrize("page", ["/login/", "/membership/temporary/", "/redeem/"])
def test_each_device_is_offered_what_works_there(
    request: pytest.FixtureRequest,
    shop: None,
    far: FarSide,
    device: str,
    words: set[str],
    page: str,
) -> None:
    client: Client = request.getfixturevalue(device)
    shown = client.get(page)
    assert {offer.words for offer in shown.context["offers"]} == words
    for each in words:
        assert each in shown.text


@pytest.mark.parametrize("device", ["in_wechat", "desktop", "phone"])
def test_without_keys_nothing_is_offered(
    request: pytest.FixtureRequest, settings: Settings, device: str
) -> None:
    settings.WECHAT_LOGIN_APP_ID = settings.WECHAT_MP_APP_ID = ""
    settings.QQ_LOGIN_APP_ID = ""
    client: Client = request.getfixturevalue(device)
    assert client.get("/login/").context["offers"] == []
    for provider in ("wechat", "qq", "weibo"):
        answer = client.post(reverse("login-identity", args=[provider]))
        assert answer.status_code == 404
    assert not Session.objects.exists()


@pytest.mark.parametrize(
    ("device", "provider"), [("phone", "wechat"), ("in_wechat", "qq")]
)
def test_what_cannot_work_here_is_not_there(
    request: pytest.FixtureRequest, far: FarSide, device: str, provider: str
) -> None:
    client: Client = request.getfixturevalue(device)
    assert client.post(reverse("login-identity", args=[provider])).status_code == 404


@pytest.mark.parametrize("provider", ["wechat", "qq"])
def test_she_comes_back_signed_in(desktop: Client, far: FarSide, provider: str) -> None:
    """S2, S3"""
    done = sign_in(desktop, far, ALICE, provider, next="/membership/temporary/")
    assert done.status_code == 303
    assert done["Location"] == "/membership/temporary/"
    member = Member.objects.get()
    assert user_of(desktop) == member.pk
    assert member.signs_in_as == ("微信 小明" if provider == "wechat" else "QQ 小明")
    assert desktop.cookies["sessionid"]["max-age"] == 90 * 86_400
    again = Client(headers={"User-Agent": "Mozilla/5.0 (X11)"})
    sign_in(again, far, ALICE, provider)
    assert user_of(again) == member.pk
    assert Identity.objects.count() == 1


def test_secrets_travel_from_server_to_server(desktop: Client, far: FarSide) -> None:
    sign_in(desktop, far, ALICE)
    token, user = far.queries
    assert token["appid"] == "wx-web"
    assert token["secret"] == "web-secret"
    assert token["grant_type"] == "authorization_code"
    assert user["openid"] == "oAlice"
    sign_in(Client(), far, ALICE, "qq")
    assert far.queries[2]["client_secret"] == "qq-secret"
    assert far.queries[2]["redirect_uri"] == "https://shop.test/login/qq/callback/"
    assert far.queries[3]["unionid"] == "1"
    assert far.queries[4]["oauth_consumer_key"] == "10101101"


def test_the_session_changes_at_sign_in(desktop: Client, far: FarSide) -> None:
    """security 23"""
    state = set_out(desktop)
    planted = desktop.cookies["sessionid"].value
    come_back(desktop, state, far.agrees(ALICE))
    assert desktop.cookies["sessionid"].value != planted
    stranger = Client()
    stranger.cookies["sessionid"] = planted
    assert user_of(stranger) is None


class TestState:
    """security 25"""

    def test_a_code_without_a_state_is_refused(
        self, desktop: Client, far: FarSide
    ) -> None:
        code = far.agrees(MALLORY)
        page = desktop.get(reverse("login-callback", args=["wechat"]), {"code": code})
        self.refused(page, desktop, far)

    @pytest.mark.parametrize(
        "state", ["", "0" * 32, "0" * 31, "x" * 9_999, "\x00", "' OR 1=1", "é" * 32]
    )
    def test_a_made_up_state_is_refused(
        self, desktop: Client, far: FarSide, state: str
    ) -> None:
        set_out(desktop)
        self.refused(come_back(desktop, state, far.agrees(MALLORY)), desktop, far)

    def test_a_state_of_another_browser_is_refused(
        self, desktop: Client, far: FarSide
    ) -> None:
        attacker = Client()
        state = set_out(attacker)
        set_out(desktop)
        self.refused(come_back(desktop, state, far.agrees(MALLORY)), desktop, far)

    def test_it_leaves_the_session_of_a_victim_alone(
        self, desktop: Client, far: FarSide
    ) -> None:
        victim = Member.objects.create_user("+8613800138000")
        desktop.force_login(victim)
        attacker = Client()
        state = set_out(attacker)
        page = come_back(desktop, state, far.agrees(MALLORY))
        assert page.status_code == 400
        assert user_of(desktop) == victim.pk
        assert not Identity.objects.exists()
        assert far.asked == []

    @pytest.mark.parametrize(
        ("seconds", "status"), [(600, 303), (601, 400), (660, 400)]
    )
    def test_it_lives_ten_minutes(
        self, desktop: Client, far: FarSide, seconds: int, status: int
    ) -> None:
        with time_machine.travel("2026-11-22T02:00:00Z", tick=False) as clock:
            state = set_out(desktop)
            clock.shift(timedelta(seconds=seconds))
            page = come_back(desktop, state, far.agrees(ALICE))
        assert page.status_code == status

    def test_a_used_state_is_refused(self, desktop: Client, far: FarSide) -> None:
        state = set_out(desktop)
        come_back(desktop, state, far.agrees(ALICE))
        desktop.post(reverse("logout"))
        far.asked.clear()
        self.refused(come_back(desktop, state, far.agrees(MALLORY)), desktop, far)

    def test_a_copied_session_uses_a_state_once(
        self, desktop: Client, far: FarSide
    ) -> None:
        """Two requests that read the session before either wrote it."""
        state = set_out(desktop)
        row = Session.objects.get()
        assert come_back(desktop, state, far.agrees(ALICE)).status_code == 303
        Session.objects.create(
            session_key=row.session_key,
            session_data=row.session_data,
            expire_date=row.expire_date,
        )
        twin = Client()
        twin.cookies["sessionid"] = row.session_key
        assert come_back(twin, state, far.agrees(MALLORY)).status_code == 400
        assert user_of(twin) is None
        assert Identity.objects.get().openid == "oAlice"

    def test_only_the_newest_are_kept(self, desktop: Client, far: FarSide) -> None:
        states = [set_out(desktop) for _ in range(6)]
        assert come_back(desktop, states[0], far.agrees(ALICE)).status_code == 400
        assert come_back(desktop, states[1], far.agrees(ALICE)).status_code == 303

    def refused(self, page: object, client: Client, far: FarSide) -> None:
        assert page.status_code == 400  # type: ignore[attr-defined]
        assert "没有登录成功" in page.text  # type: ignore[attr-defined]
        assert far.asked == []
        assert user_of(client) is None
        assert not Identity.objects.filter(openid="oMallory").exists()


def test_the_same_code_twice_is_asked_once(desktop: Client, far: FarSide) -> None:
    """security 26"""
    state, code = set_out(desktop), far.agrees(ALICE)
    assert come_back(desktop, state, code).status_code == 303
    assert come_back(desktop, state, code).status_code == 400
    assert far.asked.count("token") == 1


def test_a_spent_code_with_a_new_state_is_refused_by_the_provider(
    desktop: Client, far: FarSide
) -> None:
    """security 26"""
    state, code = set_out(desktop), far.agrees(ALICE)
    come_back(desktop, state, code)
    stranger = Client()
    page = come_back(stranger, set_out(stranger), code)
    assert page.status_code == 400
    assert user_of(stranger) is None


def test_a_code_of_qq_at_wechats_callback_is_refused(
    desktop: Client, far: FarSide
) -> None:
    """security 26"""
    state = set_out(desktop, "qq")
    page = come_back(desktop, state, far.agrees(ALICE), "wechat")
    assert page.status_code == 400
    assert far.asked == []
    assert user_of(desktop) is None
    assert come_back(desktop, state, far.agrees(ALICE), "qq").status_code == 400


def test_a_token_of_another_application_is_refused(
    desktop: Client, far: FarSide
) -> None:
    """QQ: whoever runs another application has tokens of its users."""
    far.says["me"] = {"client_id": "999999", "openid": "oAlice"}
    assert sign_in(desktop, far, ALICE, "qq").status_code == 400
    assert user_of(desktop) is None
    assert not Identity.objects.exists()


def test_without_the_right_to_unionids_the_openid_serves(
    desktop: Client, far: FarSide, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = far._qq

    def no_right(step: str, params: dict[str, str]) -> dict[str, object]:
        if step == "me" and params.get("unionid"):
            return {"error": 100048, "error_description": "no right"}
        return plain(step, params)

    monkeypatch.setattr(far, "_qq", no_right)
    who = Far("oAlice", "", "小明")
    assert sign_in(desktop, far, who, "qq").status_code == 303
    assert Identity.objects.get().unionid == ""


def test_who_says_no_is_told_and_goes_on_by_phone(
    desktop: Client, far: FarSide
) -> None:
    page = come_back(desktop, set_out(desktop, next="/membership/temporary/"))
    assert page.status_code == 200
    assert "你没有同意用微信登录" in page.text
    assert "/login/?next=/membership/temporary/" in page.text
    assert far.asked == []


@pytest.mark.parametrize("provider", ["wechat", "qq"])
def test_a_provider_that_is_down_leads_to_the_phone(
    desktop: Client, far: FarSide, provider: str
) -> None:
    far.down.add("token")
    page = sign_in(desktop, far, ALICE, provider)
    assert page.status_code == 503
    assert "现在连不上" in page.text
    assert reverse("login") in page.text
    assert user_of(desktop) is None


@pytest.mark.parametrize("provider", ["wechat", "qq"])
def test_the_name_is_no_condition(desktop: Client, far: FarSide, provider: str) -> None:
    far.down.add("userinfo")
    assert sign_in(desktop, far, ALICE, provider).status_code == 303
    assert Identity.objects.get().nickname == ""


@pytest.mark.parametrize("provider", ["wechat", "qq"])
def test_no_code_and_no_state_fails_the_callback(
    desktop: Client, far: FarSide, provider: str
) -> None:
    """security 25, 26, 28: whatever comes in the place of a code, beside a state of this
    browser, and in the place of a state; the state is spent by it."""
    url = reverse("login-callback", args=[provider])
    for value in (*STRANGE.values(), *HOSTILE):
        state = set_out(desktop, provider)
        answer = desktop.get(url, {"code": value, "state": state, "next": value})
        assert answer.status_code == (400 if value else 200), value[:40]
        assert "evil.example" not in answer.get("Location", "")
        assert "<svg/onload" not in answer.text
        again = come_back(desktop, state, far.agrees(ALICE), provider)
        assert again.status_code == 400, value[:40]
        made_up = come_back(desktop, value, far.agrees(MALLORY), provider)
        assert made_up.status_code == 400, value[:40]
    assert user_of(desktop) is None
    assert not Identity.objects.exists()


def test_of_repeated_parameters_none_is_chosen_by_a_stranger(
    desktop: Client, far: FarSide
) -> None:
    """security 25: a state put before or behind hers spends neither and binds nobody."""
    state, code = set_out(desktop), far.agrees(MALLORY)
    url = reverse("login-callback", args=["wechat"])
    answer = desktop.get(f"{url}?state={state}&state={'0' * 32}&code={code}")
    assert answer.status_code == 400
    assert far.asked == []
    assert user_of(desktop) is None


def test_a_closed_account_stays_closed(desktop: Client, far: FarSide) -> None:
    sign_in(desktop, far, ALICE)
    desktop.post(reverse("logout"))
    Member.objects.update(is_active=False)
    page = sign_in(desktop, far, ALICE)
    assert page.status_code == 403
    assert user_of(desktop) is None


def test_it_opens_no_console(desktop: Client, far: FarSide) -> None:
    """A staff account can be entered by name and password alone."""
    sign_in(desktop, far, ALICE)
    desktop.post(reverse("logout"))
    Member.objects.update(is_staff=True, username="boss")
    assert sign_in(desktop, far, ALICE).status_code == 403
    assert user_of(desktop) is None


@pytest.mark.parametrize("wish", HOSTILE)
def test_next_never_leaves_the_site(desktop: Client, far: FarSide, wish: str) -> None:
    """security 28"""
    done = sign_in(desktop, far, ALICE, next=wish)
    assert done.status_code == 303
    assert done["Location"] == reverse("account")


@pytest.mark.parametrize("wish", ["/%09/evil.example", "/%5cevil.example"])
def test_next_is_used_as_it_came(desktop: Client, far: FarSide, wish: str) -> None:
    """security 28"""
    assert sign_in(desktop, far, ALICE, next=wish)["Location"] == wish


def test_the_chosen_plan_comes_along(in_wechat: Client, far: FarSide) -> None:
    done = sign_in(
        in_wechat, far, ALICE, next="/membership/temporary/", plan="temporary-30"
    )
    assert done["Location"] == "/membership/temporary/?plan=temporary-30"


def test_how_many_pieces_she_wants_comes_along(in_wechat: Client, far: FarSide) -> None:
    done = sign_in(in_wechat, far, ALICE, next="/zone/card/", quantity="3")
    assert done["Location"] == "/zone/card/?quantity=3"


@pytest.mark.parametrize("plan", ["a&next=//evil", "#x", "\r\nSet-Cookie: a=b"])
def test_a_hostile_plan_stays_a_value(
    in_wechat: Client, far: FarSide, plan: str
) -> None:
    where = sign_in(in_wechat, far, ALICE, next="/membership/temporary/", plan=plan)
    parts = urlsplit(where["Location"])
    assert parts.path == "/membership/temporary/"
    assert parse_qs(parts.query) == {"plan": [plan]}


def test_the_host_that_was_asked_for_does_not_matter(
    far: FarSide, settings: Settings
) -> None:
    """security 60"""
    settings.ALLOWED_HOSTS = ["elsewhere.test"]
    client = Client(headers={"Host": "elsewhere.test", "User-Agent": "Mozilla (X11)"})
    url = client.post(reverse("login-identity", args=["wechat"]))["Location"]
    assert "redirect_uri=https%3A%2F%2Fshop.test%2F" in url


def test_only_a_post_sets_out(desktop: Client, far: FarSide) -> None:
    """security 57"""
    assert desktop.get(reverse("login-identity", args=["wechat"])).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    answer = strict.post(reverse("login-identity", args=["wechat"]))
    assert answer.status_code == 403
    assert not Session.objects.exists()


def test_nothing_of_it_is_logged(
    desktop: Client, far: FarSide, caplog: pytest.LogCaptureFixture
) -> None:
    """security 74"""
    caplog.set_level(logging.DEBUG)
    code = far.agrees(ALICE)
    come_back(desktop, set_out(desktop), code)
    far.says["token"] = {"errcode": 40029, "errmsg": f"invalid code {code}"}
    spent = far.agrees(ALICE)
    come_back(Client(), "0" * 32, spent)
    other = Client()
    come_back(other, set_out(other), spent)
    assert "wechat refused a log-in: 40029" in caplog.text
    for secret in (code, spent, "oAlice", "uAlice", "小明", "web-secret", *far.tokens):
        assert secret not in caplog.text


HOSTILE_NAMES = [
    "<img src=x onerror=alert(1)>",
    "x" * 10_000,
    "a\u202eb",
    "👨\u200d👩\u200d👧",
    "nul\x00l",
    "=cmd|'/c calc'!A1",
    "{{7*7}}",
]


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=range(len(HOSTILE_NAMES)))
def test_a_hostile_name_does_no_harm(
    desktop: Client, far: FarSide, name: str, operator: Member
) -> None:
    """security 63: in her own pages and in the console."""
    sign_in(desktop, far, Far(nickname=name))
    kept = Identity.objects.get().nickname
    assert len(kept) <= 32
    assert kept.isprintable()
    staff = Client()
    operator.is_superuser = True
    operator.save()
    staff.force_login(operator)
    member = Identity.objects.get().member
    pages = [
        desktop.get(url) for url in (reverse("account"), reverse("account-identities"))
    ]
    pages += [
        staff.get(reverse("admin:members_member_changelist")),
        staff.get(reverse("admin:members_member_change", args=[member.pk])),
    ]
    for page in pages:
        assert page.status_code == 200
        for sign in ("<img src=x", "\u202e", "\u200d", "\x00", "x" * 33):
            assert sign not in page.text
    assert "{{7*7}}" in kept or "49" not in kept
