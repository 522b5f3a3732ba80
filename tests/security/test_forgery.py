"""Requests that another site makes in her name, and readers that change something.

security 57, 62, R25: a form's own token or nothing; GET and HEAD leave no trace.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from members import staff_roles
from members.models import HitLog, Member
from tests.rows import changed, fingerprint
from tests.security.conftest import World, signed_in
from tests.security.crawling import addresses, crawl, named_routes

CROSS_SITE = {
    "Origin": "https://evil.example",
    "Referer": "https://evil.example/",
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "navigate",
}
EXEMPT = {"notify", "return", "set_language", "sms-report"}
"""By the gateways' and providers' own proofs, by asking the gateway, by Fetch Metadata."""


def every_view() -> Iterator[tuple[str, Any]]:
    def walk(patterns: Iterable[URLPattern | URLResolver]) -> Iterator[tuple[str, Any]]:
        for pattern in patterns:
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns)
            else:
                yield pattern.name or str(pattern.pattern), pattern.callback

    return walk(get_resolver().url_patterns)


def test_only_four_addresses_take_a_post_without_a_token() -> None:
    """57: the list is complete, the console included."""
    exempt = {
        name for name, view in every_view() if getattr(view, "csrf_exempt", False)
    }
    assert exempt == EXEMPT


def test_the_crawl_knows_every_address(world: World) -> None:
    """Or a new page would go unchecked by everything in this folder."""
    assert named_routes() == set(addresses(world))


def strict(client: Client) -> Client:
    """As a browser is treated: with the check that the test client leaves out."""
    client.handler.enforce_csrf_checks = True
    return client


@pytest.mark.parametrize("who", ["guest", "owner"])
def test_another_site_cannot_post_in_her_name(world: World, who: str) -> None:
    """57"""
    client = strict(Client() if who == "guest" else world.as_owner())
    form = {
        "plan": "temporary-7",
        "quantity": "1",
        "channel": "wechat",
        "shown_fen": "1500",
        "client_token": "forged-token-00000001",
        "phone": "13800138000",
        "code": "123456",
        "language": "en",
    }
    before = fingerprint()
    for name, urls in addresses(world).items():
        for url in urls:
            for headers in (CROSS_SITE, {}, {"HX-Request": "true"}):
                answer = client.post(url, form, headers=headers)
                if name not in EXEMPT:
                    assert answer.status_code in (403, 405), f"{url} {headers}"
    assert changed(before) == []
    assert client.get(reverse("account")).status_code == (
        302 if who == "guest" else 200
    )


def test_a_token_of_another_visitor_does_not_help(world: World) -> None:
    """57: nor one without its cookie, nor one that is none."""
    form_of_another = Client()
    page = form_of_another.get(reverse("login"))
    token = str(page.context["csrf_token"])
    client = strict(world.as_owner())
    for given in (token, "", "x" * 64, "é" * 64):
        answer = client.post(
            reverse("order-cancel", args=[world.pending.no]),
            {"csrfmiddlewaretoken": given},
            headers=CROSS_SITE,
        )
        assert answer.status_code == 403
    world.pending.refresh_from_db()
    assert world.pending.status == "pending"


def test_the_language_is_changed_by_the_shops_own_form_alone(world: World) -> None:
    """57: its form stands in cached parts and has no token; the browser tells."""
    for site, expected in (
        *(("cross-site", 403), ("same-site", 403), ("none", 403), ("x", 403)),
        *(("same-origin", 302),),
    ):
        answer = Client().post(
            reverse("set_language"),
            {"language": "en"},
            headers={"Sec-Fetch-Site": site},
        )
        assert answer.status_code == expected, site


def test_a_wallet_that_posts_is_sent_on_to_a_get(world: World) -> None:
    """57: the answer to a cross-site POST decides nothing."""
    before = fingerprint()
    url = f"{reverse('return', args=['alipay'])}?token={world.token}"
    answer = strict(Client()).post(url, {"status": "success"}, headers=CROSS_SITE)
    assert (answer.status_code, answer["Location"]) == (303, url)
    assert changed(before) == []


# --- Reading changes nothing -------------------------------------------------------------


def everything(world: World) -> list[str]:
    return [url for urls in addresses(world).values() for url in urls]


SHOWN = {200, 204, 302, 303, 405}
NOT_FOR_READING = {
    "/checkout/summary/",  # without a plan
    *("/payments/alipay/notify/", "/payments/wechat/notify/"),
}
WITHOUT_THEIR_STATE = re.compile("/(callback|openid)/$")


def expected(url: str, *, hers: bool) -> set[int]:
    """What reading this address may be answered: 400 only to who comes back from a
    provider without having set out, 404 only to what is another's or no page."""
    if not hers and re.match("/(orders|delivery)/[0-9A-Z]{26}/", url):
        return {200, 204} if "token=" in url else {404, 405}
    if WITHOUT_THEIR_STATE.search(url):
        return {400}
    if hers and re.match("/account/(identities|passkeys)/1/", url):
        return {303, 404, 405}  # she has none; or the question comes first
    return {404} if url in NOT_FOR_READING else SHOWN


@pytest.mark.parametrize("who", ["guest", "owner", "owner who proved it", "stranger"])
def test_reading_every_page_changes_no_row(world: World, who: str) -> None:
    """57: every address and every link on every page, by GET and by HEAD."""
    client = Client() if who == "guest" else world.as_owner()
    if who == "stranger":
        client = world.as_stranger()
    elif who == "owner who proved it":  # or the pages behind it lead to its question
        session = client.session
        session["proved_at"] = session["proved_phone_at"] = timezone.now().timestamp()
        session.save()
    hers = who.startswith("owner")
    before = fingerprint()
    read = crawl(client, everything(world))
    assert len(read) > 50
    fragments = crawl(client, everything(world), headers={"HX-Request": "true"})
    for url, answer in (*read.items(), *fragments.items()):
        assert answer.status_code in expected(url, hers=hers), url
    for url, answer in read.items():
        headed = client.head(url)
        assert headed.status_code in (answer.status_code, 405), url
        assert headed.content == b""
    # A guess that misses is counted (51); whoever reads her own changes nothing at all.
    counted = () if hers else ("members_hitlog",)
    assert changed(before, besides=counted) == []
    assert not HitLog.objects.exclude(key__startswith="misses-").exists()


def test_reading_the_console_changes_no_row(world: World) -> None:
    """57"""
    staff = Member.objects.create_staff("yunying", "correct horse battery")
    staff_roles.assign(staff, staff_roles.OPERATOR)
    client = signed_in(staff)
    before = fingerprint()
    read = crawl(client, ["/console/"], limit=120)
    pages = {url: a for url, a in read.items() if url.startswith("/console/")}
    assert len(pages) > 15
    assert {a.status_code for a in pages.values()} <= {200, 302, 403, 404, 405}
    assert changed(before) == []


# --- htmx ----------------------------------------------------------------------------


def test_a_fragment_is_never_taken_for_a_page(world: World) -> None:
    """62: by a cache, that is; the header is the caller's to forge."""
    for client in (Client(), world.as_owner()):
        for url in ("/", "/login/", "/membership/temporary/", "/account/"):
            plain = client.get(url)
            forged = client.get(
                url,
                headers={"HX-Request": "true", "HX-Target": "phone", "HX-Boosted": "x"},
            )
            assert plain.status_code == forged.status_code
            assert "no-store" in forged["Cache-Control"]
            if plain.status_code == 200:
                assert "HX-Request" in forged["Vary"]
                assert plain.text.lstrip().startswith("<!doctype html>")


def test_a_forged_header_opens_nothing(world: World) -> None:
    """62: the same refusals with it as without."""
    client = strict(Client())
    for url in (
        reverse("account"),
        reverse("order", args=[world.paid.no]),
        reverse("order-status", args=[world.paid.no]),
        "/console/",
    ):
        plain = client.get(url)
        forged = client.get(url, headers={"HX-Request": "true"})
        assert plain.status_code == forged.status_code
        assert forged.status_code in (302, 404)
