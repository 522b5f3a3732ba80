"""The recommendation on the pages: S9, S26; four statements, the switch, the first time."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from members import visits
from members.models import Member, ShopRules, VisitDay
from tests.shopping import (
    Shopper,
    Till,
    fresh,
    new_member,
    statements,
)

CHOICE = "/membership/temporary/"


@pytest.fixture
def shopper(book: Till, member: Member) -> Shopper:
    """She bought a day two months ago."""
    buy(book, member, days_ago=60)
    return Shopper(book, member)


def buy(book: Till, member: Member, *, days_ago: int, plan: str = "temporary-1"):
    now = book.now
    book.now = now - timedelta(days=days_ago)
    book.hear(book.bill(member, plan))
    book.now = now


def came(book: Till, member: Member, *days_ago: int) -> None:
    today = visits.day_of(book.now)
    VisitDay.objects.bulk_create(
        VisitDay(member=member, day=today - timedelta(days=ago)) for ago in days_ago
    )


def page(shopper: Shopper, path: str = CHOICE) -> str:
    return shopper.get(path).content.decode()


def chosen(text: str) -> str:
    found = re.search(r'name="plan" value="([\w-]+)" checked', text)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("known", [False, True], ids=["guest", "member"])
def test_the_first_time_is_seven_days_in_neutral_words(
    book: Till, member: Member, known: bool
):
    """Also for a member with many visits who never bought."""
    came(book, member, *range(1, 60))
    text = page(Shopper(book, member if known else None))
    assert chosen(text) == "temporary-7"
    assert "首次推荐" in text
    assert "只用一两天，选 1 天更省" in text
    assert "最划算" not in text
    assert 'value="temporary-1"' in text


def test_her_own_days_decide_afterwards_and_the_sum_is_shown(
    shopper: Shopper, book: Till, member: Member
):
    came(book, member, *range(1, 14))
    text = page(shopper)
    assert chosen(text) == "temporary-7"
    assert "近 7 天记下你来过 7 天。按天买 ¥21，临时会员 7 天 ¥15" in text
    assert "含今天，近 7 天记下你来过 7 天，近 30 天 14 天，近 90 天 15 天" in text
    assert "上次买的 1 天里，记下你来过 1 天" in text
    assert "价格对每个人都一样" in text


def test_fewer_payments_decide_where_money_does_not_and_it_says_so(
    shopper: Shopper, book: Till, member: Member
):
    """security.md 5.3 (b): published, the operator's to set, and no saving."""
    came(book, member, 1, 2, 4, 5, 8, 9, 10, 12, 13, 15, 16, 17, 19, 20)
    text = page(shopper)
    assert chosen(text) == "temporary-7"
    assert "其他买法最少 ¥15，要分几次付；临时会员 7 天 ¥15，一次付清" in text
    assert "每付一次款的麻烦按 ¥0.50 计，算上它才推荐 临时会员 7 天" in text
    rules = ShopRules.objects.first() or ShopRules()
    rules.bother_fen = 0
    rules.save()
    text = page(shopper)
    assert chosen(text) == "temporary-1"
    assert "麻烦" not in text


def test_few_days_get_the_day_and_no_saving(shopper: Shopper):
    text = page(shopper)
    assert chosen(text) == "temporary-1"
    assert "近 30 天记下你来过 1 天。用几天买几天，先选 临时会员 1 天" in text


def test_the_address_and_the_form_go_before_the_recommendation(shopper: Shopper):
    assert chosen(page(shopper, CHOICE + "?plan=temporary-30")) == "temporary-30"


def test_off_means_the_neutral_default_and_no_record(
    shopper: Shopper, book: Till, member: Member
):
    came(book, member, *range(1, 60))
    other = new_member()
    came(book, other, 1)
    assert chosen(page(shopper)) == "temporary-30"
    answer = shopper.post("/account/advice/", advice="off", kind="temporary")
    assert (answer.status_code, answer["Location"]) == (303, CHOICE)
    assert list(VisitDay.objects.values_list("member", flat=True)) == [other.pk]
    text = page(shopper)
    assert chosen(text) == "temporary-7"
    assert "为什么推荐" not in text
    assert "推荐已关闭" in text
    visits.note(fresh(member), now=book.now)
    assert not member.visit_days.exists()
    shopper.post("/account/advice/", advice="on")
    assert fresh(member).wants_advice
    visits.note(fresh(member), now=book.now)
    assert member.visit_days.count() == 1


def test_a_long_term_plan_is_shown_only_with_a_sum_that_speaks_for_it(
    shopper: Shopper, book: Till, member: Member
):
    """S26: 60 days in a row cost ¥100 at the least with temporary plans."""
    assert "看看长期会员" not in page(shopper)
    came(book, member, *range(1, 60))
    for path in (CHOICE, "/membership/"):
        text = page(shopper, path)
        assert "近 90 天记下你来过 61 天，买临时会员最少 ¥103，" in text
        assert "¥75，少 ¥28" in text
        assert "long-term/?plan=long-term-90" in text
    buy(book, member, days_ago=0, plan="long-term-90")
    assert "看看长期会员" not in page(shopper)


def test_a_range_of_her_last_visits_is_the_basis(
    shopper: Shopper, book: Till, member: Member
):
    """security.md 5.1: the need as a range, with what it rests on."""
    came(book, member, 3, 4, 10, 20, 21, 22, 30)
    assert "最近 4 次来，每次连着 1 到 3 天" in page(shopper)


def test_a_month_that_was_not_worth_its_price_is_named_afterwards(
    book: Till, member: Member
):
    """security.md 5.1: fewer than 23 days' worth of 30, said the next time."""
    buy(book, member, days_ago=35, plan="temporary-30")
    came(book, member, *range(10, 30, 2))
    words = "上次买的 30 天里，记下你来过 11 天。按现在的价格，这些天用更短的时长买最少 ¥33，30 天 ¥50"
    assert words in page(Shopper(book, member))
    came(book, member, *range(7, 30, 2))
    assert "这些天用更短的时长" not in page(Shopper(book, member))


@pytest.mark.parametrize("off", [None, "source", "target"])
def test_days_move_when_two_accounts_become_one(
    book: Till, member: Member, off: str | None
):
    """I12: her days count wherever she signed in, unless she wanted none noted."""
    other = new_member()
    came(book, member, 1, 2)
    came(book, other, 2, 3)
    for name, each in (("source", member), ("target", other)):
        if name == off:
            each.wants_advice = False
            each.save()
    visits.move_locked(member, other)
    assert other.visit_days.count() == (2 if off else 3)
    assert not member.visit_days.exists()


def test_the_price_is_the_same_for_twenty_people(book: Till):
    """security 77: whatever the days of a person are, each plan has one price."""
    seen = set()
    for number in range(20):
        person = new_member()
        if number % 2:
            buy(book, person, days_ago=60)
        came(book, person, *range(1, 4 * number))
        text = page(Shopper(book, person))
        seen.add(tuple(re.findall(r"price\">(¥[\d.]+)</span>", text)[:3]))
    assert len(seen) == 1
    assert next(iter(seen))[:3] == ("¥3", "¥15", "¥50")


def test_a_day_is_noted_once_and_a_guest_never(book: Till, member: Member):
    Shopper(book).get("/membership/")
    for path in ("/", "/membership/", "/account/", "/zone/"):
        Shopper(book, member).get(path)
    assert not VisitDay.objects.exists(), "reading notes nothing (security 57)"
    visits.note(member, now=book.now)
    visits.forget_noted()  # another process
    visits.note(member, now=book.now)
    assert [each.day for each in VisitDay.objects.all()] == [visits.day_of(book.now)]


def test_days_are_kept_for_ninety_days_and_go_with_the_person(
    book: Till, member: Member
):
    came(book, member, 0, 90, 91, 200)
    assert visits.forget_old(now=book.now) == 2
    assert visits.forget_old(now=book.now) == 0
    member.delete()
    assert not VisitDay.objects.exists()


def test_the_choice_page_takes_four_statements_however_long_the_history(
    shopper: Shopper, book: Till, member: Member
):
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            page(shopper)
        found = statements(queries)
        assert len(found) <= 4, "\n".join(found)
        return len(found)

    page(shopper)  # what the process keeps is read here
    few = asked()
    came(book, member, *range(1, 90))
    for ago in (50, 40, 30):
        buy(book, member, days_ago=ago)
    assert asked() == few
    buy(book, member, days_ago=0)
    assert asked() == 4  # with a running membership


def test_everybody_sees_and_pays_the_same_price(book: Till, member: Member):
    """security 77: the advice may differ, a price may not: guests on any device, somebody
    new, a loyal buyer, one who comes daily, one without advice, one under suspicion, and a
    number of a virtual operator."""
    daily, quiet, suspect = new_member(), new_member(), new_member()
    for days_ago in range(40, 50):
        buy(book, member, days_ago=days_ago)
    came(book, daily, *range(30))
    visits.set_advice(quiet, wanted=False)
    suspect.risk_flag_until = book.now + timedelta(days=1)
    suspect.save()
    virtual = Member.objects.create_user("+8617012345678")
    people = [member, daily, quiet, suspect, virtual, new_member()]
    devices = ["MicroMessenger", "iPhone Mobile", "AlipayClient Android", "X11"]
    shown = [
        Shopper(book).get(CHOICE, headers={"User-Agent": device}) for device in devices
    ] + [Shopper(book, one).get(CHOICE) for one in people]
    prices = {
        tuple((p["slug"], p["price_fen"]) for p in s.context["plans"]) for s in shown
    }
    assert prices == {
        (("temporary-1", 300), ("temporary-7", 1500), ("temporary-30", 5000))
    }
    assert {book.place(one).amount_fen for one in people} == {1500}
