"""A guest with a gift code signs in by a tap at /redeem/ and types it once."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.members.identity.far_side import (
    Far,
    FarSide,
    come_back,
    state_of,
    user_of,
)

pytestmark = pytest.mark.django_db

GIFT = "7K3M-9QXA-2VTR-5W8Y"
ALICE = Far()


def set_out(client: Client, gift: str = GIFT) -> str:
    """Tap the button on the page; where it leads."""
    button = reverse("redeem-identity", args=["wechat"])
    assert f'formaction="{button}"' in client.get("/redeem/").text
    answer = client.post(button, {"gift": gift, "next": "/redeem/"})
    assert answer.status_code == 303
    return str(answer["Location"])


def typed(client: Client) -> str:
    return str(client.get("/redeem/").context["form"]["gift"])


@pytest.mark.parametrize("device", ["in_wechat", "desktop"])
def test_the_typed_code_is_there_when_she_is_back(
    request: pytest.FixtureRequest, far: FarSide, device: str
) -> None:
    """In no address on the way, and in no row as it was typed (security 74)."""
    client: Client = request.getfixturevalue(device)
    far_page = set_out(client)
    assert "7K3M" not in far_page
    back = come_back(client, state_of(far_page), far.agrees(ALICE))
    assert (back.status_code, back["Location"]) == (303, "/redeem/")
    assert user_of(client)
    assert typed(client) == GIFT
    assert f'value="{GIFT}"' in client.get("/redeem/").text
    rows = [str(each.get_decoded()) for each in Session.objects.all()]
    assert rows
    assert not [row for row in rows if "7K3M" in row]


def test_it_is_there_as_well_when_she_declined(desktop: Client, far: FarSide) -> None:
    come_back(desktop, state_of(set_out(desktop)))
    assert user_of(desktop) is None
    assert typed(desktop) == GIFT


def test_it_waits_for_ten_minutes_and_in_this_browser(
    desktop: Client, far: FarSide
) -> None:
    set_out(desktop)
    assert typed(Client()) == ""
    with time_machine.travel(timezone.now() + timedelta(minutes=11)):
        assert typed(desktop) == ""


def test_what_she_types_next_counts(desktop: Client, far: FarSide) -> None:
    back = state_of(set_out(desktop))
    come_back(desktop, back, far.agrees(ALICE))
    page = desktop.post("/redeem/", {"gift": "7K3M-0000"})
    assert page.context["form"]["gift"] == "7K3M-0000"
