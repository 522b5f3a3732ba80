"""Thirty guesses at order numbers and signed links in ten minutes, and no more.

security 51, 53, 54; through the front door, with the shop's own numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from members import links
from members.models import HitLog, Member
from orders.models import Order
from orders.numbers import random_number
from tests.shopping import Till, new_member

AT_MOST = 30
TEN_MINUTES = timedelta(minutes=10)


@pytest.fixture
def clock(book: Till) -> Iterator[Any]:
    with time_machine.travel(book.now, tick=False) as traveller:
        yield traveller


@pytest.fixture
def owner(clock: Any) -> Member:
    return new_member()


@pytest.fixture
def order(book: Till, owner: Member) -> Order:
    return book.place(owner)


def at(ip: str, member: Member | None = None) -> Client:
    client = Client(REMOTE_ADDR=ip)
    if member is not None:
        client.force_login(member)
    return client


def guess(client: Client) -> Any:
    return client.get(reverse("order", args=[random_number()]))


def forged(kind: str = links.ORDER) -> str:
    return f"{kind}1f-{random_number().lower()[:16]}"


def use_up(client: Client) -> None:
    for _ in range(AT_MOST):
        assert guess(client).status_code == 404


def test_the_thirty_first_guess_is_refused(order: Order) -> None:
    """51: with the time to wait; after ten minutes there is room again."""
    mallory = at("203.0.113.7")
    use_up(mallory)
    refused = guess(mallory)
    assert refused.status_code == 429
    assert refused["Retry-After"] == "600"
    assert "操作太快了" in refused.text
    assert "no-store" in refused["Cache-Control"]


def test_after_ten_minutes_there_is_room_again(order: Order, clock: Any) -> None:
    mallory = at("203.0.113.7")
    use_up(mallory)
    clock.shift(TEN_MINUTES - timedelta(seconds=1))
    assert guess(mallory).status_code == 429
    clock.shift(timedelta(seconds=1))
    assert guess(mallory).status_code == 404


def test_every_door_counts_into_one(order: Order) -> None:
    """51: pages, fragments, JSON, forms, deliveries, links and ways back alike."""
    mallory = at("203.0.113.7")
    no = random_number()
    doors = [
        lambda: mallory.get(reverse("order-pay", args=[no])),
        lambda: mallory.get(reverse("order-status", args=[no])),
        lambda: mallory.post(reverse("order-payments", args=[no])),
        lambda: mallory.get(reverse("delivery", args=[no])),
        lambda: mallory.get(reverse("short-link", args=[forged()])),
        lambda: mallory.get(reverse("return", args=["alipay"]), {"token": forged()}),
    ]
    for _ in range(5):
        assert [door().status_code for door in doors] == [404] * 6
    assert [door().status_code for door in doors] == [429] * 6


@pytest.mark.parametrize("kind", [links.ORDER, links.RENEW])
def test_a_refusal_does_not_tell_a_good_link_from_a_forged_one(
    order: Order, owner: Member, kind: str
) -> None:
    """51, 54: the same status, headers and bytes."""
    mallory = at("203.0.113.7")
    good = links.token(kind, order.pk if kind == links.ORDER else owner.pk)
    assert mallory.get(reverse("short-link", args=[good])).status_code == 200
    use_up(mallory)
    answers = [
        mallory.get(reverse("short-link", args=[token]))
        for token in (good, forged(kind))
    ]
    assert [answer.status_code for answer in answers] == [429, 429]
    seen = []
    for answer in answers:
        headers = dict(answer.headers)
        number = headers.pop("X-Request-Id")
        seen.append((headers, answer.text.replace(number, "")))
    assert seen[0] == seen[1]


def test_a_number_with_a_good_token_is_refused_alike(order: Order) -> None:
    """54"""
    mallory = at("203.0.113.7")
    use_up(mallory)
    token = links.token(links.ORDER, order.pk)
    for no, given in ((order.no, token), (order.no, "x"), (random_number(), token)):
        answer = mallory.get(reverse("order", args=[no]), {"token": given})
        assert answer.status_code == 429


def test_an_owner_opens_her_own_beside_a_guesser(order: Order, owner: Member) -> None:
    """51: a carrier's address is shared; her session is not his."""
    use_up(at("203.0.113.7"))
    hers = at("203.0.113.7", owner)
    assert hers.get(reverse("order", args=[order.no])).status_code == 200
    token = links.token(links.ORDER, order.pk)
    assert hers.get(reverse("short-link", args=[token])).status_code == 200


def test_a_member_who_guesses_is_counted_wherever_she_is(order: Order) -> None:
    """51: no new address, and no new session, gives her more."""
    mallory = new_member()
    for number in range(AT_MOST):
        assert guess(at(f"203.0.{number}.7", mallory)).status_code == 404
    assert guess(at("198.51.100.1", mallory)).status_code == 429


def test_neighbours_share_a_wider_limit(order: Order) -> None:
    """19, 51: ten addresses of one network use up what it has."""
    for ip in range(10):
        use_up(at(f"203.0.113.{ip}"))
    assert guess(at("203.0.113.200")).status_code == 429
    assert guess(at("203.0.114.7")).status_code == 404


def test_a_header_does_not_make_another_caller(order: Order) -> None:
    """18, 51"""
    mallory = at("203.0.113.7")
    use_up(mallory)
    for name in ("X-Forwarded-For", "X-Real-IP", "CF-Connecting-IP"):
        answer = mallory.get(
            reverse("order", args=[random_number()]), headers={name: "198.51.100.1"}
        )
        assert answer.status_code == 429


def test_what_is_found_is_not_counted(order: Order, owner: Member) -> None:
    hers = at("203.0.113.7", owner)
    for _ in range(AT_MOST + 5):
        answer = hers.get(reverse("order", args=[order.no]))
        assert answer.status_code == 200
    assert not HitLog.objects.filter(key__startswith="misses").exists()


def test_a_fragment_is_refused_without_a_page(order: Order) -> None:
    """62: a page in the middle of a page would be wrong."""
    mallory = at("203.0.113.7")
    use_up(mallory)
    answer = mallory.get(
        reverse("order-status", args=[random_number()]), headers={"HX-Request": "true"}
    )
    assert (answer.status_code, answer.content) == (429, b"")
    assert answer["HX-Reswap"] == "none"


def test_no_counter_names_a_caller(order: Order, owner: Member) -> None:
    """17, 74"""
    guess(at("203.0.113.7"))
    guess(at("203.0.113.7", owner))
    keys = "".join(HitLog.objects.values_list("key", flat=True))
    assert "203.0.113" not in keys
    assert "misses-member" in keys


def test_look_up_ends_after_thirty_wrong_codes_from_one_address(
    clock: Any, asleep: None
) -> None:
    """3, 51, 53: for numbers with orders and without, in the same words."""
    known = new_member()
    mallory = at("203.0.113.7")
    texts = set()
    for number in range(AT_MOST):
        phone = f"1360013{number:04}"
        answer = mallory.post(reverse("lookup"), {"phone": phone, "code": "123456"})
        assert answer.status_code == 422
    assert known.phone is not None
    for phone in (known.phone.removeprefix("+86"), "13600139999"):
        answer = mallory.post(reverse("lookup"), {"phone": phone, "code": "123456"})
        assert answer.status_code == 429
        assert answer["Retry-After"]
        spaced = f"{phone[:3]} {phone[3:7]} {phone[7:]}"
        texts.add(answer.text.replace(phone, "").replace(spaced, "")[:2000])
    assert len(texts) == 1
