from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from payments import gateways, reconciliation
from payments.reconciliation import Answer, BillLine

_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


class Command(BaseCommand):
    help = (
        "Ask the gateways about every open or unknown attempt and about those that "
        "failed or were closed lately, and book what they say. With --bill also "
        "compare their list with our books. Exit 0: all agrees; 2: something differed "
        "or a gateway gave no answer."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--gateway", choices=sorted(gateways.GATEWAYS), default="", help="only this"
        )
        parser.add_argument(
            "--since",
            default="2d",
            help="failed and closed attempts so far back: 2d (default), 36h, 90m",
        )
        parser.add_argument(
            "--bill",
            type=Path,
            metavar="FILE",
            help=(
                "CSV with a header line and the columns "
                f"{', '.join(reconciliation.COLUMNS)} (kind: payment or refund) and, "
                "where known, out_refund_no and at (ISO 8601 with offset). The "
                "gateways' own formats are not read yet."
            ),
        )

    def handle(self, *args: Any, **options: Any) -> None:
        gateway = options["gateway"]
        bill = read(options["bill"]) if options["bill"] else []
        if gateway:
            bill = [line for line in bill if line.gateway == gateway]
        answers = list(self.ask(gateway, span(options["since"]), bill))
        differences = list(reconciliation.compare(bill))
        for difference in differences:
            self.stdout.write(
                f"{difference.gateway:<9} {difference.number:<32} "
                f"{difference.kind}: {difference.words}"
            )
        unclean = sum(not answer.is_clean for answer in answers)
        summary = f"{len(answers)} asked, {unclean} differed or unanswered"
        if options["bill"]:
            summary += f"; bill of {len(bill)} lines, {len(differences)} differ"
        self.stdout.write(summary)
        if unclean or differences:
            sys.exit(2)

    def ask(
        self, gateway: str, back: timedelta, bill: list[BillLine]
    ) -> Iterator[Answer]:
        """Ask about each doubtful attempt, saying so line by line."""
        since = timezone.now() - back
        numbers = [line.number for line in bill if line.kind == "payment"]
        doubtful = reconciliation.doubtful(
            gateway=gateway, since=since, numbers=numbers
        )
        total = doubtful.count()
        for done, attempt in enumerate(doubtful, 1):
            answer = reconciliation.ask(attempt, now=timezone.now())
            change = answer.before
            if answer.after != answer.before:
                change += f" → {answer.after}"
            self.stdout.write(
                f"{answer.gateway:<9} {answer.number:<32} {change:<18} "
                f"{answer.asked.value:<9} order {answer.order_no}"
            )
            if self.stderr.isatty():
                self.stderr.write(f"\r{done} of {total} ", ending="")
            yield answer


def span(text: str) -> timedelta:
    """``2d``, ``36h``, ``90m``."""
    match = re.fullmatch(r"([0-9]{1,4})([dhm])", text, re.ASCII)
    if match is None:
        raise CommandError(f"--since: {text!r} is no span like 2d, 36h or 90m")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def read(path: Path) -> list[BillLine]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return reconciliation.read_bill(file)
    except (OSError, UnicodeDecodeError, reconciliation.BadBill) as error:
        raise CommandError(f"--bill: {error}") from error
