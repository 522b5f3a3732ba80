"""Whatever is sent gets words and a 4xx, never a 5xx, a trace or a byte of itself back.

security 60, 61, 62, 64, 71, 72, 80, 81.
"""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import quote

import pytest
from django.core.signals import request_started
from django.db import close_old_connections
from django.test import Client, RequestFactory
from django.test.client import BOUNDARY, MULTIPART_CONTENT
from django.urls import reverse

from kameng.wsgi import application
from tests.rows import changed, fingerprint
from tests.security.conftest import World, calm, is_calm
from tests.security.crawling import addresses
from tests.security.hostile import HOSTILE

HTMX = {"HX-Request": "true", "HX-Target": "phone"}
FORM = "application/x-www-form-urlencoded"
NAMES = (
    *(
        "plan",
        "kind",
        "channel",
        "phone",
        "code",
        "client_token",
        "shown_fen",
        "coupon",
    ),
    *("quantity", "renew", "next", "token", "seen", "returned", "product", "before"),
    *("guide", "key", "language", "q", "p", "o", "e", "error", "goods", "url", "n"),
    *("renew_for", "renew_fen", "shown"),
)
"""Every parameter that some page reads, and some that none does."""

CODE_PAGES = ("checkout-code", "login", "login-code")
POSTED_TO = (
    *("checkout", *CODE_PAGES, "set_language", "order-payments", "order-cancel"),
    *("account-notice-dismiss", "guide-dismiss", "notify", "return", "sms-report"),
    *("home", "order-pay", "delivery-reveal"),
    *("account-renewal", "account-renewal-sign", "account-renewal-stop"),
)


@pytest.fixture
def guest(world: World) -> Client:
    return calm(Client())


@pytest.fixture
def owner(world: World) -> Client:
    return calm(world.as_owner())


@pytest.fixture(params=["guest", "owner"])
def client(request: pytest.FixtureRequest) -> Client:
    made: Client = request.getfixturevalue(request.param)
    return made


def each_address(world: World) -> list[str]:
    """One address of each route, the pay page in each of its states."""
    return [
        url
        for name, urls in addresses(world).items()
        for url in (
            urls if name in ("order", "order-pay", "order-status") else urls[:1]
        )
    ]


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_value_in_every_parameter_of_every_page(
    guest: Client, owner: Client, world: World, kind: str
) -> None:
    """61, 64, 72: by GET and by POST, plain and as htmx."""
    sent = dict.fromkeys(NAMES, HOSTILE[kind])
    for url in each_address(world):
        bare = url.partition("?")[0]
        answers = [owner.get(bare, sent), owner.post(bare, sent, headers=HTMX)]
        if kind in ("markup", "NUL"):
            answers += [guest.get(bare, sent, headers=HTMX), guest.post(bare, sent)]
        for answer in answers:
            assert is_calm(answer), f"{answer.request['REQUEST_METHOD']} {url}"


@pytest.mark.parametrize("kind", HOSTILE)
def test_one_hostile_value_in_an_honest_checkout(
    guest: Client, world: World, kind: str
) -> None:
    """61: the other fields are right, so each value gets as far as it can."""
    honest = {
        "plan": "temporary-7",
        "quantity": "1",
        "channel": "wechat",
        "client_token": "security-token-000001",
        "shown_fen": "1500",
        "phone": "13800138000",
        "code": "123456",
    }
    goods = {name: value for name, value in honest.items() if name != "plan"}
    goods |= {"goods": "card", "shown_fen": "10000"}
    for name in goods:
        answer = guest.post(reverse("checkout"), goods | {name: HOSTILE[kind]})
        assert is_calm(answer), f"{name} of goods"
    read_by = {"checkout": honest, **dict.fromkeys(CODE_PAGES, ("phone", "code"))}
    for path, names in read_by.items():
        for name in names:
            answer = guest.post(reverse(path), honest | {name: HOSTILE[kind]})
            assert is_calm(answer), f"{name} at {path}"


def test_hostile_headers_leave_no_mark(client: Client, world: World) -> None:
    """61, 62: htmx headers are input like any other."""
    values = [value.replace("\r\n", " ") for value in HOSTILE.values()]
    for value in values:
        raw = value.encode().decode("latin-1")
        headers = dict.fromkeys(
            (
                *("User-Agent", "Referer", "Accept", "Accept-Language", "Cookie"),
                *("HX-Request", "HX-Target", "HX-Trigger", "HX-Trigger-Name"),
                *("HX-Current-URL", "HX-Prompt", "HX-Boosted", "X-Forwarded-For"),
                *("X-Forwarded-Proto", "X-Real-IP", "Forwarded", "If-None-Match"),
                *("If-Modified-Since", "X-Requested-With", "Range", "Origin"),
            ),
            raw,
        )
        for url in ("/", "/login/", "/account/", f"/orders/{world.pending.no}/pay/"):
            answer = client.get(url, headers=headers)
            assert is_calm(answer), (url, value[:20])
            for name in ("HX-Redirect", "HX-Location", "HX-Trigger", "HX-Push-Url"):
                assert name not in answer.headers


@pytest.mark.parametrize(
    "cookie",
    [
        'sessionid="aaaaaaaaaa\\000aaaaaa"',
        "sessionid=" + "a" * 5_000,
        "sessionid=\xff\xfe\xfd",
        "sessionid=' OR 1=1",
        "csrftoken=<svg/onload=alert(7)>",
        "django_language=../../en",
        "django_language=" + "x" * 3_000,
        'messages="\\000<svg/onload=alert(7)>"',
        "; ; =;=",
    ],
    ids=lambda cookie: cookie[:24],
)
def test_a_hostile_cookie_is_no_session(world: World, cookie: str) -> None:
    client = calm(Client())
    for url in ("/", "/account/", "/login/", f"/orders/{world.pending.no}/pay/"):
        answer = client.get(url, headers={"Cookie": cookie})
        assert is_calm(answer), url
        assert "137" not in answer.text, "the owner's phone"
    posted = client.post("/login/code/", {"phone": "1"}, headers={"Cookie": cookie})
    assert is_calm(posted)


PATHS = (
    *("/%ff", "/%00", "/%C0%AE/", "/orders/%FF%FE/", "/%ED%A0%80/", "/a%0d%0aX:%20y"),
    *(
        "/orders/../console/",
        "//evil.example/",
        "/\\evil.example",
        "/%2e%2e/settings.py",
    ),
    *("/legal/..%2f..%2fetc/", "/legal/%00/", "/s/%00/", "/s/" + "a" * 3_000 + "/"),
    *("/orders/" + "A" * 26, "/orders/" + "-" * 40 + "/", "/orders/" + "İ" * 26 + "/"),
    *("/membership/%E4%BC%9A/", "/payments/%00/notify/", "/?a=%FF", "/?%00=%00"),
    *("/login/?next=%FF%FE", "/login/?next=%00", "/account/orders/?before=%00"),
    *("/account/orders/?before=" + "9" * 18, "/account/orders/?before=" + "٣" * 3),
    *("/account/orders/?before=0", "/?" + "&".join(f"a{n}=1" for n in range(1_200))),
)


def test_no_path_and_no_query_fails_the_shop(client: Client, world: World) -> None:
    """72, 81"""
    for path in PATHS:
        answer = client.get(path)
        assert is_calm(answer), path[:60]
        assert "evil.example" not in answer.get("Location", ""), path


LEFTOVERS = (
    *("/install", "/install/", "/.git/HEAD", "/.git/config", "/.env", "/.env.example"),
    *("/debug", "/debug/", "/__debug__/", "/admin/", "/admin/doc/"),
    *("/settings.py", "/static/../settings.py", "/static/../kameng/settings.py"),
    *("/static/%2e%2e/kameng/settings.py", "/static/", "/media/", "/var/db.sqlite3"),
    *("/phpinfo.php", "/wp-login.php", "/server-status", "/manage.py", "/Dockerfile"),
    *("/docker-compose.yml", "/api/", "/graphql", "/swagger.json", "/_control/trades/"),
    *("/gateway.do", "/sms/", "/requirements.lock", "/static/staticfiles.json/"),
    *("/account/x.css", "/account/;a.js", "/ACCOUNT/", "/account//", "/orders/"),
)


def test_there_are_no_leftovers(client: Client, world: World) -> None:
    """55, 71: nothing below a personal page answers under another name either."""
    for path in LEFTOVERS:
        assert client.get(path).status_code == 404, path


def test_odd_methods_are_refused(client: Client, world: World) -> None:
    """71"""
    before = fingerprint()
    for method in (
        "TRACE",
        "TRACK",
        "CONNECT",
        "PUT",
        "DELETE",
        "PATCH",
        "PROPFIND",
        "X",
    ):
        for url in each_address(world):
            answer = client.generic(method, url, b"a=b", FORM)
            assert answer.status_code in (302, 303, 403, 404, 405), (method, url)
            assert b"a=b" not in answer.content
    assert changed(before) == []


# --- Bodies --------------------------------------------------------------------------

BODIES: dict[str, tuple[bytes, str]] = {
    "3 MB": (b"phone=" + b"1" * 3_000_000, FORM),
    "3 MB in pieces": (b"&".join([b"a=" + b"1" * 1_000] * 3_000), FORM),
    "1001 fields": (b"&".join(b"f%d=1" % n for n in range(1_001)), FORM),
    "1001 parts": (
        b"".join(
            b'--%s\r\nContent-Disposition: form-data; name="f%d"\r\n\r\n1\r\n'
            % (BOUNDARY.encode(), n)
            for n in range(1_001)
        )
        + b"--%s--\r\n" % BOUNDARY.encode(),
        MULTIPART_CONTENT,
    ),
    "a file": (
        b'--b\r\nContent-Disposition: form-data; name="phone"; filename="../../x"\r\n'
        b"Content-Type: text/html\r\n\r\n<svg/onload=alert(7)>\r\n--b--\r\n",
        "multipart/form-data; boundary=b",
    ),
    "200 files": (
        b"".join(
            b'--b\r\nContent-Disposition: form-data; name="x%d"; filename="x"\r\n\r\n1\r\n'
            % n
            for n in range(200)
        )
        + b"--b--\r\n",
        "multipart/form-data; boundary=b",
    ),
    "multipart without a boundary": (b"--b\r\n\r\n", "multipart/form-data"),
    "multipart with a bad boundary": (b"x", "multipart/form-data; boundary=\xe9\x00"),
    "multipart that ends early": (
        b"--b\r\nContent-Dis",
        "multipart/form-data; boundary=b",
    ),
    "multipart of a bad encoding": (
        b'--b\r\nContent-Disposition: form-data; name="phone"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\n!!!!!\r\n--b--\r\n",
        "multipart/form-data; boundary=b",
    ),
    "bad UTF-8": (b"phone=%FF%FE&code=%ED%A0%80", FORM),
    "raw bytes": (bytes(range(256)) * 4, FORM),
    "JSON": (b'{"phone": true, "code": []}', "application/json"),
    "deep JSON": (b"[" * 50_000, "application/json"),
    "XML bomb": (b'<!DOCTYPE x [<!ENTITY a "aa">]><x>&a;</x>', "text/xml"),
    "nothing": (b"", FORM),
    "no type": (b"phone=1", ""),
}


@pytest.mark.parametrize("body", BODIES)
def test_an_odd_body_is_refused_in_words(
    owner: Client, world: World, body: str
) -> None:
    """80, 81: at every address that takes one; notices have tests of their own."""
    content, content_type = BODIES[body]
    found = addresses(world)
    for url in (found[name][0] for name in POSTED_TO):
        answer = owner.generic("POST", url, content, content_type)
        assert is_calm(answer), url
        if len(content) > 1_000_000:
            assert answer.status_code in (302, 303, 400, 403, 404, 405, 413), url


@pytest.mark.parametrize(
    "charset",
    ["hex", "rot13", "base64", "idna", "utf-16", "x" * 5_000, "\0", "gbk", '"'],
)
def test_every_charset_that_is_claimed_is_read_as_utf8(
    world: World, charset: str
) -> None:
    """72: asked of the whole application, since Django fails before any view."""
    for method, expected in (("GET", "200"), ("POST", "422")):
        request = RequestFactory().generic(method, "/login/?next=%2Fa%41", b"phone=%31")
        request.META |= {
            "CONTENT_TYPE": f"{FORM}; Charset={charset}",
            "HTTP_COOKIE": f"csrftoken={'a' * 32}",
            "HTTP_X_CSRFTOKEN": "a" * 32,
        }
        status, body = answered(request.META)
        assert status.split()[0] == expected
        assert 'name="next" value="/aA"' in body


def answered(environ: dict[str, Any]) -> tuple[str, str]:
    """Status and body as the web server gets them."""
    begun: list[str] = []

    def start(status: str, headers: list[tuple[str, str]], *_: object) -> Any:
        begun.append(status)

    request_started.disconnect(close_old_connections)  # else the test's own is gone
    try:
        body = b"".join(application(environ, start))
    finally:
        request_started.connect(close_old_connections)
    return begun[0], body.decode()


def test_a_length_that_lies_is_no_failure(client: Client, world: World) -> None:
    """81"""
    for length in ("-1", "x", "9" * 30, "", "1e3"):
        for url in ("/login/", "/payments/alipay/notify/"):
            answer = client.generic("POST", url, b"a=b", FORM, CONTENT_LENGTH=length)
            assert is_calm(answer), length


def test_an_upload_that_breaks_off_is_the_callers_fault(world: World) -> None:
    """81: the connection ends in the middle of a notice."""

    class Torn(io.BytesIO):
        def read(self, *_: object) -> bytes:
            raise ConnectionResetError

    client = calm(Client())
    for url in ("/payments/alipay/notify/", "/login/code/"):
        answer = client.generic(
            "POST",
            url,
            b"",
            FORM,
            **{"wsgi.input": Torn(), "CONTENT_LENGTH": "10"},  # type: ignore[arg-type]
        )
        assert is_calm(answer), url


# --- The shop's own name -------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        *(
            "evil.example",
            "evil.example:80",
            "testserver.evil.example",
            "",
            "a b",
            "[::",
        ),
        *("testserver:x", "testserver@evil.example", "testserver/evil", "кириллица"),
    ],
)
def test_another_host_is_refused(world: World, host: str) -> None:
    """60"""
    client = calm(Client())
    for url in ("/", "/login/", "/payments/alipay/notify/", "/nope/"):
        answer = client.get(url, headers={"Host": host.encode().decode("latin-1")})
        assert answer.status_code == 400, url
        assert b"evil" not in answer.content
        assert b"ALLOWED_HOSTS" not in answer.content


def test_forwarded_hosts_are_not_believed(world: World) -> None:
    """60"""
    forwarded = {
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "host=evil.example",
        "X-Host": "evil.example",
        "X-Original-URL": "/console/",
    }
    for client in (Client(), world.as_owner()):
        for url in ("/", "/login/", "/account/", "/official/", "/nope/"):
            answer = client.get(url, headers=forwarded)
            assert "evil.example" not in answer.text + str(answer.headers)


def test_no_address_for_others_is_built_from_the_request(
    world: World, settings: Any
) -> None:
    """60, 79: the gateway gets the configured name, whatever the browser says."""
    settings.PUBLIC_URL = "https://shop.example"
    settings.ALLOWED_HOSTS = ["localhost"]
    client = world.as_owner()
    answer = client.post(
        reverse("checkout"),
        {
            "plan": "temporary-7",
            "quantity": "1",
            "channel": "alipay",
            "client_token": "security-token-000002",
            "shown_fen": "1500",
            "notify_url": "https://evil.example/",
            "return_url": "https://evil.example/",
        },
        headers={
            "Host": "localhost",
            "User-Agent": "AlipayClient/10.5 Android Mobile",
            "X-Forwarded-Host": "evil.example",
        },
    )
    assert answer.status_code == 303
    attempt = world.owner.orders.latest("id").attempts.get()
    ours = quote("https://shop.example/payments/alipay/", safe="")
    assert attempt.handover["url"].count(ours) == 2, "notify and return"
    assert "localhost" not in attempt.handover["url"]
    assert "evil" not in attempt.handover["url"]
