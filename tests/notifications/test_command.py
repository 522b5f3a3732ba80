"""``manage.py outbox``: what it prints and how it exits (0 clean, 2 look at it)."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from notifications import outbox
from notifications.models import Outbox

pytestmark = pytest.mark.django_db


def run(capsys: Any, *arguments: str) -> tuple[int, str]:
    try:
        call_command("outbox", *arguments)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    return code, capsys.readouterr().out


@pytest.fixture
def done(monkeypatch: Any) -> list[int]:
    numbers: list[int] = []
    monkeypatch.setattr(outbox, "_handlers", {})

    @outbox.handler("test")
    def note(payload: outbox.Payload, *, now: Any) -> None:
        numbers.append(payload["number"])

    return numbers


def add(number: int, kind: str = "test", minutes_ago: int = 1) -> Outbox:
    due_at = timezone.now() - timedelta(minutes=minutes_ago)
    outbox.add(f"{kind}:{number}", kind, {"number": number}, due_at=due_at)
    return Outbox.objects.get(key=f"{kind}:{number}")


def test_the_status_of_an_empty_outbox_is_clean(capsys: Any):
    assert run(capsys, "status") == (
        0,
        "0 waiting, 0 in hand, 0 due, 0 late, 0 dead\n",
    )


def test_the_status_exits_2_when_something_is_late(capsys: Any):
    add(1, minutes_ago=3)
    code, text = run(capsys, "status", "--json")
    report = json.loads(text)
    assert code == 2
    assert (report["due"], report["late"], report["dead"]) == (1, 1, 0)


def test_run_carries_out_everything_due(capsys: Any, done: list[int]):
    """H5: without a broker."""
    for number in range(30):
        add(number)
    assert run(capsys, "run") == (0, "30 handled, 0 died\n")
    assert sorted(done) == list(range(30))


def test_run_keeps_to_its_limit(capsys: Any, done: list[int]):
    for number in range(30):
        add(number)
    assert run(capsys, "run", "--limit", "25") == (0, "25 handled, 0 died\n")


def test_run_exits_2_when_a_row_died_and_status_names_it(capsys: Any, done: list[int]):
    """H14"""
    row = add(1, kind="pigeon")
    assert run(capsys, "run") == (2, "1 handled, 1 died\n")
    code, text = run(capsys, "status")
    assert code == 2
    assert "dead: 1 of kind pigeon\n" in text
    assert f"  {row.pk}  pigeon:1: no handler for pigeon\n" in text


@pytest.mark.parametrize("which", [["--dead"], ["--kind", "test"], ["--id"]])
def test_replay_gives_dead_rows_new_tries(
    capsys: Any, done: list[int], which: list[str]
):
    dead, alive = add(1), add(2)
    Outbox.objects.filter(pk=dead.pk).update(state="dead", tries=8)
    if which == ["--id"]:
        which = ["--id", str(dead.pk)]
    assert run(capsys, "replay", *which) == (0, "1 dead rows will be tried again\n")
    run(capsys, "run")
    assert sorted(done) == [1, 2]
    assert Outbox.objects.get(pk=dead.pk).tries == 1
    assert Outbox.objects.get(pk=alive.pk).tries == 1


def test_replay_leaves_what_is_done_alone(capsys: Any, done: list[int]):
    row = add(1)
    run(capsys, "run")
    assert run(capsys, "replay", "--id", str(row.pk))[0] == 2
    assert Outbox.objects.get().state == "done"


def test_replay_wants_to_know_which():
    with pytest.raises(CommandError, match="--dead"):
        call_command("outbox", "replay")
