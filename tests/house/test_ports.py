from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from kameng import ports
from kameng.programs import Place

LOOPBACK = "127.0.0.1"


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


def test_it_finds_free_neighbours_by_itself() -> None:
    port = ports.choose_port(LOOPBACK, "", count=2)
    assert ports.FIRST_PORT <= port <= ports.LAST_PORT
    assert ports.is_free(LOOPBACK, port)
    assert ports.is_free(LOOPBACK, port + 1)


def test_it_passes_over_a_port_whose_neighbour_is_taken(
    monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    monkeypatch.setattr(ports, "FIRST_PORT", taken - 1)
    monkeypatch.setattr(ports, "LAST_PORT", taken + 15)
    assert ports.choose_port(LOOPBACK, "", count=2) > taken


def test_it_says_so_when_none_is_free(
    monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    monkeypatch.setattr(ports, "FIRST_PORT", taken)
    monkeypatch.setattr(ports, "LAST_PORT", taken)
    with pytest.raises(ports.PortTaken, match="name one with PORT"):
        ports.choose_port(LOOPBACK, "", count=1)


def test_it_refuses_a_taken_port_that_was_asked_for(taken: int) -> None:
    with pytest.raises(ports.PortTaken, match=f"PORT: {taken} is taken"):
        ports.choose_port(LOOPBACK, str(taken), count=1)


def test_it_refuses_a_port_whose_neighbour_the_sandbox_cannot_have(
    monkeypatch: pytest.MonkeyPatch, taken: int
) -> None:
    # Other programs of this machine may have the port below, or take it meanwhile.
    really_free = ports.is_free
    monkeypatch.setattr(
        ports,
        "is_free",
        lambda host, port: port == taken - 1 or really_free(host, port),
    )
    with pytest.raises(ports.PortTaken, match=f"{taken} is taken.*sandbox"):
        ports.choose_port(LOOPBACK, str(taken - 1), count=2)


def test_a_listener_on_every_address_takes_the_port_on_loopback_too() -> None:
    with socket.create_server(("", 0)) as server:
        assert not ports.is_free(LOOPBACK, server.getsockname()[1])


@pytest.mark.parametrize(
    "asked", ["0", "65535", "70000", "-1", "80a", "８０００", "1.5"]
)
def test_it_refuses_what_is_no_port(asked: str) -> None:
    with pytest.raises(ports.PortTaken, match="is not a port"):
        ports.choose_port(LOOPBACK, asked, count=2)


def test_the_shop_is_found_where_it_listens() -> None:
    place = Place(LOOPBACK, 8100)
    assert place.url == "http://127.0.0.1:8100"
    assert place.sandbox_url == "http://127.0.0.1:8101"


def test_phones_get_the_address_in_the_local_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ports, "local_network_address", lambda: "192.168.1.20")
    place = Place("0.0.0.0", 8000)  # noqa: S104
    assert place.url == "http://192.168.1.20:8000"
    assert place.own_host == LOOPBACK


def test_a_named_public_url_stays_as_it_is() -> None:
    named = Place("0.0.0.0", 8000, "http://127.0.0.1:8000")  # noqa: S104
    assert named.url == "http://127.0.0.1:8000"
    assert named.sandbox_url == "http://127.0.0.1:8001"


def test_an_ipv6_address_is_bracketed() -> None:
    assert Place("::1", 8000).url == "http://[::1]:8000"
