"""Django's PostgreSQL, with a health check of kept connections that costs no query."""

from __future__ import annotations

import select

from django.db.backends.postgresql import base, operations
from psycopg import OperationalError


class DatabaseOperations(operations.DatabaseOperations):
    compiler_module = "django.db.models.sql.compiler"
    """Several rows are inserted as plain values. Django would send each column as an
    array, which takes the driver longer than the server saves for the few rows that a
    request writes."""


class DatabaseWrapper(base.DatabaseWrapper):
    ops_class = DatabaseOperations

    def is_usable(self) -> bool:
        """Whether the server still holds the other end of the idle connection.

        A server that is asked nothing says nothing, and the kernel knows at once when a
        restart has closed the socket. So silence is health; of anything else Django's
        own check makes sense, by a query.
        """
        try:
            poll = select.poll()
            poll.register(self.connection.fileno(), select.POLLIN)
            is_silent = not poll.poll(0)
        except (AttributeError, OperationalError):  # closed, or never opened
            return False
        return is_silent or bool(super().is_usable())
