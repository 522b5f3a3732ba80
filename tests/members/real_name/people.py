"""People with ID numbers that may exist, and a library of names at the shop's edge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime

from django.apps import apps

from members.addresses import Client
from members.models import CheckOutcome, Member, Verifier
from members.real_name import holding, id_numbers, verifying
from members.real_name.contract import Answer, Result
from members.real_name.verifying import Question
from tests.members.edge import client_at

NAME = "欧阳小明"
ADULT = "11010519491231002X"
"""The example that stands in GB 11643 itself."""


def id_number(born: date, order: int = 2) -> str:
    """A number of somebody born on that day, its last place found by trying."""
    body = f"110105{born:%Y%m%d}{order:03}"
    return next(
        body + last
        for last in "0123456789X"
        if sum(
            (10 if place == "X" else int(place)) * pow(2, 17 - index)
            for index, place in enumerate(body + last)
        )
        % 11
        == 1
    )


@dataclass
class Library:
    """A verifier that answers what the test says and keeps what it was asked."""

    result: Result = Result.MATCH
    asked: list[tuple[str, str]] = field(default_factory=list)
    before_answer: Callable[[], object] = lambda: None

    def check(self, name: str, id_number: str, *, now: datetime) -> Answer:
        self.before_answer()
        self.asked.append((name, id_number))
        return Answer(self.result, self.result.value)


def verify(
    member: Member,
    library: Library,
    *,
    now: datetime,
    number: str = ADULT,
    client: Client | None = None,
) -> CheckOutcome:
    parsed = id_numbers.parse(number, today=holding.today(now))
    return verifying.verify(
        member.pk,
        Question(NAME, parsed),
        provider=library,
        verifier=Verifier.TENCENT,
        client=client or client_at("203.0.113.9"),
        now=now,
    )


def everything() -> str:
    """Every value of every row."""
    return "\n".join(
        repr(row)
        for model in apps.get_models(include_auto_created=True)
        for row in model._default_manager.values_list()
    )
