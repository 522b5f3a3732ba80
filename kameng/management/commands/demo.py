"""``manage.py demo``: an empty database becomes the demo shop."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone

from goods import demo as zone
from members import demo
from members.models import Member, Plan


class Command(BaseCommand):
    help = "Fill an empty database with the demo shop and print its staff passwords."

    def handle(self, *args: Any, **options: Any) -> None:
        if Plan.objects.exists() or Member.objects.exists():
            raise CommandError("The database is not empty; nothing was changed.")
        with transaction.atomic():
            demo.fill()
            zone.fill(now=timezone.now())
            passwords = demo.make_staff()
        self.stdout.write("The demo shop is ready. Staff accounts, shown only now:")
        for name, password in passwords.items():
            self.stdout.write(f"  {name}  {password}")
