"""One release beside the next: this code on a later schema, and with later rows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.apps import apps
from django.db import IntegrityError, connection
from django.urls import reverse

from members.models import Entitlement, Member
from notifications import outbox
from notifications.models import Outbox
from orders.models import OrderEvent
from tests.shopping import WECHAT, Till, broken, fresh

LATER = "of_a_later_release"
OURS = ("members", "goods", "orders", "payments", "notifications")


def tables() -> Iterator[str]:
    for model in apps.get_models(include_auto_created=True):
        if model._meta.app_label in OURS:
            yield model._meta.db_table


def add_column(kind: str) -> None:
    connection.check_constraints()  # what is still to be checked holds a table
    with connection.cursor() as cursor:
        for table in tables():
            cursor.execute(f'ALTER TABLE "{table}" ADD COLUMN "{LATER}" {kind}')


def buy(till: Till, member: Member) -> None:
    attempt = till.pay(till.place(member), WECHAT)
    till.wallet.pay(attempt.gateway, attempt.out_trade_no, notify="lose")
    till.wait(seconds=10)
    till.poll()
    till.run_outbox()
    assert fresh(attempt.order).status == "paid"
    assert Entitlement.objects.filter(order=attempt.order).count() == 1


@pytest.mark.parametrize("kind", ["integer NULL", "integer NOT NULL DEFAULT 7"])
def test_this_code_sells_on_the_schema_of_the_next_release(
    till: Till, member: Member, kind: str
):
    """FLT-38: each table has got a column that this code does not know."""
    add_column(kind)
    buy(till, member)
    assert broken(till.now) == []


def test_a_column_that_old_code_cannot_fill_stops_it(till: Till, member: Member):
    """FLT-38: why the rule asks for NULL or a default of the database's own."""
    if connection.vendor == "sqlite":
        pytest.skip("it cannot drop a default, so the rule keeps itself")
    connection.check_constraints()
    column = f'ALTER TABLE orders_orderevent ADD "{LATER}" integer DEFAULT 1 NOT NULL'
    with connection.cursor() as cursor:
        cursor.execute(column)
        cursor.execute(f'ALTER TABLE orders_orderevent ALTER "{LATER}" DROP DEFAULT')
    with pytest.raises(IntegrityError):
        till.place(member)


def test_what_a_later_release_has_left_to_do_waits_for_its_return(
    till: Till, member: Member
):
    """FLT-39: an effect that this code does not know is kept and told, never dropped
    and never taken for another; the rest goes on. ``outbox replay`` does it later."""
    outbox.add("later:1", "of-a-later-release", {"id": 1}, due_at=till.now)
    buy(till, member)
    row = Outbox.objects.get(key="later:1")
    assert (row.state, row.last_error) == ("dead", "no handler for of-a-later-release")
    assert row.payload == {"id": 1}


def test_a_story_with_a_later_release_s_events_can_be_read(
    till: Till, member: Member, client
):
    """FLT-39: the order page leaves out what it has no words for."""
    order = till.place(member)
    OrderEvent.objects.create(
        order=order, at=till.now, kind="of-a-later-release", detail={"new": [1, {}]}
    )
    client.force_login(member)
    page = client.get(reverse("order", args=[order.no]))
    assert page.status_code == 200
    assert "of-a-later-release" not in page.content.decode()
    buy(till, member)
