"""What one settlement sends to the database; runs with the shop's settings.

scripts COUNT FILE …  COUNT orders for each file, whose settlements are written there as
                      pgbench commands, to be run once; prints the statements of one
costs COUNT           CPU milliseconds of one settlement's parts, as JSON
"""

from __future__ import annotations

import json
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks import filling  # sets Django up

from django.db import connection  # isort: skip
from django.utils import timezone

from members.models import Entitlement, Member, Segment
from orders.models import Order
from payments import gateways
from payments.gateways.contract import NoticeRequest, Trade, TradeState
from payments.models import Attempt
from payments.settle import Source, apply_result

BASES = {Order: 7, Attempt: 8, Entitlement: 6, Segment: 5}
"""Ids begin at so many hundred millions: nothing else in a statement looks like one."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """One order's own values, which its statements contain."""

    attempt: Attempt
    txn_id: str
    digest: str

    def values(self) -> list[str]:
        order = self.attempt.order
        return [
            *map(str, (order.pk, order.member_id, self.attempt.pk)),
            *(order.no, order.title and self.attempt.out_trade_no),
            *(self.txn_id, self.digest),
        ]

    def settle(self, now: datetime) -> None:
        trade = Trade(
            self.attempt.out_trade_no,
            TradeState.PAID,
            txn_id=self.txn_id,
            amount_fen=self.attempt.amount_fen,
            paid_at=now,
        )
        outcome = apply_result(
            "alipay", trade, source=Source("notice", self.digest), now=now
        )
        assert outcome == "settled", outcome


def settlements(count: int) -> list[Settlement]:
    """Orders of members of their own, who have an id that cannot be mistaken."""
    for model, base in BASES.items():
        _begin_ids_at(model._meta.db_table, base * 10**8)
    _begin_ids_at(Member._meta.db_table, 9 * 10**8)
    phones = iter(f"+86137{secrets.randbelow(10**8):08}" for _ in range(count))
    return [
        Settlement(
            filling._place(
                Member.objects.create(phone=phone), "temporary-7", now=timezone.now()
            ),
            f"{secrets.randbits(90):028d}",
            secrets.token_hex(32),
        )
        for phone in phones
    ]


def _begin_ids_at(table: str, least: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_serial_sequence(%s, 'id')", [table])
        [sequence] = cursor.fetchone()
        cursor.execute(f"SELECT last_value FROM {sequence}")  # noqa: S608
        if cursor.fetchone()[0] < least:
            cursor.execute("SELECT setval(%s, %s)", [sequence, least])


@contextmanager
def recorded() -> Iterator[list[str]]:
    """The statements that run inside, with their values."""
    seen: list[str] = []

    def note(execute, sql, params, many, context):  # type: ignore[no-untyped-def]
        cursor = context["cursor"].cursor
        seen.append(cursor.mogrify(sql, params) if params else sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield seen


def template(first: Settlement, now: datetime) -> tuple[list[str], str]:
    """The statements of a settlement, and the id that the database gave away in it."""
    with recorded() as statements:
        first.settle(now)
    given = Entitlement.objects.get(order=first.attempt.order).pk
    return statements, str(given)


def refilled(statements: list[str], first: Settlement, other: Settlement) -> list[str]:
    """The same statements for another order."""
    new = dict(zip(first.values(), other.values(), strict=True))
    pattern = re.compile("|".join(map(re.escape, sorted(new, key=len, reverse=True))))
    return [pattern.sub(lambda found: new[found[0]], each) for each in statements]


def as_script(statements: list[str], given: str) -> list[str]:
    """One transaction in pgbench's words; what the first INSERT returns is used later."""
    lines = ["BEGIN;"]
    returned = False
    for statement in statements:
        one_line = " ".join(statement.split())
        if given in one_line:
            assert returned
            one_line = one_line.replace(given, ":given_id")
        if not returned and f'INTO "{Entitlement._meta.db_table}"' in one_line:
            returned = True
            lines.append(f"{one_line} \\gset given_")
        else:
            lines.append(f"{one_line};")
    return [*lines, "COMMIT;"]


def write_scripts(count: int, files: list[Path]) -> list[str]:
    first, *others = settlements(1 + count * len(files))
    statements, given = template(first, timezone.now())
    for number, file in enumerate(files):
        mine = others[number * count : (number + 1) * count]
        lines = [
            line
            for each in mine
            for line in as_script(refilled(statements, first, each), given)
        ]
        file.write_text("\n".join(lines) + "\n")
    return statements


def costs(count: int) -> dict[str, float]:
    """CPU of this process for each part of ``count`` settlements, a piece."""
    ready = settlements(1 + 2 * count)
    first, now = ready[0], timezone.now()
    statements, given = template(first, now)
    settled, sent = ready[1 : 1 + count], ready[1 + count :]
    whole = _cpu([lambda each=each: each.settle(now) for each in settled])  # type: ignore[misc]
    plain = _cpu(
        [
            lambda each=each: _send(refilled(statements, first, each), given)  # type: ignore[misc]
            for each in sent
        ]
    )
    refill = _cpu(
        [lambda each=each: refilled(statements, first, each) for each in sent]
    )  # type: ignore[misc]
    return {"settle": whole, "driver": plain - refill}


def _cpu(work: list[Callable[[], object]]) -> float:
    began = time.process_time()
    for each in work:
        each()
    return (time.process_time() - began) * 1_000 / len(work)


def _send(statements: list[str], given: str) -> None:
    """What the driver does, without Django: the same text, the rows fetched."""
    raw = connection.connection
    returned = given
    with raw.transaction(), raw.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement.replace(given, returned))
            if cursor.description is not None:
                rows = cursor.fetchall()
                if f'INTO "{Entitlement._meta.db_table}"' in statement:
                    returned = str(rows[0][0])


def signature_cost(bodies: list[str]) -> float:
    gateway = gateways.get("alipay")
    assert gateway is not None
    now = timezone.now()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return _cpu(
        [
            lambda body=body: gateway.parse_notice(  # type: ignore[misc]
                NoticeRequest("POST", headers, "", body.encode()), now=now
            )
            for body in bodies
        ]
    )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["scripts", count, *files]:
            print(json.dumps(write_scripts(int(count), [Path(f) for f in files])))
        case ["costs", count]:
            bodies = json.load(sys.stdin)
            print(json.dumps(costs(int(count)) | {"signature": signature_cost(bodies)}))
        case _:
            sys.exit(__doc__)
