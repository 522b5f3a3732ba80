"""Is a sentence false? Each that the shop would tell is judged by a second reckoning.

    python -m benchmarks.recommendation.honesty [--first N] [--histories N] [--ladders N]

Histories of 1 to 400 days, thin or dense, and random ladders: each history meets each
ladder. The judge shares no code with the shop: it sees the raw days as a row of noughts
and ones and reckons forwards over plans that *end* on a needed day and may begin on any.
A line now and then says how far it is; all histories before the one it names have been
judged, so that a run which was stopped goes on with ``--first`` and that number.
Exit 0 when no sentence is false, 2 otherwise.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

from members import told
from members.recommendation import Advice, believe, choose
from members.tiers.ladder import Step, saving, tie

TODAY = date(2026, 11, 24)
DEFAULT_DAYS, KEPT_DAYS = 7, 90
LENGTHS = (1, 1, 2, 3, 5, 7, 10, 14, 30, 60, 90, 180, 365)
CHUNK = 50
SAY_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Shop:
    """What is on sale: temporary plans and long-term ones; and what the operator counts
    a payment's bother as."""

    temporary: tuple[Step, ...]
    long_term: tuple[Step, ...]
    bother_fen: int = 0


@dataclass(frozen=True, slots=True)
class Past:
    """A shopper's days; those of them that the shop still has; and what she bought last
    among these: (day, length in days)."""

    days: frozenset[date]
    kept: frozenset[date]
    last: tuple[date, int] | None


@dataclass(frozen=True, slots=True)
class Claims:
    """Everything that a page says about one past in one shop."""

    advice: Advice
    sums: told.Sums
    unused: told.Unused | None
    long_term: told.LongTerm | None


def random_shop(draw: random.Random) -> Shop:
    def ladder(lengths: Sequence[int]) -> tuple[Step, ...]:
        return tuple(
            Step(days, draw.choice((50, 100, 300)) * draw.randint(1, days + 3))
            for days in sorted(set(lengths))
        )

    return Shop(
        ladder(draw.sample(LENGTHS, 4)),
        ladder(draw.sample((30, 90, 365), 2)),
        draw.choice((0, 50, 200)),
    )


def random_past(draw: random.Random) -> Past:
    """Within 1 to 400 days back, thin or dense, in one stretch or several."""
    reach, chance = draw.randint(1, 400), draw.random()
    days = {TODAY - timedelta(days=a) for a in range(reach) if draw.random() < chance}
    kept = frozenset(day for day in days if (TODAY - day).days <= KEPT_DAYS)
    last = None
    if kept and draw.random() < 0.8:
        last = draw.choice(sorted(kept)), draw.choice(LENGTHS)
    return Past(frozenset(days), kept, last)


def claims(past: Past, belief: Sequence[float], shop: Shop) -> Claims:
    """By the shop's own functions, as its pages call them."""
    days, ladder = past.kept, shop.temporary
    advice = choose(
        belief,
        days,
        ladder,
        today=TODAY,
        default_days=DEFAULT_DAYS,
        bother_fen=shop.bother_fen,
    )
    assert advice is not None
    return Claims(
        advice,
        told.sums(days, advice, today=TODAY),
        told.unused(days, past.last, ladder, today=TODAY),
        told.long_term(days, ladder, shop.long_term, today=TODAY),
    )


class Judge:
    """Looks at one past; ``row`` holds 400 days and today, the last one."""

    def __init__(self, past: Past) -> None:
        first = TODAY - timedelta(days=400)
        came = past.days | {TODAY}
        self.row = [first + timedelta(days=ahead) in came for ahead in range(401)]
        self.last = past.last
        runs = re.findall("1+", "".join("01"[came] for came in self.row[-90:]))
        self.runs = [len(run) for run in runs[:-1]][-4:]

    def false(self, claims: Claims, shop: Shop) -> Iterator[str]:
        """The name of every claim that does not hold."""
        if not self._advice_holds(claims.advice, shop):
            yield "advice"
        if not self._sums_hold(claims.sums, claims.advice.step, shop.temporary):
            yield "sums"
        if claims.unused and not self._unused_holds(claims.unused, shop.temporary):
            yield "unused"
        if claims.long_term and not self._long_term_holds(claims.long_term, shop):
            yield "long-term"

    def _advice_holds(self, advice: Advice, shop: Shop) -> bool:
        if all(step.days >= advice.step.days for step in shop.temporary):
            return advice.otherwise_fen is None and advice.likely is None
        if advice.otherwise_fen is None or advice.likely is None:
            return False
        expected = advice.otherwise_fen - advice.step.price_fen
        if advice.step.days > DEFAULT_DAYS:
            return expected >= 200 and advice.likely >= 0.6 and not advice.bother_fen
        if advice.bother_fen:
            return advice.bother_fen == shop.bother_fen
        return expected >= 0

    def _sums_hold(self, sums: told.Sums, plan: Step, ladder: Sequence[Step]) -> bool:
        days = self.row[-sums.window_days :]
        if sums.days_seen != sum(days):
            return False
        shortest = all(step.days >= plan.days for step in ladder)
        if sums.other_fen is None or shortest:
            return shortest and sums.other_fen is None  # a longer one shows its sum
        others = [step for step in ladder if step is not plan]
        if sums.no_saving:
            is_true = sums.other_fen <= plan.price_fen and not at_once(days, others)
        else:
            is_true = sums.other_fen > plan.price_fen
        return (
            is_true
            and sums.window_days <= plan.days
            and sums.other_fen == least(days, others)
            and (not sums.by_day or sums.other_fen == sum(days) * day_price(others))
        )

    def visits_hold(self, visits: told.Visits | None) -> bool:
        if visits is None or not self.runs:
            return visits is None and not self.runs
        found = (visits.count, visits.least, visits.most)
        return found == (len(self.runs), min(self.runs), max(self.runs))

    def _unused_holds(self, unused: told.Unused, ladder: Sequence[Step]) -> bool:
        if self.last is None:
            return False
        begun, length = self.last
        place = 400 - (TODAY - begun).days
        days = self.row[place : place + length]
        prices = [step.price_fen for step in ladder if step.days == length]
        shorter = [step for step in ladder if step.days < length]
        return (
            place + length <= 400
            and unused.plan_days == length
            and unused.price_fen in prices
            and unused.days_used == sum(days)
            and unused.other_fen == least(days, shorter) < unused.price_fen
        )

    def _long_term_holds(self, found: told.LongTerm, shop: Shop) -> bool:
        days = self.row[-found.window_days :]
        return (
            found.plan in shop.long_term
            and found.window_days <= found.plan.days
            and found.days_seen == sum(days)
            and found.other_fen == least(days, shop.temporary) > found.plan.price_fen
            and found.saving_fen == found.other_fen - found.plan.price_fen > 0
        )


def least(days: Sequence[bool], ladder: Sequence[Step]) -> int:
    """The least price for the needed ones of these days. A plan ends on a needed day,
    covers those before it, and may begin on a day that nobody needs."""
    length = len(days)
    plans = [(min(step.days, length), step.price_fen) for step in ladder]
    paid = [0] * (length + 1)  # by the end of each day; the last of them is the answer
    for needed in days:
        if needed:
            paid.append(min([fen + paid[-covers] for covers, fen in plans]))
        else:
            paid.append(paid[-1])
    return paid[-1]


def at_once(days: Sequence[bool], ladder: Sequence[Step]) -> bool:
    """Whether one of these plans alone is a cheapest way: one payment."""
    reach = len("".join("01"[needed] for needed in days).strip("0"))
    price = least(days, ladder)
    return any(step.days >= reach and step.price_fen <= price for step in ladder)


def day_price(ladder: Sequence[Step]) -> int:
    return min((step.price_fen for step in ladder if step.days == 1), default=-1)


def false_labels(shop: Shop) -> int:
    """Of the savings and ties that stand on the plans themselves, for everybody."""
    false = 0
    for ladder in (shop.temporary, shop.long_term):
        for step in ladder:
            others = [other for other in ladder if other is not step]
            if found := saving(step, others):
                other = least([True] * step.days, others)
                by_day = step.days * day_price(others)
                false += (
                    not found.fen == other - step.price_fen > 0
                    or (found.by_day and other != by_day)
                    or all(each.days > step.days for each in others)
                )
            if same := tie(step, others):
                false += (
                    same.from_days * day_price(others) != step.price_fen
                    or least([True] * same.from_days, others) != step.price_fen
                    or not same.extra_days == step.days - same.from_days > 0
                )
    return false


@cache
def shops(count: int, seed: int) -> list[Shop]:
    draw = random.Random(seed)
    return [random_shop(draw) for _ in range(count)]


def judge(first: int, count: int, ladders: int, seed: int) -> Counter[str]:
    """Of so many pasts, each in every shop: what was told, and what of it was false."""
    found: Counter[str] = Counter()
    for number in range(first, first + count):
        past = random_past(random.Random(f"{seed} {number}"))
        belief = believe(past.kept, today=TODAY)
        judge = Judge(past)
        visits = told.visits(past.kept, today=TODAY)
        found["told"] += visits is not None
        found["false visits"] += not judge.visits_hold(visits)
        for shop in shops(ladders, seed):
            said = claims(past, belief, shop)
            found["pairs"] += 1
            found["told"] += 1 + bool(said.unused) + bool(said.long_term)
            for name in judge.false(said, shop):
                found[f"false {name}"] += 1
    return found


def _judge(chunk: tuple[int, int, int, int]) -> Counter[str]:
    return judge(*chunk)


def run(
    histories: int, ladders: int, *, seed: int, first: int = 0, processes: int = 1
) -> Counter[str]:
    """Judge all but the first ones; processes share the tables of the ladders."""
    found = Counter({"false label": sum(map(false_labels, shops(ladders, seed)))})
    chunks = [
        (number, min(CHUNK, histories - number), ladders, seed)
        for number in range(first, histories, CHUNK)
    ]
    if processes == 1:
        return _gather(found, chunks, map(_judge, chunks))
    judge(0, 1, ladders, seed)  # fills the tables before the processes are forked
    forking = multiprocessing.get_context("fork")
    with forking.Pool(processes) as pool:
        return _gather(found, chunks, pool.imap(_judge, chunks))


def _gather(
    found: Counter[str],
    chunks: Sequence[tuple[int, int, int, int]],
    judged: Iterable[Counter[str]],
) -> Counter[str]:
    """Add up in the order of the chunks, and say how far it is every so often."""
    begun = said = time.monotonic()
    for (number, count, _, _), each in zip(chunks, judged, strict=True):
        found += each
        at = time.monotonic()
        if at - said >= SAY_SECONDS:
            said = at
            pace = (at - begun) / found["pairs"] * 1e3
            line = f"--first {number + count}: {_words(found)} ({pace:.2f} ms a pair)"
            print(line, flush=True)
    return found


def false_of(found: Counter[str]) -> int:
    return sum(count for name, count in found.items() if name.startswith("false"))


def _words(found: Counter[str]) -> str:
    lies = {name: n for name, n in found.items() if name.startswith("false") and n}
    return (
        f"{found['pairs']:,} pairs of a history and a ladder, "
        f"{found['told']:,} sentences, false: {lies or 0}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.recommendation.honesty",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--histories", type=int, default=100_000)
    parser.add_argument("--ladders", type=int, default=100)
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    found = run(
        options.histories,
        options.ladders,
        seed=options.seed,
        first=options.first,
        processes=options.processes,
    )
    print(_words(found))
    return 2 if false_of(found) else 0


if __name__ == "__main__":
    sys.exit(main())
