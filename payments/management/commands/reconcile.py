from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from payments import confirmation, gateways
from payments.gateways import bills, plain_bill
from payments.gateways.bills import PAYMENT, BadBill, BillLine, BillSource, NoBill
from payments.gateways.contract import GatewayError
from payments.reconciling import bill_days, differences, reconciliation
from payments.reconciling.reconciliation import Answer, Bill

_UNITS = {"d": "days", "h": "hours", "m": "minutes"}
_BAR = 30


class Command(BaseCommand):
    help = (
        "Ask the gateways about every open or unknown attempt and about those that "
        "failed or were closed lately, and book what they say. With --bill or --day "
        "also compare the gateways' bill with our books; what differs becomes a case "
        "in the console. Exit 0: all agrees and no case is open; 2: something differed "
        "or a gateway gave no answer. Formats of bills: docs/reconciliation.md."
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
                "a gateway's own bill, packed or not (name it with --gateway), or CSV "
                f"with a header line and the columns {', '.join(plain_bill.COLUMNS)} "
                "(kind: payment or refund) and, where known, out_refund_no and at "
                "(ISO 8601 with offset)"
            ),
        )
        parser.add_argument(
            "--day",
            metavar="YYYY-MM-DD",
            help="fetch the bills of this day, Beijing time; with --bill: the one day "
            "that the file covers whole",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        now, gateway = timezone.now(), options["gateway"]
        day = parse_day(options["day"], now=now) if options["day"] else None
        back = span(options["since"])
        problems: list[str] = []
        if options["bill"]:
            taken = [self.from_file(options["bill"], gateway, day, now=now)]
        elif day is not None:
            taken = list(self.from_gateways(gateway, day, problems, now=now))
        else:
            taken = []
        lines = [line for bill in taken for line in bill.lines]
        unclean = sum(not each.is_clean for each in self.ask(gateway, back, lines))
        found = self.compare(taken)
        confirmation.confirm_due(now=timezone.now())
        cases = differences.waiting()
        waiting = (cases.filter(gateway=gateway) if gateway else cases).count()
        asked = self.asked
        summary = f"{asked} asked, {unclean} differed or unanswered"
        if options["bill"] or day is not None:
            summary += f"; bill of {len(lines)} lines, {found} differ"
        if waiting:
            summary += f"; {waiting} cases open"
        for problem in problems:
            self.stdout.write(problem)
        self.stdout.write(summary)
        if unclean or found or waiting or problems:
            sys.exit(2)

    def from_file(
        self, path: Path, gateway: str, day: date | None, *, now: datetime
    ) -> Bill:
        lines = read(path, gateway, now=now)
        if gateway:
            lines = [line for line in lines if line.gateway == gateway]
        codes = {line.gateway for line in lines} | ({gateway} if gateway else set())
        if day is not None and len(codes) != 1:
            raise CommandError("--day: with a file of several gateways name one")
        return Bill(lines, gateway=next(iter(codes)) if day else "", day=day)

    def from_gateways(
        self, code: str, day: date, problems: list[str], *, now: datetime
    ) -> Iterator[Bill]:
        """The bill of each gateway that hands one out."""
        able = [
            gateway.code
            for gateway in gateways.available()
            if isinstance(gateway, BillSource) and code in ("", gateway.code)
        ]
        if not able:
            raise CommandError("--day: no gateway that is on hands out bills")
        for each in able:
            try:
                lines = bill_days.fetch(each, day, now=now)
            except NoBill:
                problems.append(f"{each:<9} no bill of {day}")
            except (GatewayError, BadBill) as error:
                problems.append(f"{each:<9} bill of {day}: {error}")
            else:
                yield Bill(lines, gateway=each, day=day)

    def ask(
        self, gateway: str, back: timedelta, bill: Sequence[BillLine]
    ) -> Iterator[Answer]:
        """Ask about each doubtful attempt, saying so line by line."""
        since = timezone.now() - back
        numbers = [line.number for line in bill if line.kind == PAYMENT]
        doubtful = reconciliation.doubtful(
            gateway=gateway, since=since, numbers=numbers
        )
        total = doubtful.count()
        self.asked = 0
        for done, attempt in enumerate(doubtful, 1):
            answer = reconciliation.ask(attempt, now=timezone.now())
            change = answer.before
            if answer.after != answer.before:
                change += f" → {answer.after}"
            self.stdout.write(
                f"{answer.gateway:<9} {answer.number:<32} {change:<18} "
                f"{answer.asked.value:<9} order {answer.order_no}"
            )
            self.progress(done, total)
            self.asked = done
            yield answer

    def compare(self, taken: Sequence[Bill]) -> int:
        """Hold each bill against our books and print what differs."""
        found = 0
        for bill in taken:
            reconciliation.ask_about(bill, whole=True, now=timezone.now())
            differing = reconciliation.take_bill(bill, now=timezone.now())
            for difference in differing:
                self.stdout.write(
                    f"{difference.gateway:<9} {difference.number:<32} "
                    f"{difference.words}"
                )
            found += len(differing)
        return found

    def progress(self, done: int, total: int) -> None:
        """A bar on the terminal, and nothing in a log."""
        if self.stderr.isatty():
            full = _BAR * done // total
            bar = "#" * full + "." * (_BAR - full)
            end = "\n" if done == total else ""
            self.stderr.write(f"\r[{bar}] {done} of {total} ", ending=end)


def span(text: str) -> timedelta:
    """``2d``, ``36h``, ``90m``."""
    match = re.fullmatch(r"([0-9]{1,4})([dhm])", text, re.ASCII)
    if match is None:
        raise CommandError(f"--since: {text!r} is no span like 2d, 36h or 90m")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def parse_day(text: str, *, now: datetime) -> date:
    """A day that is over in Beijing."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII):
        raise CommandError(f"--day: {text!r} is no day like 2026-11-22")
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise CommandError(f"--day: {text!r} is no day of the calendar") from None
    if bills.whole_day(day)[1] > now:
        raise CommandError(f"--day: {text} is not over")
    return day


def read(path: Path, gateway: str, *, now: datetime) -> list[BillLine]:
    """The lines of a file: our own CSV, or the bill of the gateway that is named."""
    try:
        with path.open("rb") as file:
            data = file.read(bills.LARGEST_FILE + 1)
        if len(data) > bills.LARGEST_FILE:
            raise BadBill("the file is too large")
        text = "" if data[:2] in (b"\x1f\x8b", b"PK") else bills.decode(data)
        own = bills.reader(gateway) if gateway else None
        if own is None or plain_bill.is_plain(text):
            return plain_bill.read(text.splitlines())
        merchant = getattr(settings, own.MERCHANT, "")
        if not merchant:
            raise BadBill(f"{own.MERCHANT} is not set, so whose bill is it?")
        return own.read(data, merchant=merchant, now=now)
    except (OSError, BadBill) as error:
        raise CommandError(f"--bill: {error}") from error
