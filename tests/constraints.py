"""For tests that write below the application, where only the database says no."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import IntegrityError, connection, transaction


def refuses(write: Callable[[], object]) -> None:
    """The database refuses the write, at once, and goes on working."""
    with pytest.raises(IntegrityError), transaction.atomic():
        _now(write)


def allows(write: Callable[[], object]) -> None:
    """The neighbour of a refused write; taken back again."""
    with transaction.atomic():
        _now(write)
        transaction.set_rollback(True)


def _now(write: Callable[[], object]) -> None:
    """Foreign keys are checked as well, which otherwise waits for the commit."""
    write()
    connection.check_constraints()
