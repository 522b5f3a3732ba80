"""Several callers at the same moment, each in a thread with a connection of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, connections
from django.db.models import QuerySet

PATIENCE = 60
"""Seconds until a race counts as a deadlock."""


def at_once(*callers: Callable[[], Any]) -> list[Any]:
    """Start all callers behind a barrier; what each returned or raised, in order."""
    barrier = threading.Barrier(len(callers))
    ends: list[Any] = [TimeoutError("still running")] * len(callers)

    def run(index: int, call: Callable[[], Any]) -> None:
        try:
            connection.ensure_connection()
            barrier.wait(PATIENCE)
            ends[index] = call()
        except Exception as error:
            ends[index] = error
        finally:
            connection.close()

    threads = [
        threading.Thread(target=run, args=each, daemon=True)
        for each in enumerate(callers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    return ends


def errors(ends: list[Any]) -> list[Exception]:
    return [end for end in ends if isinstance(end, Exception)]


def take_locks_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """For control tests: no row locks, and SQLite's transactions begin without one."""
    monkeypatch.setattr(QuerySet, "select_for_update", lambda self, **_: self)
    if connection.vendor == "sqlite":
        options = connections.settings["default"]["OPTIONS"]
        monkeypatch.setitem(options, "transaction_mode", "DEFERRED")


def hesitate(
    monkeypatch: pytest.MonkeyPatch, module: object, name: str, *, seconds: float = 0.03
) -> None:
    """Make a function wait a moment before it answers, so that rivals overlap."""
    quick = getattr(module, name)

    def slow(*args: Any, **named: Any) -> Any:
        time.sleep(seconds)
        return quick(*args, **named)

    monkeypatch.setattr(module, name, slow)
