"""The time that a periodic job acts on: this machine's, if the database agrees.

Jobs end holds, remind and debit because a moment has come. A machine whose clock is
ahead would do all of it too early, and for everybody at once (H10, FLT-33).

Where both clocks are one, and wrong, nobody can tell it but from what it does: so much
comes due in one moment as never does. What ends or reminds people stops then, and goes
on once somebody has looked at the clock and raised the number in the shop's rules.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import connection
from django.utils import timezone

TOLERANCE = timedelta(seconds=60)
"""More than any time server lets happen, less than the last moments of an order."""


class Astray(Exception):
    """This machine's clock and the database's are more than a minute apart."""


class TooMuch(Exception):
    """More has come due at once than the shop's rules expect of a right clock."""

    def __init__(self, at_most: int, of_what: str) -> None:
        super().__init__(
            f"more than {at_most} {of_what} are due at once: look at the clock; if it is "
            f"right, raise the number in the shop's rules"
        )


def agreed_now() -> datetime:
    """This machine's time in UTC.

    raises  Astray
    """
    now = timezone.now()
    theirs = of_database()
    if theirs is not None and abs(now - theirs) > TOLERANCE:
        seconds = round((now - theirs).total_seconds())
        raise Astray(f"this machine's clock is {seconds:+} s off the database's")
    return now


def of_database() -> datetime | None:
    """The database server's time; None where it has no clock of its own (SQLite)."""
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        theirs: datetime = cursor.fetchone()[0]
    return theirs
