from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone

from members import phones
from members.models import Member
from payments import privacy


class Command(BaseCommand):
    help = (
        "Personal data of one phone: export writes JSON to standard output, erase takes "
        "the person out at once, without the seven days. Exit 2 when nobody has this "
        "phone, or when money is still under way."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("act", choices=["export", "erase"])
        parser.add_argument("phone")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            phone = phones.parse(options["phone"])
        except phones.BadPhone as error:
            raise CommandError("not a Chinese mobile number") from error
        member = Member.objects.filter(phone=phone).first()
        if member is None:
            self.stderr.write("nobody has this phone")
            sys.exit(2)
        if options["act"] == "export":
            told = privacy.export(member)
            text = json.dumps(told, cls=DjangoJSONEncoder, ensure_ascii=False, indent=2)
            self.stdout.write(text)
            return
        try:
            privacy.erase(member.pk, now=timezone.now())
        except privacy.Unfinished:
            self.stderr.write("an order, a payment or a refund is not finished")
            sys.exit(2)
        except privacy.NotAPerson as error:
            raise CommandError("a staff account; close it in the console") from error
        self.stdout.write(f"member #{member.pk} is erased")
