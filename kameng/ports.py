"""Which address and ports the shop takes on this machine."""

from __future__ import annotations

import socket

FIRST_PORT = 8000
LAST_PORT = 8019
EVERY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not bound


class PortTaken(Exception):
    """The port that was asked for cannot be had; the message says why."""


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now.

    Also asks for a listener on loopback: some systems let a second server bind to
    one address while another one already listens on all of them.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError:
            return False
    with socket.socket() as caller:
        caller.settimeout(0.2)
        return caller.connect_ex(("127.0.0.1", port)) != 0


def choose_port(host: str, asked: str, *, count: int) -> int:
    """The first of ``count`` free neighbouring ports.

    asked   the text of PORT; empty means: the first free one of 8000 to 8019
    raises  PortTaken when PORT is no port, or it or a neighbour is taken
    """
    if not asked:
        for port in range(FIRST_PORT, LAST_PORT + 1):
            if all(is_free(host, port + step) for step in range(count)):
                return port
        raise PortTaken(
            f"No free port between {FIRST_PORT} and {LAST_PORT} on {host}: name one "
            "with PORT, and an address of this machine with HOST."
        )
    if (
        not asked.isascii()
        or not asked.isdigit()
        or not 0 < int(asked) <= 65536 - count
    ):
        raise PortTaken(f"PORT: {asked!r} is not a port between 1 and {65536 - count}.")
    port = int(asked)
    for step in range(count):
        if not is_free(host, port + step):
            use = "" if step == 0 else " (the sandbox needs it)"
            raise PortTaken(f"PORT: {port + step} is taken on {host}{use}.")
    return port


def local_network_address() -> str:
    """This machine's address as the phones beside it see it; loopback when alone.

    Nothing is sent: connecting a datagram socket only picks the outgoing interface.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
