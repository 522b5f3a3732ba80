"""Passkeys: the recorded ceremonies, the pages, and who may do what."""

from __future__ import annotations

import base64
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import cbor2
import pytest
import time_machine
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from django.test import Client, override_settings
from django.urls import reverse
from webauthn.helpers import bytes_to_base64url

from members.models import Member, Passkey
from members.sign_in import passkeys
from notifications.models import Notification
from tests.members.edge import PHONE, Inbox
from tests.rows import changed, fingerprint

pytestmark = pytest.mark.django_db

FOLDER = Path(
    os.environ.get("PROTOCOL_VECTORS") or Path(__file__).parents[1] / "vectors"
)
_FILE = FOLDER / "webauthn.json"
VECTORS: dict[str, Any] = (
    json.loads(_FILE.read_text(encoding="utf-8")) if _FILE.exists() else {"cases": []}
)
ORIGIN = "http://localhost:8000"


def recorded(kind: str) -> Any:
    wanted = [case for case in VECTORS["cases"] if case["kind"] == kind]
    cases = [pytest.param(case, id=f"webauthn-{case['id']}") for case in wanted]
    return pytest.mark.parametrize("case", cases)


# --- The recorded ceremonies -----------------------------------------------------------


@pytest.mark.vectors
@recorded("register")
def test_a_recorded_registration(
    case: dict[str, Any], member: Member, now: datetime
) -> None:
    """security 29"""
    with override_settings(PUBLIC_URL=VECTORS["origin"]):
        try:
            passkeys.register(
                member.pk,
                json.dumps(case["credential"]),
                challenge=case["challenge"],
                name="x",
                now=now,
            )
        except passkeys.Refused:
            accepted = False
        else:
            accepted = True
    assert accepted is case["expect"]["accept"]
    kept = [one.credential_id for one in Passkey.objects.all()]
    assert kept == ([case["credential"]["id"]] if accepted else [])


@pytest.mark.vectors
@recorded("authenticate")
def test_a_recorded_login(case: dict[str, Any], member: Member, now: datetime) -> None:
    """security 29: counter, origin, rp, challenge, key, user verified, handle."""
    Passkey.objects.create(
        member=member,
        credential_id=VECTORS["credential_id"],
        user_handle=VECTORS["user_handle"],
        public_key=base64.urlsafe_b64decode(VECTORS["credential_public_key"] + "=="),
        sign_count=case.get("stored_count", 0),
        name="x",
    )
    with override_settings(PUBLIC_URL=VECTORS["origin"]):
        answer = json.dumps(case["credential"])
        try:
            found = passkeys.recognise(answer, challenge=case["challenge"], now=now)
        except passkeys.Refused:
            assert not case["expect"]["accept"]
            assert Passkey.objects.get().used_at is None
        else:
            assert case["expect"]["accept"]
            assert found == member
            assert Passkey.objects.get().sign_count == case["expect"]["new_count"]


# --- A soft authenticator --------------------------------------------------------------


class Authenticator:
    """A telephone with one key; answers as a browser at ``origin`` would pass it on."""

    def __init__(self, *, synced: bool = False) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = os.urandom(32)
        self.handle = ""
        self.count = 0
        self.synced = synced

    def make(self, options: dict[str, Any], origin: str = ORIGIN) -> str:
        self.handle = options["user"]["id"]
        point = self.key.public_key().public_numbers()
        public_key = cbor2.dumps(
            {
                1: 2,
                3: -7,
                -1: 1,
                -2: point.x.to_bytes(32),
                -3: point.y.to_bytes(32),
            }
        )
        data = self._data(options["rp"]["id"], 0x45)
        data += bytes(16) + len(self.id).to_bytes(2) + self.id + public_key
        told = {"fmt": "none", "attStmt": {}, "authData": data}
        return self._answer(
            clientDataJSON=_client_data("create", options["challenge"], origin),
            attestationObject=cbor2.dumps(told),
        )

    def sign(
        self, options: dict[str, Any], origin: str = ORIGIN, flags: int = 0x05
    ) -> str:
        if not self.synced:
            self.count += 1
        data = self._data(options["rpId"], flags)
        client_data = _client_data("get", options["challenge"], origin)
        digest = hashes.Hash(hashes.SHA256())
        digest.update(client_data)
        signature = self.key.sign(data + digest.finalize(), ec.ECDSA(hashes.SHA256()))
        return self._answer(
            clientDataJSON=client_data,
            authenticatorData=data,
            signature=signature,
            userHandle=base64.urlsafe_b64decode(self.handle + "=="),
        )

    def _data(self, rp_id: str, flags: int) -> bytes:
        digest = hashes.Hash(hashes.SHA256())
        digest.update(rp_id.encode())
        return digest.finalize() + bytes([flags]) + self.count.to_bytes(4)

    def _answer(self, **response: bytes) -> str:
        told = {name: bytes_to_base64url(value) for name, value in response.items()}
        own_id = bytes_to_base64url(self.id)
        return json.dumps(
            {"id": own_id, "rawId": own_id, "type": "public-key", "response": told}
        )


def _client_data(kind: str, challenge: str, origin: str) -> bytes:
    told = {"type": f"webauthn.{kind}", "challenge": challenge, "origin": origin}
    return json.dumps(told).encode()


NEW = "/account/passkeys/new/"
LOGIN = "/login/passkey/"


@pytest.fixture
def hers(client: Client, inbox: Inbox) -> Client:
    """Signed in by a code a moment ago."""
    client.post(reverse("login-code"), {"phone": PHONE})
    client.post(reverse("login"), {"phone": PHONE, "code": inbox.code()})
    return client


def make(client: Client, key: Authenticator, **more: Any) -> Any:
    options = json.loads(client.get(NEW).context["options"])
    return client.post(NEW, {"passkey": key.make(options, **more)})


def options_of(client: Client, url: str = LOGIN) -> dict[str, Any]:
    found: dict[str, Any] = client.get(url).json()
    return found


def sign_in(client: Client, key: Authenticator, **more: Any) -> Any:
    answer = key.sign(options_of(client), **more)
    return client.post(LOGIN, {"passkey": answer, "next": "/membership/"})


def signed_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


@pytest.fixture
def key(hers: Client) -> Authenticator:
    key = Authenticator()
    assert make(hers, key).status_code == 303
    return key


# --- Making one ------------------------------------------------------------------------


def test_a_passkey_is_made_named_and_signs_in_elsewhere(hers: Client) -> None:
    """S4, security 30: nothing typed on the new device, and she is told of the key."""
    key = Authenticator()
    options = json.loads(hers.get(NEW).context["options"])
    assert options["rp"]["id"] == "localhost"
    assert options["user"]["name"] == "138••••8000"
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert options["authenticatorSelection"]["residentKey"] == "required"
    agent = {"User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0)"}
    done = hers.post(NEW, {"passkey": key.make(options)}, headers=agent)
    assert (done.status_code, done["Location"]) == (303, "/account/passkeys/")
    one = Passkey.objects.get()
    assert one.name.startswith("iPhone ")
    assert one.user_handle == options["user"]["id"]
    assert PHONE[3:] not in one.user_handle
    assert one.name in hers.get(done["Location"]).text
    elsewhere = Client()
    entered = sign_in(elsewhere, key)
    assert (entered.status_code, entered["Location"]) == (303, "/membership/")
    assert elsewhere.session["_auth_user_id"] == str(one.member_id)
    assert Passkey.objects.get().sign_count == 1
    told = Notification.objects.filter(member=one.member, kind="way_added")
    assert {each.channel for each in told} == {"site", "sms"}
    assert all(each.params == {"way": "passkey"} for each in told)


def test_only_a_fresh_proof_lets_her_add_one(hers: Client) -> None:
    """security 30: a session of a day ago gets 403, and the page asks again."""
    options = json.loads(hers.get(NEW).context["options"])
    with time_machine.travel(datetime.now(UTC) + timedelta(days=1)):
        answer = hers.post(NEW, {"passkey": Authenticator().make(options)})
        assert answer.status_code == 403
        assert "确认是你本人" in answer.text
        asked = hers.get(NEW)
        assert asked["Location"].startswith(reverse("account-confirm"))
    assert not Passkey.objects.exists()


def test_a_challenge_makes_one_passkey(hers: Client) -> None:
    """security 29: single use."""
    options = json.loads(hers.get(NEW).context["options"])
    for key, status in ((Authenticator(), 303), (Authenticator(), 400)):
        assert hers.post(NEW, {"passkey": key.make(options)}).status_code == status
    assert Passkey.objects.count() == 1


def test_a_known_credential_is_not_taken_again(
    hers: Client, key: Authenticator
) -> None:
    """security 29, 27: also not by another account."""
    assert make(hers, key).status_code == 400
    other = Client()
    other.force_login(Member.objects.create_user("+8613900139000"))
    session = other.session
    session["proved_at"] = datetime.now(UTC).timestamp()
    session.save()
    assert make(other, key).status_code == 400
    assert Passkey.objects.get().member.phone == PHONE


@pytest.mark.parametrize(
    "origin", ["https://localhost:8000", "http://localhost:8001", "http://evil.example"]
)
def test_another_origin_makes_and_opens_nothing(
    hers: Client, key: Authenticator, origin: str
) -> None:
    """security 29: exact, with the port."""
    assert make(hers, Authenticator(), origin=origin).status_code == 400
    stranger = Client()
    assert sign_in(stranger, key, origin=origin).status_code == 400
    assert not signed_in(stranger)
    assert Passkey.objects.count() == 1


# --- Signing in ------------------------------------------------------------------------


def test_a_challenge_opens_once(hers: Client, key: Authenticator) -> None:
    """security 29"""
    one, two = Client(), Client()
    options = options_of(one)
    assert one.post(LOGIN, {"passkey": key.sign(options)}).status_code == 303
    two.cookies = one.cookies.__class__()
    two.cookies["csrftoken"] = one.cookies["csrftoken"].value
    assert two.post(LOGIN, {"passkey": key.sign(options)}).status_code == 400
    one.post(reverse("logout"))
    again = one.post(LOGIN, {"passkey": key.sign(options)})
    assert again.status_code == 400
    assert not signed_in(one)


def test_the_challenge_of_another_browser_opens_nothing(
    hers: Client, key: Authenticator
) -> None:
    """security 25: nobody is signed in to an account that a stranger chose."""
    answer = key.sign(options_of(Client()))
    victim = Client()
    victim.get(LOGIN)
    assert victim.post(LOGIN, {"passkey": answer}).status_code == 400
    assert not signed_in(victim)


def test_a_challenge_for_something_else_opens_nothing(
    hers: Client, key: Authenticator
) -> None:
    """security 29: made to confirm, used to sign in."""
    options = options_of(hers, reverse("account-confirm-passkey"))
    cookie = hers.cookies["csrftoken"].value
    thief = Client()
    thief.cookies["csrftoken"] = cookie
    assert thief.post(LOGIN, {"passkey": key.sign(options)}).status_code == 400
    assert not signed_in(thief)


@pytest.mark.parametrize(("seconds", "status"), [(300, 303), (302, 400), (-10, 400)])
def test_a_challenge_is_good_for_five_minutes(
    hers: Client, key: Authenticator, seconds: int, status: int
) -> None:
    """security 29"""
    stranger = Client()
    with time_machine.travel("2026-11-22T02:00:00Z", tick=False) as clock:
        answer = key.sign(options_of(stranger))
        clock.shift(timedelta(seconds=seconds))
        assert stranger.post(LOGIN, {"passkey": answer}).status_code == status


def test_a_counter_that_goes_back_is_refused_and_remembered(
    hers: Client, key: Authenticator
) -> None:
    """security 29: a risk event of which she is told; the code by SMS still works."""
    Passkey.objects.update(sign_count=9)
    stranger = Client()
    sign_in(stranger, key)
    page = sign_in(stranger, key)
    assert page.status_code == 400
    assert "用短信验证码登录" in page.text
    assert not signed_in(stranger)
    one = Passkey.objects.select_related("member").get()
    assert one.sign_count == 9
    assert one.member.risk_flag_until is not None
    told = Notification.objects.filter(member=one.member, kind="passkey_copied")
    assert [each.channel for each in told] == ["site"]
    assert "可能被复制过的通行密钥" in hers.get(reverse("account")).text


def test_a_synced_passkey_counts_nought_for_ever(hers: Client) -> None:
    """security 29: 0/0 is accepted."""
    key = Authenticator(synced=True)
    make(hers, key)
    for _ in range(2):
        assert sign_in(Client(), key).status_code == 303
    assert Passkey.objects.get().sign_count == 0


def test_without_the_owners_finger_it_opens_nothing(
    hers: Client, key: Authenticator
) -> None:
    """security 29: user verification is required."""
    stranger = Client()
    assert sign_in(stranger, key, flags=0x01).status_code == 400
    assert not signed_in(stranger)


def test_a_removed_passkey_opens_nothing(hers: Client, key: Authenticator) -> None:
    """security 29"""
    assert hers.post(f"/account/passkeys/{Passkey.objects.get().pk}/remove/")
    stranger = Client()
    assert sign_in(stranger, key).status_code == 400
    assert not signed_in(stranger)


@pytest.mark.parametrize("closed", [{"is_active": False}, {"is_staff": True}])
def test_a_closed_account_and_staff_do_not_get_in(
    hers: Client, key: Authenticator, closed: dict[str, bool]
) -> None:
    Member.objects.update(username="kefu", **closed)
    stranger = Client()
    assert sign_in(stranger, key).status_code == 400
    assert not signed_in(stranger)


@pytest.mark.parametrize(
    "answer",
    ["", "{}", "[]", "null", "x" * 20_000, '{"response": {}}', "[" * 9_000,
     '{"id": 7, "response": {"clientDataJSON": "e30"}}'],
)  # fmt: skip
def test_rubbish_opens_nothing_and_moves_nothing(client: Client, answer: str) -> None:
    """security 29"""
    before = fingerprint()
    assert client.post(LOGIN, {"passkey": answer}).status_code == 400
    assert changed(before) == []


def test_asking_for_a_challenge_leaves_no_row(client: Client) -> None:
    before = fingerprint()
    answer = client.get(LOGIN)
    assert answer["Cache-Control"] == "private, no-store"
    assert answer.json()["userVerification"] == "required"
    assert not answer.json().get("allowCredentials")
    assert "sessionid" not in answer.cookies
    assert changed(before) == []


def test_the_session_gets_a_new_key(hers: Client, key: Authenticator) -> None:
    """security 23"""
    visitor = Client()
    visitor.post(reverse("login-code"), {"phone": "+8613900139000"})
    before = visitor.session.session_key
    sign_in(visitor, key)
    assert visitor.session.session_key != before


@pytest.mark.parametrize("wish", ["//evil.example", "https://evil.example/", "/\\evil"])
def test_it_never_leads_away(hers: Client, key: Authenticator, wish: str) -> None:
    """security 28"""
    visitor = Client()
    answer = key.sign(options_of(visitor))
    done = visitor.post(LOGIN, {"passkey": answer, "next": wish})
    assert done["Location"] == reverse("account")


def test_at_the_gift_codes_the_typed_code_stays(
    client: Client, key: Authenticator
) -> None:
    """A passkey among the phone field's suggestions leads back to /redeem/ with it."""
    new = Client()
    assert f'action="{reverse("redeem-passkey")}"' in new.get("/redeem/").text
    answer = new.post(
        reverse("redeem-passkey"),
        {
            "passkey": key.sign(options_of(new)),
            "gift": "7K3M-9QXA-2VTR-5W8Y",
            "next": "/redeem/",
        },
    )
    assert (answer.status_code, answer["Location"]) == (303, "/redeem/")
    assert signed_in(new)
    assert 'value="7K3M-9QXA-2VTR-5W8Y"' in new.get("/redeem/").text


# --- Confirming, renaming, removing ----------------------------------------------------


def test_a_passkey_confirms_like_a_code(hers: Client, key: Authenticator) -> None:
    """security 30"""
    later = datetime.now(UTC) + timedelta(days=1)
    with time_machine.travel(later):
        assert hers.post(NEW).status_code == 403
        options = options_of(hers, reverse("account-confirm-passkey"))
        fields = {"passkey": key.sign(options), "next": NEW}
        done = hers.post(reverse("account-confirm"), fields)
        assert (done.status_code, done["Location"]) == (303, NEW)
        assert hers.get(NEW).status_code == 200


def test_the_passkey_of_another_confirms_nothing(
    hers: Client, key: Authenticator
) -> None:
    """security 29, 30"""
    other = Client()
    other.force_login(Member.objects.create_user("+8613900139000"))
    options = options_of(other, reverse("account-confirm-passkey"))
    answer = other.post(reverse("account-confirm"), {"passkey": key.sign(options)})
    assert answer.status_code == 400
    assert other.post(NEW).status_code == 403


def test_she_renames_hers_and_nobody_elses(hers: Client, key: Authenticator) -> None:
    """security 52"""
    url = reverse("account-passkey", args=[Passkey.objects.get().pk])
    assert hers.post(url, {"name": " 我的\x00 手机\u202e "}).status_code == 303
    assert Passkey.objects.get().name == "我的 手机"
    hers.post(url, {"name": " \u200b"})
    assert Passkey.objects.get().name == "我的 手机"
    other = Client()
    other.force_login(Member.objects.create_user("+8613900139000"))
    session = other.session
    session["proved_at"] = datetime.now(UTC).timestamp()
    session.save()
    assert other.post(url, {"name": "x"}).status_code == 404
    assert other.post(f"{url}remove/").status_code == 404
    assert Passkey.objects.get().name == "我的 手机"


def test_the_last_way_in_stays(hers: Client, key: Authenticator) -> None:
    """security 63"""
    Member.objects.update(phone=None)
    url = reverse("account-passkey-remove", args=[Passkey.objects.get().pk])
    answer = hers.post(url)
    assert answer.status_code == 409
    assert "唯一的方式" in answer.text
    assert Passkey.objects.exists()
    Member.objects.update(phone=PHONE)
    assert hers.post(url).status_code == 303
    assert not Passkey.objects.exists()


def test_removing_asks_who_it_is(hers: Client, key: Authenticator) -> None:
    """security 30"""
    url = reverse("account-passkey-remove", args=[Passkey.objects.get().pk])
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=6)):
        assert hers.post(url).status_code == 403
    assert Passkey.objects.exists()


def test_there_is_an_end_to_adding(hers: Client, key: Authenticator) -> None:
    one = Passkey.objects.get()
    for number in range(passkeys.AT_MOST - 1):
        Passkey.objects.create(
            member=one.member, credential_id=f"c{number}", user_handle="h", name="x"
        )
    assert make(hers, Authenticator()).status_code == 400
    assert Passkey.objects.count() == passkeys.AT_MOST
