"""The two staff roles and exactly what each may do in the console (security 68).

The groups are made, and set back to this list, after every ``migrate``; staff accounts
and superusers are made on the command line alone.
"""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps
from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission
from django.db.migrations.state import StateApps
from django.db.models import Q

from members.models import Member

OPERATOR = "operator"
SUPPORT = "support"

LOOK = (
    "orders.order",
    "payments.attempt",
    "payments.refund",
    "payments.gatewayevent",
    "payments.billdifference",
    "payments.billday",
    "members.member",
    "members.entitlement",
    "members.segment",
    "members.pause",
    "members.giftbatch",
    "members.giftcode",
    "notifications.notification",
)
"""Both look up; nobody edits what has states (I1)."""
CATALOGUE = ("members.tier", "members.plan", "members.tierbenefit")
GOODS = ("goods.category", "goods.goods")
REAL_NAMES = ("members.realname",)
"""Taking one back is for both, confirming one by hand for operators
(members.real_name.desk); the rows have no page of their own."""
OFFERS = ("orders.coupon",)
WORDS = ("notifications.announcement",)
GIFTS = ("members.giftbatch",)
MONEY_IN_AND_OUT = ("payments.attempt", "payments.refund")
DECISIONS = ("orders.order", "payments.attempt", "payments.gatewayevent")
"""What guarded actions ask for (payments.console.desk); the rows stay read-only all the same."""
RIGHTS: dict[str, dict[str, tuple[str, ...]]] = {
    SUPPORT: {"view": LOOK, "delete": REAL_NAMES},
    OPERATOR: {
        "view": (
            *LOOK,
            *CATALOGUE,
            *GOODS,
            *OFFERS,
            *WORDS,
            "goods.keybatch",
            "members.benefit",
            "members.pricechange",
            "members.shoprules",
            "payments.epaychannel",
            "notifications.outbox",
            "admin.logentry",
        ),
        "add": (
            *CATALOGUE,
            *GOODS,
            *OFFERS,
            *WORDS,
            *GIFTS,
            "goods.keybatch",
            "members.benefit",
            "members.shoprules",
            "payments.epaychannel",
            *MONEY_IN_AND_OUT,
            *REAL_NAMES,
        ),
        "change": (
            *CATALOGUE,
            *GOODS,
            *OFFERS,
            *WORDS,
            *GIFTS,  # making codes worthless; the rows stay read-only
            "members.benefit",
            "members.shoprules",
            "payments.epaychannel",
            "payments.billdifference",  # closing a case, the one thing its page offers
            "members.member",  # merging two accounts (payments.merging_page)
            *DECISIONS,
        ),
        "delete": (*CATALOGUE, *REAL_NAMES, *WORDS),
        "export": ("orders.order",),  # a file leaves the shop: payments.export_page
    },
}


def ensure() -> None:
    """Make both groups and set their permissions to exactly the list above.

    Safe to repeat. Permissions that Django has not made yet are made here, so the order
    of the apps does not matter.
    """
    labels = {
        label
        for rights in RIGHTS.values()
        for each in rights.values()
        for label in each
    }
    for app in {label.partition(".")[0] for label in labels}:
        create_permissions(apps.get_app_config(app), verbosity=0)
    for role, rights in RIGHTS.items():
        wanted = Q(pk__in=[])
        for verb, models in rights.items():
            for label in models:
                app, _, model = label.partition(".")
                wanted |= Q(content_type__app_label=app, codename=f"{verb}_{model}")
        group, _ = Group.objects.get_or_create(name=role)
        group.permissions.set(Permission.objects.filter(wanted))


def ensure_after_migrate(
    sender: AppConfig, apps: StateApps | Apps = apps, **_: Any
) -> None:
    """Receiver of ``post_migrate``; does nothing where migrations took auth away.

    ``flush`` sends it too, without ``apps``.
    """
    try:
        apps.get_model("auth", "Group")
    except LookupError:
        return
    ensure()


def assign(member: Member, role: str) -> None:
    member.groups.add(Group.objects.get(name=role))
