"""Nobody sees or moves what is another's; no address leads off the site.

security 28, 51 to 55.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urljoin

import pytest
from django.test import Client
from django.urls import reverse

from members import links
from members.models import HitLog
from orders.numbers import random_number
from tests.rows import changed, fingerprint
from tests.security.conftest import PHONE, World, signed_in
from tests.security.crawling import addresses, crawl
from tests.shopping import fresh

HTMX = {"HX-Request": "true", "HX-Target": "main"}
JSON = {"Accept": "application/json"}
COUNTED = ("members_hitlog",)
"""A miss is counted, and nothing else is written."""
GETS = ("order", "order-pay", "order-status", "delivery")
POSTS = ("order-payments", "order-cancel", "order-return", "delivery-reveal")


def tries(client: Client, no: str, **query: str) -> list[Any]:
    """Every way to get at one order."""
    asked = [
        client.get(reverse(name, args=[no]), query, headers=headers)
        for name in GETS
        for headers in ({}, HTMX, JSON)
    ]
    posted = [
        client.post(
            reverse(name, args=[no], query=query),
            {"channel": "wechat", "n": "1"},
            headers=headers,
        )
        for name in POSTS
        for headers in ({}, HTMX)
    ]
    return asked + posted


# --- Orders of others ------------------------------------------------------------------


@pytest.mark.parametrize("who", ["guest", "stranger", "staff"])
def test_a_foreign_order_is_not_there(world: World, who: str) -> None:
    """52: 404 at every address, in every clothes; and nothing moves."""
    if who == "staff":
        world.stranger.username, world.stranger.is_staff = "kefu", True
        world.stranger.save(update_fields=["username", "is_staff"])
    client = Client() if who == "guest" else world.as_stranger()
    before = fingerprint()
    for order in world.orders:
        for no in (order.no, order.no.lower(), "-".join(re.findall(".{4}", order.no))):
            for answer in tries(client, no):
                assert answer.status_code == 404, answer.request["PATH_INFO"]
    assert changed(before, besides=COUNTED) == []
    assert not HitLog.objects.exclude(key__startswith="misses-").exists()


def test_a_number_that_nobody_has_answers_like_a_foreign_one(world: World) -> None:
    """51: the same status, headers and bytes, so that trying numbers tells nothing."""
    for client in (Client(), world.as_stranger()):
        for order in world.orders:
            foreign = tries(client, order.no)
            nobodys = tries(client, random_number())
            for mine, theirs in zip(foreign, nobodys, strict=True):
                assert constant(mine) == constant(theirs)


def constant(answer: Any) -> tuple[object, ...]:
    headers = dict(answer.headers)
    headers.pop("X-Request-Id")
    text = re.sub(r'value="\w{64}"', "", answer.text)  # the form's own token
    return answer.status_code, headers, text


def test_order_numbers_are_random_and_no_row_number_shows(world: World) -> None:
    """51: 128 bits; pages, links and tags hold no sequence."""
    numbers = {random_number() for _ in range(500)}
    assert len(numbers) == 500
    assert {len(no) for no in numbers} == {26}
    assert len({no[:3] for no in numbers}) > 300
    for answer in crawl(world.as_owner(), ["/account/orders/"]).values():
        assert not re.search(r'href="/orders/\d+/', answer.text)
        assert "ETag" not in answer.headers


@pytest.mark.parametrize("who", ["guest", "stranger"])
def test_a_signed_link_shows_the_status_and_nothing_else(
    world: World, who: str
) -> None:
    """54: redacted, and nothing can be done with it."""
    client = Client() if who == "guest" else world.as_stranger()
    before = fingerprint()
    for order, token in ((world.pending, world.token), (world.paid, world.paid_token)):
        answers = tries(client, order.no, token=token)
        shown, refused = answers[:9], answers[9:]  # keys are no status: refused too
        assert {a.status_code for a in shown} == {200}
        assert {a.status_code for a in refused} == {404}
        for answer in answers:
            assert PHONE[3:] not in answer.text
            assert PHONE[-4:] not in answer.text
            assert "/payments/" not in answer.text
            assert "/cancel/" not in answer.text
            assert "/return/" not in answer.text
    assert changed(before, besides=COUNTED) == []
    assert not HitLog.objects.exclude(key__startswith="misses-").exists()


def test_a_link_opens_its_own_order_alone(world: World) -> None:
    other = links.token(links.ORDER, world.paid.pk)
    for token in (
        *(other, world.renew_token, "", "x", world.token.upper(), world.token + "0"),
        *(world.token[:-1] + "~", "o" + world.token, "../" + world.token, "\0"),
        *(world.token.replace("o", "r", 1), f"o{10**12}-{'0' * 16}"),
    ):
        for answer in tries(Client(), world.pending.no, token=token):
            assert answer.status_code == 404, token


@pytest.mark.parametrize("kind", ["token", "paid_token", "renew_token"])
def test_a_short_link_names_nobody(world: World, kind: str) -> None:
    answer = Client().get(reverse("short-link", args=[getattr(world, kind)]))
    assert answer.status_code == 200
    assert PHONE[-4:] not in answer.text
    assert "sessionid" not in answer.cookies


def test_a_forged_short_link_is_not_there(world: World) -> None:
    token = world.token
    for forged in (token[:-1], token + "0", token[:-1] + "0", "o1-" + "0" * 16, "r1-x"):
        if forged != token:
            answer = Client().get(f"/s/{forged}/")
            assert answer.status_code == 404


def test_a_wallet_that_comes_back_needs_its_token(world: World) -> None:
    """B17: and whatever else it brings is not read."""
    for query in (
        {},
        {"token": "x"},
        {"out_trade_no": world.pending.attempts.get().out_trade_no},
        {"token": world.renew_token},
    ):
        for code in ("alipay", "wechat", "epay", "x"):
            answer = Client().get(reverse("return", args=[code]), query)
            assert answer.status_code == 404
    said = {"token": world.token, "trade_status": "TRADE_SUCCESS", "status": "success"}
    answer = Client().get(reverse("return", args=["alipay"]), said)
    assert answer.status_code == 303
    assert answer["Location"].startswith(f"/orders/{world.pending.no}/pay/?returned=1")
    assert fresh(world.pending).status == "pending"


def test_the_list_holds_ones_own_orders_alone(world: World) -> None:
    """52, also by turning its pages."""
    last = world.paid.pk + 1_000_000
    for before in ("", str(last), str(world.expired.pk), "1", "0", "-1", "x", "9" * 18):
        page = world.as_stranger().get(reverse("account-orders"), {"before": before})
        assert page.status_code == 200
        assert not re.search(r"/orders/[0-9A-Z]{26}/", page.text)
    own = world.as_owner().get(reverse("account-orders")).text
    assert all(order.no in own for order in world.orders)


def test_a_form_token_of_another_leads_to_nobodys_order(world: World) -> None:
    """A2, 52: it is neither found nor told apart from a used one."""
    sent = {
        "plan": "temporary-7",
        "quantity": "1",
        "channel": "wechat",
        "shown_fen": "1500",
        "client_token": world.pending.client_token,
    }
    answer = world.as_stranger().post(reverse("checkout"), sent)
    assert answer.status_code == 422
    assert world.pending.no not in answer.text + str(answer.headers)
    mine = world.as_owner().post(reverse("checkout"), sent)
    assert mine["Location"] == f"/orders/{world.pending.no}/pay/"
    guest = Client().post(
        reverse("checkout"), sent | {"phone": "13800138000", "code": "123456"}
    )
    assert guest.status_code == 422
    assert world.pending.no not in guest.text


# --- Caches ----------------------------------------------------------------------------

EVERYONES = ("/manifest.webmanifest", "/sw.js")
"""The same whoever asks."""


def test_no_cache_may_keep_a_page_of_a_person(world: World) -> None:
    """55"""
    for client in (world.as_owner(), world.as_stranger()):
        for url, answer in crawl(client, all_of(world)).items():
            if url in EVERYONES:
                assert answer.content == Client().get(url).content
                continue
            directives = set(re.split(r",\s*", answer["Cache-Control"]))
            assert {"private", "no-store"} <= directives, url
            assert "public" not in directives
            vary = answer["Vary"]
            assert "Cookie" in vary or url in ("/healthz", "/readyz"), url


def all_of(world: World) -> list[str]:
    return [url for urls in addresses(world).values() for url in urls]


def test_what_one_sees_is_not_shown_to_the_next(world: World) -> None:
    """55: the same addresses, one after another, through the shop's own caches."""
    owner, stranger, guest = world.as_owner(), world.as_stranger(), Client()
    for url in (
        "/",
        "/membership/",
        "/membership/temporary/",
        "/account/",
        "/official/",
    ):
        first = owner.get(url).text
        assert "临时会员" in first
        for other in (stranger, guest):
            page = other.get(url).text
            assert PHONE[-4:] not in page, url
            assert not any(order.no in page for order in world.orders)


def test_the_cached_landing_is_for_guests_alone(world: World) -> None:
    """55: with a session it is made anew, badge and all."""
    guest = Client()
    first, second = guest.get("/"), guest.get("/")
    assert first.text == second.text
    assert "private" in first["Cache-Control"]
    assert first.cookies == second.cookies == {}
    assert world.as_owner().get("/").text != first.text
    assert Client().get("/").text == first.text


def test_after_the_way_out_there_is_nothing_to_go_back_to(world: World) -> None:
    """24, 56: the browser is told to forget, and the old cookie opens nothing."""
    client = world.as_owner()
    kept = client.cookies["sessionid"].value
    out = client.post(reverse("logout"))
    assert "cache" in out["Clear-Site-Data"]
    client.cookies["sessionid"] = kept
    again = client.get(reverse("account"))
    assert again.status_code == 302
    assert again["Location"].startswith("/login/")


# --- Redirects -------------------------------------------------------------------------

ELSEWHERE = (
    *(
        "https://evil.example/",
        "http://evil.example",
        "//evil.example",
        "///evil.example",
    ),
    *("////evil.example", "/\\evil.example", "\\\\evil.example", "/\\/evil.example"),
    *(
        "https:evil.example",
        "https:/evil.example",
        "http:///evil.example",
        "javascript:x",
    ),
    *("data:text/html,x", "ftp://evil.example", "https://testserver@evil.example/"),
    *("https://testserver.evil.example/", "https://evil.example\\@testserver/"),
    *(
        " https://evil.example",
        "\thttps://evil.example",
        "/\t/evil.example",
        "/\n/evil",
    ),
    *("\x00//evil.example", "https://evil.example%00.testserver", "evil.example", "?x"),
    *(
        "//evil.example/%2f..",
        "/%0d%0aLocation:%20https://evil.example",
        "．evil.example",
    ),
    *("https：//evil.example", "//ⓔvil.example", "//[::1]/", "http://testserver:x/"),
)


def leaves(answer: Any) -> bool:
    """Whether a browser, which forgives much, would find itself on another site."""
    where = re.sub(r"[\t\r\n]", "", answer.get("Location", "/")).replace("\\", "/")
    here = "http://testserver"
    return not urljoin(f"{here}/language/", where.strip()).startswith(f"{here}/")


@pytest.mark.parametrize("wish", ELSEWHERE)
def test_nothing_leads_off_the_site(world: World, wish: str) -> None:
    """28: as it came and encoded once more; nothing is decoded a second time."""
    for spelt in (wish, wish.replace("/", "%2f").replace("\\", "%5c")):
        for client in (signed_in(world.stranger), signed_in(world.owner)):
            asked = client.get(reverse("login"), {"next": spelt})
            assert asked.status_code == 303
            assert not leaves(asked)
            tongue = client.post(
                reverse("set_language"),
                {"language": "en", "next": spelt},
                headers={"Referer": spelt.encode().decode("latin-1")},
            )
            assert tongue.status_code in (204, 302)
            assert not leaves(tongue)
            back = client.get(
                reverse("return", args=["alipay"]),
                {
                    "token": world.token,
                    "url": spelt,
                    "next": spelt,
                    "return_url": spelt,
                },
            )
            assert not leaves(back)
            console = client.post("/console/login/", {"next": spelt, "username": "x"})
            assert not leaves(console)
            out = client.post(reverse("logout"), {"next": spelt})
            assert not leaves(out)


def test_a_path_of_ones_own_is_followed(world: World) -> None:
    for wish in ("/account/orders/?before=3", "/membership/temporary/", "/%09/x"):
        answer = world.as_owner().get(reverse("login"), {"next": wish})
        assert answer["Location"] == wish
