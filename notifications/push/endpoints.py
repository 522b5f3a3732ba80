"""Whom we call because a browser said so (security 78).

An endpoint is what a stranger typed. Its host has to be one of the known push services
when it is saved and when it is used; then the name is resolved once, every address has
to be a public one, and the call goes to the address that was judged.
"""

from __future__ import annotations

import re
import socket
from ipaddress import IPv6Address, ip_address, ip_network

from django.conf import settings

HOSTS = (
    "fcm.googleapis.com",
    "updates.push.services.mozilla.com",
    "web.push.apple.com",
)
SUFFIXES = (".notify.windows.com",)
LONGEST = 2000
# No user, no port but 443, no literal address: those characters are not in it.
SHAPE = re.compile(r"https://([a-z0-9.-]+)(?::443)?/[!-\"$-\[\]-~]*")
CARRIERS = tuple(
    ip_network(network) for network in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16")
)
"""Addresses of version 6 that lead to one of version 4, which may be any."""


class Refused(Exception):
    """Not a push service, or not on the open network."""


def judge(endpoint: str) -> str:
    """The host of an acceptable endpoint. raises Refused"""
    found = SHAPE.fullmatch(endpoint)
    if found is None or len(endpoint) > LONGEST:
        raise Refused("shape")
    host = found[1]
    if host not in HOSTS and not host.endswith(SUFFIXES):
        raise Refused("host")
    return host


def is_sandbox(endpoint: str) -> bool:
    """Whether the sandbox plays the push service; never in production."""
    own = settings.PUSH_SANDBOX_URL
    return bool(own) and not settings.PRODUCTION and endpoint.startswith(f"{own}/")


def accept(endpoint: str) -> None:
    """raises Refused"""
    if not is_sandbox(endpoint):
        judge(endpoint)


def public_address(host: str) -> str:
    """One address of a host; all of them have to be public. raises Refused, OSError"""
    found = socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)
    addresses = [str(each[4][0]) for each in found]
    if not addresses or not all(map(is_public, addresses)):
        raise Refused("address")
    return min(addresses, key=lambda address: ":" in address)  # version 4 is safer


def is_public(address: str) -> bool:
    found = ip_address(address)
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        elif found.scope_id or any(found in network for network in CARRIERS):
            return False
    return found.is_global and not found.is_multicast
