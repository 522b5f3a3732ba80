"""FLT-15: a PostgreSQL that restarts between two requests costs nobody an error."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
from django.db import connection

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="PostgreSQL only"),
]


def ask_elsewhere(question: str, pid: int) -> object:
    """The answer over another connection."""
    parameters = connection.get_connection_params()
    known = {name: parameters[name] for name in ("dbname", "user", "host")}
    with psycopg.connect(**known) as other:
        row = other.execute(question, [pid]).fetchone()
    return row and row[0]


def begin_a_request() -> None:
    """What ``request_started`` does to a kept connection."""
    connection.close_if_unusable_or_obsolete()
    connection.health_check_done = False  # type: ignore[attr-defined]


def server_process() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


@pytest.fixture(autouse=True)
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    connection.close()
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", None)
    monkeypatch.setitem(connection.settings_dict, "CONN_HEALTH_CHECKS", True)
    yield
    connection.close()


def test_it_keeps_the_connection_and_asks_nothing():
    first = server_process()
    begin_a_request()
    assert connection.is_usable()
    last = ask_elsewhere("SELECT query FROM pg_stat_activity WHERE pid = %s", first)
    assert last == "SELECT pg_backend_pid()"
    assert server_process() == first


def test_it_opens_a_new_one_after_the_server_has_closed_it():
    first = server_process()
    assert ask_elsewhere("SELECT pg_terminate_backend(%s, 10000)", first)  # until gone
    begin_a_request()
    assert server_process() != first


def test_a_closed_or_unopened_connection_is_not_usable():
    assert not connection.is_usable()
    server_process()
    connection.connection.close()
    assert not connection.is_usable()
