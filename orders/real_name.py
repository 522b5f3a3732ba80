"""When an order needs a verified name: one rule for goods and for tiers.

An order asks for one from ``real_name_from_fen`` of its goods or its tier on, by the sum
that she pays. It is asked when the order is placed and never again: what is bought is
delivered, whatever becomes of the name.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils.http import urlencode

from goods.models import Goods
from kameng.http import ShopRequest, member_of
from members.models import Member, Tier
from members.real_name import holding
from members.real_name.holding import State


class Lack(StrEnum):
    NAME = "name"  # she can have her name verified now
    MINOR = "minor"  # verified, and not of age
    CLOSED = "closed"  # nobody verifies names at present


def is_asked(thing: Goods | Tier, amount_fen: int) -> bool:
    least = thing.real_name_from_fen
    return least is not None and amount_fen >= least


def lack(
    thing: Goods | Tier, amount_fen: int, member: Member | None, *, now: datetime
) -> Lack | None:
    """What keeps this buyer from an order of this sum; None where nothing does.

    Who was verified before stays so, also while nobody new can be.
    """
    if not is_asked(thing, amount_fen):
        return None
    held = holding.of(member) if member is not None else None
    match holding.state_of(held, now=now):
        case State.ADULT:
            return None
        case State.MINOR:
            return Lack.MINOR
    return Lack.NAME if settings.REAL_NAME_PROVIDER else Lack.CLOSED


def page_url(back: str, **chosen: str | int) -> str:
    """The page that verifies, with the way back to what she chose.

    back    the path of the page of the thing
    chosen  its query; what is empty is left out
    """
    query = urlencode({name: value for name, value in chosen.items() if value})
    wish = urlencode({"next": f"{back}?{query}" if query else back})
    return f"{reverse('account-real-name')}?{wish}"


def notice(
    thing: Goods | Tier, amount_fen: int, request: ShopRequest, url: str
) -> dict[str, Any] | None:
    """What components/real_name_notice.html shows; None where nothing is lacking.

    url  the page that verifies, see ``page_url``
    """
    member = member_of(request)
    found = lack(thing, amount_fen, member, now=request.now)
    if found is None:
        return None
    return {
        "lack": found.value,
        "url": url,
        "asks_guest": member is None and found is Lack.NAME,
    }
