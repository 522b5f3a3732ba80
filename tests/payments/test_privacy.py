"""``/account/privacy/`` and ``manage.py person``: out as a file, or gone."""

from __future__ import annotations

import json
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.urls import reverse

from members.models import Identity, Member, OneTimeCode, Passkey
from payments import privacy
from tests.goods.shelves import make_goods
from tests.shopping import ALIPAY, WECHAT, Shopper, Till, broken, fresh

pytestmark = pytest.mark.django_db

PHONE = "+8613712345678"
SECRETS = (
    "13712345678",
    "o-secret-openid",
    "u-secret-unionid",
    "小明的昵称",
    "c-secret",
)
IP = "203.0.113.9"


@pytest.fixture
def her(book: Till) -> Member:
    """Has bought, been paid back nothing, and signs in by every way."""
    member = Member.objects.create_user(PHONE)
    book.hear(book.bill(member, way=WECHAT))
    Identity.objects.create(
        member=member,
        provider="wechat",
        appid="wx1",
        openid=SECRETS[1],
        unionid=SECRETS[2],
        nickname=SECRETS[3],
    )
    Passkey.objects.create(
        member=member, credential_id=SECRETS[4], user_handle="h", name="iPhone"
    )
    OneTimeCode.objects.create(
        phone=PHONE,
        purpose="login",
        session_digest="x",
        code_digest="x",
        created_at=book.now,
        expires_at=book.now,
    )
    return member


def everything() -> str:
    """Every value of every row."""
    return "\n".join(
        repr(row)
        for model in apps.get_models(include_auto_created=True)
        for row in model._default_manager.values_list()
    )


def shopper(book: Till, member: Member, *, proved: bool = True) -> Shopper:
    found = Shopper(book, member)
    if proved:
        session = found.client.session
        session["proved_at"] = book.now.timestamp()
        session.save()
    return found


def person(act: str, phone: str = PHONE) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("person", act, phone, stdout=out, stderr=StringIO())
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_erasing_leaves_the_orders_and_nobody_in_them(book: Till, her: Member) -> None:
    """security 75: every table is read; sessions are decoded, too."""
    mine = shopper(book, her)
    before = everything()
    assert all(secret in before for secret in (*SECRETS, IP))
    paid = her.orders.get()
    assert privacy.erase(her.pk, now=book.now)
    after = everything()
    assert [secret for secret in (*SECRETS, IP) if secret in after] == []
    kept = fresh(paid)
    assert (kept.status, kept.amount_fen, kept.no) == ("paid", 1500, paid.no)
    assert her.entitlements.count() == 1
    assert not mine.is_signed_in
    assert broken(book.now) == []
    assert not privacy.erase(her.pk, now=book.now)


def test_her_phone_is_free_for_a_new_account(book: Till, her: Member) -> None:
    """security 21, 75: who comes with the number next sees nothing of her."""
    privacy.erase(her.pk, now=book.now)
    new = Member.objects.create_user(PHONE)
    assert new.pk != her.pk
    assert not new.orders.exists()


def test_money_under_way_comes_to_its_end_first(book: Till, her: Member) -> None:
    """security 75"""
    order = book.bill(her, "temporary-1", way=ALIPAY).order
    with pytest.raises(privacy.Unfinished):
        privacy.erase(her.pk, now=book.now)
    assert fresh(her).phone == PHONE
    privacy.ask_to_erase(her.pk, now=book.now)
    later = book.now + timedelta(days=8)
    assert privacy.erase_due(now=later) == 0
    order.attempts.update(state="closed", next_query_at=None)
    type(order).objects.filter(pk=order.pk).update(status="expired")
    assert privacy.erase_due(now=later) == 1
    assert fresh(her).phone is None


def test_seven_days_to_undo(book: Till, her: Member) -> None:
    """security 75: asked for on the page, not done before the day, undone by a tap."""
    mine = shopper(book, her)
    assert mine.post(reverse("account-privacy-delete")).status_code == 303
    assert "随时可以反悔" in mine.get(reverse("account-privacy")).content.decode()
    first = fresh(her).erase_at
    assert first == book.now + timedelta(days=7)
    almost = first - timedelta(seconds=1)
    assert privacy.erase_due(now=almost) == 0
    assert mine.post(reverse("account-privacy-keep")).status_code == 303
    assert privacy.erase_due(now=first) == 0
    assert fresh(her).phone == PHONE
    assert mine.post(reverse("account-privacy-delete")).status_code == 303
    assert privacy.erase_due(now=first) == 1
    assert not mine.is_signed_in


def test_the_page_says_what_goes_with_the_account(book: Till, her: Member) -> None:
    """security 75: time that can still be returned, and keys that nobody shows her then."""
    page = shopper(book, her).get(reverse("account-privacy")).content.decode()
    assert reverse("account-returns") in page
    assert "买到的卡密以后看不到了" not in page
    book.buy_goods(her, make_goods(keys=1))
    page = shopper(book, her).get(reverse("account-privacy")).content.decode()
    assert "买到的卡密以后看不到了" in page


def test_a_repeat_does_not_move_the_day(book: Till, her: Member) -> None:
    first = privacy.ask_to_erase(her.pk, now=book.now)
    again = privacy.ask_to_erase(her.pk, now=book.now + timedelta(days=3))
    assert again == first


@pytest.mark.parametrize("name", ["account-privacy-delete", "account-privacy-export"])
def test_both_ask_who_it_is(book: Till, her: Member, name: str) -> None:
    """security 30"""
    mine = shopper(book, her, proved=False)
    answer = mine.post(reverse(name))
    assert answer.status_code == 403
    assert SECRETS[0] not in answer.content.decode()
    assert fresh(her).erase_at is None


def test_the_file_holds_what_is_hers_and_nothing_of_others(
    book: Till, her: Member
) -> None:
    other = Member.objects.create_user("+8613812340000")
    book.hear(book.bill(other, "temporary-1", way=WECHAT))
    answer = shopper(book, her).post(reverse("account-privacy-export"))
    assert answer["Content-Disposition"] == 'attachment; filename="kameng.json"'
    assert answer["Cache-Control"] == "private, no-store"
    told: dict[str, Any] = json.loads(answer.content)
    assert told["phone"] == PHONE
    assert [each["amount_fen"] for each in told["orders"]] == [1500]
    assert [each["payer_ip"] for each in told["payments"]] == [IP]
    assert told["identities"][0]["openid"] == SECRETS[1]
    assert told["entitlements"][0]["seconds"] == 7 * 86_400
    assert "13812340000" not in answer.content.decode()


def test_the_command_exports_and_erases(book: Till, her: Member) -> None:
    code, text = person("export", "137 1234 5678")
    assert code == 0
    assert json.loads(text)["phone"] == PHONE
    assert person("erase") == (0, f"member #{her.pk} is erased\n")
    assert person("erase")[0] == 2
    assert person("export")[0] == 2


def test_the_command_waits_for_money(book: Till, her: Member) -> None:
    book.bill(her, "temporary-1", way=ALIPAY)
    assert person("erase")[0] == 2
    assert fresh(her).phone == PHONE


def test_staff_are_not_erased(book: Till, her: Member) -> None:
    Member.objects.filter(pk=her.pk).update(is_staff=True, username="kefu")
    with pytest.raises(privacy.NotAPerson):
        privacy.erase(her.pk, now=book.now)
    assert fresh(her).phone == PHONE


def test_one_tap_signs_out_everywhere(book: Till, her: Member) -> None:
    """security 24: the other telephone too."""
    here, there = shopper(book, her), shopper(book, her)
    done = here.post(reverse("logout-everywhere"))
    assert done.status_code == 303
    assert '"storage"' in done["Clear-Site-Data"]
    for one in (here, there):
        page = one.get(reverse("account"))
        assert page.status_code == 302
        assert page["Location"].startswith(reverse("login"))
