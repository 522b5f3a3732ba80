"""Card keys coming in: read, checked, and imported off the request.

A dry run keeps the lines sealed in a ``KeyBatch`` and says which are good, which are
there already and which make no sense, by line number. When an operator agrees, the
outbox imports them piece by piece; the batch's ``position`` moves with each piece, so
a worker that dies costs nothing but a repetition that changes nothing (FLT-44, I10).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from django.db import transaction
from django.utils.translation import gettext_noop as _

from goods import sealing
from goods.keys import lock_goods, move_stock
from goods.models import BatchState, CardKey, KeyBatch, KeyState
from notifications import outbox

SHORTEST, LONGEST = 4, 200
"""Characters of a key; a shorter line is a slip of the hand."""
MOST_LINES = 50_000
PIECE = 500
"""Keys a transaction: a few dozen milliseconds, so that a sale hardly waits."""
DRAFT_KEPT = timedelta(hours=24)
SERVE = "goods.serve"
"""Outbox kind: deliver what waits for this thing; carried out by ``orders``."""
HEADERS = {"key", "keys", "code", "card", "卡密", "卡号", "number", "secret"}

TOO_SHORT = _("太短")
TOO_LONG = _("太长")
UNPRINTABLE = _("有看不见的字符")
COLUMNS = _("多于两列")
TOO_MANY = _("超过 50000 行，后面的没有读")


@dataclass(frozen=True, slots=True)
class Line:
    """One key and the line of the file that it stands on."""

    number: int
    secret: str


@dataclass(slots=True)
class Reading:
    """What a file says, before the database is asked.

    twice      lines that repeat an earlier line of the same file
    malformed  (line, why), why being a msgid
    """

    lines: list[Line]
    twice: list[int]
    malformed: list[tuple[int, str]]


class NotText(Exception):
    """The file is in no encoding that keys come in."""


def decode(raw: bytes) -> str:
    """UTF-8, or what Excel writes in China.

    raises  NotText
    """
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise NotText


def read(text: str, *, is_csv: bool = False) -> Reading:
    """Read pasted lines, a text file or CSV; blank lines count for nothing.

    In CSV a key is one column, or two (number and password) that are joined by a blank;
    a first row of column names is skipped.
    """
    found = Reading([], [], [])
    seen: set[str] = set()
    for number, secret in _rows(text.removeprefix("\ufeff"), is_csv=is_csv):
        if number > MOST_LINES:
            found.malformed.append((number, TOO_MANY))
            break
        why = COLUMNS if secret is None else _fault(secret)
        if why:
            found.malformed.append((number, why))
        elif secret in seen:
            found.twice.append(number)
        elif secret:
            seen.add(secret)
            found.lines.append(Line(number, secret))
    return found


def _rows(text: str, *, is_csv: bool) -> Iterator[tuple[int, str | None]]:
    """(line, key) of each line that is not blank; None for a row of many columns."""
    if not is_csv:
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                yield number, line.strip()
        return
    rows = csv.reader(io.StringIO(text, newline=""))
    for row in rows:
        cells = [cell.strip() for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        first = rows.line_num == 1
        if not cells or (first and cells[0].casefold() in HEADERS):
            continue
        yield rows.line_num, " ".join(cells) if len(cells) <= 2 else None


def _fault(secret: str) -> str:
    if len(secret) < SHORTEST:
        return TOO_SHORT
    if len(secret) > LONGEST:
        return TOO_LONG
    return "" if secret.isprintable() else UNPRINTABLE


def known(goods_id: int, lines: Sequence[Line]) -> set[int]:
    """The lines whose keys this thing has already, under any of ``DATA_KEYS``."""
    there: set[int] = set()
    for start in range(0, len(lines), PIECE):
        by_digest = {
            digest: line.number
            for line in lines[start : start + PIECE]
            for digest in sealing.digests(line.secret)
        }
        present = CardKey.objects.filter(goods_id=goods_id, digest__in=by_digest)
        there |= {by_digest[d] for d in present.values_list("digest", flat=True)}
    return there


def check(
    goods_id: int, reading: Reading, *, actor_id: int | None, now: datetime
) -> KeyBatch:
    """Keep a file as a dry run: what would be added is sealed, nothing is sold yet."""
    there = known(goods_id, reading.lines)
    fresh = [line for line in reading.lines if line.number not in there]
    content = json.dumps([[line.number, line.secret] for line in fresh])
    return KeyBatch.objects.create(
        goods_id=goods_id,
        content=sealing.seal(content) if fresh else "",
        lines=len(fresh),
        duplicates=sorted([*reading.twice, *there]),
        malformed=[list(each) for each in reading.malformed],
        actor_id=actor_id,
        created_at=now,
    )


@transaction.atomic(durable=True)
def confirm(batch_id: int, *, now: datetime) -> bool:
    """Let a checked batch be imported by a worker; False when it is not waiting."""
    moved = KeyBatch.objects.filter(
        pk=batch_id, state=BatchState.CHECKED, lines__gt=0
    ).update(state=BatchState.RUNNING)
    if moved:
        outbox.add(
            f"goods.import:{batch_id}", "goods.import", {"batch": batch_id}, due_at=now
        )
    return bool(moved)


def drop(batch_id: int) -> bool:
    """Forget a dry run and its lines; False when it is not waiting."""
    return bool(
        KeyBatch.objects.filter(pk=batch_id, state=BatchState.CHECKED).update(
            state=BatchState.DROPPED, content=""
        )
    )


def drop_old(*, now: datetime) -> int:
    """Forget dry runs that nobody agreed to for a day; returns how many."""
    return KeyBatch.objects.filter(
        state=BatchState.CHECKED, created_at__lt=now - DRAFT_KEPT
    ).update(state=BatchState.DROPPED, content="")


@outbox.handler("goods.import")
def run_import(payload: dict[str, Any], *, now: datetime) -> None:
    """Import a confirmed batch to its end."""
    for _batch in pieces(payload["batch"], now=now):
        pass


def pieces(batch_id: int, *, now: datetime) -> Iterator[KeyBatch]:
    """Import a confirmed batch piece by piece; the batch after each of them."""
    batch = KeyBatch.objects.get(pk=batch_id)
    if batch.state != BatchState.RUNNING:
        return
    lines = [Line(*each) for each in json.loads(sealing.unseal(batch.content))]
    while batch.state == BatchState.RUNNING:
        batch = _import_piece(batch_id, lines, now=now)
        yield batch


@transaction.atomic(durable=True)
def _import_piece(batch_id: int, lines: Sequence[Line], *, now: datetime) -> KeyBatch:
    """Add the next keys under the batch's lock, and what became of them."""
    batch = KeyBatch.objects.select_for_update().get(pk=batch_id)
    if batch.state != BatchState.RUNNING:
        return batch
    piece = lines[batch.position : batch.position + PIECE]
    there = known(batch.goods_id, piece)
    fresh = {sealing.digest(x.secret): x for x in piece if x.number not in there}
    CardKey.objects.bulk_create(
        [
            CardKey(
                goods_id=batch.goods_id,
                batch=batch,
                secret=sealing.seal(line.secret),
                digest=digest,
            )
            # In one order, or two imports of the same keys could wait for each other.
            for digest, line in sorted(fresh.items(), key=itemgetter(0))
        ],
        ignore_conflicts=True,  # K20: another import may add the same key right now
    )
    mine = CardKey.objects.filter(batch=batch, digest__in=fresh)
    added = set(mine.values_list("digest", flat=True))
    lost = {line.number for digest, line in fresh.items() if digest not in added}
    batch.duplicates = sorted([*batch.duplicates, *there, *lost])
    batch.position += len(piece)
    batch.added += len(added)
    changed = ["duplicates", "position", "added"]
    if batch.position >= batch.lines:
        batch.state, batch.content, batch.finished_at = BatchState.DONE, "", now
        changed += ["state", "content", "finished_at"]
    batch.save(update_fields=changed)  # the sealed lines are long
    if added:
        move_stock(lock_goods(batch.goods_id), len(added), now=now)
    if batch.state == BatchState.DONE:
        ask_to_serve(batch.goods_id, f"batch:{batch.pk}", now=now)
    return batch


def ask_to_serve(goods_id: int, why: str, *, now: datetime) -> None:
    """Have the queue of a thing served soon; the sweep would do so within a minute.

    why  makes the request unique, so that a repetition adds none
    """
    outbox.add(f"{SERVE}:{why}", SERVE, {"goods": goods_id}, due_at=now)


@transaction.atomic(durable=True)
def undo(batch_id: int, *, now: datetime) -> int | None:
    """Take a batch's unsold keys out again; how many, None when it cannot be undone.

    They are deleted, so that the same file can be imported anew. Keys that are sold
    stay with their orders.
    """
    goods_id = KeyBatch.objects.values_list("goods_id", flat=True).get(pk=batch_id)
    batch = KeyBatch.objects.select_for_update().get(pk=batch_id)
    if batch.state != BatchState.DONE:
        return None
    goods = lock_goods(goods_id)
    removed, _tables = CardKey.objects.filter(batch=batch, state=KeyState.FREE).delete()
    batch.state, batch.removed = BatchState.UNDONE, removed
    batch.save(update_fields=["state", "removed"])
    if removed:
        move_stock(goods, -removed, now=now)
    return removed
