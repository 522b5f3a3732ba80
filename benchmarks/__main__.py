"""Measures the shop on this machine against its goals.

Parts: rates, settling, pgbench, screen, weight, lighthouse, startup; without a name all of them.
Exit 0 when every goal is met, 2 when one is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks import (
    lighthouse,
    machine,
    pgbench,
    rates,
    screen,
    servers,
    services,
    settling,
    startup,
    weight,
)
from benchmarks.goals import Figure, Skipped, table

PARTS = ("rates", "settling", "pgbench", "screen", "weight", "lighthouse", "startup")
PAGES_AND_NOTICES = {
    "settling": settling.measure,
    "pgbench": pgbench.measure,
    "screen": screen.measure,
    "weight": weight.measure,
    "lighthouse": lighthouse.measure,
}
"""Each wants the running services and our shop."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="benchmarks/run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", choices=[[], *PARTS])
    parser.add_argument("--rounds", type=int, default=5, help="of each comparison")
    parser.add_argument("--seconds", type=int, default=6, help="of each load")
    parser.add_argument("--only", default="", help="rates whose name holds this text")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the figures too")
    options = parser.parse_args()
    in_use = machine.share_in_use()
    quiet = in_use <= machine.QUIET
    print(f"The machine is {in_use:.0%} busy with other things.", flush=True)
    machine.move_aside()
    figures: list[Figure] = []
    for name, part in _parts(options):
        print(f"\n## {name}\n", flush=True)
        try:
            measured = part()
        except Skipped as reason:
            print(f"Skipped: {reason}", flush=True)
            continue
        figures += measured
        print(table(measured, quiet=quiet), flush=True)
    if options.json:
        content = [figure.as_json(quiet=quiet) for figure in figures]
        options.json.write_text(json.dumps(content, ensure_ascii=False, indent=1))
    missed = [f for f in figures if f.verdict(quiet=quiet) == "MISSED"]
    return 2 if missed else 0


def _parts(
    options: argparse.Namespace,
) -> Iterator[tuple[str, Callable[[], list[Figure]]]]:
    """The wanted parts; those that need a filled shop share one."""
    wanted = [name for name in PARTS if name in (options.parts or PARTS)]
    with ExitStack() as stack:
        if set(wanted) - {"startup"}:
            running = stack.enter_context(services.running(servers.OURS, servers.BASE))
            ours = stack.enter_context(servers.shop(running))
        if "rates" in wanted:
            with servers.baseline(running) as base:
                yield (
                    "rates",
                    lambda: rates.measure(
                        running,
                        ours,
                        base,
                        rounds=options.rounds,
                        seconds=options.seconds,
                        only=options.only,
                    ),
                )
        for name, part in PAGES_AND_NOTICES.items():
            if name in wanted:
                yield name, partial(part, running, ours)
    if "startup" in wanted:
        yield "startup", startup.measure


if __name__ == "__main__":
    sys.exit(main())
