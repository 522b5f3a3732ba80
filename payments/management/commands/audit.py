from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from kameng.templatetags.shop import yuan
from payments import audit
from payments.audit import Balance, Finding


class Command(BaseCommand):
    help = (
        "Check what must hold whatever happened, INV-1 to INV-16, and print how often "
        "each rule is broken with numbers to look up. Changes nothing. Exit 0: all "
        "holds; 2: something was found."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="for machines")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        found = []
        for finding in audit.findings(now=now):
            found.append(finding)
            if not options["json"]:
                self.show(finding)
        broken = sum(bool(finding.count) for finding in found)
        if options["json"]:
            self.stdout.write(as_json(now.isoformat(), found, audit.balances()))
        else:
            self.show_rest(audit.balances(), broken)
        if broken:
            sys.exit(2)

    def show(self, finding: Finding) -> None:
        line = f"{finding.invariant:<7} {finding.count:>5}  {finding.rule}"
        if finding.count:
            more = ", …" if finding.count > len(finding.examples) else ""
            line += f": {', '.join(finding.examples)}{more}"
        self.stdout.write(line)

    def show_rest(self, balances: list[Balance], broken: int) -> None:
        for invariant, why in audit.NOT_CHECKED.items():
            self.stdout.write(f"{invariant:<7}     -  {why}")
        for each in balances:
            self.stdout.write(
                f"{each.gateway} {each.currency}: received {yuan(each.paid_fen)}, "
                f"returned {yuan(each.refunded_fen)}, kept {yuan(each.kept_fen)}"
            )
        self.stdout.write(f"{broken} found" if broken else "all holds")


def as_json(at: str, found: list[Finding], balances: list[Balance]) -> str:
    return json.dumps(
        {
            "at": at,
            "clean": not any(finding.count for finding in found),
            "checks": [asdict(finding) for finding in found],
            "balances": [
                asdict(each) | {"kept_fen": each.kept_fen} for each in balances
            ],
            "not_checked": audit.NOT_CHECKED,
        }
    )
