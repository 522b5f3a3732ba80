"""K20, K21 and their neighbours: what the database refuses, whatever the code does."""

from __future__ import annotations

from typing import Any

import pytest

from goods.models import CardKey, Goods, KeyBatch
from members.models import Member
from tests.constraints import allows, refuses
from tests.goods.shelves import make_goods
from tests.shopping import Till, new_member

pytestmark = pytest.mark.django_db


def change(row: Any, **values: Any) -> Any:
    return lambda: type(row).objects.filter(pk=row.pk).update(**values)


def copy_of(key: CardKey, **values: Any) -> Any:
    facts = {
        "goods": key.goods,
        "batch": key.batch,
        "secret": key.secret,
        "digest": key.digest,
    }
    return lambda: CardKey.objects.create(**facts | values)


def test_k20_a_key_is_there_once_for_its_goods(card: Goods):
    """The same secret may be a key of other goods: per goods, as the rule says."""
    key = card.keys.all()[0]
    refuses(copy_of(key))
    allows(copy_of(key, digest="another"))
    allows(copy_of(key, goods=make_goods()))


@pytest.mark.django_db(transaction=True)
def test_k21_a_key_is_sold_exactly_when_an_order_holds_it(
    book: Till, member: Member, card: Goods
):
    order = book.buy_goods(member, card)
    sold, free = order.keys.get(), card.keys.filter(state="free")[0]
    refuses(change(free, state="sold"))
    refuses(change(free, order=order))
    refuses(change(sold, state="free"))
    refuses(change(sold, order=None))
    refuses(change(sold, state="void"))
    allows(change(free, state="sold", order=order))
    allows(change(sold, state="free", order=None))
    allows(change(sold, state="void", order=None))


@pytest.mark.django_db(transaction=True)
def test_f14_a_key_that_was_seen_stays_sold(book: Till, card: Goods):
    order = book.buy_goods(new_member(), card)
    key = order.keys.get()
    key.revealed_at = book.now
    key.save()
    refuses(change(key, state="free", order=None))
    refuses(change(key, state="void", order=None))
    refuses(change(card.keys.filter(state="free")[0], revealed_at=book.now))


def test_stock_and_limits_stay_sane(card: Goods):
    refuses(change(card, stock=-1))
    refuses(change(card, price_fen=0))
    refuses(change(card, max_per_order=0))
    refuses(change(card, max_per_order=13))


def test_a_batch_keeps_no_keys_once_it_is_closed(card: Goods):
    batch = KeyBatch.objects.get(goods=card)
    refuses(change(batch, content="sealed"))
    refuses(change(batch, state="gone"))
    refuses(change(batch, removed=4))
    refuses(change(batch, position=4))
    allows(change(batch, content="sealed", state="running"))
