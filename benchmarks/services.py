"""What the measured servers stand on: a private PostgreSQL and Valkey, and the sandbox.

PostgreSQL keeps its own durable settings and counts statements. Both databases, ours and
the baseline's, live in the same server.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests import plug, postgres
from tests.sandbox_process import Sandbox, running_sandbox

COUNTING = (
    "shared_preload_libraries=pg_stat_statements",
    "pg_stat_statements.track=top",
    "shared_buffers=256MB",
)
# Neither transaction control nor PostgreSQL's own queries that check foreign keys.
STATEMENTS = """
    SELECT coalesce(sum(calls), 0)
    FROM pg_stat_statements JOIN pg_database ON oid = dbid
    WHERE datname = %s
      AND query !~* '^(begin|commit|rollback|savepoint|release|set)'
      AND query NOT LIKE '%%FOR KEY SHARE OF x'
"""


@dataclass(frozen=True, slots=True)
class Services:
    folder: Path
    database_folder: Path
    redis_url: str
    sandbox: Sandbox

    def database_url(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={self.database_folder}"

    def statements(self, database: str) -> int:
        """How many the database has answered so far."""
        with psycopg.connect(self.database_url("postgres")) as connection:
            row = connection.execute(STATEMENTS, [database]).fetchone()
        assert row is not None
        return int(row[0])


@contextmanager
def running(*databases: str) -> Iterator[Services]:
    """Start everything, with these empty databases; at the end nothing is left."""
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="kameng-bench-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)  # PostgreSQL may have to run as another user
        postgres.start(folder, stack, settings=COUNTING)
        redis_url = plug.start_valkey(folder, stack)
        sandbox = stack.enter_context(running_sandbox(folder / "sandbox"))
        services = Services(folder, folder / "postgres", redis_url, sandbox)
        with psycopg.connect(
            services.database_url("postgres"), autocommit=True
        ) as connection:
            connection.execute("CREATE EXTENSION pg_stat_statements")
            for name in databases:
                connection.execute(f'CREATE DATABASE "{name}"')
        yield services
