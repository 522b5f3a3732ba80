"""What the tests of people share: phones, callers, the SMS provider, doing at once."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from django.db import connections

from members.addresses import Client
from notifications.sms.contract import Result

PHONE = "+8613800138000"
OTHER_PHONE = "+8613900139000"


def client_at(ip: str) -> Client:
    return Client(ip=ip, address=ip, network=f"{ip.rpartition('.')[0]}.0/24")


@dataclass
class Inbox:
    """What the SMS provider was asked to send.

    status  of its next answer
    lost    what is known when there is no answer at all
    """

    messages: list[dict[str, str]] = field(default_factory=list)
    status: int = 200
    lost: Result | None = None

    def to(self, phone: str) -> list[str]:
        return [each["text"] for each in self.messages if each["to"] == phone]

    def code(self, phone: str = PHONE) -> str:
        """The newest code that this phone got."""
        found = re.search(r"(?<!\d)\d{6}(?!\d)", self.to(phone)[-1])
        assert found is not None
        return found[0]

    def wrong_code(self, phone: str = PHONE) -> str:
        return f"{(int(self.code(phone)) + 1) % 1_000_000:06}"


def at_once[Found](times: int, act: Callable[[int], Found]) -> list[Found | Exception]:
    """Run ``act(0)`` … in threads that start together; what each returned or raised."""
    gate = threading.Barrier(times)
    results: list[Found | Exception] = []

    def run(number: int) -> None:
        gate.wait()
        try:
            results.append(act(number))
        except Exception as error:
            results.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(n,)) for n in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
