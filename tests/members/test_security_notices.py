"""Whoever changes the ways into an account, its owner hears of it (security 30)."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils.translation import override

from members import security_notices
from members.identity import binding
from members.identity.contract import Person
from members.models import FormerPhone, Identity, Member, Passkey, Provider
from members.sign_in import passkeys, phone_change
from notifications import messages, outbox
from notifications.models import Notification, Outbox
from payments import privacy
from payments.merging import merge
from tests.members.edge import OTHER_PHONE, PHONE, Inbox

pytestmark = pytest.mark.django_db

ALICE = Person(Provider.WECHAT, "wx1", "openid-a", "union-a", "小明")


@pytest.fixture
def member(db: None, asleep: None) -> Member:
    return Member.objects.create_user(PHONE)


def a_passkey(member: Member) -> Passkey:
    return Passkey.objects.create(
        member=member, credential_id="x", user_handle="x", public_key=b"x", name="x"
    )


def sent(inbox: Inbox, phone: str, *, now: datetime) -> list[str]:
    outbox.run_due(now=now)
    return inbox.to(phone)


def titles(member: Member, now: datetime) -> list[str]:
    with override("zh-hans"):
        return [one.title for one in messages.history_for(member.pk, now=now)]


def test_the_old_phone_is_told(member: Member, inbox: Inbox, now: datetime) -> None:
    """30: the notice goes to the number that has lost the account, not to the new one."""
    phone_change.change(member.pk, OTHER_PHONE, now=now)
    (text,) = sent(inbox, PHONE, now=now)
    assert "账号换了手机号" in text
    assert "联系客服" in text
    assert OTHER_PHONE[3:] not in text
    assert inbox.to(OTHER_PHONE) == []
    assert titles(member, now) == ["账号换了手机号，旧号码不能再登录"]


def test_the_old_phone_is_in_no_message_and_no_task(
    member: Member, now: datetime
) -> None:
    """74: it waits in the member's own rows alone."""
    phone_change.change(member.pk, OTHER_PHONE, now=now)
    for model in (Notification, Outbox):
        assert PHONE[3:] not in repr(list(model.objects.values_list()))
    assert FormerPhone.objects.get().phone == PHONE


def test_two_changes_tell_both_old_phones(
    member: Member, inbox: Inbox, now: datetime
) -> None:
    """30: in a hurry, before the first notice went out."""
    phone_change.change(member.pk, OTHER_PHONE, now=now)
    phone_change.change(member.pk, "+8613700137000", now=now)
    assert len(sent(inbox, PHONE, now=now)) == 1
    assert len(inbox.to(OTHER_PHONE)) == 1
    assert inbox.to("+8613700137000") == []


def test_a_provider_in_trouble_is_asked_again_for_a_day(
    member: Member, inbox: Inbox, now: datetime
) -> None:
    """30, FLT-29: the change does not wait for it."""
    inbox.status = 503
    phone_change.change(member.pk, OTHER_PHONE, now=now)
    sent(inbox, PHONE, now=now)
    inbox.status, inbox.messages = 200, []
    assert len(sent(inbox, PHONE, now=now + timedelta(hours=2))) == 1


def test_a_former_phone_is_forgotten_after_a_week(
    member: Member, now: datetime
) -> None:
    """75"""
    phone_change.change(member.pk, OTHER_PHONE, now=now)
    week = timedelta(days=7)
    assert security_notices.forget_former_phones(now=now + week) == 0
    later = now + week + timedelta(seconds=1)
    assert security_notices.forget_former_phones(now=later) == 1


def test_a_former_phone_goes_out_and_away_with_her(
    member: Member, now: datetime
) -> None:
    """75"""
    phone_change.change(member.pk, OTHER_PHONE, now=now)
    member.refresh_from_db()
    assert privacy.export(member)["former_phones"] == [{"phone": PHONE, "left_at": now}]
    privacy.erase(member.pk, now=now)
    assert not FormerPhone.objects.exists()


def test_the_notice_reaches_the_old_phone_of_a_merged_account(
    member: Member, inbox: Inbox, operator: Member, now: datetime
) -> None:
    """I12, 30"""
    phone_change.change(member.pk, OTHER_PHONE, now=now)
    other = Member.objects.create_user("+8613700137000")
    merge(member.pk, into_id=other.pk, actor=operator, reason="同一人", now=now)
    assert len(sent(inbox, PHONE, now=now)) == 1


def test_a_first_phone_is_a_way_more(inbox: Inbox, now: datetime, asleep: None) -> None:
    member = binding.recognise(ALICE, now=now)
    assert titles(member, now) == []  # nobody is told of her own arrival
    phone_change.change(member.pk, PHONE, now=now)
    assert sent(inbox, PHONE, now=now) == [
        "【卡盟】账号新加了登录方式：手机号。不是你操作的，请马上联系客服。"
    ]


def test_an_identity_that_comes_or_goes_is_told(
    member: Member, inbox: Inbox, now: datetime
) -> None:
    """30: by SMS and on the site, once each."""
    identity = binding.bind(member.pk, ALICE, now=now)
    binding.bind(member.pk, ALICE, now=now)
    (added,) = sent(inbox, PHONE, now=now)
    assert "新加了登录方式：微信" in added
    binding.unbind(member.pk, identity.pk, now=now)
    assert "去掉了登录方式：微信" in sent(inbox, PHONE, now=now)[-1]
    assert len(inbox.to(PHONE)) == 2
    assert sorted(titles(member, now)) == [
        "账号去掉了登录方式：微信",
        "账号新加了登录方式：微信",
    ]
    assert not Identity.objects.exists()


def test_without_a_phone_the_site_alone_tells(now: datetime, asleep: None) -> None:
    member = binding.recognise(ALICE, now=now)
    binding.bind(member.pk, Person(Provider.QQ, "1", "q", "", "小明"), now=now)
    assert [one.channel for one in Notification.objects.all()] == ["site"]
    assert titles(member, now) == ["账号新加了登录方式：QQ"]


def test_a_passkey_that_goes_is_told(
    member: Member, inbox: Inbox, now: datetime
) -> None:
    """30; that it came is told in tests/members/test_passkeys.py."""
    one = a_passkey(member)
    assert passkeys.remove(member.pk, one.pk, now=now)
    assert "去掉了登录方式：通行密钥" in sent(inbox, PHONE, now=now)[0]


def test_what_is_refused_is_not_told(member: Member, now: datetime) -> None:
    member.phone = None
    member.save(update_fields=["phone"])
    one = a_passkey(member)
    with pytest.raises(binding.LastWayIn):
        passkeys.remove(member.pk, one.pk, now=now)
    assert not Notification.objects.exists()
