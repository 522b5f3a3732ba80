"""Announcements: written in the console, read on every page while they run."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from members.models import Member
from notifications.models import Announcement
from tests.console.form_of import form_of
from tests.shopping import Shopper, Till

pytestmark = pytest.mark.django_db(transaction=True)

ADD = "/console/notifications/announcement/add/"
PAGES = ("/official/", "/membership/temporary/", "/zone/", "/login/", "/nothing/here/")
"""Not the landing page: it is kept whole for some seconds."""


def told(client: Client | Shopper, path: str = "/official/") -> str:
    """The bar without its tags; empty when there is none."""
    found = re.search(
        r'<aside class="notice notice--news".*?</aside>', client.get(path).text
    )
    return re.sub(r"<[^>]+>", " ", found[0]).strip() if found else ""


def test_an_operator_tells_everybody(as_operator: Client, shop: None) -> None:
    """On every page, also one that is not there; with a history, and gone when deleted."""
    assert [told(Client(), path) for path in PAGES] == [""] * len(PAGES)
    typed = {
        "text": "周六 3:00 维护",
        "text_en": "Closed on Saturday",
        "link": "/zone/",
    }
    answer = as_operator.post(ADD, form_of(as_operator, ADD) | typed)
    assert answer.status_code == 302, answer.text
    row = Announcement.objects.get()
    assert [told(Client(), path)[:10] for path in PAGES] == ["周六 3:00 维护"] * len(
        PAGES
    )
    assert '<a href="/zone/">去看看</a>' in Client().get("/official/").text
    english = Client(headers={"accept-language": "en"})
    assert told(english).startswith("Closed on Saturday")
    page = f"/console/notifications/announcement/{row.pk}/delete/"
    assert as_operator.post(page, {"post": "yes"}).status_code == 302
    assert told(Client()) == ""
    assert LogEntry.objects.filter(object_id=str(row.pk)).count() == 2


def test_it_runs_from_its_start_to_its_end(book: Till) -> None:
    """To the second; of two the later one is shown."""
    hour = timedelta(hours=1)
    Announcement.objects.create(
        text="先", starts_at=book.now + hour, ends_at=book.now + 3 * hour
    )
    Announcement.objects.create(
        text="后", starts_at=book.now + 2 * hour, ends_at=book.now + 4 * hour
    )
    shopper, seen = Shopper(book), []
    start = book.now
    for seconds in (3_599, 3_600, 7_199, 7_200, 14_399, 14_400):
        book.set_clock(start + timedelta(seconds=seconds))
        seen.append(told(shopper))
    assert seen == ["", "先", "先", "后", "后", ""]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("link", "https://evil.example/", "填店里的路径"),
        ("link", "//evil.example/", "填店里的路径"),
        ("link", "/\\evil.example/", "填店里的路径"),
        ("link", "javascript:alert(1)", "填店里的路径"),
        ("text", "", "这个字段是必填项"),
        ("ends_at_0", "2020-01-01", "结束要晚于开始"),
    ],
)
def test_what_is_refused(
    as_operator: Client, shop: None, field: str, value: str, words: str
) -> None:
    """security 28: it leads nowhere but into the shop."""
    form = form_of(as_operator, ADD) | {"text": "维护", "ends_at_1": "00:00:00"}
    if field != "ends_at_0":
        form["ends_at_1"] = ""
    answer = as_operator.post(ADD, form | {field: value})
    assert answer.status_code == 200
    assert words in answer.text
    assert not Announcement.objects.exists()


def test_its_words_are_words(shop: None) -> None:
    """security 63."""
    Announcement.objects.create(
        text="<img src=x onerror=alert(1)>", starts_at=timezone.now()
    )
    assert "&lt;img src=x" in Client().get("/official/").text


def test_support_announces_nothing(as_support: Client, support: Member) -> None:
    """security 68."""
    assert as_support.post(ADD, {"text": "维护"}).status_code == 403
    assert not Announcement.objects.exists()
