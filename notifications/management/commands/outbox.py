from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from notifications import outbox
from notifications.models import Outbox


class Command(BaseCommand):
    help = "Show, carry out or replay what is to be done outside (exit 2: look at it)."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        status = verbs.add_parser("status", help="what is due, late, dead")
        status.add_argument("--json", action="store_true", help="for machines")
        run = verbs.add_parser(
            "run", help="carry out all that is due, without a broker"
        )
        run.add_argument("--limit", type=int, default=0, help="at most so many rows")
        replay = verbs.add_parser("replay", help="try dead rows again")
        replay.add_argument("--kind", help="dead rows of this kind")
        replay.add_argument("--id", type=int, action="append", help="this dead row")
        replay.add_argument("--dead", action="store_true", help="every dead row")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        match options["verb"]:
            case "status":
                troubled = self.show_status(now, as_json=options["json"])
            case "run":
                troubled = self.run_due(options["limit"])
            case _:
                troubled = self.replay(now, options)
        if troubled:
            sys.exit(2)

    def show_status(self, now: datetime, *, as_json: bool) -> bool:
        found = outbox.status(now=now)
        troubled = bool(found.late or found.dead)
        if as_json:
            oldest = found.oldest_due_at
            report = {
                "new": found.new,
                "claimed": found.claimed,
                "due": found.due,
                "late": found.late,
                "dead": sum(found.dead.values()),
                "dead_by_kind": dict(found.dead),
                "oldest_due_at": oldest.isoformat() if oldest else None,
            }
            self.stdout.write(json.dumps(report))
            return troubled
        self.stdout.write(
            f"{found.new} waiting, {found.claimed} in hand, {found.due} due, "
            f"{found.late} late, {sum(found.dead.values())} dead"
        )
        for kind, rows in found.dead.items():
            self.stdout.write(f"dead: {rows} of kind {kind}")
        dead = Outbox.objects.filter(state=Outbox.State.DEAD).order_by("-id")
        for row in dead[:10]:
            self.stdout.write(f"  {row.pk}  {row.key}: {row.last_error}")
        return troubled

    def run_due(self, limit: int) -> bool:
        """Run batch after batch until nothing is due; True when a row died."""
        dead_before = self._dead()
        handled = 0
        while not limit or handled < limit:
            batch = outbox.run_due(
                now=timezone.now(), limit=min(20, limit - handled) if limit else 20
            )
            handled += batch
            if self.stderr.isatty():
                left = outbox.status(now=timezone.now()).due
                self.stderr.write(f"\r{handled} handled, {left} due ", ending="")
            if not batch:
                break
        if self.stderr.isatty():
            self.stderr.write("")
        died = self._dead() - dead_before
        self.stdout.write(f"{handled} handled, {died} died")
        return died > 0

    def replay(self, now: datetime, options: dict[str, Any]) -> bool:
        dead = Outbox.objects.filter(state=Outbox.State.DEAD)
        if options["kind"]:
            dead = dead.filter(kind=options["kind"])
        if options["id"]:
            dead = dead.filter(pk__in=options["id"])
        if not (options["kind"] or options["id"] or options["dead"]):
            raise CommandError("say which: --id N, --kind KIND or --dead")
        rows = list(dead.values_list("pk", flat=True))
        replayed = outbox.replay(rows, now=now)
        self.stdout.write(f"{replayed} dead rows will be tried again")
        return replayed < len(options["id"] or [])

    def _dead(self) -> int:
        return Outbox.objects.filter(state=Outbox.State.DEAD).count()
