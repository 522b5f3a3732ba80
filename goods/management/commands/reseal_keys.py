"""``manage.py reseal_keys``: bring card keys under the first of ``DATA_KEYS``."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from goods import resealing


class Command(BaseCommand):
    help = (
        "Seal all card keys anew under the first of DATA_KEYS. Run it after a new key "
        "was put in front; then the old one may be removed. May be broken off and "
        "repeated, and the shop stays open. Exit 2 when a key could not be opened."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        done = resealing.reseal_all()
        self.stdout.write(f"{done.resealed} sealed anew, {done.failed} failed")
        for pk in done.examples:
            self.stdout.write(f"card key #{pk} cannot be opened or is there twice")
        if done.failed:
            sys.exit(2)
