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
from members.models.people import FormerPhone, Member
from members.models.real_names import (
    ACCOUNTS_MAX,
    CheckOutcome,
    RealName,
    RealNameCheck,
    Verifier,
)
from members.models.rules import ShopRules
from members.models.visits import AdviceRecord, VisitDay

__all__ = [
    "ACCOUNTS_MAX",
    "AdviceRecord",
    "Benefit",
    "CheckOutcome",
    "Entitlement",
    "EntitlementSource",
    "FormerPhone",
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
    "RealName",
    "RealNameCheck",
    "Segment",
    "ShopRules",
    "Tier",
    "TierBenefit",
    "TierKind",
    "Verifier",
    "VisitDay",
    "Window",
]
