"""Migrations may run while people buy, and beside the code of the release before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from django.db import migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

APPS = ("kameng", "members", "goods", "orders", "payments", "notifications")
FIRST_RELEASE = 20
"""Up to this number a migration belongs to the first release: nobody has data that is
older."""


def faults(operations: Sequence[Operation]) -> list[str]:
    """What would hold up a running shop, or break the release before; docs/releases.md
    has the other way for each."""
    new = {op.name_lower for op in operations if isinstance(op, migrations.CreateModel)}
    return [
        f"{type(op).__name__}: {wrong}"
        for op in operations
        if getattr(op, "model_name_lower", None) not in new
        and (wrong := fault_of(op)) is not None
    ]


def fault_of(op: Operation) -> str | None:
    match op:
        case migrations.AddField():
            field = op.field
            if not (field.null or field.has_db_default() or field.many_to_many):
                return "the release before inserts rows without it"
            if field.unique or getattr(field, "db_index", False):
                return "its index is made under a lock"
        case migrations.AddIndex() | migrations.AddConstraint():
            return "locks the table while it reads all of it"
        case migrations.AlterField() | migrations.AlterUniqueTogether():
            return "rewrites or locks the table, or narrows what it takes"
        case migrations.RenameField() | migrations.RenameModel():
            return "the release before asks for the old name"
        case migrations.AlterModelTable() | migrations.RunSQL():
            return "nobody can tell what it locks"
        case migrations.RemoveField() | migrations.DeleteModel():
            return "the release before still asks for it"
    return None


def later_ones() -> Iterator[tuple[str, migrations.Migration]]:
    for (app, name), migration in MigrationLoader(None).disk_migrations.items():
        if app in APPS and int(name[:4]) > FIRST_RELEASE:
            yield f"{app}.{name}", migration


def test_no_later_migration_holds_up_a_running_shop():
    """FLT-38: what does not fit is split over releases, or said in its own words."""
    assert {
        name: found
        for name, migration in later_ones()
        if (found := faults(migration.operations))
    } == {}


NAME = models.CharField(max_length=9)
INDEX = models.Index(fields=["name"], name="by_name")
POSITIVE = models.CheckConstraint(name="positive", condition=models.Q(fen__gt=0))


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddField("order", "name", models.CharField(max_length=9)),
        migrations.AddField("order", "fen", models.IntegerField(default=0)),
        migrations.AddField("order", "name", models.CharField(null=True, unique=True)),
        migrations.AddField(
            "order", "fen", models.IntegerField(null=True, db_index=True)
        ),
        migrations.AddField(
            "order",
            "by",
            models.ForeignKey("members.Member", models.PROTECT, null=True),
        ),
        migrations.AddIndex("order", INDEX),
        migrations.AddConstraint("order", POSITIVE),
        migrations.AlterField("order", "name", NAME),
        migrations.RenameField("order", "name", "title"),
        migrations.RemoveField("order", "name"),
        migrations.DeleteModel("order"),
        migrations.RunSQL("SELECT 1"),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_what_holds_up_a_running_shop_is_found(operation: Operation):
    """FLT-38"""
    assert len(faults([operation])) == 1


def test_what_a_running_shop_can_take_is_let_through():
    """FLT-38: a new table, whatever comes with it, and what old rows need not have."""
    create = migrations.CreateModel("Parcel", [("name", NAME)])
    assert (
        faults(
            [
                create,
                migrations.AddIndex("parcel", INDEX),
                migrations.AddConstraint("parcel", POSITIVE),
                migrations.AddField("order", "a", models.IntegerField(null=True)),
                migrations.AddField("order", "b", models.IntegerField(db_default=0)),
                migrations.RunPython(migrations.RunPython.noop),
                migrations.SeparateDatabaseAndState(),
            ]
        )
        == []
    )
