"""Kills at random moments while people buy: FLT-10.

    var/venv-test/bin/python -m tests.faults.crash --seeds 200 [--first 1]

Every seed draws who buys what and pays how, which processes die when, and how long they
stay dead. Then everything is healed, the clock is stepped past the claims of the dead,
and the books must be in order. One line a seed; the exit code is the number of seeds
that failed, and each can be repeated by ``--first SEED --seeds 1``.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.faults.shoppers import CHANNELS, WARES, Shopper
from tests.faults.town import OURS, Town, running_town

SHOPPERS = 3
VICTIMS = (("web",), ("web",), ("worker",), ("worker",), ("beat",), OURS)
PAST_CLAIMS = 310
"""A claim of the outbox is taken back after 300 s (H4)."""
PAST_HOLDS = 45 * 60
"""Orders that nobody has paid are over."""
EVERY_SO_OFTEN = 5


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.crash")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=1)
    options = parser.parse_args()
    failed = Counter[int]()
    began = time.monotonic()
    with running_town() as town:
        from tests.faults import books

        for seed in range(options.first, options.first + options.seeds):
            failed[seed] += bool(live_through(town, seed))
        said = town.complaints()
        happened = books.what_happened()
    bad = [seed for seed in failed if failed[seed]]
    seconds = time.monotonic() - began
    print(f"{options.seeds} seeds in {seconds:.0f} s, {len(bad)} failed: {bad}")
    print(happened)
    for line in said:
        print(line)
    return min(len(bad) + bool(said), 100)


def live_through(town: Town, seed: int) -> list[str]:
    """One seed, told in a line; what was wrong afterwards."""
    began = time.monotonic()
    dice = random.Random(seed)
    shoppers = [
        Shopper(town, random.Random(f"{seed}-{n}"), wares=WARES, channels=CHANNELS)
        for n in range(SHOPPERS)
    ]
    killed = trouble(town, dice, shoppers)
    wrong = [line for shopper in shoppers for line in shopper.failures]
    town.heal()
    wrong += rest(town, PAST_CLAIMS)
    if seed % EVERY_SO_OFTEN == 0:
        wrong += rest(town, PAST_HOLDS)
    orders = sum(len(shopper.diary) for shopper in shoppers)
    print(
        f"seed {seed}: {'FAILED' if wrong else 'ok'}, {orders} orders, "
        f"killed {', '.join(killed)}; {time.monotonic() - began:.1f} s",
        flush=True,
    )
    for line in wrong:
        print(f"  {line}", flush=True)
    return wrong


def trouble(town: Town, dice: random.Random, shoppers: list[Shopper]) -> list[str]:
    """Let them buy and processes die; returns who died, once nobody buys any more."""
    killed: list[str] = []
    with ThreadPoolExecutor(len(shoppers)) as crowd:
        buying = [crowd.submit(in_peace, shopper) for shopper in shoppers]
        for _ in range(dice.randint(1, 3)):
            time.sleep(dice.uniform(0, 1.2))
            victims = dice.choice(VICTIMS)
            town.kill(*victims)
            killed.append("+".join(victims))
            time.sleep(dice.uniform(0, 0.4))
            for role in victims:
                town.start(role)
        for shopper in buying:
            shopper.result()
    return killed


def in_peace(shopper: Shopper) -> None:
    """Her thread's own connection to the database ends with her."""
    from django.db import connection

    try:
        shopper.go()
    except Exception as error:
        shopper.failures.append(f"{type(error).__name__}: {error}")
    finally:
        connection.close()


def rest(town: Town, seconds: float) -> list[str]:
    """Step the clock, let the shop finish, and look into the books."""
    from tests.faults import books

    town.step(seconds)
    return books.come_to_rest(town) or books.faults(town)


if __name__ == "__main__":
    sys.exit(main())
