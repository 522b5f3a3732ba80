from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import reverse

from members import staff_key
from members.models import Member


class Command(BaseCommand):
    help = (
        "The second factor of a staff account: enrol prints a link, good for fifteen "
        "minutes and one passkey; reset takes all its passkeys away first."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("act", choices=["enrol", "reset"])
        parser.add_argument("name")

    def handle(self, *args: Any, **options: Any) -> None:
        member = Member.objects.filter(
            username=options["name"], is_staff=True, is_active=True
        ).first()
        if member is None:
            raise CommandError("no open staff account of this name")
        if options["act"] == "reset":
            count, _rows = member.passkeys.all().delete()
            self.stdout.write(f"{count} passkeys taken away")
        path = reverse("admin:enrol", args=[staff_key.link_token(member)])
        self.stdout.write(f"{settings.PUBLIC_URL}{path}")
