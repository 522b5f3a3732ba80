"""Settling through HTTP against the very same statements, sent by pgbench.

Both in one run on the same PostgreSQL, four at a time, in turns. pgbench knows nothing
of orders: it sends the recorded statements of other orders' settlements, each in one
transaction. What lies between the two is Python: driver, ORM, signature and HTTP.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import machine, settling
from benchmarks.goals import Figure, Skipped
from benchmarks.servers import ROOT, Shop
from benchmarks.services import Services
from tests import postgres

ROUNDS, EACH = 3, 120
"""Settlements of a round, by either side, shared by so many at a time:"""
AT_A_TIME = settling.AT_A_TIME


def measure(services: Services, shop: Shop) -> list[Figure]:
    program = find_pgbench(services)
    sign = settling._signer(services)
    http, pgbench, cpu = [], [], []
    settling._send(shop, settling._notices(services, shop, sign, 40))  # warm
    for number in range(ROUNDS):
        bodies = settling._notices(services, shop, sign, EACH)
        used, began = machine.cpu_seconds(shop.pid), time.monotonic()
        settling._send(shop, bodies)
        http.append(EACH / (time.monotonic() - began))
        cpu.append((machine.cpu_seconds(shop.pid) - used) * 1_000 / EACH)
        pgbench.append(rate_of_pgbench(program, services, shop, number))
    whole = statistics.median(cpu)
    part = costs(services, shop, sign)
    ratio = statistics.median(h / p for h, p in zip(http, pgbench, strict=True))
    return [
        Figure(
            "settling through HTTP, one process",
            statistics.median(http),
            "/s",
            at_least=50,
            wall_clock=True,
        ),
        Figure("the same statements by pgbench", statistics.median(pgbench), "/s"),
        Figure("HTTP against pgbench", ratio * 100, "%"),
        Figure("CPU of a settlement: all of the web process", whole, "ms"),
        Figure("… the driver, with the same statements", part["driver"], "ms"),
        Figure("… ORM and the shop's own code", part["settle"] - part["driver"], "ms"),
        Figure("… signature and parsing", part["signature"], "ms"),
        Figure(
            "… HTTP, middleware and the server",
            whole - part["settle"] - part["signature"],
            "ms",
        ),
    ]


def find_pgbench(services: Services) -> Path:
    """Beside the server, which is copied where its user may run it; root may as well."""
    folder = postgres.reachable_binaries(services.folder, postgres.unprivileged())
    if not (folder / "pgbench").exists():
        raise Skipped("this PostgreSQL comes without pgbench")
    return folder / "pgbench"


def rate_of_pgbench(
    program: Path, services: Services, shop: Shop, number: int
) -> float:
    """Settlements a second of several clients, each with a script to run once."""
    files = [services.folder / f"settle-{number}-{n}.sql" for n in range(AT_A_TIME)]
    each = EACH // AT_A_TIME
    shop.run("-m", "benchmarks.recording", "scripts", str(each), *map(str, files))
    command = [
        *(str(program), "--no-vacuum", "--client=1", "--transactions=1"),
        *("-h", str(services.database_folder), "-U", "postgres"),
    ]
    began = time.monotonic()
    running = [
        subprocess.Popen(
            [*command, "-f", str(file), shop.name],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for file in files
    ]
    said = [process.communicate()[0] for process in running]
    seconds = time.monotonic() - began
    for process, words in zip(running, said, strict=True):
        if process.returncode or "processed: 1/1" not in words:
            raise RuntimeError(f"pgbench: {words}")
    return each * AT_A_TIME / seconds


def costs(
    services: Services, shop: Shop, sign: Callable[[bytes], str]
) -> dict[str, float]:
    """CPU milliseconds of the parts, each measured alone in a process of its own."""
    bodies = settling._notices(services, shop, sign, EACH)
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.recording", "costs", str(EACH)],
        input=json.dumps(bodies),
        cwd=ROOT,
        env=dict(shop.environ),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: dict[str, float] = json.loads(done.stdout)
    return found
