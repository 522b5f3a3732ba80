from members.models.catalog import (
    Benefit,
    Plan,
    PriceChange,
    Tier,
    TierBenefit,
    TierKind,
)
from members.models.codes import OneTimeCode, Purpose
from members.models.gifts import GiftBatch, GiftCode, GiftState
from members.models.identities import Identity, Provider
from members.models.limits import HitLog, Window
from members.models.membership import Entitlement, EntitlementSource, Pause, Segment
from members.models.passkeys import Passkey
from members.models.people import Member
from members.models.rules import ShopRules
from members.models.visits import VisitDay

__all__ = [
    "Benefit",
    "Entitlement",
    "EntitlementSource",
    "GiftBatch",
    "GiftCode",
    "GiftState",
    "HitLog",
    "Identity",
    "Member",
    "OneTimeCode",
    "Passkey",
    "Pause",
    "Plan",
    "PriceChange",
    "Provider",
    "Purpose",
    "Segment",
    "ShopRules",
    "Tier",
    "TierBenefit",
    "TierKind",
    "VisitDay",
    "Window",
]
