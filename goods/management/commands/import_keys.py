"""``manage.py import_keys GOODS FILE``: card keys from text or CSV."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext, override

from goods import importing
from goods.models import BatchState, Goods, KeyBatch

WIDTH = 40


class Command(BaseCommand):
    help = (
        "Import card keys, one a line or as CSV (one column, or number and password). "
        "Says by line number what is there already and what makes no sense, and never "
        "prints a key. Exit 2 when any line was not taken."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("goods", metavar="GOODS", help="slug of the goods")
        parser.add_argument("file", metavar="FILE", help="a file, - for standard input")
        parser.add_argument("--csv", action="store_true", help="whatever its name")
        parser.add_argument(
            "--dry-run", action="store_true", help="check only, keep nothing"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        goods = Goods.objects.filter(slug=options["goods"]).first()
        if goods is None:
            raise CommandError(f"There are no goods with the slug {options['goods']}.")
        is_csv = options["csv"] or options["file"].lower().endswith(".csv")
        reading = importing.read(_content(options["file"]), is_csv=is_csv)
        now = timezone.now()
        batch = importing.check(goods.pk, reading, actor_id=None, now=now)
        if options["dry_run"] or not batch.lines:
            self._report(batch)
            batch.delete()  # a dry run leaves nothing
        else:
            importing.confirm(batch.pk, now=now)
            self._import(batch)
            self._report(batch)
        if batch.duplicates or batch.malformed:
            sys.exit(2)

    def _import(self, batch: KeyBatch) -> None:
        """Here and now instead of in a worker, with a bar where somebody looks."""
        for state in importing.pieces(batch.pk, now=timezone.now()):
            done = state.position * WIDTH // state.lines
            if self.stdout.isatty():
                bar = "#" * done + "." * (WIDTH - done)
                self.stdout.write(
                    f"\r[{bar}] {state.position}/{state.lines}", ending=""
                )
        if self.stdout.isatty():
            self.stdout.write("")
        batch.refresh_from_db()

    def _report(self, batch: KeyBatch) -> None:
        imported = batch.state == BatchState.DONE
        count, word = (
            (batch.added, "added") if imported else (batch.lines, "can be added")
        )
        self.stdout.write(f"{count} {word}")
        if batch.duplicates:
            lines = ", ".join(map(str, batch.duplicates))
            self.stdout.write(f"{len(batch.duplicates)} duplicate, on lines {lines}")
        with override("en"):
            for number, why in batch.malformed:
                self.stdout.write(f"line {number}: {gettext(why)}")
        if imported:
            self.stdout.write(f"batch {batch.pk}")


def _content(name: str) -> str:
    try:
        raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return importing.decode(raw)
    except OSError as error:
        raise CommandError(f"Cannot read the file: {error.strerror}.") from error
    except importing.NotText:
        raise CommandError("The file is no text in UTF-8 or GB18030.") from None
