"""The guide of a new member: three tasks that tick off, put away, taken up again (S18)."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from pytest_django import Settings

from members.models import Member, Passkey, ShopRules
from notifications import choices
from notifications.push import subscriptions
from tests.notifications.receiving import Browser
from tests.shopping import Shopper, Till

pytestmark = pytest.mark.django_db(transaction=True)

TASKS = (
    "去会员价专区看看",
    "添加通行密钥，下次不用验证码",
    "打开到期提醒",
)
INSTEAD = "看看会员权益和到期时间"
HEADING = "先做这三件事"
VAPID = "f8lTkgTIJEu7mLIqQycN74OhLgXmf4MEbe7cKvf6Hac"
ENDPOINT = "https://fcm.googleapis.com/fcm/send/guide"


@pytest.fixture(autouse=True)
def with_push(settings: Settings) -> None:
    settings.VAPID_PRIVATE_KEY = VAPID
    settings.VAPID_SUBJECT = "mailto:ops@shop.example"


@pytest.fixture
def owner(book: Till, member: Member) -> Shopper:
    """She has just bought her week."""
    book.hear(book.bill(member))
    return Shopper(book, member)


def paid_page(owner: Shopper, member: Member) -> str:
    return owner.get(f"/orders/{member.orders.get().no}/pay/").text


def guide_on(page: str) -> str:
    """The guide without its tags; empty when the page has none."""
    found = re.search(r'<(section|details)[^>]*id="guide".*?</\1>', page, re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found[0])) if found else ""


def done_on(page: str) -> list[str]:
    return re.findall(r"(\S+) 已完成", guide_on(page))


def add_passkey(member: Member) -> Passkey:
    return Passkey.objects.create(
        member=member, credential_id="c", user_handle="u", public_key=b"k", name="手机"
    )


def test_three_tasks_stand_below_an_activation(owner: Shopper, member: Member) -> None:
    """The words of ux-brief's copy deck, none of them done, each with its way."""
    for page in (paid_page(owner, member), owner.get("/account/").text):
        assert f"{HEADING} 0/3" in guide_on(page)
        assert [guide_on(page).count(task) for task in TASKS] == [1, 1, 1]
        assert done_on(page) == []
        for way in ("/account/guide/zone/", "/account/passkeys/"):
            assert f'"{way}"' in page
        assert 'href="/account/notifications/"' in page


def test_each_task_ticks_off_when_it_is_done(
    book: Till, owner: Shopper, member: Member
) -> None:
    """One by one, by what she did and not by what she clicked; undone is undone."""
    answer = owner.post("/account/guide/zone/")
    assert (answer.status_code, answer["Location"]) == (303, "/zone/")
    assert done_on(paid_page(owner, member)) == [TASKS[0]]
    owner.get("/account/passkeys/")
    owner.get("/account/notifications/")
    assert done_on(paid_page(owner, member)) == [TASKS[0]]
    key = add_passkey(member)
    assert done_on(paid_page(owner, member)) == list(TASKS[:2])
    answer = owner.post("/account/push/", endpoint=ENDPOINT, **Browser().keys)
    assert answer.status_code == 204
    assert f"{HEADING} 3/3" in guide_on(paid_page(owner, member))
    assert done_on(paid_page(owner, member)) == list(TASKS)
    key.delete()
    assert f"{HEADING} 2/3" in guide_on(owner.get("/account/").text)


def test_without_passkeys_a_look_at_the_membership_stands_in_the_third_place(
    owner: Shopper, member: Member
) -> None:
    """Shown as it comes, so also without script; a passkey takes the place back."""
    found = re.search(
        r'<ul class="tasks">.*?</ul>', paid_page(owner, member), re.DOTALL
    )
    assert found is not None
    shown = re.sub(r"<li[^>]* hidden>.*?</li>", "", found[0], flags=re.DOTALL)
    assert shown.count("<li") == len(TASKS)
    assert INSTEAD in shown
    assert TASKS[1] not in shown
    answer = owner.post("/account/guide/membership/")
    assert (answer.status_code, answer["Location"]) == (303, "/membership/")
    for page in (paid_page(owner, member), owner.get("/account/").text):
        assert done_on(page) == [INSTEAD]
        assert f"{HEADING} 1/3" in guide_on(page)
        assert TASKS[1] not in guide_on(page)
    add_passkey(member)
    account = owner.get("/account/").text
    assert done_on(account) == [TASKS[1]]
    assert f"{HEADING} 1/3" in guide_on(account)


def test_without_passkeys_all_three_can_be_done(owner: Shopper, member: Member) -> None:
    """Put away, it is gone for good then, as with a passkey."""
    for way in ("zone", "membership", "dismiss"):
        owner.post(f"/account/guide/{way}/")
    assert f"{HEADING} 2/3" in guide_on(owner.get("/account/").text)
    owner.post("/account/push/", endpoint=ENDPOINT, **Browser().keys)
    assert guide_on(owner.get("/account/").text) == ""


def test_looking_ticks_nothing_off(owner: Shopper, member: Member) -> None:
    """security 57: a GET changes nothing, wherever it goes."""
    assert owner.get("/account/guide/zone/").status_code == 405
    assert owner.get("/account/guide/membership/").status_code == 405
    owner.get("/zone/?guide=zone")
    member.refresh_from_db()
    assert member.guide_done == []


def test_put_away_it_is_taken_up_again_in_the_account(
    owner: Shopper, member: Member
) -> None:
    """Gone below the order, folded in the account, gone for good when all is done."""
    owner.post("/account/guide/zone/")
    owner.post("/account/guide/dismiss/")
    assert guide_on(paid_page(owner, member)) == ""
    account = owner.get("/account/").text
    assert '<details class="card more" id="guide">' in account
    assert f"{HEADING} 1/3" in guide_on(account)
    assert done_on(account) == [TASKS[0]]
    assert "收起，以后在「我的」里看" not in account
    add_passkey(member)
    owner.post("/account/push/", endpoint=ENDPOINT, **Browser().keys)
    assert guide_on(owner.get("/account/").text) == ""


def test_a_shop_without_push_reminds_by_sms(
    owner: Shopper, member: Member, settings: Settings
) -> None:
    """What is on already is done; what she switched off herself is not."""
    settings.VAPID_PRIVATE_KEY = settings.VAPID_SUBJECT = ""
    assert done_on(owner.get("/account/").text) == [TASKS[2]]
    choices.choose(member.pk, [], now=owner.till.now)
    assert done_on(owner.get("/account/").text) == []


def test_the_switch_stands_where_the_task_leads(owner: Shopper, member: Member) -> None:
    assert "data-push=" in owner.get("/account/notifications/").text
    subscriptions.save(member.pk, ENDPOINT, **Browser().keys, now=owner.till.now)
    known = subscriptions.digest(ENDPOINT)
    assert f'data-known="{known}"' in owner.get("/account/notifications/").text


def test_a_guest_begins_nothing(book: Till) -> None:
    answer = Shopper(book).post("/account/guide/zone/")
    assert answer.status_code == 302
    assert "/login/" in answer["Location"]


def test_the_zone_and_support_are_one_tap_away(owner: Shopper, member: Member) -> None:
    """S18: where an operator set a link, it is the link; else the page that tells."""
    for page in (paid_page(owner, member), owner.get("/account/").text):
        assert '<a href="/zone/">会员价专区</a>' in page
        assert '<a href="/official/#support">会员客服：站内客服（演示）</a>' in page
    assert 'id="support"' in Client().get("/official/").text
    rules = ShopRules.objects.get()
    rules.support_url = "https://work.weixin.qq.com/kfid/kfc1"
    rules.save()
    link = '<a href="https://work.weixin.qq.com/kfid/kfc1" rel="noopener">会员客服'
    for page in (paid_page(owner, member), owner.get("/account/").text):
        assert link in page
