"""/redeem/ through the front door: a member, a guest, wrong codes, without script."""

from __future__ import annotations

import re
from typing import Any

import pytest

from members.models import Entitlement, Member
from tests.members.gifts import make
from tests.orders.test_checkout_page import PHONE
from tests.shopping import Shopper, Till, fresh, new_member

WRONG = "7K3M-9QXA-2VTR-5W8Y"


@pytest.fixture
def code(book: Till, operator: Member) -> str:
    return make(operator, book.now).codes[0]


def text_of(answer: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.text))


def test_a_member_redeems_and_sees_the_popup(book: Till, member: Member, code: str):
    shopper = Shopper(book, member)
    assert "138" not in shopper.get("/redeem/").text.split("<form")[0]
    answer = shopper.post("/redeem/", gift=code.lower())
    assert (answer.status_code, answer["Location"]) == (303, "/redeem/done/")
    page = shopper.get("/redeem/done/").text
    assert "恭喜您成为临时会员，专属折扣已开启" in page
    assert 'data-modal="gift-' in page
    assert "会员已开通" in page
    assert "天数" in page
    assert "临时会员" in shopper.get("/membership/").text.split("<main")[0]  # the badge
    again = shopper.post("/redeem/", gift=code)
    assert again.status_code == 303
    assert Entitlement.objects.count() == 1
    book.wait(hours=2)
    assert "恭喜您成为临时会员" not in shopper.get("/redeem/done/").text


def test_what_was_given_shows_in_the_account_and_to_staff(
    book: Till, member: Member, code: str
):
    shopper = Shopper(book, member)
    shopper.post("/redeem/", gift=code)
    assert "恭喜您成为临时会员，专属折扣已开启" in shopper.get("/account/").text


def test_a_guest_redeems_with_a_code_to_her_phone(till: Till, operator: Member):
    """The same phone step as at the checkout; nothing typed is lost without script."""
    (gift,) = make(operator, till.now).codes
    guest = Shopper(till)
    page = guest.post("/redeem/code/", gift=gift, phone=PHONE).text
    assert f'value="{gift}"' in page
    text = till.wallet.sms(to=f"+86{PHONE}")[-1]["text"]
    found = re.search(r"\d{6}", text)
    assert found is not None
    fields = {"gift": gift, "phone": PHONE, "code": found[0]}
    answer = guest.post("/redeem/", **fields)
    assert (answer.status_code, answer["Location"]) == (303, "/redeem/done/")
    member = Member.objects.get(phone=f"+86{PHONE}")
    assert member.entitlements.get().source == "gift"
    assert guest.is_signed_in
    till.run_outbox()
    assert "会员已开通" in till.wallet.sms(to=f"+86{PHONE}")[-1]["text"]


def test_a_guest_with_a_wrong_code_types_no_second_message(
    till: Till, operator: Member
):
    """Her phone is proved, so she is signed in and mends the code alone."""
    (gift,) = make(operator, till.now).codes
    guest = Shopper(till)
    guest.post("/redeem/code/", gift=WRONG, phone=PHONE)
    text = till.wallet.sms(to=f"+86{PHONE}")[-1]["text"]
    code = re.findall(r"\d{6}", text)[0]
    answer = guest.post("/redeem/", gift=WRONG, phone=PHONE, code=code)
    assert answer.status_code == 422
    assert "这个兑换码无效、过期或已经用过" in answer.text
    assert f'value="{WRONG}"' in answer.text
    assert guest.is_signed_in
    assert guest.post("/redeem/", gift=gift).status_code == 303


def test_a_guest_learns_nothing_without_proving_a_phone(book: Till, code: str):
    """A right and a wrong code get the same answer."""
    guest = Shopper(book)
    answers = [
        guest.post("/redeem/", gift=gift, phone=PHONE, code="000000")
        for gift in (code, WRONG)
    ]
    assert [each.status_code for each in answers] == [422, 422]
    left, right = (text_of(each).replace(WRONG, code) for each in answers)
    assert left == right
    assert not Entitlement.objects.exists()


def test_guessing_over_the_front_door(book: Till, member: Member, code: str):
    shopper = Shopper(book, member)
    for n in range(5):
        answer = shopper.post("/redeem/", gift=f"7K3M-9QXA-2VTR-5W8{n}")
        assert answer.status_code == 422
    answer = shopper.post("/redeem/", gift=code)
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 3_600
    assert not Entitlement.objects.exists()


@pytest.mark.parametrize("gift", ["", "   ", "---"])
def test_an_empty_field_is_asked_for_first(book: Till, gift: str):
    answer = Shopper(book).post("/redeem/", gift=gift, phone=PHONE)
    assert answer.status_code == 422
    assert '<a href="#id_gift">填写兑换码</a>' in answer.text
    assert 'value="138 0013 8000"' in answer.text


def test_nobody_sees_the_gift_of_somebody_else(book: Till, member: Member, code: str):
    Shopper(book, member).post("/redeem/", gift=code)
    other = Shopper(book, new_member())
    assert other.get("/redeem/done/")["Location"] == "/redeem/"
    assert "login" in Shopper(book).get("/redeem/done/")["Location"]
    assert fresh(member).paid_until is not None


def test_enter_in_the_code_field_never_signs_out(book: Till, member: Member):
    """The first button of the form is the one that Enter presses."""
    page = Shopper(book, member).get("/redeem/").text
    form = page[page.index('action="/redeem/"') :]
    first = form[form.index("<button") :].split(">")[0]
    assert "formaction" not in first
