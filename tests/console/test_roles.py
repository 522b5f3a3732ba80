"""Security 68: every address of the console × role × method, answered exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db.models import Model
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse
from django.utils import timezone

from goods.models import Category, KeyBatch
from members import staff_roles
from members.models import (
    Benefit,
    Entitlement,
    GiftCode,
    Member,
    Pause,
    ShopRules,
    Tier,
)
from notifications.models import Announcement, Outbox
from payments.models import Attempt, EpayChannel, Refund
from payments.reconciling.bill_models import BillDay, BillDifference
from tests.console.conftest import pay, signed_in, staff
from tests.goods.shelves import make_goods
from tests.members.gifts import make as make_gifts
from tests.orders.codes import make_coupon
from tests.shopping import Till

pytestmark = pytest.mark.django_db

VIEW = {  # who may look
    "order": "so",
    "attempt": "so",
    "refund": "so",
    "gatewayevent": "so",
    "billdifference": "so",
    "billday": "so",
    "member": "so",
    "entitlement": "so",
    "segment": "so",
    "pause": "so",
    "notification": "so",
    "giftbatch": "so",
    "giftcode": "so",
    "coupon": "o",
    "tier": "o",
    "plan": "o",
    "benefit": "o",
    "pricechange": "o",
    "shoprules": "o",
    "epaychannel": "o",
    "category": "o",
    "goods": "o",
    "keybatch": "o",
    "outbox": "o",
    "announcement": "o",
    "logentry": "o",
}
"""``s`` for support, ``o`` for operators; superusers may look at everything."""
ADD = {
    *("tier", "plan", "benefit", "epaychannel", "category", "goods", "coupon"),
    "announcement",
}
CHANGE_ = {
    *("tier", "plan", "benefit", "shoprules", "epaychannel"),
    *("category", "goods", "coupon", "announcement"),
}
DELETE = {"tier", "plan", "announcement"}
GUARDED = {
    "order": ("refund", "approve", "reject", "query", "extend", "mark-paid"),
    "attempt": ("accept", "give-back"),
    "gatewayevent": ("give-back", "resolve"),
    "refund": ("outside", "give-up", "see-to", "dispute-won"),
    "member": ("merge", "real_name_take_back", "real_name_confirm"),
    "billdifference": ("resolve",),
}
"""Actions of operators; the rows below are in a state for these alone."""
OFFERED = {
    *(("order", "refund"), ("order", "query"), ("billdifference", "resolve")),
    *(("member", "merge"), ("member", "real_name_confirm")),
}
ROLES = ("anonymous", "shopper", "clerk", "support", "operator", "superuser")
"""``clerk``: staff without a role."""


@dataclass(frozen=True)
class Address:
    name: str
    url: str
    model: str = ""


def expected(address: Address, role: str, method: str) -> int:
    """The one right answer to an empty request."""
    if role in ("anonymous", "shopper"):
        return 200 if address.name == "login" else 302
    if not address.model:
        return of_the_site(address.name, role, method)
    letter = {"support": "s", "operator": "o"}.get(role, "")
    edits = role in ("operator", "superuser")
    if role != "superuser" and (not letter or letter not in VIEW[address.model]):
        return 302 if address.name == "redirect" else 403
    match address.name:
        case "redirect":
            return 302
        case "changelist":
            return 302 if address.model == "shoprules" else 200
        case "add":
            return 200 if edits and address.model in ADD else 403
        case "change" if method == "post":
            return 200 if edits and address.model in CHANGE_ else 403
        case "delete":
            may = DELETE | {"benefit", "category"} if role == "superuser" else DELETE
            return 200 if edits and address.model in may else 403
        case "preview":
            return 405 if method == "get" else 200
        case "real_name_take_back":  # for both roles; nothing is there to be taken
            return 409
        case _ if address.name in GUARDED.get(address.model, ()):
            if not edits:
                return 403
            return 200 if (address.model, address.name) in OFFERED else 409
        case "reveal":
            return 405 if method == "get" else 302
        case "import" | "new":
            return (200 if method == "get" else 422) if edits else 403
        case "confirm" | "drop" | "undo" | "revoke":
            return (405 if method == "get" else 302) if edits else 403
    return 200


def of_the_site(name: str, role: str, method: str) -> int:
    match name:
        case "login":
            return 302 if method == "get" else 200
        case "logout":
            return 405 if method == "get" else 302
        case "password_change_done" | "jsi18n":
            return 200 if method == "get" else 405
        case "autocomplete":
            return 403 if method == "get" else 405
        case "app_list" if role == "clerk":
            return 404
        case "view_on_site" | "catch_all":
            return 404
        case "find":
            return 403 if role == "clerk" else 200
        case "unblock" | "export" if role not in ("operator", "superuser"):
            return 403
        case "unblock" | "export":
            return 200 if method == "get" else 422
    return 200


@pytest.fixture
def rows(
    buy: Callable[..., Attempt], buyer: Member, superuser: Member
) -> dict[str, Model]:
    """One row of every kind that the console shows."""
    attempt = buy(txn_id="4200001")
    rival = Attempt.objects.create(
        order=attempt.order,
        gateway="alipay",
        channel="alipay",
        product="page",
        out_trade_no="1" * 26,
        amount_fen=1500,
    )
    pay(rival, "2026001")
    now = timezone.now()
    unsold = Tier.objects.create(
        code="new", name="新等级", kind="temporary", rank=5, discount_bp=9900
    )
    empty = Tier.objects.create(  # without plans, so that it may be deleted
        code="empty", name="空等级", kind="temporary", rank=4, discount_bp=9900
    )
    made: list[Model] = [
        attempt.order,
        attempt,
        Refund.objects.get(),
        attempt.gateway_events.get(),
        BillDifference.objects.create(
            gateway="wechat", day=now.date(), kind="unknown", number="N"
        ),
        BillDay.objects.create(gateway="wechat", day=now.date(), due_at=now),
        buyer,
        Entitlement.objects.get(),
        Entitlement.objects.get().segments.get(),
        Pause.objects.create(member=buyer, starts_at=now, ends_at=now),
        buyer.notifications.all()[0],
        empty,
        unsold.plans.create(slug="new-1", days=1, price_fen=100),
        Benefit.objects.all()[0],
        unsold.price_changes.create(field="discount_bp", old="", new="9900"),
        ShopRules.objects.get(),
        EpayChannel.objects.get(code="phone_credit"),
        make_goods(keys=1),
        KeyBatch.objects.get(),
        Category.objects.create(slug="empty", name="空分类"),
        Outbox.objects.create(key="k", kind="sms", due_at=now),
        Announcement.objects.create(text="维护"),
        LogEntry.objects.create(user=superuser, object_repr="x", action_flag=CHANGE),
        make_coupon(Till(now)),
        make_gifts(superuser, now).batch,
        GiftCode.objects.get(),
    ]
    return {row._meta.model_name or "": row for row in made}


@pytest.fixture
def superuser(db: None) -> Member:
    return staff("laoban", superuser=True)


@pytest.fixture
def clients(
    operator: Member, support: Member, superuser: Member, db: None
) -> dict[str, Client]:
    return {
        "anonymous": Client(),
        "shopper": signed_in(Member.objects.create_user("+8613900139009")),
        "clerk": signed_in(staff("xinren")),
        "support": signed_in(support),
        "operator": signed_in(operator),
        "superuser": signed_in(superuser),
    }


def names_of(patterns: list[URLPattern | URLResolver], found: list[str]) -> list[str]:
    for each in patterns:
        if isinstance(each, URLResolver):
            names_of(each.url_patterns, found)
        else:
            found.append(each.name or f"unnamed {each.pattern}")
    return found


def addresses(rows: dict[str, Model]) -> Iterator[Address]:
    for name in (
        "index",
        "login",
        "logout",
        "password_change",
        "password_change_done",
        "autocomplete",
        "jsi18n",
    ):
        yield Address(name, reverse(f"admin:{name}"))
    yield Address("view_on_site", "/console/r/1/1/")
    yield Address("catch_all", "/console/nothing/here/")
    yield Address("app_list", "/console/orders/")
    yield Address("find", reverse("admin:orders_order_find"))
    yield Address("unblock", reverse("admin:members_member_unblock"))
    yield Address("export", reverse("admin:orders_order_export"))
    for model, row in rows.items():
        stem = f"admin:{row._meta.app_label}_{model}"
        yield Address("changelist", reverse(f"{stem}_changelist"), model)
        yield Address("add", reverse(f"{stem}_add"), model)
        for name in ("history", "delete", "change"):
            yield Address(name, reverse(f"{stem}_{name}", args=[row.pk]), model)
        yield Address("redirect", f"{reverse(f'{stem}_changelist')}{row.pk}/", model)
        for name in GUARDED.get(model, ()):
            yield Address(name, reverse(f"{stem}_{name}", args=[row.pk]), model)
        if model in ("tier", "plan"):
            yield Address("preview", reverse(f"{stem}_preview"), model)
            yield Address("preview", reverse(f"{stem}_preview", args=[row.pk]), model)
        for of, name in (("coupon", "codes"), ("giftbatch", "new")):
            if of == model:
                yield Address(name, reverse(f"{stem}_{name}"), model)
        for of, name in (
            ("order", "reveal"),
            ("goods", "import"),
            *(("keybatch", name) for name in ("confirm", "drop", "undo")),
            ("giftbatch", "revoke"),
        ):
            if of == model:
                yield Address(name, reverse(f"{stem}_{name}", args=[row.pk]), model)


def test_the_table_knows_every_address(rows: dict[str, Model]) -> None:
    known = {
        f"{row._meta.app_label}_{model}_{name}"
        for model, row in rows.items()
        for name in (
            "changelist",
            "add",
            "history",
            "delete",
            "change",
            "preview",
        )
    } | {address.name for address in addresses(rows)}
    known |= {"orders_order_find", "orders_order_reveal", "members_member_unblock"}
    known |= {"unnamed <path:object_id>/", "unnamed (?P<url>.*)$"}
    known |= {"goods_goods_import", "orders_coupon_codes", "orders_order_export"}
    known |= {"members_giftbatch_new", "members_giftbatch_revoke"}
    # Steps of the sign-in, before anybody has a role: test_second_factor.py.
    known |= {"enrol", "second", "second-options"}
    known |= {f"goods_keybatch_{name}" for name in ("confirm", "drop", "undo")}
    known |= {
        f"{rows[model]._meta.app_label}_{model}_{name}"
        for model, names in GUARDED.items()
        for name in names
    }
    assert {model._meta.model_name for model in admin.site._registry} == set(rows)
    assert set(names_of(admin.site.get_urls(), [])) <= known


@pytest.mark.parametrize("role", ROLES)
def test_each_address_answers_each_role_exactly(
    role: str, clients: dict[str, Client], rows: dict[str, Model]
) -> None:
    wrong = []
    member = clients[role].session.get("_auth_user_id")
    for address in addresses(rows):
        for method in ("get", "post"):
            answer = getattr(clients[role], method)(address.url)
            want = expected(address, role, method)
            if answer.status_code != want:
                wrong.append(
                    f"{method} {address.url}: {answer.status_code}, not {want}"
                )
            if address.name == "logout" and member:
                clients[role].force_login(Member.objects.get(pk=member))
    assert wrong == []


def test_an_anonymous_visitor_is_led_to_the_log_in_and_a_forged_post_is_refused(
    rows: dict[str, Model], operator: Member
) -> None:
    answer = Client().get("/console/members/plan/")
    assert answer["Location"] == "/console/login/?next=/console/members/plan/"
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(operator)
    for url in ("/console/members/plan/add/", reverse("admin:orders_order_find")):
        assert strict.post(url, {"q": "8000"}).status_code == 403


def test_the_roles_hold_exactly_their_rights() -> None:
    """A right that is not in the list is gone after the next ``migrate``."""
    for role, rights in staff_roles.RIGHTS.items():
        wanted = {
            f"{app}.{verb}_{model}"
            for verb, labels in rights.items()
            for app, model in (label.split(".") for label in labels)
        }
        group = Group.objects.get(name=role)
        assert names(group) == wanted
        group.permissions.clear()
        call_command("migrate", verbosity=0)
        assert names(group) == wanted
    assert not any(
        right.startswith(("auth.", "sessions.", "contenttypes."))
        for role in staff_roles.RIGHTS
        for right in names(Group.objects.get(name=role))
    )


def names(group: Group) -> set[str]:
    return {
        f"{right.content_type.app_label}.{right.codename}"
        for right in group.permissions.select_related("content_type")
    }


def test_staff_accounts_are_out_of_sight(
    clients: dict[str, Client], superuser: Member
) -> None:
    url = reverse("admin:members_member_change", args=[superuser.pk])
    for role in ("support", "operator"):
        assert clients[role].get(url).status_code == 302
        listing = clients[role].get(reverse("admin:members_member_changelist"))
        assert "laoban" not in listing.content.decode()
    assert clients["superuser"].get(url).status_code == 200
