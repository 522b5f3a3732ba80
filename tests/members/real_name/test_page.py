"""``/account/real-name/`` over HTTP, the sandbox behind it (S22, security 76)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from members.models import Member, RealName, RealNameCheck
from members.real_name import wire
from notifications.models import Outbox
from payments import privacy
from tests.members.real_name.people import ADULT, NAME, everything, id_number
from tests.sandbox_process import Sandbox

pytestmark = pytest.mark.django_db

PAGE = "/account/real-name/"
BACK = "/zone/game-100/?quantity=3"


@pytest.fixture(autouse=True)
def world(sandbox_process: Sandbox, settings: Any) -> Sandbox:
    sandbox_process.reset()
    for name, value in sandbox_process.environment.items():
        if "REAL_NAME" in name:
            setattr(settings, name, value)
    return sandbox_process


@pytest.fixture
def hers(client: Client, member: Member) -> Client:
    """Signed in, and proved a moment ago that it is she."""
    client.force_login(member)
    prove(client)
    return client


def prove(client: Client) -> None:
    session = client.session
    session["proved_at"] = timezone.now().timestamp()
    session.save()


def submit(client: Client, **change: str) -> Any:
    form = {"name": NAME, "id_number": ADULT, "consent": "on", "next": BACK}
    return client.post(PAGE, form | change)


def shows_her(text: str) -> bool:
    return NAME in text or ADULT in text or ADULT[:17] in text


def test_she_is_verified_and_led_back_to_what_she_chose(hers: Client, member: Member):
    page = hers.get(f"{PAGE}?next={BACK}")
    assert page.status_code == 200
    assert "姓名和身份证号加密传给沙箱核对一次，我们不保存" in page.text
    answer = submit(hers)
    assert (answer.status_code, answer["Location"]) == (303, BACK)
    assert RealName.objects.get().member == member
    done = hers.get(f"{PAGE}?next={BACK}").text
    assert "已认证" in done
    assert f'href="{BACK}"' in done
    assert "实名认证：已认证" in hers.get("/account/").text


@pytest.mark.parametrize(
    "wish",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x", ""],
)
def test_the_way_back_leads_only_inside_the_shop(hers: Client, wish: str):
    """security 28"""
    assert "evil" not in hers.get(PAGE, {"next": wish}).text
    assert submit(hers, next=wish)["Location"] == "/account/"


def test_a_guest_signs_in_first(client: Client):
    answer = client.get(f"{PAGE}?next={BACK}")
    assert answer["Location"].startswith("/login/?next=/account/real-name/")
    assert submit(client).status_code == 302
    assert not RealNameCheck.objects.exists()


def test_it_is_confirmed_first_that_it_is_she(client: Client, member: Member):
    """security 30: the page and the form; the way back survives, what was typed not."""
    client.force_login(member)
    asked = client.get(f"{PAGE}?next={BACK}")
    assert asked["Location"].startswith("/account/confirm/?next=")
    refused = submit(client)
    assert refused.status_code == 403
    assert not shows_her(refused.text)
    query = urlsplit(refused.context["next"]).query
    assert parse_qs(query)["next"] == [BACK]
    assert not RealNameCheck.objects.exists()
    prove(client)
    with time_machine.travel(timezone.now() + timedelta(minutes=6)):
        assert submit(client).status_code == 403
    assert client.post(f"{PAGE}withdraw/").status_code == 303
    with time_machine.travel(timezone.now() + timedelta(minutes=6)):
        assert client.post(f"{PAGE}withdraw/").status_code == 403


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"consent": ""}, "要先勾选同意，才能认证"),
        ({"id_number": ADULT[:17]}, "身份证号是 18 位，最后一位可以是 X"),
        ({"id_number": f"{ADULT[:17]}1"}, "身份证号有一位不对"),
        ({"id_number": id_number(date(2030, 1, 1))}, "出生日期不对"),
        ({"name": "Wang Fang"}, "写身份证上的中文姓名"),
    ],
    ids=str,
)
def test_a_slip_is_told_in_words_and_nobody_is_asked(
    hers: Client, world: Sandbox, change: dict[str, str], words: str
):
    """security 76: without the tick nothing leaves the shop; nothing is shown again."""
    answer = submit(hers, **change)
    assert answer.status_code == 422
    assert words in answer.text
    assert not shows_her(answer.text)
    for typed in change.values():
        assert not typed or typed not in answer.text
    assert 'name="id_number" autocomplete="off"' in answer.text
    assert "checked" in answer.text or "consent" in change
    assert f'name="next" value="{BACK}"' in answer.text
    assert world.calls("real-name") == []
    assert not RealNameCheck.objects.exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("不一致", "姓名和身份证号对不上"),
        ("查无此人", "库里查不到这个证件"),
        ("系统繁忙", "什么也没丢，也没有扣款，这次不算次数"),
    ],
)
def test_a_refusal_says_why_and_whom_to_ask(hers: Client, name: str, words: str):
    """No refusal by a machine alone: support stands beside each (个保法 24)."""
    answer = submit(hers, name=name)
    assert answer.status_code == 422
    assert words in answer.text
    assert "可以请人来看：客服" in answer.text
    assert f'value="{name}"' not in answer.text
    assert not shows_her(answer.text)
    assert not RealName.objects.exists()
    assert submit(hers).status_code == 303


def test_an_outage_loses_nothing(
    hers: Client, world: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(wire, "TOTAL_SECONDS", 0.3)
    world.fault("real-name", "real-name", "timeout", seconds=30)
    for _ in range(6):
        answer = submit(hers)
        assert answer.status_code == 422
        assert "核验的服务现在没有答复" in answer.text
        assert f'name="next" value="{BACK}"' in answer.text
    world.clear_faults()
    assert submit(hers)["Location"] == BACK


def test_after_five_tries_she_waits_a_day(hers: Client):
    for _ in range(5):
        submit(hers, name="不一致")
    answer = submit(hers)
    assert answer.status_code == 429
    assert 86_390 < int(answer["Retry-After"]) <= 86_400
    assert "今天试得太多了" in answer.text
    assert "可以请人来看：客服" in answer.text
    assert not RealName.objects.exists()


def test_a_minor_reads_what_to_do(hers: Client):
    answer = submit(hers, id_number=id_number(date(2010, 5, 5)))
    assert answer["Location"].startswith(PAGE)
    page = hers.get(answer["Location"])
    assert "2028-05-05 以前是未成年人" in page.text
    assert "请监护人联系客服" in page.text
    assert "/legal/minors/" in page.text
    assert "接着买" not in page.text
    assert "实名认证：已认证，未成年人" in hers.get("/account/").text


def test_a_child_is_refused_before_anybody_is_asked(hers: Client, world: Sandbox):
    answer = submit(hers, id_number=id_number(date(2016, 5, 5)))
    assert answer.status_code == 422
    assert "不满 14 周岁，要由监护人决定" in answer.text
    assert world.calls("real-name") == []


def test_a_card_for_too_many_accounts_is_refused_in_words(hers: Client):
    for n in range(3):
        client = Client()
        client.force_login(Member.objects.create_user(f"+8613700000{n:03}"))
        prove(client)
        assert submit(client).status_code == 303
    answer = submit(hers)
    assert answer.status_code == 422
    assert "这个证件已经用在太多账号上" in answer.text
    assert "可以请人来看：客服" in answer.text


def test_she_takes_her_consent_back(hers: Client):
    submit(hers)
    assert hers.get(f"{PAGE}withdraw/").status_code == 405
    answer = hers.post(f"{PAGE}withdraw/", follow=True)
    assert "已撤回，认证的结果删掉了" in answer.text
    assert not RealName.objects.exists()
    assert 'name="id_number"' in answer.text


def test_while_nobody_verifies_names_the_page_says_so(hers: Client, settings: Any):
    settings.REAL_NAME_PROVIDER = ""
    page = hers.get(PAGE)
    assert page.status_code == 200
    assert "现在还不能认证" in page.text
    assert 'name="id_number"' not in page.text
    assert submit(hers).status_code == 303
    assert not RealNameCheck.objects.exists()


class Everything(logging.Handler):
    """Each record as it was made, before the net that masks it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(f"{record.getMessage()} {record.args!r}")
        if record.exc_info:
            self.lines.append(logging.Formatter().formatException(record.exc_info))


@pytest.fixture
def log() -> Iterator[Everything]:
    handler, root = Everything(), logging.getLogger()
    level = root.level
    root.setLevel(logging.DEBUG)
    root.handlers.insert(0, handler)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


def test_no_name_and_no_number_stay_anywhere(
    hers: Client,
    member: Member,
    world: Sandbox,
    log: Everything,
    monkeypatch: pytest.MonkeyPatch,
):
    """security 74, 75, 76: tables, sessions, logs, outbox, answers, exports; then gone."""
    monkeypatch.setattr(wire, "TOTAL_SECONDS", 0.3)
    world.fault("real-name", "real-name", "timeout", seconds=30, count=1)
    world.fault("real-name", "real-name", "500", count=1)
    answers = [
        submit(hers),
        submit(hers),
        submit(hers, id_number=f"{ADULT[:17]}1"),
        submit(hers),
        hers.get(PAGE),
    ]
    assert answers[3].status_code == 303
    export = str(privacy.export(member))
    kept = [
        everything(),
        str(dict(hers.session)),
        "\n".join(log.lines),
        export,
        *(answer.text + str(answer.headers) for answer in answers),
    ]
    assert [text for text in kept if shows_her(text) or "19491231" in text] == []
    assert not Outbox.objects.exists()
    held = RealName.objects.get()
    assert privacy.export(member)["real_name"] == {
        "verified_at": held.verified_at,
        "provider": "sandbox",
        "adult_on": None,
    }
    assert "'consent_version': '1.0'" in export
    assert held.digest in everything()
    assert held.digest not in export
    privacy.erase(member.pk, now=timezone.now())
    assert held.digest not in everything()
    assert not RealName.objects.exists()
