"""What every answer carries for the browser, and what a production shop adds.

security 55, 58, 59, 60.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from members import staff_roles
from members.models import Member
from tests.payments.test_gateways import ALIPAY, PRODUCTION, WECHAT
from tests.security.conftest import World, signed_in
from tests.security.crawling import addresses, crawl

ROOT = Path(__file__).resolve().parents[2]
NOWHERE = ("default-src", "frame-ancestors", "base-uri")


def policy(answer: Any) -> dict[str, list[str]]:
    directives = answer["Content-Security-Policy"].split("; ")
    return {name: sources for name, *sources in map(str.split, directives)}


def check_headers(url: str, answer: Any) -> None:
    csp = policy(answer)
    for name in NOWHERE:
        assert csp[name] == ["'none'"], url
    assert csp["script-src"] == csp["style-src"] == ["'self'"], url
    assert not any("unsafe" in source for sources in csp.values() for source in sources)
    assert not any("*" in source for sources in csp.values() for source in sources)
    assert answer["X-Content-Type-Options"] == "nosniff", url
    assert answer["X-Frame-Options"] == "DENY", url
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin", url
    assert answer["Referrer-Policy"] == "strict-origin-when-cross-origin", url
    assert re.fullmatch("[0-9a-f]{12}", answer["X-Request-Id"]), url
    for name in ("Server", "X-Powered-By", "Access-Control-Allow-Origin"):
        assert name not in answer.headers, url
    for cookie in answer.cookies.values():
        assert cookie["samesite"] == "Lax", url
        assert cookie["httponly"] or cookie.key == "django_language", url
        assert not cookie["domain"], url


# --- Every page ------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["guest", "owner", "staff"])
def test_every_answer_carries_the_headers(world: World, who: str) -> None:
    """58, 59: also redirects, refusals and what is not there."""
    starts = [url for urls in addresses(world).values() for url in urls]
    client = Client()
    if who == "owner":
        client = world.as_owner()
    elif who == "staff":
        staff = Member.objects.create_staff("yunying", "correct horse battery")
        staff_roles.assign(staff, staff_roles.OPERATOR)
        client, starts = signed_in(staff), ["/console/"]
    read = crawl(client, [*starts, "/nope/", "/", "/?x=1"], limit=120)
    for url, answer in read.items():
        check_headers(url, answer)
    check_headers("400", client.get("/", headers={"Host": "evil.example"}))
    strict = Client(enforce_csrf_checks=True)
    check_headers("403", strict.post("/login/", {}))
    check_headers("405", client.get("/checkout/"))


OURS = (
    *("/static/", "data:image/svg+xml", "/console/jsi18n/", "/manifest.webmanifest"),
    "#",  # a place of the page itself
)
INLINE = re.compile(
    r"<script(?![^>]*\bsrc=)[^>]*>(?!\s*</script>)|<style\b|\sstyle=|\son\w+=|\shx-on|"
    r"javascript:|\bjs:|hx-vars",
    re.IGNORECASE,
)


@pytest.mark.parametrize("who", ["guest", "owner", "staff"])
def test_no_page_needs_what_the_policy_forbids(world: World, who: str) -> None:
    """59: no inline script, style or handler that the browser would drop."""
    starts = [url for urls in addresses(world).values() for url in urls]
    client = Client() if who == "guest" else world.as_owner()
    if who == "staff":
        staff = Member.objects.create_staff("yunying", "correct horse battery")
        staff_roles.assign(staff, staff_roles.OPERATOR)
        client, starts = signed_in(staff), ["/console/"]
    for url, answer in crawl(client, starts, limit=120).items():
        if answer.get("Content-Type", "").startswith("text/html"):
            found = INLINE.search(answer.text)
            assert found is None, f"{url}: {found and found[0]}"
            for source in re.findall(
                r'<(?:script|link|img)[^>]*(?:src|href)="([^"]+)', answer.text
            ):
                assert source.startswith(OURS), url


def test_a_form_may_go_to_the_configured_wallets_and_nowhere_else(world: World) -> None:
    """design §6: form-action names the gateways' origins.

    UnionPay's real gateway sends the form on to cashiers on other hosts of its own.
    """
    first, *sources = policy(Client().get("/login/"))["form-action"]
    assert first == "'self'"
    assert set(sources) == {
        *("https://openapi.alipay.com", "https://api.mch.weixin.qq.com"),
        *("https://gateway.95516.com", "https://cashier.95516.com"),
        "https://mcashier.95516.com",
    }


# --- In production ---------------------------------------------------------------------

ASK = """
import json, sys, django
django.setup()
from django.conf import settings
from django.core.management import call_command
settings.STATIC_ROOT = sys.argv[1]
call_command("collectstatic", verbosity=0, interactive=False)
from django.test import Client
from members.demo import fill
call_command("migrate", verbosity=0, interactive=False)
fill()
from members.models import Member
owner = Member.objects.create_user("+8613712345678")
said = {}
def note(name, answer):
    said[name] = {
        "status": answer.status_code,
        "headers": dict(answer.headers),
        "cookies": {c.key: {"value": c.value, **c} for c in answer.cookies.values()},
        "text": answer.content.decode(),
    }
open_way, safe = {"X-Forwarded-Proto": "http"}, {"X-Forwarded-Proto": "https"}
client = Client(raise_request_exception=False, SERVER_NAME="shop.example")
note("landing", client.get("/", headers=safe))
note("landing again", client.get("/", headers=safe))
note("landing over http", client.get("/", headers=open_way))
note("login over http", client.get("/login/?next=/account/", headers=open_way))
note("health over http", client.get("/healthz", headers=open_way))
note("login", client.get("/login/", headers=safe))
note("another host", client.get("/", headers=safe | {"Host": "evil.example"}))
note("missing", client.get("/nope/", headers=safe))
client.force_login(owner)
note("sent", client.post("/login/code/", {"phone": "x"}, headers=safe))
note("account", client.get("/account/", headers=safe))
session = client.session
session["x"] = 1
session.save()
note("again", client.post("/account/notice/dismiss/", {"key": "x"}, headers=safe))
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a shop with production settings answers, asked in a process of its own."""
    folder = tmp_path_factory.mktemp("production")
    clean = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
    environ = (
        clean
        | PRODUCTION
        | ALIPAY
        | WECHAT
        | {
            "DJANGO_SETTINGS_MODULE": "kameng.settings",
            "DATABASE_URL": f"sqlite:///{folder / 'db.sqlite3'}",
            "PYTHONPATH": ".",
        }
    )
    asked = subprocess.run(
        [sys.executable, "-c", ASK, str(folder / "static")],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert asked.returncode == 0, asked.stderr
    said: dict[str, Any] = json.loads(asked.stdout)
    return said


def test_production_speaks_https_alone(production: dict[str, Any]) -> None:
    """59: the cached landing as well, and the prober of a container excepted."""
    assert production["landing"]["status"] == 200
    for name, where in (
        ("landing over http", "https://shop.example/"),
        ("login over http", "https://shop.example/login/?next=/account/"),
    ):
        assert production[name]["status"] == 301, name
        assert production[name]["headers"]["Location"] == where
    assert production["health over http"]["status"] == 200


def test_production_tells_the_browser_to_stay_on_https(
    production: dict[str, Any],
) -> None:
    """59"""
    for name in ("landing", "landing again", "login", "account", "missing"):
        hsts = production[name]["headers"]["Strict-Transport-Security"]
        assert int(re.findall(r"max-age=(\d+)", hsts)[0]) >= 31_536_000
        assert "includeSubDomains" in hsts


def test_productions_cookies_are_of_this_host_alone(production: dict[str, Any]) -> None:
    """59"""
    found = {
        name: cookie
        for answer in production.values()
        for name, cookie in answer["cookies"].items()
    }
    assert set(found) == {"__Host-csrftoken", "__Host-sessionid"}
    for cookie in found.values():
        assert cookie["secure"]
        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"
        assert cookie["path"] == "/"
        assert not cookie["domain"]
    assert found["__Host-sessionid"]["max-age"] == 90 * 86_400


def test_production_answers_for_its_own_name(production: dict[str, Any]) -> None:
    """60"""
    assert production["another host"]["status"] == 400
    assert "evil" not in production["another host"]["text"]


def test_production_allows_the_vendors_own_addresses(
    production: dict[str, Any],
) -> None:
    csp = production["login"]["headers"]["Content-Security-Policy"]
    assert (
        "form-action 'self' https://openapi.alipay.com https://api.mch.weixin.qq.com"
        " https://gateway.95516.com https://cashier.95516.com https://mcashier.95516.com"
        in csp
    )


def test_production_shows_no_trace(production: dict[str, Any]) -> None:
    """72"""
    for name, answer in production.items():
        assert "Traceback" not in answer["text"], name
        assert "DEBUG" not in answer["text"], name
    assert production["missing"]["status"] == 404
