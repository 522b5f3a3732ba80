"""Faults that a test can switch on between the shop and a gateway."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from django.http import HttpResponse


class Kind(StrEnum):
    TIMEOUT = "timeout"  # no answer for ``seconds``, then 504
    SERVER_ERROR = "500"  # an unsigned 500
    MALFORMED = "malformed"  # the right answer, cut in half
    WRONG_SIGNATURE = "wrong_signature"
    UNSIGNED = "unsigned"
    SLOW = "slow"  # the right answer after ``seconds``
    REFUSE = "refuse"  # the gateway's own error with ``code`` and ``status``


class Seal(StrEnum):
    """How an answer is to be signed."""

    RIGHT = "right"
    WRONG = "wrong"
    NONE = "none"


@dataclass(slots=True)
class Fault:
    """``count`` None: until cleared. ``done``: the work is done, its answer lost."""

    gateway: str
    method: str
    kind: Kind
    seconds: float = 30.0
    count: int | None = None
    done: bool = False
    code: str = "SYSTEM_ERROR"
    status: int = 400


class Faults:
    """The faults that are set, oldest first. Safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._cleared = threading.Event()

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def all(self) -> list[Fault]:
        with self._lock:
            return list(self._faults)

    def clear(self, gateway: str = "*", method: str = "*") -> None:
        """Take the named faults away and wake those who wait in one."""
        with self._lock:
            self._faults = [
                fault
                for fault in self._faults
                if gateway not in ("*", fault.gateway)
                or method not in ("*", fault.method)
            ]
            self._cleared.set()
            self._cleared = threading.Event()

    def take(self, gateway: str, method: str) -> Fault | None:
        """The first fault for this call; one of its ``count`` is used up."""
        with self._lock:
            for fault in self._faults:
                if fault.gateway in ("*", gateway) and fault.method in ("*", method):
                    if fault.count is not None:
                        fault.count -= 1
                        if fault.count <= 0:
                            self._faults.remove(fault)
                    return fault
        return None

    def wait(self, seconds: float) -> None:
        """Sleep, or until the faults are cleared."""
        self._cleared.wait(seconds)


def answered[Answer](
    faults: Faults,
    fault: Fault | None,
    *,
    work: Callable[[], Answer],
    refuse: Callable[[str, int], Answer],
    send: Callable[[Answer, Seal], HttpResponse],
) -> HttpResponse:
    """Do the work and send the answer, bent by ``fault``.

    refuse  the gateway's own error answer for a code and an HTTP status
    """
    if fault is None:
        return send(work(), Seal.RIGHT)
    match fault.kind:
        case Kind.TIMEOUT | Kind.SERVER_ERROR:
            if fault.done:
                work()
            if fault.kind == Kind.SERVER_ERROR:
                return HttpResponse("sandbox fault\n", "text/plain", 500)
            faults.wait(fault.seconds)
            return HttpResponse("sandbox fault\n", "text/plain", 504)
        case Kind.REFUSE:
            return send(refuse(fault.code, fault.status), Seal.RIGHT)
        case Kind.SLOW:
            faults.wait(fault.seconds)
            return send(work(), Seal.RIGHT)
        case Kind.MALFORMED:
            response = send(work(), Seal.RIGHT)
            response.content = response.content[: len(response.content) // 2] + b"{"
            return response
        case Kind.WRONG_SIGNATURE:
            return send(work(), Seal.WRONG)
        case Kind.UNSIGNED:
            return send(work(), Seal.NONE)
