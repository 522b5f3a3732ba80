"""The console under attack: lookups, probes, default accounts, keys in the repository.

security 61, 64, 66, 67, 70.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import authenticate
from django.test import Client, RequestFactory
from django.urls import reverse

from kameng import embedded
from members.models import Member
from tests.rows import changed, fingerprint
from tests.security.conftest import World, calm, is_calm, signed_in
from tests.security.hostile import HOSTILE

ROOT = Path(__file__).resolve().parents[2]
LOOKUPS = (
    *("password", "password__startswith", "phone__startswith", "member__phone__regex"),
    *(
        "order__member__phone",
        "payload__contains",
        "client_token__startswith",
        "id__in",
    ),
    *("pk__gt", "handover__icontains", "attempt__order__no", "__class__", "a__b__c"),
    *(
        "o",
        "p",
        "q",
        "e",
        "all",
        "_facets",
        "_popup",
        "_to_field",
        "_changelist_filters",
    ),
    *("tail", "status__exact", "state", "outcome", "date__year", "is_staff__exact"),
)


@pytest.fixture
def chief(world: World) -> Client:
    """May see everything."""
    staff = Member.objects.create_staff("zhuguan", "correct horse battery")
    staff.is_superuser = True
    staff.save(update_fields=["is_superuser"])
    return calm(signed_in(staff))


def lists() -> list[str]:
    return [
        reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        for model in admin.site._registry
    ]


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_lookup_finds_nothing_and_fails_nothing(
    chief: Client, kind: str
) -> None:
    """61, 64: an unknown lookup is turned away, a known one gets its value escaped."""
    before = fingerprint()
    for url in lists():
        for sent in ({"q": HOSTILE[kind]}, dict.fromkeys(LOOKUPS, HOSTILE[kind])):
            answer = chief.get(url, sent)
            assert is_calm(answer), f"{url} {sent.keys()}"
            assert answer.status_code in (200, 302, 400, 403, 404)
    assert changed(before) == []


def test_no_list_can_be_asked_by_a_column_of_ones_choice(
    world: World, chief: Client
) -> None:
    """64: or whole phones could be guessed digit by digit."""
    shown = [url for url in lists() if chief.get(url).status_code == 200]
    assert "/console/members/member/" in shown
    assert "/console/orders/order/" in shown
    for url in shown:
        for lookup in (
            "phone__startswith",
            "member__phone__startswith",
            "password__gt",
        ):
            answer = chief.get(url, {lookup: "+861371234"})
            assert answer.status_code in (302, 400), f"{url} {lookup}"
            if answer.status_code == 302:
                assert answer["Location"].endswith("?e=1")


def test_a_hostile_row_number_is_not_there(chief: Client) -> None:
    """64"""
    for url in lists():
        for pk in ("0", "-1", "9" * 30, "1%00", "_5F", "x", "%27", "1 OR 1=1", "é"):
            for action in ("change", "history", "delete"):
                answer = chief.get(f"{url}{pk}/{action}/")
                assert is_calm(answer), f"{url}{pk}/{action}/"


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_name_or_password_opens_nothing(world: World, kind: str) -> None:
    """61, 66: and is answered in words."""
    client = calm(Client())
    sent = {"username": HOSTILE[kind], "password": HOSTILE[kind], "next": "/console/"}
    answer = client.post("/console/login/", sent)
    assert is_calm(answer)
    assert answer.status_code in (200, 429)
    assert "_auth_user_id" not in client.session


# --- Accounts and keys that nobody made --------------------------------------------------

DEFAULTS = (
    *(("admin", "admin"), ("admin", "123456"), ("admin", "password"), ("root", "root")),
    *(("operator", "operator"), ("support", "support"), ("operator", ""), ("", "")),
    *(("admin", "admin123"), ("test", "test"), ("demo", "demo"), ("kameng", "kameng")),
    *(("operator", "123456"), ("support", "123456"), ("system", "system")),
    *(("administrator", "administrator"), ("superuser", "superuser")),
    *(("13712345678", "123456"), ("+8613712345678", "+8613712345678")),
)


def test_a_new_shop_has_no_account_at_all(db: None) -> None:
    """67"""
    assert not Member.objects.exists()


def test_no_default_password_opens_the_demo_shop(world: World) -> None:
    """67: the staff that ``demo`` makes has passwords that were drawn by lot."""
    from members.demo import make_staff

    passwords = make_staff()
    assert all(len(password) >= 16 for password in passwords.values())
    assert len(set(passwords.values())) == 2
    for username, password in DEFAULTS:
        request = RequestFactory().post("/console/login/")
        assert authenticate(request, username=username, password=password) is None


def test_a_member_cannot_sign_in_to_the_console(world: World) -> None:
    """67: members have no password, not even an empty one."""
    assert not world.owner.has_usable_password()
    for client in (Client(), world.as_owner()):
        answer = client.get("/console/")
        assert answer.status_code == 302
        assert answer["Location"].startswith("/console/login/")


def test_every_installation_draws_its_own_keys(tmp_path: Path) -> None:
    """70"""
    drawn: list[dict[str, Any]] = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        drawn.append(embedded.development_secrets(tmp_path / name))
        assert (tmp_path / name / "secrets.json").stat().st_mode & 0o077 == 0
        assert embedded.development_secrets(tmp_path / name) == drawn[-1]
    values = [value for each in drawn for value in each.values()]
    assert len(set(values)) == 4
    assert all(len(value) >= 50 for value in values)


SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----\s*[A-Za-z0-9+/]{40}"
    r"|(?:SECRET_KEY|DATA_KEYS|API_V3_KEY|PASSWORD)\s*=\s*['\"]?[A-Za-z0-9+/_-]{24,}"
    r"|LTAI[0-9A-Za-z]{16,}|AKID[0-9A-Za-z]{20,}|ghp_[0-9A-Za-z]{30,}"
)


def test_the_repository_holds_no_key() -> None:
    """70: but those of the recorded messages, which are public and named as such."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("no git here")
    names = [name for name in listed.stdout.split("\0") if name]
    assert not any(Path(name).name in (".env", "keys.json") for name in names)
    found = {
        name
        for name in names
        if not name.startswith(("tests/", "benchmarks/baseline/", "requirements"))
        and SECRET.search((ROOT / name).read_text(encoding="utf-8", errors="ignore"))
    }
    assert found == set()


def test_the_example_of_the_environment_holds_names_and_no_values() -> None:
    """34, 70: nothing that a copied file would put into production."""
    secret = re.compile("KEY|SECRET|CERT|_ID$|SERIAL|TEMPLATES")
    lines = (ROOT / ".env.example").read_text().splitlines()
    named = [line.partition("=") for line in lines if line[:1] != "#"]
    values = {name: value for name, _, value in named if secret.search(name)}
    assert len(values) > 10
    assert set(values.values()) == {""}, values
