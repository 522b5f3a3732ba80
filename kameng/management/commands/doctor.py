from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from kameng import doctor
from kameng.doctor import Level


class Command(BaseCommand):
    help = (
        "Examine this installation: settings, secrets, database, migrations, broker, "
        "gateways, certificates, SMS, clocks, periodic jobs, outbox. Changes nothing "
        "and prints no secret. Exit 0: healthy; 2: a problem was found."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="for machines")

    def handle(self, *args: Any, **options: Any) -> None:
        lines = []
        for line in doctor.examine(now=timezone.now()):
            lines.append(line)
            if not options["json"]:
                self.stdout.write(f"{line.level:<8} {line.subject:<13} {line.words}")
        problems = sum(line.level == Level.PROBLEM for line in lines)
        if options["json"]:
            report = {
                "healthy": not problems,
                "lines": [asdict(line) for line in lines],
            }
            self.stdout.write(json.dumps(report))
        else:
            plural = "" if problems == 1 else "s"
            self.stdout.write(f"{problems} problem{plural}" if problems else "healthy")
        if problems:
            sys.exit(2)
