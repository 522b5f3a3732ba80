from __future__ import annotations

import pytest

from goods.models import Goods
from tests.goods.shelves import make_goods


@pytest.fixture(autouse=True)
def _asleep(asleep: None) -> None:
    """No worker runs beside a test."""


@pytest.fixture
def card(shop: None) -> Goods:
    """A ¥100 key, three of them in stock."""
    return make_goods("card", keys=3)
