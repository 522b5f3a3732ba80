"""Whose account an identity opens: the domain, with threads where it matters."""

from __future__ import annotations

import threading
from datetime import datetime

import pytest
from django.db import IntegrityError, connection, transaction

from members.identity import binding
from members.identity.contract import Person, Refused
from members.models import Identity, Member, Provider
from tests.members.edge import OTHER_PHONE, PHONE
from tests.races import PATIENCE, at_once, errors, hesitate, take_locks_away

WEB = Person(Provider.WECHAT, "wx-web", "oWeb", "uAlice", "小明")
MP = Person(Provider.WECHAT, "wx-mp", "oMp", "uAlice", "小明")


@pytest.mark.django_db(transaction=True)
class TestRecognise:
    def test_a_stranger_becomes_a_member_without_a_phone(self, now: datetime) -> None:
        member = binding.recognise(WEB, now=now)
        assert member.phone is None
        assert not member.is_staff
        assert not member.has_usable_password()
        identity = Identity.objects.get()
        assert (identity.member, identity.appid, identity.openid, identity.unionid) == (
            member,
            "wx-web",
            "oWeb",
            "uAlice",
        )
        assert binding.recognise(WEB, now=now) == member

    def test_one_unionid_is_one_person_in_both_applications(
        self, now: datetime
    ) -> None:
        assert binding.recognise(WEB, now=now) == binding.recognise(MP, now=now)
        assert Identity.objects.get().appid == "wx-web"

    def test_without_a_unionid_two_applications_are_two_people(
        self, now: datetime
    ) -> None:
        """Never merged, not by openid and not by name."""
        web = Person(Provider.WECHAT, "wx-web", "oSame", "", "小明")
        mp = Person(Provider.WECHAT, "wx-mp", "oSame", "", "小明")
        assert binding.recognise(web, now=now) != binding.recognise(mp, now=now)

    def test_the_same_ids_at_another_provider_are_another_person(
        self, now: datetime
    ) -> None:
        elsewhere = Person(Provider.QQ, "wx-web", "oWeb", "uAlice", "小明")
        assert binding.recognise(WEB, now=now) != binding.recognise(elsewhere, now=now)

    def test_a_unionid_granted_later_is_kept(self, now: datetime) -> None:
        before = Person(Provider.WECHAT, "wx-web", "oWeb", "", "小明")
        member = binding.recognise(before, now=now)
        assert binding.recognise(WEB, now=now) == member
        assert Identity.objects.get().unionid == "uAlice"
        assert binding.recognise(before, now=now) == member

    def test_a_known_openid_with_another_unionid_is_refused(
        self, now: datetime
    ) -> None:
        binding.recognise(WEB, now=now)
        other = Person(Provider.WECHAT, "wx-web", "oWeb", "uMallory", "小明")
        with pytest.raises(Refused):
            binding.recognise(other, now=now)
        assert Identity.objects.get().unionid == "uAlice"

    def test_two_first_arrivals_end_with_one_member(
        self, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hesitate(monkeypatch, binding, "find")
        ends = at_once(*[lambda: binding.recognise(WEB, now=now)] * 2)
        assert errors(ends) == []
        assert ends[0] == ends[1] == Member.objects.get()
        assert Identity.objects.count() == 1


@pytest.mark.django_db(transaction=True)
class TestBind:
    def test_bound_it_opens_the_account(self, now: datetime) -> None:
        member = Member.objects.create_user(PHONE)
        binding.bind(member.pk, WEB, now=now)
        binding.bind(member.pk, MP, now=now)
        assert Identity.objects.count() == 1
        assert binding.recognise(MP, now=now) == member

    @pytest.mark.parametrize("person", [WEB, MP], ids=["same", "by unionid"])
    def test_what_opens_another_account_is_never_taken_over(
        self, now: datetime, person: Person
    ) -> None:
        """security 27"""
        victim = binding.recognise(WEB, now=now)
        mallory = Member.objects.create_user(PHONE)
        with pytest.raises(binding.Taken):
            binding.bind(mallory.pk, person, now=now)
        assert Identity.objects.get().member == victim
        assert not mallory.identities.exists()

    def test_two_members_binding_the_same_end_with_one(
        self, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """security 27"""
        hesitate(monkeypatch, binding, "find")
        both = [Member.objects.create_user(phone) for phone in (PHONE, OTHER_PHONE)]
        ends = at_once(
            *(lambda m=each: binding.bind(m.pk, WEB, now=now) for each in both)
        )
        assert [type(error) for error in errors(ends)] == [binding.Taken]
        assert Identity.objects.count() == 1


@pytest.mark.django_db(transaction=True)
class TestUnbind:
    def test_with_a_phone_the_identity_may_go(self, now: datetime) -> None:
        member = Member.objects.create_user(PHONE)
        identity = binding.bind(member.pk, WEB, now=now)
        assert binding.unbind(member.pk, identity.pk, now=now)
        assert not Identity.objects.exists()
        assert binding.recognise(WEB, now=now) != member

    def test_the_last_way_in_stays(self, now: datetime) -> None:
        member = binding.recognise(WEB, now=now)
        with pytest.raises(binding.LastWayIn):
            binding.unbind(member.pk, Identity.objects.get().pk, now=now)
        assert Identity.objects.count() == 1

    def test_nobody_unbinds_anothers(self, now: datetime) -> None:
        """security 52"""
        binding.recognise(WEB, now=now)
        mallory = Member.objects.create_user(PHONE)
        assert not binding.unbind(mallory.pk, Identity.objects.get().pk, now=now)
        assert Identity.objects.count() == 1

    def test_of_two_taken_away_at_once_one_stays(
        self, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hesitate(monkeypatch, binding, "ways_in")
        ends = self.take_both_away(now)
        assert [type(error) for error in errors(ends)] == [binding.LastWayIn]
        assert Identity.objects.count() == 1

    def test_without_the_lock_both_would_go(
        self, now: datetime, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The control of the test above; SQLite then stops the second by an error."""
        gate, count = threading.Barrier(2), binding.ways_in

        def both_have_counted(member: Member) -> int:
            found = count(member)
            gate.wait(PATIENCE)
            return found

        monkeypatch.setattr(binding, "ways_in", both_have_counted)
        take_locks_away(monkeypatch)
        ends = self.take_both_away(now)
        assert [type(error) for error in errors(ends)] != [binding.LastWayIn]
        assert Identity.objects.count() == (connection.vendor == "sqlite")

    def take_both_away(self, now: datetime) -> list[object]:
        member = binding.recognise(WEB, now=now)
        binding.bind(member.pk, Person(Provider.QQ, "1", "q", "", "小明"), now=now)
        numbers = list(member.identities.values_list("pk", flat=True))
        return at_once(
            *(
                lambda pk=each: binding.unbind(member.pk, pk, now=now)
                for each in numbers
            )
        )


@pytest.mark.django_db
@pytest.mark.parametrize(
    "second",
    [
        {"openid": "another"},  # the unionid again
        {"unionid": "another"},  # the openid again
        {"provider": "weibo", "openid": "o", "unionid": "u"},
        {"openid": "", "unionid": "u"},
        {"appid": "", "openid": "o", "unionid": "u"},
    ],
)
def test_the_database_keeps_identities_apart(second: dict[str, str]) -> None:
    """K25 for identities: unique whatever the code does."""
    first = {"provider": "wechat", "appid": "a", "openid": "o1", "unionid": "u1"}
    Identity.objects.create(member=Member.objects.create(), **first)
    with pytest.raises(IntegrityError), transaction.atomic():
        Identity.objects.create(member=Member.objects.create(), **(first | second))


@pytest.mark.django_db
def test_many_may_lack_a_unionid() -> None:
    for openid in ("o1", "o2"):
        member = Member.objects.create()
        Identity.objects.create(
            member=member, provider="wechat", appid="a", openid=openid
        )
    assert Identity.objects.count() == 2
