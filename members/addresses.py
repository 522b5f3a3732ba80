"""Where a request comes from, as far as it can be believed (security 18, 19)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from django.conf import settings
from django.http import HttpRequest

from members.digests import digest

type Address = IPv4Address | IPv6Address

LOOPBACK = IPv4Address("127.0.0.1")
"""Stands for a peer without an address: a unix socket is this machine."""


@dataclass(frozen=True, slots=True)
class Client:
    """One caller, as limits see it.

    ip       the exact address, for a gateway that asks for it
    address  what counts as one caller: IPv4 itself, IPv6 its /64
    network  its neighbourhood: the /24 or the /48
    """

    ip: str
    address: str
    network: str

    @property
    def address_digest(self) -> str:
        return digest("address", self.address)


def client_of(request: HttpRequest) -> Client:
    """The socket's peer, or what a trusted proxy says in ``X-Forwarded-For``.

    The right-most hop that is not one of ``TRUSTED_PROXIES`` counts: everything left of
    it is whatever the caller chose to send. A header that cannot be read counts as none.
    """
    peer = _parse(request.META.get("REMOTE_ADDR", "")) or LOOPBACK
    if not _is_proxy(peer):
        return _client(peer)
    for hop in reversed(request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")):
        address = _parse(hop)
        if address is None:
            break
        if not _is_proxy(address):
            return _client(address)
    return _client(peer)


def _is_proxy(address: Address) -> bool:
    return any(address in network for network in settings.TRUSTED_PROXIES)


def _parse(text: str) -> Address | None:
    """One address without a port; an IPv4 address in IPv6 clothes is itself."""
    try:
        address = ip_address(text.strip())
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id:
            return None
        return address.ipv4_mapped or address
    return address


def _client(address: Address) -> Client:
    narrow, wide = (32, 24) if address.version == 4 else (64, 48)
    return Client(
        ip=str(address),
        address=_network(address, narrow),
        network=_network(address, wide),
    )


def _network(address: Address, prefix: int) -> str:
    network = ip_network((address, prefix), strict=False)
    return str(address) if prefix == network.max_prefixlen else str(network)
