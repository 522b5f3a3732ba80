"""H5: a broker that is down or hangs delays nobody and loses nothing."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from django.db import transaction

from kameng.celery import app
from notifications import outbox, wake
from notifications.models import Outbox
from notifications.tasks import run_outbox_task


@pytest.fixture
def broker(monkeypatch: Any) -> Iterator[Any]:
    """Set the broker's address; tasks are really published."""

    def use(url: str) -> None:
        monkeypatch.setitem(app.conf, "broker_url", url)
        monkeypatch.setitem(app.conf, "broker_write_url", url)
        wake._impatient_connection.cache_clear()

    monkeypatch.setitem(app.conf, "task_always_eager", False)
    yield use
    wake._impatient_connection.cache_clear()


@pytest.fixture
def hanging() -> Iterator[str]:
    """A broker that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"


def seconds_of_a_commit(now: datetime, key: str) -> float:
    started = time.monotonic()
    with transaction.atomic():
        outbox.add(key, "test", {}, due_at=now)
    return time.monotonic() - started


@pytest.mark.django_db(transaction=True)
def test_a_commit_is_quick_with_the_broker_down(
    broker: Any, now: datetime, caplog: Any
):
    """H5"""
    caplog.set_level(logging.DEBUG, logger="notifications")
    broker("redis://127.0.0.1:1/0")
    assert seconds_of_a_commit(now, "a") < 5
    assert Outbox.objects.filter(key="a", state="new").exists()
    assert [(r.levelname, r.name) for r in caplog.records] == [
        ("DEBUG", "notifications.wake")
    ]


@pytest.mark.django_db(transaction=True)
def test_a_hanging_broker_is_waited_for_once_and_briefly(
    broker: Any, hanging: str, now: datetime, monkeypatch: pytest.MonkeyPatch
):
    """H5, FLT-13"""
    broker(hanging)
    monkeypatch.setattr(wake, "PAUSE", 600)
    assert seconds_of_a_commit(now, "a") < 5
    with monkeypatch.context() as nobody:
        nobody.setattr(wake, "_impatient_connection", pytest.fail)
        seconds_of_a_commit(now, "b")
    assert Outbox.objects.filter(state="new").count() == 2


@pytest.mark.django_db(transaction=True)
def test_it_publishes_the_task_and_no_personal_data(broker: Any, now: datetime):
    """security 74: the message carries no argument at all."""
    broker(os.environ["REDIS_URL"].replace("unix://", "redis+socket://"))
    with app.connection_for_write() as connection:
        queue = connection.SimpleQueue(app.conf.task_default_queue)
        queue.clear()
        seconds_of_a_commit(now, "a")
        message = queue.get(timeout=20)
        message.ack()
        queue.close()
    assert message.headers["task"] == run_outbox_task.name
    assert (message.headers["argsrepr"], message.headers["kwargsrepr"]) == ("()", "{}")


def test_every_thread_has_the_shops_application():
    """Else a web thread would publish with the settings of nobody."""
    found = []
    asking = threading.Thread(target=lambda: found.append(run_outbox_task.app))
    asking.start()
    asking.join()
    assert found == [app]


@pytest.mark.django_db
def test_the_task_runs_what_is_due(now: datetime):
    """H3: the tick finds what the broker lost."""
    outbox.add("a", "pigeon", {}, due_at=now)
    run_outbox_task()
    assert Outbox.objects.get().last_error == "no handler for pigeon"
