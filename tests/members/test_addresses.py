from __future__ import annotations

from ipaddress import ip_network

import pytest
from django.test import RequestFactory
from pytest_django import Settings

from members.addresses import Client, client_of

PROXY = "10.0.0.2"


def seen(peer: str, forwarded: str | None = None, **headers: str) -> Client:
    extra = {"REMOTE_ADDR": peer, **headers}
    if forwarded is not None:
        extra["HTTP_X_FORWARDED_FOR"] = forwarded
    return client_of(RequestFactory().get("/", **extra))  # type: ignore[arg-type]


@pytest.fixture
def behind_proxies(settings: Settings) -> None:
    settings.TRUSTED_PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


def test_headers_of_a_stranger_count_for_nothing() -> None:
    """security 18"""
    client = seen(
        "203.0.113.7",
        "198.51.100.1",
        HTTP_X_REAL_IP="198.51.100.2",
        HTTP_FORWARDED="for=198.51.100.3",
        HTTP_CF_CONNECTING_IP="198.51.100.4",
    )
    assert client == Client("203.0.113.7", "203.0.113.7", "203.0.113.0/24")


@pytest.mark.usefixtures("behind_proxies")
@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("6.6.6.6, 198.51.100.1", "198.51.100.1"),
        ("nonsense, 198.51.100.1", "198.51.100.1"),
        ("198.51.100.1, 10.9.9.9", "198.51.100.1"),
        ("6.6.6.6,198.51.100.1 ,10.9.9.9, fd00::1", "198.51.100.1"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
    ],
)
def test_the_right_most_untrusted_hop_counts(forwarded: str, address: str) -> None:
    """security 18"""
    assert seen(PROXY, forwarded).address == address


@pytest.mark.usefixtures("behind_proxies")
@pytest.mark.parametrize(
    "forwarded",
    [
        "",
        "unknown",
        "198.51.100.1, junk",
        "198.51.100.1:80",
        "fe80::1%eth0",
        "10.1.1.1",
    ],
)
def test_a_header_that_says_nothing_leaves_the_peer(forwarded: str) -> None:
    assert seen(PROXY, forwarded).address == PROXY


def test_ipv6_counts_by_64_then_48() -> None:
    """security 19"""
    one = seen("2001:db8:1:2:aaaa::1")
    two = seen("2001:db8:1:2:bbbb::2")
    three = seen("2001:db8:1:3::1")
    assert one.address == two.address == "2001:db8:1:2::/64"
    assert three.address != one.address
    assert one.network == three.network == "2001:db8:1::/48"
    assert one.ip == "2001:db8:1:2:aaaa::1"


def test_an_ipv4_peer_of_a_double_socket_is_an_ipv4_address() -> None:
    assert seen("::ffff:203.0.113.7").address == "203.0.113.7"


@pytest.mark.parametrize("peer", ["", "unix:", "localhost"])
def test_a_peer_without_an_address_is_this_machine(peer: str) -> None:
    assert seen(peer).address == "127.0.0.1"


def test_the_digest_hides_the_address_and_depends_on_the_key(
    settings: Settings,
) -> None:
    first = seen("203.0.113.7").address_digest
    assert len(first) == 64
    assert "203" not in first or first != "203.0.113.7"
    settings.DATA_KEYS = ["another key of this shop, long enough"]
    assert seen("203.0.113.7").address_digest != first
