"""Where a process can be told to die: exactly before or after a call, once.

The points are named here and not in the product. Each process of a town wraps the
functions below when it starts; a wrapped call costs one look into a folder. Whoever
finds the file of its role and point there takes it away and kills itself with SIGKILL:
no handler, no ``finally``, no rollback of its own.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

from django.apps import AppConfig

FOLDER = "FAULTS_FOLDER"
ROLE = "FAULTS_ROLE"


@dataclass(frozen=True, slots=True)
class Point:
    """``module:function``, and whether it dies on the way in or on the way out."""

    target: str
    when: str


POINTS = {
    # The last statement of a settlement is done; the commit is next.
    "settled, not committed": Point("payments.settle:_record", "after"),
    # Committed, the gateway's notice not answered.
    "committed, not answered": Point("payments.notices:apply_result", "after"),
    # A refund's notice or answer is booked, or not yet.
    "refund heard, not booked": Point(
        "payments.refunding.refunds:apply_refund", "before"
    ),
    "refund to be sent": Point("payments.effects:send_refund", "before"),
    # The order and its attempt are committed, the gateway does not know of them.
    "placed, not started": Point("payments.attempts:start", "before"),
    # The gateway has made the trade, the hand-over is not saved.
    "started, not saved": Point("payments.attempts:_opened", "before"),
    # The order is complete in its transaction, the commit is next.
    "ordered, not committed": Point("payments.attempts:create_locked", "after"),
    # The code is sent, the page not answered.
    "code sent, not answered": Point("members.sign_in.phone_step:send", "after"),
    # A poll has its answer, nothing is booked.
    "polled, not booked": Point("payments.polling:apply_result", "before"),
    # The outbox row is claimed, its work not begun.
    "claimed, not begun": Point("notifications.outbox:_carry_out", "before"),
    # Its work is done, which the row does not say.
    "done, not noted": Point("notifications.outbox:_settle", "before"),
    # The provider has the message, nobody has noted it.
    "message sent, not noted": Point("notifications.messages:_record", "before"),
    # The effect is in the outbox and committed, nobody is told.
    "committed, not woken": Point("notifications.outbox:wake", "before"),
}


class CrashPoints(AppConfig):
    """Comes after the shop's own apps, so that all their modules are there to wrap."""

    name = "tests.faults"
    label = "faults"
    path = str(Path(__file__).parent)

    def ready(self) -> None:
        if ROLE in os.environ:
            for name, point in POINTS.items():
                _watch(name, point)


def order_of(folder: Path, role: str, name: str) -> Path:
    """The file that orders a process of this role to die at this point."""
    assert name in POINTS, name
    return folder / f"{role}: {name}"


def _watch(name: str, point: Point) -> None:
    module_name, function_name = point.target.split(":")
    module = import_module(module_name)
    order = order_of(Path(os.environ[FOLDER]), os.environ[ROLE], name)
    setattr(
        module, function_name, _deadly(getattr(module, function_name), order, point)
    )


def _deadly(function: Callable[..., Any], order: Path, point: Point) -> Any:
    def die_if_told() -> None:
        if order.exists():
            try:
                order.unlink()
            except FileNotFoundError:
                return  # another thread was told as well
            os.kill(os.getpid(), signal.SIGKILL)

    @wraps(function)
    def call(*args: Any, **named: Any) -> Any:
        if point.when == "before":
            die_if_told()
        result = function(*args, **named)
        if point.when == "after":
            die_if_told()
        return result

    return call
